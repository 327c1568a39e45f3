package table

import (
	"net/netip"
	"slices"
	"time"

	"shoal/internal/dht/krpc"
)

// K is how many nodes an answer names, a bucket holds, and a key is kept at (BEP 5).
const K = 8

const (
	maxSpares     = K                // candidates that a bucket remembers
	maxBuckets    = 160              // of a table
	perSubnet     = 2                // nodes of one subnet in a bucket, or among those that a look-up relies on
	badAfter      = 3                // queries in a row without an answer, after which a node is dropped
	fresh         = 15 * time.Minute // how long a node counts as good after it answered (BEP 5)
	settle        = 3 * time.Minute  // how long one that asked us has to be quiet before its answer proves that others can reach it
	firstRetry    = 10 * time.Second // between queries to a node that did not answer, doubled each time
	widestBucket  = 32               // of the half of the space that we are not in; the next is half as wide, down to K
	eagerBelow    = 2 * K            // nodes in the table, up to which candidates are tried at once
	goodForAnswer = 2 * fresh        // how long ago a node that we name to others may have answered
)

// entry is a node that has answered us.
type entry struct {
	krpc.Node
	secure bool // BEP 42
	fails  uint8
	rtt    time.Duration // smoothed; 0 if not known
	since  time.Duration // first answer
	seen   time.Duration // last answer
	asked  time.Duration // last query to it
}

// spare is a node that could take a place.
type spare struct {
	krpc.Node
	secure bool
	asked  bool          // it is known from a query of its own
	at     time.Duration // when it was last heard of
}

// bucket holds the nodes that share exactly so many leading bits with us, or, the last one, at least so many.
type bucket struct {
	nodes  []entry
	spares []spare // oldest first
}

// Table is the routing table of one address family: nodes that have answered, more of them the closer they are to us.
type Table struct {
	self    krpc.ID
	buckets []bucket
	count   int
}

func newTable(self krpc.ID) *Table { return &Table{self: self, buckets: make([]bucket, 1)} }

// Len returns how many nodes the table has.
func (t *Table) Len() int { return t.count }

func (t *Table) index(id krpc.ID) int { return min(krpc.Prefix(t.self, id), len(t.buckets)-1) }

// width is how many nodes bucket i holds. More of those far away save look-ups a step.
func width(i int) int { return max(K, widestBucket>>i) }

// subnet is the part of an address that one attacker easily has all of: /24, or /64 of IPv6.
func subnet(a netip.Addr) netip.Addr {
	if a.Is4() {
		b := a.As4()
		b[3] = 0
		return netip.AddrFrom4(b)
	}
	b := a.As16()
	clear(b[8:])
	return netip.AddrFrom16(b)
}

// find returns the node of that id and address.
func (t *Table) find(n krpc.Node) *entry {
	b := &t.buckets[t.index(n.ID)]
	for i := range b.nodes {
		if b.nodes[i].Node == n {
			return &b.nodes[i]
		}
	}
	return nil
}

// at returns the node at an address.
func (t *Table) at(a netip.AddrPort) *entry {
	for e := range t.all() {
		if e.Addr == a {
			return e
		}
	}
	return nil
}

func (t *Table) all() func(yield func(*entry) bool) {
	return func(yield func(*entry) bool) {
		for i := range t.buckets {
			for j := range t.buckets[i].nodes {
				if !yield(&t.buckets[i].nodes[j]) {
					return
				}
			}
		}
	}
}

// admits reports whether a node may be beside those that are there: one node of a public address, and few of a subnet.
func (t *Table) admits(n krpc.Node) bool {
	ip := n.Addr.Addr()
	if n.ID == t.self {
		return false
	}
	if krpc.Local(ip) {
		return true
	}
	for e := range t.all() {
		if e.Addr.Addr() == ip {
			return false
		}
	}
	near := 0
	for _, e := range t.buckets[t.index(n.ID)].nodes {
		if subnet(e.Addr.Addr()) == subnet(ip) {
			near++
		}
	}
	return near < perSubnet
}

// answered records an answer of a node, and reports whether it is new in the table.
func (t *Table) answered(now time.Duration, n krpc.Node, rtt time.Duration) bool {
	if e := t.find(n); e != nil {
		e.seen, e.fails = now, 0
		if e.rtt == 0 {
			e.rtt = rtt
		}
		e.rtt += (rtt - e.rtt) / 4
		return false
	}
	if e := t.at(n.Addr); e != nil { // it has another id now
		t.remove(e.Node)
	}
	t.forget(n)
	if !t.admits(n) {
		return false
	}
	e := entry{Node: n, secure: n.ID.Secure(n.Addr.Addr()), rtt: rtt, since: now, seen: now, asked: now}
	for {
		i := t.index(n.ID)
		b := &t.buckets[i]
		if len(b.nodes) < width(i) {
			b.nodes = append(b.nodes, e)
			t.count++
			return true
		}
		if i < len(t.buckets)-1 || i == maxBuckets-1 {
			return t.replace(b, e)
		}
		t.split()
	}
}

// split moves those that are closer than the last bucket says into one behind it.
func (t *Table) split() {
	i := len(t.buckets) - 1
	t.buckets = append(t.buckets, bucket{})
	old, next := &t.buckets[i], &t.buckets[i+1]
	closer := func(id krpc.ID) bool { return krpc.Prefix(t.self, id) > i }
	for _, e := range old.nodes {
		if closer(e.ID) {
			next.nodes = append(next.nodes, e)
		}
	}
	for _, s := range old.spares {
		if closer(s.ID) {
			next.spares = append(next.spares, s)
		}
	}
	old.nodes = slices.DeleteFunc(old.nodes, func(e entry) bool { return closer(e.ID) })
	old.spares = slices.DeleteFunc(old.spares, func(s spare) bool { return closer(s.ID) })
}

// replace puts e in the place of one that does not answer any more, or of one whose id does not fit its address if that of e does.
// Else those that have been there for long stay.
func (t *Table) replace(b *bucket, e entry) bool {
	worst := 0
	for i := range b.nodes {
		if worse(&b.nodes[i], &b.nodes[worst]) {
			worst = i
		}
	}
	if w := &b.nodes[worst]; w.fails > 1 || e.secure && !w.secure {
		*w = e
		return true
	}
	return false
}

func worse(a, b *entry) bool {
	switch {
	case a.fails != b.fails:
		return a.fails > b.fails
	case a.secure != b.secure:
		return b.secure
	}
	return a.since > b.since
}

// heard records a node of which we only heard: asked says that it asked us something, else another has named it.
func (t *Table) heard(now time.Duration, n krpc.Node, asked bool) {
	if t.find(n) != nil || n.ID == t.self {
		return
	}
	if asked {
		if e := t.at(n.Addr); e != nil {
			e.seen, e.asked = now-fresh, now-fresh // it may have another id now: ask it next
			return
		}
	}
	i := t.index(n.ID)
	b := &t.buckets[i]
	if !asked && !t.room(i) {
		return
	}
	s := spare{Node: n, secure: n.ID.Secure(n.Addr.Addr()), asked: asked, at: now}
	if i := slices.IndexFunc(b.spares, func(o spare) bool { return o.Addr == n.Addr }); i >= 0 {
		s.asked = s.asked || b.spares[i].asked
		b.spares = slices.Delete(b.spares, i, i+1)
	} else if len(b.spares) == maxSpares {
		i := max(0, slices.IndexFunc(b.spares, func(o spare) bool { return !o.secure }))
		if !s.secure && b.spares[i].secure {
			return
		}
		b.spares = slices.Delete(b.spares, i, i+1)
	}
	b.spares = append(b.spares, s)
}

// forget removes a node from the candidates.
func (t *Table) forget(n krpc.Node) {
	b := &t.buckets[t.index(n.ID)]
	b.spares = slices.DeleteFunc(b.spares, func(s spare) bool { return s.Addr == n.Addr })
}

func (t *Table) remove(n krpc.Node) {
	b := &t.buckets[t.index(n.ID)]
	before := len(b.nodes)
	b.nodes = slices.DeleteFunc(b.nodes, func(e entry) bool { return e.Node == n })
	t.count -= before - len(b.nodes)
}

// failed records that a node did not answer.
func (t *Table) failed(n krpc.Node) {
	t.forget(n)
	if e := t.find(n); e != nil {
		if e.fails++; e.fails >= badAfter {
			t.remove(n)
		}
	}
}

// room reports whether bucket i can take another node that answers.
func (t *Table) room(i int) bool {
	b := &t.buckets[i]
	return len(b.nodes) < width(i) || i == len(t.buckets)-1 || slices.ContainsFunc(b.nodes, func(e entry) bool { return e.fails > 1 })
}

// candidate takes a node out of the candidates that is worth a query now, because its bucket has room for it.
func (t *Table) candidate(now time.Duration) (krpc.Node, bool) {
	for i := range t.buckets {
		b := &t.buckets[i]
		room := t.room(i)
		for j := len(b.spares) - 1; j >= 0; j-- {
			s := b.spares[j]
			if !room && !(s.secure && slices.ContainsFunc(b.nodes, func(e entry) bool { return !e.secure })) {
				continue
			}
			if s.asked && t.count >= eagerBelow && now-s.at < settle {
				continue
			}
			b.spares = slices.Delete(b.spares, j, j+1)
			if t.admits(s.Node) {
				return s.Node, true
			}
		}
	}
	return krpc.Node{}, false
}

// stale returns the node that most needs to be asked whether it is still there, and whether its bucket could do with others.
func (t *Table) stale(now time.Duration) (worst *entry, room bool) {
	var overdue time.Duration = -1
	for i := range t.buckets {
		b := &t.buckets[i]
		for j := range b.nodes {
			e := &b.nodes[j]
			due := max(e.seen, e.asked) + fresh
			if e.fails > 0 {
				due = e.asked + firstRetry<<e.fails
			}
			if late := now - due; late > overdue {
				worst, room, overdue = e, t.room(i), late
			}
		}
	}
	return worst, room
}

// closest appends to dst the n nodes closest to target of those that keep allows, closest first. It takes no memory if dst has
// room.
func (t *Table) closest(dst []krpc.Node, target krpc.ID, n int, keep func(*entry) bool) []krpc.Node {
	base := len(dst)
	take := func(b *bucket) {
		for i := range b.nodes {
			e := &b.nodes[i]
			if !keep(e) {
				continue
			}
			at := len(dst)
			for at > base && krpc.Closer(target, e.ID, dst[at-1].ID) {
				at--
			}
			if at-base == n {
				continue
			}
			if len(dst)-base == n {
				dst = dst[:len(dst)-1]
			}
			dst = slices.Insert(dst, at, e.Node)
		}
	}
	// The bucket of the target's own prefix is closest; all that are closer to us come next, together; then the others outwards.
	i := t.index(target)
	take(&t.buckets[i])
	if len(dst)-base < n {
		for j := i + 1; j < len(t.buckets); j++ {
			take(&t.buckets[j])
		}
	}
	for j := i - 1; j >= 0 && len(dst)-base < n; j-- {
		take(&t.buckets[j])
	}
	return dst
}

// mixed is closest with at most half of the nodes insecure, so that ids made up for a place do not take all of it.
func (t *Table) mixed(dst []krpc.Node, target krpc.ID, n int, keep func(*entry) bool) []krpc.Node {
	base := len(dst)
	dst = t.closest(dst, target, n, func(e *entry) bool { return e.secure && keep(e) })
	var buf [K]krpc.Node
	for _, x := range t.closest(buf[:0], target, n/2, func(e *entry) bool { return !e.secure && keep(e) }) {
		at := len(dst)
		for at > base && krpc.Closer(target, x.ID, dst[at-1].ID) {
			at--
		}
		dst = slices.Insert(dst, at, x)
	}
	return dst[:min(len(dst), base+n)]
}

// good returns whether nodes may be named to others at a time.
func good(now time.Duration) func(*entry) bool {
	return func(e *entry) bool { return e.fails == 0 && now-e.seen < goodForAnswer }
}

// rename gives us another id and sorts the nodes anew.
func (t *Table) rename(self krpc.ID) {
	old := *t
	*t = *newTable(self)
	for e := range old.all() {
		if t.answered(e.since, e.Node, e.rtt) {
			if n := t.find(e.Node); n != nil {
				*n = *e
			}
		}
	}
}
