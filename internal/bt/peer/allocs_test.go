package peer

import (
	"bytes"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/layout"
	"shoal/internal/netx"
)

// way is a Conn whose peer is at the other end of a TCP connection. It counts the blocks that arrive.
type way struct {
	c       *Conn
	other   net.Conn
	arrived chan int
}

const wayBlocks = 64 // blocks that go either way at a time

func newWay(t testing.TB) *way {
	t.Helper()
	h := netx.NewHost(netx.Options{})
	l, err := h.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := &way{arrived: make(chan int, wayBlocks)}
	if w.other, err = h.Dial(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	have := bitfield.NewShared(pieces)
	for i := range pieces {
		have.Add(i)
	}
	left := make(chan bool)
	w.c = New(Config{Conn: conn, Fast: true, Blocks: block.NewPool(4 << 20), Post: func(events ...swarm.Event) bool {
		n := 0
		for _, e := range events {
			switch e.Kind {
			case swarm.Arrived:
				n++
				e.Block.Release()
			case swarm.Left:
				close(left)
			}
		}
		w.arrived <- n
		return true
	}, Content: &Content{
		Layout: &layout.Layout{PieceLength: pieceLen, Size: pieces * pieceLen, Files: []layout.File{{Path: "x", Length: pieces * pieceLen}}},
		Have:   have,
		ReadAt: func([]byte, int64) error { return nil },
	}})
	w.c.unchoked.Store(true)
	w.c.Start()
	t.Cleanup(func() {
		w.other.Close()
		<-left
		if n, _, _ := w.c.cfg.Blocks.Lent(); n != 0 {
			t.Errorf("%d blocks are lost", n)
		}
	})
	return w
}

// download sends blocks to the Conn and returns when all have arrived.
func (w *way) download(t testing.TB, stream []byte, blocks int) {
	if _, err := w.other.Write(stream); err != nil {
		t.Fatal(err)
	}
	for blocks > 0 {
		blocks -= <-w.arrived
	}
}

// upload asks the Conn for blocks and reads them.
func (w *way) upload(t testing.TB, requests, answer []byte) {
	if _, err := w.other.Write(requests); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(w.other, answer); err != nil {
		t.Fatal(err)
	}
}

func pieceStream() []byte {
	one := append(wire.AppendPieceHeader(nil, 1, 16<<10, 16<<10), make([]byte, 16<<10)...)
	return bytes.Repeat(one, wayBlocks)
}

func requestStream() (requests, answer []byte) {
	for i := range uint32(wayBlocks) {
		requests = append(requests, request(i/4%pieces, i%4)...)
	}
	return requests, make([]byte, wayBlocks*(wire.PieceHeaderLen+16<<10))
}

// poolsKeep reports whether a sync.Pool gives back what was put into it: the race detector drops things at random.
func poolsKeep() bool {
	var p sync.Pool
	for range 100 {
		if p.Put(new(int)); p.Get() == nil {
			return false
		}
	}
	return true
}

// TestABlockAllocatesNothing follows blocks from the socket to the loop, and from the request to the socket.
func TestABlockAllocatesNothing(t *testing.T) {
	most := 2.0 // for all blocks: a collection empties the pools
	if !poolsKeep() {
		most = wayBlocks
	}
	stream := pieceStream()
	requests, answer := requestStream()
	w := newWay(t)
	for range 10 {
		w.download(t, stream, wayBlocks)
		w.upload(t, requests, answer)
	}
	if n := testing.AllocsPerRun(50, func() { w.download(t, stream, wayBlocks) }); n > most {
		t.Errorf("%v allocations to download %d blocks", n, wayBlocks)
	}
	if n := testing.AllocsPerRun(50, func() { w.upload(t, requests, answer) }); n > most {
		t.Errorf("%v allocations to upload %d blocks", n, wayBlocks)
	}
	if !slices.Equal(answer[:13], wire.AppendPieceHeader(nil, 0, 0, 16<<10)) {
		t.Errorf("the answer begins with %x", answer[:13])
	}
}

func BenchmarkDownload(b *testing.B) {
	w, stream := newWay(b), pieceStream()
	b.SetBytes(wayBlocks * block.Size)
	b.ReportAllocs()
	for b.Loop() {
		w.download(b, stream, wayBlocks)
	}
}

func BenchmarkUpload(b *testing.B) {
	w := newWay(b)
	requests, answer := requestStream()
	b.SetBytes(wayBlocks * block.Size)
	b.ReportAllocs()
	for b.Loop() {
		w.upload(b, requests, answer)
	}
}
