package table

import (
	"iter"
	"net/netip"
	"time"

	"shoal/internal/dht/krpc"
)

// Status is what a Core is and has.
type Status struct {
	ID         krpc.ID
	External   netip.Addr // our address as most others see it; invalid if not known
	Nodes      int        // in the routing table
	Secure     int        // of them, whose ids fit their addresses (BEP 42)
	Buckets    int
	Lookups    int // under way
	Queries    int // without an answer so far
	Infohashes int // of which peers are kept
	Peers      int
	Items      int           // kept (BEP 44)
	RoundTrip  time.Duration // within which nine of ten answers come
	Stats
}

// Status returns what the node is and has.
func (c *Core) Status() Status {
	s := Status{
		ID: c.self, External: c.identity.external, Nodes: c.table.count, Buckets: len(c.table.buckets),
		Lookups: len(c.lookups), Queries: len(c.pending), Infohashes: len(c.store.sets), Peers: c.store.count,
		Items: len(c.items.held), RoundTrip: c.rtt.q, Stats: c.stats,
	}
	for e := range c.table.all() {
		if e.secure {
			s.Secure++
		}
	}
	return s
}

// IPv6 returns whether the node is in the DHT of IPv6.
func (c *Core) IPv6() bool { return c.cfg.IPv6 }

// Good returns up to n nodes of the table that answered their last query, the closest first.
func (c *Core) Good(n int) iter.Seq[krpc.Node] {
	return func(yield func(krpc.Node) bool) {
		for _, node := range c.table.closest(nil, c.self, n, func(e *entry) bool { return e.fails == 0 }) {
			if !yield(node) {
				return
			}
		}
	}
}
