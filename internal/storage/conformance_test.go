package storage_test

import (
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/block"
	"shoal/internal/storage"
	"shoal/internal/storage/storagetest"
)

// realDisk is the machine's file system.
type realDisk struct{ t *testing.T }

func (d realDisk) Get(path string) ([]byte, bool) {
	b, err := os.ReadFile(path)
	return b, err == nil
}

func (d realDisk) Put(path string, content []byte) {
	if content == nil {
		if err := os.Remove(path); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func TestFilesConform(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Subject {
		return storagetest.Subject{
			New:  func(p *block.Pool) storage.Store { return storage.NewFiles(p, storage.FilesOptions{MaxOpen: 3}) },
			Disk: realDisk{t}, Dir: t.TempDir(),
		}
	})
}

func TestMemoryConforms(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Subject {
		disk := storage.NewMemory(block.NewPool(0))
		t.Cleanup(func() { disk.Close() })
		return storagetest.Subject{New: func(p *block.Pool) storage.Store { return disk.Restart(p) }, Disk: disk, Dir: "/m"}
	})
}

// Where every move needs a copy, all the same holds.
func TestFarFilesConform(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Subject {
		f := &storage.Faults{}
		f.Far.Store(true)
		return storagetest.Subject{
			New:  func(p *block.Pool) storage.Store { return storage.NewFaulty(p, f) },
			Disk: realDisk{t}, Dir: t.TempDir(),
		}
	})
}
