//go:build unix

package doctor

import "syscall"

func fileLimits() (soft, hard uint64, err error) {
	var l syscall.Rlimit
	err = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	return uint64(l.Cur), uint64(l.Max), err
}

func raiseFiles(to uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	setLimit(&l.Cur, to)
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
}

// setLimit is for systems that differ in the sign of a limit.
func setLimit[T int64 | uint64](to *T, n uint64) { *to = T(n) }
