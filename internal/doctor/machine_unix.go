//go:build linux || darwin

package doctor

import "syscall"

func fileLimits() (soft, hard uint64, err error) {
	var l syscall.Rlimit
	err = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	return l.Cur, l.Max, err
}

func raiseFiles(to uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	l.Cur = to
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
}
