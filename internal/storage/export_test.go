package storage

import (
	"sync/atomic"

	"shoal/internal/block"
)

// Faults makes a disk behave as disks do at their worst.
type Faults struct {
	Far     atomic.Bool            // every move needs a copy
	Boot    atomic.Pointer[string] // boot id, if set
	BadSync atomic.Pointer[error]  // what syncs of content fail with
	Opened  func(path string)      // told of each file that is opened
}

type faultyDisk struct {
	osDisk
	f *Faults
}

type faultyFolder struct {
	osFolder
	f *Faults
}

type faultyFile struct {
	*osFile
	f *Faults
}

// NewFaulty is NewFiles on a disk with faults.
func NewFaulty(pool *block.Pool, f *Faults) Store {
	return newStore(pool, faultyDisk{osDisk{}, f}, FilesOptions{MaxOpen: 3})
}

func (d faultyDisk) open(root string, create bool) (folder, error) {
	o, err := d.osDisk.open(root, create)
	if err != nil {
		return nil, err
	}
	return faultyFolder{o.(osFolder), d.f}, nil
}

func (d faultyDisk) move(from, to folder, path string) error {
	if d.f.Far.Load() {
		return errCrossDevice
	}
	return d.osDisk.move(from.(faultyFolder).osFolder, to.(faultyFolder).osFolder, path)
}

func (d faultyDisk) bootID() string {
	if b := d.f.Boot.Load(); b != nil {
		return *b
	}
	return d.osDisk.bootID()
}

func (d faultyFolder) openFile(path string, mode openMode) (file, error) {
	if d.f.Opened != nil {
		d.f.Opened(path)
	}
	o, err := d.osFolder.openFile(path, mode)
	if err != nil {
		return nil, err
	}
	return faultyFile{o.(*osFile), d.f}, nil
}

func (f faultyFile) sync() error {
	if err := f.f.BadSync.Load(); err != nil {
		return *err
	}
	return f.osFile.sync()
}

// OpenFiles returns how many files a store keeps open.
func OpenFiles(s Store) int {
	c := s.(*store).files
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.m)
}

// Closing reports whether a content is being closed.
func Closing(h Handle) bool { return h.(*handle).stopping() }
