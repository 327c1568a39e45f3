package netx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"shoal/internal/socks"
)

// association is a packet socket at a SOCKS5 proxy (RFC 1928 §7). It lasts as long as the TCP connection that asked for it,
// which a goroutine watches until Close or until the proxy ends it.
//
// Packets go to the relay that the proxy names, and the relay must be the proxy's own host: the unspecified address stands
// for it, and a proxy that names any other machine is taken for one without UDP. Otherwise a proxy, or who speaks in its
// place, could have us send packets past it to wherever it likes.
type association struct {
	network string   // udp, udp4 or udp6: the families it takes
	relay   net.Conn // UDP, connected: the system drops what others send
	control net.Conn
	ended   chan struct{} // closed when the watching goroutine has ended

	mu     sync.Mutex
	closed bool
	cause  error // why it is closed
}

// errProxyEnded is how reads and writes fail after the proxy has ended an association. It counts as net.ErrClosed.
var errProxyEnded = fmt.Errorf("the proxy has ended the association: %w", net.ErrClosed)

// controlKeepAlive finds out that the proxy has died, or that a NAT on the way has forgotten the connection, which would
// leave us sending into nothing. It also keeps the NAT from forgetting.
var controlKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4}

// associate asks the proxy for a relay.
func (s *socks5) associate(ctx context.Context, network string) (*association, error) {
	if s.tor {
		return nil, fmt.Errorf("%w: Tor has TCP only", ErrNoPackets)
	}
	var bound socks.Addr
	control, err := s.open(ctx, func(c net.Conn) (err error) {
		// From where our packets will come is not known yet, and may be changed by a NAT.
		bound, err = s.ask(c, cmdAssociate, socks.Addr{IP: netip.IPv4Unspecified()})
		return err
	})
	var refused socksReply
	if errors.As(err, &refused) {
		return nil, fmt.Errorf("%w: %w", ErrNoPackets, err)
	}
	if err != nil {
		return nil, err
	}
	at, err := relayOf(control, bound)
	if err != nil {
		control.Close()
		return nil, fmt.Errorf("%w: %w", ErrNoPackets, err)
	}
	relay, err := s.under.Dial(ctx, "udp", at.String())
	if err != nil {
		control.Close()
		return nil, s.down(err)
	}
	if c, ok := control.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok {
		_ = c.SetKeepAliveConfig(controlKeepAlive) // without it a dead proxy is found out later
	}
	a := &association{network: network, relay: relay, control: control, ended: make(chan struct{})}
	go a.watch()
	return a, nil
}

// relayOf returns the address of the relay, which has to be on the host that the control connection leads to.
func relayOf(control net.Conn, bound socks.Addr) (netip.AddrPort, error) {
	own, err := netip.ParseAddrPort(control.RemoteAddr().String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("the proxy has no address of its own: %w", err)
	}
	host := own.Addr().Unmap()
	switch {
	case bound.Port == 0:
		return netip.AddrPort{}, errors.New("the proxy names no port for packets")
	case bound.IP == host, bound.IP.IsUnspecified():
	case bound.IP.IsLoopback() && host.IsLoopback():
		host = bound.IP
	default:
		return netip.AddrPort{}, fmt.Errorf("the proxy wants packets sent to %s, which is not its own host %s", bound, host)
	}
	return netip.AddrPortFrom(host, bound.Port), nil
}

// watch waits for the end of the control connection. Nothing is said on it.
func (a *association) watch() {
	defer close(a.ended)
	_, _ = io.Copy(io.Discard, a.control)
	a.end(errProxyEnded)
}

// end closes both sockets and reports whether they were open.
func (a *association) end(cause error) bool {
	a.mu.Lock()
	was := a.closed
	a.closed = true
	if !was {
		a.cause = cause
	}
	a.mu.Unlock()
	if was {
		return false
	}
	a.control.Close()
	a.relay.Close()
	return true
}

// Close implements net.PacketConn. It waits for the association's goroutine.
func (a *association) Close() error {
	open := a.end(net.ErrClosed)
	<-a.ended
	if !open {
		return a.opError("close", net.ErrClosed)
	}
	return nil
}

func (a *association) opError(op string, err error) error {
	a.mu.Lock()
	if a.closed {
		err = a.cause
	}
	a.mu.Unlock()
	return &net.OpError{Op: op, Net: a.network, Err: err}
}

// packetBuffers hold packets with their headers.
var packetBuffers = sync.Pool{New: func() any { return new([65535]byte) }}

// ReadFromUDPAddrPort waits for a packet. What does not fit into b is lost. Fragments, which no client sends, are dropped
// (RFC 1928 §7), and so is what is no packet of a relay.
func (a *association) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	buf := packetBuffers.Get().(*[65535]byte)
	defer packetBuffers.Put(buf)
	room := buf[:min(len(buf), socks.MaxHeader+len(b))]
	for {
		n, err := a.relay.Read(room)
		if err != nil {
			return 0, netip.AddrPort{}, a.opError("read", err)
		}
		if from, payload, ok := socks.SplitPacket(room[:n]); ok && fits(a.network, from.Addr()) {
			return copy(b, payload), from, nil
		}
	}
}

// WriteToUDPAddrPort sends a packet. That it went to the proxy is all that its success says.
func (a *association) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	t := socks.Addr{IP: to.Addr().Unmap(), Port: to.Port()}
	if !t.IP.IsValid() || t.IP.Zone() != "" || !fits(a.network, t.IP) {
		return 0, a.opError("write", &net.AddrError{Err: "not an address of " + a.network, Addr: to.String()})
	}
	return a.send(b, t)
}

func (a *association) send(b []byte, t socks.Addr) (int, error) {
	buf := packetBuffers.Get().(*[65535]byte)
	defer packetBuffers.Put(buf)
	p := socks.AppendHeader(buf[:0], t)
	if len(p)+len(b) > len(buf) {
		return 0, a.opError("write", syscall.EMSGSIZE)
	}
	if _, err := a.relay.Write(append(p, b...)); err != nil {
		return 0, a.opError("write", err)
	}
	return len(b), nil
}

// ReadFrom implements net.PacketConn.
func (a *association) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := a.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo implements net.PacketConn for a *net.UDPAddr.
func (a *association) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, a.opError("write", syscall.EINVAL)
	}
	return a.WriteToUDPAddrPort(b, u.AddrPort())
}

// LocalAddr implements net.PacketConn: from which address others get our packets is the proxy's secret.
func (a *association) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(nowhere) }

// SetDeadline implements net.PacketConn.
func (a *association) SetDeadline(t time.Time) error { return a.relay.SetDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (a *association) SetReadDeadline(t time.Time) error { return a.relay.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn.
func (a *association) SetWriteDeadline(t time.Time) error { return a.relay.SetWriteDeadline(t) }

// packetTunnel is a connected packet socket: an association that talks to one host.
type packetTunnel struct {
	*association
	to socks.Addr

	mu   sync.Mutex
	from netip.AddrPort // whose packets are read; for a name, whose packet with the right port came first
}

func (a *association) connect(t socks.Addr) net.Conn {
	p := &packetTunnel{association: a, to: t}
	if t.IP.IsValid() {
		p.from = netip.AddrPortFrom(t.IP, t.Port)
	}
	return p
}

// Read implements net.Conn.
func (p *packetTunnel) Read(b []byte) (int, error) {
	for {
		n, from, err := p.ReadFromUDPAddrPort(b)
		if err != nil || p.expects(from) {
			return n, err
		}
	}
}

func (p *packetTunnel) expects(from netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.from.IsValid() && from.Port() == p.to.Port {
		p.from = from
	}
	return from == p.from
}

// Write implements net.Conn.
func (p *packetTunnel) Write(b []byte) (int, error) { return p.send(b, p.to) }

// RemoteAddr implements net.Conn.
func (p *packetTunnel) RemoteAddr() net.Addr {
	if p.to.IP.IsValid() {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.to.IP, p.to.Port))
	}
	return hostPort(p.to.String())
}
