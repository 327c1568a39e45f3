package netx

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"shoal/internal/vectored"
)

// stream is a TCP connection that also reads into several buffers with one system call. All else is the system's: it writes
// net.Buffers with writev.
type stream struct {
	*net.TCPConn
	vector *vectorRead // nil until first used: most connections are idle
}

// vectorRead is a call of ReadVector, kept between calls so that none allocates.
type vectorRead struct {
	raw  syscall.RawConn
	try  func(fd uintptr) bool
	bufs [][]byte
	n    int
	err  error
}

// asStream gives a TCP connection its ReadVector.
func asStream(c net.Conn) net.Conn {
	if t, ok := c.(*net.TCPConn); ok {
		return &stream{TCPConn: t}
	}
	return c
}

// ReadVector fills buffers, of which the first vectored.Max must have room, in order with what has arrived. It returns how many
// bytes that was: 0 without an error if nothing has, for it does not wait. One goroutine at a time may call it.
func (s *stream) ReadVector(bufs [][]byte) (int, error) {
	v := s.vector
	if v == nil {
		raw, err := s.SyscallConn()
		if err != nil {
			return 0, err
		}
		v = &vectorRead{raw: raw}
		v.try = v.read
		s.vector = v
	}
	v.bufs, v.n = bufs, 0
	err := v.raw.Read(v.try)
	v.bufs = nil
	if err == nil && v.err != nil {
		if errors.Is(v.err, io.EOF) {
			return 0, io.EOF
		}
		err = &net.OpError{Op: "read", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: v.err}
	}
	return v.n, err
}

// Wait returns when something can be read, or the connection has failed or is closed. It needs less stack than a Read: a goroutine
// that only waits has a small one.
func (s *stream) Wait() {
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	waited := false
	_ = raw.Read(func(fd uintptr) bool { // an error comes back with the next Read
		if waited {
			return true
		}
		waited = true
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil
	})
}

// read is called with the descriptor. It never asks to be called again.
func (v *vectorRead) read(fd uintptr) bool {
	n, err := vectored.Read(fd, v.bufs)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		v.err = nil
	case err != nil:
		v.err = os.NewSyscallError("readv", err)
	case n == 0:
		v.err = io.EOF
	default:
		v.n, v.err = n, nil
	}
	return true
}
