package netx

import "golang.org/x/sys/unix"

// setDontFragment sets the option of the socket's family; the other's fails.
func setDontFragment(fd uintptr, value int) error {
	err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, value)
	if err6 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, value); err6 == nil {
		return nil
	}
	return err
}
