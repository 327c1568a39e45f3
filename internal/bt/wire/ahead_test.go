package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"shoal/internal/block"
)

// pipe hands bytes out in chunks: as many at a time as the next element of sizes says times 100, from the first again after
// the last; everything if there are none. A chunk of nothing is something that has not come yet.
type pipe struct {
	b     []byte
	sizes []byte
	next  int

	vectors, most int // calls of ReadVector, and the most bytes that one of them read
}

func (p *pipe) chunk() int {
	if len(p.sizes) == 0 {
		return len(p.b)
	}
	p.next++
	return min(100*int(p.sizes[p.next%len(p.sizes)]), len(p.b))
}

func (p *pipe) Read(q []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(q, p.b[:max(p.chunk(), 1)])
	p.b = p.b[n:]
	return n, nil
}

func (p *pipe) ReadVector(bufs [][]byte) (total int, err error) {
	if len(bytes.Join(bufs, nil)) == 0 {
		return 0, errors.New("nowhere to read to")
	}
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	from := p.b[:p.chunk()]
	for _, q := range bufs {
		n := copy(q, from)
		from, total = from[n:], total+n
	}
	p.b = p.b[total:]
	p.vectors++
	p.most = max(p.most, total)
	return total, nil
}

// all decodes to the end, calling Idle now and then, and returns the messages with their payloads, and the error.
func all(d *Decoder) (seen []Message, err error) {
	for i := 0; ; i++ {
		var m Message
		if err := d.Next(&m); err != nil {
			d.Close()
			return seen, err
		}
		m.Payload = bytes.Clone(m.Payload)
		if m.ID == Piece {
			m.Payload = bytes.Clone(m.Block.Bytes())
			m.Block.Release()
			m.Block = nil
		}
		seen = append(seen, m)
		if i%3 == 0 {
			d.Idle()
		}
	}
}

// bothWays decodes b plainly and reading ahead, and fails unless that comes to the same and loses no block.
func bothWays(t *testing.T, b, sizes []byte, spare int) *pipe {
	t.Helper()
	limits := Limits{Bitfield: 8192, Extended: 8192}
	pool := block.NewPool(1 << 20)
	want, wantErr := all(NewDecoder(bytes.NewReader(b), pool.TryGet, limits))
	p := &pipe{b: b, sizes: sizes}
	d := NewDecoder(p, pool.TryGet, limits)
	d.ReadAhead(p, func(into []*block.Block) int { return pool.Spare(into[:min(len(into), spare)]) })
	got, err := all(d)
	if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
		t.Fatalf("ended with %v, plainly with %v", err, wantErr)
	}
	if len(got) != len(want) {
		t.Fatalf("%d messages, plainly %d", len(got), len(want))
	}
	for i := range got {
		same(t, got[i], want[i])
	}
	if n, _, _ := pool.Lent(); n != 0 {
		t.Fatalf("%d blocks are lent", n)
	}
	if n := pool.Spare(make([]*block.Block, 16)); n != 16 {
		t.Fatalf("then %d blocks can be spared, not 16", n)
	}
	return p
}

// blocksOf returns n piece messages of whole blocks, each of other bytes.
func blocksOf(n int) (b []byte) {
	r := rand.NewChaCha8([32]byte{byte(n)})
	for i := range n {
		payload := make([]byte, block.Size)
		r.Read(payload)
		b = append(b, pieceMessage(uint32(i), uint32(i)<<14, payload)...)
	}
	return b
}

func TestReadAhead(t *testing.T) {
	have := AppendHave(nil, 5)
	short := pieceMessage(1, 2, bytes.Repeat([]byte{9}, 3000))
	whole := blocksOf(100)
	mixed := bytes.Join([][]byte{blocksOf(9), have, blocksOf(20), short, blocksOf(30), have, have, short, blocksOf(7), AppendBitfield(nil, make([]byte, 8000)), blocksOf(5)}, nil)
	for name, b := range map[string][]byte{
		"whole blocks": whole, "mixed": mixed, "cut in a payload": whole[:50*slotLen-1], "cut in a header": whole[:50*slotLen+7],
		"cut in a header's length": whole[:50*slotLen+2], "cut behind a header": whole[:50*slotLen+13],
		"a violation": append(bytes.Clone(whole), AppendPieceHeader(nil, 0, 0, block.Size+1)...),
	} {
		t.Run(name, func(t *testing.T) {
			for _, sizes := range [][]byte{nil, {255}, {255, 255, 0}, {164}, {1, 255, 255, 90, 0, 255, 255, 255}, {0, 3}} {
				for _, spare := range []int{0, 1, maxAhead} {
					bothWays(t, b, sizes, spare)
				}
			}
		})
	}
	p := bothWays(t, whole, nil, maxAhead)
	if p.most < 8*slotLen || p.vectors > 20 {
		t.Errorf("100 blocks took %d calls, of which the longest brought %d bytes", p.vectors, p.most)
	}
	if p := bothWays(t, whole, []byte{14}, maxAhead); p.vectors != 0 {
		t.Errorf("a slow peer was read ahead of %d times", p.vectors)
	}
}

func TestReadAheadHoldsNothingWhileNothingComes(t *testing.T) {
	pool := block.NewPool(0)
	p := &pipe{b: blocksOf(60)}
	d := NewDecoder(p, pool.TryGet, DefaultLimits)
	d.ReadAhead(p, pool.Spare)
	var m Message
	for range 50 {
		if err := d.Next(&m); err != nil {
			t.Fatal(err)
		}
		m.Block.Release()
	}
	for d.Buffered() > 0 {
		if err := d.Next(&m); err != nil {
			t.Fatal(err)
		}
		m.Block.Release()
	}
	if n, _, _ := pool.Lent(); n != 0 || d.ahead != nil {
		t.Errorf("%d blocks are held while nothing is ahead", n)
	}
	p.b = blocksOf(60)
	for d.Buffered() == 0 {
		if err := d.Next(&m); err != nil {
			t.Fatal(err)
		}
		m.Block.Release()
	}
	d.Close()
	if n, _, _ := pool.Lent(); n != 0 {
		t.Errorf("%d blocks are held after Close", n)
	}
}

func TestReadAheadNoAllocations(t *testing.T) {
	pool := block.NewPool(0)
	l := &loop{b: blocksOf(40)}
	d := NewDecoder(l, pool.TryGet, DefaultLimits)
	d.ReadAhead(l, pool.Spare)
	var m Message
	next := func() {
		for range 100 {
			if err := d.Next(&m); err != nil {
				t.Fatal(err)
			}
			m.Block.Release()
			if d.Buffered() == 0 {
				d.Idle()
			}
		}
	}
	next()
	if d.guess == 0 {
		t.Fatal("nothing is read ahead")
	}
	if n := testing.AllocsPerRun(100, next); n > 5 { // a collection empties the pools, and so does the race detector
		t.Fatalf("%v allocations for 100 blocks", n)
	}
}

// ReadVector fills everything.
func (l *loop) ReadVector(bufs [][]byte) (total int, err error) {
	for _, b := range bufs {
		for n := 0; n < len(b); {
			k, _ := l.Read(b[n:])
			n, total = n+k, total+k
		}
	}
	return total, nil
}

func FuzzReadAhead(f *testing.F) {
	for i, s := range samples() {
		f.Add(s.wire, []byte{255, byte(i)}, byte(10), byte(i))
	}
	f.Add(pieceMessage(1, 2, []byte("payload")), []byte{1, 0, 200}, byte(3), byte(32))
	f.Fuzz(func(t *testing.T, b, sizes []byte, before, spare byte) {
		if bytes.Count(sizes, []byte{0}) == len(sizes) {
			sizes = nil
		}
		whole := blocksOf(int(before%40) + 2)
		bothWays(t, bytes.Join([][]byte{whole, b, whole, b, b}, nil), sizes, int(spare))
	})
}

func BenchmarkPiecesAhead(b *testing.B) {
	pool := block.NewPool(0)
	l := &loop{b: blocksOf(40)}
	d := NewDecoder(l, pool.TryGet, DefaultLimits)
	d.ReadAhead(l, pool.Spare)
	b.SetBytes(block.Size)
	b.ReportAllocs()
	var m Message
	for b.Loop() {
		if err := d.Next(&m); err != nil {
			b.Fatal(err)
		}
		m.Block.Release()
	}
}
