package swarm

import (
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/picker"
	"shoal/internal/ident"
)

const blockSize = block.Size

// refusal is for how long a piece is not asked of a peer that rejected a request for it without choking us.
const refusal = 2 * time.Second

// maxUnasked is how many blocks that nobody asked for a peer may send before it is dropped. A few come by honest crossing of
// cancels on the way.
const maxUnasked = 2 * maxTarget

// thirst notes that a peer may have room for requests.
func (s *Swarm) thirst(p *peer) {
	if n := len(s.thirsty); n > 0 && s.thirsty[n-1] == p {
		return
	}
	s.thirsty = append(s.thirsty, p)
}

// offers notes that there is more to ask of a peer than before.
func (s *Swarm) offers(p *peer) {
	p.dry = 0
	s.thirst(p)
}

// fill asks a peer for as many blocks as its pipeline has room for.
func (s *Swarm) fill(now time.Duration, p *peer) {
	q := &p.pipe
	if s.picker == nil || s.paused || s.held || p.dropped || !p.weInterest || p.theyChoke && len(p.allowedFast) == 0 {
		return
	}
	room := q.target - q.under
	if s.reading && q.rate == 0 && !p.info.WebSeed {
		room = minTarget - q.under // what an unknown peer is given may have to wait long
	}
	if q.snubbed {
		room = 1 - q.under
	}
	batch := q.target / 16
	if p.info.WebSeed {
		batch = q.target / 2
	}
	if room <= 0 || q.under > 0 && room < batch || p.dry == s.changes && q.under > 0 {
		return
	}
	v := picker.View{Peer: p.id, Has: p.hasPiece, Fast: s.isFast(p), InOrder: p.info.WebSeed}
	if p.seed {
		v.Has = nil
	}
	if s.reading {
		v.Fitness = s.fitness(now, p)
	}
	if p.theyChoke || len(p.refused) > 0 {
		v.Only = func(i int) bool {
			return !p.refused[int32(i)] && (!p.theyChoke || p.allowedFast[int32(i)])
		}
	}
	if q.under < minTarget {
		doubled := 0
		v.Endgame = true
		v.Slower = func(other ident.Peer, b picker.Block) bool {
			o := s.peer(other)
			if o != nil && !o.pipe.snubbed && o.pipe.eta(now, o.pipe.before(b)) < 2*q.eta(now, q.under+doubled+1)+100*time.Millisecond {
				return false
			}
			doubled++
			return true
		}
	}
	s.blocks = s.picker.Pick(&v, room, s.blocks[:0])
	if len(s.blocks) < room {
		p.dry = s.changes
	}
	for _, b := range s.blocks {
		begin := b.Index * blockSize
		n := int32(s.lay.BlockLen(int(b.Piece), int(begin)))
		q.push(b, n, now)
		s.emit(Effect{Kind: SendRequest, Peer: p.id, Piece: b.Piece, Begin: begin, Length: n})
	}
	if len(s.blocks) > 0 {
		q.sent(now)
	}
}

// isFast reports whether a peer fetches a whole piece within seconds, or is too new to tell.
func (s *Swarm) isFast(p *peer) bool {
	return !p.pipe.snubbed && (p.pipe.rate == 0 || p.pipe.rate*10 > float64(s.lay.PieceLength))
}

func (s *Swarm) reqq(p *peer) int {
	if p.ext.ReqQ > 0 {
		return min(max(p.ext.ReqQ-p.ext.ReqQ/16, 1), maxTarget) // some reject a request before they have counted the answer off
	}
	return defaultReqQ
}

func (s *Swarm) arrived(now time.Duration, p *peer, e Event) {
	b := picker.Block{Piece: e.Piece, Index: e.Begin / blockSize}
	if s.lay == nil || e.Piece < 0 || int(e.Piece) >= s.lay.Pieces() || e.Begin < 0 || e.Begin%blockSize != 0 ||
		int(e.Begin) >= s.lay.DataLen(int(e.Piece)) || !s.fits(e) {
		e.Block.Release()
		s.violation(p, "block at %d+%d that cannot have been asked for (BEP 3)", e.Piece, e.Begin)
		return
	}
	n := e.Block.Len()
	i := p.pipe.find(b)
	if i < 0 {
		p.unasked++
		if p.unasked > maxUnasked {
			s.drop(p, ErrUnasked)
		}
	} else {
		p.pipe.received(b, n, now, s.reqq(p))
		p.pipe.remove(i)
	}
	if p.pipe.snubbed {
		p.pipe.snubbed = false
		p.pipe.target = max(firstTarget, p.pipe.least)
	}
	p.useful = true
	s.thirst(p)
	a := s.picker.Arrived(b, p.id)
	if !a.Accepted {
		s.wasted += int64(n)
		e.Block.Release()
		return
	}
	for _, other := range a.Cancel {
		if other != 0 {
			s.cancel(other, b)
		}
	}
	s.emit(Effect{Kind: Store, Piece: e.Piece, Begin: e.Begin, Block: e.Block})
	if a.Complete {
		s.emit(Effect{Kind: Verify, Piece: e.Piece, OK: s.suspects[e.Piece] != nil})
	}
}

// fits reports whether a block has the length it was asked with. A peer may cut the padding off, or leave it on.
func (s *Swarm) fits(e Event) bool {
	n, data := e.Block.Len(), s.lay.DataLen(int(e.Piece))-int(e.Begin)
	return n == min(blockSize, data) || n == min(blockSize, s.lay.PieceLen(int(e.Piece))-int(e.Begin))
}

// cancel takes one request of a peer back because another answered it.
func (s *Swarm) cancel(id ident.Peer, b picker.Block) {
	p := s.peer(id)
	if p == nil {
		return
	}
	i := p.pipe.find(b)
	if i < 0 {
		return
	}
	s.sendCancel(p, p.pipe.queue[i])
	p.pipe.forget(i)
	s.thirst(p)
}

func (s *Swarm) sendCancel(p *peer, r request) {
	s.emit(Effect{Kind: SendCancel, Peer: p.id, Piece: r.Piece, Begin: r.Index * blockSize, Length: r.length})
}

// cancelAll takes every request of a peer back.
func (s *Swarm) cancelAll(p *peer) {
	p.pipe.each(func(r request) { s.sendCancel(p, r) })
	s.releaseAll(p)
}

// releaseAll lets others be asked for everything that was asked of a peer.
func (s *Swarm) releaseAll(p *peer) {
	if p.pipe.under > 0 {
		p.pipe.each(func(r request) { s.picker.Lost(r.Block, p.id) })
		s.wake()
	}
	p.pipe.clear()
}

func (s *Swarm) choked(p *peer) {
	if p.theyChoke {
		return
	}
	p.theyChoke = true
	if s.picker != nil {
		s.picker.Disown(p.id)
	}
	if !p.info.Fast { // without BEP 6 a choke drops all requests in silence
		s.releaseAll(p)
	}
	s.changes++
}

func (s *Swarm) rejected(now time.Duration, p *peer, b picker.Block) {
	i := p.pipe.find(b)
	if i < 0 {
		return
	}
	p.pipe.forget(i)
	s.picker.Lost(b, p.id)
	if !p.theyChoke || p.allowedFast[b.Piece] {
		delete(p.allowedFast, b.Piece)
		if p.refused == nil {
			p.refused = map[int32]bool{}
			p.refusedTill = now + refusal
		}
		if len(p.refused) < 1<<14 {
			p.refused[b.Piece] = true
		}
	}
	s.wake()
}

// forget removes a request that will not be answered.
func (q *pipeline) forget(i int) {
	if q.probing && q.queue[i].Block == q.probe {
		q.probing = false
	}
	q.remove(i)
}

// forgive asks a peer again for what it rejected a while ago: its queue may have been full for a moment.
func (s *Swarm) forgive(now time.Duration, p *peer) {
	if p.refused == nil || now < p.refusedTill {
		return
	}
	p.refused, p.dry = nil, 0
	s.thirst(p)
}

// sweep looks for peers that owe blocks for too long and lets others be asked for those.
func (s *Swarm) sweep(now time.Duration) {
	for _, p := range s.peers {
		s.forgive(now, p)
		if !p.pipe.overdue(now) || p.pipe.snubbed && p.pipe.started <= p.pipe.swept {
			continue
		}
		p.pipe.snubbed, p.pipe.probing, p.pipe.swept = true, false, now
		var others []picker.Block // that another peer is asked for already
		p.pipe.each(func(r request) {
			if s.picker.Overdue(r.Block, p.id) {
				others = append(others, r.Block)
			}
		})
		for _, b := range others {
			s.cancel(p.id, b)
		}
		s.picker.Disown(p.id)
		s.wake()
	}
}

// cancelPiece takes back whatever is asked for of a piece.
func (s *Swarm) cancelPiece(piece int32) {
	for _, p := range s.peers {
		var blocks []picker.Block
		p.pipe.each(func(r request) {
			if r.Piece == piece {
				blocks = append(blocks, r.Block)
			}
		})
		for _, b := range blocks {
			s.cancel(p.id, b)
		}
	}
}
