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

// Socket is the way to one Unix socket file of this machine, whatever address is asked for. netx.HTTPClient takes it as any other network.
type Socket string

var _ netx.Network = Socket("")

// Dial connects to the socket file. An error wraps fs.ErrNotExist, or a refusal, when nobody listens.
func (s Socket) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", string(s))
}

// Listen makes the socket file, which its owner alone may use, and its folder, and listens. A file that a process left behind when it was killed is
// replaced; one that somebody listens at is not. Closing the listener removes the file.
func (s Socket) Listen(ctx context.Context, _, _ string) (net.Listener, error) {
	path := string(s)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there already and is not a socket: move it away", path)
	default:
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		c, err := s.Dial(ctx, "", "")
		cancel()
		if err == nil {
			c.Close()
			return nil, fmt.Errorf("another process listens at %s", path)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// ListenPacket implements netx.Network: it fails.
func (s Socket) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, netx.ErrNoPackets
}

// Resolve implements netx.Network: it fails.
func (s Socket) Resolve(context.Context, string) ([]netip.Addr, error) {
	return nil, netx.ErrNoResolve
}

// Traits tells netx.TraitsOf.
func (s Socket) Traits() netx.Traits { return netx.Traits{Listens: true} }
