//go:build linux || darwin

package storage

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// isFull reports whether an error says that a file system, or our share of it, is used up.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// freeSpace asks statfs(2). The mount point is the highest folder above dir that is on the same device.
func freeSpace(dir string) (int64, string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, dir, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	dev, ok := device(dir)
	for up := filepath.Dir(dir); ok && up != dir; up = filepath.Dir(dir) {
		if d, ok := device(up); !ok || d != dev {
			break
		}
		dir = up
	}
	return free, dir, nil
}

func device(dir string) (uint64, bool) {
	fi, err := os.Stat(dir)
	if err != nil {
		return 0, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(st.Dev), true
}

func renameBetween(from, to *os.File, base string) error {
	err := unix.Renameat(int(from.Fd()), base, int(to.Fd()), base)
	if errors.Is(err, unix.EXDEV) {
		return errCrossDevice
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(from.Name(), base), New: filepath.Join(to.Name(), base), Err: err}
	}
	return nil
}

func syncFolder(f *os.File) error { return f.Sync() }

func setSparse(*os.File) {} // files are
