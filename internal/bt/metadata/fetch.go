// Package metadata exchanges info dictionaries with peers (BEP 9). It is pure: it is told what peers say and what time
// it is, and answers what to ask.
package metadata

import (
	"crypto/sha1"
	"crypto/sha256"
	"slices"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/ident"
)

// PieceSize is the length in bytes of a metadata piece, the last excepted.
const PieceSize = 16 << 10

// MaxSize is the most bytes of metadata that are fetched.
const MaxSize = metainfo.MaxInfo

// How requests are made.
const (
	Pipeline = 4                // requests to one peer at a time
	Timeout  = 10 * time.Second // until a request is given to others, and then again until the peer is asked anew
	Refusal  = 30 * time.Second // until a peer that rejected a request is asked anew
	Stall    = 30 * time.Second // until an attempt that gets nothing gives way to another

	maxAttempts = 3 // at a time, which bounds memory to as many times MaxSize
	maxAskers   = 3 // peers asked for the same piece at the end of an attempt
	maxSuspects = 8192
)

// Pieces returns the number of pieces of size bytes of metadata.
func Pieces(size int) int { return (size + PieceSize - 1) / PieceSize }

// Piece returns a piece of an info dictionary to send to a peer, or false if there is no such piece.
func Piece(raw []byte, i int) ([]byte, bool) {
	if i < 0 || i >= Pieces(len(raw)) {
		return nil, false
	}
	return raw[i*PieceSize : min((i+1)*PieceSize, len(raw))], true
}

// Fetch collects an info dictionary. Peers first work together on it, one attempt for each size that they announce.
// When what they brought is not what the infohash names, each peer of that size works alone, so that a liar is found out.
//
// P names a peer. Times are since any fixed start. A Fetch has one owner.
type Fetch[P comparable] struct {
	hash     ident.InfoHash
	peers    map[P]*peer[P]
	attempts []*attempt[P]
	poisoned map[int]bool // sizes for which peers work alone
	suspects []suspect[P]
	done     []byte
}

type peer[P comparable] struct {
	size   int
	asked  map[int]ask // by piece of its attempt
	live   int         // of asked, those that are not late
	rest   time.Duration
	banned bool
	on     *attempt[P]
}

type ask struct {
	at   time.Duration
	late bool
}

// attempt is metadata that is being put together.
type attempt[P comparable] struct {
	size   int
	solo   bool
	pieces [][]byte
	from   []P
	asking []int // live requests by piece
	left   int   // pieces that are missing
	moved  time.Duration
}

// suspect remembers who sent what in an attempt that failed.
type suspect[P comparable] struct {
	peer        P
	size, piece int
	sum         [sha256.Size]byte
}

// NewFetch returns a fetch of what hash names: by v1, by v2, or, if it has both, by both.
func NewFetch[P comparable](hash ident.InfoHash) *Fetch[P] {
	return &Fetch[P]{hash: hash, peers: map[P]*peer[P]{}, poisoned: map[int]bool{}}
}

// Announced tells that a peer has the metadata, of size bytes by its own account. A size out of 1 … MaxSize, and a
// second announcement, change nothing.
func (f *Fetch[P]) Announced(id P, size int64) {
	if _, ok := f.peers[id]; !ok && size >= 1 && size <= MaxSize {
		f.peers[id] = &peer[P]{size: int(size), asked: map[int]ask{}}
	}
}

// Done returns the info dictionary once it is there and fits the infohash.
func (f *Fetch[P]) Done() ([]byte, bool) { return f.done, f.done != nil }

// Progress returns how many pieces of how many the attempt that is furthest has; 0, 0 before the first request.
func (f *Fetch[P]) Progress() (have, of int) {
	if f.done != nil {
		return Pieces(len(f.done)), Pieces(len(f.done))
	}
	for _, a := range f.attempts {
		if n := len(a.pieces) - a.left; of == 0 || n > have {
			have, of = n, len(a.pieces)
		}
	}
	return have, of
}

// Pick returns a piece to ask a peer for now, and takes it as asked. Call it until it returns false.
func (f *Fetch[P]) Pick(now time.Duration, id P) (piece int, ok bool) {
	p := f.peers[id]
	if p == nil || p.banned || f.done != nil || now < p.rest || p.live >= Pipeline {
		return 0, false
	}
	a := f.join(now, p)
	if a == nil {
		return 0, false
	}
	piece = -1
	for i := range a.pieces {
		before, asked := p.asked[i]
		if a.pieces[i] != nil || a.asking[i] >= maxAskers || asked && !before.late {
			continue
		}
		if piece < 0 || a.asking[i] < a.asking[piece] {
			if piece = i; a.asking[i] == 0 {
				break
			}
		}
	}
	if piece < 0 {
		return 0, false
	}
	p.asked[piece] = ask{at: now}
	p.live++
	a.asking[piece]++
	return piece, true
}

// join returns the attempt that a peer works on, or nil while there is no room for one.
func (f *Fetch[P]) join(now time.Duration, p *peer[P]) *attempt[P] {
	if p.on != nil {
		return p.on
	}
	solo := f.poisoned[p.size]
	if !solo {
		for _, a := range f.attempts {
			if a.size == p.size && !a.solo {
				p.on = a
				return a
			}
		}
	}
	if len(f.attempts) == maxAttempts && !f.evict(now) {
		return nil
	}
	n := Pieces(p.size)
	a := &attempt[P]{size: p.size, solo: solo, pieces: make([][]byte, n), from: make([]P, n), asking: make([]int, n), left: n, moved: now}
	f.attempts = append(f.attempts, a)
	p.on = a
	return a
}

// evict ends an attempt that got nothing for a while, whose peers rest so that others can work.
func (f *Fetch[P]) evict(now time.Duration) bool {
	for _, a := range f.attempts {
		if now-a.moved >= Stall {
			for _, p := range f.peers {
				if p.on == a {
					p.rest = max(p.rest, now+Stall)
				}
			}
			f.drop(a)
			return true
		}
	}
	return false
}

// drop ends an attempt.
func (f *Fetch[P]) drop(a *attempt[P]) {
	f.attempts = slices.DeleteFunc(f.attempts, func(b *attempt[P]) bool { return a == b })
	for _, p := range f.peers {
		if p.on == a {
			p.on, p.live = nil, 0
			clear(p.asked)
		}
	}
}

// answered takes a request off a peer and reports whether it had been made.
func (p *peer[P]) answered(piece int) bool {
	a, ok := p.asked[piece]
	if !ok {
		return false
	}
	delete(p.asked, piece)
	if !a.late {
		p.live--
		p.on.asking[piece]--
	}
	return true
}

// Arrived takes a piece that a peer sent; it copies data. What was not asked for is ignored. It returns the peers that
// are now known to have lied, which get no more requests.
func (f *Fetch[P]) Arrived(now time.Duration, id P, piece int, data []byte) (liars []P) {
	p := f.peers[id]
	if p == nil || f.done != nil || p.banned || !p.answered(piece) {
		return nil
	}
	a := p.on
	if len(data) != min(PieceSize, a.size-piece*PieceSize) {
		f.ban(id)
		return []P{id}
	}
	if a.pieces[piece] != nil {
		return nil
	}
	a.pieces[piece], a.from[piece], a.moved = slices.Clone(data), id, now
	if a.left--; a.left > 0 {
		return nil
	}
	return f.finish(a)
}

// finish checks an attempt that has all its pieces.
func (f *Fetch[P]) finish(a *attempt[P]) (liars []P) {
	raw := slices.Concat(a.pieces...)
	if f.matches(raw) {
		f.done = raw
		f.attempts = nil
		return f.convict()
	}
	f.drop(a)
	if first := a.from[0]; !slices.ContainsFunc(a.from, func(id P) bool { return id != first }) {
		f.ban(first) // it alone sent all of it
		return []P{first}
	}
	f.poisoned[a.size] = true
	for i, b := range a.pieces {
		if len(f.suspects) < maxSuspects {
			f.suspects = append(f.suspects, suspect[P]{a.from[i], a.size, i, sha256.Sum256(b)})
		}
	}
	return nil
}

// matches reports whether raw is what the infohash names.
func (f *Fetch[P]) matches(raw []byte) bool {
	return !f.hash.IsZero() && (!f.hash.HasV1() || f.hash.V1 == sha1.Sum(raw)) && (!f.hash.HasV2() || f.hash.V2 == sha256.Sum256(raw))
}

// convict returns the suspects that sent something else than the truth, now that it is known.
func (f *Fetch[P]) convict() (liars []P) {
	for _, s := range f.suspects {
		truth, _ := Piece(f.done, s.piece)
		if (s.size != len(f.done) || sha256.Sum256(truth) != s.sum) && !slices.Contains(liars, s.peer) {
			liars = append(liars, s.peer)
			f.ban(s.peer)
		}
	}
	f.suspects = nil
	return liars
}

// ban gives a peer no more requests. It stays known, so that it cannot announce itself anew.
func (f *Fetch[P]) ban(id P) {
	if p := f.peers[id]; p != nil {
		f.leave(p)
		p.banned = true
	}
}

// leave takes a peer off its attempt, which ends if it was the peer's alone.
func (f *Fetch[P]) leave(p *peer[P]) {
	if p.on == nil {
		return
	}
	if p.on.solo {
		f.drop(p.on)
		return
	}
	for piece, a := range p.asked {
		if !a.late {
			p.on.asking[piece]--
		}
	}
	clear(p.asked)
	p.on, p.live = nil, 0
}

// Rejected tells that a peer refused a request.
func (f *Fetch[P]) Rejected(now time.Duration, id P, piece int) {
	if p := f.peers[id]; p != nil && p.answered(piece) {
		p.rest = now + Refusal
	}
}

// Gone tells that a peer's connection ended. What it brought is kept.
func (f *Fetch[P]) Gone(id P) {
	if p := f.peers[id]; p != nil {
		f.leave(p)
		delete(f.peers, id)
	}
}

// Tick gives requests that timed out to other peers. Their answers are still welcome.
func (f *Fetch[P]) Tick(now time.Duration) {
	for _, p := range f.peers {
		for piece, a := range p.asked {
			if !a.late && now-a.at >= Timeout {
				a.late = true
				p.asked[piece] = a
				p.live--
				p.on.asking[piece]--
				p.rest = now + Timeout
			}
		}
	}
}
