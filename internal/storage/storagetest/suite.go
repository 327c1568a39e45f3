package storagetest

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"shoal/internal/block"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

// Run runs the suite. The factory is called for each test.
func Run(t *testing.T, factory func(*testing.T) Subject) {
	run(t, factory, []conformance{
		{"WriteVerifyRead", testWriteVerifyRead}, {"BadPiece", testBadPiece}, {"OddBlocks", testOddBlocks}, {"Together", testTogether},
		{"Gaps", testGaps}, {"CutTail", testCutTail}, {"EmptyFilesAndLinks", testEmptyFiles}, {"Discard", testDiscard},
		{"Restart", testRestart}, {"Recheck", testRecheck}, {"ChangedFiles", testChangedFiles}, {"Longer", testLonger},
		{"Skip", testSkip}, {"SkipAcrossRestart", testSkipAcrossRestart}, {"Relocate", testRelocate},
		{"RelocateRefuses", testRelocateRefuses}, {"Rename", testRename}, {"Remove", testRemove},
		{"RemoveKeepsOthers", testRemoveKeepsOthers}, {"ReadOnly", testReadOnly}, {"Pressure", testPressure},
		{"CloseWithJobs", testCloseWithJobs}, {"Closed", testClosed}, {"Hammer", testHammer}, {"BadSpec", testBadSpec},
	})
}

// RunVolatile runs what applies to a store that is Volatile.
func RunVolatile(t *testing.T, factory func(*testing.T) Subject) {
	run(t, factory, []conformance{
		{"WriteVerifyRead", testWriteVerifyRead}, {"BadPiece", testBadPiece}, {"OddBlocks", testOddBlocks}, {"Together", testTogether},
		{"CutTail", testCutTail}, {"Discard", testDiscard}, {"Closed", testClosed}, {"Hammer", testHammer}, {"BadSpec", testBadSpec},
	})
}

type conformance struct {
	name string
	test func(*testing.T, Subject)
}

func run(t *testing.T, factory func(*testing.T) Subject, tests []conformance) {
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) { c.test(t, factory(t)) })
	}
}

// Small is content of many spans: 9 pieces of 2 blocks, the last short, in 6 files, of which one is smaller than a
// block and one longer than all others.
func Small() *Content { return NewContent(Layout(32<<10, 50_000, 3, 16_384, 100_000, 0, 110_000), 1) }

func testWriteVerifyRead(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	o.WantSound(Never)
	for _, p := range rand.Perm(o.Layout.Pieces()) {
		o.Fetch(p)
		o.WantRead(p)
	}
	o.WantSound(Always)
	for i := range o.Layout.Files {
		o.WantFile(o.Path(i), o.File(i))
	}
	got := make([]byte, 100)
	if err := o.ReadAt(got, o.Layout.Size-50); err == nil {
		t.Error("reads beyond the end")
	}
	if err := o.ReadAt(got, -1); err == nil {
		t.Error("reads before the start")
	}
	if free, mount, err := o.Room(); free <= 0 || mount == "" || err != nil {
		t.Error(free, mount, err)
	}
}

func testBadPiece(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	wrong := append([]byte(nil), o.BlockOf(1, block.Size)...)
	wrong[100]++
	o.Send(1, 0, o.BlockOf(1, 0))
	o.Send(1, block.Size, wrong)
	o.Verify(1, false)
	r := o.Box.Wait(t, 1)[1]
	if r.Good || r.Err != nil || len(r.Digests) != 2 || r.Digests[0] != digest(o.BlockOf(1, 0)) || r.Digests[1] != digest(wrong) {
		t.Errorf("%+v", r)
	}
	o.WantSound(Never)
	o.Fill(1)
	o.Verify(1, true)
	r = o.Box.Wait(t, 1)[1]
	if !r.Good || len(r.Digests) != 2 || r.Digests[1] != digest(o.BlockOf(1, block.Size)) {
		t.Errorf("%+v", r)
	}
	o.Verify(2, false) // of which nothing is there
	if r := o.Box.Wait(t, 1)[2]; r.Good {
		t.Errorf("%+v", r)
	}
	o.WantSound(func(p int) bool { return p == 1 })
}

// gated is a Sum that waits for a gate to open before it begins.
type gated struct {
	storage.Sum
	gate <-chan struct{}
}

func (g gated) Reset(a, b int) {
	<-g.gate
	g.Sum.Reset(a, b)
}

func testOddBlocks(t *testing.T, s Subject) {
	c, gate := Small(), make(chan struct{})
	o := Start(t, s, c, func(sp *storage.Spec) { sp.NewSum = func() storage.Sum { return gated{c.Sum(), gate} } })
	wrong := make([]byte, block.Size)
	o.Send(0, block.Size, o.BlockOf(0, block.Size))
	for _, begin := range []int{-block.Size, 1, 2 * block.Size, block.Size} { // the last is there already
		o.Send(0, begin, wrong)
	}
	o.Send(0, 0, wrong[:100])
	o.Send(-1, 0, wrong)
	o.Send(o.Layout.Pieces(), 0, wrong)
	o.Send(0, 0, o.BlockOf(0, 0))
	o.Send(0, 0, wrong)
	o.Verify(0, false)
	o.Verify(0, false)  // one answer
	o.Send(0, 0, wrong) // too late
	o.Discard(0)
	close(gate)
	if r := o.Box.Wait(t, 1)[0]; !r.Good {
		t.Errorf("%+v", r)
	}
	o.Send(0, 0, wrong) // sound: not touched
	o.Check(o.Flush())
	o.WantRead(0)
	o.Verify(-1, false)
	o.Verify(o.Layout.Pieces(), false)
	o.Recheck([]int{-1, o.Layout.Pieces()})
	o.Discard(-1)
	o.Fetch(1)
}

// testTogether has many pieces wait for the workers, which take them in twos.
func testTogether(t *testing.T, s Subject) {
	c, gate := NewContent(&layout.Layout{PieceLength: 32 << 10, Size: 12*32<<10 + 100, Files: []layout.File{{Path: "f", Length: 12*32<<10 + 100}}}, 5), make(chan struct{})
	o := Start(t, s, c, func(sp *storage.Spec) { sp.NewSum = func() storage.Sum { return gated{c.Sum(), gate} } })
	bad := func(p int) bool { return p == 3 || p == 8 || p == 9 || p == 12 }
	for p := range o.Layout.Pieces() {
		o.Fill(p)
		if bad(p) {
			o.Discard(p)
			for begin := 0; begin < o.Layout.DataLen(p); begin += block.Size {
				o.Send(p, begin, make([]byte, o.Layout.BlockLen(p, begin)))
			}
		}
		o.Verify(p, p == 5)
	}
	close(gate)
	for p, r := range o.Box.Wait(t, o.Layout.Pieces()) {
		if r.Good == bad(p) || r.Err != nil || (r.Digests != nil) != (bad(p) || p == 5) {
			t.Errorf("piece %d: %+v", p, r)
		}
		if !bad(p) {
			o.WantRead(p)
		}
	}
	all := make([]int, o.Layout.Pieces())
	for p := range all {
		all[p] = p
	}
	o.WantRecheck(all, func(p int) bool { return !bad(p) })
}

func testGaps(t *testing.T, s Subject) {
	l := &layout.Layout{PieceLength: 64 << 10, Size: 5 * 64 << 10, Files: []layout.File{
		{Path: "a", Offset: 0, Length: 70_000}, {Path: "b", Offset: 128 << 10, Length: 5}, {Path: "c", Offset: 140_000, Length: 30_000},
	}}
	o := Start(t, s, NewContent(l, 2), nil)
	o.Fetch(0, 1, 2)
	o.WantRead(0, 1, 2)
	o.Verify(4, false) // only a gap
	if r := o.Box.Wait(t, 1)[4]; !r.Good {
		t.Errorf("%+v", r)
	}
	o.WantRead(4)
	o = o.Restart(nil)
	o.WantSound(func(p int) bool { return p != 3 })
	o.WantRecheck(o.All(), Always)
	for i := range l.Files {
		o.WantFile(o.Path(i), o.File(i))
	}
}

func testCutTail(t *testing.T, s Subject) {
	l := &layout.Layout{PieceLength: 32 << 10, Size: 128 << 10, CutTail: true, Files: []layout.File{
		{Path: "a", Offset: 0, Length: 40_000}, {Path: "b", Offset: 64 << 10, Length: 17_000},
	}}
	o := Start(t, s, NewContent(l, 3), nil)
	o.Fetch(0, 1, 2)
	o.WantRead(0, 1, 2, 3)
	o.WantFile(o.Path(1), o.File(1))
}

func testEmptyFiles(t *testing.T, s Subject) {
	l := Layout(32<<10, 0, 40_000, 0)
	l.Files = append(l.Files, layout.File{Path: "content/link", Offset: l.Size, Symlink: "content/sub/1"})
	o := Start(t, s, NewContent(l, 4), func(sp *storage.Spec) { sp.Skip = []bool{false, false, true, false} })
	o.WantFile(o.Path(0), nil)
	o.WantNoFile(o.Path(1))
	o.WantNoFile(o.Path(2))
	o.Check(o.SetSkip(2, false))
	o.WantFile(o.Path(2), nil)
	o.Fetch(0, 1)
	o.Check(o.Remove())
	for i := range l.Files {
		o.WantNoFile(o.Path(i))
	}
}

func testDiscard(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	o.Send(3, 0, make([]byte, block.Size))
	o.Discard(3)
	if now, _, _ := o.Pool.Lent(); now != 0 {
		t.Errorf("%d blocks lent", now)
	}
	o.Send(3, 0, make([]byte, block.Size))
	o.Check(o.Flush())
	o.Discard(3)
	o.Fetch(3)
	o.WantRead(3)
}

func testRestart(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	o.Fetch(0, 2, 4, 8)
	want := func(p int) bool { return p == 0 || p == 2 || p == 4 || p == 8 }
	o = o.Restart(nil)
	o.WantSound(want)
	o.WantRead(0, 2, 4, 8)
	o = o.Restart(nil) // nothing was written in between
	o.WantSound(want)
	o.Fetch(1)
	o.Check(o.Flush())
	o = o.Restart(func(sp *storage.Spec) { sp.Journal = "" })
	o.WantSound(Never)
	o.WantRecheck(o.All(), func(p int) bool { return want(p) || p == 1 })
	o.WantSound(func(p int) bool { return want(p) || p == 1 })
}

func testRecheck(t *testing.T, s Subject) {
	c := NewContent(Layout(32<<10, 100_000, 0, 500_000, 40_000, 70_000), 5)
	o := Start(t, s, c, nil)
	o.Fetch(o.All()...)
	o.End()
	long := append([]byte(nil), c.File(2)...)
	long[300_000]++
	s.Disk.Put(o.Path(2), long)
	s.Disk.Put(o.Path(3), nil)
	s.Disk.Put(o.Path(4), c.File(4)[:30_000])
	bad := func(p int) bool {
		in := func(lo, hi int64) bool { return int64(p)*32<<10 < hi && int64(p+1)*32<<10 > lo }
		return in(400_000, 400_001) || in(600_000, 640_000) || in(670_000, 710_000)
	}
	o = Start(t, s, c, func(sp *storage.Spec) { sp.Journal = "" })
	present := o.Present()
	for p := range present.Len() {
		if want := p <= 18 || p == 19 || p == 20; present.Has(p) != want {
			t.Errorf("piece %d present: %v", p, present.Has(p))
		}
	}
	good := func(p int) bool { return !bad(p) }
	o.Send(0, 0, make([]byte, block.Size)) // not to be written over what is found good
	o.WantRecheck(o.All(), good)
	o.WantSound(good)
	o.Check(o.Flush())
	o.WantRead(0)
	for _, p := range o.All() {
		if bad(p) {
			o.Fetch(p)
		}
	}
	o.WantRecheck(o.All(), Always)
	for i := range c.Layout.Files {
		o.WantFile(o.Path(i), c.File(i))
	}
}

// Files that changed while the content was closed are no longer vouched for; the journal takes note of what a recheck
// says.
func testChangedFiles(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	o.Fetch(o.All()...)
	o.End()
	s.Disk.Put(o.Path(3), append([]byte("x"), o.File(3)[1:]...)) // bytes 66,387 to 166,387: pieces 2 to 5
	touched := func(p int) bool { return p < 2 || p > 5 }
	o = Start(t, s, o.Content, nil)
	o.WantSound(touched)
	o.WantRecheck([]int{2, 3, 4, 5}, func(p int) bool { return p != 2 })
	want := func(p int) bool { return p != 2 }
	o.WantSound(want)
	o = o.Restart(nil)
	o.WantSound(want)
	s.Disk.Put(o.Path(5), o.File(5)[:10]) // while open
	o.WantRecheck([]int{5, 6, 7}, Never)
	o = o.Restart(nil)
	o.WantSound(func(p int) bool { return p != 2 && p < 5 }) // piece 8 reaches beyond the 10 bytes too
}

// A file that is longer than its content says is cut only when all its pieces are good.
func testLonger(t *testing.T, s Subject) {
	c := Small()
	root := filepath.Join(s.Dir, "root")
	name := filepath.Join(root, filepath.FromSlash(c.Layout.Files[0].Path))
	s.Disk.Put(name, make([]byte, 60_000))
	o := Start(t, s, c, nil)
	o.Fetch(0)
	if b, _ := s.Disk.Get(name); len(b) != 60_000 {
		t.Errorf("%d bytes", len(b))
	}
	o.Fetch(1)
	o.WantFile(name, c.File(0))
}

// Pieces of 4 MiB pass through a pool of 1 MiB, several at a time, while readers wait for blocks.
func testPressure(t *testing.T, s Subject) {
	c := NewContent(Layout(4<<20, 3<<20, 9<<20, 2<<20), 6)
	o := Start(t, s, c, nil)
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			for p := range c.Layout.Pieces() {
				for i := reader; i < c.Layout.Blocks(p); i += 4 {
					o.Send(p, i*block.Size, o.BlockOf(p, i*block.Size))
				}
			}
		})
	}
	wg.Wait()
	if _, peak, limit := o.Pool.Lent(); peak > limit || limit != 64 {
		t.Errorf("%d blocks of %d", peak, limit)
	}
	for p := range c.Layout.Pieces() {
		o.Verify(p, p == 1)
	}
	for p, r := range o.Box.Wait(t, c.Layout.Pieces()) {
		if !r.Good || r.Err != nil || (p == 1) != (len(r.Digests) == c.Layout.Blocks(p)) {
			t.Errorf("piece %d: good %v, %v, %d digests", p, r.Good, r.Err, len(r.Digests))
		}
	}
	o.WantRead(o.All()...)
	for i := range c.Layout.Files {
		o.WantFile(o.Path(i), c.File(i))
	}
}

func testCloseWithJobs(t *testing.T, s Subject) {
	c := NewContent(Layout(32<<10, 1<<20), 7)
	o := Start(t, s, c, nil)
	for p := range 20 {
		o.Fill(p)
		if p < 15 {
			o.Verify(p, false)
		}
	}
	o.Recheck(o.All())
	o.End()
	o = Start(t, s, c, nil)
	set := o.Sound()
	for p := range 15 {
		if !set.Has(p) {
			t.Errorf("piece %d was being verified and is not sound", p)
		}
	}
	o.WantRecheck(o.All(), func(p int) bool { return p < 15 })
}

func testClosed(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	o.Fetch(0)
	o.Check(o.Handle.Close())
	o.Fill(1)
	o.Verify(1, false)
	o.Recheck([]int{0})
	o.Discard(1)
	for i, err := range []error{
		o.ReadAt(make([]byte, 1), 0), o.Flush(), o.Rename(0, "x"), o.Relocate(filepath.Join(s.Dir, "y")), o.SetSkip(0, true), o.Remove(),
	} {
		if !errors.Is(err, storage.ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	o.Check(o.Handle.Close())
	o.Check(o.Store.Close())
	if _, err := o.Store.Open(o.Spec); !errors.Is(err, storage.ErrClosed) {
		t.Error(err)
	}
}

// Everything at once: readers, writers, moves, syncs and rechecks. The content must come out whole.
func testHammer(t *testing.T, s Subject) {
	c := NewContent(Layout(64<<10, 300_000, 7, 2_000_000, 0, 900_000, 100), 8)
	o := Start(t, s, c, nil)
	roots := []string{o.Spec.Root, filepath.Join(s.Dir, "other")}
	stop := make(chan struct{})
	var others, writers sync.WaitGroup
	loop := func(f func(int) error) {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					if err := f(i); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	loop(func(i int) error { return o.Relocate(roots[(i+1)%2]) })
	loop(func(i int) error { return o.SetSkip(i%3*2, i%2 == 0) })
	loop(func(i int) error { return o.Rename(5, []string{"p", "q"}[i%2]) })
	loop(func(int) error { return o.Flush() })
	for range 2 {
		loop(func(int) error {
			if set := o.Sound(); set.Count() > 0 {
				p := rand.IntN(set.Len())
				for !set.Has(p) {
					p = (p + 1) % set.Len()
				}
				o.WantRead(p)
			}
			return nil
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for p := w; p < c.Layout.Pieces(); p += 2 {
				if p%5 == 0 {
					o.Send(p, 0, make([]byte, block.Size))
					o.Discard(p)
				}
				o.Fill(p)
				o.Fill(p)
				o.Verify(p, false)
			}
		})
	}
	writers.Wait()
	for p, r := range o.Box.Wait(t, c.Layout.Pieces()) {
		if !r.Good {
			t.Errorf("piece %d: %+v", p, r)
		}
	}
	close(stop)
	others.Wait()
	o.WantRecheck(o.All(), Always)
	o.Check(o.Relocate(roots[0]))
	if s.Volatile {
		return
	}
	o = o.Restart(nil)
	o.WantSound(Always)
	o.WantRead(o.All()...)
}

func testBadSpec(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	for _, change := range []func(*storage.Spec){
		func(sp *storage.Spec) { sp.Skip = make([]bool, 5) },
		func(sp *storage.Spec) { sp.Layout = Layout(0, 5) },
		func(sp *storage.Spec) { l := Layout(32<<10, 5); l.Files[0].Path = "../x"; sp.Layout = l },
		func(sp *storage.Spec) { l := Layout(32<<10, 5); l.Files[0].Path = "/x"; sp.Layout = l },
		func(sp *storage.Spec) { l := Layout(32<<10, 5); l.Files[0].Path = ".Shoal-Parts/x"; sp.Layout = l },
	} {
		spec := o.Spec
		change(&spec)
		if _, err := o.Store.Open(spec); err == nil {
			t.Errorf("opened %+v", spec)
		}
	}
}
