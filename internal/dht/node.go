// Package dht is a node of the Mainline DHT (BEP 5, 32, 33, 42, 43, 44, 51): it finds peers for torrents, and keeps peers and small
// items for others.
//
// A Node owns no socket. Its one goroutine owns the brain (dht/table), one Core for each address family; datagrams and calls reach it
// through one bounded inbox, and it writes what the brain has to say through Config.Send.
package dht

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/dht/krpc"
	"shoal/internal/dht/table"
)

// ErrClosed tells that the node was closed.
var ErrClosed = errors.New("the DHT node is closed")

const (
	savePeriod  = 10 * time.Minute
	maxLookups  = 10               // searches under way; others wait: home routers bear only so many new flows
	routersTime = 30 * time.Second // for Config.Bootstrap
	maxRouters  = 32               // addresses taken from it at once
)

// Config is what a Node is made with.
type Config struct {
	// Send writes one datagram to the socket whose reader calls Receive. It must not keep b. Its errors count as loss.
	Send func(b []byte, to netip.AddrPort) error
	// IPv4 and IPv6 are the families to take part in.
	IPv4, IPv6 bool
	// State is the file where the id and good nodes are kept; nothing is remembered if it is empty.
	State string
	// ReadOnly is for who is not to be asked (BEP 43).
	ReadOnly bool
	// RandomID gives the node a new random id that is not tied to its address (no BEP 42), keeps no State and names no client.
	RandomID bool
	// ImpliedPort says that peers are taken on the same socket as datagrams (uTP): then they are told the port that a NAT has given it
	// (implied_port, BEP 5), instead of the torrent's.
	ImpliedPort bool
	// Bootstrap returns nodes that let newcomers in. It is asked when saved and added nodes lead nowhere, and may be nil. It may take its time
	// until the context is done.
	Bootstrap func(context.Context) []netip.AddrPort
}

// Node is one node. Its methods are safe for concurrent use.
type Node struct {
	cfg   Config
	start time.Time
	inbox inbox
	gate  chan struct{} // one value for each look-up under way
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	// What follows is owned by the loop.
	cores   []*table.Core // of the families, IPv4 first
	out     table.Out
	asking  bool // Bootstrap is being asked
	saved   time.Time
	samples sampleLog

	closing sync.Once
	closed  error
}

// New starts a node. Its goroutines end with Close.
func New(cfg Config) (*Node, error) {
	if cfg.Send == nil || !cfg.IPv4 && !cfg.IPv6 {
		return nil, errors.New("a DHT node needs a way to send and an address family")
	}
	if cfg.RandomID {
		cfg.State = ""
	}
	n := &Node{cfg: cfg, start: time.Now(), gate: make(chan struct{}, maxLookups), samples: sampleLog{}}
	n.saved = n.start
	n.inbox.wake = make(chan struct{}, 1)
	n.ctx, n.stop = context.WithCancel(context.Background())
	old := load(cfg.State)
	for _, ipv6 := range []bool{false, true} {
		if ipv6 && cfg.IPv6 || !ipv6 && cfg.IPv4 {
			n.cores = append(n.cores, n.newCore(ipv6, old.of(ipv6)))
		}
	}
	if len(n.cores) == 2 {
		table.Pair(n.cores[0], n.cores[1])
	}
	n.wg.Go(func() { n.run(old) })
	return n, nil
}

func (n *Node) newCore(ipv6 bool, old family) *table.Core {
	c := table.Config{IPv6: ipv6, ID: old.id, FixedID: n.cfg.RandomID, ReadOnly: n.cfg.ReadOnly, Version: []byte("SH\x00\x01")}
	if n.cfg.RandomID {
		c.ID, c.Version = krpc.ID{}, nil
	}
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	c.Rand = mathrand.New(mathrand.NewChaCha8(seed))
	return table.New(c)
}

// Receive takes a datagram that begins with 'd' from the reader of the socket. It never waits, and does not keep b: when the node cannot
// keep up, datagrams are lost.
func (n *Node) Receive(b []byte, from netip.AddrPort) { n.inbox.datagram(b, unmap(from)) }

// AddNode tells of an address where a node may be: from a PORT message, the local network, or the person. It is asked before it is
// trusted, at a slow pace; of many, some are forgotten.
func (n *Node) AddNode(a netip.AddrPort) { n.inbox.contact(unmap(a)) }

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// Close ends all look-ups and saves the state.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.stop()
		n.inbox.close()
		n.wg.Wait()
		n.closed = n.save()
	})
	return n.closed
}

func (n *Node) now() time.Duration { return time.Since(n.start) + 1 }

// run is the loop.
func (n *Node) run(old state) {
	for _, c := range n.cores {
		c.Begin(n.now(), old.of(c.IPv6()).nodes, &n.out)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n.inbox.take(n) {
		n.tick()
		n.flush()
		timer.Reset(n.next())
		select {
		case <-n.inbox.wake:
		case <-timer.C:
		}
	}
}

// receive takes one datagram from the inbox.
func (n *Node) receive(b []byte, from netip.AddrPort) {
	for _, c := range n.cores {
		if c.IPv6() == from.Addr().Is6() {
			c.Receive(n.now(), b, from, &n.out)
		}
	}
	if n.out.Len() > 64 {
		n.flush()
	}
}

// contact takes one address from the inbox.
func (n *Node) contact(a netip.AddrPort) {
	for _, c := range n.cores {
		c.Add(n.now(), a)
	}
}

func (n *Node) tick() {
	now := n.now()
	for _, c := range n.cores {
		c.Tick(now, &n.out)
		if c.NeedsRouters() {
			n.bootstrap()
		}
	}
	if time.Since(n.saved) >= savePeriod {
		n.saved = time.Now()
		_ = n.save() // the next time, or Close, tells
	}
}

func (n *Node) next() time.Duration {
	next := n.cores[0].Next()
	for _, c := range n.cores[1:] {
		next = min(next, c.Next())
	}
	return max(next-n.now(), 0)
}

func (n *Node) flush() {
	n.out.Each(func(b []byte, to netip.AddrPort) { _ = n.cfg.Send(b, to) })
	n.out.Reset()
}

// bootstrap asks for the nodes that let newcomers in, once at a time.
func (n *Node) bootstrap() {
	if n.cfg.Bootstrap == nil || n.asking {
		return
	}
	n.asking = true
	n.wg.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, routersTime)
		defer cancel()
		addrs := n.cfg.Bootstrap(ctx)
		n.inbox.call(func() { n.asking = false })
		for _, a := range addrs[:min(len(addrs), maxRouters)] {
			n.AddNode(a)
		}
	})
}
