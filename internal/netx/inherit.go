package netx

import (
	"net"
	"os"
)

// Inherit makes a listener of a socket that the process was started with, such as one that systemd has opened for it. The descriptor is the
// listener's from then on, or closed if there is an error.
func Inherit(fd uintptr, name string) (net.Listener, error) {
	f := os.NewFile(fd, name)
	if f == nil {
		return nil, &os.PathError{Op: "inherit", Path: name, Err: os.ErrInvalid}
	}
	defer f.Close() // the listener has a copy, which programs that we start do not get
	return net.FileListener(f)
}

// SendDatagram sends one datagram to a Unix socket of this machine. A path that begins with "@" is in Linux' abstract namespace.
func SendDatagram(path string, payload []byte) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write(payload)
	return err
}
