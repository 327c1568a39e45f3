package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"shoal/internal/vectored"
)

func (f *osFile) writeAll(bufs [][]byte, off int64) error {
	if len(bufs) == 1 {
		_, err := f.WriteAt(bufs[0], off)
		return err
	}
	for len(bufs) > 0 {
		n, err := vectored.WriteAt(f.fd, bufs, off)
		if err != nil {
			return fmt.Errorf("write %s: %w", f.Name(), err)
		}
		if n <= 0 {
			return fmt.Errorf("write %s: %w", f.Name(), io.ErrShortWrite)
		}
		off += int64(n)
		for n > 0 || len(bufs) > 0 && len(bufs[0]) == 0 {
			k := min(n, len(bufs[0]))
			bufs[0], n = bufs[0][k:], n-k
			if len(bufs[0]) == 0 {
				bufs = bufs[1:]
			}
		}
	}
	return nil
}

// allocate uses fallocate(2); file systems without it leave the file sparse.
func allocate(f *osFile, size int64) error {
	for {
		err := unix.Fallocate(int(f.fd), 0, 0, size)
		switch {
		case err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS):
			return nil
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("allocate %d bytes for %s: %w", size, f.Name(), err)
		}
	}
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
