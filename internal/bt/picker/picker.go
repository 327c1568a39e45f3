// Package picker decides which block to ask of which peer next: pieces with deadlines first, then the rarest
// (BEP 3; Cohen 2003, §2.3), each piece from one peer while that keeps up, and in the endgame a block from two.
//
// It is pure: no clock, no I/O. One owner calls it.
package picker

import (
	"math/rand/v2"
	"slices"

	"shoal/internal/bitfield"
	"shoal/internal/layout"
)

// Priority says how much a piece is wanted.
type Priority uint8

// Priorities from unwanted to first.
const (
	Skip Priority = iota
	Low
	Normal
	High
	urgent // of what readers want soon; see SetDemand
)

// Block names one block of a piece by its index: it begins at Index × block.Size.
type Block struct {
	Piece, Index int32
}

// maxRank caps the availability that is told apart: beyond it pieces count as equally common.
const maxRank = 255

// Picker holds what is wanted, how rare it is, and what is under way.
type Picker struct {
	lay  *layout.Layout
	have bitfield.Set
	prio []Priority
	away []uint16 // by piece: how many peers other than seeds have it

	// order holds the pieces that are wanted and not begun, by bucket (see bucket), at random within one.
	// pos is a piece's place in order or -1. end[b] is one past the last place of bucket b. Both are nil until they are needed,
	// which in a torrent that was complete from the start may be never.
	order []int32
	pos   []int32
	end   []int32

	partials  []*partial // under way, in the order begun
	at        map[int32]*partial
	owned     [][]*partial       // by owner: what is under way; of nobody at 0
	spare     []*partial         // for reuse
	deadlines []Deadline         // ascending
	raised    map[int32]Priority // what readers want soon, and its priority apart from that; see SetDemand
	turned    int                // counts pieces that became wanted or unwanted one by one
	avoid     []int32            // deadline pieces that the peer picked for leaves to quicker ones
	missing   int                // pieces wanted, not had
	missBytes int64              // of data in them

	sequential bool
	first      int // no missing wanted piece lies before it
	rng        *rand.Rand
}

// New returns a picker for content of which have is there already. Everything else is wanted with priority Normal.
func New(lay *layout.Layout, have bitfield.Set, seed uint64) *Picker {
	n := lay.Pieces()
	p := &Picker{
		lay: lay, have: have.Clone(), prio: make([]Priority, n), away: make([]uint16, n),
		rng: rand.New(rand.NewPCG(seed, 0x5a0a1)),
	}
	for i := range n {
		p.prio[i] = Normal
		if lay.DataLen(i) == 0 {
			p.have.Add(i) // a gap: nothing to fetch
		}
	}
	p.rebuild()
	return p
}

// bucket orders pieces: priority first, then availability.
func (p *Picker) bucket(piece int32) int {
	return int(urgent-p.prio[piece])*(maxRank+1) + min(int(p.away[piece]), maxRank)
}

// rebuild makes order, end and the counts of what is missing anew, shuffled.
func (p *Picker) rebuild() {
	p.order, p.missing, p.missBytes, p.first = p.order[:0], 0, 0, 0
	for i := range p.prio {
		if p.prio[i] == Skip || p.have.Has(i) {
			continue
		}
		p.missing++
		p.missBytes += int64(p.lay.DataLen(i))
		if p.at[int32(i)] == nil {
			p.order = append(p.order, int32(i))
		}
	}
	if len(p.order) == 0 && p.pos == nil {
		return
	}
	p.needOrder()
	for i := range p.pos {
		p.pos[i] = -1
	}
	p.rng.Shuffle(len(p.order), func(i, j int) { p.order[i], p.order[j] = p.order[j], p.order[i] })
	slices.SortStableFunc(p.order, func(a, b int32) int { return p.bucket(a) - p.bucket(b) })
	clear(p.end)
	for i, piece := range p.order {
		p.pos[piece] = int32(i)
		p.end[p.bucket(piece)] = int32(i + 1)
	}
	for b := 1; b < len(p.end); b++ {
		p.end[b] = max(p.end[b], p.end[b-1])
	}
}

// needOrder makes the memory that an order of pieces needs.
func (p *Picker) needOrder() {
	if p.pos != nil {
		return
	}
	p.pos, p.end = make([]int32, len(p.prio)), make([]int32, int(urgent)*(maxRank+1))
	for i := range p.pos {
		p.pos[i] = -1
	}
}

// insert puts a piece that is not in order into its bucket, at a random place of it.
func (p *Picker) insert(piece int32) {
	p.needOrder()
	b := p.bucket(piece)
	p.order = append(p.order, piece)
	hole := int32(len(p.order) - 1)
	for k := len(p.end) - 1; k > b; k-- { // rotate the first of each later bucket to its end
		first := p.end[k-1]
		if first < p.end[k] {
			p.put(hole, p.order[first])
			hole = first
		}
		p.end[k]++
	}
	p.end[b]++
	p.put(hole, piece)
	start := p.start(b)
	p.swap(hole, start+int32(p.rng.IntN(int(hole-start)+1)))
}

// take removes a piece from order.
func (p *Picker) take(piece int32) {
	if p.pos == nil || p.pos[piece] < 0 {
		return
	}
	hole := p.pos[piece]
	p.pos[piece] = -1
	for k := p.bucket(piece); k < len(p.end); k++ { // fill the hole with the last of each bucket
		last := p.end[k] - 1
		if last >= hole && last >= p.start(k) {
			if last != hole {
				p.put(hole, p.order[last])
			}
			hole = last
		}
		p.end[k]--
	}
	p.order = p.order[:len(p.order)-1]
}

func (p *Picker) start(b int) int32 {
	if b == 0 {
		return 0
	}
	return p.end[b-1]
}

func (p *Picker) put(at, piece int32) { p.order[at], p.pos[piece] = piece, at }

func (p *Picker) swap(i, j int32) {
	a, b := p.order[i], p.order[j]
	p.put(i, b)
	p.put(j, a)
}

// shift moves a piece whose availability changes by one into the neighbouring bucket.
func (p *Picker) shift(piece int32, up bool) {
	at := int32(-1)
	if p.pos != nil {
		at = p.pos[piece]
	}
	old := p.bucket(piece)
	if up {
		p.away[piece]++
	} else {
		p.away[piece]--
	}
	if at < 0 || p.bucket(piece) == old {
		return
	}
	if up {
		p.swap(at, p.end[old]-1)
		p.end[old]--
		at = p.end[old]
		to := old + 1
		p.swap(at, at+int32(p.rng.IntN(int(p.end[to]-at))))
	} else {
		p.swap(at, p.start(old))
		at = p.start(old)
		p.end[old-1]++
		start := p.start(old - 1)
		p.swap(at, start+int32(p.rng.IntN(int(at-start)+1)))
	}
}

// PeerHas counts one more peer, other than a seed, that has the piece.
func (p *Picker) PeerHas(piece int) {
	if p.away[piece] < 1<<16-1 {
		p.shift(int32(piece), true)
	}
}

// PeerLost counts one peer less that has the piece.
func (p *Picker) PeerLost(piece int) {
	if p.away[piece] > 0 {
		p.shift(int32(piece), false)
	}
}

// Availability returns how many peers other than seeds have the piece.
func (p *Picker) Availability(piece int) int { return int(p.away[piece]) }

// Have reports whether the piece is there.
func (p *Picker) Have(piece int) bool { return p.have.Has(piece) }

// Wants reports whether the piece is wanted and not there.
func (p *Picker) Wants(piece int) bool { return p.prio[piece] != Skip && !p.have.Has(piece) }

// Missing returns how many wanted pieces are not there, and the bytes of data in them.
func (p *Picker) Missing() (pieces int, bytes int64) { return p.missing, p.missBytes }

// SetPriorities changes how much each piece is wanted. Work on pieces that are no longer wanted goes on only for
// blocks already asked for. What readers want soon stays wanted.
func (p *Picker) SetPriorities(prio []Priority) {
	copy(p.prio, prio)
	for piece := range p.raised {
		p.raised[piece], p.prio[piece] = prio[piece], urgent
	}
	p.rebuild()
}

// SetSequential makes pieces be asked for in order instead of rarest first.
func (p *Picker) SetSequential(on bool) { p.sequential = on }

// gained records that a piece is there.
func (p *Picker) gained(piece int32) {
	if p.have.Has(int(piece)) {
		return
	}
	if p.prio[piece] != Skip {
		p.missing--
		p.missBytes -= int64(p.lay.DataLen(int(piece)))
	}
	p.take(piece)
	p.have.Add(int(piece))
	p.deadlines = slices.DeleteFunc(p.deadlines, func(d Deadline) bool { return d.Piece == piece })
}

// Gained records a piece that was found on disk.
func (p *Picker) Gained(piece int) {
	p.drop(int32(piece))
	p.gained(int32(piece))
}

// Forget records that a piece that was there is not any more. Of a gap nothing can be missing.
func (p *Picker) Forget(piece int) {
	if p.lay.DataLen(piece) == 0 || !p.have.Remove(piece) {
		return
	}
	p.first = min(p.first, piece)
	if p.prio[piece] != Skip {
		p.missing++
		p.missBytes += int64(p.lay.DataLen(piece))
		p.insert(int32(piece))
	}
}
