package metadata

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"shoal/internal/ident"
)

const s = time.Second

func metadata(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

func hashes(b []byte) ident.InfoHash { return ident.InfoHash{V1: sha1.Sum(b), V2: sha256.Sum256(b)} }

// serve answers every request that f has for a peer, from what the peer takes for the metadata.
func serve(f *Fetch[string], now time.Duration, id string, raw []byte, limit int) (liars []string) {
	for range limit {
		i, ok := f.Pick(now, id)
		if !ok {
			return liars
		}
		data, _ := Piece(raw, i)
		liars = append(liars, f.Arrived(now, id, i, data)...)
	}
	return liars
}

func check(t *testing.T, f *Fetch[string], want []byte) {
	t.Helper()
	if got, ok := f.Done(); !ok || !bytes.Equal(got, want) {
		t.Fatalf("done %v, %d bytes", ok, len(got))
	}
}

func TestPiece(t *testing.T) {
	raw := metadata(PieceSize + 5)
	if b, ok := Piece(raw, 1); !ok || len(b) != 5 || b[0] != raw[PieceSize] {
		t.Error(len(b), ok)
	}
	for _, i := range []int{-1, 2, 1 << 62} {
		if _, ok := Piece(raw, i); ok {
			t.Error(i)
		}
	}
	if _, ok := Piece(nil, 0); ok || Pieces(0) != 0 || Pieces(PieceSize) != 1 {
		t.Error("empty")
	}
}

func TestTogether(t *testing.T) {
	raw := metadata(9*PieceSize + 100)
	for _, h := range []ident.InfoHash{hashes(raw), {V1: sha1.Sum(raw)}, {V2: sha256.Sum256(raw)}} {
		f := NewFetch[string](h)
		f.Announced("a", int64(len(raw)))
		f.Announced("b", int64(len(raw)))
		if have, of := f.Progress(); have != 0 || of != 0 {
			t.Error(have, of)
		}
		serve(f, 0, "a", raw, 5)
		if have, of := f.Progress(); have != 5 || of != 10 {
			t.Error(have, of)
		}
		if liars := serve(f, 0, "b", raw, 100); liars != nil {
			t.Error(liars)
		}
		check(t, f, raw)
		if _, ok := f.Pick(0, "a"); ok {
			t.Error("more is asked")
		}
	}
}

func TestSizes(t *testing.T) {
	f := NewFetch[string](hashes(metadata(1)))
	for i, size := range []int64{0, -1, MaxSize + 1, 1 << 62} {
		id := string(rune('a' + i))
		f.Announced(id, size)
		if _, ok := f.Pick(0, id); ok {
			t.Error(size, "is believed")
		}
	}
	if _, ok := f.Pick(0, "stranger"); ok || f.Arrived(0, "stranger", 0, []byte{0}) != nil {
		t.Error("a stranger is asked")
	}
	f.Announced("ok", 1)
	f.Announced("ok", 5) // changes nothing
	serve(f, 0, "ok", metadata(1), 1)
	check(t, f, metadata(1))
}

// Peers that announce another size than the truth do not keep it from coming, even if they are many.
func TestConflictingSizes(t *testing.T) {
	raw := metadata(3 * PieceSize)
	f := NewFetch[string](hashes(raw))
	for _, id := range []string{"l1", "l2", "l3"} {
		f.Announced(id, int64(len(raw)-1-int(id[1]-'0')))
		f.Pick(0, id) // and never answers
	}
	f.Announced("honest", int64(len(raw)))
	if _, ok := f.Pick(s, "honest"); ok {
		t.Error("there is room for more attempts than memory was meant for")
	}
	f.Tick(Stall)
	serve(f, Stall, "honest", raw, 10)
	check(t, f, raw)
}

func TestLiarAlone(t *testing.T) {
	raw, lie := metadata(2*PieceSize), make([]byte, 2*PieceSize)
	f := NewFetch[string](hashes(raw))
	f.Announced("liar", int64(len(lie)))
	if liars := serve(f, 0, "liar", lie, 10); !slices.Equal(liars, []string{"liar"}) {
		t.Error(liars)
	}
	f.Announced("liar", int64(len(lie)))
	if _, ok := f.Pick(0, "liar"); ok {
		t.Error("the liar is asked again")
	}
	f.Announced("honest", int64(len(raw)))
	serve(f, 0, "honest", raw, 10)
	check(t, f, raw)
}

// One of several peers lies. All work alone then, and in the end it is known which one it was.
func TestLiarAmongOthers(t *testing.T) {
	raw := metadata(6 * PieceSize)
	lie := slices.Clone(raw)
	lie[3*PieceSize] ^= 1
	f := NewFetch[string](hashes(raw))
	for _, id := range []string{"a", "liar", "b"} {
		f.Announced(id, int64(len(raw)))
	}
	serve(f, 0, "a", raw, 3)
	if liars := serve(f, 0, "liar", lie, 2); liars != nil {
		t.Error(liars)
	}
	if liars := serve(f, 0, "b", raw, 1); liars != nil {
		t.Error("blamed too early:", liars)
	}
	if _, ok := f.Done(); ok {
		t.Fatal("a lie is taken")
	}
	if liars := serve(f, 0, "a", raw, 6); !slices.Equal(liars, []string{"liar"}) {
		t.Error(liars)
	}
	check(t, f, raw)
}

func TestLiarFoundAlone(t *testing.T) {
	raw := metadata(4 * PieceSize)
	lie := slices.Clone(raw)
	lie[0] ^= 1
	f := NewFetch[string](hashes(raw))
	f.Announced("a", int64(len(raw)))
	f.Announced("liar", int64(len(raw)))
	serve(f, 0, "liar", lie, 2)
	serve(f, 0, "a", raw, 2)
	if liars := serve(f, 0, "liar", lie, 4); !slices.Equal(liars, []string{"liar"}) {
		t.Error(liars)
	}
	serve(f, 0, "a", raw, 4)
	check(t, f, raw)
}

// A hybrid's metadata must fit both names.
func TestBothHashes(t *testing.T) {
	raw := metadata(100)
	h := hashes(raw)
	h.V2[0] ^= 1
	f := NewFetch[string](h)
	f.Announced("a", 100)
	if liars := serve(f, 0, "a", raw, 1); len(liars) != 1 {
		t.Error(liars)
	}
	if _, ok := f.Done(); ok {
		t.Error("done")
	}
}

func TestWrongLength(t *testing.T) {
	raw := metadata(2*PieceSize + 1)
	f := NewFetch[string](hashes(raw))
	f.Announced("a", int64(len(raw)))
	i, _ := f.Pick(0, "a")
	if liars := f.Arrived(0, "a", i+1, raw[:PieceSize]); liars != nil {
		t.Error("a piece that was not asked for is blamed")
	}
	if liars := f.Arrived(0, "a", i, raw[:PieceSize-1]); !slices.Equal(liars, []string{"a"}) {
		t.Error(liars)
	}
}

func TestTimeout(t *testing.T) {
	raw := metadata(2 * PieceSize)
	f := NewFetch[string](hashes(raw))
	f.Announced("slow", int64(len(raw)))
	f.Announced("b", int64(len(raw)))
	for range 2 {
		if _, ok := f.Pick(0, "slow"); !ok {
			t.Fatal("nothing to ask")
		}
	}
	if _, ok := f.Pick(0, "slow"); ok {
		t.Error("a piece is asked twice of one peer")
	}
	f.Tick(Timeout)
	if _, ok := f.Pick(Timeout, "slow"); ok {
		t.Error("a slow peer does not rest")
	}
	first, _ := Piece(raw, 0)
	f.Arrived(Timeout+s, "slow", 0, first) // late, and welcome
	if have, _ := f.Progress(); have != 1 {
		t.Error(have)
	}
	if i, ok := f.Pick(Timeout+s, "b"); !ok || i != 1 {
		t.Error(i, ok)
	}
	f.Gone("b")
	if i, ok := f.Pick(2*Timeout, "slow"); !ok || i != 1 {
		t.Error(i, ok)
	}
	second, _ := Piece(raw, 1)
	f.Arrived(2*Timeout, "slow", 1, second)
	check(t, f, raw)
}

func TestRejected(t *testing.T) {
	raw := metadata(10)
	f := NewFetch[string](hashes(raw))
	f.Announced("a", 10)
	i, _ := f.Pick(0, "a")
	f.Rejected(s, "a", i)
	f.Rejected(s, "a", i)
	if _, ok := f.Pick(2*s, "a"); ok {
		t.Error("asked again at once")
	}
	serve(f, s+Refusal, "a", raw, 1)
	check(t, f, raw)
}

// At the end several peers are asked for the same piece, so that none can hold it up.
func TestEndgame(t *testing.T) {
	raw := metadata(10)
	f := NewFetch[string](hashes(raw))
	for i, id := range []string{"a", "b", "c", "d"} {
		f.Announced(id, 10)
		if _, ok := f.Pick(0, id); ok != (i < maxAskers) {
			t.Error(id, ok)
		}
	}
	f.Arrived(0, "b", 0, raw)
	check(t, f, raw)
	if liars := f.Arrived(0, "a", 0, raw); liars != nil {
		t.Error(liars)
	}
}

// Whatever happens in whatever order, only the truth is taken, and an honest peer left alone gets it through.
func FuzzFetch(f *testing.F) {
	f.Add(uint16(40000), []byte{0, 1, 2, 8, 16, 24, 33, 41, 49, 3, 4, 5})
	f.Add(uint16(1), []byte{0, 0, 8, 9, 10, 255})
	f.Fuzz(func(t *testing.T, size uint16, script []byte) {
		raw := metadata(int(size) + 1)
		lie := metadata(len(raw))
		lie[len(lie)/2] ^= 0xff
		x := NewFetch[string](hashes(raw))
		ids := []string{"a", "b", "c", "d", "e"}
		var now time.Duration
		asked := map[string][]int{}
		for k, op := range script {
			id := ids[int(op>>3)%len(ids)]
			switch op & 7 {
			case 0:
				x.Announced(id, int64(len(raw)-k%2))
			case 1, 2:
				if i, ok := x.Pick(now, id); ok {
					asked[id] = append(asked[id], i)
				}
			case 3, 4:
				if n := len(asked[id]); n > 0 {
					i := asked[id][n-1]
					asked[id] = asked[id][:n-1]
					from := raw
					if op&7 == 4 {
						from = lie
					}
					data, _ := Piece(from, i)
					for _, liar := range x.Arrived(now, id, i, data) {
						if _, ok := x.Pick(now, liar); ok {
							t.Fatal("a liar is asked")
						}
					}
				}
			case 5:
				x.Rejected(now, id, k%4)
			case 6:
				x.Gone(id)
				delete(asked, id)
			case 7:
				now += time.Duration(op) * s / 8
				x.Tick(now)
			}
			x.invariants(t)
		}
		for _, id := range ids {
			x.Gone(id)
		}
		x.Announced("honest", int64(len(raw)))
		for range 4 {
			now += Stall
			x.Tick(now)
			serve(x, now, "honest", raw, 1000)
			x.invariants(t)
		}
		if got, ok := x.Done(); !ok || !bytes.Equal(got, raw) {
			t.Fatal("not done")
		}
	})
}

// invariants checks the counters against what they count.
func (f *Fetch[P]) invariants(t *testing.T) {
	t.Helper()
	if len(f.attempts) > maxAttempts {
		t.Fatal(len(f.attempts), "attempts")
	}
	if f.done != nil {
		return
	}
	asking := map[*attempt[P]][]int{}
	for _, a := range f.attempts {
		asking[a] = make([]int, len(a.pieces))
		left := 0
		for _, b := range a.pieces {
			if b == nil {
				left++
			}
		}
		if left != a.left || left == 0 {
			t.Fatal("left", left, a.left)
		}
	}
	for _, p := range f.peers {
		live := 0
		for i, a := range p.asked {
			if !a.late {
				live++
				asking[p.on][i]++
			}
		}
		if live != p.live || live > Pipeline {
			t.Fatal("live", live, p.live)
		}
	}
	for a, counts := range asking {
		if !slices.Equal(counts, a.asking) {
			t.Fatal("asking", counts, a.asking)
		}
	}
}
