package swarm

import (
	"testing"
	"time"
)

// One peer at the end of a long line fills it from the fifth second on, be it fast or slow; as far as its queue of requests
// allows, and without more under way than lasts for about a second more than a round trip.
func TestOnePeerFillsTheLine(t *testing.T) {
	for name, c := range map[string]struct {
		rate  float64 // bytes/s
		rtt   time.Duration
		reqq  int
		share float64 // of the line, at least
	}{
		"1 Gbit/s, 100 ms":                  {125e6, 100 * time.Millisecond, 2000, 0.95},
		"1 Gbit/s, 100 ms, of 250 requests": {125e6, 100 * time.Millisecond, 250, 0.92 * 235 * blockSize / 0.1 / 125e6}, // a sixteenth of its queue is left free
		"100 Mbit/s, 10 ms":                 {12.5e6, 10 * time.Millisecond, 2000, 0.95},
		"10 Mbit/s, 300 ms":                 {1.25e6, 300 * time.Millisecond, 2000, 0.95},
		"1 Mbit/s, 50 ms":                   {125e3, 50 * time.Millisecond, 2000, 0.95},
		"8 Gbit/s, loopback":                {1e9, 100 * time.Microsecond, 2000, 0.95},
	} {
		t.Run(name, func(t *testing.T) {
			s := hollowSim(t, 9, 8000, 1<<20)
			s.config.NoSuper, s.latency, s.fixed, s.reqq = true, c.rtt/2, true, c.reqq
			s.add(c.rate, all)
			n := s.add(1, none)
			n.down = 1e12
			warm := 4 * time.Second
			if c.rate > 5e8 { // which takes no time to find
				warm = time.Second
			}
			early := s.receive(warm)[0] / c.rate
			got := s.receive(2 * time.Second)[0] / c.rate
			p := n.sw.peers[0]
			lasts := float64(p.pipe.under*blockSize) / c.rate
			t.Logf("%.3f of the line at first, then %.3f; %d requests under way, %.2f s of the line", early, got, p.pipe.under, lasts)
			if got < c.share {
				t.Errorf("%.3f of the line, want %.3f", got, c.share)
			}
			if lasts > c.rtt.Seconds()+1.2 {
				t.Errorf("%d requests under way, which last for %.2f s", p.pipe.under, lasts)
			}
		})
	}
}
