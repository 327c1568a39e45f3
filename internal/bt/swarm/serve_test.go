package swarm

import (
	"slices"
	"testing"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/ident"
)

// star is a seed from which so many leechers fetch, and from nobody else. Rates are in bytes/s.
func star(t *testing.T, leechers int, up, down float64) *sim {
	s := hollowSim(t, 13, 2000, 256<<10)
	s.star, s.config = true, Config{MaxPeers: leechers, Private: true, NoSuper: true}
	s.add(up, all)
	for range leechers {
		s.add(1<<10, none).down = down
	}
	return s
}

// receive runs a simulation on and returns what each node but the first gets meanwhile, in bytes/s.
func (s *sim) receive(d time.Duration) []float64 {
	begin, before := s.now, make([]int64, len(s.nodes))
	for i, n := range s.nodes {
		before[i] = n.received
	}
	s.run(begin+2*d, func() bool { return s.now >= begin+d })
	var out []float64
	for i, n := range s.nodes[1:] {
		out = append(out, float64(n.received-before[i+1])/(s.now-begin).Seconds())
	}
	return out
}

func sum(v []float64) (total float64) {
	for _, x := range v {
		total += x
	}
	return total
}

// Leechers that cannot take more than their own limit are all served within a few seconds, while the line has room.
func TestManySlowLeechersOnAFastSeed(t *testing.T) {
	leechers := 500
	if race {
		leechers = 100
	}
	for _, rate := range []float64{1e6, 50e3} {
		s := star(t, leechers, 1e9, rate)
		warm, window := 22*time.Second, 4*time.Second
		if rate < 1e6 { // it takes longer to see what that adds up to
			warm, window = 60*time.Second, 40*time.Second
		}
		s.receive(warm)
		got := s.receive(window)
		t.Logf("limit of %.0f kB/s: after %v %d are served, and get %.0f to %.0f kB/s", rate/1e3, warm, s.nodes[0].sw.serving, slices.Min(got)/1e3, slices.Max(got)/1e3)
		if slices.Min(got) < 0.95*rate {
			t.Errorf("somebody gets %.0f of his %.0f bytes/s", slices.Min(got), rate)
		}
	}
}

// On a full line few are served at a time, and everybody has his turn.
func TestManyLeechersOnASlowSeed(t *testing.T) {
	const rate = 2e6
	s := star(t, 100, rate, 100e6)
	s.receive(10 * time.Second)
	most, end := 0, s.now+4*time.Minute
	var total []float64
	for s.now < end {
		total = append(total, sum(s.receive(10*time.Second)))
		most = max(most, s.nodes[0].sw.serving)
	}
	total = total[1:]
	mean := sum(total) / float64(len(total))
	t.Logf("at most %d served at a time, %.3f of the line", most, mean/rate)
	if most > 50 {
		t.Errorf("%d served at a time", most)
	}
	if mean < 0.97*rate {
		t.Errorf("%.0f bytes/s, of %.0f", mean, rate)
	}
	for _, n := range s.nodes[1:] {
		if n.received == 0 {
			t.Errorf("%v got nothing", n.addr)
		}
	}
}

// Who is interested while there is room is served at once, and asked in the same step by the other end; be it that the seed
// hides what it has, and that the other learns only later what the content is.
func TestFirstBlockTakesNoRound(t *testing.T) {
	for name, super := range map[string]bool{"seed": false, "super-seed": true} {
		t.Run(name, func(t *testing.T) {
			seed := play(t, Config{NoSuper: !super}, 8, 1, upTo(8)...)
			leech := &script{t: t, s: New(Config{}), lay: seed.lay}
			seed.join(1)
			leech.join(1)
			if super {
				leech.say(1, HaveNone)
			} else {
				seed.want(1, SendHaveAll, 1)
				leech.say(1, HaveAll)
			}
			for _, e := range seed.take(SendHave, 1) {
				leech.step(Event{Kind: Have, Peer: 1, Piece: e.Piece})
			}
			leech.want(0, SendInterested, 1)
			leech.s.Begin(0, leech.lay, bitfield.New(8), bitfield.NewShared(8))
			leech.drain()
			leech.want(1, SendInterested, 1)
			seed.say(1, Interested)
			seed.want(1, SendUnchoke, 1)
			leech.say(1, Unchoked)
			if len(leech.take(SendRequest, 1)) == 0 {
				t.Error("no request")
			}
		})
	}
}

// Those who wait get a slot that becomes free, or that is new, with the next tick.
func TestWaitingGetFreeSlots(t *testing.T) {
	x := play(t, Config{NoSuper: true, Slots: 2}, 8, 1, upTo(8)...)
	for id := ident.Peer(1); id <= 3; id++ {
		x.join(id)
		x.say(id, Interested)
	}
	x.want(2, SendUnchoke, 0)
	x.wait(time.Second)
	served := slices.IndexFunc(x.s.slots, func(p *peer) bool { return p != nil && !p.weChoke })
	waits := slices.IndexFunc(x.s.slots, func(p *peer) bool { return p != nil && p.weChoke })
	x.take(SendUnchoke, 0)
	x.say(ident.Peer(served), NotInterested)
	x.wait(time.Second)
	x.want(1, SendUnchoke, ident.Peer(waits))
	if x.s.serving != 2 || x.s.waiting != 0 {
		t.Error(x.s.serving, x.s.waiting)
	}
}
