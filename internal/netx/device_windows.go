package netx

import (
	"encoding/binary"
	"net"
	"os"

	"golang.org/x/sys/windows"
)

const (
	bindSupported    = true
	bindFiltersInput = false // IP_UNICAST_IF is about what goes out: localOf and Dial see to the rest
)

// unicastIf is both IP_UNICAST_IF and IPV6_UNICAST_IF of ws2ipdef.h.
const unicastIf = 31

// bindToDevice makes a socket send through one interface only (IP_UNICAST_IF, IPV6_UNICAST_IF).
func bindToDevice(fd uintptr, network, name string) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	if i.Flags&net.FlagUp == 0 {
		return errDeviceDown
	}
	if network[len(network)-1] == '6' {
		return os.NewSyscallError("setsockopt", windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, unicastIf, i.Index))
	}
	var index [4]byte // in network byte order for IPv4 alone
	binary.BigEndian.PutUint32(index[:], uint32(i.Index))
	return os.NewSyscallError("setsockopt", windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, unicastIf, int(binary.NativeEndian.Uint32(index[:]))))
}
