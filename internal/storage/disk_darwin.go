package storage

import "golang.org/x/sys/unix"

func (f *osFile) writeAll(bufs [][]byte, off int64) error { return writeEach(f, bufs, off) }

// allocate does nothing: macOS has no fallocate, so files stay sparse.
func allocate(*osFile, int64) error { return nil }

func bootID() string {
	id, _ := unix.Sysctl("kern.bootsessionuuid")
	return id
}
