package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"time"

	"shoal/internal/ident"
	"shoal/internal/netx"
)

// batch is how many datagrams one system call reads or writes at most.
const batch = 64

// maxRequest is the longest request that is read: a scrape of maxScrape names, or an announce with long options.
const maxRequest = 2048

// maxSockets bounds the sockets that share the port, each with a goroutine.
const maxSockets = 16

// listenUDP opens the packet sockets: one for each core where the system spreads datagrams among those that share an address.
func (s *Server) listenUDP(ctx context.Context, addr string) error {
	first, err := s.cfg.Network.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return err
	}
	sharer, ok := s.cfg.Network.(netx.PacketSharer)
	n := min(runtime.GOMAXPROCS(0), maxSockets)
	if !ok || n == 1 {
		s.sockets = []netx.PacketConn{netx.Packets(first)}
		return nil
	}
	// That it could be opened alone shows that nobody else has the address, not even another tracker of the same user.
	addr = first.LocalAddr().String()
	if err := first.Close(); err != nil {
		return err
	}
	for range n {
		c, err := sharer.ListenPacketShared(ctx, "udp", addr)
		if errors.Is(err, errors.ErrUnsupported) {
			c, err = s.cfg.Network.ListenPacket(ctx, "udp", addr)
			if err == nil {
				s.sockets = []netx.PacketConn{netx.Packets(c)}
			}
			return err
		}
		if err != nil {
			_ = s.closeSockets()
			return err
		}
		s.sockets = append(s.sockets, netx.Packets(c))
	}
	return nil
}

func (s *Server) closeSockets() error {
	var errs []error
	for _, c := range s.sockets {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// serveUDP answers what comes at one socket until that is closed.
func (s *Server) serveUDP(c netx.PacketConn, r *responder) {
	in, out := make([]netx.Packet, batch), make([]netx.Packet, batch)
	requests, answers := make([]byte, batch*maxRequest), make([]byte, batch*maxAnswer)
	for i := range batch {
		in[i].Data = requests[i*maxRequest:][:0:maxRequest]
	}
	for failures := 0; ; {
		n, err := c.ReadPackets(in)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if failures++; failures > maxFailures && !s.rest() {
				return
			}
			continue
		}
		failures = 0
		now := time.Since(s.start)
		m := 0
		for i := range in[:n] {
			data := r.answer(answers[m*maxAnswer:][:0:maxAnswer], in[i].Addr, in[i].Data, now)
			if len(data) > 0 {
				out[m] = netx.Packet{Addr: in[i].Addr, Data: data}
				m++
			}
		}
		s.write(c, out[:m])
	}
}

// maxFailures is how many reads in a row may fail before a socket is left alone for a moment. Single failures are the
// system's way to tell of what ICMP brought.
const maxFailures = 100

// rest waits a moment and reports whether the server is still open.
func (s *Server) rest() bool {
	select {
	case <-s.closed:
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}

// write sends answers. One that cannot be sent is lost.
func (s *Server) write(c netx.PacketConn, out []netx.Packet) {
	for len(out) > 0 {
		n, err := c.WritePackets(out)
		if err == nil || errors.Is(err, net.ErrClosed) {
			return
		}
		out = out[n+1:]
	}
}

// responder answers requests, one at a time, without allocating.
type responder struct {
	*Server
	*counters
	reply reply
	out   []byte // an HTTP answer
}

func (s *Server) newResponder(c *counters) *responder {
	r := &responder{Server: s, counters: c}
	r.reply.random = random(s.random())
	r.reply.v4, r.reply.v6 = make([]byte, 0, maxWant*len(end4{})), make([]byte, 0, maxWant*len(end6{}))
	return r
}

// answer appends the answer to a datagram to dst, nothing if there is to be none. now is the time since the start.
func (r *responder) answer(dst []byte, from netip.AddrPort, b []byte, now time.Duration) []byte {
	q, ok := parseHeader(b)
	if !ok {
		r.broken.Add(1)
		return dst
	}
	addr := from.Addr().WithZone("")
	if q.act == actConnect {
		if q.id != protocolID {
			r.broken.Add(1)
			return dst
		}
		r.connects.Add(1)
		return appendConnect(dst, q.tx, r.ids.make(addr, now)) // 16 bytes for 16: nothing to gain for who forges addresses
	}
	switch {
	case !r.ids.valid(q.id, addr, now):
		r.forged.Add(1)
		return dst
	case !r.limiter.allow(addr, now, 1):
		r.limited.Add(1)
		return dst
	case q.act == actAnnounce:
		return r.announceUDP(dst, &q, addr, b, now)
	case q.act == actScrape:
		return r.scrapeUDP(dst, &q, b, now)
	}
	r.broken.Add(1)
	return dst
}

func (r *responder) announceUDP(dst []byte, q *request, addr netip.Addr, b []byte, now time.Duration) []byte {
	a, own, ok := parseAnnounce(b)
	if !ok {
		r.broken.Add(1)
		return dst
	}
	a.addr = r.address(addr, own)
	family, room := len(end4{}), maxAnswer-20
	if addr.Is6() { // the answer's addresses are of the family of the socket (BEP 15), whatever the peer says of itself
		family = len(end6{})
	}
	a.want = min(a.want, room/family)
	if err := r.announce(&a, now); err != nil {
		return appendError(dst, q.tx, err.Error())
	}
	peers := r.reply.v4
	if addr.Is6() {
		peers = r.reply.v6
	}
	return appendAnnounce(dst, q.tx, r.interval(), r.reply.counts, peers)
}

func (r *responder) scrapeUDP(dst []byte, q *request, b []byte, now time.Duration) []byte {
	r.scrapes.Add(1)
	dst = appendHeader(dst, actScrape, q.tx)
	b = b[headerLen:]
	for n := 0; len(b) >= len(ident.V1{}) && n < maxScrape; n++ {
		dst = appendScrape(dst, r.scrape(ident.V1(b), now))
		b = b[len(ident.V1{}):]
	}
	return dst
}
