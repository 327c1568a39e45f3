package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/block"
	"shoal/internal/layout"
	"shoal/internal/storage"
	"shoal/internal/storage/storagetest"
)

// onDisk is a subject with faults that are to be had.
func onDisk(t *testing.T) (storagetest.Subject, *storage.Faults) {
	f := &storage.Faults{}
	return storagetest.Subject{
		New:  func(p *block.Pool) storage.Store { return storage.NewFaulty(p, f) },
		Disk: realDisk{t}, Dir: t.TempDir(),
	}, f
}

// After a reboot without a clean close only synced pieces are vouched for.
func TestReboot(t *testing.T) {
	s, f := onDisk(t)
	boots := 0
	reboot := func() {
		boots++
		id := fmt.Sprint(boots)
		f.Boot.Store(&id)
	}
	reboot()
	o := storagetest.Start(t, s, storagetest.Small(), nil)
	o.Fetch(0, 1)
	o.Check(o.Flush())
	o.Fetch(2)
	journal, err := os.ReadFile(o.Spec.Journal)
	o.Check(err)
	crash := func() *storagetest.Session {
		o.End()
		o.Check(os.WriteFile(o.Spec.Journal, journal, 0o644)) // as if it had not been closed
		return storagetest.Start(t, s, o.Content, nil)
	}
	o = crash()
	o.WantSound(func(p int) bool { return p < 3 })
	reboot()
	o = crash()
	o.WantSound(func(p int) bool { return p < 2 })
	o.Fetch(2)
	reboot()
	o = o.Restart(nil) // closed cleanly
	o.WantSound(func(p int) bool { return p < 3 })
}

// What a failed sync may have lost is not vouched for.
func TestSyncFails(t *testing.T) {
	s, f := onDisk(t)
	o := storagetest.Start(t, s, storagetest.Small(), nil)
	o.Fetch(0, 1)
	o.Check(o.Flush())
	o.Fetch(2)
	broken := errors.New("the disk is on fire")
	f.BadSync.Store(&broken)
	if err := o.Flush(); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	f.BadSync.Store(nil)
	o.Fetch(3)
	o = o.Restart(nil)
	o.WantSound(func(p int) bool { return p < 4 && p != 2 })
}

// The syncer marks what is new within half a minute, and rests when there is nothing.
func TestBackgroundSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storage.NewMemory(block.NewPool(1 << 20))
		c := storagetest.Small()
		box := storagetest.NewBox()
		h, err := m.Open(storage.Spec{Layout: c.Layout, Root: "/r", Journal: "/journal", NewSum: c.Sum, Done: box.Done})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		h.Verify(0, false) // bad: nothing is there
		box.Wait(t, 1)
		synctest.Wait()
		if _, ok := m.Get("/journal"); ok {
			t.Error("a bad piece is no news")
		}
		m.Put("/r/content/0", c.File(0))
		h.Recheck([]int{0})
		box.Wait(t, 1)
		before, _ := m.Get("/journal")
		time.Sleep(31 * time.Second)
		synctest.Wait()
		after, _ := m.Get("/journal")
		if len(after) <= len(before) {
			t.Errorf("after %v the journal has %d bytes, before %d", time.Since(start), len(after), len(before))
		}
		time.Sleep(time.Hour)
		if later, _ := m.Get("/journal"); !bytes.Equal(later, after) {
			t.Error("the syncer wrote without news")
		}
		if err := errors.Join(h.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
}

// A full disk fails the piece, names the file system, and leaves nothing vouched for; with room, it goes on.
func TestMemoryFull(t *testing.T) {
	m := storage.NewMemory(block.NewPool(0))
	testFull(t, storagetest.Subject{New: func(p *block.Pool) storage.Store { return m.Restart(p) }, Disk: m, Dir: "/m"}, "on memory",
		func() { m.SetLimit(600_000) }, func() { m.SetLimit(1 << 30) })
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func testFull(t *testing.T, s storagetest.Subject, where string, shrink, grow func()) {
	shrink()
	c := storagetest.NewContent(storagetest.Layout(64<<10, 900_000, 900_000), 12)
	o := storagetest.Start(t, s, c, func(sp *storage.Spec) { sp.Warn = nil })
	full := map[int]bool{}
	for _, p := range o.All() {
		o.Fill(p)
		if p%2 == 1 {
			o.Flush() // the flusher meets the full disk as well
		}
		o.Verify(p, false)
		r := o.Box.Wait(t, 1)[p]
		if full[p] = !r.Good; full[p] && (!errors.Is(r.Err, storage.ErrFull) || !strings.Contains(r.Err.Error(), "no space left "+where)) {
			t.Errorf("piece %d: %+v", p, r)
		}
	}
	if now, _, _ := o.Pool.Lent(); now != 0 {
		t.Errorf("%d blocks are lent", now)
	}
	good := func(p int) bool { return !full[p] }
	if n := len(slices.DeleteFunc(o.All(), good)); n < 5 || n > len(full)-5 {
		t.Errorf("%d pieces of %d did not fit", n, len(full))
	}
	o.WantSound(good)
	o.WantRecheck(o.All(), good)
	grow()
	o = o.Restart(nil)
	o.WantSound(good)
	for _, p := range o.All() {
		if full[p] {
			o.Fetch(p)
		}
	}
	o.WantRead(o.All()...)
}

func TestPermissionsAndLinks(t *testing.T) {
	s, _ := onDisk(t)
	l := storagetest.Layout(32<<10, 40_000, 10, 0)
	l.Files[0].Executable, l.Files[2].Executable = true, true
	l.Files = append(l.Files, layout.File{Path: "content/sub/link", Offset: l.Size, Symlink: "content/0"},
		layout.File{Path: "content/out", Offset: l.Size, Symlink: "../out"})
	var warnings []error
	o := storagetest.Start(t, s, storagetest.NewContent(l, 13), func(sp *storage.Spec) {
		sp.Warn = func(err error) { warnings = append(warnings, err) }
	})
	if len(warnings) != 1 || !strings.Contains(warnings[0].Error(), `"../out"`) {
		t.Error(warnings)
	}
	o.WantNoFile(o.Path(4))
	o.Fetch(0, 1)
	o.WantFile(o.Path(3), o.File(0)) // through the link
	if target, err := os.Readlink(o.Path(3)); err == nil && target != filepath.Join("..", "0") {
		t.Error(target)
	}
	if runtime.GOOS == "windows" {
		return
	}
	umask := fs.FileMode(0o777)
	if fi, err := os.Stat(s.Dir); err == nil {
		umask = 0o700 | fi.Mode().Perm()
	}
	for i, want := range []fs.FileMode{0o755, 0o644, 0o755} {
		if fi, err := os.Stat(o.Path(i)); err != nil || fi.Mode()&umask != want&umask {
			t.Error(fi.Mode(), want, err)
		}
	}
}

// Nothing is written, read, moved or deleted through a symbolic link that leads out of the root.
func TestConfined(t *testing.T) {
	s, _ := onDisk(t)
	outside := filepath.Join(s.Dir, "outside")
	c := storagetest.Small()
	theirs := filepath.Join(outside, "3")
	s.Disk.Put(theirs, c.File(3))
	root := filepath.Join(s.Dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "content"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "content", "sub")); err != nil {
		t.Fatal(err)
	}
	o := storagetest.Start(t, s, c, func(sp *storage.Spec) { sp.Warn = nil })
	o.Fetch(0)
	o.Fill(3)
	o.Verify(3, false)
	if r := o.Box.Wait(t, 1)[3]; r.Good || r.Err == nil {
		t.Errorf("%+v", r)
	}
	o.Recheck([]int{3})
	if r := o.Box.Wait(t, 1)[3]; r.Good || r.Err == nil {
		t.Errorf("%+v", r)
	}
	if err := o.ReadAt(make([]byte, 10), c.Layout.Files[3].Offset); err == nil {
		t.Error("read through the link")
	}
	if err := o.Rename(0, "content/sub/x"); err == nil {
		t.Error("renamed through the link")
	}
	o.Remove()
	if names, err := os.ReadDir(outside); err != nil || len(names) != 1 {
		t.Error(names, err)
	}
	o.WantFile(theirs, c.File(3))
}

// At most MaxOpen files stay open over all content, whatever is used.
func TestMaxOpen(t *testing.T) {
	s, _ := onDisk(t)
	lengths := make([]int64, 40)
	for i := range lengths {
		lengths[i] = 5000
	}
	o := storagetest.Start(t, s, storagetest.NewContent(storagetest.Layout(16<<10, lengths...), 14), nil)
	o.Fetch(o.All()...)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { o.WantRead(o.All()...) })
	}
	wg.Wait()
	if n := storage.OpenFiles(o.Store); n > 3 || n == 0 {
		t.Errorf("%d files are open", n)
	}
	o.Check(o.Handle.Close())
	if n := storage.OpenFiles(o.Store); n != 0 {
		t.Errorf("%d files are open", n)
	}
}

// Seeding opens files for reading only, and reading makes nothing.
func TestReadAllocatesNothing(t *testing.T) {
	dir := t.TempDir()
	s := storage.NewFiles(block.NewPool(0), storage.FilesOptions{})
	c := storagetest.Small()
	if err := os.WriteFile(filepath.Join(dir, "f"), c.File(3), 0o444); err != nil {
		t.Fatal(err)
	}
	l := &layout.Layout{PieceLength: 32 << 10, Size: 100_000, Files: []layout.File{{Path: "f", Length: 100_000}}}
	h, err := s.Open(storage.Spec{Layout: l, Root: dir, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16<<10)
	if n := testing.AllocsPerRun(100, func() {
		if err := h.ReadAt(buf, 20_000); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
	if err := errors.Join(h.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

// A file that is deleted while its pieces are vouched for is an error until a recheck says that they are gone.
func TestDeletedMeanwhile(t *testing.T) {
	s, _ := onDisk(t)
	o := storagetest.Start(t, s, storagetest.NewContent(storagetest.Layout(32<<10, 64<<10, 64<<10, 64<<10, 64<<10, 64<<10), 15), nil)
	o.Fetch(0, 2, 4, 6, 8) // five files, three of which stay open
	o.Check(os.Remove(o.Path(0)))
	o.Fill(1)
	o.Verify(1, false)
	if r := o.Box.Wait(t, 1)[1]; !errors.Is(r.Err, storage.ErrMissing) {
		t.Errorf("%+v", r)
	}
	if err := o.ReadAt(make([]byte, 5), 0); !errors.Is(err, storage.ErrMissing) {
		t.Error(err)
	}
	o.WantRecheck([]int{0, 1}, storagetest.Never)
	o.Fetch(0, 1)
	o.WantFile(o.Path(0), o.File(0))
}

// Closing cancels a copy to another file system, and all stays where it was.
func TestCloseCancelsCopy(t *testing.T) {
	s, f := onDisk(t)
	f.Far.Store(true)
	o := storagetest.Start(t, s, storagetest.NewContent(storagetest.Layout(1<<20, 3<<20, 3<<20), 16), nil)
	o.Fetch(o.All()...)
	target := filepath.Join(s.Dir, "target")
	var once sync.Once
	closed := make(chan error, 1)
	f.Opened = func(string) {
		if _, err := os.Stat(filepath.Join(target, "content", "0")); err == nil { // on to the second file
			once.Do(func() {
				go func() { closed <- o.Handle.Close() }()
				for !storage.Closing(o.Handle) {
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	if err := o.Relocate(target); !errors.Is(err, storage.ErrClosed) {
		t.Error(err)
	}
	o.Check(<-closed)
	f.Opened = nil
	if names, _ := os.ReadDir(target); len(names) != 0 {
		t.Error("left behind:", names)
	}
	o = o.Restart(nil)
	o.WantSound(storagetest.Always)
	o.WantRead(o.All()...)
}

// The parts file and its folder go when no unwanted file has bytes in it.
func TestPartsFileGoes(t *testing.T) {
	s, _ := onDisk(t)
	o := storagetest.Start(t, s, storagetest.Small(), func(sp *storage.Spec) { sp.Skip = []bool{false, true, true, false, false, false} })
	parts := filepath.Join(o.Spec.Root, ".shoal-parts")
	o.Fetch(1)
	if names, err := os.ReadDir(parts); err != nil || len(names) != 1 {
		t.Error(names, err)
	}
	o.Check(o.SetSkip(1, false))
	if _, err := os.Stat(parts); err != nil {
		t.Error(err)
	}
	o.Check(o.SetSkip(2, false))
	if _, err := os.Stat(parts); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	o.WantRead(1)
}

// A rename that a crash cut in two is ended when the content is opened again.
func TestInterruptedRename(t *testing.T) {
	s, _ := onDisk(t)
	o := storagetest.Start(t, s, storagetest.Small(), nil)
	o.Fetch(o.All()...)
	o.Check(o.Rename(3, "moved"))
	o.End()
	moved := filepath.Join(o.Spec.Root, "moved")
	o.Check(os.Rename(moved, o.Path(3))) // as if only the journal had been written
	o = storagetest.Start(t, s, o.Content, nil)
	o.WantSound(storagetest.Always)
	o.WantFile(moved, o.File(3))
}
