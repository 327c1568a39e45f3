package picker

import (
	"cmp"
	"maps"
	"slices"

	"shoal/internal/ident"
)

// Deadline is when somebody needs a piece. The unit of At is the caller's.
type Deadline struct {
	Piece int32
	At    int64
}

// SetDemand says what readers want soon, in place of what it said before: pieces with deadlines before everything else, in the order of their
// deadlines, then those of soon, rarest first. As long as it lasts, all of them are wanted, whatever their priority; a piece needs
// to be named only once, deadlines count first. SetDemand reports whether other pieces are wanted than before.
func (p *Picker) SetDemand(deadlines []Deadline, soon []int32) bool {
	before := p.turned
	p.deadlines = slices.Clone(deadlines)
	slices.SortStableFunc(p.deadlines, func(a, b Deadline) int { return cmp.Compare(a.At, b.At) })
	next := make(map[int32]Priority, len(deadlines)+len(soon))
	raise := func(piece int32) {
		base, was := p.raised[piece]
		if !was {
			base = p.prio[piece]
		}
		if _, twice := next[piece]; !twice {
			next[piece] = base
			p.setPriority(piece, urgent)
		}
	}
	for _, d := range deadlines {
		raise(d.Piece)
	}
	for _, piece := range soon {
		raise(piece)
	}
	for _, piece := range slices.Sorted(maps.Keys(p.raised)) { // in order: the same events give the same swarm
		if _, still := next[piece]; !still {
			p.setPriority(piece, p.raised[piece])
		}
	}
	p.raised = next
	if len(next) == 0 {
		p.raised, p.deadlines = nil, nil
	}
	return p.turned != before
}

// Demanded reports whether readers want a piece soon.
func (p *Picker) Demanded(piece int32) bool {
	_, ok := p.raised[piece]
	return ok
}

// Due returns the missing piece whose deadline is the earliest, and whether anything of it is there or asked for; ok is false if there is none.
func (p *Picker) Due() (d Deadline, begun, ok bool) {
	for _, d := range p.deadlines {
		if q := p.at[d.Piece]; q == nil {
			return d, false, true
		} else if !q.hashing {
			return d, true, true
		}
	}
	return Deadline{}, false, false
}

// Strays returns the pieces under way that nobody wants, but for those being hashed.
func (p *Picker) Strays() (out []int32) {
	for _, q := range p.partials {
		if p.prio[q.piece] == Skip && !q.hashing {
			out = append(out, q.piece)
		}
	}
	return out
}

// Abandon ends the work on a piece: what was received of it is lost. Nobody may be asked for any of it.
func (p *Picker) Abandon(piece int32) {
	p.drop(piece)
	if p.Wants(int(piece)) {
		p.insert(piece)
	}
}

// setPriority changes how much one piece is wanted.
func (p *Picker) setPriority(piece int32, prio Priority) {
	old := p.prio[piece]
	if old == prio || p.have.Has(int(piece)) {
		p.prio[piece] = prio
		return
	}
	p.take(piece)
	p.prio[piece] = prio
	n := int64(p.lay.DataLen(int(piece)))
	switch {
	case old == Skip:
		p.turned++
		p.missing, p.missBytes = p.missing+1, p.missBytes+n
	case prio == Skip:
		p.turned++
		p.missing, p.missBytes = p.missing-1, p.missBytes-n
	}
	if prio != Skip && p.at[piece] == nil {
		p.insert(piece)
	}
	p.first = min(p.first, int(piece))
}

// pickDeadline picks from a piece that is needed by a time. A peer that would be late with it leaves it to a quicker one, and a quick
// one is asked for what a slower one will be late with.
func (p *Picker) pickDeadline(v *View, d Deadline, picked, want int, out []Block) []Block {
	if len(out) >= want || !p.may(v, d.Piece) || !p.Wants(int(d.Piece)) {
		return out
	}
	q := p.at[d.Piece]
	if q != nil && (q.hashing || q.arrived == len(q.slots)) {
		return out
	}
	if v.Unfit != nil && v.Unfit(d, len(out)-picked) {
		p.avoid = append(p.avoid, d.Piece)
		return out
	}
	if v.Rescue != nil && q != nil && !q.only {
		out = p.pickLate(v, q, d, picked, want, out)
	}
	if q == nil || q.free > 0 {
		out = p.pickPiece(v, d.Piece, want, out)
	}
	return out
}

// pickLate asks a second peer for blocks that another will bring too late. A block is never asked of more than two.
func (p *Picker) pickLate(v *View, q *partial, d Deadline, picked, want int, out []Block) []Block {
	if q.free+q.arrived == len(q.slots) {
		return out
	}
	for i := range q.slots {
		if len(out) >= want {
			break
		}
		s := &q.slots[i]
		b := Block{q.piece, int32(i)}
		if s.state == asked && s.second == 0 && s.peer != v.Peer && v.Rescue(s.peer, b, d, len(out)-picked) {
			q.ask(i, v.Peer)
			out = append(out, b)
		}
	}
	return out
}

// Fitness is what View says of a peer's speed, where there are deadlines. Each is told how many blocks were picked before for the peer.
type Fitness struct {
	// Unfit reports whether the peer would be late with a piece, and another that can bring it would be much quicker.
	Unfit func(d Deadline, picked int) bool
	// Rescue reports whether another peer will bring a block too late, and this one much sooner.
	Rescue func(other ident.Peer, b Block, d Deadline, picked int) bool
}
