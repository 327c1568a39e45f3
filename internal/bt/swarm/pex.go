package swarm

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/discovery"
)

// Intervals of BEP 11: a message a minute at most, which we expect of others too, with some slack.
const (
	pexInterval = time.Minute
	pexMax      = 50  // addresses of a kind in a message
	pexNewest   = 200 // peers that a newcomer is told of, at most: the last that came
	pexGone     = 200 // departures remembered
	pexFastest  = 45 * time.Second
)

// pex is what there is to tell in PEX messages (BEP 11): peers in the order in which we learned where they listen, and
// departures in theirs. What each peer was told is two places in these orders, so it costs no memory a pair.
type pex struct {
	here  []*peer // ascending by pexPlace.at
	gone  []departure
	count int // of both
}

// departure is a peer that left.
type departure struct {
	addr     netip.AddrPort
	was, now int // its place when it was here, and that of the departure
}

// pexPlace is what concerns one peer.
type pexPlace struct {
	at         int // its own place; 0: nobody knows where it listens
	from, upTo int // it was told of the peers after from and up to upTo that have a place
	gone       int // and of departures up to here
	next       time.Duration
	in         time.Duration // when it may send the next
}

// arrived gives a peer its place, once it is known where it listens.
func (x *pex) arrived(p *peer) {
	if p.pex.at == 0 {
		x.count++
		p.pex.at = x.count
		x.here = append(x.here, p)
	}
}

func (x *pex) left(p *peer) {
	if p.pex.at == 0 {
		return
	}
	i := x.after(p.pex.at - 1)
	x.here = slices.Delete(x.here, i, i+1)
	x.count++
	if len(x.gone) == pexGone {
		x.gone = slices.Delete(x.gone, 0, 1)
	}
	x.gone = append(x.gone, departure{p.listen(), p.pex.at, x.count})
}

// after returns the index of the first peer here whose place is greater.
func (x *pex) after(place int) int {
	i, _ := slices.BinarySearchFunc(x.here, place+1, func(p *peer, at int) int { return cmp.Compare(p.pex.at, at) })
	return i
}

// pexTurns returns how many of n peers are told of others at a tick: enough for each to be told about once a minute, but not all that
// came together at once.
func pexTurns(n int) int { return 16 + n/40 }

func (s *Swarm) pexOut(now time.Duration) {
	if s.cfg.Private {
		return
	}
	turns := pexTurns(len(s.peers))
	for _, p := range s.peers {
		if !p.ext.PEX || now < p.pex.next {
			continue
		}
		if turns--; turns < 0 {
			return
		}
		p.pex.next = now + pexInterval
		if u := s.pexFor(p); len(u.Added)+len(u.Dropped) > 0 {
			s.emit(Effect{Kind: SendPEX, Peer: p.id, Arg: &u})
		}
	}
}

// pexFor returns what has changed since p was last told, at most 50 addresses each way.
func (s *Swarm) pexFor(p *peer) (u PEXUpdate) {
	t := &p.pex
	if t.upTo == 0 && len(s.pex.here) > pexNewest {
		t.from = s.pex.here[len(s.pex.here)-pexNewest-1].pex.at
		t.upTo = t.from
	}
	for _, d := range s.pex.gone {
		if len(u.Dropped) == pexMax {
			break
		}
		if d.now > t.gone && d.was > t.from && d.was <= t.upTo && d.addr != p.listen() && !s.list.IsConnected(d.addr) {
			u.Dropped = append(u.Dropped, d.addr)
		}
		t.gone = max(t.gone, d.now)
	}
	slices.SortFunc(u.Dropped, netip.AddrPort.Compare)
	news := s.pex.here[s.pex.after(t.upTo):]
	if len(news) > 0 {
		u.Added = make([]PEXPeer, 0, min(len(news), pexMax))
	}
	for _, o := range news {
		if len(u.Added) == pexMax {
			break
		}
		if o != p && !o.dropped {
			u.Added = append(u.Added, PEXPeer{
				Addr: o.listen(), Seed: o.seed, Outgoing: !o.info.Incoming, UTP: o.info.UTP, Holepunch: o.ext.Holepunch,
			})
		}
		t.upTo = o.pex.at
	}
	return u
}

// pexIn takes addresses from a peer, unless it talks too often or the torrent is private.
func (s *Swarm) pexIn(now time.Duration, p *peer, added []discovery.Peer) {
	if s.cfg.Private || now < p.pex.in {
		return
	}
	p.pex.in = now + pexFastest
	for _, a := range added[:min(len(added), 200)] {
		s.list.Add(a)
		s.punching.introduced(a.Addr, p)
	}
	s.dial(now)
}
