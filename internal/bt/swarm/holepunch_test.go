package swarm

import (
	"net/netip"
	"testing"
	"time"

	"shoal/internal/bt/wire"
	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// punches are what a swarm sent of BEP 55, and the addresses that it dialled because of it.
type punches struct {
	sent map[ident.Peer][]wire.Holepunch
	dial []netip.AddrPort
}

func drainPunches(s *Swarm, now time.Duration) punches {
	p := punches{sent: map[ident.Peer][]wire.Holepunch{}}
	for _, e := range s.Drain(now) {
		switch {
		case e.Kind == SendHolepunch:
			p.sent[e.Peer] = append(p.sent[e.Peer], *e.Arg.(*wire.Holepunch))
		case e.Kind == Dial && e.Arg.(Candidate).Punch:
			p.dial = append(p.dial, e.Arg.(Candidate).Addr)
		}
	}
	return p
}

// punchSwarm is a swarm with a peer of each number, of which those in knows know BEP 55; number n listens at 20.0.0.n:6881.
func punchSwarm(cfg Config, knows ...bool) *Swarm {
	s := New(cfg)
	for i, k := range knows {
		id := ident.Peer(i + 1)
		s.Step(0, Event{Kind: Joined, Peer: id, Arg: &PeerInfo{Addr: punchAddr(i + 1), ID: ident.PeerID{byte(id)}, Incoming: true, Extended: true, UTP: true}})
		s.Step(0, Event{Kind: Extensions, Peer: id, Arg: &PeerExtensions{ListenPort: 6881, PEX: true, Holepunch: k}})
	}
	s.Drain(0)
	return s
}

func punchAddr(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, 0, 0, byte(n)}), 6881)
}

func (s *Swarm) hears(now time.Duration, from ident.Peer, typ wire.HolepunchType, addr netip.AddrPort) punches {
	s.Step(now, Event{Kind: Holepunch, Peer: from, Arg: &wire.Holepunch{Type: typ, Addr: addr}})
	return drainPunches(s, now)
}

func TestHolepunchRelay(t *testing.T) {
	s := punchSwarm(Config{}, true, true, false)
	got := s.hears(time.Second, 1, wire.HolepunchRendezvous, punchAddr(2))
	want := func(id ident.Peer, h wire.Holepunch) {
		t.Helper()
		if len(got.sent[id]) != 1 || got.sent[id][0] != h {
			t.Errorf("peer %d was sent %+v, want %+v", id, got.sent[id], h)
		}
	}
	want(1, wire.Holepunch{Type: wire.HolepunchConnect, Addr: punchAddr(2)})
	want(2, wire.Holepunch{Type: wire.HolepunchConnect, Addr: punchAddr(1)})
	for addr, code := range map[netip.AddrPort]wire.HolepunchCode{
		punchAddr(3): wire.HolepunchNoSupport, punchAddr(4): wire.HolepunchNotConnected, punchAddr(1): wire.HolepunchNoSuchPeer, punchAddr(9): wire.HolepunchNoSelf,
	} {
		s.Step(time.Second, Event{Kind: SetSelf, Arg: punchAddr(9)})
		got = s.hears(time.Second, 1, wire.HolepunchRendezvous, addr)
		want(1, wire.Holepunch{Type: wire.HolepunchError, Addr: addr, Code: code})
	}
	if got = s.hears(time.Second, 3, wire.HolepunchRendezvous, punchAddr(2)); len(got.sent) != 0 {
		t.Errorf("who does not know the extension was heard: %+v", got.sent)
	}
}

// A dial that fails is tried again with the help of whoever told us of the address.
func TestHolepunchInitiator(t *testing.T) {
	s := punchSwarm(Config{}, true, true)
	far := punchAddr(50)
	s.Step(time.Minute, Event{Kind: PEX, Peer: 2, Arg: []discovery.Peer{{Addr: far, Source: discovery.PEX}}})
	s.Drain(time.Minute)
	s.Step(time.Minute, Event{Kind: DialFailed, Arg: far})
	got := drainPunches(s, time.Minute)
	if h := got.sent[2]; len(h) != 1 || h[0] != (wire.Holepunch{Type: wire.HolepunchRendezvous, Addr: far}) || len(got.sent) != 1 {
		t.Fatalf("after a failed dial %+v was sent", got.sent)
	}
	if got = s.hears(time.Minute, 2, wire.HolepunchConnect, far); len(got.dial) != 1 || got.dial[0] != far {
		t.Fatalf("dialled %v", got.dial)
	}
	if got = s.hears(time.Minute, 2, wire.HolepunchConnect, far); len(got.dial) != 0 {
		t.Error("dialled again while the dial is under way")
	}
	s.Step(2*time.Minute, Event{Kind: DialFailed, Arg: far})
	if got = drainPunches(s, 2*time.Minute); len(got.sent) != 0 {
		t.Errorf("asked again at once: %+v", got.sent)
	}
}

func TestHolepunchLimits(t *testing.T) {
	s := punchSwarm(Config{MaxDials: 4}, true)
	dials := 0
	for i := range 200 {
		dials += len(s.hears(time.Minute, 1, wire.HolepunchConnect, punchAddr(20+i)).dial)
	}
	if dials != 8 {
		t.Errorf("%d dials at once because of one peer", dials)
	}
	s = punchSwarm(Config{}, true)
	answers := 0
	for range 200 {
		answers += len(s.hears(time.Minute, 1, wire.HolepunchRendezvous, punchAddr(77)).sent[1])
	}
	if answers != punchBurst {
		t.Errorf("%d answers at once to one peer", answers)
	}
	for _, cfg := range []Config{{Private: true}, {NoPunch: true}} {
		s = punchSwarm(cfg, true, true)
		if got := s.hears(time.Minute, 1, wire.HolepunchRendezvous, punchAddr(2)); len(got.sent) != 0 {
			t.Errorf("%+v: introduced", cfg)
		}
		if got := s.hears(time.Minute, 1, wire.HolepunchConnect, punchAddr(5)); len(got.dial) != 0 {
			t.Errorf("%+v: dialled", cfg)
		}
	}
}
