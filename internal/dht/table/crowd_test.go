package table

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/internal/dht/krpc"
)

// outcome is how look-ups of keys with one peer each ended.
type outcome struct {
	n, found    int
	first, done []time.Duration // until the first peer of those that found it, and until the end of all
	asked       int
}

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)]
}

func (o *outcome) String() string {
	return fmt.Sprintf("%d of %d found; first peer %v, %v at 95 %%; whole look-up %v, %v at 95 %%; %.1f queries",
		o.found, o.n, quantile(o.first, 0.5).Round(time.Millisecond), quantile(o.first, 0.95).Round(time.Millisecond),
		quantile(o.done, 0.5).Round(time.Millisecond), quantile(o.done, 0.95).Round(time.Millisecond), float64(o.asked)/float64(max(1, o.n)))
}

// swarm is a key and the peer that was announced under it.
type swarm struct {
	key  krpc.ID
	peer netip.AddrPort
}

// announce has n random nodes announce one key each.
func (c *crowd) announce(n int, pace time.Duration) (all []swarm, written float64) {
	total := 0
	for range n {
		by := c.any()
		s := swarm{krpc.RandomID(krpc.ID{}, 0, c.rand), netip.AddrPortFrom(by.addr.Addr(), 7777)}
		all = append(all, s)
		c.after(time.Duration(len(all))*pace, func() { c.store(by, s, func(r Result) { total += r.Written }) })
	}
	c.run(time.Duration(n)*pace + 10*time.Second)
	return all, float64(total) / float64(n)
}

// store has one node announce the peer of a swarm.
func (c *crowd) store(by *simNode, s swarm, done func(Result)) {
	c.start(by, &Lookup{
		Target: s.key, Ask: krpc.Message{Method: krpc.GetPeers}, Done: done,
		Write: func(m *krpc.Message, _ int64) bool {
			m.Method, m.Target, m.Port = krpc.AnnouncePeer, s.key, s.peer.Port()
			return true
		},
	})
}

// search has random nodes look for the swarms.
func (c *crowd) search(all []swarm, pace time.Duration) *outcome {
	o := &outcome{}
	for i, s := range all {
		c.after(time.Duration(i)*pace, func() { c.look(c.any(), s, o) })
	}
	c.run(time.Duration(len(all))*pace + 30*time.Second)
	return o
}

// look has a node look for a swarm.
func (c *crowd) look(by *simNode, s swarm, o *outcome) {
	began, found := c.now, false
	c.start(by, &Lookup{
		Target: s.key, Ask: krpc.Message{Method: krpc.GetPeers},
		Answer: func(m *krpc.Message, _ netip.AddrPort) {
			for a := range m.EachPeer() {
				if a == s.peer && !found {
					found = true
					o.found++
					o.first = append(o.first, c.now-began)
				}
			}
		},
		Done: func(r Result) {
			o.n++
			o.asked += r.Asked
			o.done = append(o.done, r.Took)
		},
	})
}

// size returns how large a crowd is, and how many look-ups are made.
func size() (nodes, lookups int) {
	if race {
		return 1000, 60
	}
	return 10000, 400
}

// network returns a crowd of which a third is behind NATs and a fifth of all contacts is dead.
func network(seed uint64, n int, insecure float64) *crowd {
	c := newCrowd(seed)
	for range n {
		c.add(c.rand.Float64() >= insecure, c.rand.Float64() < 0.3)
	}
	c.fill(0.2)
	return c
}

// check looks at every node.
func (c *crowd) check(t *testing.T) {
	for _, n := range c.nodes {
		n.Core.check(t)
	}
}

// unreachable returns the share of the nodes in tables that are gone or behind a NAT.
func (c *crowd) unreachable() float64 {
	all, bad := 0, 0
	for _, n := range c.nodes {
		if n.gone {
			continue
		}
		for e := range n.table.all() {
			all++
			if other := c.byAddr[e.Addr]; other == nil || other.gone || other.nat != nil {
				bad++
			}
		}
	}
	return float64(bad) / float64(all)
}

func (c *crowd) roundTrips() []time.Duration {
	var all []time.Duration
	for range 10000 {
		all = append(all, 2*(c.any().latency+c.any().latency))
	}
	return all
}

func TestCrowdLookups(t *testing.T) {
	n, lookups := size()
	c := network(1, n, 0.2)
	rtt := c.roundTrips()
	t.Logf("%d nodes, round trips %v, %v at 90 %%", n, quantile(rtt, 0.5), quantile(rtt, 0.9))
	swarms, written := c.announce(lookups, 50*time.Millisecond)
	t.Logf("announced at %.1f nodes", written)
	o := c.search(swarms, 50*time.Millisecond)
	t.Logf("%v", o)
	if o.n != lookups || float64(o.found) < 0.98*float64(lookups) {
		t.Errorf("%d of %d look-ups ended, %d found the peer", o.n, lookups, o.found)
	}
	if m, p := quantile(o.done, 0.5), quantile(o.done, 0.95); m > time.Second || p > 3*time.Second {
		t.Errorf("look-ups take %v, %v at 95 %%", m, p)
	}
	c.kill(0.5)
	o = c.search(swarms, time.Millisecond)
	t.Logf("after half has vanished: %v", o)
	if float64(o.found) < 0.95*float64(lookups) {
		t.Errorf("after half has vanished, %d of %d are found", o.found, lookups)
	}
	c.check(t)
}

func TestCrowdOfLiars(t *testing.T) {
	for _, share := range []float64{0.1, 0.2} {
		t.Run(fmt.Sprintf("%.0f %%", 100*share), func(t *testing.T) {
			t.Parallel()
			n, lookups := size()
			n, lookups = n/4, lookups/2
			c := network(2, n, 0.2)
			c.corrupt(share)
			swarms, written := c.announce(lookups, 50*time.Millisecond)
			o := c.search(swarms, 50*time.Millisecond)
			t.Logf("announced at %.1f nodes; %v", written, o)
			if float64(o.found) < 0.95*float64(lookups) {
				t.Errorf("%d of %d are found", o.found, lookups)
			}
			c.check(t)
		})
	}
}

func TestCrowdBesiegedKey(t *testing.T) {
	n, lookups := size()
	n, lookups = max(n/4, 1000), lookups/4
	c := newCrowd(3)
	for range n {
		c.add(c.rand.Float64() >= 0.2, c.rand.Float64() < 0.3)
	}
	key := krpc.RandomID(krpc.ID{}, 0, c.rand)
	c.besiege(key, 100)
	c.fill(0.2)
	by := c.any()
	s := swarm{key, netip.AddrPortFrom(by.addr.Addr(), 7777)}
	c.store(by, s, nil)
	c.run(10 * time.Second)
	o := c.search(slices.Repeat([]swarm{s}, lookups), 50*time.Millisecond)
	t.Logf("100 liars beside the key: %v", o)
	if float64(o.found) < 0.98*float64(lookups) {
		t.Errorf("%d of %d find the peer", o.found, lookups)
	}
}

// What a node costs that nobody uses, in a network of such.
func TestCrowdIdles(t *testing.T) {
	n, hours := 400, 3
	if race {
		n, hours = 100, 1
	}
	c := newCrowd(4)
	for range n {
		c.add(c.rand.Float64() >= 0.2, c.rand.Float64() < 0.3)
	}
	for i, node := range c.nodes {
		node.Begin(c.now, nil, &c.out)
		for _, known := range c.nodes[:min(i, 3)] {
			node.Add(c.now, known.addr)
		}
		c.plan(node)
	}
	c.run(10 * time.Minute)
	before := map[*simNode]Stats{}
	for _, node := range c.nodes {
		before[node] = node.stats
	}
	c.run(time.Duration(hours) * time.Hour)
	seconds := float64(hours) * 3600
	var in, out, worst, nodes float64
	for _, node := range c.nodes {
		i := float64(node.stats.In.Bytes-before[node].In.Bytes) / seconds
		o := float64(node.stats.Out.Bytes-before[node].Out.Bytes) / seconds
		in, out, worst, nodes = in+i, out+o, max(worst, i, o), nodes+float64(node.table.Len())
	}
	t.Logf("%d nodes, %d hours: %.0f bytes a second in, %.0f out, the busiest %.0f; %.0f nodes in a table", n, hours, in/float64(n), out/float64(n), worst, nodes/float64(n))
	if worst > 1000 {
		t.Errorf("a node has %.0f bytes a second one way", worst)
	}
	c.check(t)
	behind := c.unreachable()
	t.Logf("%.1f %% of the nodes in tables are behind NATs, of all nodes 30 %%", 100*behind)
	if behind > 0.1 {
		t.Errorf("%.1f %% of the nodes in tables cannot be reached", 100*behind)
	}
	c.kill(0.5)
	c.run(time.Hour)
	if gone := c.unreachable(); gone > 0.15 {
		t.Errorf("an hour after half has vanished, %.1f %% of the nodes in tables cannot be reached", 100*gone)
	} else {
		t.Logf("an hour after half has vanished, %.1f %% of the nodes in tables cannot be reached", 100*gone)
	}
	if nodes/float64(n) < 30 {
		t.Errorf("tables have %.0f nodes", nodes/float64(n))
	}
}

// newcomers have nodes that know one address each join and look for swarms at once.
func (c *crowd) newcomers(all []swarm) *outcome {
	o := &outcome{}
	for _, s := range all {
		known := c.any()
		for known.nat != nil {
			known = c.any()
		}
		n := c.add(true, false)
		n.Begin(c.now, nil, &c.out)
		n.Add(c.now, known.addr)
		c.plan(n)
		c.look(n, s, o)
		c.run(100 * time.Millisecond)
	}
	c.run(30 * time.Second)
	return o
}

func TestCrowdNewcomers(t *testing.T) {
	n, lookups := size()
	n, lookups = n/4, lookups/4
	c := network(5, n, 0.2)
	swarms, _ := c.announce(lookups, 50*time.Millisecond)
	o := c.newcomers(swarms)
	t.Logf("from the first datagram of all: %v", o)
	if float64(o.found) < 0.98*float64(lookups) || o.n != lookups {
		t.Errorf("%d of %d are found", o.found, lookups)
	}
	if m := quantile(o.first, 0.5); m > 3*time.Second {
		t.Errorf("the first peer is found after %v", m)
	}
}

func TestCrowdsAreTheSameForOneSeed(t *testing.T) {
	run := func(seed uint64) string {
		c := network(seed, 300, 0.2)
		c.corrupt(0.1)
		swarms, _ := c.announce(20, 50*time.Millisecond)
		return c.search(swarms, 50*time.Millisecond).String()
	}
	if a, b, other := run(6), run(6), run(7); a != b || a == other {
		t.Errorf("%s\n%s\n%s", a, b, other)
	}
}
