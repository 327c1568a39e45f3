// Package ipfilter reads lists of IP address ranges that are not to be talked to, and says whether an address is in one.
package ipfilter

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"sort"
)

// Filter is a set of addresses. It never changes, so it may be used from many goroutines. A nil Filter blocks nothing.
type Filter struct {
	v4 []range4 // sorted, neither overlapping nor adjacent
	v6 []range6 // likewise
}

// range4 is a range of IPv4 addresses, both ends included. A million of them take 8 MB.
type range4 struct{ first, last uint32 }

// range6 is a range of IPv6 addresses, both ends included.
type range6 struct{ first, last addr6 }

// addr6 is an IPv6 address as a number.
type addr6 struct{ high, low uint64 }

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func number6(a netip.Addr) addr6 {
	b := a.As16()
	return addr6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a addr6) compare(b addr6) int {
	return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
}

// next returns the address after a, or a itself if it is the last.
func (a addr6) next() addr6 {
	switch {
	case a.low < math.MaxUint64:
		a.low++
	case a.high < math.MaxUint64:
		a.high, a.low = a.high+1, 0
	}
	return a
}

// Blocked reports whether an address is in the set. An IPv4 address mapped into IPv6 counts as IPv4; a zone does not count.
func (f *Filter) Blocked(a netip.Addr) bool {
	if f == nil {
		return false
	}
	a = a.Unmap()
	switch {
	case a.Is4():
		n := number4(a)
		i := sort.Search(len(f.v4), func(i int) bool { return f.v4[i].last >= n })
		return i < len(f.v4) && f.v4[i].first <= n
	case a.Is6():
		n := number6(a)
		i := sort.Search(len(f.v6), func(i int) bool { return f.v6[i].last.compare(n) >= 0 })
		return i < len(f.v6) && f.v6[i].first.compare(n) <= 0
	}
	return false
}

// Len returns the number of ranges, after overlapping and adjacent ones have been joined.
func (f *Filter) Len() int {
	if f == nil {
		return 0
	}
	return len(f.v4) + len(f.v6)
}

// Union returns the filter that blocks what any of the given ones does.
func Union(filters ...*Filter) *Filter {
	var b builder
	for _, f := range filters {
		if f != nil {
			b.v4 = append(b.v4, f.v4...)
			b.v6 = append(b.v6, f.v6...)
		}
	}
	return b.filter()
}

// builder collects ranges in any order.
type builder struct {
	v4                 []range4
	v6                 []range6
	maxText, maxRanges int // bytes and ranges of a list
}

// add takes a range of two addresses of one family, first ≤ last. One that goes on where the last one ended only extends it, so that
// a sorted list, as most are, never takes more memory than its result.
func (b *builder) add(first, last netip.Addr) {
	if first.Is4() {
		r := range4{number4(first), number4(last)}
		if n := len(b.v4); n > 0 && b.v4[n-1].takes(r) {
			b.v4[n-1].last = max(b.v4[n-1].last, r.last)
			return
		}
		b.v4 = append(b.v4, r)
		return
	}
	r := range6{number6(first), number6(last)}
	if n := len(b.v6); n > 0 && b.v6[n-1].takes(r) {
		if b.v6[n-1].last.compare(r.last) < 0 {
			b.v6[n-1].last = r.last
		}
		return
	}
	b.v6 = append(b.v6, r)
}

func (b *builder) len() int { return len(b.v4) + len(b.v6) }

// takes reports whether s, which does not begin before r, overlaps r or follows it without a gap.
func (r range4) takes(s range4) bool {
	return s.first >= r.first && (s.first <= r.last || s.first-1 == r.last)
}

// takes is the same for IPv6.
func (r range6) takes(s range6) bool {
	return s.first.compare(r.first) >= 0 && s.first.compare(r.last.next()) <= 0
}

// filter sorts and joins what has been added.
func (b *builder) filter() *Filter {
	slices.SortFunc(b.v4, func(x, y range4) int { return cmp.Compare(x.first, y.first) })
	slices.SortFunc(b.v6, func(x, y range6) int { return x.first.compare(y.first) })
	var joined builder
	joined.v4, joined.v6 = b.v4[:0], b.v6[:0]
	for _, r := range b.v4 {
		if n := len(joined.v4); n > 0 && joined.v4[n-1].takes(r) {
			joined.v4[n-1].last = max(joined.v4[n-1].last, r.last)
		} else {
			joined.v4 = append(joined.v4, r)
		}
	}
	for _, r := range b.v6 {
		if n := len(joined.v6); n > 0 && joined.v6[n-1].takes(r) {
			if joined.v6[n-1].last.compare(r.last) < 0 {
				joined.v6[n-1].last = r.last
			}
		} else {
			joined.v6 = append(joined.v6, r)
		}
	}
	return &Filter{v4: slices.Clone(joined.v4), v6: slices.Clone(joined.v6)}
}
