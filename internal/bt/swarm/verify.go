package swarm

import (
	"fmt"
	"net/netip"
	"slices"
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

func (p *peer) sender() sender {
	if p.info.WebSeed {
		return sender{web: p.id}
	}
	return sender{host: p.info.Addr.Addr().Unmap()}
}

// departed remembers the hosts of peers that left after they sent blocks of pieces still under way: in the picker such a peer
// bears the name firstDeparted + its place here, since its number may be given to another.
type departed struct {
	hosts []sender
	next  int
}

const (
	firstDeparted = ident.Peer(1 << 31)
	maxDeparted   = 256
)

func (d *departed) sender(id ident.Peer) sender {
	if i := int(id) - int(firstDeparted); i >= 0 && i < len(d.hosts) {
		return d.hosts[i]
	}
	return sender{}
}

// depart remembers a peer that leaves. The oldest remembered gives way.
func (s *Swarm) depart(p *peer) {
	d := &s.departed
	if len(d.hosts) < maxDeparted {
		d.hosts = append(d.hosts, sender{})
	}
	name := firstDeparted + ident.Peer(d.next)
	s.picker.Rename(name, 0)
	s.picker.Rename(p.id, name)
	d.hosts[d.next] = sender{}
	if !p.info.WebSeed { // which has no host to ban
		d.hosts[d.next] = p.sender()
	}
	d.next = (d.next + 1) % maxDeparted
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
	case r.Recheck, r.Evicted:
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
	s.news = append(s.news, int32(piece))
	for _, p := range s.peers {
		if !p.patient {
			s.emit(Effect{Kind: SendHave, Peer: p.id, Piece: int32(piece)})
		}
		if wanted && p.hasPiece(piece) {
			p.wanted--
			s.updateInterest(p)
		}
	}
	s.checkDone(now, true)
}

// maxNews is how many pieces a seed is told of in a tick.
const maxNews = 32

// tellSeeds tells seeds what we have gained of late. They want nothing of it, so they may hear of many pieces at once, and of some
// later: with many seeds on a fast line the haves would outnumber the blocks.
func (s *Swarm) tellSeeds() {
	n := min(len(s.news), maxNews)
	if n == 0 {
		return
	}
	for _, p := range s.peers {
		if !p.patient || p.info.WebSeed || p.dropped {
			continue
		}
		for _, piece := range s.news[:n] {
			s.emit(Effect{Kind: SendHave, Peer: p.id, Piece: piece})
		}
	}
	s.news = slices.Delete(s.news, 0, n)
}

func (s *Swarm) rechecked(now time.Duration, r storage.Result) {
	piece := r.Piece
	switch {
	case r.Good && !s.have.Has(piece):
		wanted := s.picker.Wants(piece)
		s.cancelPiece(int32(piece))
		s.picker.Gained(piece)
		s.gained(now, piece, wanted)
	case !r.Good && s.have.Has(piece):
		s.picker.Forget(piece)
		if s.picker.Have(piece) {
			return // a gap
		}
		s.have.Remove(piece)
		s.view.Remove(piece)
		s.news = slices.DeleteFunc(s.news, func(i int32) bool { return i == int32(piece) })
		if s.super != nil {
			s.superEnd()
		}
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
		from := s.departed.sender(id)
		if p := s.peer(id); p != nil {
			from = p.sender()
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
		if s.suspects == nil {
			s.suspects = map[int32]*suspect{}
		}
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
