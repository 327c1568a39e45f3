package utp

import "time"

const (
	leastRoom = 32 << 10 // bytes that a connection holds for its reader at most while the socket holds too much
	firstRoom = 1 << 20  // bytes that a connection offers to hold for its reader
	maxRoom   = 16 << 20 // the same, where round trip and rate are high
)

// window is how much a connection offers to hold, which it does only if its reader is slow. It grows to four times what is read
// in a round trip: a sender in slow start doubles its own each time, which this must not limit.
type window struct {
	size  int
	read  int // bytes since
	since time.Duration
}

// consumed takes how much was read.
func (w *window) consumed(now time.Duration, n int, trip time.Duration) {
	w.read += n
	past := now - w.since
	if past < trip || trip == 0 {
		return
	}
	if past < 4*trip {
		w.size = min(max(w.size, int(4*float64(w.read)*float64(trip)/float64(past))), maxRoom)
	}
	w.read, w.since = 0, now
}
