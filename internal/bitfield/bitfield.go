// Package bitfield holds sets of pieces in the order of the wire: piece 0 is the highest bit of byte 0 (BEP 3).
package bitfield

import (
	"errors"
	"math/bits"
	"sync/atomic"
)

// Errors of Parse.
var (
	ErrLength = errors.New("bitfield: wrong length")
	ErrSpare  = errors.New("bitfield: spare bits are set")
)

// Set is a set of the pieces 0 … Len()-1. Its zero value is the set over no pieces. It has one owner.
type Set struct {
	n     int
	count int
	b     []byte
}

// New returns an empty set over n pieces.
func New(n int) Set { return Set{n: n, b: make([]byte, (n+7)/8)} }

// Parse copies a set over n pieces from its wire form. It fails if the length differs or a spare bit is set.
func Parse(n int, wire []byte) (Set, error) {
	if len(wire) != (n+7)/8 {
		return Set{}, ErrLength
	}
	if n%8 != 0 && wire[len(wire)-1]&(0xff>>(n%8)) != 0 {
		return Set{}, ErrSpare
	}
	s := New(n)
	copy(s.b, wire)
	for _, c := range wire {
		s.count += bits.OnesCount8(c)
	}
	return s, nil
}

// Len returns the number of pieces that the set is over.
func (s *Set) Len() int { return s.n }

// Count returns the number of pieces in the set.
func (s *Set) Count() int { return s.count }

// All reports whether every piece is in the set.
func (s *Set) All() bool { return s.count == s.n }

// Has reports whether piece i is in the set; it is false outside 0 … Len()-1.
func (s *Set) Has(i int) bool {
	return uint(i) < uint(s.n) && s.b[i>>3]&(0x80>>(i&7)) != 0
}

// Add puts piece i into the set and reports whether it is new. i must be in range.
func (s *Set) Add(i int) bool {
	if s.Has(i) {
		return false
	}
	s.b[i>>3] |= 0x80 >> (i & 7)
	s.count++
	return true
}

// Remove takes piece i out of the set and reports whether it was there.
func (s *Set) Remove(i int) bool {
	if !s.Has(i) {
		return false
	}
	s.b[i>>3] &^= 0x80 >> (i & 7)
	s.count--
	return true
}

// Fill puts every piece into the set.
func (s *Set) Fill() {
	for i := range s.b {
		s.b[i] = 0xff
	}
	if s.n%8 != 0 {
		s.b[len(s.b)-1] = ^byte(0xff >> (s.n % 8))
	}
	s.count = s.n
}

// Clone returns an independent copy.
func (s *Set) Clone() Set {
	return Set{n: s.n, count: s.count, b: append([]byte(nil), s.b...)}
}

// Bytes returns the wire form. It shares memory with the set: read only, and only until the next change.
func (s *Set) Bytes() []byte { return s.b }

// Shared is a set that one goroutine changes while any number read it, without locks.
type Shared struct {
	n     int
	count atomic.Int64
	w     []atomic.Uint32
}

// NewShared returns an empty shared set over n pieces.
func NewShared(n int) *Shared { return &Shared{n: n, w: make([]atomic.Uint32, (n+31)/32)} }

// Len returns the number of pieces that the set is over.
func (s *Shared) Len() int { return s.n }

// Count returns the number of pieces in the set.
func (s *Shared) Count() int { return int(s.count.Load()) }

// Has reports whether piece i is in the set; it is false outside 0 … Len()-1.
func (s *Shared) Has(i int) bool {
	return uint(i) < uint(s.n) && s.w[i>>5].Load()&(1<<(i&31)) != 0
}

// Add puts piece i into the set. i must be in range.
func (s *Shared) Add(i int) {
	if !s.Has(i) {
		s.w[i>>5].Or(1 << (i & 31))
		s.count.Add(1)
	}
}

// Remove takes piece i out of the set.
func (s *Shared) Remove(i int) {
	if s.Has(i) {
		s.w[i>>5].And(^uint32(1 << (i & 31)))
		s.count.Add(-1)
	}
}

// Snapshot returns the set as it is now.
func (s *Shared) Snapshot() Set {
	t := New(s.n)
	for i := range s.n {
		if s.Has(i) {
			t.Add(i)
		}
	}
	return t
}
