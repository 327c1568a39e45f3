package utp

import "time"

// Lengths of datagrams, in bytes of UDP's payload.
const (
	basePath  = 1200 // what every path carries (RFC 9000 §14)
	ethernet4 = 1500 - 20 - 8
	ethernet6 = 1500 - 40 - 8
	step      = 16 // what is not worth a probe
)

const (
	pathRaise  = 10 * time.Minute       // between attempts to find more (RFC 8899 §5.1.1)
	pathWait   = 200 * time.Millisecond // for an answer at least
	pathProbes = 2                      // of a length, before it is taken for too long
)

// path finds how long datagrams may be (packetization layer path MTU discovery, RFC 8899), without ICMP.
//
// To one of our own, a probe is an acknowledgement with padding, which it tells the arrival of. To others a probe is a packet
// of data, not longer than Ethernet carries: some read no more, and take the rest for lost at the sender's cost.
type path struct {
	limit   int // that we can send
	size    int // that is known to get there
	ceiling int // that did not; 0 if there is none
	peer    int // that the other end reads; 0 if it has not said
	largest int // of the other's datagrams that have come, which it is told
	tell    int // in how many packets yet

	probe int // length of the one under way; 0: there is none
	tries int
	until time.Duration // when it is given up, or the next is due
}

// ladder is what is worth trying above Ethernet: jumbo frames, and what loopback carries.
var ladder = [...]int{9000 - 48, 16384 - 48, 32768 - 48, maxDatagram}

// next returns the length to try next, 0 if none is worth it.
func (q *path) next() int {
	most := min(q.limit, q.peer)
	if q.peer == 0 {
		most = min(q.limit, ethernet6)
	}
	try := 0
	if q.size < ethernet6 {
		try = ethernet4
		if q.peer == 0 || q.ceiling > 0 && try >= q.ceiling {
			try = ethernet6
		}
		if q.ceiling > 0 && try >= q.ceiling {
			try = (q.size + q.ceiling) / 2
		}
	} else {
		for _, n := range ladder {
			if n > q.size {
				try = n
				break
			}
		}
	}
	try = min(try, most)
	if try < q.size+step || q.ceiling > 0 && try >= q.ceiling {
		return 0
	}
	return try
}

// due returns the length of the probe to send now, 0 if there is none to send.
func (q *path) due(now time.Duration) int {
	if q.probe > 0 || now < q.until {
		return 0
	}
	n := q.next()
	if n == 0 && q.ceiling > 0 {
		q.ceiling = 0 // the path may have changed
		n = q.next()
	}
	if n == 0 {
		q.until = now + pathRaise
	}
	return n
}

// sent tells that a probe was sent.
func (q *path) sent(now time.Duration, n int, trip *roundTrip) {
	q.probe = n
	q.tries++
	q.until = now + max(pathWait, 3*trip.smooth)
}

// confirm tells that a datagram has arrived.
func (q *path) confirm(now time.Duration, n int) {
	if n > q.size {
		q.size = min(n, q.limit)
	}
	if q.probe > 0 && n >= q.probe {
		q.probe, q.tries = 0, 0
		q.until = now
	}
}

// failed tells that the probe has not arrived.
func (q *path) failed(now time.Duration) {
	if q.tries >= pathProbes {
		q.ceiling, q.tries = q.probe, 0
	}
	q.probe = 0
	q.until = now
	if q.next() == 0 {
		q.until = now + pathRaise
	}
}

// shrink is called when nothing gets there: perhaps it is too long (RFC 8899 §4.3).
func (q *path) shrink(now time.Duration) {
	q.size = min(q.size, basePath)
	q.probe, q.tries, q.ceiling = 0, 0, 0
	q.until = now + pathRaise
}

// told takes what the other end says: first what it reads, then what has come.
func (q *path) told(now time.Duration, n int) {
	if q.peer == 0 {
		q.peer = n
		q.until = now
		return
	}
	q.confirm(now, min(n, q.probe))
}

// heard takes the length of a datagram that came.
func (q *path) heard(n int) {
	if n > q.largest && n > basePath {
		q.largest, q.tell = n, 8
	}
}
