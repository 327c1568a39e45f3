package simnet

import (
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	sendBuffer  = 64 << 10  // bytes that Write takes before the network does
	minWindow   = 128 << 10 // bytes on their way or unread
	maxWindow   = 32 << 20  //
	firstWindow = 10 * mtu  // congestion window of a new stream (RFC 6928)
	minTimeout  = 200 * time.Millisecond
	maxTimeout  = time.Minute
	giveUp      = 15 * time.Minute // of retransmissions, as Linux does
	resends     = 3                // of a segment that a queue drops each time, before there is a timeout (RFC 8985)
	dialTries   = 7                // of which the last waits 64 s: 127 s in all, as Linux does
)

// stream is one end of a TCP connection. Its fields are guarded by the Net's lock.
type stream struct {
	net           *Net
	host          *Host
	local, remote netip.AddrPort
	peer          *stream
	route         *route // to the peer
	rand          *rand.Rand
	cond          sync.Cond // anything that a Read or Write may wait for
	reads, writes deadline

	// Sending.
	out        []byte // not yet cut into segments
	uplinked   int    // segments in or before our uplink
	seq        int    // of the next segment
	inflight   int    // bytes sent and not acknowledged
	cwnd       int
	fast       bool          // slow start
	calm       time.Duration // no second back-off before this time,
	recovery   int           // or where a link has a Queue, for a segment before this one
	finWanted  bool
	finSent    bool
	finAcked   bool
	lingerNone bool

	// Receiving.
	in     [][]byte
	unread int
	want   int // the next segment in order
	ahead  map[int]*segmentData
	eof    bool

	dialing bool
	dialed  chan error // has room for one: how the dial ended
	err     error      // the stream is dead
	closed  bool       // by its owner
}

// segmentData is a piece of a stream.
type segmentData struct {
	seq   int
	data  []byte
	fin   bool
	first time.Duration // when it was first lost
	tries int
}

func newStream(h *Host, local, remote netip.AddrPort) *stream {
	s := &stream{net: h.net, host: h, local: local, remote: remote, rand: h.net.random(local, remote),
		cwnd: firstWindow, fast: true, ahead: map[int]*segmentData{}, dialed: make(chan error, 1)}
	s.cond.L = locker{h.net}
	s.reads.wake, s.writes.wake = s.cond.Broadcast, s.cond.Broadcast
	h.streams[tuple{local.Port(), remote}] = s
	return s
}

// rtt returns the round trip without queues.
func (s *stream) rtt() time.Duration { return 2 * s.route.latency(nil) }

// segment returns how many bytes of the stream travel as one: those of a packet where there is a queue to fill.
func (s *stream) segment() int {
	if s.route.queue() > 0 {
		return mtu - header
	}
	return segment(s.route.rate())
}

// window returns how many bytes may be on their way or unread: twice the product of bandwidth and round trip and what queues hold,
// within bounds.
func (s *stream) window() int {
	rate := s.route.rate()
	if rate == 0 {
		rate = 1 << 30
	}
	return int(min(max(2*s.rtt().Seconds()*float64(rate), minWindow)+2*float64(s.route.queue()), maxWindow))
}

// pump sends what the windows allow. No more than two segments wait in the host's own uplink: the rest stays where
// Write feels it.
func (s *stream) pump() {
	size := s.segment()
	for s.err == nil && s.uplinked < 2 && len(s.out) > 0 && s.inflight < s.cwnd && s.inflight+s.peer.unread < s.window() {
		n := min(size, len(s.out))
		seg := &segmentData{seq: s.seq, data: append([]byte(nil), s.out[:n]...)}
		s.out = s.out[n:]
		s.seq++
		s.inflight += n
		s.transmit(seg)
		s.cond.Broadcast()
	}
	if s.err == nil && s.finWanted && !s.finSent && len(s.out) == 0 {
		s.finSent = true
		s.transmit(&segmentData{seq: s.seq, fin: true})
	}
}

func (s *stream) transmit(seg *segmentData) {
	s.uplinked++
	packets := (len(seg.data) + mtu - header - 1) / (mtu - header)
	s.route.send(packet{
		size: len(seg.data) + header*max(1, packets), rand: s.rand,
		left: func() {
			s.uplinked--
			s.pump()
		},
		arrive: func(marked bool) { s.peer.receive(seg, marked) },
		lost:   func() { s.lost(seg) },
	})
}

// lost plans the retransmission of a segment: after a round trip, as duplicate acknowledgements would bring it about, and
// if that is lost too, after timeouts that double.
func (s *stream) lost(seg *segmentData) {
	if s.err != nil {
		return
	}
	now := s.net.now()
	if seg.tries == 0 {
		seg.first = now
	}
	if now-seg.first > giveUp {
		s.abort(os.NewSyscallError("write", syscall.ETIMEDOUT), false)
		return
	}
	wait := s.rtt()
	queue := s.route.queue()
	if queue > 0 {
		wait += duration(queue, s.route.rate()) // what was before it tells of the loss
	}
	if seg.tries > 0 && (queue == 0 || seg.tries > resends) || !s.route.reaches() {
		wait = min(max(minTimeout, 2*s.rtt())<<min(seg.tries, 20), maxTimeout)
		s.cwnd = 2 * mtu
	}
	seg.tries++
	if queue == 0 {
		s.backOff(0.5)
	}
	s.net.after(wait, func() {
		if s.err != nil {
			return
		}
		if queue > 0 && seg.seq >= s.recovery { // it is known only now
			s.recovery = s.seq
			s.shrink(0.5)
		}
		s.transmit(seg)
	})
}

// backOff shrinks the congestion window, at most once in a round trip.
func (s *stream) backOff(by float64) {
	if now := s.net.now(); now >= s.calm {
		s.shrink(by)
		s.calm = now + s.rtt()
	}
}

func (s *stream) shrink(by float64) {
	s.cwnd = max(2*mtu, int(float64(s.cwnd)*by))
	s.fast = false
}

// receive takes a segment off the wire.
func (s *stream) receive(seg *segmentData, marked bool) {
	if s.err != nil {
		s.sendReset()
		return
	}
	if s.closed && len(seg.data) > 0 {
		s.abort(net.ErrClosed, true) // nobody is here to read it
		return
	}
	s.unread += len(seg.data)
	s.net.after(s.route.latency(nil), func() { s.peer.acknowledged(seg, marked) })
	s.ahead[seg.seq] = seg
	for next := s.ahead[s.want]; next != nil; next = s.ahead[s.want] {
		delete(s.ahead, s.want)
		s.want++
		if next.fin {
			s.eof = true
			s.forget()
		} else {
			s.in = append(s.in, next.data)
		}
	}
	s.cond.Broadcast()
}

// acknowledged hears that a segment has arrived. The window grows by doubling each round trip in slow start, and then by
// a packet and a fiftieth.
func (s *stream) acknowledged(seg *segmentData, marked bool) {
	if s.err != nil {
		return
	}
	n := len(seg.data)
	s.inflight -= n
	switch {
	case marked:
		s.backOff(0.85)
	case s.fast:
		s.cwnd = min(s.cwnd+n, maxWindow)
	default:
		s.cwnd = min(s.cwnd+n*mtu/s.cwnd+n/50, maxWindow)
	}
	if seg.fin {
		s.finAcked = true
		s.forget()
	}
	s.pump()
}

// forget drops the stream from its host once both directions have ended.
func (s *stream) forget() {
	if s.err != nil || s.eof && s.finAcked {
		delete(s.host.streams, tuple{s.local.Port(), s.remote})
	}
}

// sendReset tells the peer that the stream is dead here. It is tried once: whoever sends again gets another.
func (s *stream) sendReset() {
	s.net.after(s.route.latency(nil), func() {
		if p := s.peer; s.route.reaches() && p.err == nil {
			p.abort(syscall.ECONNRESET, false)
		}
	})
}

// abort ends the stream, or the attempt to make it, at once. What has arrived can still be read.
func (s *stream) abort(err error, reset bool) {
	if s.err != nil {
		return
	}
	s.err = err
	s.out = nil
	clear(s.ahead)
	s.forget()
	s.cond.Broadcast()
	if s.dialing {
		s.dialing = false
		s.dialed <- err
	}
	if s.peer != nil && reset {
		s.sendReset()
	}
}

// fault returns why our own side does not want an operation to go on, or nil.
func (s *stream) fault(d *deadline) error {
	switch {
	case s.closed:
		return net.ErrClosed
	case d.passed:
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (s *stream) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	s.net.mu.Lock()
	defer s.net.unlock()
	for {
		if err := s.fault(&s.reads); err != nil {
			return 0, s.opError("read", err)
		}
		if len(p) == 0 {
			return 0, nil
		}
		if len(s.in) > 0 {
			break
		}
		if s.err != nil {
			return 0, s.opError("read", s.err)
		}
		if s.eof {
			return 0, io.EOF
		}
		s.cond.Wait()
	}
	n := 0
	for len(s.in) > 0 && n < len(p) {
		k := copy(p[n:], s.in[0])
		n += k
		if s.in[0] = s.in[0][k:]; len(s.in[0]) == 0 {
			s.in[0] = nil
			s.in = s.in[1:]
		}
	}
	s.unread -= n
	s.peer.pump()
	return n, nil
}

// Write implements net.Conn.
func (s *stream) Write(p []byte) (int, error) {
	s.net.mu.Lock()
	defer s.net.unlock()
	sent := 0
	for {
		err := s.fault(&s.writes)
		if err == nil {
			err = s.err
		}
		if err == nil && s.finWanted {
			err = os.NewSyscallError("write", syscall.EPIPE)
		}
		if err != nil {
			return sent, s.opError("write", err)
		}
		if sent == len(p) {
			return sent, nil
		}
		if room := sendBuffer - len(s.out); room > 0 {
			n := min(room, len(p)-sent)
			s.out = append(s.out, p[sent:sent+n]...)
			sent += n
			s.pump()
			continue
		}
		s.cond.Wait()
	}
}

// CloseWrite ends our direction once all that was written is sent: the peer reads io.EOF.
func (s *stream) CloseWrite() error {
	s.net.mu.Lock()
	defer s.net.unlock()
	if err := s.fault(&deadline{}); err != nil {
		return s.opError("close", err)
	}
	s.finWanted = true
	s.pump()
	s.cond.Broadcast()
	return nil
}

// SetLinger implements the method of net.TCPConn for 0, which makes Close reset the stream, and for what is below 0,
// which is the default.
func (s *stream) SetLinger(sec int) error {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	s.lingerNone = sec == 0
	return nil
}

// Close implements net.Conn. As in TCP, what was written is still sent, but the stream is reset if something was not read.
func (s *stream) Close() error {
	s.net.mu.Lock()
	defer s.net.unlock()
	if s.closed {
		return s.opError("close", net.ErrClosed)
	}
	s.closed = true
	s.reads.set(s.net, time.Time{})
	s.writes.set(s.net, time.Time{})
	s.cond.Broadcast()
	if s.unread > 0 || s.lingerNone {
		s.abort(net.ErrClosed, true)
		return nil
	}
	s.finWanted = true
	s.pump()
	return nil
}

// LocalAddr implements net.Conn.
func (s *stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(s.local) }

// RemoteAddr implements net.Conn.
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// SetDeadline implements net.Conn.
func (s *stream) SetDeadline(t time.Time) error { return s.setDeadlines(t, &s.reads, &s.writes) }

// SetReadDeadline implements net.Conn.
func (s *stream) SetReadDeadline(t time.Time) error { return s.setDeadlines(t, &s.reads) }

// SetWriteDeadline implements net.Conn.
func (s *stream) SetWriteDeadline(t time.Time) error { return s.setDeadlines(t, &s.writes) }

func (s *stream) setDeadlines(t time.Time, ds ...*deadline) error {
	s.net.mu.Lock()
	defer s.net.unlock()
	if s.closed {
		return s.opError("set", net.ErrClosed)
	}
	for _, d := range ds {
		d.set(s.net, t)
	}
	return nil
}
