// Package session holds what torrents share: the listener, the identity, limits on rates, dials and memory, storage workers, and
// the folder where torrents are remembered.
package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/peer"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/torrent"
	"shoal/internal/bt/tracker"
	"shoal/internal/ident"
	"shoal/internal/netx"
	"shoal/internal/rate"
	"shoal/internal/storage"
)

// Defaults of Config.
const (
	DefaultMemory   = 32 << 20
	DefaultMaxPeers = 500
	DefaultMaxDials = 50
	dialTimeout     = 10 * time.Second
	maxHandshakes   = 200 // strangers that may be saying who they are at once
	maxOpening      = 8   // torrents whose files are being opened at once
	maxSeeking      = 200 // announces under way of torrents that look for peers
	maxSeeding      = 100 // and of seeds
)

// Config sets a session up. The zero value of a field means its default.
type Config struct {
	Network  netx.Network                    // the only way out
	Listen   string                          // address and port for peers; empty: do not listen
	State    string                          // folder for metadata and resume journals; empty: nothing is remembered
	Memory   int64                           // bytes of payload held at most; 0: 32 MiB
	Store    func(*block.Pool) storage.Store // given the pool that blocks come from; nil: files
	Down, Up int64                           // bytes/s; 0: unlimited
	LANFree  bool                            // the limits do not apply to private, link-local and loopback addresses
	MaxPeers int                             // connections of all torrents together; 0: 500
	MaxDials int                             // dials under way at once; 0: 50

	Client  string // name and version in extension handshakes and to trackers
	IDStyle string // prefix of the peer id (BEP 20); empty: "-SL0001-"
}

// Session is the engine. Its methods are safe for concurrent use.
type Session struct {
	cfg    Config
	shared torrent.Shared
	id     ident.PeerID
	pool   *block.Pool
	store  storage.Store
	down   *rate.Limiter
	up     *rate.Limiter
	ln     net.Listener
	client *http.Client
	asks   *tracker.Client
	dials  chan struct{} // a slot for each dial under way
	greets chan struct{} // and for each incoming handshake
	ctx    context.Context
	end    context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	torrents map[ident.V1]*entry // by every swarm name
	all      []*entry            // in the order added
	closed   bool
}

type entry struct {
	t     *torrent.Torrent
	hash  ident.InfoHash
	names []ident.V1
}

// Errors of Add.
var (
	ErrClosed = errors.New("the session is closed")
	ErrExists = errors.New("this torrent is here already")
)

// New starts a session: it listens, if told to.
func New(cfg Config) (*Session, error) {
	cfg.Memory = orDefault(cfg.Memory, DefaultMemory)
	cfg.MaxPeers = orDefault(cfg.MaxPeers, DefaultMaxPeers)
	cfg.MaxDials = orDefault(cfg.MaxDials, DefaultMaxDials)
	cfg.IDStyle = orDefault(cfg.IDStyle, "-SL0001-")
	s := &Session{
		cfg: cfg, id: ident.NewPeerID(cfg.IDStyle), pool: block.NewPool(cfg.Memory),
		down: rate.New(cfg.Down, nil), up: rate.New(cfg.Up, nil),
		client: netx.HTTPClient(cfg.Network, netx.HTTPOptions{UserAgent: cfg.Client}),
		asks:   tracker.NewClient(cfg.Network, tracker.ClientOptions{UserAgent: cfg.Client}),
		dials:  make(chan struct{}, cfg.MaxDials), greets: make(chan struct{}, maxHandshakes), torrents: map[ident.V1]*entry{},
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	if cfg.Store != nil {
		s.store = cfg.Store(s.pool)
	} else {
		s.store = storage.NewFiles(s.pool, storage.FilesOptions{})
	}
	if cfg.Listen != "" {
		ln, err := cfg.Network.Listen(s.ctx, "tcp", cfg.Listen)
		if err != nil {
			s.end()
			s.store.Close()
			return nil, fmt.Errorf("listening for peers: %w", err)
		}
		s.ln = ln
		s.wg.Go(s.accept)
	}
	s.share()
	return s, nil
}

// share fills in what all torrents share.
func (s *Session) share() {
	h := &s.shared
	h.PeerID, h.Port, h.Store, h.Blocks, h.Dial, h.Client, h.Version = s.id, s.Port(), s.store, s.pool, s.dial, s.client, s.cfg.Client
	// A crowd leaves several times the memory behind that its torrents need at rest.
	free := func() { go debug.FreeOSMemory() }
	h.Opening, h.Seeking, h.Seeding = torrent.NewGate(maxOpening, free), torrent.NewGate(maxSeeking, free), torrent.NewGate(maxSeeding, free)
	if s.cfg.LANFree {
		h.Exempt = isLocal
	}
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// LimitGarbage makes the process collect garbage when there is half as much of it as of what lives, unless GOGC says otherwise. What lives
// is idle peers and torrents, which may be many; the engine at work makes little garbage. For programs that run a session, at start.
func LimitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// Port returns the port where peers reach us, 0 if we do not listen.
func (s *Session) Port() uint16 {
	if s.ln == nil {
		return 0
	}
	if a, ok := s.ln.Addr().(*net.TCPAddr); ok {
		return uint16(a.Port)
	}
	ap, _ := netip.ParseAddrPort(s.ln.Addr().String())
	return ap.Port()
}

// Addr returns the address where we listen, nil if we do not.
func (s *Session) Addr() net.Addr {
	if s.ln == nil {
		return nil
	}
	return s.ln.Addr()
}

// SetRates changes the limits of all torrents together, in bytes/s; 0 is no limit.
func (s *Session) SetRates(down, up int64) {
	s.down.SetRate(down)
	s.up.SetRate(up)
}

// accept takes connections until the listener is closed.
func (s *Session) accept() {
	for {
		c, err := s.ln.Accept()
		switch {
		case err == nil:
		case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // out of descriptors, most likely: it passes
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.ctx.Done():
			}
			continue
		}
		select {
		case s.greets <- struct{}{}:
			s.wg.Go(func() {
				defer func() { <-s.greets }()
				s.hear(c)
			})
		default:
			c.Close()
		}
	}
}

// hear reads who a stranger is and hands it to its torrent.
func (s *Session) hear(c net.Conn) {
	stop := context.AfterFunc(s.ctx, func() { c.Close() })
	defer stop()
	theirs, err := peer.Hear(c)
	if err != nil {
		c.Close()
		return
	}
	s.mu.Lock()
	e := s.torrents[theirs.InfoHash]
	s.mu.Unlock()
	if e == nil || theirs.PeerID == s.id || s.connections() >= s.cfg.MaxPeers {
		c.Close()
		return
	}
	e.t.Incoming(c, theirs)
}

// connections returns how many peers all torrents together have.
func (s *Session) connections() int { return int(s.shared.Connections.Load()) }

// dial connects to a peer, if fewer than the most allowed are connected and being dialled.
func (s *Session) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	if s.connections() >= s.cfg.MaxPeers {
		return nil, torrent.ErrNoSlot
	}
	select {
	case s.dials <- struct{}{}:
		defer func() { <-s.dials }()
	default:
		return nil, torrent.ErrNoSlot
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return s.cfg.Network.Dial(ctx, "tcp", addr.String())
}

// isLocal reports whether rate limits pass an address over: loopback, private and link-local ones.
func isLocal(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

// limiter returns the limit of a torrent below that of the session.
func limiter(bytesPerSecond int64, all *rate.Limiter) *rate.Limiter {
	if bytesPerSecond == 0 {
		return all
	}
	return rate.New(bytesPerSecond, all)
}

// Add starts a torrent from what the link, metadata or both say; see Spec.
func (s *Session) Add(spec Spec) (*torrent.Torrent, error) {
	cfg, err := s.configure(&spec)
	if err != nil {
		return nil, err
	}
	e := &entry{hash: cfg.InfoHash, names: cfg.InfoHash.Swarms()}
	cfg.Down, cfg.Up = limiter(spec.Down, s.down), limiter(spec.Up, s.up)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	for _, n := range e.names {
		if s.torrents[n] != nil {
			return nil, ErrExists
		}
	}
	learned := cfg.Learned
	cfg.Learned = func(l torrent.Learned) {
		s.name(e, l.Info.Hash)
		learned(l)
	}
	e.t = torrent.New(*cfg)
	for _, n := range e.names {
		s.torrents[n] = e
	}
	s.all = append(s.all, e)
	return e.t, nil
}

// name adds the names that a torrent turned out to have beside those it was added under: a hybrid's other one.
func (s *Session) name(e *entry, h ident.InfoHash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.hash = h
	for _, n := range h.Swarms() {
		if s.torrents[n] == nil {
			s.torrents[n] = e
			e.names = append(e.names, n)
		}
	}
}

// Remove stops a torrent and forgets it; its files stay. It waits for the goodbye to trackers until ctx is done.
func (s *Session) Remove(ctx context.Context, t *torrent.Torrent) error {
	s.mu.Lock()
	for i, e := range s.all {
		if e.t == t {
			for _, n := range e.names {
				delete(s.torrents, n)
			}
			s.all = append(s.all[:i:i], s.all[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	return t.Close(ctx)
}

// Torrents returns every torrent in the order added.
func (s *Session) Torrents() []*torrent.Torrent {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*torrent.Torrent, len(s.all))
	for i, e := range s.all {
		out[i] = e.t
	}
	return out
}

// Close stops every torrent, all at once, and then what they share. After ctx is done it no longer waits for trackers, only for
// files.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	all := s.all
	s.mu.Unlock()
	if s.ln != nil {
		s.ln.Close()
	}
	var wg sync.WaitGroup
	var late atomic.Int32
	for _, e := range all {
		wg.Go(func() {
			if e.t.Close(ctx) != nil {
				late.Add(1)
			}
		})
	}
	wg.Wait()
	s.end()
	s.wg.Wait()
	s.client.CloseIdleConnections()
	if n := late.Load(); n > 0 {
		return fmt.Errorf("%d torrents have not ended in time: %w", n, ctx.Err())
	}
	return s.store.Close()
}

// Memory returns the bytes of payload held now, the most ever held, and the limit.
func (s *Session) Memory() (now, peak, limit int64) {
	n, p, l := s.pool.Lent()
	return int64(n) * block.Size, int64(p) * block.Size, int64(l) * block.Size
}

func (s *Session) statePath(h ident.V1, suffix string) string {
	if s.cfg.State == "" {
		return ""
	}
	return filepath.Join(s.cfg.State, h.String()+suffix)
}

func (s *Session) swarmConfig(spec *Spec) swarm.Config {
	return swarm.Config{
		ID: s.id, MaxPeers: orDefault(spec.MaxPeers, min(200, s.cfg.MaxPeers)), MaxDials: min(16, s.cfg.MaxDials), Slots: spec.Slots,
		Seed: newSeed(), Private: spec.private(), NoSuper: spec.NoSuper, ShareOnly: spec.ShareOnly,
	}
}
