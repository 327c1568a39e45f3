// Package server is a BitTorrent tracker over HTTP and UDP (BEP 3, 7, 15, 23, 24, 31, 48): it remembers who shares which torrent and
// tells peers of one another.
//
//	UDP socket of each core ─▶ responder ─┐
//	                                      ├─▶ access list ─▶ table: 1,024 shards, each a lock and a map of swarms
//	HTTP server ─▶ responder ─────────────┘
//
// A UDP announce takes a share of two system calls, one keyed hash, one lock and no allocation. Peers expire when they are met and by a
// slow sweep, a shard at a time. All memory is bounded; nothing is written to disk, because peers come again.
package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/ident"
	"shoal/internal/netx"
)

// Config says what a tracker serves.
type Config struct {
	Network netx.Network
	HTTP    string // address and port to listen at for HTTP; empty: no HTTP
	UDP     string // the same for UDP; empty: no UDP

	Access Access // which torrents are served at first
	// Interval is how long peers are to wait between announces. A peer is told to others for 2.25 times as long. 0: DefaultInterval.
	Interval time.Duration

	Torrents int // most torrents to remember; 0: DefaultTorrents
	Peers    int // most peers of a torrent to remember, of each address family; 0: DefaultPeers

	// Rate is how many requests a second one IPv4 address or IPv6 /64 may make for long; burstSeconds as many are allowed at once. 0:
	// DefaultRate, below 0: no limit.
	Rate int

	// TrustAddress makes the address count that a peer on this machine or in a private network says it has: "ip" (BEP 3), and the
	// address in UDP announces (BEP 15).
	TrustAddress bool

	// FullScrape makes an HTTP scrape that names no torrent list all of them.
	FullScrape bool
}

// Defaults of Config.
const (
	DefaultInterval = 30 * time.Minute
	DefaultTorrents = 1 << 20
	DefaultPeers    = 1 << 16
	DefaultRate     = 50

	burstSeconds = 400 // a peer that begins with 20,000 torrents is served at once
	maxSameHost  = 64  // peers of one torrent that one address may be: households and offices share one
)

// Bounds of Config.Interval.
const (
	MinInterval = time.Second
	MaxInterval = 24 * time.Hour
)

// Server is a tracker. Its methods may be called at any time, from any goroutine.
type Server struct {
	cfg     Config
	start   time.Time
	unit    time.Duration // of a tick
	table   *table
	ids     idKey
	limiter *limiter
	access  atomic.Pointer[Access]

	sockets    []netx.PacketConn
	listener   net.Listener
	web        *http.Server
	responders sync.Pool // of *responder, for HTTP
	counted    []*counters
	rate       rate

	closed chan struct{}
	close  sync.Once
	err    error // of closing
	wg     sync.WaitGroup
}

// New opens the sockets and begins to serve, in goroutines that Close ends. The error is that of listening.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	c.Interval = min(max(c.Interval, MinInterval), MaxInterval)
	if c.Torrents == 0 {
		c.Torrents = DefaultTorrents
	}
	if c.Peers == 0 {
		c.Peers = DefaultPeers
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	s := newServer(c)
	if c.HTTP != "" {
		if err := s.listenHTTP(ctx, c.HTTP); err != nil {
			return nil, err
		}
	}
	if c.UDP != "" {
		if err := s.listenUDP(ctx, c.UDP); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	for _, socket := range s.sockets {
		r := s.newResponder(s.count())
		s.wg.Go(func() { s.serveUDP(socket, r) })
	}
	if s.listener != nil {
		c := s.count()
		s.responders.New = func() any { return s.newResponder(c) }
		s.wg.Go(func() { _ = s.web.Serve(s.listener) }) // until Close
	}
	s.wg.Go(s.sweep)
	return s, nil
}

// newServer returns a server that serves nothing yet.
func newServer(c Config) *Server {
	s := &Server{
		cfg: c, start: time.Now(), unit: c.Interval * 9 / 4 / lifeTicks, ids: newIDKey(), closed: make(chan struct{}),
		table:   newTable(bounds{torrents: c.Torrents, peers: c.Peers, sameHost: maxSameHost}),
		limiter: newLimiter(c.Rate, burstSeconds*c.Rate),
	}
	s.access.Store(&c.Access)
	return s
}

// count returns counters that are part of the totals. It is called before the server serves.
func (s *Server) count() *counters {
	c := &counters{}
	s.counted = append(s.counted, c)
	return c
}

// Close ends the server and waits until it has.
func (s *Server) Close() error {
	s.close.Do(func() {
		close(s.closed)
		s.err = s.closeSockets()
		if s.web != nil {
			s.err = errors.Join(s.err, s.closeHTTP())
		}
		s.wg.Wait()
	})
	return s.err
}

// UDPAddr returns the address of the packet sockets, nil if there are none.
func (s *Server) UDPAddr() net.Addr {
	if len(s.sockets) == 0 {
		return nil
	}
	return s.sockets[0].LocalAddr()
}

// HTTPAddr returns the address of the HTTP server, nil if there is none.
func (s *Server) HTTPAddr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

func (s *Server) random() uint64 { return rand.Uint64() }

// tick returns the tick of a time since the start.
func (s *Server) tick(now time.Duration) tick { return tick(now / s.unit) }

// interval returns the seconds that a peer is told to wait: up to an eighth more than the interval, so that those who came together
// do not come together again.
func (r *responder) interval() uint32 {
	whole := int(r.cfg.Interval / time.Second)
	return uint32(whole + r.reply.random.below(whole/8+1))
}

// address returns the address that a peer counts under: that which it asks from, or which it says it has, if it may.
func (s *Server) address(from, own netip.Addr) netip.Addr {
	if !s.cfg.TrustAddress || !own.IsValid() || scopeOf(from) == public {
		return from
	}
	if own = own.Unmap().WithZone(""); own.IsUnspecified() || own.IsMulticast() {
		return from
	}
	return own
}

// announce notes an announce and fills r.reply.
func (r *responder) announce(a *announce, now time.Duration) error {
	r.announces.Add(1)
	if a.event != stopped && !r.access.Load().allows(a.name) {
		r.refused.Add(1)
		return errNotAllowed
	}
	if err := r.table.announce(a, r.tick(now), &r.reply); err != nil {
		r.refused.Add(1)
		return err
	}
	return nil
}

// scrape returns the counts of a swarm.
func (r *responder) scrape(name ident.V1, now time.Duration) counts {
	return r.table.scrape(name, r.tick(now))
}

// sweep forgets what has expired: each shard eight times in a lifetime.
func (s *Server) sweep() {
	const each = time.Second
	ticker := time.NewTicker(each)
	defer ticker.Stop()
	swept := 0 // shards since the start
	for {
		select {
		case <-s.closed:
			return
		case <-ticker.C:
		}
		now := time.Since(s.start)
		s.rate.note(s.totals().Announces)
		due := int(float64(now) / float64(s.unit*lifeTicks/8) * shards)
		for i := max(swept, due-shards); i < due; i++ {
			s.table.sweep(i%shards, s.tick(now))
		}
		swept = due
	}
}
