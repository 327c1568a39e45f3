// Package local is what a program has to do with others on its own machine: Unix sockets, and sockets that it was started with.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"shoal/internal/netx"
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

// Listen listens on a Unix socket of this machine, which only its owner may use. The folder is made if it is not there. A socket that a process
// has left behind is replaced; one that somebody listens on is not.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if fi, err := os.Lstat(path); err == nil {
		if fi.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s is there and is no socket: move it away", path)
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("somebody listens on %s already", path)
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			os.Remove(path)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Send sends one datagram to a Unix socket. A path that begins with "@" is in Linux' abstract namespace.
func Send(path string, payload []byte) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write(payload)
	return err
}

// Socket is a network that leads to one Unix socket, whatever is dialled: with netx.HTTPClient, to the server that listens there.
type Socket string

var _ netx.Network = Socket("")

// Dial implements netx.Network.
func (s Socket) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", string(s))
}

// Listen implements netx.Network: it fails.
func (s Socket) Listen(context.Context, string, string) (net.Listener, error) {
	return nil, netx.ErrNoListen
}

// ListenPacket implements netx.Network: it fails.
func (s Socket) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, netx.ErrNoPackets
}

// Resolve implements netx.Network: it fails.
func (s Socket) Resolve(context.Context, string) ([]netip.Addr, error) {
	return nil, netx.ErrNoResolve
}
