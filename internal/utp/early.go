package utp

import "sync"

// maxEarly is how many packets ahead of the next one are kept.
const maxEarly = 16 << 10

// early holds packets that came before others that belong ahead of them, by sequence number.
type early struct {
	ring  [][]byte
	last  uint16 // the highest
	count int
	bytes int // of memory that they take
}

// cost is how much memory a packet takes.
func cost(b []byte) int { return cap(b) + 32 }

// shorts has room for packets of usual size.
var shorts = sync.Pool{New: func() any { return new([shortLen]byte) }}

const shortLen = 1500

// put keeps a packet d places (two or more) after the last one in order, got. It reports false if it is there already.
func (e *early) put(got uint16, d int, payload []byte) bool {
	if d >= len(e.ring) {
		e.grow(got, d)
	}
	seq := got + uint16(d)
	at := &e.ring[int(seq)&(len(e.ring)-1)]
	if *at != nil {
		return false
	}
	if len(payload) > shortLen/2 && len(payload) <= shortLen {
		b := shorts.Get().(*[shortLen]byte)
		*at = b[:copy(b[:], payload)]
	} else {
		*at = append(make([]byte, 0, len(payload)), payload...)
	}
	if e.count == 0 || less(e.last, seq) {
		e.last = seq
	}
	e.count++
	e.bytes += cost(*at)
	return true
}

func (e *early) grow(got uint16, d int) {
	n := max(16, len(e.ring))
	for n <= d {
		n *= 2
	}
	ring := make([][]byte, n)
	for i := range len(e.ring) {
		seq := got + uint16(i)
		ring[int(seq)&(n-1)] = e.ring[int(seq)&(len(e.ring)-1)]
	}
	e.ring = ring
}

// has reports whether a packet is there. It must be at most as far ahead as those that were put.
func (e *early) has(seq uint16) bool { return e.count > 0 && e.ring[int(seq)&(len(e.ring)-1)] != nil }

// take moves a packet's bytes to a buffer, if there is one.
func (e *early) take(seq uint16, to *buffer) {
	at := &e.ring[int(seq)&(len(e.ring)-1)]
	to.write(*at)
	e.bytes -= cost(*at)
	e.drop(at)
	e.count--
	if e.count == 0 && len(e.ring) > 16 {
		e.ring = nil
	}
}

func (e *early) drop(at *[]byte) {
	if cap(*at) == shortLen {
		shorts.Put((*[shortLen]byte)((*at)[:shortLen]))
	}
	*at = nil
}

// release drops everything.
func (e *early) release() {
	for i := range e.ring {
		if e.ring[i] != nil {
			e.drop(&e.ring[i])
		}
	}
	*e = early{}
}

// mask writes which packets after got and the next are there (BEP 29, selective ACK), and returns how many bytes that takes.
func (e *early) mask(got uint16, b []byte) int {
	if e.count == 0 {
		return 0
	}
	first := got + 2
	n := min(int(e.last-first)+1, 8*len(b))
	size := (n + 31) / 32 * 4
	clear(b[:size])
	for i := range n {
		if e.has(first + uint16(i)) {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return size
}
