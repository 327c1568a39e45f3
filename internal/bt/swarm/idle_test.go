//go:build !race

// The race detector keeps memory of its own.

package swarm

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/layout"
)

// crowded is a seed of 2,000 pieces with so many peers that want nothing at the moment.
func crowded(peers int) *Swarm {
	const pieces = 2000
	lay := &layout.Layout{Files: []layout.File{{Length: pieces * block.Size}}, Size: pieces * block.Size, PieceLength: block.Size}
	have := bitfield.New(pieces)
	have.Fill()
	s := New(Config{MaxPeers: peers, NoSuper: true})
	s.Begin(0, lay, have, bitfield.NewShared(pieces))
	for id := ident.Peer(1); id <= ident.Peer(peers); id++ {
		s.Step(0, Event{Kind: Joined, Peer: id, Arg: &PeerInfo{
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(id >> 16), byte(id >> 8), byte(id)}), 40000),
			ID:   ident.PeerID{byte(id), byte(id >> 8), byte(id >> 16)}, Source: discovery.Incoming, Incoming: true, Fast: true, Extended: true}})
		s.Step(0, Event{Kind: HaveNone, Peer: id})
		s.Step(0, Event{Kind: Extensions, Peer: id, Arg: &PeerExtensions{ReqQ: 500, ListenPort: 6881, PEX: true}})
		s.Drain(0)
	}
	return s
}

// kept returns how many bytes f's result keeps.
func kept(f func() *Swarm) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := f()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(s)
	return int(after.HeapAlloc) - int(before.HeapAlloc)
}

func TestIdlePeersAreSmall(t *testing.T) {
	const peers = 4000 // of which each is in the list of addresses
	n := kept(func() *Swarm {
		s := crowded(peers)
		for now := time.Second; now < 3*time.Minute; now += time.Second {
			s.Tick(now)
			s.Drain(now)
		}
		return s
	}) / peers
	t.Logf("an idle peer takes %d bytes", n)
	if n > 1536 {
		t.Errorf("an idle peer takes %d bytes", n)
	}
}

func TestIdleTorrentsAreSmall(t *testing.T) {
	var swarms []*Swarm
	lay := &layout.Layout{Files: []layout.File{{Length: block.Size}}, Size: block.Size, PieceLength: block.Size}
	view := bitfield.NewShared(1)
	const n = 1000
	each := kept(func() *Swarm {
		for range n {
			s := New(Config{})
			have := bitfield.New(1)
			have.Fill()
			s.Begin(0, lay, have, view)
			s.Tick(time.Second)
			s.Drain(time.Second)
			s.Rest()
			swarms = append(swarms, s)
		}
		return swarms[0]
	}) / n
	runtime.KeepAlive(swarms)
	t.Logf("an idle torrent's swarm takes %d bytes", each)
	if each > 1280 {
		t.Errorf("an idle torrent's swarm takes %d bytes", each)
	}
}

// BenchmarkIdleSecond is what 10,000 idle peers cost a second: their totals and a tick.
func BenchmarkIdleSecond(b *testing.B) {
	s := crowded(10_000)
	now := time.Duration(0)
	totals := &Totals{}
	b.ReportAllocs()
	for b.Loop() {
		now += time.Second
		for id := ident.Peer(1); id <= 10_000; id++ {
			s.Step(now, Event{Kind: Traffic, Peer: id, Arg: totals})
		}
		s.Tick(now)
		s.Drain(now)
	}
}
