package netx

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Options say how a Host uses the system.
type Options struct {
	// Bind is the one local address to dial from and to listen on; the zero Addr leaves the choice to the system. What
	// cannot be reached from it fails. It does not govern how names are resolved: the system's resolver sends its
	// queries as the system is set up to.
	Bind netip.Addr
}

// Host is the machine's own network. It is safe for concurrent use.
//
// It keeps Go's defaults: TCP_NODELAY, racing of IPv6 and IPv4 (RFC 8305), and listening on both families at once where
// no address is named. It turns TCP keep-alive off: every protocol that we speak has its own timers, and a probe each
// 15 s would wake 10,000 idle peers for nothing.
type Host struct {
	bind   netip.Addr
	dialer net.Dialer
	listen net.ListenConfig
}

// dialTimeout bounds a Dial whose context does not. Systems give up by themselves only after about two minutes.
const dialTimeout = 30 * time.Second

// NewHost returns the machine's own network.
func NewHost(o Options) *Host {
	return &Host{
		bind:   o.Bind.Unmap(),
		dialer: net.Dialer{Timeout: dialTimeout, KeepAlive: -1},
		listen: net.ListenConfig{KeepAlive: -1},
	}
}

// Dial implements Network.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := h.dialer
	if h.bind.IsValid() {
		local := netip.AddrPortFrom(h.bind, 0)
		switch network {
		case "tcp", "tcp4", "tcp6":
			d.LocalAddr = net.TCPAddrFromAddrPort(local)
		case "udp", "udp4", "udp6":
			d.LocalAddr = net.UDPAddrFromAddrPort(local)
		default:
			return nil, net.UnknownNetworkError(network)
		}
	}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return asStream(c), nil
}

// Listen implements Network.
func (h *Host) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	addr, err := h.local(addr)
	if err != nil {
		return nil, err
	}
	l, err := h.listen.Listen(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return listener{l}, nil
}

// listener accepts streams.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return asStream(c), nil
}

// ListenPacket implements Network. On Linux the connection is a PacketConn.
func (h *Host) ListenPacket(ctx context.Context, network, addr string) (net.PacketConn, error) {
	return h.listenPacket(ctx, h.listen, network, addr)
}

// local puts the bound address into addr in place of none or the unspecified one. Any other address is refused.
func (h *Host) local(addr string) (string, error) {
	if !h.bind.IsValid() {
		return addr, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if host != "" {
		if a, err := netip.ParseAddr(host); err != nil || a.Unmap() != h.bind && !a.IsUnspecified() {
			return "", fmt.Errorf("listen on %s: this network is bound to %s", addr, h.bind)
		}
	}
	return net.JoinHostPort(h.bind.String(), port), nil
}

// Resolve implements Network. IPv4 addresses are returned as such, never mapped into IPv6.
func (h *Host) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}
