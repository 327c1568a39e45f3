package accounts

import (
	"net/netip"
	"sync"
	"time"
)

// Failed attempts cost time: the first few of an address none, each further one twice as long as the one before. Whoever guesses from many
// addresses meets the limit of all together, which is kept short, because it keeps out those who know their password as well.
const (
	freeFailures = 5
	firstWait    = time.Second
	longestWait  = 15 * time.Minute
	forgetAfter  = time.Hour // without a failure
	maxAddresses = 4096

	allFree    = 50 // failures a minute, of everybody
	allLongest = 10 * time.Second
)

type failures struct {
	n     int
	last  time.Time
	until time.Time
}

type limiter struct {
	now func() time.Time

	mu   sync.Mutex
	of   map[netip.Addr]failures
	all  failures
	from time.Time // of the minute that all counts
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, of: map[netip.Addr]failures{}}
}

// origin is whom an address is counted for: of IPv6 the network, of which one customer has a whole one.
func origin(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

// begin counts an attempt as failed before its outcome is known, so that many at once gain nothing. Success takes it back.
func (l *limiter) begin(from netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, from := l.now(), origin(from)
	if now.Sub(l.from) > time.Minute {
		l.from, l.all.n = now, l.all.n/2
	}
	f := l.of[from]
	if now.Sub(f.last) > forgetAfter {
		f = failures{}
	}
	if wait := max(f.until.Sub(now), l.all.until.Sub(now)); wait > 0 {
		return TooSoon{wait}
	}
	l.makeRoom(now)
	f.n, f.last = f.n+1, now
	f.until = now.Add(grow(f.n-freeFailures, longestWait))
	l.of[from] = f
	l.all.n++
	l.all.until = now.Add(grow(l.all.n-allFree, allLongest))
	return nil
}

// grow returns the wait after the nth failure that costs something.
func grow(n int, longest time.Duration) time.Duration {
	if n < 0 {
		return 0
	}
	return min(firstWait<<min(n, 20), longest)
}

func (l *limiter) succeeded(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, origin(from))
	l.all.n--
	l.all.until = time.Time{}
}

// makeRoom forgets what is old, and, if there is nothing old, whoever failed longest ago.
func (l *limiter) makeRoom(now time.Time) {
	if len(l.of) < maxAddresses {
		return
	}
	var oldest netip.Addr
	first := now
	for a, f := range l.of {
		if now.Sub(f.last) > forgetAfter {
			delete(l.of, a)
		} else if !f.last.After(first) {
			oldest, first = a, f.last
		}
	}
	if len(l.of) >= maxAddresses {
		delete(l.of, oldest)
	}
}
