package swarm

import (
	"time"

	"shoal/internal/bt/picker"
	"shoal/internal/ident"
)

const (
	// rescue is how long before a deadline a second peer is asked for a block that will come too late; longer where that one is slow, too.
	rescue = 4 * time.Second
	// proven is how many bytes a peer has to send before it is trusted with what is urgent: the first come out of buffers on the way.
	proven = 4 * blockSize
	// hopeless is what a peer is expected to take that nothing is known of.
	hopeless = time.Hour
)

// SetDemand says what readers want soon, in place of what it said before; see picker.SetDemand. Deadlines are on the swarm's clock.
func (s *Swarm) SetDemand(now time.Duration, deadlines []picker.Deadline, soon []int32) {
	was := s.reading
	s.reading = len(deadlines)+len(soon) > 0
	if !was && !s.reading {
		return
	}
	s.rouse()
	changed := s.picker.SetDemand(deadlines, soon)
	if s.cfg.Transient {
		for _, piece := range s.picker.Strays() { // which would take room for nothing
			s.cancelPiece(piece)
			s.picker.Abandon(piece)
			s.emit(Effect{Kind: Discard, Piece: piece})
		}
	}
	s.preempt(now)
	if changed || s.reading != was {
		for _, p := range s.peers {
			s.recount(p)
		}
	}
	s.wake()
	s.checkDone(now, true)
}

// preempt takes requests back for the sake of a piece that is needed at once and that nobody was asked for: those for what no reader
// wants soon, but for what must be on its way already.
func (s *Swarm) preempt(now time.Duration) {
	d, begun, ok := s.picker.Due()
	if !ok || begun || time.Duration(d.At) > now+time.Second {
		return
	}
	for _, p := range s.peers {
		if p.theyChoke || p.info.WebSeed || !p.hasPiece(int(d.Piece)) {
			continue
		}
		onWay := 1 + int(p.pipe.rate*p.pipe.rtt.Seconds()/blockSize)
		var back []request
		p.pipe.each(func(r request) {
			if onWay--; onWay < 0 && !s.picker.Demanded(r.Piece) {
				back = append(back, r)
			}
		})
		for _, r := range back {
			s.sendCancel(p, r)
			p.pipe.forget(p.pipe.find(r.Block))
			s.picker.Lost(r.Block, p.id)
		}
	}
}

// promise estimates how long from now the first n requests under way will take. Unlike eta it does not believe a peer that has been
// silent for longer than its rate explains: at first it is expected to be silent for as long again, then nothing is known of it.
func (q *pipeline) promise(now time.Duration, n int) time.Duration {
	if q.rate <= 0 || q.snubbed || q.delivered < proven {
		return hopeless
	}
	each := time.Duration(blockSize / q.rate * float64(time.Second))
	silent := now - max(q.lastData, q.started)
	switch {
	case q.under == 0 || silent <= q.rtt+each:
		return q.eta(now, n)
	case silent <= q.rtt+2*each+300*time.Millisecond:
		return max(q.eta(now, n), silent)
	}
	return hopeless
}

// fitness tells the picker how quick a peer is, while somebody reads.
func (s *Swarm) fitness(now time.Duration, p *peer) picker.Fitness {
	if !s.reading {
		return picker.Fitness{}
	}
	q := &p.pipe
	return picker.Fitness{
		Unfit: func(d picker.Deadline, picked int) bool {
			mine := q.promise(now, q.under+picked+1)
			return now+mine > time.Duration(d.At) && s.quicker(now, p, int(d.Piece), mine/2)
		},
		Rescue: func(other ident.Peer, b picker.Block, d picker.Deadline, picked int) bool {
			o := s.peer(other)
			if o == nil {
				return false
			}
			mine := q.promise(now, q.under+picked+1)
			if in := time.Duration(d.At) - now; in > max(rescue, 3*mine) || in > o.pipe.promise(now, o.pipe.under) {
				return false // there is time yet, or all that it was asked for will come in time
			}
			theirs := o.pipe.promise(now, o.pipe.before(b))
			return now+theirs > time.Duration(d.At) && 2*mine+50*time.Millisecond < theirs
		},
	}
}

// quicker reports whether another peer than p that may be asked for a piece will bring a block within a time.
func (s *Swarm) quicker(now time.Duration, p *peer, piece int, within time.Duration) bool {
	for _, o := range s.peers {
		if o != p && !o.theyChoke && !o.dropped && o.hasPiece(piece) && o.pipe.promise(now, o.pipe.under+1) < within {
			return true
		}
	}
	return false
}
