package table

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/dht/krpc"
)

// crowd is a network of many nodes, driven from event to event: the real Cores, without sockets and goroutines. One seed gives one run.
type crowd struct {
	rand   *rand.Rand
	now    time.Duration
	queue  events
	order  uint64
	nodes  []*simNode
	byAddr map[netip.AddrPort]*simNode
	out    Out
	liars  []*simNode
	nobody [1 << 12][]krpc.Node // made up by liars, by the first bits of their ids
}

// simNode is one node of a crowd.
type simNode struct {
	*Core
	addr    netip.AddrPort
	latency time.Duration // one way, to the middle of the network
	gone    bool
	nat     map[netip.AddrPort]time.Duration // not nil behind a NAT: to whom it has sent, and when last
	lies    func(c *crowd, n *simNode, b []byte, from netip.AddrPort)
	tickAt  time.Duration
}

const natLife = time.Minute // of a mapping without traffic

type event struct {
	at    time.Duration
	order uint64
	to    *simNode
	from  netip.AddrPort
	data  []byte // nil: a tick
	call  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}

func newCrowd(seed uint64) *crowd {
	return &crowd{rand: rand.New(rand.NewPCG(seed, 1)), now: time.Hour, byAddr: map[netip.AddrPort]*simNode{}}
}

func (c *crowd) push(e event) {
	c.order++
	e.order = c.order
	heap.Push(&c.queue, e)
}

// after plans a call.
func (c *crowd) after(d time.Duration, f func()) { c.push(event{at: c.now + d, call: f}) }

// freeAddr returns a public address that nobody has.
func (c *crowd) freeAddr() netip.AddrPort {
	for {
		ip := netip.AddrFrom4([4]byte{byte(20 + c.rand.IntN(80)), byte(c.rand.Uint32()), byte(c.rand.Uint32()), byte(1 + c.rand.IntN(254))})
		a := netip.AddrPortFrom(ip, uint16(1024+c.rand.IntN(60000)))
		if c.byAddr[a] == nil && usable(a) {
			return a
		}
	}
}

// add adds a node. secure says whether its id fits its address.
func (c *crowd) add(secure, nat bool) *simNode {
	n := &simNode{addr: c.freeAddr(), tickAt: math.MaxInt64}
	// Round trips are twice the sum of two of these: half are below 80 ms, one in ten above 190 ms.
	n.latency = time.Duration(16.5 * math.Exp(0.75*c.rand.NormFloat64()) * float64(time.Millisecond))
	if nat {
		n.nat = map[netip.AddrPort]time.Duration{}
	}
	id := krpc.RandomID(krpc.ID{}, 0, c.rand)
	if secure {
		id = krpc.SecureID(n.addr.Addr(), c.rand)
	}
	n.Core = New(Config{ID: id, FixedID: !secure, Rand: rand.New(rand.NewPCG(c.rand.Uint64(), 2))})
	c.nodes = append(c.nodes, n)
	c.byAddr[n.addr] = n
	return n
}

// fill gives every node the table that it would have after hours: of each bucket's nodes any, but a share of them dead.
func (c *crowd) fill(dead float64) {
	sorted := slices.Clone(c.nodes)
	slices.SortFunc(sorted, func(a, b *simNode) int { return slices.Compare(a.self[:], b.self[:]) })
	for _, n := range c.nodes {
		t := n.table
		lo, hi := 0, len(sorted)
		for depth := 0; ; depth++ {
			// All in [lo, hi) share depth bits with n. Those that differ in the next are the bucket's.
			mid := lo + firstWith(sorted[lo:hi], depth)
			own, other := sorted[mid:hi], sorted[lo:mid]
			if n.self[depth/8]>>(7-depth%8)&1 == 0 {
				own, other = other, own
				hi = mid
			} else {
				lo = mid
			}
			t.buckets[depth].nodes = c.choose(other, width(depth), dead)
			t.count += len(t.buckets[depth].nodes)
			if len(own) <= K {
				rest := c.choose(own, K, 0)
				rest = slices.DeleteFunc(rest, func(e entry) bool { return e.ID == n.self })
				t.buckets = append(t.buckets, bucket{nodes: rest})
				t.count += len(rest)
				break
			}
			t.buckets = append(t.buckets, bucket{})
		}
		n.join.selfPace = selfPeriod
		n.join.self = c.now + time.Duration(c.rand.Int64N(int64(selfPeriod)))
		n.join.next = c.now + time.Duration(c.rand.Int64N(int64(idlePace)))
		n.join.swept = c.now
		c.plan(n)
	}
}

// firstWith returns the index of the first node that has bit depth set.
func firstWith(sorted []*simNode, depth int) int {
	i, _ := slices.BinarySearchFunc(sorted, 1, func(n *simNode, _ int) int { return int(n.self[depth/8]>>(7-depth%8)&1) - 1 })
	return i
}

func (c *crowd) choose(from []*simNode, n int, dead float64) []entry {
	n = min(n, len(from))
	picked := make([]entry, 0, n)
	for _, i := range c.rand.Perm(len(from))[:n] {
		node := krpc.Node{ID: from[i].self, Addr: from[i].addr}
		if c.rand.Float64() < dead {
			node.Addr = c.freeAddr()
		}
		seen := c.now - time.Duration(c.rand.Int64N(int64(fresh)))
		picked = append(picked, entry{Node: node, secure: node.ID.Secure(from[i].addr.Addr()), seen: seen, asked: seen})
	}
	return picked
}

// plan makes sure that a node's next tick is in the queue.
func (c *crowd) plan(n *simNode) {
	if at := max(n.Next(), c.now); at < n.tickAt {
		n.tickAt = at
		c.push(event{at: at, to: n})
	}
}

// send puts what a node sends on its way.
func (c *crowd) send(n *simNode) {
	c.out.Each(func(b []byte, to netip.AddrPort) { c.deliver(n, b, to) })
	c.out.Reset()
	if n.Core != nil {
		c.plan(n)
	}
}

func (c *crowd) deliver(n *simNode, b []byte, to netip.AddrPort) {
	if n.nat != nil {
		n.nat[to] = c.now
	}
	other := c.byAddr[to]
	if other == nil || other.gone {
		return
	}
	delay := n.latency + other.latency
	delay += time.Duration(c.rand.Int64N(int64(delay/10 + 1)))
	c.push(event{at: c.now + delay, to: other, from: n.addr, data: slices.Clone(b)})
}

// run lets d pass.
func (c *crowd) run(d time.Duration) {
	end := c.now + d
	for len(c.queue) > 0 && c.queue[0].at <= end {
		e := heap.Pop(&c.queue).(event)
		c.now = e.at
		c.happen(e)
	}
	c.now = end
}

func (c *crowd) happen(e event) {
	n := e.to
	switch {
	case e.call != nil:
		e.call()
		return
	case n.gone:
		return
	case e.data == nil:
		if e.at != n.tickAt {
			return
		}
		n.tickAt = math.MaxInt64
		n.Tick(c.now, &c.out)
	case n.nat != nil && (n.nat[e.from] == 0 || c.now-n.nat[e.from] > natLife):
		return
	case n.lies != nil:
		n.lies(c, n, e.data, e.from)
		return
	default:
		n.Receive(c.now, e.data, e.from, &c.out)
	}
	c.send(n)
}

// start begins a look-up of a node.
func (c *crowd) start(n *simNode, l *Lookup) {
	n.Start(c.now, l, &c.out)
	c.send(n)
}

// any returns a node that is there and tells the truth.
func (c *crowd) any() *simNode {
	for {
		if n := c.nodes[c.rand.IntN(len(c.nodes))]; !n.gone && n.lies == nil {
			return n
		}
	}
}

// kill ends a share of the nodes at once.
func (c *crowd) kill(share float64) {
	for _, n := range c.nodes {
		if c.rand.Float64() < share {
			n.gone = true
		}
	}
}

// corrupt makes a share of the nodes liars, who work together: whatever is asked, each claims to be next to the target, and names others
// who will claim so too, addresses where nobody is, with ids that fit them, and false peers. What is stored with them is lost.
func (c *crowd) corrupt(share float64) {
	var liars []*simNode
	for _, n := range c.nodes {
		if n.nat == nil && c.rand.Float64() < share {
			n.lies = lie
			liars = append(liars, n)
		}
	}
	c.liars = liars
	for range 1 << 14 {
		n := krpc.Node{Addr: c.freeAddr()}
		for range 8 {
			n.ID = krpc.SecureID(n.Addr.Addr(), c.rand)
			at := prefix12(n.ID)
			c.nobody[at] = append(c.nobody[at], n)
		}
	}
}

func prefix12(id krpc.ID) int { return int(id[0])<<4 | int(id[1])>>4 }

// besiege adds n nodes next to a key, which answer only with one another and keep nothing.
func (c *crowd) besiege(key krpc.ID, n int) {
	for range n {
		s := c.add(false, false)
		s.self = beside(key, s.addr)
		s.table.self = s.self
		s.lies = lie
		c.liars = append(c.liars, s)
	}
}

// beside returns the id next to target that the liar at an address claims.
func beside(target krpc.ID, a netip.AddrPort) krpc.ID {
	ip := a.Addr().As4()
	for i := range ip {
		target[16+i] ^= ip[i]
	}
	return target
}

func lie(c *crowd, n *simNode, b []byte, from netip.AddrPort) {
	var m krpc.Message
	if krpc.Decode(b, &m) != nil || m.Kind != krpc.Query {
		return
	}
	r := krpc.Message{Kind: krpc.Response, TID: m.TID, ID: n.self, IP: netip.AddrPortFrom(c.freeAddr().Addr(), 1), Token: []byte("x")}
	if m.HasTarget {
		r.ID = beside(m.Target, n.addr)
		for range K / 2 {
			other := c.liars[c.rand.IntN(len(c.liars))]
			r.Nodes = krpc.AppendNode(r.Nodes, krpc.Node{ID: beside(m.Target, other.addr), Addr: other.addr})
		}
		near := c.nobody[prefix12(m.Target)]
		for range min(K/2, len(near)) {
			r.Nodes = krpc.AppendNode(r.Nodes, near[c.rand.IntN(len(near))])
		}
	}
	if m.Method == krpc.GetPeers {
		for range 20 {
			r.Values = krpc.AppendPeer(r.Values, c.freeAddr())
		}
		r.HasValues = true
	}
	c.out.Reset()
	c.out.buf = r.Append(c.out.buf)
	c.out.packets = append(c.out.packets, packet{len(c.out.buf), from})
	c.send(n)
}
