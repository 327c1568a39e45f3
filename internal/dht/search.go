package dht

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"shoal/internal/dht/krpc"
	"shoal/internal/dht/table"
	"shoal/internal/ident"
)

// ErrNoNodes tells that no node answered.
var ErrNoNodes = errors.New("no DHT node answers")

const (
	maxFound   = 2000        // peers that one search reports
	maxFilters = 64          // answers that a scrape takes into account
	grace      = time.Second // how long a family that knows nobody holds up one that has its answers
)

// search is look-ups that run for one caller, one for each name and family.
type search struct {
	node    *Node
	lookups []running
	wake    chan struct{} // one slot

	mu      sync.Mutex
	left    int                         // look-ups that are not done
	found   map[netip.AddrPort]struct{} // all that were reported, or wait in fresh
	fresh   []netip.AddrPort
	calls   []func() // for the caller's goroutine to make
	results []table.Result
}

type running struct {
	core   *table.Core
	lookup *table.Lookup
}

func (n *Node) newSearch() *search {
	return &search{node: n, wake: make(chan struct{}, 1), found: map[netip.AddrPort]struct{}{}}
}

// add adds one look-up in each family, as plan makes them.
func (s *search) add(plan func(c *table.Core) *table.Lookup) {
	for _, c := range s.node.cores {
		l := plan(c)
		l.Done = func(r table.Result) {
			s.mu.Lock()
			s.results = append(s.results, r)
			s.left--
			s.mu.Unlock()
			s.signal()
		}
		s.lookups = append(s.lookups, running{c, l})
	}
}

// later has the caller's goroutine call f.
func (s *search) later(f func()) {
	s.mu.Lock()
	s.calls = append(s.calls, f)
	s.mu.Unlock()
	s.signal()
}

func (s *search) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// peers takes the peers of an answer. It is called by the loop.
func (s *search) peers(m *krpc.Message, from netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.fresh)
	for a := range m.EachPeer() {
		ip := a.Addr()
		if a.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() || krpc.Local(ip) && !krpc.Local(from.Addr()) || len(s.found) == maxFound {
			continue
		}
		if _, known := s.found[a]; !known {
			s.found[a] = struct{}{}
			s.fresh = append(s.fresh, a)
		}
	}
	if len(s.fresh) > before {
		s.signal()
	}
}

// run waits until all look-ups are done, and calls found, if it is not nil, with peers meanwhile.
func (s *search) run(ctx context.Context, found func([]netip.AddrPort)) ([]table.Result, error) {
	n := s.node
	select {
	case n.gate <- struct{}{}:
		defer func() { <-n.gate }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.ctx.Done():
		return nil, ErrClosed
	}
	s.left = len(s.lookups)
	n.inbox.call(func() {
		for _, l := range s.lookups {
			l.core.Start(n.now(), l.lookup, &n.out)
		}
	})
	var late <-chan time.Time
	for {
		select {
		case <-s.wake:
		case <-late:
			n.inbox.call(s.giveUp)
		case <-ctx.Done():
			n.inbox.call(s.stop)
			return nil, ctx.Err()
		case <-n.ctx.Done():
			return nil, ErrClosed
		}
		s.mu.Lock()
		fresh, calls, left, results := s.fresh, s.calls, s.left, s.results
		s.fresh, s.calls = nil, nil
		s.mu.Unlock()
		for _, f := range calls {
			f()
		}
		if len(fresh) > 0 && found != nil {
			found(fresh)
		}
		if left == 0 {
			return results, nil
		}
		if nodes, _ := answered(results); nodes > 0 && late == nil {
			late = time.After(grace)
		}
	}
}

// giveUp ends the look-ups that know nobody to ask, such as those of a family that the host does not have. It is called by the loop.
func (s *search) giveUp() {
	for _, l := range s.lookups {
		if l.core.Idle(l.lookup) {
			l.core.Stop(l.lookup)
			l.lookup.Done(table.Result{})
		}
	}
}

// stop ends the look-ups that are not done. It is called by the loop.
func (s *search) stop() {
	for _, l := range s.lookups {
		l.core.Stop(l.lookup)
	}
}

// answered returns how many nodes answered, and at how many something was stored.
func answered(results []table.Result) (nodes, written int) {
	for _, r := range results {
		nodes += r.Answered
		written += r.Written
	}
	return nodes, written
}

// Peers looks for peers of a swarm in all families, without announcing anything. found is called from the caller's goroutine while the
// search goes on. The error is ErrNoNodes, ErrClosed or the context's.
func (n *Node) Peers(ctx context.Context, hash ident.V1, found func([]netip.AddrPort)) error {
	s := n.newSearch()
	s.add(func(*table.Core) *table.Lookup {
		return &table.Lookup{Target: krpc.ID(hash), Ask: krpc.Message{Method: krpc.GetPeers}, Answer: s.peers}
	})
	results, err := s.run(ctx, found)
	if err == nil {
		if nodes, _ := answered(results); nodes == 0 {
			err = ErrNoNodes
		}
	}
	return err
}

// Scrape estimates how many seeds and other peers a swarm has (BEP 33). Both are 0 for one that nobody knows. The error is as that of
// Peers.
func (n *Node) Scrape(ctx context.Context, hash ident.V1) (seeds, peers int, err error) {
	s := n.newSearch()
	var count scrape
	s.add(func(*table.Core) *table.Lookup {
		return &table.Lookup{
			Target: krpc.ID(hash), Ask: krpc.Message{Method: krpc.GetPeers, Scrape: true},
			Answer: func(m *krpc.Message, _ netip.AddrPort) { count.add(m) },
		}
	})
	results, err := s.run(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	if nodes, _ := answered(results); nodes == 0 {
		return 0, 0, ErrNoNodes
	}
	seeds, peers = count.estimate()
	return seeds, peers, nil
}

// scrape is what nodes say about the size of a swarm. Those who send no filters, but peers, are taken to know peers only.
type scrape struct {
	seeds, peers []krpc.Filter
	plain        []netip.Addr
}

func (s *scrape) add(m *krpc.Message) {
	if f, g := m.SeedFilter, m.PeerFilter; f != nil && g != nil {
		if f.Credible() && g.Credible() && len(s.seeds) < maxFilters {
			s.seeds, s.peers = append(s.seeds, *f), append(s.peers, *g)
		}
		return
	}
	for a := range m.EachPeer() {
		if len(s.plain) < maxFound {
			s.plain = append(s.plain, a.Addr())
		}
	}
}

func (s *scrape) estimate() (seeds, peers int) {
	f, g := union(s.seeds), union(s.peers)
	for _, a := range s.plain {
		if !f.Has(a) {
			g.Add(a)
		}
	}
	return int(f.Estimate() + 0.5), int(g.Estimate() + 0.5)
}

// union returns the union of filters, without those of which each alone would outweigh what most say: one liar shall not make a swarm of
// thousands.
func union(all []krpc.Filter) (f krpc.Filter) {
	const scatter, few = 4, 16 // how many times as much as the median one node may know, and how many more
	sizes := make([]float64, len(all))
	for i := range all {
		sizes[i] = all[i].Estimate()
	}
	sorted := slices.Sorted(slices.Values(sizes))
	for i := range all {
		if sizes[i] <= scatter*sorted[len(sorted)/2]+few {
			f.Merge(&all[i])
		}
	}
	return f
}
