package picker

import (
	"slices"

	"shoal/internal/ident"
)

// state of one block of a piece that is under way.
type blockState uint8

const (
	free    blockState = iota // nobody is asked
	asked                     // of peer, and perhaps of second
	late                      // asked, but the peer is overdue: another may be asked as if it were free
	arrived                   // from peer
)

type slot struct {
	state        blockState
	overdue      bool // peer is, although state may be asked, of second
	peer, second ident.Peer
}

// partial is a piece under way.
type partial struct {
	piece   int32
	owner   ident.Peer // who began it, or took it over
	only    bool       // after a failed hash: only the owner is asked, so that a second failure names the liar
	slots   []slot
	free    int // slots free or late
	arrived int
	hint    int // no free or late slot lies before it
	hashing bool
}

// begin puts a piece under way.
func (p *Picker) begin(piece int32, owner ident.Peer) *partial {
	p.take(piece)
	n := p.lay.Blocks(int(piece))
	var q *partial
	if k := len(p.spare); k > 0 {
		q, p.spare = p.spare[k-1], p.spare[:k-1]
	} else {
		q = new(partial)
	}
	slots := slices.Grow(q.slots[:0], n)[:n]
	clear(slots)
	*q = partial{piece: piece, slots: slots, free: n}
	p.partials = append(p.partials, q)
	p.addOwned(q, owner)
	if p.at == nil {
		p.at = map[int32]*partial{}
	}
	p.at[piece] = q
	return q
}

// drop ends the work on a piece, whatever its outcome.
func (p *Picker) drop(piece int32) {
	q := p.at[piece]
	if q == nil {
		return
	}
	delete(p.at, piece)
	i := slices.Index(p.partials, q)
	p.partials = slices.Delete(p.partials, i, i+1)
	p.removeOwned(q)
	p.spare = append(p.spare, q)
}

// own makes a peer the owner of a piece under way; 0: nobody.
func (p *Picker) own(q *partial, peer ident.Peer) {
	if q.owner != peer {
		p.removeOwned(q)
		p.addOwned(q, peer)
	}
}

func (p *Picker) addOwned(q *partial, peer ident.Peer) {
	for int(peer) >= len(p.owned) {
		p.owned = append(p.owned, nil)
	}
	q.owner = peer
	p.owned[peer] = append(p.owned[peer], q)
}

func (p *Picker) removeOwned(q *partial) {
	l := p.owned[q.owner]
	i := slices.Index(l, q)
	p.owned[q.owner] = slices.Delete(l, i, i+1)
}

// nextFree returns the first slot that may be asked for, or -1.
func (q *partial) nextFree(peer ident.Peer) int {
	for i := q.hint; i < len(q.slots); i++ {
		s := &q.slots[i]
		if s.state == free || s.state == late && s.peer != peer && s.second != peer {
			return i
		}
	}
	return -1
}

// ask marks a slot as asked of a peer.
func (q *partial) ask(i int, peer ident.Peer) {
	s := &q.slots[i]
	switch s.state {
	case free:
		q.free--
		*s = slot{state: asked, peer: peer}
	case late:
		q.free--
		s.state, s.second = asked, peer
	case asked:
		s.second = peer
	}
	if i == q.hint {
		for q.hint < len(q.slots) && q.slots[q.hint].state >= asked && q.slots[q.hint].state != late {
			q.hint++
		}
	}
}

// Arrival is what became of a block that a peer sent.
type Arrival struct {
	Accepted bool          // keep it
	Cancel   [2]ident.Peer // who else was asked for it; 0: nobody
	Complete bool          // every block of the piece is there now: have it hashed
}

// Arrived records a block. It is not accepted if it is there already, if nobody is collecting its piece, or if its piece is
// fetched from one peer at a time and this one was not asked.
func (p *Picker) Arrived(b Block, from ident.Peer) Arrival {
	q := p.at[b.Piece]
	if q == nil || int(b.Index) >= len(q.slots) {
		return Arrival{}
	}
	s := &q.slots[b.Index]
	if s.state == arrived || q.only && s.peer != from && s.second != from {
		return Arrival{}
	}
	a := Arrival{Accepted: true}
	if s.state == free || s.state == late {
		q.free--
	}
	for i, other := range [...]ident.Peer{s.peer, s.second} {
		if other != from {
			a.Cancel[i] = other
		}
	}
	*s = slot{state: arrived, peer: from}
	q.arrived++
	if q.arrived == len(q.slots) {
		q.hashing, a.Complete = true, true
	}
	return a
}

// Lost records that a peer will not send a block that it was asked for: it rejected it, choked, or left. Others may take over
// the piece.
func (p *Picker) Lost(b Block, peer ident.Peer) {
	q := p.at[b.Piece]
	if q == nil || int(b.Index) >= len(q.slots) {
		return
	}
	s := &q.slots[b.Index]
	if s.state == arrived || s.state == free || s.peer != peer && s.second != peer {
		return
	}
	if q.owner == peer {
		p.own(q, 0)
	}
	switch {
	case s.second == peer:
		q.unask(int(b.Index))
	case s.second != 0:
		*s = slot{state: asked, peer: s.second}
	default:
		if s.state == asked {
			q.free++
		}
		*s = slot{}
		q.hint = min(q.hint, int(b.Index))
		if q.untouched() {
			p.abandon(q)
		}
	}
}

// untouched reports whether nothing of the piece is there or asked for, be it of a peer that is late.
func (q *partial) untouched() bool {
	return q.free == len(q.slots) && !slices.ContainsFunc(q.slots, func(s slot) bool { return s.state == late })
}

// unask forgets that a second peer was asked for a block. If the first is overdue, another may be asked.
func (q *partial) unask(i int) {
	s := &q.slots[i]
	s.second = 0
	if s.overdue {
		s.state = late
		q.free++
		q.hint = min(q.hint, i)
	}
}

// abandon ends a piece of which nothing was received or asked for; it can be begun again.
func (p *Picker) abandon(q *partial) {
	if q.only { // keep the mark: only one peer may fetch this piece
		p.own(q, 0)
		return
	}
	p.drop(q.piece)
	if p.Wants(int(q.piece)) {
		p.insert(q.piece)
	}
}

// Overdue records that a peer is late with a block: another may be asked as well. If another is asked already, the peer
// need not send it any more, and Overdue returns true: its request is to be cancelled.
func (p *Picker) Overdue(b Block, peer ident.Peer) bool {
	q := p.at[b.Piece]
	if q == nil || int(b.Index) >= len(q.slots) {
		return false
	}
	if q.owner == peer {
		p.own(q, 0)
	}
	s := &q.slots[b.Index]
	switch {
	case s.state != asked:
	case s.second == peer:
		q.unask(int(b.Index))
		return true
	case s.peer == peer && s.second != 0:
		*s = slot{state: asked, peer: s.second}
		return true
	case s.peer == peer:
		s.state, s.overdue = late, true
		q.free++
		q.hint = min(q.hint, int(b.Index))
	}
	return false
}

// Asked reports whether a peer is asked for a block and has neither sent nor lost it.
func (p *Picker) Asked(b Block, peer ident.Peer) bool {
	q := p.at[b.Piece]
	if q == nil || int(b.Index) >= len(q.slots) {
		return false
	}
	s := &q.slots[b.Index]
	return (s.state == asked || s.state == late) && (s.peer == peer || s.second == peer)
}

// Disown lets others take over the pieces that a peer began: it choked us, stalls or left.
func (p *Picker) Disown(peer ident.Peer) {
	if peer == 0 || int(peer) >= len(p.owned) {
		return
	}
	for _, q := range p.owned[peer] {
		q.owner = 0
	}
	p.owned[0] = append(p.owned[0], p.owned[peer]...)
	clear(p.owned[peer])
	p.owned[peer] = p.owned[peer][:0]
}

// Rename records that blocks which a peer sent are to be told apart by another name: its own may soon be somebody else's. The
// peer must not be asked for any block.
func (p *Picker) Rename(peer, name ident.Peer) {
	for _, q := range p.partials {
		for i := range q.slots {
			if s := &q.slots[i]; s.state == arrived && s.peer == peer {
				s.peer = name
			}
		}
	}
}

// Senders returns who sent each block of a piece whose blocks have all arrived.
func (p *Picker) Senders(piece int) []ident.Peer {
	q := p.at[int32(piece)]
	if q == nil {
		return nil
	}
	s := make([]ident.Peer, len(q.slots))
	for i := range q.slots {
		s[i] = q.slots[i].peer
	}
	return s
}

// Passed records that a piece hashed right and is stored.
func (p *Picker) Passed(piece int) {
	p.drop(int32(piece))
	p.gained(int32(piece))
}

// Failed records that a piece has to be fetched again. With only true it will be fetched from one peer at a time.
func (p *Picker) Failed(piece int, only bool) {
	p.drop(int32(piece))
	if !p.Wants(piece) {
		return
	}
	if !only {
		p.insert(int32(piece))
		return
	}
	p.begin(int32(piece), 0).only = true
}

// Partial is a look at one piece under way, for people and for tests.
type Partial struct {
	Piece, Arrived, Asked, Blocks int
	Hashing                       bool
}

// Partials returns the pieces under way, oldest first.
func (p *Picker) Partials() []Partial {
	var out []Partial
	for _, q := range p.partials {
		out = append(out, Partial{Piece: int(q.piece), Arrived: q.arrived, Asked: len(q.slots) - q.free - q.arrived, Blocks: len(q.slots), Hashing: q.hashing})
	}
	return out
}
