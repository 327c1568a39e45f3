package netx

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	bindSupported    = true
	bindFiltersInput = true // a bound socket takes only what comes in by its interface
)

// bindToDevice makes a socket use one interface only (SO_BINDTODEVICE, socket(7)). Since Linux 5.7 anybody may, once for each
// socket.
func bindToDevice(fd uintptr, _, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err // too long for a name
	}
	if err := unix.BindToDevice(int(fd), name); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.IoctlIfreq(int(fd), unix.SIOCGIFFLAGS, ifr); err != nil {
		return os.NewSyscallError("ioctl", err)
	}
	if ifr.Uint16()&unix.IFF_UP == 0 {
		return errDeviceDown
	}
	return nil
}
