// Package lsd finds peers on the local network by multicast: local service discovery (BEP 14).
//
// A Service has the sockets, and three goroutines: one reads each, one sends. A torrent has a Finder, which only leaves its names with the
// service and collects what was heard. What is sent and when is decided by plain values that are told the time (message, schedule).
package lsd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"shoal/internal/ident"
	"shoal/internal/netx"
)

// The groups of BEP 14: IPv4, organisation-local, and IPv6, site-local.
var groups = []netip.AddrPort{
	netip.MustParseAddrPort("239.192.152.143:6771"),
	netip.MustParseAddrPort("[ff15::efc0:988f]:6771"),
}

const (
	maxRate    = 50               // messages a second that are read on in the long run,
	maxBurst   = 200              // and at once; the rest is dropped
	retryPause = time.Second      // after a socket failed to read
	readFor    = 10 * time.Minute // for which the subnets of the machine are taken to stay as they are
)

// Config is what a Service needs.
type Config struct {
	Network netx.Network  // one with multicast: netx.ListenMulticast
	Port    func() uint16 // where we take connections, over TCP or uTP; 0 if nowhere, and then nothing is announced
}

// Service announces torrents on the local network and hears of those of others. It is safe for concurrent use.
type Service struct {
	port   func() uint16
	cookie string
	conns  []conn
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // one slot: the schedule has changed

	mu       sync.Mutex
	schedule schedule
	torrents map[ident.V1]*finder
	failure  error // of the last announce, if no group got it
	hearing  bucket
	onLink   subnets
}

// conn is the socket of a group.
type conn struct {
	net.PacketConn
	group netip.AddrPort
}

// New joins the groups and begins to listen. One family is enough; the error is that there is none. The service's goroutines end with Close.
func New(cfg Config) (*Service, error) {
	s := &Service{
		port: cfg.Port, cookie: strconv.FormatUint(rand.Uint64(), 16), wake: make(chan struct{}, 1),
		torrents: map[ident.V1]*finder{}, onLink: subnets{read: machineSubnets},
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	var failed []error
	for _, g := range groups {
		c, err := netx.ListenMulticast(ctx, cfg.Network, g)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		s.conns = append(s.conns, conn{c, g})
	}
	if len(s.conns) == 0 {
		s.cancel()
		return nil, fmt.Errorf("local service discovery: %w", errors.Join(failed...))
	}
	for _, c := range s.conns {
		s.wg.Go(func() { s.listen(ctx, c) })
	}
	s.wg.Go(func() { s.announce(ctx) })
	return s, nil
}

// Close leaves the groups. Finders may still be used, and find nobody.
func (s *Service) Close() error {
	s.cancel()
	var err error
	for _, c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	s.wg.Wait()
	return err
}

// nudge has the sender look at the schedule.
func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// announce sends what the schedule says until ctx is done.
func (s *Service) announce(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		at, ok := s.send(time.Now())
		if ok {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// send sends the announce that is due, if one is, and returns when the next will be.
func (s *Service) send(now time.Time) (time.Time, bool) {
	port := s.port()
	s.mu.Lock()
	m := message{port: port, names: s.schedule.due(now, maxNames), cookie: s.cookie}
	s.mu.Unlock()
	if len(m.names) > 0 {
		_, n := m.bytes(groups[1].String()) // the longer one
		m.names = m.names[:n]
		var err error
		if port != 0 {
			err = s.multicast(m)
		}
		s.mu.Lock()
		s.failure = err
		s.schedule.sent(now, m.names)
		for _, name := range m.names {
			if f := s.torrents[name]; f != nil {
				f.announced = now
			}
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.schedule.at(now)
}

// multicast sends a message to all groups. It fails if none gets it.
func (s *Service) multicast(m message) error {
	var failed []error
	for _, c := range s.conns {
		b, _ := m.bytes(c.group.String())
		if _, err := c.WriteTo(b, net.UDPAddrFromAddrPort(c.group)); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) < len(s.conns) {
		return nil
	}
	return errors.Join(failed...)
}

// listen reads a group's socket until it is closed.
func (s *Service) listen(ctx context.Context, c conn) {
	b := make([]byte, maxHeard+1)
	for ctx.Err() == nil {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(retryPause):
			}
			continue
		}
		if a, ok := from.(*net.UDPAddr); ok {
			s.hear(b[:n], a.AddrPort().Addr().Unmap(), time.Now())
		}
	}
}

// hear takes in a message.
func (s *Service) hear(b []byte, from netip.Addr, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hearing.take(now) || !s.onLink.has(from, now) {
		return
	}
	m, err := parse(b)
	if err != nil || m.cookie == s.cookie {
		return
	}
	answer := now.Add(rand.N(scatter))
	for _, name := range m.names {
		if f := s.torrents[name]; f == nil {
			continue
		} else if now.Sub(f.asked) > 2*interval {
			f.leave()
		} else {
			f.hear(netip.AddrPortFrom(from, m.port), now, answer)
		}
	}
}

// bucket bounds how many messages are read on.
type bucket struct {
	tokens float64
	filled time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.filled.IsZero() {
		b.tokens = maxBurst
	} else {
		b.tokens = min(maxBurst, b.tokens+maxRate*now.Sub(b.filled).Seconds())
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
