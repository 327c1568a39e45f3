package tracker

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/netx"
)

// errNoAnswer is a tracker's silence.
var errNoAnswer = errors.New("no answer")

// udpWaits is how long each packet waits for its answer before it is sent again. BEP 15 waits 15·2ⁿ seconds; two early
// tries come first, because a lost packet should not cost 15 seconds, and what would follow 30 seconds is left to the
// pauses between whole announces, which double as well.
var udpWaits = []time.Duration{3 * time.Second, 6 * time.Second, 15 * time.Second, 30 * time.Second}

const (
	connectionLife = time.Minute      // how long a connection id may be used (BEP 15)
	maxConnections = 1000             // connection ids kept
	maxPacket      = 20 + 18*maxPeers // the longest answer of which every byte is used
	// maxFailures is how many reads in a row may fail before a socket counts as broken. Single failures are normal: on
	// Windows the ICMP answers to earlier packets, and packets longer than the buffer, come as errors.
	maxFailures = 100
)

// udpSocket asks the trackers of one address family. It is open while anybody uses it.
type udpSocket struct {
	n  netx.Network
	v6 bool

	opening sync.Mutex // held while the socket is opened or closed
	users   int        // guarded by opening
	conn    net.PacketConn
	closed  chan struct{} // closed when the reader of conn has ended

	mu      sync.Mutex
	waiting map[uint32]waiter // by transaction id
	ids     map[netip.AddrPort]connection
}

// waiter is a request that is under way.
type waiter struct {
	from   netip.AddrPort
	answer chan []byte
}

// connection is a connection id that a tracker gave us.
type connection struct {
	id      uint64
	expires time.Time
}

// open makes sure that the socket is open until the matching release.
func (s *udpSocket) open(ctx context.Context) error {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.users == 0 {
		network, addr := "udp4", "0.0.0.0:0"
		if s.v6 {
			network, addr = "udp6", "[::]:0"
		}
		conn, err := s.n.ListenPacket(ctx, network, addr)
		if err != nil {
			return err
		}
		s.conn, s.closed = conn, make(chan struct{})
		s.waiting, s.ids = make(map[uint32]waiter), make(map[netip.AddrPort]connection)
		go s.read(conn, s.closed)
	}
	s.users++
	return nil
}

// release closes the socket, and waits for its reader, when nobody else uses it. Connection ids end with the socket,
// since a tracker may tie them to our port.
func (s *udpSocket) release() {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.users--; s.users == 0 {
		s.conn.Close()
		<-s.closed
	}
}

// read hands each answer to the request that it belongs to. A packet from another address than the one that was asked,
// or with an unknown transaction id, is dropped.
func (s *udpSocket) read(conn net.PacketConn, closed chan<- struct{}) {
	defer close(closed)
	buf := make([]byte, maxPacket)
	for failures := 0; failures < maxFailures; {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			failures++
			continue
		}
		failures = 0
		tx, ok := transaction(buf[:n])
		if !ok {
			continue
		}
		s.mu.Lock()
		w, ok := s.waiting[tx]
		s.mu.Unlock()
		if ok && w.from == addrPort(from) {
			select {
			case w.answer <- append([]byte(nil), buf[:n]...):
			default: // it has one already
			}
		}
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap
}

// ask sends what build makes, again and again, until the tracker at addr answers, and returns the answer with its
// header. It gets a connection id first if there is none.
func (s *udpSocket) ask(ctx context.Context, addr netip.AddrPort, build func(id uint64, tx uint32) []byte) ([]byte, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	for _, wait := range udpWaits {
		id, ok := s.connection(addr)
		if !ok {
			b, err := s.exchange(ctx, addr, wait, connectPacket)
			if errors.Is(err, errNoAnswer) {
				continue
			}
			if err == nil {
				id, err = parseConnect(b)
			}
			if err != nil {
				return nil, err
			}
			s.remember(addr, id)
		}
		b, err := s.exchange(ctx, addr, wait, func(tx uint32) []byte { return build(id, tx) })
		if err == nil && refused(b) {
			s.forget(addr) // perhaps it is the id that the tracker does not know any more
		}
		if !errors.Is(err, errNoAnswer) {
			return b, err
		}
	}
	return nil, errNoAnswer
}

// exchange sends one packet and waits for its answer.
func (s *udpSocket) exchange(ctx context.Context, addr netip.AddrPort, wait time.Duration, build func(tx uint32) []byte) ([]byte, error) {
	w := waiter{addr, make(chan []byte, 1)}
	tx := s.begin(w)
	defer s.end(tx)
	if _, err := s.conn.WriteTo(build(tx), net.UDPAddrFromAddrPort(addr)); err != nil {
		return nil, err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case b := <-w.answer:
		return b, nil
	case <-timer.C:
		return nil, errNoAnswer
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin files a request under a transaction id that nobody can guess and no other request has.
func (s *udpSocket) begin(w waiter) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		tx := rand.Uint32()
		if _, taken := s.waiting[tx]; !taken {
			s.waiting[tx] = w
			return tx
		}
	}
}

func (s *udpSocket) end(tx uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, tx)
}

func (s *udpSocket) connection(addr netip.AddrPort) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.ids[addr]
	return c.id, ok && time.Now().Before(c.expires)
}

func (s *udpSocket) remember(addr netip.AddrPort, id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) >= maxConnections {
		clear(s.ids)
	}
	s.ids[addr] = connection{id, time.Now().Add(connectionLife)}
}

func (s *udpSocket) forget(addr netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, addr)
}
