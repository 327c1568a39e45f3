package storagetest

import (
	"errors"
	"path/filepath"
	"testing"

	"shoal/internal/block"
	"shoal/internal/storage"
)

func testSkip(t *testing.T, s Subject) {
	// Piece 1 has the end of file 0, file 1 and most of 2; piece 2 the rest and the start of 3; piece 5 its end and the
	// start of 5.
	o := Start(t, s, Small(), func(sp *storage.Spec) { sp.Skip = []bool{false, true, true, true, false, false} })
	o.Fetch(0, 1, 5)
	o.WantRead(0, 1, 5)
	for i := 1; i < 4; i++ {
		o.WantNoFile(o.Path(i))
	}
	o.WantFile(o.Path(0), o.File(0))
	o.Check(o.Flush())
	o.Send(2, 0, o.BlockOf(2, 0))
	o.Check(o.Flush()) // a block that is not verified lies aside too, and moves with the file
	o.Check(o.SetSkip(1, false))
	o.Check(o.SetSkip(3, false))
	o.WantFile(o.Path(1), o.File(1))
	o.WantRead(0, 1, 5)
	o.Send(2, block.Size, o.BlockOf(2, block.Size))
	o.Verify(2, false)
	if r := o.Box.Wait(t, 1)[2]; !r.Good {
		t.Errorf("%+v", r)
	}
	o.Fetch(3, 4)
	o.WantFile(o.Path(3), o.File(3))
	o.WantNoFile(o.Path(2))
	o.Check(o.SetSkip(3, true)) // exists: stays
	o.Check(o.SetSkip(2, false))
	o.WantFile(o.Path(2), o.File(2))
	o.Fetch(6, 7, 8)
	o.WantRecheck(o.All(), Always)
	if err := o.SetSkip(6, true); err == nil {
		t.Error("there is no file 6")
	}
	if err := o.SetSkip(-1, true); err == nil {
		t.Error("there is no file -1")
	}
}

func testSkipAcrossRestart(t *testing.T, s Subject) {
	o := Start(t, s, Small(), func(sp *storage.Spec) { sp.Skip = []bool{false, true, true, true, false, false} })
	o.Fetch(0, 1, 2)
	want := func(p int) bool { return p < 3 }
	o = o.Restart(nil)
	o.WantSound(want)
	o.WantRead(0, 1, 2)
	o.Check(o.Relocate(filepath.Join(s.Dir, "elsewhere")))
	o.Spec.Root = filepath.Join(s.Dir, "elsewhere")
	o.WantRead(0, 1, 2)
	o = o.Restart(nil)
	o.WantSound(want)
	o.Spec.Skip = nil // wanted at the next start
	o = o.Restart(nil)
	o.WantSound(want)
	o.WantFile(o.Path(1), o.File(1))
	o.WantFile(o.Path(2), o.File(2))
	o.WantRecheck([]int{0, 1, 2}, Always)
}

func testRelocate(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	old := o.Path(0)
	o.Fetch(0, 1, 8)
	o.Send(2, 0, o.BlockOf(2, 0))
	o.Check(o.Relocate(o.Spec.Root)) // where it is
	o.Spec.Root = filepath.Join(s.Dir, "new", "root")
	o.Check(o.Relocate(o.Spec.Root))
	o.WantNoFile(old)
	o.WantFile(o.Path(0), o.File(0))
	o.WantRead(0, 1, 8)
	o.Send(2, block.Size, o.BlockOf(2, block.Size))
	o.Verify(2, false)
	if r := o.Box.Wait(t, 1)[2]; !r.Good {
		t.Errorf("%+v", r)
	}
	o.Fetch(3)
	o = o.Restart(nil)
	o.WantSound(func(p int) bool { return p < 4 || p == 8 })
	o.Fetch(4, 5, 6, 7)
	for i := range o.Layout.Files {
		o.WantFile(o.Path(i), o.File(i))
	}
}

func testRelocateRefuses(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	o.Fetch(o.All()...)
	root := filepath.Join(s.Dir, "new")
	theirs := filepath.Join(root, "content", "sub", "3")
	s.Disk.Put(theirs, []byte("theirs"))
	if err := o.Relocate(root); err == nil {
		t.Fatal("replaced a file")
	}
	o.WantFile(theirs, []byte("theirs"))
	for i := range o.Layout.Files {
		o.WantFile(o.Path(i), o.File(i))
	}
	o.WantNoFile(filepath.Join(root, "content", "0"))
	o.WantRead(o.All()...)
	o = o.Restart(nil)
	o.WantSound(Always)
}

func testRename(t *testing.T, s Subject) {
	o := Start(t, s, Small(), nil)
	o.Fetch(0, 1)
	o.Check(o.Rename(0, "content/x/y"))
	o.Check(o.Rename(3, "z")) // aside of nothing yet
	y := filepath.Join(o.Spec.Root, "content", "x", "y")
	o.WantNoFile(o.Path(0))
	o.WantFile(y, o.File(0))
	o.WantRead(0, 1)
	for _, bad := range []string{"", ".", "..", "../x", "/x", "a/../b", "content/sub/5", "z", "content/x/y", ".shoal-parts/x"} {
		if err := o.Rename(1, bad); err == nil {
			t.Errorf("renamed to %q", bad)
		}
	}
	theirs := filepath.Join(o.Spec.Root, "theirs")
	s.Disk.Put(theirs, []byte("theirs"))
	if err := o.Rename(1, "theirs"); err == nil {
		t.Error("replaced a file")
	}
	o.WantFile(theirs, []byte("theirs"))
	if err := o.Rename(6, "a"); err == nil {
		t.Error("there is no file 6")
	}
	o = o.Restart(nil)
	o.WantSound(func(p int) bool { return p < 2 })
	o.Fetch(2, 3, 4, 5)
	o.Check(o.Rename(0, "w"))
	o = o.Restart(nil)
	o.WantSound(func(p int) bool { return p < 6 })
	o.WantFile(filepath.Join(o.Spec.Root, "w"), o.File(0))
	o.WantFile(filepath.Join(o.Spec.Root, "z"), o.File(3))
}

func testRemove(t *testing.T, s Subject) {
	o := Start(t, s, Small(), func(sp *storage.Spec) { sp.Skip = []bool{false, true, false, false, false, false} })
	theirs := filepath.Join(o.Spec.Root, "content", "sub", "theirs")
	s.Disk.Put(theirs, []byte("theirs"))
	o.Fetch(0, 1, 2)
	o.Fill(3)
	o.Check(o.Remove())
	for i := range o.Layout.Files {
		o.WantNoFile(o.Path(i))
	}
	o.WantFile(theirs, []byte("theirs"))
	o.WantNoFile(o.Spec.Journal)
	o = o.Restart(nil)
	o.WantSound(Never)
	if p := o.Present(); p.Count() != 0 {
		t.Errorf("%d pieces present", p.Count())
	}
}

func testRemoveKeepsOthers(t *testing.T, s Subject) {
	a := Start(t, s, Small(), nil)
	other := NewContent(Layout(32<<10, 70_000), 9)
	other.Layout.Files[0].Path = "other"
	box := NewBox()
	h, err := a.Store.Open(storage.Spec{Layout: other.Layout, Root: a.Spec.Root, NewSum: other.Sum, Done: box.Done})
	a.Check(err)
	if err := a.Store.Close(); err == nil {
		t.Error("closed with content open")
	}
	b := &Session{Content: other, Handle: h, t: t, Subject: s, Pool: a.Pool, Store: a.Store, Box: box}
	b.Fetch(0, 1, 2)
	a.Fetch(0)
	a.Check(a.Remove())
	b.WantRead(0, 1, 2)
	a.Check(h.Close())
}

func testReadOnly(t *testing.T, s Subject) {
	c := Small()
	root := filepath.Join(s.Dir, "root")
	for i, f := range c.Layout.Files {
		if i != 2 && i != 4 {
			s.Disk.Put(filepath.Join(root, filepath.FromSlash(f.Path)), append(append([]byte(nil), c.File(i)...), "more"...))
		}
	}
	o := Start(t, s, c, func(sp *storage.Spec) { sp.ReadOnly = true })
	o.WantRecheck(o.All(), func(p int) bool { return p < 1 || p > 2 })
	o.WantRead(0, 3, 4, 5, 6, 7, 8)
	o.Fill(1)
	o.Verify(1, false)
	if r := o.Box.Wait(t, 1)[1]; !errors.Is(r.Err, storage.ErrReadOnly) || r.Good {
		t.Errorf("%+v", r)
	}
	for _, err := range []error{o.Rename(0, "x"), o.Relocate(filepath.Join(s.Dir, "y"))} {
		if !errors.Is(err, storage.ErrReadOnly) {
			t.Error(err)
		}
	}
	o.Check(o.SetSkip(4, false))
	o.Check(o.Flush())
	o.WantNoFile(o.Path(2))
	o.WantNoFile(o.Path(4))
	o = o.Restart(func(sp *storage.Spec) { sp.ReadOnly = true })
	o.WantSound(func(p int) bool { return p < 1 || p > 2 })
	o.Check(o.Remove())
	o.WantFile(o.Path(0), append(append([]byte(nil), c.File(0)...), "more"...))
}
