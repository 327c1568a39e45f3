// Package session holds what torrents share: the listener, the identity, limits on rates, dials and memory, storage workers, and
// the folder where torrents are remembered.
package session

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/lsd"
	"shoal/internal/bt/road"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/torrent"
	"shoal/internal/dht"
	"shoal/internal/ident"
	"shoal/internal/ipfilter"
	"shoal/internal/mse"
	"shoal/internal/netx"
	"shoal/internal/portmap"
	"shoal/internal/rate"
	"shoal/internal/storage"
)

// Defaults of Config.
const (
	DefaultMemory   = 32 << 20
	DefaultMaxPeers = 500
	DefaultMaxDials = 50
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

	Encryption road.Encryption     // of connections with peers; empty: prefer
	NoUTP      bool                // no uTP (BEP 29)
	NoTCP      bool                // over uTP only, both ways
	DHT        *DHT                // nil: no part in the DHT
	LSD        bool                // look for peers on the local network (BEP 14)
	PortMap    bool                // have the router open our port (UPnP, NAT-PMP, PCP)
	Gateways   func() []netip.Addr // where it is asked to; nil: the system's default gateways
	Isolated   bool                // nothing is contacted that only a stranger named but peers: no trackers that peers know (BEP 28)
	Filter     *ipfilter.Filter    // addresses that are neither dialled nor let in; nil: none

	// Anonymous strips what tells who we are: the client's name and the peer id's prefix, our port and address in handshakes, the key of
	// announces; each torrent has a peer id of its own. The DHT node has a fresh random id and remembers nothing. There are no exchange of
	// trackers, no hole punching, and no web seeds on private addresses.
	Anonymous bool
}

// Session is the engine. Its methods are safe for concurrent use.
type Session struct {
	cfg    Config
	shared torrent.Shared
	id     ident.PeerID
	policy *road.Policy
	main   *way // out over cfg.Network
	pool   *block.Pool
	store  storage.Store
	down   *rate.Limiter
	up     *rate.Limiter
	ln     net.Listener
	udp    *datagrams      // nil: there is no UDP
	dht    *dht.Node       // nil: it takes no part
	lsd    *lsd.Service    // nil: it is off
	ports  *portmap.Mapper // nil: it is off
	greets chan struct{}   // a slot for each incoming handshake
	came   incoming        // connections
	ctx    context.Context
	end    context.CancelFunc
	wg     sync.WaitGroup

	leaving sync.WaitGroup // torrents that are being removed

	mu       sync.Mutex
	torrents map[key]*entry // by every swarm name
	all      []*entry       // in the order added
	notices  []string
	closed   bool
}

type entry struct {
	t     *torrent.Torrent
	way   *way
	apart bool // it is not to be found at our port
	gone  bool // it was removed
	hash  ident.InfoHash
	names []ident.V1
}

// key is what torrents are found by: the hash by which an encrypted handshake names a swarm, so that one map serves plain ones as well.
type key = [sha1.Size]byte

func keyOf(name ident.V1) key { return mse.KeyHash(name) }

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
	cfg.Encryption = orDefault(cfg.Encryption, road.PreferEncryption)
	cfg.Anonymous = cfg.Anonymous || netx.TraitsOf(cfg.Network).Anonymous
	if cfg.Anonymous {
		cfg.IDStyle, cfg.Client = "", ""
	}
	s := &Session{
		cfg: cfg, id: ident.NewPeerID(cfg.IDStyle), pool: block.NewPool(cfg.Memory),
		down: rate.New(cfg.Down, nil), up: rate.New(cfg.Up, nil),
		greets: make(chan struct{}, maxHandshakes), torrents: map[key]*entry{},
	}
	s.policy = &road.Policy{
		Encryption: cfg.Encryption, Filter: cfg.Filter, NoTCP: cfg.NoTCP, Slots: make(chan struct{}, cfg.MaxDials),
		Full: func() bool { return s.connections() >= cfg.MaxPeers },
	}
	s.main = s.newWay(cfg.Network)
	s.ctx, s.end = context.WithCancel(context.Background())
	if cfg.Store != nil {
		s.store = cfg.Store(s.pool)
	} else {
		s.store = storage.NewFiles(s.pool, storage.FilesOptions{})
	}
	if err := s.open(); err != nil {
		s.end()
		_ = s.shut()
		s.wg.Wait()
		s.store.Close()
		return nil, err
	}
	s.share()
	s.openLocal()
	if s.ln != nil {
		s.wg.Go(func() { s.accept(s.ln) })
	}
	if s.udp != nil {
		s.startDatagrams()
	}
	return s, nil
}

// portTries is how often another port is tried when the system chose one that is free for TCP and not for UDP.
const portTries = 10

// open opens the sockets: the listener, and UDP at the same port.
func (s *Session) open() error {
	for try := 1; ; try++ {
		if s.cfg.Listen != "" && !s.cfg.NoTCP {
			ln, err := s.cfg.Network.Listen(s.ctx, "tcp", s.cfg.Listen)
			switch {
			case errors.Is(err, netx.ErrNoListen):
				s.notice("the route takes no incoming connections: peers cannot reach us, but we reach them")
			case err != nil:
				return fmt.Errorf("listening for peers: %w", err)
			default:
				s.ln = ln
			}
		}
		err := s.openDatagrams()
		_, port, _ := net.SplitHostPort(s.cfg.Listen)
		if err == nil || s.ln == nil || port != "0" || try == portTries {
			return err
		}
		_ = s.shut()
	}
}

// shut closes the sockets.
func (s *Session) shut() error {
	if s.ln != nil {
		s.ln.Close()
		s.ln = nil
	}
	return s.closeDatagrams()
}

// notice remembers what a person should know of how the session runs.
func (s *Session) notice(text string) { s.notices = append(s.notices, text) }

// Notices returns what a person should know of how the session runs: what its route cannot do.
func (s *Session) Notices() []string { return s.notices }

// newID returns the peer id of a torrent: the same for all, unless they are not to be linked.
func (s *Session) newID() ident.PeerID {
	if s.cfg.Anonymous {
		return ident.NewPeerID("")
	}
	return s.id
}

// share fills in what all torrents share.
func (s *Session) share() {
	h := &s.shared
	h.Port, h.Store, h.Blocks, h.Version = s.Port(), s.store, s.pool, s.cfg.Client
	h.Anonymous = s.cfg.Anonymous
	if s.dht != nil && !s.cfg.Anonymous {
		h.NodePort, h.Node = s.Port(), s.addNode
	}
	// A crowd leaves several times the memory behind that its torrents need at rest.
	free := func() { go debug.FreeOSMemory() }
	h.Opening, h.Seeking, h.Seeding = torrent.NewGate(maxOpening, free), torrent.NewGate(maxSeeking, free), torrent.NewGate(maxSeeding, free)
	if s.cfg.LANFree {
		h.Exempt = road.IsLocal
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

// Port returns the port where peers reach us, 0 if nowhere.
func (s *Session) Port() uint16 {
	a := s.Addr()
	if a == nil {
		return 0
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap.Port()
}

// Addr returns the address where peers reach us, nil if nowhere.
func (s *Session) Addr() net.Addr {
	switch {
	case s.ln != nil:
		return s.ln.Addr()
	case s.cfg.NoTCP && s.cfg.Listen != "" && s.udp != nil:
		return s.udp.mux.LocalAddr()
	}
	return nil
}

// Resolve returns the addresses of a host, as the session's network finds them.
func (s *Session) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return s.cfg.Network.Resolve(ctx, host)
}

// SetRates changes the limits of all torrents together, in bytes/s; 0 is no limit.
func (s *Session) SetRates(down, up int64) {
	s.down.SetRate(down)
	s.up.SetRate(up)
}

// accept takes connections until the listener is closed.
func (s *Session) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
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
		if s.policy.Blocked(road.AddrOf(c.RemoteAddr())) {
			c.Close()
			continue
		}
		s.came.note(road.AddrOf(c.RemoteAddr()))
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
func (s *Session) hear(raw net.Conn) {
	stop := context.AfterFunc(s.ctx, func() { raw.Close() })
	defer stop()
	conn, theirs, err := s.policy.Hear(raw, s.nameOf)
	if err != nil {
		raw.Close()
		return
	}
	s.mu.Lock()
	e := s.torrents[keyOf(theirs.InfoHash)]
	s.mu.Unlock()
	if e == nil || e.apart || theirs.PeerID == e.t.PeerID() || s.policy.Full() {
		raw.Close()
		return
	}
	e.t.Incoming(conn, theirs)
}

// nameOf returns the swarm whose name has a key, for an encrypted handshake.
func (s *Session) nameOf(k [sha1.Size]byte) (ident.V1, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.torrents[k]
	if e == nil || e.apart {
		return ident.V1{}, false
	}
	for _, n := range e.names {
		if keyOf(n) == k {
			return n, true
		}
	}
	return ident.V1{}, false
}

// connections returns how many peers all torrents together have.
func (s *Session) connections() int { return int(s.shared.Connections.Load()) }

// limiter returns the limit of a torrent below that of the session.
func limiter(spec Spec, bytesPerSecond int64, all *rate.Limiter) *rate.Limiter {
	if bytesPerSecond == 0 && !spec.Adjustable {
		return all
	}
	return rate.New(bytesPerSecond, all)
}

// Add starts a torrent from what the link, metadata or both say; see Spec.
func (s *Session) Add(spec Spec) (*torrent.Torrent, error) {
	cfg, r, err := s.configure(&spec)
	if err != nil {
		return nil, err
	}
	e := &entry{way: r, apart: spec.apart(), hash: cfg.InfoHash, names: cfg.InfoHash.Swarms()}
	cfg.Down, cfg.Up = limiter(spec, spec.Down, s.down), limiter(spec, spec.Up, s.up)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	for _, n := range e.names {
		if s.torrents[keyOf(n)] != nil {
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
		s.torrents[keyOf(n)] = e
	}
	s.all = append(s.all, e)
	return e.t, nil
}

// name adds the names that a torrent turned out to have beside those it was added under: a hybrid's other one.
func (s *Session) name(e *entry, h ident.InfoHash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.gone {
		return
	}
	e.hash = h
	for _, n := range h.Swarms() {
		if s.torrents[keyOf(n)] == nil {
			s.torrents[keyOf(n)] = e
			e.names = append(e.names, n)
		}
	}
}

// Remove stops a torrent and forgets it; its files stay. It waits for the goodbye to trackers until ctx is done.
func (s *Session) Remove(ctx context.Context, t *torrent.Torrent) error {
	s.takeOut(t)
	defer s.leaving.Done()
	return t.Close(ctx)
}

// Erase stops a torrent, forgets it and deletes its files, unless it was added read-only. It waits for that until ctx is done.
func (s *Session) Erase(ctx context.Context, t *torrent.Torrent) error {
	s.takeOut(t)
	defer s.leaving.Done()
	return t.Erase(ctx)
}

func (s *Session) takeOut(t *torrent.Torrent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving.Add(1)
	for i, e := range s.all {
		if e.t == t {
			for _, n := range e.names {
				delete(s.torrents, keyOf(n))
			}
			s.all = slices.Delete(s.all, i, i+1)
			e.gone = true
			return
		}
	}
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
	all := slices.Clone(s.all)
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
	s.leaving.Wait()
	s.end()
	sockets := errors.Join(s.closeLocal(), s.closeDatagrams())
	s.wg.Wait()
	for _, e := range all {
		e.way.client.CloseIdleConnections()
	}
	s.main.client.CloseIdleConnections()
	if n := late.Load(); n > 0 {
		return fmt.Errorf("%d torrents have not ended in time: %w", n, ctx.Err())
	}
	return errors.Join(sockets, s.store.Close())
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

func (s *Session) swarmConfig(spec *Spec, id ident.PeerID) swarm.Config {
	return swarm.Config{
		ID: id, MaxPeers: orDefault(spec.MaxPeers, min(200, s.cfg.MaxPeers)), MaxDials: min(16, s.cfg.MaxDials), Slots: spec.Slots,
		Seed: newSeed(), Private: spec.private(), NoSuper: spec.NoSuper, ShareOnly: spec.ShareOnly, Transient: spec.Transient,
		NoPunch: s.cfg.Anonymous || s.main.UTP == nil || spec.Network != nil,
	}
}
