package swarm

import (
	"fmt"
	"testing"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/bt/picker"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

// download is a swarm whose peers answer each request in turn, on a line of 800 MB/s.
type download struct {
	s     *Swarm
	now   time.Duration
	tick  time.Duration
	pool  *block.Pool
	asked []ring // by peer
	good  []any  // results of storage, by piece
	turn  int
}

// ring is the requests under way to a peer.
type ring struct {
	r          [2 * maxTarget]picker.Block
	head, tail int
}

func (q *ring) push(b picker.Block) { q.r[q.tail%len(q.r)] = b; q.tail++ }

func (q *ring) pop() (b picker.Block, ok bool) {
	if q.head == q.tail {
		return b, false
	}
	b = q.r[q.head%len(q.r)]
	q.head++
	return b, true
}

// newDownload makes one of 2 GiB with so many peers, which have everything, or everything but one piece.
func newDownload(peers int, seeds bool) *download {
	const pieces, blocks = 8000, 16
	size := int64(pieces * blocks * block.Size)
	lay := &layout.Layout{Files: []layout.File{{Length: size}}, Size: size, PieceLength: blocks * block.Size}
	d := &download{s: New(Config{MaxPeers: peers}), pool: block.NewPool(1 << 20), asked: make([]ring, peers+1)}
	for i := range pieces {
		d.good = append(d.good, storage.Result{Piece: i, Good: true})
	}
	d.s.Begin(0, lay, bitfield.New(pieces), bitfield.NewShared(pieces))
	for id := ident.Peer(1); id <= ident.Peer(peers); id++ {
		d.s.Step(0, Event{Kind: Joined, Peer: id, Arg: &PeerInfo{Addr: host(id), ID: ident.PeerID{byte(id), byte(id >> 8)}, Incoming: true, Fast: true}})
		if seeds {
			d.s.Step(0, Event{Kind: HaveAll, Peer: id})
		} else {
			set := bitfield.New(pieces)
			set.Fill()
			set.Remove(int(id))
			d.s.Step(0, Event{Kind: Bitfield, Peer: id, Arg: set.Bytes()})
		}
		d.s.Step(0, Event{Kind: Unchoked, Peer: id})
	}
	d.drain()
	return d
}

func (d *download) drain() {
	for _, e := range d.s.Drain(d.now) {
		switch e.Kind {
		case SendRequest:
			d.asked[e.Peer].push(picker.Block{Piece: e.Piece, Index: e.Begin / block.Size})
		case Store:
			e.Block.Release()
		case Verify:
			d.s.Step(d.now, Event{Kind: Stored, Arg: d.good[e.Piece]})
		}
	}
}

// run has so many blocks arrive, and returns how many of them there were not.
func (d *download) run(blocks int) int {
	for dry := 0; blocks > 0 && dry < len(d.asked); {
		d.turn = d.turn%(len(d.asked)-1) + 1
		b, ok := d.asked[d.turn].pop()
		if !ok {
			dry++
			continue
		}
		dry = 0
		blocks--
		if d.now += 20 * time.Microsecond; d.now >= d.tick {
			d.tick += time.Second
			d.s.Tick(d.now)
		}
		d.s.Step(d.now, Event{Kind: Arrived, Peer: ident.Peer(d.turn), Piece: b.Piece, Begin: b.Index * block.Size, Block: d.pool.TryGet()})
		d.drain()
	}
	return blocks
}

// BenchmarkBlock is what the brain costs a block: an arrival, new requests, and its part of the piece's end and of the tick.
func BenchmarkBlock(b *testing.B) {
	for _, peers := range []int{1, 50, 500} {
		for _, seeds := range []bool{true, false} {
			kind := map[bool]string{true: "seeds", false: "leechers"}[seeds]
			b.Run(fmt.Sprint(peers, " ", kind), func(b *testing.B) {
				d := newDownload(peers, seeds)
				b.ReportAllocs()
				b.ResetTimer()
				for left := d.run(b.N); left > 0; left = d.run(left) {
					b.StopTimer()
					d = newDownload(peers, seeds)
					b.StartTimer()
				}
			})
		}
	}
}

func TestBlockAllocatesNothing(t *testing.T) {
	for _, peers := range []int{1, 50, 500} {
		d := newDownload(peers, true)
		d.run(60_000)
		const blocks = 10_000
		n := testing.AllocsPerRun(3, func() { d.run(blocks) })
		t.Logf("%d peers: %.4f allocations a block", peers, n/blocks)
		if n > blocks/1000 {
			t.Errorf("%d peers: %.0f allocations for %d blocks", peers, n, blocks)
		}
	}
}
