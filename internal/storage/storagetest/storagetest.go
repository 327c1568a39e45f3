// Package storagetest is the suite that every implementation of storage.Store passes.
package storagetest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"shoal/internal/block"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

// Disk is where a store keeps files, as another program sees it. Paths are absolute.
type Disk interface {
	Get(path string) ([]byte, bool)
	Put(path string, content []byte) // nil deletes
}

// Subject is one store under test, and the machine that it is on.
type Subject struct {
	New  func(*block.Pool) storage.Store // a store as after a restart of the program, on the same disk
	Disk Disk
	Dir  string // a folder for this test alone

	// Volatile says that the store keeps nothing in files and nothing over a restart: what is about those is left out.
	Volatile bool
}

// Content is made-up content with its hashes.
type Content struct {
	Layout *layout.Layout
	Bytes  []byte // of the address space
	hashes [][sha1.Size]byte
}

// NewContent returns content of random bytes; gaps are zeros.
func NewContent(l *layout.Layout, seed uint64) *Content {
	c := &Content{Layout: l, Bytes: make([]byte, l.Size)}
	src := rand.NewChaCha8([32]byte{byte(seed)})
	for _, f := range l.Files {
		src.Read(c.Bytes[f.Offset : f.Offset+f.Length])
	}
	for p := range l.Pieces() {
		off := l.PieceOffset(p)
		c.hashes = append(c.hashes, sha1.Sum(c.Bytes[off:off+int64(l.DataLen(p))]))
	}
	return c
}

// File returns the bytes of one file.
func (c *Content) File(i int) []byte {
	f := &c.Layout.Files[i]
	return c.Bytes[f.Offset : f.Offset+f.Length]
}

// Sum returns a Sum that knows the content.
func (c *Content) Sum() storage.Sum { return &sum{c: c} }

type sum struct {
	c      *Content
	pieces [2]int
	bytes  [2][]byte
}

func (s *sum) Reset(a, b int) {
	s.pieces, s.bytes = [2]int{a, b}, [2][]byte{}
	if b >= 0 && !s.c.Layout.Alike(a, b) {
		panic("pieces that are not alike")
	}
}

func (s *sum) Write(a, b []byte) {
	s.bytes[0], s.bytes[1] = append(s.bytes[0], a...), append(s.bytes[1], b...)
	if s.pieces[1] >= 0 && len(a) != len(b) {
		panic("more bytes of one piece than of the other")
	}
}

func (s *sum) Good() (a, b bool) { return s.good(0), s.pieces[1] >= 0 && s.good(1) }

func (s *sum) good(i int) bool { return sha1.Sum(s.bytes[i]) == s.c.hashes[s.pieces[i]] }

// Box collects results.
type Box struct {
	mu   sync.Mutex
	got  []storage.Result
	more chan struct{}
}

func NewBox() *Box { return &Box{more: make(chan struct{}, 1)} }

// Done is for Spec.Done.
func (b *Box) Done(r ...storage.Result) {
	b.mu.Lock()
	b.got = append(b.got, r...)
	b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// Wait returns the next n results by piece.
func (b *Box) Wait(t *testing.T, n int) map[int]storage.Result {
	t.Helper()
	m := map[int]storage.Result{}
	timeout := time.After(time.Minute)
	for len(m) < n {
		b.mu.Lock()
		for _, r := range b.got {
			if _, twice := m[r.Piece]; twice {
				t.Errorf("piece %d has two results", r.Piece)
			}
			m[r.Piece] = r
		}
		b.got = nil
		b.mu.Unlock()
		if len(m) >= n {
			break
		}
		select {
		case <-b.more:
		case <-timeout:
			t.Fatalf("%d results of %d", len(m), n)
		}
	}
	return m
}

// Session is one open content in a test, alone in its store.
type Session struct {
	*Content
	storage.Handle
	Subject Subject
	Pool    *block.Pool
	Store   storage.Store
	Box     *Box
	Spec    storage.Spec
	t       *testing.T
}

// Start opens content in a fresh store and has the test close both and count the blocks.
func Start(t *testing.T, s Subject, c *Content, change func(*storage.Spec)) *Session {
	t.Helper()
	o := &Session{Content: c, t: t, Subject: s, Box: NewBox(), Pool: block.NewPool(1 << 20)}
	o.Store = s.New(o.Pool)
	o.Spec = storage.Spec{
		Layout: c.Layout, Root: filepath.Join(s.Dir, "root"), NewSum: c.Sum, Done: o.Box.Done,
		Warn: func(err error) { t.Errorf("warning: %v", err) }, Journal: filepath.Join(s.Dir, "state", "journal"),
	}
	if change != nil {
		change(&o.Spec)
	}
	var err error
	if o.Handle, err = o.Store.Open(o.Spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.End)
	return o
}

// End closes everything.
func (o *Session) End() {
	o.t.Helper()
	if err := o.Handle.Close(); err != nil {
		o.t.Error(err)
	}
	if err := o.Store.Close(); err != nil {
		o.t.Error(err)
	}
	if now, _, _ := o.Pool.Lent(); now != 0 {
		o.t.Errorf("%d blocks are still lent", now)
	}
}

// Restart restarts the program.
func (o *Session) Restart(change func(*storage.Spec)) *Session {
	o.t.Helper()
	o.End()
	return Start(o.t, o.Subject, o.Content, func(s *storage.Spec) {
		s.Skip = o.Spec.Skip
		s.Root = o.Spec.Root
		if change != nil {
			change(s)
		}
	})
}

// Send writes one block with the given bytes.
func (o *Session) Send(piece, begin int, content []byte) {
	b := o.Pool.Get(o.t.Context().Done())
	copy(b.Bytes(), content)
	b.SetLen(len(content))
	o.Write(piece, begin, b)
}

// BlockOf returns the right bytes of a block.
func (o *Session) BlockOf(piece, begin int) []byte {
	off := o.Layout.PieceOffset(piece) + int64(begin)
	return o.Bytes[off : off+int64(o.Layout.BlockLen(piece, begin))]
}

// Fill writes every block of a piece, in a random order.
func (o *Session) Fill(piece int) {
	for _, i := range rand.Perm(o.Layout.Blocks(piece)) {
		o.Send(piece, i*block.Size, o.BlockOf(piece, i*block.Size))
	}
}

// Fetch fills and verifies pieces one after the other and wants all to be good.
func (o *Session) Fetch(pieces ...int) {
	o.t.Helper()
	for _, p := range pieces {
		o.Fill(p)
		o.Verify(p, false)
		if r := o.Box.Wait(o.t, 1)[p]; !r.Good || r.Err != nil || r.Recheck || r.Digests != nil {
			o.t.Fatalf("piece %d: %+v", p, r)
		}
	}
}

// WantRecheck rechecks pieces and wants exactly the good ones to be good.
func (o *Session) WantRecheck(pieces []int, good func(int) bool) {
	o.t.Helper()
	o.Recheck(pieces)
	for p, r := range o.Box.Wait(o.t, len(pieces)) {
		if r.Good != good(p) || r.Err != nil || !r.Recheck {
			o.t.Errorf("recheck of piece %d: %+v, want good %v", p, r, good(p))
		}
	}
}

// WantSound compares what is sound.
func (o *Session) WantSound(good func(int) bool) {
	o.t.Helper()
	set := o.Sound()
	for p := range set.Len() {
		if set.Has(p) != good(p) {
			o.t.Errorf("piece %d sound: %v, want %v", p, set.Has(p), good(p))
		}
	}
}

// WantRead reads all of some pieces and compares.
func (o *Session) WantRead(pieces ...int) {
	o.t.Helper()
	for _, p := range pieces {
		off := o.Layout.PieceOffset(p)
		got := bytes.Repeat([]byte{0xaa}, o.Layout.PieceLen(p))
		if err := o.ReadAt(got, off); err != nil {
			o.t.Errorf("piece %d: %v", p, err)
		} else if !bytes.Equal(got, o.Bytes[off:off+int64(len(got))]) {
			o.t.Errorf("piece %d reads wrong", p)
		}
	}
}

// Path returns where a file is.
func (o *Session) Path(i int) string {
	return filepath.Join(o.Spec.Root, filepath.FromSlash(o.Layout.Files[i].Path))
}

// WantFile compares a whole file.
func (o *Session) WantFile(path string, want []byte) {
	o.t.Helper()
	if o.Subject.Volatile {
		return
	}
	got, ok := o.Subject.Disk.Get(path)
	if !ok || !bytes.Equal(got, want) {
		o.t.Errorf("%s exists: %v, %d bytes, want %d, or they differ", path, ok, len(got), len(want))
	}
}

// WantNoFile wants nothing at a path.
func (o *Session) WantNoFile(path string) {
	o.t.Helper()
	if _, ok := o.Subject.Disk.Get(path); ok {
		o.t.Errorf("%s exists", path)
	}
}

// All returns every piece.
func (o *Session) All() []int {
	all := make([]int, o.Layout.Pieces())
	for i := range all {
		all[i] = i
	}
	return all
}

// Check fails the test on an error.
func (o *Session) Check(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// Always is true of every piece.
func Always(int) bool { return true }

// Never is true of no piece.
func Never(int) bool { return false }

// digest is what Result.Digests has for a block.
func digest(b []byte) storage.Digest {
	d := sha256.Sum256(b)
	return storage.Digest(d[:16])
}

// Layout lays out files of the given lengths one after the other, named 0, sub/1, sub/2, …
func Layout(pieceLength int64, lengths ...int64) *layout.Layout {
	l := &layout.Layout{PieceLength: pieceLength}
	for i, n := range lengths {
		name := "content/0"
		if i > 0 {
			name = fmt.Sprintf("content/sub/%d", i)
		}
		l.Files = append(l.Files, layout.File{Path: name, Offset: l.Size, Length: n})
		l.Size += n
	}
	return l
}
