package netx

import "golang.org/x/sys/windows"

// Options of Windows' sockets (ws2ipdef.h).
const (
	ipDontFragment = 14
	ipv6DontFrag   = 14
)

// setDontFragment sets the option of the socket's family; the other's fails.
func setDontFragment(fd uintptr, value int) error {
	err := windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, value)
	if err6 := windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6DontFrag, value); err6 == nil {
		return nil
	}
	return err
}
