package vectored

import (
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// vector is what the system calls take. It has pointers, so what it points to stays where it is while it is in use.
type vector [Max]syscall.Iovec

var vectors = sync.Pool{New: func() any { return new(vector) }}

// Read fills buffers in order from a descriptor and returns how many bytes it read: 0 at the end. It looks at the first Max
// buffers only. The error is a syscall.Errno: EAGAIN if the descriptor does not block and nothing is there.
func Read(fd uintptr, bufs [][]byte) (int, error) {
	return call(syscall.SYS_READV, fd, bufs, 0, 0)
}

// WriteAt writes buffers one after the other from off on and returns how many bytes were written, which may be fewer than
// there are. It looks at the first Max buffers only. The error is a syscall.Errno.
func WriteAt(fd uintptr, bufs [][]byte, off int64) (int, error) {
	low, high := halves(off)
	return call(syscall.SYS_PWRITEV, fd, bufs, low, high)
}

// halves splits an offset as the kernel joins it: into words. Where a word holds all of it, the upper one is 0.
func halves(off int64) (low, high uintptr) {
	const bits = 8 * unsafe.Sizeof(low)
	return uintptr(off), uintptr(uint64(off) >> (bits - 1) >> 1)
}

func call(trap, fd uintptr, bufs [][]byte, low, high uintptr) (int, error) {
	v := vectors.Get().(*vector)
	k := 0
	for _, b := range bufs[:min(len(bufs), Max)] {
		if len(b) > 0 {
			v[k].Base = unsafe.SliceData(b)
			v[k].SetLen(len(b))
			k++
		}
	}
	var n uintptr
	errno := syscall.EINTR
	for errno == syscall.EINTR {
		n, _, errno = syscall.Syscall6(trap, fd, uintptr(unsafe.Pointer(v)), uintptr(k), low, high, 0)
	}
	runtime.KeepAlive(bufs)
	clear(v[:k])
	vectors.Put(v)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
