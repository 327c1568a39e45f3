package swarm

import (
	"fmt"
	"net/netip"
	"time"

	"shoal/internal/ident"
	"shoal/internal/storage"
)

// suspect is a piece that hashed wrong although several peers sent it: what each sent is remembered, and when the piece
// has come right at last the liars are known by the blocks that differ.
type suspect struct {
	attempts []attempt
}

type attempt struct {
	senders []sender
	digests []storage.Digest
}

// sender is who sent a block: a host, or a web seed, which has no address of its own. It is zero for a peer that has left.
type sender struct {
	host netip.Addr
	web  ident.Peer
}

// Bounds of what is remembered.
const (
	maxSuspects = 64
	maxAttempts = 4
)

// stored takes the outcome of Verify or Recheck.
func (s *Swarm) stored(now time.Duration, r storage.Result) {
	piece := r.Piece
	switch {
	case r.Recheck:
		s.rechecked(now, r)
		return
	case s.have.Has(piece):
		return
	case r.Err != nil:
		s.picker.Failed(piece, false)
		s.wake()
	case r.Good:
		if sus := s.suspects[int32(piece)]; sus != nil {
			s.judge(sus, piece, r.Digests)
			delete(s.suspects, int32(piece))
		}
		wanted := s.picker.Wants(piece)
		s.picker.Passed(piece)
		s.gained(now, piece, wanted)
	default:
		s.bad(piece, r.Digests)
	}
}

// gained has a piece counted and told.
func (s *Swarm) gained(now time.Duration, piece int, wanted bool) {
	s.have.Add(piece)
	s.view.Add(piece)
	for _, p := range s.peers {
		if !p.info.WebSeed {
			s.emit(Effect{Kind: SendHave, Peer: p.id, Piece: int32(piece)})
		}
		if wanted && p.hasPiece(piece) {
			p.wanted--
			s.updateInterest(p)
		}
	}
	s.checkDone(now, true)
}

func (s *Swarm) rechecked(now time.Duration, r storage.Result) {
	piece := r.Piece
	switch {
	case r.Good && !s.have.Has(piece):
		wanted := s.picker.Wants(piece)
		s.picker.Gained(piece)
		s.gained(now, piece, wanted)
	case !r.Good && s.have.Has(piece):
		s.have.Remove(piece)
		s.view.Remove(piece)
		s.picker.Forget(piece)
		for _, p := range s.peers {
			if p.ext.DontHave {
				s.emit(Effect{Kind: SendDontHave, Peer: p.id, Piece: int32(piece)})
			}
			s.recount(p)
		}
		s.wake()
		s.checkDone(now, true)
	}
}

// bad handles a piece that hashed wrong. With one sender the liar is known; else the piece is fetched again from one peer.
func (s *Swarm) bad(piece int, digests []storage.Digest) {
	s.failedBytes += int64(s.lay.DataLen(piece))
	var a attempt
	only := true
	for _, id := range s.picker.Senders(piece) {
		var from sender
		if p := s.peer(id); p != nil && p.info.WebSeed {
			from.web = id
		} else if p != nil {
			from.host = p.info.Addr.Addr().Unmap()
		}
		a.senders = append(a.senders, from)
		only = only && from == a.senders[0]
	}
	a.digests = digests
	s.picker.Failed(piece, true)
	s.wake()
	if only && len(a.senders) > 0 {
		s.blame(a.senders[0], piece)
		return
	}
	sus := s.suspects[int32(piece)]
	if sus == nil && len(s.suspects) < maxSuspects {
		sus = &suspect{}
		s.suspects[int32(piece)] = sus
	}
	if sus != nil && len(sus.attempts) < maxAttempts {
		sus.attempts = append(sus.attempts, a)
	}
}

// judge compares what came wrong with what is right.
func (s *Swarm) judge(sus *suspect, piece int, right []storage.Digest) {
	for _, a := range sus.attempts {
		for i, d := range a.digests {
			if i < len(right) && i < len(a.senders) && d != right[i] {
				s.blame(a.senders[i], piece)
			}
		}
	}
}

// blame bans a host that sent a bad block. A web seed is dropped for good.
func (s *Swarm) blame(from sender, piece int) {
	why := fmt.Errorf("%w: piece %d", ErrBadData, piece)
	if p := s.peer(from.web); p != nil && p.info.WebSeed {
		s.drop(p, why)
	}
	if from.host.IsValid() {
		s.ban(from.host, why)
	}
}
