package utp

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestDelays(t *testing.T) {
	var d delays
	if d.queueing() != 0 {
		t.Error("without a sample:", d.queueing())
	}
	const base = 1<<32 - 5000 // the clocks' difference wraps
	for i, c := range []struct {
		more uint32 // µs beyond the base
		want time.Duration
	}{
		{20_000, 0}, {30_000, 0}, {30_000, 0}, {30_000, 0}, // the least of the recent ones is still the first
		{30_000, 10 * time.Millisecond}, {0, 0}, {9000, 0}, {9000, 0}, {9000, 0}, {9000, 9 * time.Millisecond},
	} {
		d.add(time.Duration(i)*time.Millisecond, base+c.more)
		if got := d.queueing(); got != c.want {
			t.Errorf("after sample %d: %v, want %v", i, got, c.want)
		}
	}
}

// TestBaseDelayIsForgotten: after a minute and a half on another path, that is the base.
func TestBaseDelayIsForgotten(t *testing.T) {
	var d delays
	for now := time.Duration(0); now < 5*time.Minute; now += 100 * time.Millisecond {
		sample := uint32(1000)
		if now > time.Minute {
			sample = 21_000
		}
		d.add(now, sample)
		switch got := d.queueing(); {
		case now > time.Minute+time.Second && now < 2*time.Minute && got != 20*time.Millisecond,
			now > time.Minute+baseKept*baseSpan+time.Second && got != 0:
			t.Fatalf("after %v: %v", now, got)
		}
	}
}

// TestDrift: clocks that drift apart are not taken for a queue, in which direction ever.
func TestDrift(t *testing.T) {
	for _, ppm := range []float64{-100, -20, 20, 100} {
		m := newMachine(0, 1, 2, 3, maxDatagram)
		r := rand.New(rand.NewPCG(1, 1))
		for now := time.Second; now < time.Hour; now += 50 * time.Millisecond {
			ahead := time.Duration(ppm * 1e-6 * float64(now)) // of the other's clock
			there := 20*time.Millisecond + ahead + time.Duration(r.IntN(500))*time.Microsecond
			back := 30*time.Millisecond - ahead + time.Duration(r.IntN(500))*time.Microsecond
			m.measure(now, &packet{header: header{time: micros(now - back)}})
			m.delays.add(now, micros(there))
			if q := m.delays.queueing(); q > 4*time.Millisecond {
				t.Fatalf("%v ppm: %v in a queue after %v", ppm, q, now)
			}
		}
	}
}
