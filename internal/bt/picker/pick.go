package picker

import (
	"slices"

	"shoal/internal/ident"
)

// View is what the picker needs to know of the peer that it picks for.
type View struct {
	Peer ident.Peer
	Has  func(piece int) bool // nil: everything
	// Fast says that the peer fetches a whole piece in seconds: it gets pieces of its own. A slow one helps with
	// pieces that others began.
	Fast bool
	// InOrder asks for adjacent pieces from the front: a web seed serves a long run in one request.
	InOrder bool
	// Endgame allows blocks that another peer was asked for already.
	Endgame bool
	// Slower reports whether another peer will bring a block so much later that asking this one too is worth it; then this one
	// is asked. Endgame only.
	Slower func(other ident.Peer, b Block) bool
	Fitness
	// Only restricts the choice (allowed-fast pieces while choked, BEP 6); nil: all.
	Only func(piece int) bool
}

// may reports whether a piece may be asked of the peer that is picked for.
func (p *Picker) may(v *View, piece int32) bool {
	return (v.Has == nil || v.Has(int(piece))) && (v.Only == nil || v.Only(int(piece))) && !slices.Contains(p.avoid, piece)
}

// Pick appends up to n blocks to ask of a peer to out, and marks them as asked.
func (p *Picker) Pick(v *View, n int, out []Block) []Block {
	want := len(out) + n
	full := func() bool { return len(out) >= want }
	p.avoid = p.avoid[:0]
	for picked, i := len(out), 0; i < len(p.deadlines) && !full(); i++ {
		out = p.pickDeadline(v, p.deadlines[i], picked, want, out)
	}
	if full() {
		return out
	}
	// Pieces that the peer began come first: they end soonest and one sender makes a bad piece easy to trace.
	if int(v.Peer) < len(p.owned) {
		for _, q := range p.owned[v.Peer] {
			out = p.pickPartial(v, q, want, out)
		}
	}
	out = p.pickOrphans(v, want, out)
	if !v.Fast && !full() {
		out = p.pickPartials(v, want, out)
	}
	if p.sequential || v.InOrder {
		out = p.pickInOrder(v, want, out)
	} else {
		out = p.pickRarest(v, want, out)
	}
	if v.Fast && !full() {
		out = p.pickPartials(v, want, out)
	}
	if v.Endgame && !full() {
		out = p.pickAgain(v, want, out)
	}
	return out
}

// pickOrphans picks from pieces whose owner is gone. The peer becomes the owner.
func (p *Picker) pickOrphans(v *View, want int, out []Block) []Block {
	if len(p.owned) == 0 {
		return out
	}
	for i := 0; i < len(p.owned[0]) && len(out) < want; {
		q := p.owned[0][i]
		if out = p.pickPartial(v, q, want, out); q.owner == 0 {
			i++
		}
	}
	return out
}

func (p *Picker) pickPartials(v *View, want int, out []Block) []Block {
	for _, q := range p.partials {
		if len(out) >= want {
			break
		}
		out = p.pickPartial(v, q, want, out)
	}
	return out
}

func (p *Picker) pickPartial(v *View, q *partial, want int, out []Block) []Block {
	if len(out) < want && q.free > 0 && p.may(v, q.piece) && p.prio[q.piece] != Skip {
		out = p.ask(q, v.Peer, want, out)
	}
	return out
}

// ask picks blocks of a piece under way. What nobody owns gets an owner.
func (p *Picker) ask(q *partial, peer ident.Peer, want int, out []Block) []Block {
	if q.only && q.owner != 0 && q.owner != peer {
		return out
	}
	if q.owner == 0 {
		p.own(q, peer)
	}
	for len(out) < want && q.free > 0 {
		i := q.nextFree(peer)
		if i < 0 {
			break
		}
		q.ask(i, peer)
		out = append(out, Block{q.piece, int32(i)})
	}
	return out
}

func (p *Picker) pickPiece(v *View, piece int32, want int, out []Block) []Block {
	if !p.may(v, piece) || !p.Wants(int(piece)) {
		return out
	}
	q := p.at[piece]
	if q == nil {
		q = p.begin(piece, v.Peer)
	}
	return p.ask(q, v.Peer, want, out)
}

func (p *Picker) pickRarest(v *View, want int, out []Block) []Block {
	for i := 0; i < len(p.order) && len(out) < want; {
		piece := p.order[i]
		if !p.may(v, piece) {
			i++
			continue
		}
		out = p.ask(p.begin(piece, v.Peer), v.Peer, want, out) // begin fills place i with another
	}
	return out
}

func (p *Picker) pickInOrder(v *View, want int, out []Block) []Block {
	if len(p.order) == 0 {
		return out
	}
	for p.first < len(p.prio) && (p.prio[p.first] == Skip || p.have.Has(p.first)) {
		p.first++
	}
	for _, level := range [...]Priority{urgent, High, Normal, Low} {
		for i := p.first; i < len(p.prio) && len(out) < want; i++ {
			if p.prio[i] == level && p.pos[i] >= 0 && p.may(v, int32(i)) {
				out = p.ask(p.begin(int32(i), v.Peer), v.Peer, want, out)
			}
		}
	}
	return out
}

// pickAgain asks a second peer for blocks that a slower one was asked for: the last ones of the piece first, because
// peers answer in order. A block is never asked of more than two, so the endgame costs at most one extra copy.
func (p *Picker) pickAgain(v *View, want int, out []Block) []Block {
	for _, q := range p.partials {
		if q.only || q.hashing || !p.may(v, q.piece) || p.prio[q.piece] == Skip {
			continue
		}
		for i := len(q.slots) - 1; i >= 0 && len(out) < want; i-- {
			s := &q.slots[i]
			b := Block{q.piece, int32(i)}
			if s.state == asked && s.second == 0 && s.peer != v.Peer && v.Slower(s.peer, b) {
				q.ask(i, v.Peer)
				out = append(out, b)
			}
		}
	}
	return out
}
