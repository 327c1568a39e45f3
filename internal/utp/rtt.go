package utp

import "time"

const (
	firstTimeout = time.Second            // before a round trip was measured
	minTimeout   = 500 * time.Millisecond // BEP 29
	maxTimeout   = 30 * time.Second
)

// roundTrip estimates the round trip and the retransmission timeout (RFC 6298).
type roundTrip struct {
	smooth, deviation time.Duration
	least             time.Duration // ever; 0 before the first sample
}

func (r *roundTrip) add(sample time.Duration) {
	sample = max(sample, time.Microsecond)
	if r.least == 0 {
		r.smooth, r.deviation, r.least = sample, sample/2, sample
		return
	}
	r.least = min(r.least, sample)
	r.deviation += ((r.smooth - sample).Abs() - r.deviation) / 4
	r.smooth += (sample - r.smooth) / 8
}

// timeout returns how long to wait for an acknowledgement after so many timeouts in a row.
func (r *roundTrip) timeout(timeouts int) time.Duration {
	t := firstTimeout
	if r.least > 0 {
		t = max(r.smooth+4*r.deviation, minTimeout)
	}
	return min(t<<min(timeouts, 10), maxTimeout)
}

// tail returns how long to wait before the last packet is sent again to learn what is lost (RFC 8985 §7).
func (r *roundTrip) tail() time.Duration {
	if r.least == 0 {
		return firstTimeout
	}
	return 2*r.smooth + 10*time.Millisecond
}
