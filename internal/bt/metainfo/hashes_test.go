package metainfo

import (
	"bytes"
	"crypto/sha1"
	"slices"
	"strings"
	"sync"
	"testing"

	"shoal/internal/layout"
	"shoal/internal/merkle"
)

// content returns n bytes that differ from piece to piece.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>14*31)
	}
	return b
}

// build makes a torrent of files that hold consecutive bytes of data, and returns its address space too.
func build(t testing.TB, version Version, pieceLength int64, files []layout.File) (*Torrent, []byte) {
	t.Helper()
	b, err := NewBuilder(files, CreateOptions{Name: "n", Version: version, PieceLength: pieceLength})
	if err != nil {
		t.Fatal(err)
	}
	l := b.Layout()
	space := make([]byte, l.Size)
	data := content(int(l.DataSize()))
	for _, f := range l.Files {
		data = data[copy(space[f.Offset:f.Offset+f.Length], data):]
	}
	s := b.NewSum()
	for p := range l.Pieces() {
		s.Reset(p, -1)
		off := l.PieceOffset(p)
		s.Write(space[off:off+int64(l.DataLen(p))], nil)
		if err := s.Done(); err != nil {
			t.Fatal(err)
		}
	}
	tor, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return tor, space
}

var someFiles = []layout.File{
	{Path: "big", Length: 150000}, {Path: "empty"}, {Path: "exact", Length: 65536}, {Path: "small", Length: 100}, {Path: "mid", Length: 20000},
}

// good feeds a piece of the address space in odd cuts.
func good(s *Sum, l *layout.Layout, piece int, space []byte) bool {
	s.Reset(piece, -1)
	off := l.PieceOffset(piece)
	for b := space[off : off+int64(l.DataLen(piece))]; len(b) > 0; {
		n := min(len(b), 10007)
		s.Write(b[:n], nil)
		b = b[n:]
	}
	ok, other := s.Good()
	return ok && !other
}

func TestSum(t *testing.T) {
	for _, v := range []Version{Hybrid, V1, V2} {
		for _, length := range []int64{16384, 65536, 1 << 20} {
			tor, space := build(t, v, length, someFiles)
			h, err := NewHashes(tor.Info, tor.PieceLayers)
			if err != nil || len(h.MissingLayers()) != 0 {
				t.Fatal(err, h.MissingLayers())
			}
			s, l := h.NewSum(), &tor.Info.Layout
			for p := range l.Pieces() {
				if !h.Known(p) || !good(s, l, p, space) {
					t.Errorf("version %d, pieces of %d: piece %d is not good", v, length, p)
				}
				at := l.PieceOffset(p) + int64(l.DataLen(p))/2
				space[at] ^= 1
				if good(s, l, p, space) {
					t.Errorf("version %d: changed piece %d is good", v, p)
				}
				space[at] ^= 1
			}
			s.Reset(0, -1)
			if ok, _ := s.Good(); ok {
				t.Error("a piece without bytes is good")
			}
			s.Write(make([]byte, l.DataLen(0)+1), nil)
			if ok, _ := s.Good(); ok {
				t.Error("too many bytes are good")
			}
			if n := testing.AllocsPerRun(3, func() { good(s, l, 0, space) }); n != 0 {
				t.Error(n, "allocations a piece")
			}
		}
	}
}

// Two pieces side by side are judged as each is alone: both good, either bad, cut anywhere; a torrent built in twos is the same.
func TestSideBySide(t *testing.T) {
	for _, v := range []Version{Hybrid, V1, V2} {
		tor, space := build(t, v, 32768, []layout.File{{Path: "a", Length: 5*32768 + 20000}, {Path: "b", Length: 20000}, {Path: "c", Length: 3 * 32768}})
		h, err := NewHashes(tor.Info, tor.PieceLayers)
		if err != nil {
			t.Fatal(err)
		}
		s, l, pairs := h.NewSum(), &tor.Info.Layout, 0
		judge := func(a, b int) (x, y bool) {
			s.Reset(a, b)
			p, q := space[l.PieceOffset(a):][:l.DataLen(a)], space[l.PieceOffset(b):][:l.DataLen(b)]
			for len(p) > 0 {
				n := min(len(p), 10007)
				s.Write(p[:n], q[:n])
				p, q = p[n:], q[n:]
			}
			return s.Good()
		}
		for a := range l.Pieces() {
			for b := range l.Pieces() {
				if a == b || !l.Alike(a, b) {
					continue
				}
				pairs++
				if x, y := judge(a, b); !x || !y {
					t.Errorf("version %d: pieces %d and %d: %v and %v", v, a, b, x, y)
				}
				space[l.PieceOffset(a)] ^= 1
				if x, y := judge(a, b); x || !y {
					t.Errorf("version %d: changed piece %d and %d: %v and %v", v, a, b, x, y)
				}
				if x, y := judge(b, a); !x || y {
					t.Errorf("version %d: piece %d and changed %d: %v and %v", v, b, a, x, y)
				}
				space[l.PieceOffset(a)] ^= 1
			}
		}
		if pairs < 40 {
			t.Errorf("version %d: only %d pairs", v, pairs)
		}
		s.Reset(0, 1)
		s.Write(make([]byte, 100), make([]byte, 100))
		if x, y := s.Good(); x || y {
			t.Error("pieces that lack bytes are good")
		}
	}
}

// A hybrid whose versions hash different bytes has no good piece, but v1 alone decides while layers are missing.
func TestDisagreement(t *testing.T) {
	tor, space := build(t, Hybrid, 16384, []layout.File{{Path: "", Length: 40000}})
	i := *tor.Info
	i.Pieces = slices.Clone(i.Pieces)
	changed := slices.Clone(space)
	changed[0] ^= 1
	sum := sha1.Sum(changed[:16384])
	copy(i.Pieces, sum[:])
	h, err := NewHashes(&i, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := h.NewSum()
	if !h.Known(0) || !good(s, &i.Layout, 0, changed) {
		t.Error("v1 does not decide alone")
	}
	if err := h.AddLayer(0, hashesOf(tor.PieceLayers[i.Roots[0]])); err != nil {
		t.Fatal(err)
	}
	if good(s, &i.Layout, 0, changed) || good(s, &i.Layout, 0, space) {
		t.Error("a piece on which the versions differ is good")
	}
	if !good(s, &i.Layout, 1, space) {
		t.Error("the piece after is not good")
	}
}

func TestLayers(t *testing.T) {
	tor, space := build(t, V2, 16384, someFiles)
	i := tor.Info
	h, err := NewHashes(i, nil)
	if err != nil {
		t.Fatal(err)
	}
	missing := h.MissingLayers()
	if !slices.Equal(missing, []int{0, 2, 3}) {
		t.Fatal(missing)
	}
	s := h.NewSum()
	if h.Known(0) || good(s, &i.Layout, 0, space) {
		t.Error("a piece is known before its layer")
	}
	if small, _ := i.Layout.FilePieces(4); !h.Known(small) || !good(s, &i.Layout, small, space) {
		t.Error("a file of one piece needs no layer")
	}
	layer := hashesOf(tor.PieceLayers[i.Roots[0]])
	bad := slices.Clone(layer)
	bad[0][0] ^= 1
	for _, c := range []struct {
		file  int
		layer []merkle.Hash
		want  string
	}{
		{0, bad, "does not match its root"}, {0, layer[1:], "bytes, not"}, {0, nil, "has 0 bytes"},
		{4, layer, "has no piece layer"}, {-1, layer, "has no piece layer"}, {5, layer, "has no piece layer"},
	} {
		if err := h.AddLayer(c.file, c.layer); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v, want %q", c.file, err, c.want)
		}
	}
	if h.Layer(0) != nil || h.Layer(-1) != nil || h.Layer(9) != nil {
		t.Error("a refused layer is there")
	}
	var wg sync.WaitGroup // checks go on while layers come
	wg.Go(func() {
		s := h.NewSum()
		for !h.Known(0) {
		}
		if !good(s, &i.Layout, 0, space) {
			t.Error("piece 0 is not good")
		}
	})
	for _, f := range missing {
		if err := h.AddLayer(f, hashesOf(tor.PieceLayers[i.Roots[f]])); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if len(h.MissingLayers()) != 0 || !slices.Equal(h.Layer(0), layer) {
		t.Error("layers are missing")
	}
	got := h.PieceLayers()
	for root, b := range tor.PieceLayers {
		if !bytes.Equal(got[root], b) {
			t.Error("PieceLayers differ")
		}
	}
	if _, err := NewHashes(i, map[merkle.Hash][]byte{i.Roots[0]: make([]byte, 32)}); err == nil {
		t.Error("a wrong layer passes")
	}
}

func TestBuilderRefuses(t *testing.T) {
	one := []layout.File{{Path: "a", Length: 1}}
	for _, c := range []struct {
		files []layout.File
		opts  CreateOptions
		want  string
	}{
		{one, CreateOptions{}, `"" is not a name`},
		{one, CreateOptions{Name: ".."}, `".." is not a name`},
		{one, CreateOptions{Name: "a/b"}, "slash"},
		{one, CreateOptions{Name: "\xff"}, "not UTF-8"},
		{one, CreateOptions{Name: "n", PieceLength: 1000}, "not a power of two"},
		{one, CreateOptions{Name: "n", PieceLength: 3 << 14}, "not a power of two"},
		{one, CreateOptions{Name: "n", PieceLength: 1000, Version: V1}, "not a multiple of 16 KiB"},
		{one, CreateOptions{Name: "n", PieceLength: 1 << 40}, "not a power of two"},
		{nil, CreateOptions{Name: "n"}, "nothing to share"},
		{[]layout.File{{Path: "a"}}, CreateOptions{Name: "n"}, "nothing to share"},
		{[]layout.File{{Path: "a", Length: -1}}, CreateOptions{Name: "n"}, "cannot have -1 bytes"},
		{[]layout.File{{Path: "a", Length: 1}, {Path: "a", Length: 1}}, CreateOptions{Name: "n"}, "taken by another"},
		{[]layout.File{{Path: "a", Length: 1}, {Path: "a/b", Length: 1}, {Path: "a.b"}}, CreateOptions{Name: "n"}, "taken by another"},
		{[]layout.File{{Path: "a/../b", Length: 1}}, CreateOptions{Name: "n"}, "not a name"},
		{[]layout.File{{Path: strings.Repeat("d/", 70) + "f", Length: 1}}, CreateOptions{Name: "n"}, "more than 60 components"},
		{[]layout.File{{Path: "a", Length: 1}, {Path: "l", Symlink: "../x"}}, CreateOptions{Name: "n"}, "not in the content"},
		{[]layout.File{{Path: "a", Length: 1}, {Path: "l", Symlink: "/x"}}, CreateOptions{Name: "n"}, "not in the content"},
		{[]layout.File{{Path: "a", Length: 1 << 50}}, CreateOptions{Name: "n", PieceLength: 16384}, "too short"},
	} {
		if _, err := NewBuilder(c.files, c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %v: %v, want %q", c.files, c.opts, err, c.want)
		}
	}
	b, err := NewBuilder(one, CreateOptions{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), "piece 0 is not hashed") {
		t.Error(err)
	}
	s := b.NewSum()
	s.Reset(0, -1)
	if err := s.Done(); err == nil || !strings.Contains(err.Error(), "lacks 1 bytes") {
		t.Error(err)
	}
}

// Folders come before files whose names continue theirs, as the keys of a file tree do, so that both versions agree.
func TestBuilderOrder(t *testing.T) {
	files := []layout.File{{Path: "a.txt", Length: 1}, {Path: "a/z", Length: 1}, {Path: "a/b/c", Length: 1}, {Path: "a-b", Length: 1}, {Path: "B", Length: 1}}
	tor, _ := build(t, Hybrid, 0, files)
	var got []string
	for _, f := range tor.Info.Layout.Files {
		got = append(got, f.Path)
	}
	if want := []string{"n/B", "n/a/b/c", "n/a/z", "n/a-b", "n/a.txt"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAutoPieceLength(t *testing.T) {
	for size, want := range map[int64]int64{1: 16 << 10, 32 << 20: 32 << 10, 1 << 30: 1 << 20, 4 << 30: 4 << 20, 1 << 40: 16 << 20} {
		if got := AutoPieceLength(size); got != want {
			t.Errorf("%d: %d, want %d", size, got, want)
		}
	}
}
