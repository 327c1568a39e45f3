package netx

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

const (
	bindSupported    = true
	bindFiltersInput = false // what comes in by other interfaces is not ruled out: localOf and Dial see to it
)

// bindToDevice makes a socket use one interface only (IP_BOUND_IF, IPV6_BOUND_IF: ip(4), ip6(4)).
func bindToDevice(fd uintptr, network, name string) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	if i.Flags&net.FlagUp == 0 {
		return errDeviceDown
	}
	if network[len(network)-1] == '6' {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_BOUND_IF, i.Index))
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BOUND_IF, i.Index))
}
