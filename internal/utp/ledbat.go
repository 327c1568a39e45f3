package utp

import (
	"math"
	"time"
)

const (
	// target is the delay that one sender adds to the queue of a line. RFC 6817 allows up to 100 ms, which others feel;
	// LEDBAT++ takes 60 ms.
	target = 16 * time.Millisecond

	slowStartExit  = target * 3 / 4 // LEDBAT++: slow start ends before the queue is at its target
	firstWindow    = 10             // packets (RFC 6928)
	minWindow      = 2              // packets, as in LEDBAT++
	slowDownPeriod = 12 * time.Second
	slowDownDepth  = 8 // by what the window is divided meanwhile
	maxWindow      = 64 << 20
)

// ledbat is the congestion control: LEDBAT (RFC 6817) with what LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus) adds, so that
// late comers get their share: a decrease in proportion to the window, slow start that ends by delay, and slow-downs now and
// then, in which the queue empties and all who use it see the true base delay. It yields to whatever fills the queue.
type ledbat struct {
	window    float64 // bytes that may be in flight
	threshold float64 // of slow start
	starting  bool    // slow start
	probed    bool    // slow start has ended by delay or loss once

	slowing bool          // a slow-down is on
	saved   float64       // the window before it
	until   time.Duration // when it ends
	next    time.Duration // when the next one begins
}

func newLedbat(mss int) ledbat {
	return ledbat{window: float64(firstWindow * mss), threshold: math.Inf(1), starting: true}
}

// acked tells of bytes that have arrived. delay is the queueing delay and known whether there is any, full whether the window was used.
func (l *ledbat) acked(now time.Duration, bytes, mss int, delay time.Duration, known bool, r *roundTrip, full bool) {
	if l.slowing {
		if now < l.until {
			return
		}
		l.slowing = false
		l.starting, l.threshold = true, l.saved
		l.next = now + slowDownPeriod
	}
	n, m := float64(bytes), float64(mss)
	excess := float64(delay)/float64(target) - 1
	switch {
	case !full && excess <= 0:
		return // what is not used says nothing about more
	case l.starting:
		if known && delay > slowStartExit && !(l.probed && l.window < l.threshold/2) || l.window >= l.threshold {
			l.leave(now, r)
			return
		}
		l.window += n
	case excess <= 0:
		// Far below the target there is room for more than a packet each round trip.
		l.window += max(m*m/l.window*n/m, n/32*max(0, -2*excess-1))
	default:
		l.window += m*n/l.window*l.gain(r) - min(n*excess, n/2)
	}
	l.clamp(mss)
	if l.next > 0 && now >= l.next && full {
		l.slowDown(now, mss, r)
	}
}

// gain is how many packets the window grows in each round trip: less where a round trip is short (LEDBAT++ §4.2).
func (l *ledbat) gain(r *roundTrip) float64 {
	return 1 / min(16, math.Ceil(2*float64(target)/float64(max(r.least, time.Millisecond))))
}

// leave ends slow start.
func (l *ledbat) leave(now time.Duration, r *roundTrip) {
	l.starting = false
	if !l.probed {
		l.probed = true
		l.next = now + 2*r.smooth
	}
}

// slowDown empties the queue, if it is ours, for two round trips.
func (l *ledbat) slowDown(now time.Duration, mss int, r *roundTrip) {
	l.slowing, l.saved = true, l.window
	l.window /= slowDownDepth
	l.until = now + 2*r.smooth
	l.clamp(mss)
}

// lost tells of a loss, at most once in a round trip. One without a queue is more likely to be chance.
func (l *ledbat) lost(now time.Duration, mss int, delay time.Duration, r *roundTrip) {
	if l.slowing {
		l.saved /= 2
		return
	}
	if delay < target/2 {
		l.window *= 0.7
	} else {
		l.window *= 0.5
	}
	l.threshold = l.window
	l.leave(now, r)
	l.clamp(mss)
}

// timedOut tells that nothing has come back.
func (l *ledbat) timedOut(mss int) {
	l.threshold = max(l.window/2, float64(minWindow*mss))
	l.window = float64(minWindow * mss)
	l.starting, l.slowing = true, false
}

func (l *ledbat) clamp(mss int) { l.window = min(max(l.window, float64(minWindow*mss)), maxWindow) }
