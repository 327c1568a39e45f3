package utp

import (
	"math"
	"time"
)

const (
	// The delay that a sender adds to the queue of a line, its target, is leastTarget and something more, which is less for those
	// with a large window. So two that share a line settle where their windows are equal, though they measure differently; with one
	// target for all, half a millisecond would decide who gets how much. RFC 6817 allows 100 ms, which others feel.
	leastTarget = 6 * time.Millisecond
	moreTarget  = 18 * time.Millisecond // at most,
	perRoot     = 50 * time.Millisecond // and this, divided by the root of the packets in the window

	startExit      = 4 * time.Millisecond // a queue that slow start ends at, if it lasts (RFC 9406)
	startSamples   = 8                    // of each round trip, the least of which tells that
	firstWindow    = 10                   // packets (RFC 6928)
	minWindow      = 2                    // packets, as in LEDBAT++
	maxWindow      = 64 << 20             // bytes
	slowDownPeriod = 15 * time.Second
	slowDownDepth  = 8               // by what the window is divided meanwhile
	leastGain      = 0.25            // of packets that a window grows in a round trip
	calmTime       = 5 * time.Second // without a loss or others' queue, after which growth is quick
)

// ledbat is the congestion control: LEDBAT (RFC 6817) with what LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus) adds, so that
// late comers get their share: a decrease in proportion to the window, slow start that ends by delay, and slow-downs now and
// then, in which the queue empties and all who use it see the true base delay. It yields to whatever fills the queue.
type ledbat struct {
	window    float64       // bytes that may be in flight
	threshold float64       // of slow start
	starting  bool          // slow start
	probed    bool          // slow start has ended by delay or loss once
	hold      time.Duration // until when the queue is that of slow start's own bursts
	crowded   time.Duration // when there was last a loss, or a queue that others must have made

	round   uint32 // the transmission that ends the current round trip
	samples int    // of this round trip
	least   time.Duration

	slowing bool          // a slow-down is on
	saved   float64       // the window to return to after it
	until   time.Duration // when it ends
	next    time.Duration // when the next one begins
	counted time.Duration // until when what arrives is added to saved; only in the first one
}

// news is what an acknowledgement tells.
type news struct {
	now     time.Duration
	bytes   int           // that have arrived
	mss     int           // bytes of a packet
	delay   time.Duration // in queues
	full    bool          // the window was used
	arrived uint32        // the last transmission of those that arrived, and of all
	sent    uint32
}

func newLedbat(mss int) ledbat {
	return ledbat{window: float64(firstWindow * mss), threshold: math.Inf(1), starting: true}
}

// target is the delay to keep.
func (l *ledbat) target(mss int) time.Duration {
	return leastTarget + min(moreTarget, time.Duration(float64(perRoot)/math.Sqrt(l.window/float64(mss))))
}

// acked takes an acknowledgement.
func (l *ledbat) acked(n *news, r *roundTrip) {
	if l.slowing && !l.slow(n) {
		return
	}
	target := l.target(n.mss)
	excess := float64(n.delay)/float64(target) - 1
	bytes, packet := float64(n.bytes), float64(n.mss)
	switch {
	case l.starting:
		switch {
		case l.window >= l.threshold:
			l.starting, l.hold = false, n.now+2*r.smooth
		case !l.probed && l.queueLasts(n):
			// The line is full, so that what arrives in a round trip is what it carries.
			l.slowDown(n.now, n.mss, r)
			l.saved, l.counted = 0, n.now+r.least
			return
		case n.full:
			l.window += bytes
		}
	case n.now < l.hold:
	case excess > 0:
		if excess > 1 {
			l.crowded = n.now
		}
		l.window += packet*bytes/l.window*gain(r) - min(bytes*excess, bytes/2)
	case n.full:
		l.window += packet * bytes / l.window * gain(r)
		if calm := n.now - l.crowded; calm > calmTime { // far below the target there is room for more than a packet each round trip
			l.window += bytes / 32 * max(0, -2*excess-1)
		}
	}
	l.clamp(n.mss)
	if l.next > 0 && n.now >= l.next && n.full {
		l.slowDown(n.now, n.mss, r)
	}
}

// queueLasts reports whether the first packets of a round trip have met a queue: later ones meet that of their own burst.
func (l *ledbat) queueLasts(n *news) bool {
	if int32(n.arrived-l.round) > 0 {
		l.round, l.samples, l.least = n.sent, 0, n.delay
	}
	l.samples++
	l.least = min(l.least, n.delay)
	return l.samples == startSamples && l.least > startExit
}

// gain is how many packets the window grows in each round trip: less where a round trip is short, so that it does not overtake others
// (LEDBAT++ §4.2, which goes down to a sixteenth: then a line that loses a few per cent holds the window at its least).
func gain(r *roundTrip) float64 {
	return max(leastGain, 1/math.Ceil(2*float64(leastTarget+moreTarget)/float64(max(r.least, time.Millisecond))))
}

// slowDown empties the queue, if it is ours, for two round trips.
func (l *ledbat) slowDown(now time.Duration, mss int, r *roundTrip) {
	l.slowing, l.probed, l.saved = true, true, l.window
	l.window /= slowDownDepth
	l.until = now + 2*r.smooth
	l.clamp(mss)
}

// slow takes an acknowledgement during a slow-down, and reports whether that has ended.
func (l *ledbat) slow(n *news) bool {
	if n.now < l.counted {
		l.saved += float64(n.bytes)
	}
	if n.now < l.until {
		return false
	}
	l.slowing, l.starting, l.threshold = false, true, l.saved
	l.next = n.now + slowDownPeriod
	return true
}

// lost tells of a loss, at most once in a round trip. One without a queue is more likely to be chance.
func (l *ledbat) lost(now time.Duration, mss int, delay time.Duration, r *roundTrip) {
	l.crowded = now
	if l.slowing {
		l.saved /= 2
		return
	}
	if delay < leastTarget {
		l.window *= 0.7
	} else {
		l.window *= 0.5
	}
	l.starting = false
	if !l.probed {
		l.probed, l.next = true, now+2*r.smooth
	}
	l.clamp(mss)
}

// timedOut tells that nothing has come back.
func (l *ledbat) timedOut(now time.Duration, mss int) {
	l.crowded = now
	l.threshold = max(l.window/2, float64(minWindow*mss))
	l.window = float64(minWindow * mss)
	l.starting, l.slowing = true, false
}

func (l *ledbat) clamp(mss int) { l.window = min(max(l.window, float64(minWindow*mss)), maxWindow) }
