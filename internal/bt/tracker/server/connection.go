package server

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"
)

// A connection id (BEP 15) proves that who sends it has received what was sent to its address within the last minutes. The tracker
// remembers none: an id is a keyed hash of the address and of the time, so that a flood of forged connects costs no memory.

// idSlice is the grain of an id's time. An id is valid in the slice that it was made in and in idSlices more, so for at least the two
// minutes that BEP 15 asks for, and for three at most.
const (
	idSlice  = time.Minute
	idSlices = 2
)

// idKey makes and checks connection ids.
type idKey [2]uint64

func newIDKey() idKey {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return idKey{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

// slice returns the number of the slice of time.
func slice(now time.Duration) uint64 { return uint64(now / idSlice) }

// make returns the id of an address at a time since the tracker's start. The lowest two bits are those of the slice, so that one hash
// is enough to check it.
func (k *idKey) make(a netip.Addr, now time.Duration) uint64 {
	n := slice(now)
	return k.hash(a, n)&^3 | n&3
}

// valid reports whether an id was given to the address lately.
func (k *idKey) valid(id uint64, a netip.Addr, now time.Duration) bool {
	n := slice(now)
	age := (n - id) & 3
	return age <= min(n, idSlices) && k.hash(a, n-age)&^3 == id&^3
}

// hash is SipHash-2-4 (Aumasson and Bernstein, 2012) of an address and a number.
func (k *idKey) hash(a netip.Addr, n uint64) uint64 {
	b := a.As16()
	s := newSIP(k)
	s.word(binary.LittleEndian.Uint64(b[:]))
	s.word(binary.LittleEndian.Uint64(b[8:]))
	s.word(n)
	return s.sum(24 << 56)
}

// sip is the state of SipHash.
type sip struct{ v0, v1, v2, v3 uint64 }

func newSIP(k *idKey) sip {
	return sip{k[0] ^ 0x736f6d6570736575, k[1] ^ 0x646f72616e646f6d, k[0] ^ 0x6c7967656e657261, k[1] ^ 0x7465646279746573}
}

func (s *sip) round() {
	s.v0 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v2 = bits.RotateLeft64(s.v2, 32)
}

func (s *sip) word(m uint64) {
	s.v3 ^= m
	s.round()
	s.round()
	s.v0 ^= m
}

// sum ends the hash with the last word: the length of the input in its highest byte, the bytes behind the last whole word below.
func (s *sip) sum(last uint64) uint64 {
	s.word(last)
	s.v2 ^= 0xff
	for range 4 {
		s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}
