package krpc

import (
	"crypto/sha1"
	"math"
	"math/bits"
	"net/netip"
)

// Filter is a Bloom filter of addresses: 2,048 bits, of which each address sets two (BEP 33). It tells sets apart up to some 6,000
// addresses.
type Filter [256]byte

// filterBits returns the two bits of an address; ports do not count.
func filterBits(a netip.Addr) (uint, uint) {
	h := sha1.Sum(a.AsSlice())
	return uint(h[0]) | uint(h[1]&7)<<8, uint(h[2]) | uint(h[3]&7)<<8
}

// Add puts an address into the set.
func (f *Filter) Add(a netip.Addr) {
	i, j := filterBits(a)
	f[i/8] |= 1 << (i % 8)
	f[j/8] |= 1 << (j % 8)
}

// Has reports whether the address may be in the set: false is certain.
func (f *Filter) Has(a netip.Addr) bool {
	i, j := filterBits(a)
	return f[i/8]>>(i%8)&1 == 1 && f[j/8]>>(j%8)&1 == 1
}

// Merge makes the set the union of both.
func (f *Filter) Merge(o *Filter) {
	for i := range f {
		f[i] |= o[i]
	}
}

// ones returns how many bits are set.
func (f *Filter) ones() int {
	n := 0
	for _, b := range f {
		n += bits.OnesCount8(b)
	}
	return n
}

// Credible reports whether the filter can be of a set as large as nodes may keep: one that is nearly full counts nothing.
func (f *Filter) Credible() bool { return f.Estimate() <= 7000 }

// Estimate returns about how many addresses the set has.
func (f *Filter) Estimate() float64 {
	const m = 8.0 * float64(len(f))
	if f.ones() == 0 {
		return 0
	}
	zeros := max(1, min(m-1, m-float64(f.ones())))
	return math.Log(zeros/m) / (2 * math.Log(1-1/m))
}
