//go:build !race

// The race detector makes these take minutes; what they run is run by other tests as well.

package stream

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/simnet"
)

// What is measured: a film of 25 Mbit/s, ten minutes long, in pieces of 1 MiB.
const (
	bitrate   = 25_000_000 / 8 // bytes/s
	filmBytes = 600 * bitrate
	filmPiece = mib
)

// crowd is ten seeds whose uplinks together carry so many times the bitrate, unequal by up to four times, with round trips of 20 to 100 ms
// to the viewer, whose own line is no limit.
func (w *world) crowd(rng *rand.Rand, times float64) (seeds []*node, viewer *node) {
	var shares [10]float64
	sum := 0.0
	for i := range shares {
		shares[i] = 1 + 3*rng.Float64()
		sum += shares[i]
	}
	for _, share := range shares {
		up := int64(share / sum * times * bitrate)
		latency := 5*time.Millisecond + time.Duration(rng.Int64N(int64(40*time.Millisecond)))
		seeds = append(seeds, w.node(simnet.Link{Up: up, Down: up, Latency: latency}))
	}
	return seeds, w.node(simnet.Link{Up: bitrate, Down: 100 * bitrate, Latency: 5 * time.Millisecond})
}

// view has the viewer add a film that seeds have.
func (w *world) view(seeds []*node, viewer *node) (*torrent.Torrent, *metainfo.Torrent) {
	f := film(w.T, filmPiece, filmBytes)
	var at []netip.AddrPort
	for i, s := range seeds {
		slots := 0
		if i == 2 {
			slots = 1
		}
		w.seed(s, f, slots)
		at = append(at, s.at())
	}
	return w.add(viewer, session.Spec{Torrent: f, Peers: at}), f
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// From adding the torrent, with nothing but addresses known, to the first byte; and from a seek to where nothing is to its first byte. 2 s and
// 1.5 s are what they may take in the median.
func TestFirstByteAndSeeks(t *testing.T) {
	var first, seeks []time.Duration
	for seed := range uint64(5) {
		simulate(t, seed, func(w *world) {
			rng := rand.New(rand.NewPCG(seed, 7))
			seeds, viewer := w.crowd(rng, 2)
			begun := time.Now()
			tor, _ := w.view(seeds, viewer)
			r := w.open(tor, 0)
			defer r.Close()
			w.want(r, 1)
			first = append(first, time.Since(begun))
			for range 5 {
				player{w: w, r: r}.play(3 * time.Second)
				to := rng.Int64N(filmBytes)
				for tor.Has(int(to / filmPiece)) {
					to = rng.Int64N(filmBytes)
				}
				r.Seek(to, io.SeekStart)
				begun := time.Now()
				w.want(r, 1)
				seeks = append(seeks, time.Since(begun))
			}
		})
	}
	t.Logf("first byte: median %v, worst %v; seek: median %v, worst %v of %d", median(first), slices.Max(first), median(seeks), slices.Max(seeks), len(seeks))
	if m := median(first); m > 2*time.Second {
		t.Errorf("the first byte took %v", m)
	}
	if m := median(seeks); m > 1500*time.Millisecond {
		t.Errorf("a seek took %v", m)
	}
}

// player reads as a player does: it holds a second, begins when it has that, and reads on as it plays.
type player struct {
	w      *world
	r      *Reader
	stalls []string
}

const held = bitrate // bytes

// play plays on from where the reader is, for so long or to the end.
func (p player) play(length time.Duration) player {
	p.w.Helper()
	buf := make([]byte, 64<<10)
	from := p.r.pos
	end := min(from+int64(length.Seconds()*bitrate), p.r.size)
	var clock time.Time // when the byte at from was, or would have been, shown
	for pos := from; pos < end; {
		if n := pos - from; !clock.IsZero() && n >= held {
			time.Sleep(time.Until(clock.Add(time.Duration(float64(n-held) / bitrate * float64(time.Second)))))
		}
		n, err := io.ReadFull(p.r, buf[:min(int64(len(buf)), end-pos)])
		if err != nil {
			p.w.Fatalf("at %d: %v", pos, err)
		}
		if !right(buf[:n], p.r.base+pos) {
			p.w.Fatalf("what was read at %d differs", pos)
		}
		if !clock.IsZero() {
			shown := clock.Add(time.Duration(float64(pos-from) / bitrate * float64(time.Second)))
			if late := time.Since(shown); late > 0 {
				p.stalls = append(p.stalls, fmt.Sprintf("%v at %.1f s", late, float64(pos-from)/bitrate))
				clock = clock.Add(late)
			}
		}
		pos += int64(n)
		if clock.IsZero() && pos-from >= held {
			clock = time.Now()
		}
	}
	return p
}

// Peers that are a thousand times slower than the film hold up neither seeks nor playing, though there are more of them than of the quick ones.
func TestSlowPeersHoldNothingUp(t *testing.T) {
	simulate(t, 4, func(w *world) {
		rng := rand.New(rand.NewPCG(4, 7))
		seeds, viewer := w.crowd(rng, 1.5)
		for range 15 {
			seeds = append(seeds, w.node(simnet.Link{Up: bitrate / 1000, Down: mib, Latency: 30 * time.Millisecond}))
		}
		tor, _ := w.view(seeds, viewer)
		r := w.open(tor, 0)
		defer r.Close()
		var seeks []time.Duration
		var stalls []string
		for range 8 {
			r.Seek(rng.Int64N(filmBytes), io.SeekStart)
			begun := time.Now()
			w.want(r, 1)
			seeks = append(seeks, time.Since(begun))
			stalls = append(stalls, player{w: w, r: r}.play(10*time.Second).stalls...)
		}
		st := tor.Status().Swarm
		t.Logf("seeks: median %v, worst %v; stalls %v; %.2f %% came twice", median(seeks), slices.Max(seeks), stalls, 100*float64(st.Wasted)/float64(st.DownTotal))
		if m := slices.Max(seeks); m > 2*time.Second {
			t.Errorf("a seek took %v", m)
		}
		if len(stalls) > 0 {
			t.Errorf("stalls: %v", stalls)
		}
	})
}

// unsteady makes three of ten seeds such as one meets: one is silent for a third of the time, as a line that is broken; one leaves for a third of the
// time; one has a single slot, for which another leecher waits.
func (w *world) unsteady(seeds []*node, viewer *node, f *metainfo.Torrent) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wait := func(d time.Duration) bool {
		select {
		case <-done:
			return false
		case <-time.After(d):
			return true
		}
	}
	wg.Go(func() {
		for wait(20 * time.Second) {
			w.net.Partition(seeds[0].host, viewer.host)
			wait(10 * time.Second)
			w.net.Heal(seeds[0].host, viewer.host)
		}
	})
	wg.Go(func() {
		for wait(30 * time.Second) {
			seeds[1].leave(w.T)
			wait(15 * time.Second)
			seeds[1].start(w.T)
			w.add(seeds[1], session.Spec{Torrent: f, Complete: true, NoSuper: true, Peers: []netip.AddrPort{viewer.at()}})
		}
	})
	other := w.node(simnet.Link{Up: mib, Down: mib, Latency: 20 * time.Millisecond})
	w.add(other, session.Spec{Torrent: f, Peers: []netip.AddrPort{seeds[2].at()}})
	w.net.Partition(other.host, viewer.host)
	for _, s := range seeds[3:] {
		w.net.Partition(other.host, s.host)
	}
	return func() { close(done); wg.Wait() }
}

// Ten minutes without a stall where the swarm has 1.3 times the bitrate: its seeds are unequal and some are unsteady. They have 1.47 times the
// bitrate together, of which those three give about 0.17 to others or to nobody.
func TestTenMinutesWithoutAStall(t *testing.T) {
	simulate(t, 3, func(w *world) {
		rng := rand.New(rand.NewPCG(3, 7))
		seeds, viewer := w.crowd(rng, 1.47)
		tor, f := w.view(seeds, viewer)
		stop := w.unsteady(seeds, viewer, f)
		defer stop()
		r := w.open(tor, 0)
		defer r.Close()
		p := player{w: w, r: r}.play(time.Hour)
		st := tor.Status().Swarm
		t.Logf("%d stalls %v; %.2f %% came twice", len(p.stalls), p.stalls, 100*float64(st.Wasted)/float64(st.DownTotal))
		if len(p.stalls) > 0 {
			t.Errorf("%d stalls: %v", len(p.stalls), p.stalls)
		}
		if st.Wasted*50 > st.DownTotal {
			t.Errorf("%d of %d bytes came twice", st.Wasted, st.DownTotal)
		}
	})
}
