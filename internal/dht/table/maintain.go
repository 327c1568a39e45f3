package table

import (
	"net/netip"
	"slices"
	"time"

	"shoal/internal/dht/krpc"
)

const (
	idlePace    = 6 * time.Second // between queries that keep the table fresh
	busyPace    = time.Second     // between steps while the table has few nodes, or there are nodes to try
	maxContacts = 64              // addresses that wait to be tried
	maxTold     = 32              // addresses that are remembered for when nobody answers
	maxTries    = 3               // of one address in a row, while the table has few nodes
	tryAtOnce   = K               // of them, while we know nobody
	selfPeriod  = 30 * time.Minute
	selfRetry   = time.Second      // after the first; doubled each time, up to selfPeriod
	growing     = 4 * K            // nodes in the table, up to which candidates are tried at the busy pace
	routerWait  = 2 * time.Second  // for saved nodes and addresses that were told, before the routers are asked
	routerPace  = 15 * time.Second // between times that they are; doubled each time, up to routerMax
	routerMax   = 10 * time.Minute
	hopeless    = 64          // addresses in a row that did not answer, after which they are tried slowly: there may be no way to the family
	isolation   = time.Minute // without an answer from anybody, though many were asked
)

// joining is how far a node has got into the network, and what it does to stay there.
type joining struct {
	contacts  []contact        // to be tried, oldest first
	told      []netip.AddrPort // the last that were told, oldest first
	trying    int              // queries to such under way
	misses    int              // of such in a row without an answer
	next      time.Duration    // the next step
	self      time.Duration    // the next look-up of our own id; 0: now
	selfPace  time.Duration
	searching bool // such a look-up is under way
	routers   bool // they are to be asked
	routersAt time.Duration
	pace      time.Duration // until they are asked again
	swept     time.Duration
	began     time.Duration
}

// contact is an address where a node may be.
type contact struct {
	addr  netip.AddrPort
	tries int
}

// Begin starts the node with those it knew when it ran before.
func (c *Core) Begin(now time.Duration, saved []krpc.Node, out *Out) {
	c.out = out
	c.join.next = now
	c.join.routersAt = now + routerWait
	c.join.swept, c.join.began = now, now
	if len(saved) > 0 {
		c.searchSelf(now, saved)
	}
	for _, n := range saved {
		c.table.heard(now, n, false)
	}
}

// Add takes an address where a node may be. It is asked before it is trusted; at a slow pace, if the table is well filled.
func (c *Core) Add(now time.Duration, a netip.AddrPort) {
	j := &c.join
	if !usable(a) || a.Addr().Is4() == c.cfg.IPv6 || !j.queue(contact{addr: a}) || c.table.at(a) != nil {
		return
	}
	if !slices.Contains(j.told, a) {
		if len(j.told) == maxTold {
			j.told = slices.Delete(j.told, 0, 1)
		}
		j.told = append(j.told, a)
	}
	if j.misses >= hopeless {
		return
	}
	j.next = min(j.next, max(now, j.next-idlePace+busyPace))
	if c.table.Len() < K {
		j.next = now
	}
}

// queue has an address tried, unless too many wait, or it does already.
func (j *joining) queue(x contact) bool {
	if len(j.contacts) == maxContacts || slices.ContainsFunc(j.contacts, func(o contact) bool { return o.addr == x.addr }) {
		return false
	}
	j.contacts = append(j.contacts, x)
	return true
}

// NeedsRouters reports whether the node knows nobody who answers, so that those who let newcomers in are to be asked. It says so once
// each time.
func (c *Core) NeedsRouters() bool {
	r := c.join.routers
	c.join.routers = false
	return r
}

// maintain is the step that the node makes by itself, every few seconds.
func (c *Core) maintain(now time.Duration) {
	j := &c.join
	j.next = now + idlePace
	c.sweep(now)
	c.try(now)
	busy := c.table.Len() < K
	alone := c.table.Len() == 0 || c.unheard >= 2*K && now-c.heeded >= isolation
	if alone {
		c.beg(now)
	}
	if c.table.Len() > 0 && !j.searching && now >= j.self {
		c.searchSelf(now, nil)
	}
	if c.tryCandidates(now) {
		busy = busy || c.table.Len() < growing
	}
	if e, room := c.table.stale(now); e != nil {
		c.probe(now, e.Node, room)
	}
	if (busy || len(j.contacts) > 0) && j.misses < hopeless {
		j.next = now + busyPace
	}
}

// tryCandidates asks nodes that the table has room for: several at once while it has few.
func (c *Core) tryCandidates(now time.Duration) (tried bool) {
	n := 1
	if c.table.Len() < eagerBelow {
		n = tryAtOnce
	}
	for ; n > 0; n-- {
		node, ok := c.table.candidate(now)
		if !ok {
			break
		}
		tried = true
		c.probe(now, node, true)
	}
	return tried
}

func (c *Core) sweep(now time.Duration) {
	if now-c.join.swept >= sweepPeriod {
		c.join.swept = now
		c.store.sweep(now)
		c.items.sweep(now)
	}
}

// try asks addresses that were told.
func (c *Core) try(now time.Duration) {
	n := 1
	if c.table.Len() < K && c.join.misses < hopeless {
		n = tryAtOnce
	}
	for ; n > 0 && len(c.join.contacts) > 0; n-- {
		x := c.join.contacts[0]
		c.join.contacts = slices.Delete(c.join.contacts, 0, 1)
		if c.table.at(x.addr) != nil {
			continue
		}
		x.tries++
		m := krpc.Message{Method: krpc.FindNode, Target: c.self}
		c.wantBoth(&m)
		if c.ask(now, krpc.Node{Addr: x.addr}, &m, &trial{x}) {
			c.join.trying++
		}
	}
}

// beg has the routers asked, once all else has led nowhere, and tries all else again.
func (c *Core) beg(now time.Duration) {
	j := &c.join
	if c.peer != nil && c.peer.table.Len() >= K {
		return // those of the other family tell of nodes (BEP 32)
	}
	if now < j.routersAt || j.trying > 0 || len(j.contacts) > 0 || c.table.Len() == 0 && len(c.pending) > 0 {
		return
	}
	for _, a := range j.told {
		j.queue(contact{addr: a})
	}
	j.routers = true
	j.pace = min(max(2*j.pace, routerPace), routerMax)
	j.routersAt = now + j.pace
}

// searchSelf looks up our own id: that finds our neighbours, and fills the table on the way.
func (c *Core) searchSelf(now time.Duration, seeds []krpc.Node) {
	j := &c.join
	j.searching = true
	c.start(now, &Lookup{
		Target: c.self, Ask: krpc.Message{Method: krpc.FindNode}, Seeds: seeds,
		Done: func(r Result) {
			now := now + r.Took
			j.searching = false
			j.selfPace = min(max(2*j.selfPace, selfRetry), selfPeriod)
			j.self = now + j.selfPace
			j.next = min(j.next, j.self)
			if c.table.Len() < growing {
				j.next = now // to try those that it told of
			}
		},
	})
}

// probe asks a node whether it is there, and for others where its bucket has room.
func (c *Core) probe(now time.Duration, n krpc.Node, room bool) {
	m := krpc.Message{Method: krpc.Ping}
	if room {
		m = krpc.Message{Method: krpc.FindNode, Target: krpc.RandomID(n.ID, krpc.Prefix(c.self, n.ID)+1, c.cfg.Rand)}
	}
	c.ask(now, n, &m, (*prober)(c))
}

// prober is the asker of those who are asked to keep the table fresh.
type prober Core

// answered implements asker.
func (p *prober) answered(c *Core, now time.Duration, q *query, m *krpc.Message) {
	if m.Kind != krpc.Response {
		return
	}
	for n := range c.told(m) {
		if c.plausible(n, q.node.Addr.Addr()) {
			c.table.heard(now, n, false)
		}
	}
}

// slow implements asker.
func (p *prober) slow(*Core, time.Duration, *query) {}

// failed implements asker.
func (p *prober) failed(*Core, time.Duration, *query) {}

// trial is the asker of an address that was told.
type trial struct{ contact }

// answered implements asker.
func (t *trial) answered(c *Core, now time.Duration, q *query, m *krpc.Message) {
	c.join.trying--
	c.join.misses = 0
	(*prober)(c).answered(c, now, q, m)
	if c.table.Len() < eagerBelow {
		c.join.next = now
	}
}

// slow implements asker.
func (t *trial) slow(*Core, time.Duration, *query) {}

// failed implements asker.
func (t *trial) failed(c *Core, _ time.Duration, _ *query) {
	c.join.trying--
	c.join.misses++
	if c.table.Len() < K && t.tries < maxTries {
		c.join.queue(t.contact)
	}
}
