package dht

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/dht/krpc"
	"shoal/internal/dht/table"
	"shoal/internal/discovery"
)

const (
	interval    = 15 * time.Minute // between announces
	shortest    = time.Minute      // between two, when the torrent is in need of peers or something went wrong
	alonePause  = 5 * time.Second  // after nobody answered, or no peer was found; doubled each time
	enoughNodes = table.K          // at which a peer is to be stored, or the next announce comes sooner
)

// Finder returns a new finder of peers for one torrent. A torrent that does not listen (whose port is 0) only looks.
func (n *Node) Finder() discovery.Finder {
	return &finder{node: n, status: discovery.Status{URL: "dht", Seeds: -1, Leeches: -1, Downloads: -1, Interval: interval}}
}

// finder implements discovery.Finder.
type finder struct {
	node *Node

	mu     sync.Mutex
	status discovery.Status
	next   time.Time     // zero: now
	pause  time.Duration // until the next announce, while it is not the usual one
}

// Next implements discovery.Finder.
func (f *finder) Next() (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next, true
}

// Hurry implements discovery.Finder.
func (f *finder) Hurry() { f.sooner() }

// Completed implements discovery.Finder: the announce tells whether a peer is a seed (BEP 33).
func (f *finder) Completed() { f.sooner() }

func (f *finder) sooner() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at := f.status.Last.Add(shortest); at.Before(f.next) {
		f.next = at
		f.status.Next = at
	}
}

// Withdraw implements discovery.Finder: the DHT forgets peers by itself.
func (f *finder) Withdraw(context.Context, discovery.Torrent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next, f.status.Next, f.pause = time.Time{}, time.Time{}, 0
}

// Status implements discovery.Finder.
func (f *finder) Status() []discovery.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []discovery.Status{f.status}
}

// Announce implements discovery.Finder: it looks up all names of the torrent in all families at once, and stores the torrent's port with
// the nodes closest to each. found is called from the caller's goroutine.
func (f *finder) Announce(ctx context.Context, t discovery.Torrent, found func([]discovery.Peer)) {
	s := f.node.newSearch()
	port, seed := t.Port(), t.Progress().Left == 0
	for _, name := range t.InfoHash().Swarms() {
		s.add(func(*table.Core) *table.Lookup {
			l := &table.Lookup{
				Target: krpc.ID(name), Ask: krpc.Message{Method: krpc.GetPeers, NoSeed: seed},
				Answer: s.peers,
			}
			if port != 0 {
				l.Write = func(m *krpc.Message, _ int64) bool {
					m.Method, m.Target, m.Port, m.Seed = krpc.AnnouncePeer, krpc.ID(name), port, seed
					m.ImpliedPort = f.node.cfg.ImpliedPort
					return true
				}
			}
			return l
		})
	}
	peers, others := 0, 0
	results, err := s.run(ctx, func(addrs []netip.AddrPort) {
		batch := make([]discovery.Peer, len(addrs))
		for i, a := range addrs {
			batch[i] = discovery.Peer{Addr: a, Source: discovery.DHT}
			if a.Port() != port {
				others++ // what has our port may be ourselves
			}
		}
		peers += len(batch)
		found(batch)
	})
	nodes, written := answered(results)
	f.settle(outcome{nodes: nodes, peers: peers, stored: port == 0 || written >= enoughNodes, hungry: peers <= 1 && others == 0 && !seed}, err)
}

// outcome is what an announce came to.
type outcome struct {
	nodes, peers int
	stored       bool // at enough nodes, or it was not to be
	hungry       bool // no peer was found for a torrent that needs some
}

// settle notes how an announce ended, and when the next one is due.
func (f *finder) settle(o outcome, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	s := &f.status
	s.Working, s.Message = err == nil && o.nodes > 0, ""
	switch {
	case err != nil:
		s.Message = err.Error()
		f.pause = shortest
	case o.nodes == 0:
		s.Message = ErrNoNodes.Error()
		f.pause = min(max(2*f.pause, alonePause), shortest)
	default:
		s.Last, s.Peers = now, o.peers
		f.pause = o.next(f.pause)
	}
	f.next = now.Add(f.pause - rand.N(f.pause/10))
	s.Next = f.next
}

// next returns when the next announce is due after one that reached nodes, given the pause before.
func (o outcome) next(pause time.Duration) time.Duration {
	switch {
	case o.hungry:
		return min(max(2*pause, alonePause), interval) // whoever has it may be about to come
	case o.stored:
		return interval
	}
	return min(max(2*pause, shortest), interval) // the network is small, or we have only begun to know it
}
