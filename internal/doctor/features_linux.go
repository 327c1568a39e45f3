package doctor

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileSystems are those that behave in a way of their own, by statfs(2)'s magic number.
var fileSystems = map[int64]string{
	0x4d44: "FAT", 0x2011bab0: "exFAT", 0x6969: "NFS", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x01021994: "tmpfs (memory)", 0x65735546: "FUSE",
}

const fat = 0x4d44

// featuresOf tries what the file system can do on an empty file, within a few megabytes.
func featuresOf(f *os.File) (features, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return features{}, err
	}
	is := features{name: fileSystems[st.Type], small: st.Type == fat}
	const hole = 4 << 20
	if err := f.Truncate(hole); err != nil {
		return is, err
	}
	if _, err := f.WriteAt(make([]byte, 4096), hole-4096); err != nil {
		return is, err
	}
	if err := f.Sync(); err != nil {
		return is, err
	}
	fi, err := f.Stat()
	if err != nil {
		return is, err
	}
	if s, ok := fi.Sys().(*syscall.Stat_t); ok {
		is.sparse = s.Blocks*512 < hole/2
	}
	is.reserves = unix.Fallocate(int(f.Fd()), 0, 0, hole) == nil
	return is, nil
}

// forget has the system read the file from the disk when it is next read.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
