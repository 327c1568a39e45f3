// Package swarm makes every decision of one torrent about its peers: what to ask of whom, whom to serve, whom to dial, whom
// to trust. It is pure: events and the time go in, effects come out; it has no clock, no goroutine and no I/O.
//
//	Step(now, event)…  →  Tick(now) once a second  →  Drain() after each batch
//
// The caller owns it, posts what peers and storage say as events, and carries out the effects in order.
package swarm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/bt/choker"
	"shoal/internal/bt/peerlist"
	"shoal/internal/bt/picker"
	"shoal/internal/ident"
	"shoal/internal/layout"
)

// Config sets a swarm up. The zero value of a field means what its comment says.
type Config struct {
	ID        ident.PeerID // ours
	MaxPeers  int          // connections; 0: 200
	MaxDials  int          // half-open dials at once; 0: 16
	Slots     int          // unchoked peers; 0: as many as the line is seen to serve, see choker.Slots
	Seed      uint64       // of all chance
	Private   bool         // BEP 27: no PEX
	NoSuper   bool         // show everything at once even while we are the only seed (see superSeed)
	ShareOnly bool         // never ask for anything
	Transient bool         // what was fetched may be given up again: nobody is ever done, and readers say what is wanted
	NoPunch   bool         // no hole punching (BEP 55): there is no uTP, or nobody is to learn of us that way
}

// Errors for which a peer is dropped.
var (
	ErrBadData   = errors.New("sent data that does not match its hash")
	ErrProtocol  = errors.New("violated the protocol")
	ErrUseless   = errors.New("both sides are complete")
	ErrCrowded   = errors.New("too many connections")
	ErrBanned    = errors.New("is banned")
	ErrUnasked   = errors.New("sends blocks that nobody asked for")
	ErrDuplicate = errors.New("is connected already")
	ErrSilent    = errors.New("owes blocks and sends none")
)

// Swarm is the state of one torrent among its peers. It has one owner.
type Swarm struct {
	cfg    Config
	lay    *layout.Layout // nil until Begin
	have   bitfield.Set
	view   *bitfield.Shared // the same for readers in other goroutines
	picker *picker.Picker   // nil while nothing is known, and at rest when nothing is missing; see Rest
	list   peerlist.List
	rng    *rand.Rand

	peers    []*peer // in the order they joined
	slots    []*peer // by ident.Peer
	dials    int
	seeds    int // connected peers that have everything
	incoming int // connections that peers have made so far
	live     int // peers, without web seeds and those being dropped
	serving  int // interested peers that we serve
	waiting  int // and that we choke
	paused   bool
	held     bool // nothing is asked for
	done     bool // every wanted piece is there
	reading  bool // somebody reads: see SetDemand
	wishes   bool // the picker was told of priorities or an order
	awake    bool // all peers are thirsty
	effects  []Effect
	drained  int     // how many of them the last Drain returned
	thirsty  []*peer // to be given requests at the next Drain
	changes  uint64  // counts what may give a dry peer something to ask
	blocks   []picker.Block
	news     []int32 // pieces gained of which seeds are still to be told

	pex      pex
	punching punching
	suspects map[int32]*suspect
	departed departed
	super    *superSeed // nil unless it is at work

	lastTick    time.Duration
	nextChoke   time.Duration
	line        line
	uploads     choker.Slots
	downTotal   int64 // of peers that left, too
	upTotal     int64
	wasted      int64 // bytes received and not needed
	failedBytes int64 // bytes of pieces that hashed wrong
}

// New returns a swarm that knows nothing about the content yet: peers can join, addresses be found.
func New(cfg Config) *Swarm {
	if cfg.MaxPeers == 0 {
		cfg.MaxPeers = 200
	}
	if cfg.MaxDials == 0 {
		cfg.MaxDials = 16
	}
	return &Swarm{
		cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x5e1f)),
		changes: 1,
	}
}

// Begin tells the layout and the pieces that are there; view is kept equal to them for readers. What peers said about their
// pieces before takes effect now.
func (s *Swarm) Begin(now time.Duration, lay *layout.Layout, have bitfield.Set, view *bitfield.Shared) {
	s.lay, s.have, s.view = lay, have.Clone(), view
	for i := range lay.Pieces() {
		if lay.DataLen(i) == 0 {
			s.have.Add(i) // padding only
		}
		if s.have.Has(i) {
			view.Add(i)
		}
	}
	s.picker = picker.New(lay, s.have, s.cfg.Seed)
	for _, p := range s.peers {
		s.applyEarly(now, p)
		if p.info.WebSeed {
			continue
		}
		for i := range lay.Pieces() {
			if s.have.Has(i) {
				s.emit(Effect{Kind: SendHave, Peer: p.id, Piece: int32(i)})
			}
		}
	}
	s.checkDone(now, false)
}

// Known reports whether the layout is known.
func (s *Swarm) Known() bool { return s.lay != nil }

// Done reports whether every wanted piece is there.
func (s *Swarm) Done() bool { return s.done }

// Complete reports whether all pieces are there, wanted or not.
func (s *Swarm) Complete() bool { return s.lay != nil && s.have.All() }

// Missing returns how many wanted pieces are not there, and the bytes of data in them.
func (s *Swarm) Missing() (pieces int, bytes int64) {
	if s.picker == nil {
		return 0, 0
	}
	return s.picker.Missing()
}

// LeftBytes returns the bytes of data in all pieces that are not there, wanted or not.
func (s *Swarm) LeftBytes() int64 {
	var n int64
	for i := range s.lay.Pieces() {
		if !s.have.Has(i) {
			n += int64(s.lay.DataLen(i))
		}
	}
	return n
}

// Hiding reports whether peers are not shown that we are complete (BEP 16).
func (s *Swarm) Hiding() bool { return s.super != nil }

// Drain gives idle pipelines requests and returns what is to be done. The slice is valid until the next call.
func (s *Swarm) Drain(now time.Duration) []Effect {
	if s.awake {
		s.thirsty, s.awake = append(s.thirsty, s.peers...), false
	}
	for _, snubbed := range [...]bool{false, true} { // who stalls is asked after the others
		for _, p := range s.thirsty {
			if p.pipe.snubbed == snubbed && s.slots[p.id] == p {
				s.fill(now, p)
			}
		}
	}
	clear(s.thirsty)
	s.thirsty = s.thirsty[:0]
	e := s.effects
	if n := len(e); n < s.drained && s.drained <= cap(e) {
		clear(e[n:s.drained]) // what was returned before is not kept
	}
	s.effects, s.drained = e[:0], len(e)
	return e
}

// Rest gives back the memory that a swarm without peers does not need, until the next event. When nothing is missing or under way,
// and no file has a priority, that is all but its totals and addresses.
func (s *Swarm) Rest() {
	if len(s.peers) > 0 || len(s.effects) > 0 {
		return
	}
	s.peers, s.slots, s.effects, s.drained, s.thirsty, s.blocks, s.super = nil, nil, nil, 0, nil, nil, nil
	s.news, s.pex.here, s.pex.gone = nil, nil, nil // nobody is owed any
	if s.done && !s.wishes && len(s.Partials()) == 0 {
		s.picker = nil
	}
}

// rouse makes the picker again after a rest.
func (s *Swarm) rouse() {
	if s.picker != nil || s.lay == nil {
		return
	}
	s.picker = picker.New(s.lay, s.have, s.cfg.Seed)
}

func (s *Swarm) emit(e Effect) { s.effects = append(s.effects, e) }

func (s *Swarm) peer(id ident.Peer) *peer {
	if int(id) >= len(s.slots) {
		return nil
	}
	return s.slots[id]
}

// drop asks for a peer's connection to be closed. Left will follow; until then nothing of the peer counts.
func (s *Swarm) drop(p *peer, why error) {
	if p.dropped {
		return
	}
	p.dropped = true
	s.live -= p.counts()
	s.emit(Effect{Kind: Drop, Peer: p.id, Arg: why})
}

func (s *Swarm) violation(p *peer, format string, args ...any) {
	s.drop(p, fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...)))
}

// ban drops a peer and takes no more from its host.
func (s *Swarm) ban(host netip.Addr, why error) {
	s.list.Ban(host)
	for _, p := range s.peers {
		if p.info.Addr.Addr().Unmap() == host.Unmap() && !p.info.WebSeed {
			s.drop(p, why)
		}
	}
}

// checkDone notices that nothing wanted is missing any more, or that something is again.
func (s *Swarm) checkDone(now time.Duration, tell bool) {
	missing, _ := s.picker.Missing()
	was := s.done
	s.done = missing == 0 && !s.cfg.Transient
	if s.done && !was {
		if tell {
			s.emit(Effect{Kind: Completed})
		}
		s.nextChoke = now // seeding chokes by other rules
		for _, p := range s.peers {
			s.updateInterest(p)
			s.dropIfUseless(p)
		}
	}
}

// dropIfUseless drops a peer when neither side can want anything of the other.
func (s *Swarm) dropIfUseless(p *peer) {
	if s.Complete() && (p.seed || p.ext.UploadOnly && p.pieces > 0 && !p.theyInterest) && p.pieces > 0 {
		s.list.Seed(p.listen(), true)
		s.drop(p, ErrUseless)
	}
}

// SetPriorities changes how much each piece is wanted.
func (s *Swarm) SetPriorities(now time.Duration, prio []picker.Priority) {
	s.rouse()
	s.picker.SetPriorities(prio)
	s.wishes = s.wishes || slices.ContainsFunc(prio, func(p picker.Priority) bool { return p != picker.Normal })
	for _, p := range s.peers {
		s.recount(p)
	}
	s.wake()
	s.checkDone(now, true)
}

// SetPrivate ends the exchange of peers, for a torrent that turns out to be private (BEP 27).
func (s *Swarm) SetPrivate() { s.cfg.Private = true }

// SetSequential makes pieces be fetched in order.
func (s *Swarm) SetSequential(on bool) {
	s.rouse()
	s.wishes = s.wishes || on
	s.picker.SetSequential(on)
	s.wake()
}

// wake lets every peer be asked again.
func (s *Swarm) wake() {
	s.changes++
	s.awake = true
}

// Stats is a look at the swarm for people.
type Stats struct {
	Peers, Seeds        int
	WebSeeds            int
	UTP                 int // peers over uTP
	Known, Candidates   int // addresses
	Dials               int
	Have, Pieces        int
	Missing             int   // wanted pieces that are not there
	MissingBytes        int64 // of data in them
	Unavailable         int   // wanted pieces that no connected peer has
	DownTotal, UpTotal  int64 // payload
	Wasted, FailedBytes int64
	Choking             int // peers that we want something of and that choke us
	Interesting         int // peers that have something we want
	Uploads             int // unchoked interested peers
	Incoming            int // connections that peers have made to us so far
	Paused              bool
}

// Stats counts what there is now.
func (s *Swarm) Stats() Stats {
	st := Stats{Peers: len(s.peers), Seeds: s.seeds, Dials: s.dials, DownTotal: s.downTotal, UpTotal: s.upTotal,
		Wasted: s.wasted, FailedBytes: s.failedBytes, Uploads: s.serving, Incoming: s.incoming, Paused: s.paused}
	st.Known, st.Candidates = s.list.Len()
	for _, p := range s.peers {
		st.DownTotal += p.downTotal
		st.UpTotal += p.upTotal
		if p.info.UTP {
			st.UTP++
		}
		if p.info.WebSeed {
			st.WebSeeds++
			st.Peers--
			if p.seed {
				st.Seeds--
			}
		}
		if p.weInterest {
			st.Interesting++
			if p.theyChoke {
				st.Choking++
			}
		}
	}
	if s.lay != nil {
		st.Have, st.Pieces = s.have.Count(), s.lay.Pieces()
		st.Missing, st.MissingBytes = s.Missing()
		if st.Missing > 0 && s.seeds == 0 {
			for i := range s.lay.Pieces() {
				if s.picker.Wants(i) && s.picker.Availability(i) == 0 {
					st.Unavailable++
				}
			}
		}
	}
	return st
}

// PeerStats is a look at one peer for people.
type PeerStats struct {
	ID                ident.Peer
	Info              PeerInfo
	Client            string
	Pieces            int
	Seed              bool
	DownRate, UpRate  float64
	Down, Up          int64
	Requests          int
	TheyChoke         bool
	WeInterest        bool
	WeChoke           bool
	TheyInterest      bool
	Snubbed           bool
	RoundTrip         time.Duration
	Optimistic, Fresh bool
}

// PeerStats returns a look at every peer in the order they joined.
func (s *Swarm) PeerStats() []PeerStats {
	var out []PeerStats
	for _, p := range s.peers {
		out = append(out, PeerStats{
			ID: p.id, Info: p.info, Client: p.ext.Client, Pieces: p.pieces, Seed: p.seed,
			DownRate: p.downRate, UpRate: p.upRate, Down: p.downTotal, Up: p.upTotal, Requests: p.pipe.under,
			TheyChoke: p.theyChoke, WeInterest: p.weInterest, WeChoke: p.weChoke, TheyInterest: p.theyInterest,
			Snubbed: p.pipe.snubbed, RoundTrip: p.pipe.rtt, Optimistic: p.optimistic, Fresh: !p.useful,
		})
	}
	return out
}

// Partials returns the pieces under way.
func (s *Swarm) Partials() []picker.Partial {
	if s.picker == nil {
		return nil
	}
	return s.picker.Partials()
}

// slotsNow returns how many peers are to be served at once.
func (s *Swarm) slotsNow() int {
	if s.cfg.Slots > 0 {
		return s.cfg.Slots
	}
	return s.uploads.N()
}
