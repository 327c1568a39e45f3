// Package peerlist keeps the addresses that a torrent knows, and decides which to dial next and which to keep
// when there are too many connections.
package peerlist

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/discovery"
)

// Limits of the list.
const (
	Max        = 4000 // addresses kept
	maxBanned  = 10000
	maxFails   = 6 // dials in a row that fail before an address is forgotten
	firstRetry = 5 * time.Second
	lastRetry  = 30 * time.Minute
	// An address that the person named is dialled more eagerly: it is probably being started.
	firstStatic = time.Second
	lastStatic  = 30 * time.Second
)

type entry struct {
	addr      netip.AddrPort
	source    discovery.Source
	priority  uint32 // BEP 40
	fails     int
	next      time.Duration // not to be dialled before
	connected bool
	dialing   bool
	dialled   bool // ever reached: it listens
	seed      bool
}

// List is the addresses of one torrent. It has one owner. Its zero value is empty.
type List struct {
	self   netip.AddrPort
	byAddr map[netip.AddrPort]*entry
	all    []*entry
	banned map[netip.Addr]bool
	bans   []netip.Addr // oldest first
}

// SetSelf tells our own address as others see it, which orders candidates (BEP 40).
func (l *List) SetSelf(self netip.AddrPort) {
	l.self = self
	for _, e := range l.all {
		e.priority = Priority(self, e.addr)
	}
}

// Self returns our own address as others see it; invalid until it is known.
func (l *List) Self() netip.AddrPort { return l.self }

// Add records an address and reports whether it is new. When the list is full, an address that never answered gives way.
func (l *List) Add(p discovery.Peer) bool {
	addr := unmap(p.Addr)
	if !addr.IsValid() || addr.Port() == 0 || l.banned[addr.Addr()] || addr == l.self {
		return false
	}
	if e := l.byAddr[addr]; e != nil {
		if e.source == discovery.PEX && p.Source != discovery.PEX {
			e.source = p.Source
		}
		return false
	}
	if len(l.all) >= Max && !l.evict() {
		return false
	}
	e := &entry{addr: addr, source: p.Source, priority: Priority(l.self, addr)}
	if l.byAddr == nil {
		l.byAddr = map[netip.AddrPort]*entry{}
	}
	l.byAddr[addr] = e
	l.all = append(l.all, e)
	return true
}

func (l *List) evict() bool {
	worst := -1
	for i, e := range l.all {
		if e.connected || e.dialing {
			continue
		}
		if worst < 0 || cmp.Or(cmp.Compare(e.fails, l.all[worst].fails), cmp.Compare(l.all[worst].priority, e.priority)) > 0 {
			worst = i
		}
	}
	if worst < 0 {
		return false
	}
	l.remove(worst)
	return true
}

func (l *List) remove(i int) {
	delete(l.byAddr, l.all[i].addr)
	l.all = slices.Delete(l.all, i, i+1)
}

// Next returns the address to dial now, if there is one, and counts it as being dialled. Addresses named by the person
// come first, then those that failed least, then by BEP 40. With seeding true, known seeds are left out.
func (l *List) Next(now time.Duration, seeding bool) (netip.AddrPort, discovery.Source, bool) {
	var best *entry
	for _, e := range l.all {
		if e.connected || e.dialing || e.next > now || seeding && e.seed {
			continue
		}
		if best == nil || e.before(best) {
			best = e
		}
	}
	if best == nil {
		return netip.AddrPort{}, 0, false
	}
	best.dialing = true
	return best.addr, best.source, true
}

// Take counts a known address as being dialled, whenever it was due, and reports whether it was neither that nor connected before.
func (l *List) Take(addr netip.AddrPort) bool {
	e := l.byAddr[unmap(addr)]
	if e == nil || e.connected || e.dialing {
		return false
	}
	e.dialing = true
	return true
}

// Due returns when Next will have an address, if nothing happens before; ok is false if never. With few true, only those addresses
// count that the person named or that never failed.
func (l *List) Due(seeding, few bool) (at time.Duration, ok bool) {
	for _, e := range l.all {
		if e.connected || e.dialing || seeding && e.seed || few && e.source != discovery.Static && e.fails > 0 {
			continue
		}
		if !ok || e.next < at {
			at, ok = e.next, true
		}
	}
	return at, ok
}

func (e *entry) before(o *entry) bool {
	static := func(e *entry) int {
		if e.source == discovery.Static {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(e.fails, o.fails), cmp.Compare(static(e), static(o)), cmp.Compare(o.priority, e.priority)) < 0
}

// Connected records a connection with the peer that listens, or says that it listens, at an address. dialled says that we
// made it, which proves the address.
func (l *List) Connected(addr netip.AddrPort, dialled bool) {
	if e := l.byAddr[unmap(addr)]; e != nil {
		e.connected, e.dialing, e.dialled = true, false, e.dialled || dialled
	}
}

// IsConnected reports whether there is a connection with the peer at an address.
func (l *List) IsConnected(addr netip.AddrPort) bool {
	e := l.byAddr[unmap(addr)]
	return e != nil && e.connected
}

// Failed records a dial that came to nothing. The wait before the next doubles from 5 s to 30 min; an address that fails six
// times in a row is forgotten unless the person named it.
func (l *List) Failed(addr netip.AddrPort, now time.Duration) {
	l.back(addr, now, true)
}

// Disconnected records the end of a connection. useful says that data went over it: then the peer may be dialled again soon.
func (l *List) Disconnected(addr netip.AddrPort, now time.Duration, useful bool) {
	l.back(addr, now, !useful)
}

func (l *List) back(addr netip.AddrPort, now time.Duration, failed bool) {
	i := slices.IndexFunc(l.all, func(e *entry) bool { return e.addr == unmap(addr) })
	if i < 0 {
		return
	}
	e := l.all[i]
	e.connected, e.dialing = false, false
	if !failed {
		e.fails = 0
		e.next = now + firstRetry
		return
	}
	e.fails++
	if e.fails >= maxFails && e.source != discovery.Static && !e.dialled {
		l.remove(i)
		return
	}
	first, last := firstRetry, lastRetry
	if e.source == discovery.Static {
		first, last = firstStatic, lastStatic
	}
	e.next = now + min(last, first<<min(e.fails-1, 10))
}

// Refused puts an address off without counting a failure: we had no slot to dial it.
func (l *List) Refused(addr netip.AddrPort, now time.Duration) {
	if e := l.byAddr[unmap(addr)]; e != nil {
		e.dialing = false
		e.next = now + time.Second
	}
}

// Seed records whether the peer at an address is complete.
func (l *List) Seed(addr netip.AddrPort, seed bool) {
	if e := l.byAddr[unmap(addr)]; e != nil {
		e.seed = seed
	}
}

// Ban forgets every address of a host and takes no new ones.
func (l *List) Ban(host netip.Addr) {
	host = host.Unmap()
	if l.banned[host] {
		return
	}
	if len(l.bans) >= maxBanned {
		delete(l.banned, l.bans[0])
		l.bans = l.bans[1:]
	}
	if l.banned == nil {
		l.banned = map[netip.Addr]bool{}
	}
	l.banned[host] = true
	l.bans = append(l.bans, host)
	for i := len(l.all) - 1; i >= 0; i-- {
		if l.all[i].addr.Addr() == host {
			l.remove(i)
		}
	}
}

// Banned reports whether a host is banned.
func (l *List) Banned(host netip.Addr) bool { return l.banned[host.Unmap()] }

// Len returns how many addresses are known, and how many of them could be dialled now or later.
func (l *List) Len() (known, candidates int) {
	for _, e := range l.all {
		if !e.connected && !e.dialing {
			candidates++
		}
	}
	return len(l.all), candidates
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Priority returns the canonical priority of a pair of peers: both ends compute the same, and higher is better (BEP 40).
func Priority(a, b netip.AddrPort) uint32 {
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	if !x.IsValid() || !y.IsValid() || x.Is4() != y.Is4() {
		return 0
	}
	var p, q []byte
	if x == y {
		p, q = binary.BigEndian.AppendUint16(nil, a.Port()), binary.BigEndian.AppendUint16(nil, b.Port())
	} else {
		p, q = x.AsSlice(), y.AsSlice()
		mask(p, q)
	}
	if slices.Compare(p, q) > 0 {
		p, q = q, p
	}
	return crc32.Checksum(append(p, q...), castagnoli)
}

// mask blurs the host part of both addresses unless they share their network: FF.FF.55.55, or more exact the nearer they are.
func mask(p, q []byte) {
	exact := 2 // IPv4: /16 apart, /24, else whole
	steps := []int{2, 3}
	if len(p) == 16 {
		exact, steps = 6, []int{6, 7}
	}
	for _, n := range steps {
		if slices.Equal(p[:n], q[:n]) {
			exact = n + 1
		}
	}
	for i := exact; i < len(p); i++ {
		p[i] &= 0x55
		q[i] &= 0x55
	}
}
