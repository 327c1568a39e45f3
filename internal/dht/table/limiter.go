package table

import (
	"hash/fnv"
	"net/netip"
	"time"

	"shoal/internal/dht/krpc"
)

const (
	cells       = 1024
	perAddress  = 25.0   // answers a second to one address, one of 256 bytes
	burst       = 150.0  // answers at once to one address
	perSecond   = 4000.0 // answers a second to all
	answerShare = 256    // bytes of an answer that count as one
)

// limiter bounds what is answered to each address and to all, in memory that does not grow: addresses share cells by a hash that
// nobody else can compute. It also remembers which addresses have proved to be where they say.
type limiter struct {
	seed   uint64
	all    cell
	cells  []cell // made with the first use
	proved [256]uint64
}

type cell struct {
	left float32
	at   uint32 // milliseconds
}

func (c *cell) refill(now time.Duration, rate, most float32) {
	ms := uint32(now / time.Millisecond)
	c.left = min(c.left+float32(ms-c.at)*rate/1000, most)
	c.at = ms
}

// hash mixes an address: /32, or /64 of IPv6.
func (l *limiter) hash(a netip.Addr) uint64 {
	if a.Is6() {
		a = subnet(a)
	}
	h := fnv.New64a()
	b := a.As16()
	_, _ = h.Write(b[:])
	x := h.Sum64() ^ l.seed
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// allow takes one answer from the budgets of an address and of all, or reports that there is none left. Who is in our local network
// shares the budget of all only: there, one address may announce much to few nodes.
func (l *limiter) allow(now time.Duration, from netip.Addr) bool {
	if l.cells == nil {
		l.cells = make([]cell, cells)
		for i := range l.cells {
			l.cells[i].left = burst
		}
		l.all.left = perSecond
	}
	c := &l.cells[l.hash(from)%cells]
	c.refill(now, perAddress, burst)
	l.all.refill(now, perSecond, perSecond)
	if c.left < 1 && !krpc.Local(from) || l.all.left < 1 {
		return false
	}
	c.left--
	l.all.left--
	return true
}

// charge takes what a long answer costs beyond one. It may be sent to somebody who has not asked, unless the address has proved to be
// that of the asker.
func (l *limiter) charge(from netip.Addr, size int) {
	if l.hasProved(from) {
		return
	}
	l.cells[l.hash(from)%cells].left -= float32(size) / answerShare
}

// prove notes that an address is that of who uses it: it has answered us, or given back a token.
func (l *limiter) prove(a netip.Addr) {
	h := l.hash(a)
	l.proved[h>>8%256] = h
}

func (l *limiter) hasProved(a netip.Addr) bool {
	h := l.hash(a)
	return l.proved[h>>8%256] == h
}
