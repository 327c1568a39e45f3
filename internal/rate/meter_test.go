package rate

import (
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	var m Meter
	now := time.Unix(1000, 0)
	m.Add(500) // before the clock starts: only in the total
	if r := m.Rate(now); r != 0 {
		t.Errorf("first rate is %v", r)
	}
	tick := func(seconds, bytes int) (r float64) {
		for range seconds * 4 {
			now = now.Add(time.Second / 4)
			m.Add(bytes / 4)
			r = m.Rate(now)
		}
		return r
	}
	near(t, "after a second", tick(1, 1000), 1000, 0.01)
	near(t, "after ten", tick(9, 1000), 1000, 0.01)
	if r := tick(5, 5000); r < 3000 || r > 4500 {
		t.Errorf("five seconds after a jump from 1000 to 5000: %v", r)
	}
	near(t, "25 s later", tick(20, 5000), 5000, 0.02)
	if r := tick(60, 0); r != 0 {
		t.Errorf("a minute after the end: %v", r)
	}
	if got, want := m.Total(), int64(500+10*1000+25*5000); got != want {
		t.Errorf("total is %d, want %d", got, want)
	}
}

func TestMeterDoesNotMindHowOftenItIsAsked(t *testing.T) {
	var often, seldom Meter
	now := time.Unix(0, 1)
	often.Rate(now)
	seldom.Rate(now)
	for i := range 5000 {
		now = now.Add(2 * time.Millisecond)
		n := 1000 + i
		often.Add(n)
		seldom.Add(n)
		often.Rate(now)
		often.Rate(now) // twice at one time is nothing new
		if i%500 == 499 {
			seldom.Rate(now)
		}
	}
	near(t, "rates", seldom.Rate(now), often.Rate(now), 0.05)
}
