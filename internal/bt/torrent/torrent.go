// Package torrent runs one torrent: a loop that owns a pure swarm, fed by one mailbox.
//
//	readers of peers, storage workers, finders, dials, the person's commands
//	      │ events                                            ▲ effects: messages, writes, dials
//	      ▼                                                   │
//	   mailbox ──▶ loop: swarm.Step … Tick … Drain ───────────┘
//
// The loop never waits for a disk or a peer. What may take time runs in goroutines of its own, which post their outcome. A torrent
// without peers has no goroutine; see rest.go.
package torrent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/bt/hashes"
	"shoal/internal/bt/metadata"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/picker"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/mailbox"
	"shoal/internal/merkle"
	"shoal/internal/rate"
	"shoal/internal/storage"
)

const blockSize = block.Size

// mailboxLimit is how many events may wait before readers do.
const mailboxLimit = 4096

// Shared is what the torrents of a session share. Zero fields have no effect unless said.
type Shared struct {
	Port    uint16 // where we listen for peers
	Store   storage.Store
	Blocks  *block.Pool
	Exempt  func(netip.Addr) bool // addresses that the limits do not apply to
	Version string                // in extension handshakes; empty: none

	Anonymous bool                 // extension handshakes tell nothing of us (BEP 10), and no trackers are exchanged (BEP 28)
	NodePort  uint16               // UDP port of our DHT node (BEP 5); 0: there is none
	Node      func(netip.AddrPort) // called with the DHT nodes that peers name; nil unless NodePort is set

	Connections atomic.Int64  // to peers, of all torrents together
	External    atomic.Uint32 // the port that a router has opened for ours; 0: it is the same

	// Gates for what many torrents may want at the same time: to open files, and to announce. Who looks for peers does not
	// queue behind seeds.
	Opening, Seeking, Seeding *Gate
}

// Start is what a torrent needs until its files are open, and then forgets.
type Start struct {
	Peers   []discovery.Peer
	Layers  map[merkle.Hash][]byte      // v2: piece layers by root
	Paths   map[int]string              // by file: its path below Root, where that is not the layout's; see storage.Spec
	Select  func(*metainfo.Info) []bool // by file: wanted; nil: all. Called once, when the info is known
	Learned func(Learned)               // called once, when info and v2 piece layers are known, from a goroutine of its own
}

// Config is what a torrent needs. Zero fields have no effect unless said.
type Config struct {
	*Shared
	*Start
	InfoHash ident.InfoHash
	Info     *metainfo.Info // nil: fetched from peers (BEP 9)

	Root        string // the download folder
	Journal     string // path of the resume journal
	ReadOnly    bool
	Preallocate bool
	Recheck     bool // hash what is on disk even if the journal vouches for it
	Complete    bool // all data is there and was hashed this moment: begin with everything

	PeerID ident.PeerID
	Apart  bool // it has a way out of its own, and nothing to do with the port and the DHT node that torrents share
	Dial   Dial
	Client *http.Client // for web seeds

	Down, Up            *rate.Limiter
	WebSeeds, HTTPSeeds []string
	Finders             []discovery.Finder // named by who added the torrent: trackers
	Public              []discovery.Finder // that anybody can join: dropped when the torrent turns out to be private (BEP 27)
	Trackers            TrackerList        // where trackers that peers name go (BEP 28); nil: nowhere

	Sequential bool
	Swarm      swarm.Config // Transient: the store gives pieces up to make room (storage.Cache), and only what is read is wanted
}

// Torrent is one torrent at work. Its methods are safe for concurrent use.
type Torrent struct {
	cfg   Config
	box   *mailbox.Box[swarm.Event]
	begun time.Time
	ended latch          // the loop and all it started are gone
	wg    sync.WaitGroup // goroutines that the loop started

	closing  atomic.Bool
	erase    atomic.Bool // its files are to be deleted at the end
	demanded atomic.Bool // there are demands
	eraseErr error       // what came of that, once it has ended
	status   atomic.Pointer[Status]
	infoHash atomic.Pointer[ident.InfoHash]
	finders  atomic.Pointer[[]*finder]
	progress [3]atomic.Int64          // uploaded, downloaded, left
	want     atomic.Int64             // WantPeers
	known    latch                    // the info is known
	settled  latch                    // existing data was checked, or the torrent failed
	finished latch                    // every wanted piece is there
	reads    atomic.Pointer[readable] // nil until the files are open
	waiting  waiters

	// The rest is the loop's own, and nobody's while the torrent rests.
	sw           *swarm.Swarm
	ctx          context.Context // see context
	cancel       context.CancelFunc
	links        []link // by ident.Peer
	free         []ident.Peer
	touched      []link // have something to flush
	info         *metainfo.Info
	hashes       *metainfo.Hashes
	view         *bitfield.Shared
	store        storage.Handle
	fetch        *metadata.Fetch[ident.Peer] // nil once the info is known
	layers       *hashes.Fetch[ident.Peer]   // nil unless piece layers are missing
	hashServer   *hashes.Server              // nil until the info is known, and for v1
	web          []*webSite
	exchange     exchange    // of trackers
	finding      bool        // the finders are asked
	alarm        *time.Timer // nil until first set
	checking     int         // pieces still being checked
	toCheck      int
	phase        Phase
	failure      error // why the torrent stands still
	full         bool  // the disk is
	held         error // why nothing is asked for, though it could be; see Hold
	wanted       []bool
	wantedBytes  int64
	rates        rates
	lastTick     time.Duration
	seedingSince time.Duration
	retryAt      time.Duration     // when to try the disk again
	priorities   []picker.Priority // by file; nil: all normal
	demands      []*Demand         // of readers
}

// Dial connects to a candidate and exchanges handshakes (BEP 3): ours is said, and the peer must answer for the same swarm or, where that is
// set, for upgrade: a hybrid torrent's v2 swarm (BEP 52). See
// road.Roads.Dial.
type Dial func(ctx context.Context, c swarm.Candidate, ours wire.Handshake, upgrade ident.V1) (net.Conn, wire.Handshake, error)

// Learned is what a torrent knows once its metadata is there.
type Learned struct {
	Info   *metainfo.Info
	Hashes *metainfo.Hashes
}

// Phase is what a torrent is doing.
type Phase string

// Phases. A torrent that stands still for a full disk or a failure says so in Status.Problem.
const (
	Metadata    Phase = "metadata"    // asks peers what the content is
	Opening     Phase = "opening"     // opens files
	Checking    Phase = "checking"    // hashes what is on disk
	Downloading Phase = "downloading" //
	Seeding     Phase = "seeding"     // every wanted piece is there
	Failed      Phase = "failed"      // cannot go on
)

// ErrStopped is what calls return after the torrent has ended.
var ErrStopped = errors.New("the torrent was stopped")

// New starts a torrent. It works until Close.
func New(cfg Config) *Torrent {
	t := &Torrent{
		cfg: cfg, box: mailbox.New[swarm.Event](mailboxLimit), begun: time.Now(),
		sw: swarm.New(cfg.Swarm), phase: Metadata,
	}
	t.setFinders()
	ih := cfg.InfoHash
	t.infoHash.Store(&ih)
	t.publish()
	go func() {
		t.start()
		t.run()
	}()
	return t
}

// now is the swarm's clock.
func (t *Torrent) now() time.Duration { return time.Since(t.begun) }

// run is the loop. It returns when the torrent ends or rests.
func (t *Torrent) run() {
	var wake <-chan struct{} // once the loop has to wait
	var tick *time.Ticker
	for !t.closing.Load() {
		now := t.now()
		for _, e := range t.box.Take() {
			t.step(now, e)
		}
		if now-t.lastTick >= 900*time.Millisecond {
			t.tick(now)
		}
		t.apply(now)
		if t.rest(now) {
			return
		}
		if tick == nil {
			wake, tick = t.box.Wake(), time.NewTicker(time.Second)
			defer tick.Stop()
		}
		select {
		case <-wake:
		case <-tick.C:
		}
	}
	t.stop()
	t.ended.set()
}

// start begins with what is known.
func (t *Torrent) start() {
	t.sw.Step(0, swarm.Event{Kind: swarm.Found, Arg: t.cfg.Peers})
	if t.cfg.Info != nil {
		t.learned(t.cfg.Info)
	} else {
		t.fetch = metadata.NewFetch[ident.Peer](t.cfg.InfoHash)
	}
	t.publishProgress()
	if t.phase == Metadata {
		t.find()
	}
}

// turn says that a gate has let the torrent in: Arg of an event of kind swarm.Other.
type turn struct {
	gate *Gate
	do   func(leave func())
}

// enter has the loop call do once the gate lets it in.
func (t *Torrent) enter(g *Gate, do func(leave func())) {
	g.Enter(func() bool { return t.box.Post(swarm.Event{Kind: swarm.Other, Arg: turn{g, do}}) })
}

// context returns one that ends with the torrent, for what the loop starts.
func (t *Torrent) context() context.Context {
	if t.ctx == nil {
		t.ctx, t.cancel = context.WithCancel(context.Background())
	}
	return t.ctx
}

// goes runs f in a goroutine that stop waits for. Only the loop calls it, so that none starts after that.
func (t *Torrent) goes(f func()) { t.wg.Go(f) }

// do has the loop run f between events.
func (t *Torrent) do(f func()) bool { return t.box.Post(swarm.Event{Kind: swarm.Other, Arg: f}) }

// call has the loop run f and waits for it.
func (t *Torrent) call(f func()) error {
	done := make(chan struct{})
	if !t.do(func() { f(); close(done) }) {
		return ErrStopped
	}
	select {
	case <-done:
		return nil
	case <-t.ended.done():
		return ErrStopped
	}
}

// step gives one event to the swarm, or handles what is not the swarm's.
func (t *Torrent) step(now time.Duration, e swarm.Event) {
	switch e.Kind {
	case swarm.Other:
		t.other(now, e)
		return
	case swarm.Stored:
		r := e.Arg.(storage.Result)
		t.stored(now, r)
		t.sw.Step(now, e)
		t.waiting.wake(r.Piece)
		return
	case swarm.Left:
		if l := t.link(e.Peer); l != nil {
			t.count(now, e.Peer, l)
		}
		t.sw.Step(now, e)
		t.leave(e.Peer)
		return
	}
	t.sw.Step(now, e)
}

// stop ends everything in order: peers, announces, storage; at last finders say goodbye.
func (t *Torrent) stop() {
	t.box.Close()
	if t.cancel != nil {
		t.cancel()
	}
	if t.alarm != nil {
		t.alarm.Stop()
	}
	for _, l := range t.links {
		if l != nil {
			l.Close(ErrStopped)
			t.uncount(l)
		}
	}
	for _, e := range t.box.Take() {
		e.Block.Release()
		switch a := e.Arg.(type) {
		case arrival:
			a.conn.Close()
		case openedStore:
			if a.err == nil {
				t.shut(a.handle)
			}
		case turn:
			a.gate.Leave()
		}
	}
	for _, e := range t.sw.Drain(t.now()) {
		e.Block.Release()
	}
	t.wg.Wait()
	if t.store != nil {
		t.cfg.Opening.Wait(context.Background())
		t.shut(t.store)
		t.cfg.Opening.Leave()
	}
	t.publish()
	t.withdraw()
}

// Close ends the torrent: peers are left, trackers told, files closed. It waits for that until ctx is done.
func (t *Torrent) Close(ctx context.Context) error {
	t.closing.Store(true)
	t.nudge()
	select {
	case <-t.ended.done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// PeerID returns the id by which peers know us in this swarm.
func (t *Torrent) PeerID() ident.PeerID { return t.cfg.PeerID }

// Known returns a channel that is closed when the info is known.
func (t *Torrent) Known() <-chan struct{} { return t.known.done() }

// Settled returns a channel that is closed once what was on disk is checked, or that has failed.
func (t *Torrent) Settled() <-chan struct{} { return t.settled.done() }

// Finished returns a channel that is closed when every wanted piece is there.
func (t *Torrent) Finished() <-chan struct{} { return t.finished.done() }
