package table

import "time"

// roundTrips estimates how soon an answer is to be expected of a node of which we know nothing: the time within which nine of
// ten answers come. It is moved a little by each answer, up nine times as far as down.
type roundTrips struct {
	q time.Duration
	n int
}

const (
	firstGuess = 250 * time.Millisecond
	minSlow    = 30 * time.Millisecond
	maxSlow    = 2 * time.Second
	minDead    = 1500 * time.Millisecond
	maxDead    = 8 * time.Second
)

func (r *roundTrips) add(rtt time.Duration) {
	if r.n == 0 {
		r.q = firstGuess
	}
	r.n++
	step := max(r.q, time.Millisecond) / time.Duration(min(4+r.n, 12))
	if rtt > r.q {
		r.q = min(r.q+step, maxSlow)
	} else {
		r.q = max(r.q-step/9, time.Millisecond)
	}
}

// slow returns after what time without an answer another node is asked instead, though the answer still counts.
func (r *roundTrips) slow(known time.Duration) time.Duration {
	if known > 0 {
		return min(max(2*known, minSlow), maxSlow)
	}
	if r.n == 0 {
		return firstGuess
	}
	return min(max(r.q, minSlow), maxSlow)
}

// dead returns after what time a query counts as lost.
func (r *roundTrips) dead() time.Duration { return min(max(4*r.slow(0), minDead), maxDead) }
