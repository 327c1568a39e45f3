package tracker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// memNet is a network in memory: one machine of ours, and trackers at any addresses.
type memNet struct {
	names map[string][]netip.Addr

	mu     sync.Mutex
	tcp    map[netip.AddrPort]*memListener
	udp    map[netip.AddrPort]*memPacketConn
	silent map[netip.AddrPort]bool // connecting there never ends
	next   uint16
	twice  bool // two packet sockets of ours of one family were open at once
}

var (
	ours4 = netip.MustParseAddr("10.0.0.1")
	ours6 = netip.MustParseAddr("fd00::1")
)

func newMemNet() *memNet {
	return &memNet{
		names: map[string][]netip.Addr{}, tcp: map[netip.AddrPort]*memListener{}, udp: map[netip.AddrPort]*memPacketConn{},
		silent: map[netip.AddrPort]bool{}, next: 40000,
	}
}

func (n *memNet) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if addrs, ok := n.names[host]; ok {
		return addrs, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (n *memNet) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: network, Err: err} }
	host, port, _ := net.SplitHostPort(addr)
	p, _ := strconv.Atoi(port)
	addrs, err := n.Resolve(ctx, host)
	if err != nil {
		return fail(err)
	}
	for _, a := range addrs {
		if network == "tcp4" && !a.Is4() || network == "tcp6" && !a.Is6() {
			continue
		}
		to := netip.AddrPortFrom(a, uint16(p))
		n.mu.Lock()
		l, silent := n.tcp[to], n.silent[to]
		n.mu.Unlock()
		if silent {
			<-ctx.Done()
			return fail(ctx.Err())
		}
		if l != nil {
			from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(ours4, 50000))
			if a.Is6() {
				from = net.TCPAddrFromAddrPort(netip.AddrPortFrom(ours6, 50000))
			}
			c, s := net.Pipe()
			l.conns <- memConn{s, from}
			return c, nil
		}
	}
	return fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
}

func (n *memNet) Listen(context.Context, string, string) (net.Listener, error) {
	panic("an announcer listens for nothing")
}

func (n *memNet) ListenPacket(_ context.Context, network, _ string) (net.PacketConn, error) {
	ip := ours4
	if network == "udp6" {
		ip = ours6
	}
	n.mu.Lock()
	for at := range n.udp {
		n.twice = n.twice || at.Addr() == ip
	}
	n.next++
	at := netip.AddrPortFrom(ip, n.next)
	n.mu.Unlock()
	return n.packets(at), nil
}

// packets opens a packet socket at an address.
func (n *memNet) packets(at netip.AddrPort) *memPacketConn {
	c := &memPacketConn{n: n, at: at, in: make(chan memPacket, 1000), done: make(chan struct{})}
	n.mu.Lock()
	n.udp[at] = c
	n.mu.Unlock()
	return c
}

// open returns how many packet sockets are open.
func (n *memNet) open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.udp)
}

// serveHTTP runs an HTTP tracker at an address until the test ends.
func (n *memNet) serveHTTP(t *testing.T, addr string, h http.HandlerFunc) {
	at := netip.MustParseAddrPort(addr)
	l := &memListener{make(chan net.Conn, 100), make(chan struct{}), at}
	n.mu.Lock()
	n.tcp[at] = l
	n.mu.Unlock()
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

type memConn struct {
	net.Conn
	from net.Addr
}

func (c memConn) RemoteAddr() net.Addr { return c.from }

type memListener struct {
	conns chan net.Conn
	done  chan struct{}
	at    netip.AddrPort
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	close(l.done)
	return nil
}

func (l *memListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

type memPacket struct {
	from netip.AddrPort
	b    []byte
}

type memPacketConn struct {
	n    *memNet
	at   netip.AddrPort
	in   chan memPacket
	done chan struct{}
}

func (c *memPacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.in:
		return copy(b, p.b), net.UDPAddrFromAddrPort(p.from), nil
	case <-c.done:
		return 0, nil, net.ErrClosed
	}
}

func (c *memPacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.n.mu.Lock()
	peer := c.n.udp[addrPort(to)]
	c.n.mu.Unlock()
	if peer != nil {
		peer.in <- memPacket{c.at, append([]byte(nil), b...)}
	}
	return len(b), nil
}

func (c *memPacketConn) Close() error {
	c.n.mu.Lock()
	delete(c.n.udp, c.at)
	c.n.mu.Unlock()
	close(c.done)
	return nil
}

func (c *memPacketConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(c.at) }
func (c *memPacketConn) SetDeadline(time.Time) error      { return fmt.Errorf("not used") }
func (c *memPacketConn) SetReadDeadline(time.Time) error  { return fmt.Errorf("not used") }
func (c *memPacketConn) SetWriteDeadline(time.Time) error { return fmt.Errorf("not used") }
