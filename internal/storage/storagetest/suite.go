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
	for _, c := range []struct {
		name string
		test func(*testing.T, Subject)
	}{
		{"WriteVerifyRead", testWriteVerifyRead}, {"BadPiece", testBadPiece}, {"OddBlocks", testOddBlocks},
		{"Gaps", testGaps}, {"CutTail", testCutTail}, {"EmptyFilesAndLinks", testEmptyFiles}, {"Discard", testDiscard},
		{"Restart", testRestart}, {"Recheck", testRecheck}, {"ChangedFiles", testChangedFiles}, {"Longer", testLonger},
		{"Skip", testSkip}, {"SkipAcrossRestart", testSkipAcrossRestart}, {"Relocate", testRelocate},
		{"RelocateRefuses", testRelocateRefuses}, {"Rename", testRename}, {"Remove", testRemove},
		{"RemoveKeepsOthers", testRemoveKeepsOthers}, {"ReadOnly", testReadOnly}, {"Pressure", testPressure},
		{"CloseWithJobs", testCloseWithJobs}, {"Closed", testClosed}, {"Hammer", testHammer}, {"BadSpec", testBadSpec},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, factory(t)) })
	}
}

// small is content of many spans: 9 pieces of 2 blocks, the last short, in 6 files, of which one is smaller than a
// block and one longer than all others.
func small() *Content { return NewContent(files(32<<10, 50_000, 3, 16_384, 100_000, 0, 110_000), 1) }

func testWriteVerifyRead(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	o.wantSound(never)
	for _, p := range rand.Perm(o.Layout.Pieces()) {
		o.fetch(p)
		o.wantRead(p)
	}
	o.wantSound(always)
	for i := range o.Layout.Files {
		o.wantFile(o.path(i), o.File(i))
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
	o := start(t, s, small(), nil)
	wrong := append([]byte(nil), o.blockOf(1, block.Size)...)
	wrong[100]++
	o.send(1, 0, o.blockOf(1, 0))
	o.send(1, block.Size, wrong)
	o.Verify(1, false)
	r := o.box.wait(t, 1)[1]
	if r.Good || r.Err != nil || len(r.Digests) != 2 || r.Digests[0] != digest(o.blockOf(1, 0)) || r.Digests[1] != digest(wrong) {
		t.Errorf("%+v", r)
	}
	o.wantSound(never)
	o.fill(1)
	o.Verify(1, true)
	r = o.box.wait(t, 1)[1]
	if !r.Good || len(r.Digests) != 2 || r.Digests[1] != digest(o.blockOf(1, block.Size)) {
		t.Errorf("%+v", r)
	}
	o.Verify(2, false) // of which nothing is there
	if r := o.box.wait(t, 1)[2]; r.Good {
		t.Errorf("%+v", r)
	}
	o.wantSound(func(p int) bool { return p == 1 })
}

func testOddBlocks(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	wrong := make([]byte, block.Size)
	o.send(0, block.Size, o.blockOf(0, block.Size))
	for _, begin := range []int{-block.Size, 1, 2 * block.Size, block.Size} { // the last is there already
		o.send(0, begin, wrong)
	}
	o.send(0, 0, wrong[:100])
	o.send(-1, 0, wrong)
	o.send(o.Layout.Pieces(), 0, wrong)
	o.send(0, 0, o.blockOf(0, 0))
	o.send(0, 0, wrong)
	o.Verify(0, false)
	o.Verify(0, false) // one answer
	if r := o.box.wait(t, 1)[0]; !r.Good {
		t.Errorf("%+v", r)
	}
	o.send(0, 0, wrong) // sound: not touched
	o.check(o.Flush())
	o.wantRead(0)
	o.Verify(-1, false)
	o.Verify(o.Layout.Pieces(), false)
	o.Recheck([]int{-1, o.Layout.Pieces()})
	o.Discard(-1)
	o.fetch(1)
}

func testGaps(t *testing.T, s Subject) {
	l := &layout.Layout{PieceLength: 64 << 10, Size: 5 * 64 << 10, Files: []layout.File{
		{Path: "a", Offset: 0, Length: 70_000}, {Path: "b", Offset: 128 << 10, Length: 5}, {Path: "c", Offset: 140_000, Length: 30_000},
	}}
	o := start(t, s, NewContent(l, 2), nil)
	o.fetch(0, 1, 2)
	o.wantRead(0, 1, 2)
	o.Verify(4, false) // only a gap
	if r := o.box.wait(t, 1)[4]; !r.Good {
		t.Errorf("%+v", r)
	}
	o.wantRead(4)
	o = o.again(nil)
	o.wantSound(func(p int) bool { return p != 3 })
	o.recheck(o.all(), always)
	for i := range l.Files {
		o.wantFile(o.path(i), o.File(i))
	}
}

func testCutTail(t *testing.T, s Subject) {
	l := &layout.Layout{PieceLength: 32 << 10, Size: 128 << 10, CutTail: true, Files: []layout.File{
		{Path: "a", Offset: 0, Length: 40_000}, {Path: "b", Offset: 64 << 10, Length: 17_000},
	}}
	o := start(t, s, NewContent(l, 3), nil)
	o.fetch(0, 1, 2)
	o.wantRead(0, 1, 2, 3)
	o.wantFile(o.path(1), o.File(1))
}

func testEmptyFiles(t *testing.T, s Subject) {
	l := files(32<<10, 0, 40_000, 0)
	l.Files = append(l.Files, layout.File{Path: "content/link", Offset: l.Size, Symlink: "content/sub/1"})
	o := start(t, s, NewContent(l, 4), func(sp *storage.Spec) { sp.Skip = []bool{false, false, true, false} })
	o.wantFile(o.path(0), nil)
	o.wantNoFile(o.path(1))
	o.wantNoFile(o.path(2))
	o.check(o.SetSkip(2, false))
	o.wantFile(o.path(2), nil)
	o.fetch(0, 1)
	o.check(o.Remove())
	for i := range l.Files {
		o.wantNoFile(o.path(i))
	}
}

func testDiscard(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	o.send(3, 0, make([]byte, block.Size))
	o.Discard(3)
	if now, _, _ := o.pool.Lent(); now != 0 {
		t.Errorf("%d blocks lent", now)
	}
	o.send(3, 0, make([]byte, block.Size))
	o.check(o.Flush())
	o.Discard(3)
	o.fetch(3)
	o.wantRead(3)
}

func testRestart(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	o.fetch(0, 2, 4, 8)
	want := func(p int) bool { return p == 0 || p == 2 || p == 4 || p == 8 }
	o = o.again(nil)
	o.wantSound(want)
	o.wantRead(0, 2, 4, 8)
	o = o.again(nil) // nothing was written in between
	o.wantSound(want)
	o.fetch(1)
	o.check(o.Flush())
	o = o.again(func(sp *storage.Spec) { sp.Journal = "" })
	o.wantSound(never)
	o.recheck(o.all(), func(p int) bool { return want(p) || p == 1 })
	o.wantSound(func(p int) bool { return want(p) || p == 1 })
}

func testRecheck(t *testing.T, s Subject) {
	c := NewContent(files(32<<10, 100_000, 0, 500_000, 40_000, 70_000), 5)
	o := start(t, s, c, nil)
	o.fetch(o.all()...)
	o.end()
	long := append([]byte(nil), c.File(2)...)
	long[300_000]++
	s.Disk.Put(o.path(2), long)
	s.Disk.Put(o.path(3), nil)
	s.Disk.Put(o.path(4), c.File(4)[:30_000])
	bad := func(p int) bool {
		in := func(lo, hi int64) bool { return int64(p)*32<<10 < hi && int64(p+1)*32<<10 > lo }
		return in(400_000, 400_001) || in(600_000, 640_000) || in(670_000, 710_000)
	}
	o = start(t, s, c, func(sp *storage.Spec) { sp.Journal = "" })
	present := o.Present()
	for p := range present.Len() {
		if want := p <= 18 || p == 19 || p == 20; present.Has(p) != want {
			t.Errorf("piece %d present: %v", p, present.Has(p))
		}
	}
	good := func(p int) bool { return !bad(p) }
	o.recheck(o.all(), good)
	o.wantSound(good)
	for _, p := range o.all() {
		if bad(p) {
			o.fetch(p)
		}
	}
	o.recheck(o.all(), always)
	for i := range c.Layout.Files {
		o.wantFile(o.path(i), c.File(i))
	}
}

// Files that changed while the content was closed are no longer vouched for; the journal takes note of what a recheck
// says.
func testChangedFiles(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	o.fetch(o.all()...)
	o.end()
	s.Disk.Put(o.path(3), append([]byte("x"), o.File(3)[1:]...)) // bytes 66,387 to 166,387: pieces 2 to 5
	touched := func(p int) bool { return p < 2 || p > 5 }
	o = start(t, s, o.Content, nil)
	o.wantSound(touched)
	o.recheck([]int{2, 3, 4, 5}, func(p int) bool { return p != 2 })
	want := func(p int) bool { return p != 2 }
	o.wantSound(want)
	o = o.again(nil)
	o.wantSound(want)
	s.Disk.Put(o.path(5), o.File(5)[:10]) // while open
	o.recheck([]int{5, 6, 7}, never)
	o = o.again(nil)
	o.wantSound(func(p int) bool { return p != 2 && p < 5 }) // piece 8 reaches beyond the 10 bytes too
}

// A file that is longer than its content says is cut only when all its pieces are good.
func testLonger(t *testing.T, s Subject) {
	c := small()
	root := filepath.Join(s.Dir, "root")
	name := filepath.Join(root, filepath.FromSlash(c.Layout.Files[0].Path))
	s.Disk.Put(name, make([]byte, 60_000))
	o := start(t, s, c, nil)
	o.fetch(0)
	if b, _ := s.Disk.Get(name); len(b) != 60_000 {
		t.Errorf("%d bytes", len(b))
	}
	o.fetch(1)
	o.wantFile(name, c.File(0))
}

func testSkip(t *testing.T, s Subject) {
	// Piece 1 has the end of file 0, file 1 and most of 2; piece 2 the rest and the start of 3; piece 5 its end and the
	// start of 5.
	o := start(t, s, small(), func(sp *storage.Spec) { sp.Skip = []bool{false, true, true, true, false, false} })
	o.fetch(0, 1, 5)
	o.wantRead(0, 1, 5)
	for i := 1; i < 4; i++ {
		o.wantNoFile(o.path(i))
	}
	o.wantFile(o.path(0), o.File(0))
	o.check(o.Flush())
	o.send(2, 0, o.blockOf(2, 0))
	o.check(o.Flush()) // a block that is not verified lies aside too, and moves with the file
	o.check(o.SetSkip(1, false))
	o.check(o.SetSkip(3, false))
	o.wantFile(o.path(1), o.File(1))
	o.wantRead(0, 1, 5)
	o.send(2, block.Size, o.blockOf(2, block.Size))
	o.Verify(2, false)
	if r := o.box.wait(t, 1)[2]; !r.Good {
		t.Errorf("%+v", r)
	}
	o.fetch(3, 4)
	o.wantFile(o.path(3), o.File(3))
	o.wantNoFile(o.path(2))
	o.check(o.SetSkip(3, true)) // exists: stays
	o.check(o.SetSkip(2, false))
	o.wantFile(o.path(2), o.File(2))
	o.fetch(6, 7, 8)
	o.recheck(o.all(), always)
	if err := o.SetSkip(6, true); err == nil {
		t.Error("there is no file 6")
	}
	if err := o.SetSkip(-1, true); err == nil {
		t.Error("there is no file -1")
	}
}

func testSkipAcrossRestart(t *testing.T, s Subject) {
	o := start(t, s, small(), func(sp *storage.Spec) { sp.Skip = []bool{false, true, true, true, false, false} })
	o.fetch(0, 1, 2)
	want := func(p int) bool { return p < 3 }
	o = o.again(nil)
	o.wantSound(want)
	o.wantRead(0, 1, 2)
	o.check(o.Relocate(filepath.Join(s.Dir, "elsewhere")))
	o.spec.Root = filepath.Join(s.Dir, "elsewhere")
	o.wantRead(0, 1, 2)
	o = o.again(nil)
	o.wantSound(want)
	o.spec.Skip = nil // wanted at the next start
	o = o.again(nil)
	o.wantSound(want)
	o.wantFile(o.path(1), o.File(1))
	o.wantFile(o.path(2), o.File(2))
	o.recheck([]int{0, 1, 2}, always)
}

func testRelocate(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	old := o.path(0)
	o.fetch(0, 1, 8)
	o.send(2, 0, o.blockOf(2, 0))
	o.check(o.Relocate(o.spec.Root)) // where it is
	o.spec.Root = filepath.Join(s.Dir, "new", "root")
	o.check(o.Relocate(o.spec.Root))
	o.wantNoFile(old)
	o.wantFile(o.path(0), o.File(0))
	o.wantRead(0, 1, 8)
	o.send(2, block.Size, o.blockOf(2, block.Size))
	o.Verify(2, false)
	if r := o.box.wait(t, 1)[2]; !r.Good {
		t.Errorf("%+v", r)
	}
	o.fetch(3)
	o = o.again(nil)
	o.wantSound(func(p int) bool { return p < 4 || p == 8 })
	o.fetch(4, 5, 6, 7)
	for i := range o.Layout.Files {
		o.wantFile(o.path(i), o.File(i))
	}
}

func testRelocateRefuses(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	o.fetch(o.all()...)
	root := filepath.Join(s.Dir, "new")
	theirs := filepath.Join(root, "content", "sub", "3")
	s.Disk.Put(theirs, []byte("theirs"))
	if err := o.Relocate(root); err == nil {
		t.Fatal("replaced a file")
	}
	o.wantFile(theirs, []byte("theirs"))
	for i := range o.Layout.Files {
		o.wantFile(o.path(i), o.File(i))
	}
	o.wantNoFile(filepath.Join(root, "content", "0"))
	o.wantRead(o.all()...)
	o = o.again(nil)
	o.wantSound(always)
}

func testRename(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	o.fetch(0, 1)
	o.check(o.Rename(0, "content/x/y"))
	o.check(o.Rename(3, "z")) // aside of nothing yet
	y := filepath.Join(o.spec.Root, "content", "x", "y")
	o.wantNoFile(o.path(0))
	o.wantFile(y, o.File(0))
	o.wantRead(0, 1)
	for _, bad := range []string{"", ".", "..", "../x", "/x", "a/../b", "content/sub/5", "z", "content/x/y", ".shoal-parts/x"} {
		if err := o.Rename(1, bad); err == nil {
			t.Errorf("renamed to %q", bad)
		}
	}
	theirs := filepath.Join(o.spec.Root, "theirs")
	s.Disk.Put(theirs, []byte("theirs"))
	if err := o.Rename(1, "theirs"); err == nil {
		t.Error("replaced a file")
	}
	o.wantFile(theirs, []byte("theirs"))
	if err := o.Rename(6, "a"); err == nil {
		t.Error("there is no file 6")
	}
	o = o.again(nil)
	o.wantSound(func(p int) bool { return p < 2 })
	o.fetch(2, 3, 4, 5)
	o.check(o.Rename(0, "w"))
	o = o.again(nil)
	o.wantSound(func(p int) bool { return p < 6 })
	o.wantFile(filepath.Join(o.spec.Root, "w"), o.File(0))
	o.wantFile(filepath.Join(o.spec.Root, "z"), o.File(3))
}

func testRemove(t *testing.T, s Subject) {
	o := start(t, s, small(), func(sp *storage.Spec) { sp.Skip = []bool{false, true, false, false, false, false} })
	theirs := filepath.Join(o.spec.Root, "content", "sub", "theirs")
	s.Disk.Put(theirs, []byte("theirs"))
	o.fetch(0, 1, 2)
	o.fill(3)
	o.check(o.Remove())
	for i := range o.Layout.Files {
		o.wantNoFile(o.path(i))
	}
	o.wantFile(theirs, []byte("theirs"))
	o.wantNoFile(o.spec.Journal)
	o = o.again(nil)
	o.wantSound(never)
	if p := o.Present(); p.Count() != 0 {
		t.Errorf("%d pieces present", p.Count())
	}
}

func testRemoveKeepsOthers(t *testing.T, s Subject) {
	a := start(t, s, small(), nil)
	other := NewContent(files(32<<10, 70_000), 9)
	other.Layout.Files[0].Path = "other"
	box := newBox()
	h, err := a.st.Open(storage.Spec{Layout: other.Layout, Root: a.spec.Root, NewSum: other.Sum, Done: box.Done})
	a.check(err)
	if err := a.st.Close(); err == nil {
		t.Error("closed with content open")
	}
	b := &open{Content: other, Handle: h, t: t, s: s, pool: a.pool, st: a.st, box: box}
	b.fetch(0, 1, 2)
	a.fetch(0)
	a.check(a.Remove())
	b.wantRead(0, 1, 2)
	a.check(h.Close())
}

func testReadOnly(t *testing.T, s Subject) {
	c := small()
	root := filepath.Join(s.Dir, "root")
	for i, f := range c.Layout.Files {
		if i != 2 && i != 4 {
			s.Disk.Put(filepath.Join(root, filepath.FromSlash(f.Path)), append(append([]byte(nil), c.File(i)...), "more"...))
		}
	}
	o := start(t, s, c, func(sp *storage.Spec) { sp.ReadOnly = true })
	o.recheck(o.all(), func(p int) bool { return p < 1 || p > 2 })
	o.wantRead(0, 3, 4, 5, 6, 7, 8)
	o.fill(1)
	o.Verify(1, false)
	if r := o.box.wait(t, 1)[1]; !errors.Is(r.Err, storage.ErrReadOnly) || r.Good {
		t.Errorf("%+v", r)
	}
	for _, err := range []error{o.Rename(0, "x"), o.Relocate(filepath.Join(s.Dir, "y"))} {
		if !errors.Is(err, storage.ErrReadOnly) {
			t.Error(err)
		}
	}
	o.check(o.SetSkip(4, false))
	o.check(o.Flush())
	o.wantNoFile(o.path(2))
	o.wantNoFile(o.path(4))
	o = o.again(func(sp *storage.Spec) { sp.ReadOnly = true })
	o.wantSound(func(p int) bool { return p < 1 || p > 2 })
	o.check(o.Remove())
	o.wantFile(o.path(0), append(append([]byte(nil), c.File(0)...), "more"...))
}

// Pieces of 4 MiB pass through a pool of 1 MiB, several at a time, while readers wait for blocks.
func testPressure(t *testing.T, s Subject) {
	c := NewContent(files(4<<20, 3<<20, 9<<20, 2<<20), 6)
	o := start(t, s, c, nil)
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			for p := range c.Layout.Pieces() {
				for i := reader; i < c.Layout.Blocks(p); i += 4 {
					o.send(p, i*block.Size, o.blockOf(p, i*block.Size))
				}
			}
		})
	}
	wg.Wait()
	if _, peak, limit := o.pool.Lent(); peak > limit || limit != 64 {
		t.Errorf("%d blocks of %d", peak, limit)
	}
	for p := range c.Layout.Pieces() {
		o.Verify(p, p == 1)
	}
	for p, r := range o.box.wait(t, c.Layout.Pieces()) {
		if !r.Good || r.Err != nil || (p == 1) != (len(r.Digests) == c.Layout.Blocks(p)) {
			t.Errorf("piece %d: good %v, %v, %d digests", p, r.Good, r.Err, len(r.Digests))
		}
	}
	o.wantRead(o.all()...)
	for i := range c.Layout.Files {
		o.wantFile(o.path(i), c.File(i))
	}
}

func testCloseWithJobs(t *testing.T, s Subject) {
	c := NewContent(files(32<<10, 1<<20), 7)
	o := start(t, s, c, nil)
	for p := range 20 {
		o.fill(p)
		if p < 15 {
			o.Verify(p, false)
		}
	}
	o.Recheck(o.all())
	o.end()
	o = start(t, s, c, nil)
	set := o.Sound()
	for p := range 15 {
		if !set.Has(p) {
			t.Errorf("piece %d was being verified and is not sound", p)
		}
	}
	o.recheck(o.all(), func(p int) bool { return p < 15 })
}

func testClosed(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	o.fetch(0)
	o.check(o.Handle.Close())
	o.fill(1)
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
	o.check(o.Handle.Close())
	o.check(o.st.Close())
	if _, err := o.st.Open(o.spec); !errors.Is(err, storage.ErrClosed) {
		t.Error(err)
	}
}

// Everything at once: readers, writers, moves, syncs and rechecks. The content must come out whole.
func testHammer(t *testing.T, s Subject) {
	c := NewContent(files(64<<10, 300_000, 7, 2_000_000, 0, 900_000, 100), 8)
	o := start(t, s, c, nil)
	roots := []string{o.spec.Root, filepath.Join(s.Dir, "other")}
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
				o.wantRead(p)
			}
			return nil
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for p := w; p < c.Layout.Pieces(); p += 2 {
				if p%5 == 0 {
					o.send(p, 0, make([]byte, block.Size))
					o.Discard(p)
				}
				o.fill(p)
				o.fill(p)
				o.Verify(p, false)
			}
		})
	}
	writers.Wait()
	for p, r := range o.box.wait(t, c.Layout.Pieces()) {
		if !r.Good {
			t.Errorf("piece %d: %+v", p, r)
		}
	}
	close(stop)
	others.Wait()
	o.recheck(o.all(), always)
	o.check(o.Relocate(roots[0]))
	o = o.again(nil)
	o.wantSound(always)
	o.wantRead(o.all()...)
}

func testBadSpec(t *testing.T, s Subject) {
	o := start(t, s, small(), nil)
	for _, change := range []func(*storage.Spec){
		func(sp *storage.Spec) { sp.Skip = make([]bool, 5) },
		func(sp *storage.Spec) { sp.Layout = files(0, 5) },
		func(sp *storage.Spec) { l := files(32<<10, 5); l.Files[0].Path = "../x"; sp.Layout = l },
		func(sp *storage.Spec) { l := files(32<<10, 5); l.Files[0].Path = "/x"; sp.Layout = l },
		func(sp *storage.Spec) { l := files(32<<10, 5); l.Files[0].Path = ".Shoal-Parts/x"; sp.Layout = l },
	} {
		spec := o.spec
		change(&spec)
		if _, err := o.st.Open(spec); err == nil {
			t.Errorf("opened %+v", spec)
		}
	}
}
