// Package table is the brain of a Mainline DHT node: the routing table, look-ups, and what it keeps for others.
//
// A Core is a step machine for one address family: datagrams and the time go in, datagrams come out. It has no socket, no clock and
// no goroutine, so that a network of ten thousand runs in a test.
package table

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/dht/krpc"
)

const (
	maxPending  = 512  // queries without an answer
	maxDatagram = 1500 // bytes of a datagram that we send: a put of the longest value (BEP 44)
)

// Config is what a Core is made with.
type Config struct {
	IPv6     bool
	ID       krpc.ID    // a random one if zero
	FixedID  bool       // the id is kept whatever our address (no BEP 42)
	ReadOnly bool       // BEP 43
	Version  []byte     // "v" of messages: four bytes, or none
	Rand     *rand.Rand // must not be predictable: tokens are made with it
}

// Core is one node in the DHT of one address family. It has one owner. Times are since any moment before all others.
type Core struct {
	cfg   Config
	self  krpc.ID
	table *Table
	peer  *Core // of the other family, or nil

	rtt      roundTrips
	pending  map[uint32]*query
	lookups  []*Lookup
	wake     time.Duration // nothing is due before, if pending or lookups have anything
	starved  bool          // queries were not sent because too many were under way
	join     joining
	identity identity
	tokens   tokens
	limits   limiter
	store    peerStore
	items    itemStore
	stats    Stats
	received time.Duration // the last datagram that made sense
	heeded   time.Duration // the last answer to a query of ours
	unheard  int           // queries lost since then

	out     *Out
	in      krpc.Message
	reply   krpc.Message
	tid     [4]byte
	issued  [tokenLength]byte
	scratch [1600]byte
	nodes   [2 * K]krpc.Node
}

// Count is how many messages went one way, and their bytes without the headers of IP and UDP.
type Count struct{ Messages, Bytes int64 }

// Stats counts what a Core did since it was made.
type Stats struct {
	In, Out  Count
	Dropped  int64 // queries not answered because of a rate limit
	Rejected int64 // datagrams that were no message, or answered nothing that we asked
	Answered int64 // answers to our queries
	Lost     int64 // queries of ours without an answer
}

// query is one that waits for its answer.
type query struct {
	node   krpc.Node // its id is zero if not known
	sent   time.Duration
	slowAt time.Duration // 0 once it is slow
	deadAt time.Duration
	by     asker
}

// asker is told what becomes of a query.
type asker interface {
	answered(c *Core, now time.Duration, q *query, m *krpc.Message) // m may be an error
	slow(c *Core, now time.Duration, q *query)
	failed(c *Core, now time.Duration, q *query)
}

// New returns a node that knows nobody.
func New(cfg Config) *Core {
	c := &Core{cfg: cfg, self: cfg.ID, pending: map[uint32]*query{}}
	if c.self == (krpc.ID{}) {
		c.self = krpc.RandomID(krpc.ID{}, 0, cfg.Rand)
	}
	c.table = newTable(c.self)
	c.tokens.init(cfg.Rand)
	c.limits.seed = cfg.Rand.Uint64()
	return c
}

// Pair tells the nodes of the two families of each other (BEP 32). They have the same owner.
func Pair(a, b *Core) { a.peer, b.peer = b, a }

// ID returns the node's id now.
func (c *Core) ID() krpc.ID { return c.self }

// Receive takes a datagram. b is not kept.
func (c *Core) Receive(now time.Duration, b []byte, from netip.AddrPort, out *Out) {
	c.out = out
	c.stats.In.Messages++
	c.stats.In.Bytes += int64(len(b))
	m := &c.in
	if from.Addr().Is4() == c.cfg.IPv6 || from.Port() == 0 || krpc.Decode(b, m) != nil {
		c.stats.Rejected++
		return
	}
	if m.Kind == krpc.Query {
		c.received = now
		c.serve(now, m, from)
		return
	}
	if len(m.TID) == 4 {
		tid := binary.BigEndian.Uint32(m.TID)
		if q := c.pending[tid]; q != nil && q.node.Addr == from {
			delete(c.pending, tid)
			c.received = now
			c.answer(now, q, m)
			return
		}
	}
	c.stats.Rejected++
}

// answer takes an answer to one of our queries.
func (c *Core) answer(now time.Duration, q *query, m *krpc.Message) {
	c.stats.Answered++
	c.heeded, c.unheard = now, 0
	rtt := now - q.sent
	c.rtt.add(rtt)
	c.limits.prove(q.node.Addr.Addr())
	if m.Kind == krpc.Response && m.ID != c.self {
		if q.node.ID != m.ID && q.node.ID != (krpc.ID{}) {
			c.table.remove(q.node)
		}
		n := krpc.Node{ID: m.ID, Addr: q.node.Addr}
		if c.table.answered(now, n, rtt) {
			c.welcome(now, n)
		}
		c.vote(now, m.IP, q.node.Addr.Addr())
		c.hear(now, m)
	}
	q.by.answered(c, now, q, m)
}

// hear passes nodes of the other family on, if it has few.
func (c *Core) hear(now time.Duration, m *krpc.Message) {
	if c.peer == nil || c.peer.table.Len() >= eagerBelow {
		return
	}
	for n := range c.peer.told(m) {
		c.peer.Add(now, n.Addr)
	}
}

// told returns the nodes of our family that a message names, as far as they can be ones.
func (c *Core) told(m *krpc.Message) func(yield func(krpc.Node) bool) {
	compact := m.Nodes
	if c.cfg.IPv6 {
		compact = m.Nodes6
	}
	return func(yield func(krpc.Node) bool) {
		n := 0
		for node := range krpc.EachNode(compact, c.cfg.IPv6) {
			if n++; n > 2*K || !yield(node) {
				return
			}
		}
	}
}

// plausible reports whether a node that another has named may be asked: those who are not in our local network know nobody there.
func (c *Core) plausible(n krpc.Node, by netip.Addr) bool {
	ip := n.Addr.Addr()
	return n.ID != c.self && usable(n.Addr) && (!krpc.Local(ip) || krpc.Local(by))
}

func usable(a netip.AddrPort) bool {
	ip := a.Addr()
	return a.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// ask sends a query. It reports false if too many are under way.
func (c *Core) ask(now time.Duration, n krpc.Node, m *krpc.Message, by asker) bool {
	if len(c.pending) >= maxPending {
		c.starved = true
		return false
	}
	tid := c.cfg.Rand.Uint32()
	for c.pending[tid] != nil {
		tid++
	}
	var known time.Duration
	if e := c.table.find(n); e != nil {
		e.asked = now
		known = e.rtt
	}
	q := &query{node: n, sent: now, slowAt: now + c.rtt.slow(known), deadAt: now + c.rtt.dead(), by: by}
	c.pending[tid] = q
	c.wakeAt(q.slowAt)
	m.Kind, m.ID, m.ReadOnly, m.Version = krpc.Query, c.self, c.cfg.ReadOnly, c.cfg.Version
	m.TID = binary.BigEndian.AppendUint32(c.tid[:0], tid)
	c.send(m, n.Addr)
	return true
}

// wantBoth asks for nodes of both families, if the other has few (BEP 32).
func (c *Core) wantBoth(m *krpc.Message) {
	if c.peer != nil && c.peer.table.Len() < eagerBelow {
		m.HasWant, m.Want4, m.Want6 = true, true, true
	}
}

func (c *Core) send(m *krpc.Message, to netip.AddrPort) int {
	o := c.out
	start := len(o.buf)
	o.buf = m.Append(o.buf)
	size := len(o.buf) - start
	if size > maxDatagram {
		o.buf = o.buf[:start]
		return 0
	}
	o.packets = append(o.packets, packet{len(o.buf), to})
	c.stats.Out.Messages++
	c.stats.Out.Bytes += int64(size)
	return size
}

func (c *Core) wakeAt(at time.Duration) {
	if c.wake == 0 || at < c.wake {
		c.wake = at
	}
}

// Next returns when Tick is to be called.
func (c *Core) Next() time.Duration {
	next := c.join.next
	if c.wake > 0 {
		next = min(next, c.wake)
	}
	return next
}

// Tick does what is due.
func (c *Core) Tick(now time.Duration, out *Out) {
	c.out = out
	if c.wake > 0 && now >= c.wake {
		c.expire(now)
	}
	if now >= c.join.next {
		c.maintain(now)
	}
}

// expire tells the askers of queries that are late, ends look-ups that found nobody, and finds out when to do so next.
func (c *Core) expire(now time.Duration) {
	c.wake = 0
	type late struct {
		tid uint32
		q   *query
	}
	var due []late
	for tid, q := range c.pending {
		if q.slowAt > 0 && now >= q.slowAt || now >= q.deadAt {
			due = append(due, late{tid, q})
		}
	}
	slices.SortFunc(due, func(a, b late) int { return cmp.Or(cmp.Compare(a.q.sent, b.q.sent), cmp.Compare(a.tid, b.tid)) })
	for _, d := range due {
		q := d.q
		if now >= q.deadAt {
			delete(c.pending, d.tid)
			c.lost(now, q)
			continue
		}
		q.slowAt = 0
		q.by.slow(c, now, q)
	}
	for _, q := range c.pending {
		if q.slowAt > 0 {
			c.wakeAt(q.slowAt)
		} else {
			c.wakeAt(q.deadAt)
		}
	}
	starved := c.starved
	c.starved = false
	for _, l := range slices.Clone(c.lookups) {
		if starved {
			l.step(c, now)
		}
		l.check(c, now)
	}
}

// lost takes that a query will not be answered. When nobody at all has been heard for a while, that says nothing about the node.
func (c *Core) lost(now time.Duration, q *query) {
	c.stats.Lost++
	c.unheard++
	if now-c.received <= isolation {
		c.table.failed(q.node)
	}
	q.by.failed(c, now, q)
}
