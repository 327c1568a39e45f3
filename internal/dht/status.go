package dht

import (
	"net/netip"

	"shoal/internal/dht/table"
)

// Status is what a node is and has, for people and for metrics. Numbers of messages and bytes are since the node was made.
type Status struct {
	Families []Family
	Overrun  int64 // datagrams that were lost because the node could not keep up
}

// Family is what a node is and has in the DHT of one address family.
type Family struct {
	Name     string // "ipv4" or "ipv6"
	ID       string
	External string // our address as most nodes see it, empty if not known
	Nodes    int    // in the routing table
	Secure   int    // of them, whose ids fit their addresses (BEP 42)
	Buckets  int
	Lookups  int // under way
	Queries  int // without an answer so far
	// What is kept for others.
	Infohashes, Peers, Items int
	In, Out                  table.Count
	Dropped                  int64   // queries not answered because of a rate limit
	Rejected                 int64   // datagrams that were no message, or answered nothing that we asked
	Answered, Lost           int64   // queries of ours
	RoundTrip                float64 // seconds within which nine of ten answers come
}

// Status returns what the node is and has; nothing, if it was closed.
func (n *Node) Status() Status {
	var s Status
	result := make(chan []Family, 1)
	n.inbox.call(func() {
		var all []Family
		for _, c := range n.cores {
			all = append(all, familyStatus(c.IPv6(), c.Status()))
		}
		result <- all
	})
	select {
	case s.Families = <-result:
	case <-n.ctx.Done():
	}
	n.inbox.mu.Lock()
	defer n.inbox.mu.Unlock()
	s.Overrun = n.inbox.dropped
	return s
}

func familyStatus(ipv6 bool, t table.Status) Family {
	f := Family{
		Name: "ipv4", ID: t.ID.String(), Nodes: t.Nodes, Secure: t.Secure, Buckets: t.Buckets, Lookups: t.Lookups,
		Queries: t.Queries, Infohashes: t.Infohashes, Peers: t.Peers, Items: t.Items, In: t.In, Out: t.Out,
		Dropped: t.Dropped, Rejected: t.Rejected, Answered: t.Answered, Lost: t.Lost, RoundTrip: t.RoundTrip.Seconds(),
	}
	if ipv6 {
		f.Name = "ipv6"
	}
	if t.External != (netip.Addr{}) {
		f.External = t.External.String()
	}
	return f
}
