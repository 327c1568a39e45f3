package sockets

import (
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// List returns the Internet sockets that this process has open, whoever has opened them, as the kernel knows them: what shows whether
// one goes round a route. A socket that is opened or closed meanwhile may be missing.
func List() ([]Socket, error) {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var all []Socket
	for _, f := range files {
		link, err := os.Readlink("/proc/self/fd/" + f.Name())
		if err != nil || !strings.HasPrefix(link, "socket:") {
			continue
		}
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		if s, ok := socketOf(fd); ok {
			all = append(all, s)
		}
	}
	return all, nil
}

func socketOf(fd int) (s Socket, ok bool) {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_INET && domain != unix.AF_INET6 {
		return s, false
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return s, false
	}
	s.Network = "udp"
	if kind == unix.SOCK_STREAM {
		s.Network = "tcp"
		listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		s.Listening = err == nil && listening != 0
	}
	if s.Device, err = unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE); err != nil {
		return s, false
	}
	s.Device = strings.TrimRight(s.Device, "\x00")
	if a, err := unix.Getsockname(fd); err == nil {
		s.Local = addrPortOf(a)
	}
	if a, err := unix.Getpeername(fd); err == nil {
		s.Remote = addrPortOf(a)
	}
	s.ReadBuffer, s.WriteBuffer = bufferSize(fd, unix.SO_RCVBUF), bufferSize(fd, unix.SO_SNDBUF)
	return s, s.Local.IsValid()
}

// bufferSize returns half of what the kernel says: it doubles what it is asked for, and counts its own overhead.
func bufferSize(fd, option int) int {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
	if err != nil {
		return 0
	}
	return n / 2
}

func addrPortOf(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
