//go:build !linux

package netx

import (
	"errors"
	"net"
	"syscall"
)

const canShare = false

func share(syscall.RawConn) error { return errors.ErrUnsupported }

func batches(u *net.UDPConn) net.PacketConn { return u }

// dontFragment says whether routers may cut what a socket sends.
func dontFragment(c syscall.Conn, on bool) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	value := 0
	if on {
		value = 1
	}
	if e := raw.Control(func(fd uintptr) { err = setDontFragment(fd, value) }); e != nil {
		return e
	}
	return err
}
