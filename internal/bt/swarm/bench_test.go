package swarm

import (
	"fmt"
	"testing"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

// BenchmarkBlock is what the brain costs a block: an arrival, new requests, and its part of the piece's end, with so many seeds
// that answer in turn.
func BenchmarkBlock(b *testing.B) {
	for _, peers := range []int{1, 50, 500} {
		b.Run(fmt.Sprint(peers, " peers"), func(b *testing.B) {
			const pieces, blocks = 4000, 16
			size := int64(pieces * blocks * block.Size)
			lay := &layout.Layout{Files: []layout.File{{Length: size}}, Size: size, PieceLength: blocks * block.Size}
			pool := block.NewPool(1 << 20)
			queues := make([][]Effect, peers+1)
			var s *Swarm
			now := time.Duration(0)
			drain := func() {
				for _, e := range s.Drain(now) {
					switch e.Kind {
					case SendRequest:
						queues[e.Peer] = append(queues[e.Peer], e)
					case Store:
						e.Block.Release()
					case Verify:
						s.Step(now, Event{Kind: Stored, Arg: storage.Result{Piece: int(e.Piece), Good: true}})
					}
				}
			}
			begin := func() {
				s = New(Config{MaxPeers: 1000})
				s.Begin(now, lay, bitfield.New(pieces), bitfield.NewShared(pieces))
				for id := ident.Peer(1); id <= ident.Peer(peers); id++ {
					queues[id] = nil
					s.Step(now, Event{Kind: Joined, Peer: id, Arg: &PeerInfo{Addr: host(id), ID: ident.PeerID{byte(id), byte(id >> 8)}, Incoming: true, Fast: true}})
					s.Step(now, Event{Kind: HaveAll, Peer: id})
					s.Step(now, Event{Kind: Unchoked, Peer: id})
				}
				drain()
			}
			begin()
			b.ReportAllocs()
			b.ResetTimer()
			for i, n := 0, 0; n < b.N; i++ {
				id := i%peers + 1
				if len(queues[id]) == 0 || s.Done() {
					b.StopTimer()
					begin()
					b.StartTimer()
					continue
				}
				r := queues[id][0]
				queues[id] = queues[id][1:]
				now += 20 * time.Microsecond
				s.Step(now, Event{Kind: Arrived, Peer: ident.Peer(id), Piece: r.Piece, Begin: r.Begin, Block: pool.TryGet()})
				drain()
				n++
			}
		})
	}
}
