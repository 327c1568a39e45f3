package choker

import (
	"testing"
	"time"
)

// uplink plays a line of some capacity, in bytes/s, on which each of a number of peers takes at most so much.
type uplink struct {
	Slots
	now            time.Duration
	capacity, each float64
	peers          int
	most, least    int // slots, of late
}

func (u *uplink) run(d time.Duration) {
	u.most, u.least = 0, 1<<30
	for end := u.now + d; u.now < end; {
		u.now += time.Second
		serving := min(u.N(), u.peers)
		sent := min(u.capacity, float64(serving)*u.each)
		n := u.Step(u.now, int64(sent), time.Second, serving, u.peers-serving)
		u.most, u.least = max(u.most, n), min(u.least, n)
	}
}

func TestSlotsFollowTheLine(t *testing.T) {
	for name, c := range map[string]struct {
		capacity, each float64
		peers          int
		least, most    int // slots after three minutes, trials aside
	}{
		"room for all":                     {1e9, 1e6, 500, 500, 1 << 30},
		"room for all, each takes little":  {1e9, 5e3, 500, 500, 1 << 30},
		"room for most":                    {300e6, 1e6, 500, 280, 420},
		"a full line at home":              {100e3, 10e6, 500, 4, 8},
		"a full line of 2 MB/s":            {2e6, 10e6, 500, 8, 24},
		"a full line of 100 MB/s":          {100e6, 50e6, 500, 100, 160},
		"few who take much":                {1e9, 100e6, 5, 8, 1 << 30},
		"home, and each takes very little": {100e3, 2e3, 500, 47, 60},
	} {
		t.Run(name, func(t *testing.T) {
			u := &uplink{capacity: c.capacity, each: c.each, peers: c.peers}
			u.run(3 * time.Minute)
			u.run(15 * time.Second)
			if u.least < c.least || u.least > c.most {
				t.Errorf("%d to %d slots, want %d to %d", u.least, u.most, c.least, c.most)
			}
		})
	}
}

// When peers that took little are followed by peers that take all they get, few are served again.
func TestSlotsShrinkWhenTheyOnlySplit(t *testing.T) {
	u := &uplink{capacity: 2e6, each: 3e3, peers: 500}
	u.run(2 * time.Minute)
	if u.N() < 500 {
		t.Fatalf("%d slots for 500 peers that take 3 kB/s", u.N())
	}
	u.each = 1e6
	u.run(15 * time.Minute)
	u.run(30 * time.Second)
	if u.least > 64 {
		t.Errorf("%d slots on a full line of 2 MB/s", u.least)
	}
}

// Peers that come one after the other find a slot free each time.
func TestSlotsStay(t *testing.T) {
	u := &uplink{capacity: 1e9, each: 1e6}
	for range 100 {
		u.peers++
		u.run(10 * time.Second)
		if u.N() < u.peers {
			t.Fatalf("%d slots for %d peers after 10 s, with room", u.N(), u.peers)
		}
	}
}
