package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"shoal/internal/socks"
)

// proxy is what all routes through a proxy share: the way to it. It dials nothing but the proxy, whose own name, if it has
// one, is all that under ever resolves.
type proxy struct {
	under Network
	addr  string // host:port
}

// down says that the proxy is at fault.
func (p *proxy) down(err error) error {
	return fmt.Errorf("%w: proxy %s: %w", ErrRouteDown, p.addr, err)
}

// open connects to the proxy and has talk negotiate, all within dialTimeout and ctx. A connection of which talk reports an
// error is closed.
func (p *proxy) open(ctx context.Context, talk func(net.Conn) error) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := p.under.Dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, timely(ctx, p.down(err))
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err = talk(c)
	if !stop() && err == nil {
		err = ctx.Err() // the deadline of the past is set, or will be
	}
	if err != nil {
		c.Close()
		return nil, timely(ctx, err)
	}
	return c, nil
}

// timely says what a failure is if ctx has ended: one that was asked for is nobody's fault.
func timely(ctx context.Context, err error) error {
	switch ended := ctx.Err(); {
	case ended == nil:
		return err
	case errors.Is(ended, context.Canceled):
		return ended
	default:
		return fmt.Errorf("%w (%w)", err, ended)
	}
}

// Listen implements Network: nobody can be reached through a proxy. (BIND of RFC 1928 takes one connection from one host
// known beforehand, which is of no use to peers.)
func (p *proxy) Listen(_ context.Context, network, addr string) (net.Listener, error) {
	return nil, &net.OpError{Op: "listen", Net: network, Addr: hostPort(addr), Err: ErrNoListen}
}

// passesNames is what distinguishes the networks that give names to the far end of the route.
func (p *proxy) passesNames() {}

// parseTarget reads the address of a Dial. A family that network names binds addresses only: which one a name gets is the
// proxy's choice.
func parseTarget(network, addr string) (socks.Addr, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return socks.Addr{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return socks.Addr{}, &net.AddrError{Err: "no port from 1 to 65535", Addr: addr}
	}
	t := socks.Addr{Port: uint16(n)}
	if ip, err := netip.ParseAddr(host); err == nil {
		t.IP = ip.Unmap()
		switch {
		case ip.Zone() != "":
			return socks.Addr{}, &net.AddrError{Err: "a zone means nothing to a proxy", Addr: addr}
		case !fits(network, t.IP):
			return socks.Addr{}, &net.AddrError{Err: "not an address of " + network, Addr: addr}
		}
		return t, nil
	}
	if !passable(host) {
		return socks.Addr{}, &net.AddrError{Err: "not a host name", Addr: addr}
	}
	t.Name = host
	return t, nil
}

// fits reports whether an address is of the family that network names, if it names one.
func fits(network string, a netip.Addr) bool {
	switch network[len(network)-1] {
	case '4':
		return a.Is4()
	case '6':
		return a.Is6()
	}
	return true
}

// passable reports whether a host name may be given to a proxy: 1 to 253 printable characters of ASCII, none of which
// could end a line or a field.
func passable(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == '/' || c == '@' || c == ':' || c == '[' || c == ']' || c == '%' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= 253
}

// remoteEnd returns t as the far end of a connection.
func remoteEnd(t socks.Addr) net.Addr {
	if t.IP.IsValid() {
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(t.IP, t.Port))
	}
	return hostPort(t.String())
}

// hostPort is the address of somebody whom only the proxy can name.
type hostPort string

// Network implements net.Addr.
func (hostPort) Network() string { return "tcp" }

// String implements net.Addr.
func (h hostPort) String() string { return string(h) }

// nowhere is our own end of whatever goes through a proxy: what others see is the proxy's, which it does not tell, and what
// this machine sees is nobody's business.
var nowhere = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)

// ends are the two ends of a connection through a proxy, as our peer could know them.
type ends struct{ remote net.Addr }

// RemoteAddr returns the address that was dialled, not the proxy's.
func (e ends) RemoteAddr() net.Addr { return e.remote }

// LocalAddr returns the unspecified address.
func (e ends) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(nowhere) }

// tunnel is a connection through a proxy over TCP. It has all that Host's connections have, such as writev.
type tunnel struct {
	*plainTCP
	ends
}

// RemoteAddr implements net.Conn.
func (t *tunnel) RemoteAddr() net.Addr { return t.ends.RemoteAddr() }

// LocalAddr implements net.Conn.
func (t *tunnel) LocalAddr() net.Addr { return t.ends.LocalAddr() }

// otherTunnel is a connection through a proxy over anything else.
type otherTunnel struct {
	net.Conn
	ends
}

// RemoteAddr implements net.Conn.
func (t *otherTunnel) RemoteAddr() net.Addr { return t.ends.RemoteAddr() }

// LocalAddr implements net.Conn.
func (t *otherTunnel) LocalAddr() net.Addr { return t.ends.LocalAddr() }

// asTunnel names the far end of a connection that a proxy has made.
func asTunnel(c net.Conn, t socks.Addr) net.Conn {
	if s, ok := c.(*plainTCP); ok {
		return &tunnel{s, ends{remoteEnd(t)}}
	}
	return &otherTunnel{c, ends{remoteEnd(t)}}
}

// dialError is how a Dial through a proxy fails.
func dialError(network, addr string, err error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: hostPort(addr), Err: err}
}
