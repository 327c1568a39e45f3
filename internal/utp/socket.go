// Package utp is the micro transport protocol (BEP 29): reliable streams over UDP that yield to everything else on a line, by
// LEDBAT (RFC 6817, and LEDBAT++).
//
// A connection is a pure state machine (machine.go): it is given packets, times and bytes, and says what to send. A Socket has
// many, gives each what the owner of a UDP socket receives (netx.Mux), and sends what they want, many datagrams at a time:
//
//	mux's reader → Receive → machine.receive ─┐
//	Conn.Write, Conn.Read ────────────────────┼→ machine.send → Config.Write
//	one goroutine for all times → expire ─────┘
//
// An idle connection has no goroutine, no timer of its own and no buffer.
package utp

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"shoal/internal/netx"
)

// Config says how a Socket talks.
type Config struct {
	// Write sends datagrams, as netx.PacketConn.WritePackets does. It is called by many goroutines, and may wait.
	Write func([]netx.Packet) (int, error)
	// Local is the address of the UDP socket.
	Local net.Addr
	// MaxConns bounds the connections that others make to us; 0 is 4,096. Beyond it they are not answered.
	MaxConns int
	// MaxHeld is how many bytes all connections together hold for their readers, roughly; 0 is 128 MiB. Beyond it each is given 32 KiB.
	MaxHeld int64
	// MaxDatagram bounds the datagrams that are sent and read, in bytes; 0 is 65,000. Paths are probed for how much of it they carry.
	MaxDatagram int
}

const (
	defaultConns = 4096
	defaultHeld  = 128 << 20
	backlog      = 256 // connections that wait for Accept
)

// Socket makes and accepts connections over one UDP socket, which somebody else reads. It is a net.Listener.
type Socket struct {
	cfg    Config
	epoch  time.Time
	timers timers
	stop   chan struct{}
	runner sync.WaitGroup
	held   atomic.Int64 // bytes that connections hold for their readers

	mu       sync.Mutex
	conns    map[key]*Conn
	half     half
	accepted int // of the connections
	resets   allowance
	queue    []*Conn // to accept
	some     sync.Cond
	gone     sync.Cond // a connection was removed
	closing  bool
	closed   bool

	touched []*Conn // by the current call of Receive
}

// key is what a packet names its connection by: who sent it, and the receiver's identifier.
type key struct {
	addr netip.AddrPort
	id   uint16
}

// New returns a socket. Whoever reads the UDP socket has to call Receive; Close ends it.
func New(cfg Config) *Socket {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = defaultConns
	}
	if cfg.MaxHeld == 0 {
		cfg.MaxHeld = defaultHeld
	}
	if cfg.MaxDatagram == 0 || cfg.MaxDatagram > maxDatagram {
		cfg.MaxDatagram = maxDatagram
	}
	s := &Socket{cfg: cfg, epoch: time.Now().Add(-time.Second), conns: map[key]*Conn{}, stop: make(chan struct{})}
	s.timers.wake = make(chan struct{}, 1)
	s.some.L, s.gone.L = &s.mu, &s.mu
	s.runner.Go(s.run)
	return s
}

// now is the time since a second before the socket was made: it is never 0.
func (s *Socket) now() time.Duration { return time.Since(s.epoch) }

// Receive takes datagrams for which Match is true. One goroutine at a time may call it, and it may wait for Config.Write.
func (s *Socket) Receive(packets []netx.Packet) {
	now := s.now()
	for i := range packets {
		s.receive(now, &packets[i])
	}
	for i, c := range s.touched {
		c.mu.Lock()
		c.touched = false
		c.push() // it unlocks
		s.touched[i] = nil
	}
	s.touched = s.touched[:0]
}

// receive gives the datagrams of one sender to their connections. The lock of one is kept while they are all its own.
func (s *Socket) receive(now time.Duration, datagrams *netx.Packet) {
	var conn *Conn
	var id uint16
	var p packet
	for d := range datagrams.Datagrams {
		if !parse(d, &p) {
			continue
		}
		p.waited = datagrams.Waited
		if conn == nil || p.id != id || p.kind == kindSyn || p.kind == kindReset {
			if conn != nil {
				conn.mu.Unlock()
			}
			if conn, id = s.find(now, datagrams.Addr, &p), p.id; conn == nil {
				continue
			}
			conn.mu.Lock()
			if !conn.touched {
				conn.touched = true
				conn.m.tight = s.held.Load() > s.cfg.MaxHeld
				s.touched = append(s.touched, conn)
			}
		}
		if conn.m.receive(now, &p) {
			conn.cond.Broadcast()
		}
	}
	if conn != nil {
		conn.mu.Unlock()
	}
}

// find returns the connection that a packet is for. If there is none it makes one, or answers.
func (s *Socket) find(now time.Duration, from netip.AddrPort, p *packet) *Conn {
	s.mu.Lock()
	var reply *packet
	c := s.lookup(from, p)
	switch {
	case c != nil || s.closing:
	case p.kind == kindSyn:
		reply = s.half.knock(now, key{from, p.id + 1}, p, s.accepted < s.cfg.MaxConns)
	case p.kind == kindReset:
		s.half.drop(key{from, p.id + 1})
	default:
		if c = s.confirm(now, from, p); c == nil && s.resets.take(now) {
			reply = &packet{header: header{kind: kindReset, id: p.id, time: max(1, micros(now)), seq: uint16(now), ack: p.seq}}
		}
	}
	s.mu.Unlock()
	if reply != nil {
		s.reply(from, reply)
	}
	return c
}

// lookup returns a connection that there is. A SYN has the identifier before ours, and a reset may have the other end's.
func (s *Socket) lookup(from netip.AddrPort, p *packet) *Conn {
	switch p.kind {
	case kindSyn:
		return s.conns[key{from, p.id + 1}]
	case kindReset:
		for _, id := range []uint16{p.id, p.id + 1, p.id - 1} {
			if c := s.conns[key{from, id}]; c != nil && (c.m.recvID == p.id || c.m.sendID == p.id) {
				return c
			}
		}
		return nil
	}
	return s.conns[key{from, p.id}]
}

// confirm makes a connection of one that was answered, now that its other end has shown to be where it says.
func (s *Socket) confirm(now time.Duration, from netip.AddrPort, p *packet) *Conn {
	k := key{from, p.id}
	h, ok := s.half.confirm(k, p)
	if !ok || s.accepted >= s.cfg.MaxConns || len(s.queue) >= backlog {
		return nil
	}
	m := answer(now, h.id, h.synSeq, h.seq, s.cfg.MaxDatagram)
	m.path.peer = h.largest
	m.trip.add(now - h.at)
	c := s.add(from, m)
	c.accepted = true
	s.accepted++
	s.queue = append(s.queue, c)
	s.some.Signal()
	return c
}

// add makes a connection of a machine.
func (s *Socket) add(to netip.AddrPort, m *machine) *Conn {
	c := &Conn{socket: s, remote: to, m: m, wakes: never}
	c.cond.L = &c.mu
	s.conns[key{to, m.recvID}] = c
	return c
}

// remove forgets a connection that is dead.
func (s *Socket) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{c.remote, c.m.recvID}
	if s.conns[k] != c {
		return
	}
	delete(s.conns, k)
	if c.accepted {
		s.accepted--
	}
	if len(s.conns) == 0 {
		s.gone.Broadcast()
	}
}

// reply sends a packet that is of no connection.
func (s *Socket) reply(to netip.AddrPort, p *packet) {
	o := newOutput(to)
	ext, n := byte(extEnd), headerLen
	if p.largest > 0 {
		ext, n = extBits, n+2+bitsLen
	}
	b := o.add(n, false)
	p.put(b, ext)
	if p.largest > 0 {
		putLargest(b[headerLen:], extEnd, s.cfg.MaxDatagram)
	}
	s.write(o)
}

// write sends what an output holds. A datagram that cannot be sent is lost, as others are on their way.
func (s *Socket) write(o *output) {
	for p := o.packets; len(p) > 0; {
		n, err := s.cfg.Write(p)
		if err == nil {
			break
		}
		p = p[min(n+1, len(p)):]
	}
	o.free()
}

// Dial connects. It gives up when ctx ends, when the other end refuses, or after half a minute without an answer.
func (s *Socket) Dial(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	fail := func(err error) (*Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "utp", Addr: net.UDPAddrFromAddrPort(to), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	c, err := s.connect(to)
	if err != nil {
		return fail(err)
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	err = c.connected()
	if !stop() && err == nil || ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	if err != nil {
		c.Close()
		return fail(err)
	}
	return c, nil
}

// connect makes a connection that has begun to knock.
func (s *Socket) connect(to netip.AddrPort) (*Conn, error) {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil, net.ErrClosed
	}
	var c *Conn
	for range 100 {
		id := random()
		if s.conns[key{to, id}] == nil && s.conns[key{to, id + 1}] == nil {
			c = s.add(to, dial(s.now(), id, random(), s.cfg.MaxDatagram))
			break
		}
	}
	s.mu.Unlock()
	if c == nil {
		return nil, syscall.EADDRNOTAVAIL
	}
	c.mu.Lock()
	c.push()
	return c, nil
}

// random returns a number that nobody can guess.
func random() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	return be.Uint16(b[:])
}

// Accept implements net.Listener: it waits for a connection that somebody has made to us.
func (s *Socket) Accept() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && !s.closing {
		s.some.Wait()
	}
	if s.closing {
		return nil, &net.OpError{Op: "accept", Net: "utp", Addr: s.cfg.Local, Err: net.ErrClosed}
	}
	c := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	return c, nil
}

// Addr implements net.Listener.
func (s *Socket) Addr() net.Addr { return s.cfg.Local }

// closeTime is how long Close waits for what closed connections still have to send.
const closeTime = 2 * time.Second

// Close ends the socket. Connections that were not closed are reset; those that were have two seconds to send the rest, for which
// somebody still has to call Receive.
func (s *Socket) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return &net.OpError{Op: "close", Net: "utp", Addr: s.cfg.Local, Err: net.ErrClosed}
	}
	s.closing = true
	s.queue = nil
	conns := make([]*Conn, 0, len(s.conns))
	for _, c := range s.conns {
		conns = append(conns, c)
	}
	s.some.Broadcast()
	s.mu.Unlock()
	for _, c := range conns {
		c.abort(false)
	}
	late := time.AfterFunc(closeTime, func() {
		for _, c := range conns {
			c.abort(true)
		}
	})
	s.mu.Lock()
	for len(s.conns) > 0 {
		s.gone.Wait()
	}
	s.closed = true
	s.mu.Unlock()
	late.Stop()
	close(s.stop)
	s.runner.Wait()
	return nil
}

// allowance lets a hundred a second pass.
type allowance struct {
	left int
	at   time.Duration
}

func (a *allowance) take(now time.Duration) bool {
	if now-a.at >= time.Second {
		a.left, a.at = 100, now
	}
	a.left--
	return a.left >= 0
}
