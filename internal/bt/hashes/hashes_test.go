package hashes

import (
	"slices"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/layout"
	"shoal/internal/merkle"
)

// swarm returns the hashes of a v2 torrent of some files with every layer, and again without.
func swarm(t testing.TB, files ...layout.File) (full, empty *metainfo.Hashes) {
	t.Helper()
	b, err := metainfo.NewBuilder(files, metainfo.CreateOptions{Name: "n", Version: metainfo.V2, PieceLength: 32768})
	if err != nil {
		t.Fatal(err)
	}
	s, l := b.NewSum(), b.Layout()
	buf := make([]byte, l.PieceLength)
	for p := range l.Pieces() {
		buf[0], buf[1], buf[2] = byte(p), byte(p>>8), l.Files[l.FileAt(l.PieceOffset(p))].Path[0]
		if l.Files[l.FileAt(l.PieceOffset(p))].Executable {
			buf[0], buf[1], buf[2] = 0, 0, 0 // files of the same bytes
		}
		s.Reset(p, -1)
		s.Write(buf[:l.DataLen(p)], nil)
		if err := s.Done(); err != nil {
			t.Fatal(err)
		}
	}
	tor, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if full, err = metainfo.NewHashes(tor.Info, tor.PieceLayers); err != nil {
		t.Fatal(err)
	}
	if empty, err = metainfo.NewHashes(tor.Info, nil); err != nil {
		t.Fatal(err)
	}
	return full, empty
}

func someFile(name string, pieces int) layout.File {
	return layout.File{Path: name, Length: int64(pieces)*32768 - 5}
}

func everything(int) bool { return true }

// run lets a peer answer all that it is asked.
func run(t *testing.T, f *Fetch[string], s *Server, id string) int {
	t.Helper()
	n := 0
	for {
		r, ok := f.Pick(0, id, everything)
		if !ok {
			return n
		}
		a := s.Answer(r)
		if a == nil {
			t.Fatalf("%+v is rejected", r)
		}
		if !f.Arrived(id, r, a) {
			t.Fatalf("the answer to %+v is a lie", r)
		}
		n++
	}
}

func TestTransfer(t *testing.T) {
	full, empty := swarm(t, someFile("a", 2), someFile("b", 3), someFile("c", 1), someFile("d", 512), someFile("e", 513), someFile("f", 700), layout.File{Path: "g"})
	f := NewFetch[string](empty)
	if f.Done() || f.Missing() != 1+1+1+2+2 {
		t.Fatal(f.Missing())
	}
	if n := run(t, f, NewServer(full), "p"); n != 7 || !f.Done() || f.Missing() != 0 {
		t.Error(n, f.Missing())
	}
	if len(empty.MissingLayers()) != 0 {
		t.Error(empty.MissingLayers())
	}
	for i := range full.Info().Layout.Files {
		if !slices.Equal(full.Layer(i), empty.Layer(i)) {
			t.Error("layer", i, "differs")
		}
	}
}

// The fields that a request must have by BEP 52.
func TestRequest(t *testing.T) {
	_, empty := swarm(t, someFile("e", 1200))
	f := NewFetch[string](empty)
	root := empty.Info().Roots[0]
	for _, want := range []Request{
		{Root: root, BaseLayer: 1, Index: 0, Length: 512, ProofLayers: 10}, {Root: root, BaseLayer: 1, Index: 512, Length: 512, ProofLayers: 10},
	} {
		if r, ok := f.Pick(0, "p", everything); !ok || r != want {
			t.Errorf("%+v, want %+v", r, want)
		}
	}
	if _, ok := f.Pick(0, "p", everything); ok {
		t.Error("more requests than the pipeline has room for")
	}
	if r, ok := f.Pick(0, "q", everything); !ok || r != (Request{root, 1, 1024, 256, 10}) {
		t.Errorf("%+v", r)
	}
	if _, ok := f.Pick(0, "r", everything); ok {
		t.Error("a run is asked twice")
	}
}

func TestSameBytes(t *testing.T) {
	x, y := someFile("x", 4), someFile("y", 4)
	x.Executable, y.Executable = true, true
	full, empty := swarm(t, x, y)
	if full.Info().Roots[0] != full.Info().Roots[1] {
		t.Fatal("the files differ")
	}
	f := NewFetch[string](empty)
	if n := run(t, f, NewServer(full), "p"); n != 1 || !f.Done() || len(empty.MissingLayers()) != 0 {
		t.Error(n, empty.MissingLayers())
	}
}

func TestOnlyFilesThatThePeerHas(t *testing.T) {
	_, empty := swarm(t, someFile("a", 4), someFile("b", 4))
	f := NewFetch[string](empty)
	if _, ok := f.Pick(0, "p", func(int) bool { return false }); ok {
		t.Error("a peer without pieces is asked")
	}
	if r, ok := f.Pick(0, "p", func(p int) bool { return p == 5 }); !ok || r.Root != empty.Info().Roots[1] {
		t.Error(r, ok)
	}
}

func TestLiar(t *testing.T) {
	full, empty := swarm(t, someFile("a", 600))
	s := NewServer(full)
	for _, change := range []func([]merkle.Hash) []merkle.Hash{
		func(a []merkle.Hash) []merkle.Hash { a[0][0] ^= 1; return a },
		func(a []merkle.Hash) []merkle.Hash { a[len(a)-1][31] ^= 1; return a },
		func(a []merkle.Hash) []merkle.Hash { return a[1:] },
		func(a []merkle.Hash) []merkle.Hash { return append(a, merkle.Hash{}) },
		func([]merkle.Hash) []merkle.Hash { return nil },
	} {
		f := NewFetch[string](empty)
		r, _ := f.Pick(0, "liar", everything)
		if f.Arrived("liar", r, change(s.Answer(r))) {
			t.Error("the lie is believed")
		}
		if _, ok := f.Pick(0, "liar", everything); ok {
			t.Error("the liar is asked again")
		}
		if again, ok := f.Pick(0, "other", everything); !ok || again != r {
			t.Error("nobody else is asked", again, ok)
		}
	}
	if len(empty.MissingLayers()) != 1 {
		t.Error("a lie became a layer")
	}
}

func TestUnasked(t *testing.T) {
	full, empty := swarm(t, someFile("a", 600))
	f, s := NewFetch[string](empty), NewServer(full)
	r, _ := f.Pick(0, "p", everything)
	a := s.Answer(r)
	other := r
	other.Length /= 2
	stray := r
	stray.Index = 1 << 31
	if !f.Arrived("stranger", r, nil) || !f.Arrived("p", other, nil) || !f.Arrived("p", stray, nil) || !f.Arrived("p", Request{}, nil) {
		t.Error("what was not asked for is blamed")
	}
	f.Pick(0, "q", everything)
	if f.Arrived("q", r, a); f.Missing() != 2 {
		t.Error("an answer to another's request is taken")
	}
	f.Rejected(0, "q", r)
	f.Rejected(0, "stranger", stray)
	if !f.Arrived("p", r, a) || f.Missing() != 1 {
		t.Error(f.Missing())
	}
}

func TestRejectedAndTimeout(t *testing.T) {
	full, empty := swarm(t, someFile("a", 4))
	f, s := NewFetch[string](empty), NewServer(full)
	r, _ := f.Pick(0, "p", everything)
	f.Rejected(0, "p", r)
	if _, ok := f.Pick(time.Second, "p", everything); ok {
		t.Error("asked again at once")
	}
	if again, ok := f.Pick(time.Second, "q", everything); !ok || again != r {
		t.Error(again, ok)
	}
	f.Tick(time.Second + Timeout - 1)
	if _, ok := f.Pick(Timeout, "r", everything); ok {
		t.Error("given up too early")
	}
	f.Tick(time.Second + Timeout)
	if _, ok := f.Pick(time.Second+Timeout, "r", everything); !ok {
		t.Error("a late request is not given to others")
	}
	f.Gone("r")
	if _, ok := f.Pick(Refusal, "p", everything); !ok {
		t.Error("a peer is never asked again")
	}
	if !f.Arrived("q", r, s.Answer(r)) || !f.Done() {
		t.Error("a late answer is not welcome")
	}
	if !f.Arrived("p", r, nil) {
		t.Error("an answer that came second is blamed")
	}
}

func TestAnswer(t *testing.T) {
	full, empty := swarm(t, someFile("a", 600), someFile("b", 1))
	s := NewServer(full)
	root := full.Info().Roots[0]
	for _, r := range []Request{
		{},
		{Root: full.Info().Roots[1], BaseLayer: 1, Length: 2},
		{Root: root, BaseLayer: 0, Length: 2},
		{Root: root, BaseLayer: 1, Length: 1},
		{Root: root, BaseLayer: 1, Length: 3},
		{Root: root, BaseLayer: 1, Length: 2048},
		{Root: root, BaseLayer: 1, Length: 1 << 31},
		{Root: root, BaseLayer: 1, Length: 2, Index: 1},
		{Root: root, BaseLayer: 1, Length: 2, Index: 1024},
		{Root: root, BaseLayer: 1, Length: 2, Index: 1<<32 - 2},
		{Root: root, BaseLayer: 1, Length: 2, ProofLayers: 10},
		{Root: root, BaseLayer: 1, Length: 2, ProofLayers: 1<<32 - 1},
		{Root: root, BaseLayer: 11, Length: 2},
		{Root: root, BaseLayer: 1<<32 - 1, Length: 2},
	} {
		if a := s.Answer(r); a != nil {
			t.Errorf("%+v is answered with %d hashes", r, len(a))
		}
	}
	if a := NewServer(empty).Answer(Request{Root: root, BaseLayer: 1, Length: 2}); a != nil {
		t.Error("answered without the layer")
	}
	r := Request{Root: root, BaseLayer: 3, Index: 4, Length: 4, ProofLayers: 7}
	if a := s.Answer(r); !merkle.VerifyProof(root, 8, 4, 4, a) {
		t.Error("a layer above the piece layer is not served", len(a))
	}
}
