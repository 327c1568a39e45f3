package server

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// limiter bounds how often each host may ask: it allows a rate, and so much at once as a burst. A host is an IPv4 address or an IPv6
// /64. It is a sketch: each host has one cell in each of two rows and is refused only if both are exhausted, so that a host which shares
// a cell with a flooding one is most likely still served. Its memory is fixed, and it is safe for concurrent use.
//
// A cell holds the time at which all that was allowed so far would have been used up at the allowed rate (the theoretical arrival
// time of the generic cell rate algorithm, ITU-T I.371).
type limiter struct {
	each  time.Duration // between two requests at the allowed rate; 0: no limit
	burst time.Duration // how far ahead of the time a cell may be
	key   idKey
	rows  [2][limiterCells]atomic.Int64
}

const limiterCells = 1 << 16 // a row is 512 KiB

// newLimiter allows rate requests a second and burst at once.
func newLimiter(rate, burst int) *limiter {
	l := &limiter{key: newIDKey()}
	if rate > 0 {
		l.each = time.Second / time.Duration(rate)
		l.burst = time.Duration(burst) * l.each
	}
	return l
}

// allow counts cost requests of a host at a time since the start, and reports whether they are within its bounds.
func (l *limiter) allow(a netip.Addr, now time.Duration, cost int) bool {
	if l.each == 0 {
		return true
	}
	h := l.key.hash(siteOf(a), 0)
	first := l.take(&l.rows[0][h%limiterCells], now, cost)
	second := l.take(&l.rows[1][h>>32%limiterCells], now, cost)
	return first || second
}

// take counts cost requests in a cell unless that exhausts it.
func (l *limiter) take(cell *atomic.Int64, now time.Duration, cost int) bool {
	for {
		old := cell.Load()
		next := max(old, int64(now)) + int64(cost)*int64(l.each)
		if next-int64(now) > int64(l.burst) {
			return false
		}
		if cell.CompareAndSwap(old, next) {
			return true
		}
	}
}

// siteOf returns what stands for all addresses that one host surely has: an IPv4 address itself, the first of an IPv6 /64.
func siteOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	b := a.As16()
	clear(b[8:])
	return netip.AddrFrom16(b)
}
