package swarm

import (
	"net/netip"
	"slices"
	"time"

	"shoal/internal/bt/choker"
	"shoal/internal/bt/peerlist"
	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// Tick does what time asks for; call it about once a second.
func (s *Swarm) Tick(now time.Duration) {
	s.upRate = 0
	for _, p := range s.peers {
		s.upRate += p.upRate
	}
	s.sweep(now)
	s.dropSilent(now)
	if now >= s.nextChoke {
		s.rechoke(now)
	}
	s.superTick(now)
	s.pexOut(now)
	s.dial(now)
	s.lastTick = now
}

// Patience with peers.
const (
	maxSnubbed = time.Minute      // with a peer that owes blocks and sends none
	maxIdle    = 10 * time.Minute // with a peer of which neither side wants anything, when slots are scarce
)

// dropSilent drops peers that owe us blocks for too long: their place is worth more.
func (s *Swarm) dropSilent(now time.Duration) {
	for _, p := range s.peers {
		if p.pipe.snubbed && p.pipe.under > 0 && now-max(p.pipe.lastData, p.pipe.started) > maxSnubbed {
			s.drop(p, ErrSilent)
		}
	}
}

// interested unchokes a peer at once if a slot is free; otherwise the next round decides.
func (s *Swarm) interested(now time.Duration, p *peer) {
	if !p.weChoke || s.paused {
		return
	}
	n := 0
	for _, o := range s.peers {
		if !o.weChoke && o.theyInterest {
			n++
		}
	}
	if n < s.uploadSlots() {
		s.unchoke(now, p, false)
	}
}

func (s *Swarm) unchoke(now time.Duration, p *peer, optimistic bool) {
	p.optimistic = optimistic
	if p.weChoke {
		p.weChoke, p.chokedAt, p.upAtUnchoke = false, now, p.upTotal
		s.emit(Effect{Kind: SendUnchoke, Peer: p.id})
	}
}

func (s *Swarm) choke(now time.Duration, p *peer) {
	p.optimistic = false
	if !p.weChoke {
		p.weChoke, p.chokedAt = true, now
		s.emit(Effect{Kind: SendChoke, Peer: p.id})
	}
}

// rechoke decides anew whom to serve (BEP 3, "choking and optimistic unchoking").
func (s *Swarm) rechoke(now time.Duration) {
	s.nextChoke = now + choker.Interval
	var views []choker.View
	for _, p := range s.peers {
		if !p.theyInterest || p.info.WebSeed || p.dropped {
			continue
		}
		views = append(views, choker.View{
			Peer: p.id, Unchoked: !p.weChoke, Since: p.chokedAt, Down: p.downRate, Up: p.upRate,
			SentTurn: p.upTotal - p.upAtUnchoke, Snubbed: p.pipe.snubbed, Optimistic: p.optimistic, Joined: p.joined,
		})
	}
	slots := s.uploadSlots()
	if s.paused {
		views = nil
	}
	chosen, optimistic := choker.Choose(views, slots, s.done, now, s.rng)
	keep := map[ident.Peer]bool{}
	for _, id := range chosen {
		keep[id] = true
	}
	for _, p := range s.peers {
		if !keep[p.id] {
			s.choke(now, p)
		}
	}
	for _, id := range chosen {
		s.unchoke(now, s.peer(id), id == optimistic)
	}
}

// dial starts connections while there is room for them and somebody to dial.
func (s *Swarm) dial(now time.Duration) {
	for s.dials < s.cfg.MaxDials && s.connected()+s.dials < s.cfg.MaxPeers && !s.paused {
		if s.done && s.Known() && s.connected() >= s.cfg.MaxPeers/2 {
			return // a seed is dialled by those who need it
		}
		addr, source, ok := s.list.Next(now, s.Complete())
		if !ok {
			return
		}
		s.dials++
		s.emit(Effect{Kind: Dial, Arg: Candidate{addr, source}})
	}
}

// NextDial returns when Tick will have somebody to dial, if nothing happens before; ok is false if never. It is 0 while a dial is
// under way. A seed without peers does not go on dialling who does not answer: it is dialled by those who need it.
func (s *Swarm) NextDial() (at time.Duration, ok bool) {
	switch {
	case s.dials > 0:
		return 0, true
	case s.paused:
		return 0, false
	}
	return s.list.Due(s.Complete(), s.done)
}

// connected returns how many peers there are, without web seeds and those being dropped.
func (s *Swarm) connected() int {
	n := len(s.peers)
	for _, p := range s.peers {
		if p.info.WebSeed || p.dropped {
			n--
		}
	}
	return n
}

// WantPeers returns how many more addresses are of use.
func (s *Swarm) WantPeers() int {
	_, candidates := s.list.Len()
	return max(0, min(s.cfg.MaxPeers-s.connected(), 200)-candidates)
}

// makeRoom drops the least useful peer when there are too many, which may be the newcomer itself: one that has been of no
// use, then the one with the lowest priority (BEP 40), then the newest.
func (s *Swarm) makeRoom() {
	if s.connected() <= s.cfg.MaxPeers {
		return
	}
	var worst *peer
	for _, p := range s.peers {
		if !p.info.WebSeed && !p.dropped && (worst == nil || s.worth(p) <= s.worth(worst)) {
			worst = p
		}
	}
	s.drop(worst, ErrCrowded)
}

func (s *Swarm) worth(p *peer) int64 {
	w := int64(peerlist.Priority(s.list.Self(), p.info.Addr))
	if p.info.Source == discovery.Static {
		w += 1 << 40
	}
	if p.weInterest && !p.theyChoke || p.theyInterest && !p.weChoke || p.useful {
		w += 1 << 34
	}
	if p.pipe.snubbed {
		w -= 1 << 36
	}
	return w
}

// Intervals of BEP 11: a message a minute at most, which we expect of others too, with some slack.
const (
	pexInterval = time.Minute
	pexMax      = 50
	pexFastest  = 45 * time.Second
)

func (s *Swarm) pexOut(now time.Duration) {
	if s.cfg.Private {
		return
	}
	for _, p := range s.peers {
		if !p.ext.PEX || now < p.pexNext {
			continue
		}
		p.pexNext = now + pexInterval
		if u := s.pexFor(p); len(u.Added)+len(u.Dropped) > 0 {
			s.emit(Effect{Kind: SendPEX, Peer: p.id, Arg: u})
		}
	}
}

// pexFor returns what has changed since p was last told, at most 50 addresses each way.
func (s *Swarm) pexFor(p *peer) *PEXUpdate {
	u := &PEXUpdate{}
	if p.told == nil {
		p.told = map[netip.AddrPort]bool{}
	}
	here := map[netip.AddrPort]bool{}
	for _, o := range s.peers {
		a := o.listen()
		if o == p || !a.IsValid() || o.info.WebSeed || o.dropped {
			continue
		}
		here[a] = true
		if !p.told[a] && len(u.Added) < pexMax {
			p.told[a] = true
			u.Added = append(u.Added, PEXPeer{Addr: a, Seed: o.seed, Outgoing: !o.info.Incoming})
		}
	}
	for a := range p.told {
		if !here[a] {
			u.Dropped = append(u.Dropped, a)
		}
	}
	slices.SortFunc(u.Dropped, netip.AddrPort.Compare)
	u.Dropped = u.Dropped[:min(len(u.Dropped), pexMax)]
	for _, a := range u.Dropped {
		delete(p.told, a)
	}
	return u
}

// pexIn takes addresses from a peer, unless it talks too often or the torrent is private.
func (s *Swarm) pexIn(now time.Duration, p *peer, added []discovery.Peer) {
	if s.cfg.Private || now < p.pexIn {
		return
	}
	p.pexIn = now + pexFastest
	for _, a := range added[:min(len(added), 200)] {
		s.list.Add(a)
	}
	s.dial(now)
}
