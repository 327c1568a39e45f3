package storage_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"shoal/internal/block"
	"shoal/internal/storage"
	"shoal/internal/storage/storagetest"
)

// A real file system runs full: a tmpfs of 600 KiB, if we may mount one. TestMemoryFull is the same anywhere.
func TestTmpfsFull(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=600k"); err != nil {
		t.Logf("not root: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	testFull(t, storagetest.Subject{
		New:  func(p *block.Pool) storage.Store { return storage.NewFiles(p, storage.FilesOptions{}) },
		Disk: realDisk{t}, Dir: disk,
	}, "on "+disk, func() {}, func() {
		if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
			t.Fatal(err)
		}
	})
	// Across file systems, a rename does not do; and where there is no room the content stays where it was.
	s := storagetest.Subject{
		New:  func(p *block.Pool) storage.Store { return storage.NewFiles(p, storage.FilesOptions{}) },
		Disk: realDisk{t}, Dir: dir,
	}
	o := storagetest.Start(t, s, storagetest.Small(), nil)
	o.Fetch(o.All()...)
	away := filepath.Join(disk, "away")
	o.Check(o.Relocate(away))
	old := o.Path(0)
	o.WantNoFile(old)
	o.Spec.Root = away
	o.WantRead(o.All()...)
	o = o.Restart(nil)
	o.WantSound(storagetest.Always)
	o.WantFile(o.Path(0), o.File(0))
	if _, mount, err := o.Room(); mount != disk || err != nil {
		t.Error(mount, err)
	}
	o.End()
}

func TestPreallocate(t *testing.T) {
	s, _ := onDisk(t)
	c := storagetest.NewContent(storagetest.Layout(1<<20, 3<<20, 2<<20), 17)
	o := storagetest.Start(t, s, c, func(sp *storage.Spec) { sp.Preallocate, sp.Skip = true, []bool{false, true} })
	blocks := func(i int) int64 {
		fi, err := os.Stat(o.Path(i))
		if err != nil {
			return -1
		}
		return fi.Sys().(*syscall.Stat_t).Blocks * 512
	}
	if n := blocks(0); n < 3<<20 {
		t.Errorf("%d bytes reserved", n)
	}
	if n := blocks(1); n != -1 {
		t.Errorf("%d bytes reserved of an unwanted file", n)
	}
	o.Check(o.SetSkip(1, false))
	if n := blocks(1); n < 2<<20 {
		t.Errorf("%d bytes reserved", n)
	}
	o.Fetch(o.All()...)
}

// Without it, holes take no room.
func TestSparse(t *testing.T) {
	s, _ := onDisk(t)
	o := storagetest.Start(t, s, storagetest.NewContent(storagetest.Layout(1<<20, 30<<20), 18), nil)
	o.Fetch(20)
	fi, err := os.Stat(o.Path(0))
	if err != nil || fi.Size() != 30<<20 || fi.Sys().(*syscall.Stat_t).Blocks*512 > 4<<20 {
		t.Error(fi, err)
	}
}
