package simnet

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxDatagram is the longest payload of a datagram over IPv4 (RFC 768, RFC 791).
const maxDatagram = 65507

// packetConn is a UDP socket; a connected one if remote is valid. Its fields are guarded by the Net's lock.
type packetConn struct {
	host          *Host
	addr          netip.AddrPort
	remote        netip.AddrPort
	group         netip.AddrPort // that it has joined, if valid
	cond          sync.Cond
	reads, writes deadline
	rand          *rand.Rand

	queue  []datagram
	bytes  int
	flow   flow // at our uplink
	inFlow flow // at our downlink
	out    int  // bytes in our uplink
	err    error
	closed bool
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

// ListenPacket implements netx.Network. The connection also has ReadFromUDPAddrPort and WriteToUDPAddrPort.
func (h *Host) ListenPacket(ctx context.Context, network, addr string) (net.PacketConn, error) {
	fail := func(err error) (net.PacketConn, error) {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: name(addr), Err: err}
	}
	switch network {
	case "udp", "udp4", "udp6":
	default:
		return fail(net.UnknownNetworkError(network))
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	port, loopback, err := h.local(network, addr)
	if err != nil {
		return fail(err)
	}
	p, err := h.openPacket(port, loopback, netip.AddrPort{})
	if err != nil {
		return fail(err)
	}
	return p, nil
}

func (h *Host) openPacket(port uint16, loopback bool, remote netip.AddrPort) (*packetConn, error) {
	h.net.mu.Lock()
	defer h.net.unlock()
	used := func(p uint16) bool { return h.packets[p] != nil }
	if port == 0 {
		var err error
		if port, err = h.freePort(used); err != nil {
			return nil, err
		}
	} else if used(port) {
		return nil, syscall.EADDRINUSE
	}
	addr := netip.AddrPortFrom(h.addr, port)
	if loopback {
		addr = netip.AddrPortFrom(h.loopback(), port)
	}
	p := h.newPacketConn(addr, remote)
	h.packets[port] = p
	return p, nil
}

func (h *Host) newPacketConn(addr, remote netip.AddrPort) *packetConn {
	p := &packetConn{host: h, addr: addr, remote: remote, rand: h.net.random(addr, remote)}
	p.cond.L = locker{h.net}
	p.reads.wake, p.writes.wake = p.cond.Broadcast, p.cond.Broadcast
	return p
}

func (p *packetConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: p.LocalAddr(), Err: err}
}

// ReadFromUDPAddrPort waits for a datagram. What does not fit into b is lost.
func (p *packetConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	p.host.net.mu.Lock()
	defer p.host.net.unlock()
	for {
		switch {
		case p.closed:
			return 0, netip.AddrPort{}, p.opError("read", net.ErrClosed)
		case p.reads.passed:
			return 0, netip.AddrPort{}, p.opError("read", os.ErrDeadlineExceeded)
		case p.err != nil:
			err := p.err
			p.err = nil
			return 0, netip.AddrPort{}, p.opError("read", err)
		case len(p.queue) > 0:
			d := p.queue[0]
			p.queue[0] = datagram{}
			p.queue = p.queue[1:]
			p.bytes -= len(d.data) + udpHeader
			return copy(b, d.data), d.from, nil
		}
		p.cond.Wait()
	}
}

// WriteToUDPAddrPort sends a datagram. It waits while the host's uplink is busy with many others of this socket.
func (p *packetConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap().WithZone(""), to.Port())
	if len(b) > maxDatagram {
		return 0, p.opError("write", os.NewSyscallError("sendto", syscall.EMSGSIZE))
	}
	p.host.net.mu.Lock()
	defer p.host.net.unlock()
	for {
		switch {
		case p.closed:
			return 0, p.opError("write", net.ErrClosed)
		case p.writes.passed:
			return 0, p.opError("write", os.ErrDeadlineExceeded)
		case p.err != nil:
			err := p.err
			p.err = nil
			return 0, p.opError("write", err)
		case to.Addr().Is4() != p.addr.Addr().Is4():
			return 0, p.opError("write", os.NewSyscallError("sendto", syscall.ENETUNREACH))
		}
		if p.out < sockQueue {
			p.send(append([]byte(nil), b...), to)
			return len(b), nil
		}
		p.cond.Wait()
	}
}

func (p *packetConn) send(b []byte, to netip.AddrPort) {
	if to.Addr().IsMulticast() {
		p.sendGroup(b, to)
		return
	}
	from := p.addr
	if to.Addr().IsLoopback() {
		from = netip.AddrPortFrom(to.Addr(), from.Port())
	}
	size := len(b) + udpHeader
	p.out += size
	t := &transit{sender: p, from: from, to: to, data: b}
	t.leg(p.host, &p.flow, func() {
		p.out -= size
		p.cond.Broadcast()
	})
}

// transit is a datagram on its way, which NATs rewrite.
type transit struct {
	sender   *packetConn
	from, to netip.AddrPort
	data     []byte
	delay    time.Duration // of the links behind it
}

// leg sends it from a host, or a side of a NAT, to the next on the way. left may be nil.
func (t *transit) leg(at *Host, out *flow, left func()) {
	next := at.hop(t.to.Addr())
	t.delay += at.latency(next, nil)
	at.net.send(&packet{
		size: len(t.data) + udpHeader, from: at, to: next, out: out, in: next.flowOf(t.to), rand: t.sender.rand, drop: true, left: left,
		arrive: func(bool) { t.arrive(next) },
	})
}

// flowOf returns the queue at h's downlink for what is sent to an address.
func (h *Host) flowOf(to netip.AddrPort) *flow {
	if h == nil {
		return &flow{} // a host that is not there has no queue
	}
	if h.gate != nil {
		if m := h.gate.in[endpoint{"udp", to}]; m != nil {
			return &m.down
		}
	}
	if q := h.packets[to.Port()]; q != nil {
		return &q.inFlow
	}
	return &flow{}
}

func (t *transit) arrive(at *Host) {
	if !at.ends(t.to.Addr()) {
		next, m, from, to := at.pass("udp", t.from, t.to)
		if next != nil {
			t.from, t.to = from, to
			t.leg(next, &m.up, nil)
		}
		return
	}
	origin := t.sender.host
	if at.net.cut[[2]*Host{origin, at}] {
		return
	}
	q := at.packets[t.to.Port()]
	if q == nil || q.addr.Addr().IsLoopback() && at != origin {
		t.sender.refused(at, t.delay)
		return
	}
	q.receive(datagram{t.from, t.data})
}

// refused tells a connected socket that nobody has the port that it talks to (RFC 1122 §4.1.3.3).
func (p *packetConn) refused(by *Host, delay time.Duration) {
	if !p.remote.IsValid() {
		return
	}
	p.host.net.after(delay, func() {
		if by.reaches(p.host) && !p.closed {
			p.err = os.NewSyscallError("read", syscall.ECONNREFUSED)
			p.cond.Broadcast()
		}
	})
}

func (p *packetConn) receive(d datagram) {
	if p.remote.IsValid() && d.from != p.remote || p.bytes+len(d.data)+udpHeader > sockQueue {
		return
	}
	p.queue = append(p.queue, d)
	p.bytes += len(d.data) + udpHeader
	p.cond.Broadcast()
}

// ReadFrom implements net.PacketConn.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo implements net.PacketConn for a *net.UDPAddr.
func (p *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, p.opError("write", syscall.EINVAL)
	}
	return p.WriteToUDPAddrPort(b, a.AddrPort())
}

// Read implements net.Conn for a connected socket.
func (p *packetConn) Read(b []byte) (int, error) {
	n, _, err := p.ReadFromUDPAddrPort(b)
	return n, err
}

// Write implements net.Conn for a connected socket.
func (p *packetConn) Write(b []byte) (int, error) {
	if !p.remote.IsValid() {
		return 0, p.opError("write", syscall.EDESTADDRREQ)
	}
	return p.WriteToUDPAddrPort(b, p.remote)
}

// Close implements net.Conn and net.PacketConn. Datagrams that were written are still sent.
func (p *packetConn) Close() error {
	p.host.net.mu.Lock()
	defer p.host.net.unlock()
	if p.closed {
		return p.opError("close", net.ErrClosed)
	}
	p.close()
	return nil
}

// close is called with the lock held.
func (p *packetConn) close() {
	p.closed = true
	p.queue = nil
	if p.group.IsValid() {
		p.leaveGroup()
	} else {
		delete(p.host.packets, p.addr.Port())
	}
	p.reads.set(p.host.net, time.Time{})
	p.writes.set(p.host.net, time.Time{})
	p.cond.Broadcast()
}

// LocalAddr implements net.Conn and net.PacketConn.
func (p *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.addr) }

// RemoteAddr implements net.Conn for a connected socket.
func (p *packetConn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(p.remote) }

// SetDeadline implements net.Conn and net.PacketConn.
func (p *packetConn) SetDeadline(t time.Time) error { return p.setDeadlines(t, &p.reads, &p.writes) }

// SetReadDeadline implements net.Conn and net.PacketConn.
func (p *packetConn) SetReadDeadline(t time.Time) error { return p.setDeadlines(t, &p.reads) }

// SetWriteDeadline implements net.Conn and net.PacketConn.
func (p *packetConn) SetWriteDeadline(t time.Time) error { return p.setDeadlines(t, &p.writes) }

func (p *packetConn) setDeadlines(t time.Time, ds ...*deadline) error {
	p.host.net.mu.Lock()
	defer p.host.net.unlock()
	if p.closed {
		return p.opError("set", net.ErrClosed)
	}
	for _, d := range ds {
		d.set(p.host.net, t)
	}
	return nil
}
