package netx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"
)

// Unix is the way to one socket file of this machine, whatever address is asked for.
type Unix struct{ path string }

// NewUnix returns the way to a socket file. HTTPClient takes it as any other Network.
func NewUnix(path string) *Unix { return &Unix{path} }

// Dial connects to the socket file. An error wraps fs.ErrNotExist, or a refusal, when nobody listens.
func (u *Unix) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", u.path)
}

// Listen makes the socket file, which its owner alone may use, and listens. A file that a process left behind when it was killed is replaced; one
// that somebody listens at is not. Closing the listener removes the file.
func (u *Unix) Listen(ctx context.Context, _, _ string) (net.Listener, error) {
	switch info, err := os.Lstat(u.path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there already and is not a socket", u.path)
	default:
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		c, err := u.Dial(ctx, "", "")
		cancel()
		if err == nil {
			c.Close()
			return nil, fmt.Errorf("another process listens at %s", u.path)
		}
		if err := os.Remove(u.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", u.path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(u.path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// ListenPacket fails with ErrNoPackets.
func (u *Unix) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, ErrNoPackets
}

// Resolve fails with ErrNoResolve.
func (u *Unix) Resolve(context.Context, string) ([]netip.Addr, error) { return nil, ErrNoResolve }

// Traits tells TraitsOf.
func (u *Unix) Traits() Traits { return Traits{Listens: true} }
