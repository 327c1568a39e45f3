package utp

import "time"

const (
	baseSpan = 15 * time.Second // of one entry of the history of base delays
	baseKept = 6                // entries: a minute and a half, so that clocks that drift apart by 50 ppm cost 4.5 ms at most
	recent   = 4                // samples of which the least is the current delay (CURRENT_FILTER in RFC 6817)
	maxDrift = 3000             // µs in a span: 200 ppm
)

// delays tells how long packets wait in queues on their way to the other end (RFC 6817 §2.4.2): by how much the time between
// our sending and its receiving exceeds the least that it was in a while. Both clocks are unknown, and so is their difference.
type delays struct {
	base    [baseKept]uint32 // µs, the least of each span, the current one first
	spans   int              // of them that are used
	since   time.Duration    // when the current span began
	samples [recent]uint32
	count   int // of samples in all
}

// add takes a sample in µs. It returns, when a span ends, by how much the least delay has changed since the span before, if that
// is so little that it may be the drift of the clocks.
func (d *delays) add(now time.Duration, sample uint32) (drift int32) {
	if d.spans == 0 || now-d.since >= baseSpan {
		if d.spans > 1 {
			if drift = int32(d.base[0] - d.base[1]); drift > maxDrift || drift < -maxDrift {
				drift = 0
			}
		}
		copy(d.base[1:], d.base[:])
		d.base[0] = sample
		d.spans = min(d.spans+1, baseKept)
		d.since = now
	} else if int32(sample-d.base[0]) < 0 {
		d.base[0] = sample
	}
	d.samples[d.count%recent] = sample
	d.count++
	return drift
}

// least returns the base delay; there must be a sample.
func (d *delays) least() uint32 {
	least := d.base[0]
	for _, b := range d.base[1:d.spans] {
		if int32(b-least) < 0 {
			least = b
		}
	}
	return least
}

// queueing returns the current queueing delay, 0 before the first sample.
func (d *delays) queueing() time.Duration {
	if d.count == 0 {
		return 0
	}
	now := d.samples[0]
	for _, s := range d.samples[1:min(d.count, recent)] {
		if int32(s-now) < 0 {
			now = s
		}
	}
	return time.Duration(max(int32(now-d.least()), 0)) * time.Microsecond
}

// shift raises what was measured, as the other clock has come to be ahead by so much more.
func (d *delays) shift(by uint32) {
	for i := range d.base[:d.spans] {
		d.base[i] += by
	}
}
