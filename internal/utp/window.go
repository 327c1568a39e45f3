package utp

import "time"

const (
	leastRoom = 32 << 10 // bytes that a connection holds for its reader at most while the socket holds too much
	firstRoom = 1 << 20  // bytes that a connection offers to hold for its reader
	nearRoom  = 4 << 20  // the same at most where the round trip is short: more would only overflow the system's queue
	maxRoom   = 16 << 20 // and where it is long
	near      = 5 * time.Millisecond
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
		most := maxRoom
		if trip < near {
			most = nearRoom
		}
		w.size = max(w.size, min(int(4*float64(w.read)*float64(trip)/float64(past)), most))
	}
	w.read, w.since = 0, now
}
