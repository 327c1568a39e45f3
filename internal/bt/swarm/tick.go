package swarm

import (
	"time"

	"shoal/internal/bt/choker"
	"shoal/internal/bt/peerlist"
	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// Tick does what time asks for; call it about once a second.
func (s *Swarm) Tick(now time.Duration) {
	s.sweep(now)
	s.dropSilent(now)
	s.measure(now)
	if slots := s.slotsNow(); now >= s.nextChoke || s.serving > slots || s.waiting > 0 && s.serving < slots {
		s.rechoke(now)
	}
	s.superTick(now)
	s.tellSeeds()
	if s.reading {
		s.wake() // who is late now was not before
	}
	s.pexOut(now)
	s.dial(now)
	s.lastTick = now
}

// line is what our uplink was seen to carry: payload, in bytes and bytes/s.
type line struct {
	sent, marked int64         // in all, and until the last look at it
	at           time.Duration // of that
	rate, peak   float64       // since the look before, and the highest of late
}

// measure looks at what was sent since the last tick, and how many peers that suggests to serve.
func (s *Swarm) measure(now time.Duration) {
	l := &s.line
	passed := now - l.at
	if passed < time.Second/2 {
		return
	}
	sent := l.sent - l.marked
	l.marked, l.at = l.sent, now
	l.rate = float64(sent) / passed.Seconds()
	l.peak = max(0.99*l.peak, l.rate)
	s.uploads.Step(now, sent, passed, s.serving, s.waiting)
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
	if p.weChoke && !s.paused && s.serving < s.slotsNow() {
		s.unchoke(now, p, false)
	}
}

// setInterest notes whether a peer wants something of us.
func (s *Swarm) setInterest(p *peer, on bool) {
	if on == p.theyInterest {
		return
	}
	s.countInterest(p, -1)
	p.theyInterest = on
	s.countInterest(p, 1)
}

func (s *Swarm) countInterest(p *peer, n int) {
	switch {
	case !p.theyInterest:
	case p.weChoke:
		s.waiting += n
	default:
		s.serving += n
	}
}

func (s *Swarm) unchoke(now time.Duration, p *peer, optimistic bool) {
	p.optimistic = optimistic
	if p.weChoke {
		s.countInterest(p, -1)
		p.weChoke, p.chokedAt = false, now
		s.countInterest(p, 1)
		s.emit(Effect{Kind: SendUnchoke, Peer: p.id})
		if p.shown != nil {
			s.superShow(p)
		}
	}
}

func (s *Swarm) choke(now time.Duration, p *peer) {
	p.optimistic = false
	if !p.weChoke {
		s.countInterest(p, -1)
		p.weChoke, p.chokedAt = true, now
		s.countInterest(p, 1)
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
			Snubbed: p.pipe.snubbed, Optimistic: p.optimistic, Joined: p.joined,
		})
	}
	slots := s.slotsNow()
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
	for s.dials < s.cfg.MaxDials && s.live+s.dials < s.cfg.MaxPeers && !s.paused {
		if s.done && s.Known() && s.live >= s.cfg.MaxPeers/2 {
			return // a seed is dialled by those who need it
		}
		addr, source, ok := s.list.Next(now, s.Complete())
		if !ok {
			return
		}
		s.dials++
		s.emit(Effect{Kind: Dial, Arg: Candidate{Addr: addr, Source: source}})
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

// WantPeers returns how many more addresses are of use.
func (s *Swarm) WantPeers() int {
	_, candidates := s.list.Len()
	return max(0, min(s.cfg.MaxPeers-s.live, 200)-candidates)
}

// makeRoom drops the least useful peer when there are too many, which may be the newcomer itself: one that has been of no
// use, then the one with the lowest priority (BEP 40), then the newest.
func (s *Swarm) makeRoom() {
	if s.live <= s.cfg.MaxPeers {
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
