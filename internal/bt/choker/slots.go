package choker

import (
	"math"
	"time"
)

// Slots finds how many peers to serve at once, from what the line is seen to carry: nobody tells us its capacity. A line that
// is full serves few peers well rather than many badly; but peers may be unable to take their share, and then it takes more of
// them to fill it. So while peers wait, their number is raised by trial and stays up if the total rises with it; and a number
// at which each gets little is lowered by trial, and stays down if the total does not fall. The zero value begins with 8.
type Slots struct {
	n    int
	rate float64 // bytes/s, smoothed
	up   pause
	down pause

	phase  phase
	since  time.Duration // the phase began
	sent   float64       // bytes in it
	before float64       // bytes/s before the trial
	old    int           // slots
	served int           // peers that were served
	fewer  bool          // the trial is of fewer slots
}

// pause is the time between trials of one kind that change nothing; it doubles.
type pause struct {
	until, hold time.Duration
}

func (p *pause) over(now time.Duration) bool { return now >= p.until }

func (p *pause) failed(now, first time.Duration) {
	p.hold = min(max(2*p.hold, first), lastHold)
	p.until = now + p.hold
}

func (p *pause) again(now, first time.Duration) { p.hold, p.until = 0, now+first }

type phase uint8

const (
	steady  phase = iota
	measure       // the rate before a trial
	settle        // the trial has begun
	compare       // the rate in the trial
)

// Constants of Slots.
const (
	firstSlots = 8
	leastSlots = 4                // as many as BEP 3's own client had
	slotUnit   = 4 << 10          // n slots are always worth having at n² times that many bytes/s
	worth      = 32 << 10         // bytes/s to each peer served: with less, fewer slots are tried
	upHold     = 10 * time.Second // the first pause between trials of more slots
	downHold   = time.Minute      // and of fewer, which take peers' slots away
	lastHold   = 10 * time.Minute
	settleTime = 1500 * time.Millisecond // what is sent first fills buffers on the way
	leastTime  = 1500 * time.Millisecond // to measure a rate, and enough bytes
	mostTime   = 15 * time.Second        // but no longer
	leastBytes = 1 << 20
)

// base returns how many slots a rate in bytes/s justifies by itself: as its square root grows, as in µTorrent and libtorrent.
func base(rate float64) int { return max(leastSlots, int(math.Sqrt(rate/slotUnit))) }

// N returns the number of slots.
func (c *Slots) N() int {
	if c.n == 0 {
		return firstSlots
	}
	return c.n
}

// Step is called about once a second with the bytes sent since the last call and how long ago that was, how many peers are
// served and how many more would be. It returns the number of slots from now on.
func (c *Slots) Step(now time.Duration, sent int64, passed time.Duration, serving, waiting int) int {
	c.n = c.N()
	c.rate += 0.3 * (float64(sent)/passed.Seconds() - c.rate)
	c.sent += float64(sent)
	more, fewer := c.open(now, serving, waiting)
	switch c.phase {
	case steady:
		c.n = max(c.n, base(c.rate))
		if more || fewer {
			c.fewer = !more
			c.enter(measure, now)
		}
	case measure:
		if rate, ok := c.measured(now); ok {
			c.try(now, rate, serving)
		}
	case settle:
		if now-c.since >= settleTime {
			c.enter(compare, now)
		}
	case compare:
		if rate, ok := c.measured(now); ok {
			c.judge(now, rate, serving, more, fewer)
		}
	}
	return c.n
}

// open reports what could be tried: more slots for those who wait, fewer if each gets little.
func (c *Slots) open(now time.Duration, serving, waiting int) (more, fewer bool) {
	more = waiting > 0 && serving >= c.n && c.up.over(now)
	little := min(serving, c.n) > base(c.rate) && c.rate < worth*float64(serving)
	if !little {
		c.down.again(now, downHold)
	}
	return more, little && c.down.over(now)
}

func (c *Slots) enter(p phase, now time.Duration) { c.phase, c.since, c.sent = p, now, 0 }

// measured returns the rate of a phase that has lasted long enough.
func (c *Slots) measured(now time.Duration) (float64, bool) {
	took := now - c.since
	if took < leastTime || c.sent < leastBytes && took < mostTime {
		return 0, false
	}
	return c.sent / took.Seconds(), true
}

func (c *Slots) try(now time.Duration, rate float64, serving int) {
	c.before, c.old, c.served = rate, c.n, serving
	if c.fewer {
		c.n = max(base(c.rate), min(c.n, serving)*3/4)
	} else {
		c.n = max(base(c.rate), 2*c.n)
	}
	c.enter(settle, now)
}

// judge ends a trial. One that went well is followed by another of its kind.
func (c *Slots) judge(now time.Duration, rate float64, serving int, more, fewer bool) {
	gain := rate/max(c.before, 1) - 1
	hoped := float64(serving)/float64(max(c.served, 1)) - 1
	switch {
	case c.fewer && gain >= -0.05:
		if fewer {
			c.try(now, rate, serving)
			return
		}
	case c.fewer:
		c.n = c.old
		c.down.failed(now, downHold)
	case gain >= hoped/2:
		c.up.again(now, 0)
		if more {
			c.try(now, rate, serving)
			return
		}
	default:
		c.n = min(c.n, max(base(c.rate), int(math.Ceil(float64(c.served)*(1+max(gain, 0))))))
		c.up.failed(now, upHold)
	}
	c.enter(steady, now)
}
