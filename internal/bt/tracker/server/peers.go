package server

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// end4 and end6 are where a peer listens, as answers tell it: the address followed by the port (BEP 23, BEP 7).
type (
	end4 [6]byte
	end6 [18]byte
)

func (e end4) appendTo(b []byte) []byte { return append(b, e[:]...) }
func (e end6) appendTo(b []byte) []byte { return append(b, e[:]...) }

// near reports whether two peers count as one host: by IPv4 address, or by the /64 that one host has of IPv6.
func (e end4) near(o end4) bool { return [4]byte(e[:]) == [4]byte(o[:]) }
func (e end6) near(o end6) bool { return [8]byte(e[:]) == [8]byte(o[:]) }

// endpoint is end4 or end6.
type endpoint[E any] interface {
	comparable
	appendTo([]byte) []byte
	near(E) bool
}

func toEnd4(a netip.Addr, port uint16) (e end4) {
	*(*[4]byte)(e[:]) = a.As4()
	binary.BigEndian.PutUint16(e[4:], port)
	return e
}

func toEnd6(a netip.Addr, port uint16) (e end6) {
	*(*[16]byte)(e[:]) = a.As16()
	binary.BigEndian.PutUint16(e[16:], port)
	return e
}

// scope is how far an address reaches. A peer is told only to askers whose own address reaches no further.
type scope uint8

const (
	public   scope = iota
	private        // private networks, links, and networks behind a provider's NAT
	loopback       // this machine
)

var shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func scopeOf(a netip.Addr) scope {
	switch {
	case a.IsLoopback():
		return loopback
	case a.IsPrivate(), a.IsLinkLocalUnicast(), shared.Contains(a):
		return private
	}
	return public
}

// tick is a time in units of a 64th of a peer's lifetime. It wraps after four lifetimes.
type tick uint8

// lifeTicks is how long a peer is told to others after its last announce.
const lifeTicks = 64

// expired reports whether a peer that was seen at t is not told any more. Who looks may be a little behind who has seen it, so that t can
// be later than now.
func (t tick) expired(now tick) bool {
	age := now - t
	return age > lifeTicks && age < 256-lifeTicks/2
}

// peer is one peer of a swarm: 8 bytes for IPv4, 20 for IPv6.
type peer[E any] struct {
	end   E
	seen  tick
	scope scope
}

// list is the peers of a swarm that have addresses of one family.
type list[E endpoint[E]] struct {
	peers []peer[E] // seeds first
	seeds int
	index map[E]int32 // places in peers, where there are more than maxScan
}

// maxScan is how many peers are looked through for one of them: 1 KiB for IPv4.
const maxScan = 128

// find returns the place of a peer, or -1.
func (l *list[E]) find(e E) int {
	if l.index != nil {
		if i, ok := l.index[e]; ok {
			return int(i)
		}
		return -1
	}
	for i := range l.peers {
		if l.peers[i].end == e {
			return i
		}
	}
	return -1
}

// add appends a peer that is not there, as a leech, and returns its place.
func (l *list[E]) add(e E) int {
	l.peers = append(l.peers, peer[E]{end: e})
	i := len(l.peers) - 1
	switch {
	case l.index != nil:
		l.index[e] = int32(i)
	case len(l.peers) > maxScan:
		l.index = make(map[E]int32, 2*maxScan)
		for i := range l.peers {
			l.index[l.peers[i].end] = int32(i)
		}
	}
	return i
}

// mark makes the peer at i a seed or a leech.
func (l *list[E]) mark(i int, seed bool) {
	switch {
	case seed && i >= l.seeds:
		l.swap(i, l.seeds)
		l.seeds++
	case !seed && i < l.seeds:
		l.seeds--
		l.swap(i, l.seeds)
	}
}

func (l *list[E]) swap(i, j int) {
	l.peers[i], l.peers[j] = l.peers[j], l.peers[i]
	if l.index != nil {
		l.index[l.peers[i].end], l.index[l.peers[j].end] = int32(i), int32(j)
	}
}

// remove takes out the peer at i. Peers behind it change their places.
func (l *list[E]) remove(i int) {
	if i < l.seeds {
		l.mark(i, false)
		i = l.seeds
	}
	last := len(l.peers) - 1
	l.swap(i, last)
	if l.index != nil {
		delete(l.index, l.peers[last].end)
		if last <= maxScan/2 {
			l.index = nil
		}
	}
	l.peers = l.peers[:last]
	if 4*last < cap(l.peers) {
		l.peers = append(make([]peer[E], 0, 2*last), l.peers...)
	}
}

// expire takes out those whose lifetime is over.
func (l *list[E]) expire(now tick) {
	for i := len(l.peers) - 1; i >= 0; i-- {
		if l.peers[i].seen.expired(now) {
			l.remove(i)
		}
	}
}

// crowd returns how many peers of the host of e there are, counting to limit.
func (l *list[E]) crowd(e E, limit int) (n int) {
	if len(l.peers) < limit {
		return 0 // however many, they are fewer
	}
	for i := range l.peers {
		if l.peers[i].end.near(e) {
			if n++; n == limit {
				break
			}
		}
	}
	return n
}

// asker is who is told of peers.
type asker[E any] struct {
	end   E // itself, which it is not told of
	scope scope
	seed  bool // it wants no seeds
}

// appendSome appends up to want peers that the asker can use. Where there are more, it takes one at random from each of want equal
// runs, or its first useful successor in the run, so that no peer comes twice.
func (l *list[E]) appendSome(b []byte, want int, a *asker[E], r *random) []byte {
	from := l.peers
	if a.seed {
		from = from[l.seeds:]
	}
	if len(from) <= want {
		for i := range from {
			if p := &from[i]; p.scope <= a.scope && p.end != a.end {
				b = p.end.appendTo(b)
			}
		}
		return b
	}
	for i := range want {
		run := from[i*len(from)/want : (i+1)*len(from)/want]
		at := r.below(len(run))
		for range run {
			if p := &run[at]; p.scope <= a.scope && p.end != a.end {
				b = p.end.appendTo(b)
				break
			}
			if at++; at == len(run) {
				at = 0
			}
		}
	}
	return b
}

// random is a quick generator for choices that nobody gains by foreseeing (SplitMix64: Steele, Lea and Flood, 2014).
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 to n-1.
func (r *random) below(n int) int {
	high, _ := bits.Mul64(r.next(), uint64(n))
	return int(high)
}
