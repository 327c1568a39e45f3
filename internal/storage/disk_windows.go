package storage

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

func (f *osFile) writeAll(bufs [][]byte, off int64) error { return writeEach(f, bufs, off) }

// allocate does nothing: SetEndOfFile reserves the blocks of every file that is not sparse.
func allocate(*osFile, int64) error { return nil }

// bootID is unknown, so that only synced pieces and clean closes are trusted.
func bootID() string { return "" }

// isFull reports whether an error says that a volume, or our share of it, is used up.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func freeSpace(dir string) (int64, string, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, dir, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, dir, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: dir, Err: err}
	}
	return int64(min(free, 1<<63-1)), filepath.VolumeName(dir) + `\`, nil
}

func renameBetween(from, to *os.File, base string) error {
	err := os.Rename(filepath.Join(from.Name(), base), filepath.Join(to.Name(), base))
	if errors.Is(err, windows.ERROR_NOT_SAME_DEVICE) {
		return errCrossDevice
	}
	return err
}

// syncFolder does nothing: NTFS journals names itself.
func syncFolder(*os.File) error { return nil }

// setSparse keeps a file with holes from taking up its whole length; failing that, it takes it up.
func setSparse(f *os.File) {
	var n uint32
	_ = windows.DeviceIoControl(windows.Handle(f.Fd()), windows.FSCTL_SET_SPARSE, nil, 0, nil, 0, &n, nil)
}
