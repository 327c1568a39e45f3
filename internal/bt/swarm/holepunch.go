package swarm

import (
	"net/netip"
	"time"

	"shoal/internal/bt/wire"
	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// Hole punching (BEP 55). A peer that cannot be dialled is reached with the help of one that has a connection to it, the relay: that
// tells both ends to dial each other over uTP at once, and so each end's own packets open the way for the other's.

// Limits of hole punching.
const (
	maxIntroduced = 1000            // addresses of which is remembered who told us of them
	punchAgain    = 5 * time.Minute // before an introduction to the same address is asked for anew
	punchPause    = time.Second     // between messages of one peer that make us do something, as a mean
	punchBurst    = 20              // of which so many may come at once
)

// punching is what is known of introductions.
type punching struct {
	by    map[netip.AddrPort]ident.Peer    // who told us of an address
	asked map[netip.AddrPort]time.Duration // when an introduction was asked for
}

// introduced remembers that p told us of an address.
func (x *punching) introduced(a netip.AddrPort, p *peer) {
	if !p.ext.Holepunch || len(x.by) >= maxIntroduced {
		return
	}
	if x.by == nil {
		x.by = map[netip.AddrPort]ident.Peer{}
	}
	x.by[a] = p.id
}

// left forgets what a peer told us.
func (x *punching) left(p *peer) {
	for a, id := range x.by {
		if id == p.id {
			delete(x.by, a)
		}
	}
}

// punch asks whoever told us of an address that could not be dialled for an introduction.
func (s *Swarm) punch(now time.Duration, addr netip.AddrPort) {
	x := &s.punching
	relay := s.peer(x.by[addr])
	if !s.mayPunch() || relay == nil || relay.dropped || !relay.ext.Holepunch {
		return
	}
	if at, is := x.asked[addr]; is && now-at < punchAgain {
		return
	}
	if x.asked == nil || len(x.asked) >= maxIntroduced {
		x.asked = map[netip.AddrPort]time.Duration{}
	}
	x.asked[addr] = now
	s.sendPunch(relay, wire.Holepunch{Type: wire.HolepunchRendezvous, Addr: addr})
}

// mayPunch reports whether there is hole punching at all: an introduction is how a private torrent's peers must not be found (BEP 27).
func (s *Swarm) mayPunch() bool { return !s.cfg.Private && !s.cfg.NoPunch }

func (s *Swarm) sendPunch(to *peer, h wire.Holepunch) {
	s.emit(Effect{Kind: SendHolepunch, Peer: to.id, Arg: &h})
}

// punched handles a message of the extension.
func (s *Swarm) punched(now time.Duration, p *peer, h *wire.Holepunch) {
	if !s.mayPunch() || !p.ext.Holepunch {
		return
	}
	p.punches = max(p.punches, now-punchBurst*punchPause) + punchPause
	if p.punches > now {
		return // it asks too often
	}
	switch h.Type {
	case wire.HolepunchRendezvous:
		s.introduce(p, h.Addr)
	case wire.HolepunchConnect:
		if s.dials < 2*s.cfg.MaxDials && s.live+s.dials < s.cfg.MaxPeers && !s.paused {
			s.dialPunched(h.Addr)
		}
	}
}

// introduce tells a peer and the one it wants to reach to dial each other.
func (s *Swarm) introduce(p *peer, addr netip.AddrPort) {
	refuse := func(code wire.HolepunchCode) {
		s.sendPunch(p, wire.Holepunch{Type: wire.HolepunchError, Addr: addr, Code: code})
	}
	if addr == s.list.Self() {
		refuse(wire.HolepunchNoSelf)
		return
	}
	var target *peer
	for _, o := range s.peers {
		if !o.dropped && !o.info.WebSeed && (o.listen() == addr || o.info.Addr == addr) {
			target = o
			break
		}
	}
	switch {
	case target == nil:
		refuse(wire.HolepunchNotConnected)
	case target == p:
		refuse(wire.HolepunchNoSuchPeer)
	case !target.ext.Holepunch:
		refuse(wire.HolepunchNoSupport)
	default:
		s.sendPunch(p, wire.Holepunch{Type: wire.HolepunchConnect, Addr: target.endpoint()})
		s.sendPunch(target, wire.Holepunch{Type: wire.HolepunchConnect, Addr: p.endpoint()})
	}
}

// endpoint returns where packets reach a peer's uTP socket: where its connection comes from if that is uTP, for a NAT may have given it
// another port than it listens on; else where it says that it listens.
func (p *peer) endpoint() netip.AddrPort {
	if a := p.listen(); a.IsValid() && !p.info.UTP {
		return a
	}
	return p.info.Addr
}

// dialPunched dials an address over uTP because a relay said that its peer dials us.
func (s *Swarm) dialPunched(addr netip.AddrPort) {
	s.list.Add(discovery.Peer{Addr: addr, Source: discovery.PEX})
	if s.list.Take(addr) {
		s.dials++
		s.emit(Effect{Kind: Dial, Arg: Candidate{Addr: addr, Source: discovery.PEX, Punch: true}})
	}
}
