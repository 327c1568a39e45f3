package utp

import (
	"fmt"
	"testing"
	"time"
)

// TestPath: what a path carries is found, and not more, without a word from any router.
func TestPath(t *testing.T) {
	for _, c := range []struct {
		mtu      int
		ours     bool // the other end is one of ours
		from, to int  // what is found
	}{
		{1200, true, 1200, 1200},
		{1280, true, 1248, 1280},
		{1392, true, 1360, 1392}, // WireGuard
		{1464, true, 1452, 1464}, // PPPoE
		{1472, true, 1472, 1472},
		{1472, false, 1452, 1452},
		{1392, false, 1360, 1392},
		{8972, true, 8952, 8952}, // jumbo frames
		{8972, false, 1452, 1452},
		{65_507, true, 65_000, 65_000},
	} {
		t.Run(fmt.Sprint(c.mtu, c.ours), func(t *testing.T) {
			x := newWorld(t, 1, weather{latency: time.Millisecond, mtu: c.mtu, loss: 0.001})
			x.a.path.peer, x.b.path.peer = 0, 0
			if c.ours {
				x.a.path.peer, x.b.path.peer = maxDatagram, maxDatagram
			}
			for p := make([]byte, 400_000); x.now < 7*time.Second; {
				x.a.write(p[:min(len(p), max(x.a.writable(), 0))])
				x.flush(x.a)
				for end := x.now + 100*time.Millisecond; x.step(end) || x.now < end; x.now = max(x.now, min(end, x.now+time.Millisecond)) {
				}
				x.b.read(x.clock(x.b), p)
				x.flush(x.b)
			}
			if got := x.a.path.size; got < c.from || got > c.to {
				t.Errorf("%d bytes are found, want %d to %d", got, c.from, c.to)
			}
			if !c.ours && x.b.path.largest > ethernet6 {
				t.Errorf("one who may not read it was sent a datagram of %d bytes", x.b.path.largest)
			}
		})
	}
}

// TestPathShrinks: when a path carries less than before, what is sent from then on is short.
func TestPathShrinks(t *testing.T) {
	x := newWorld(t, 2, weather{latency: time.Millisecond, mtu: 8972})
	x.transfer(x.a, x.b, content(10<<20, 1), time.Minute)
	if x.a.path.size != 8952 {
		t.Fatal(x.a.path.size)
	}
	x.b.path.size = 8952
	x.weather.loss = 1
	x.b.write(content(20_000, 2))
	x.flush(x.b)
	for end := x.now + 10*time.Second; x.step(end); {
	}
	if x.b.path.size != basePath {
		t.Error(x.b.path.size)
	}
}
