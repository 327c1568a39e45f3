package storage

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"path/filepath"
	"sync"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/layout"
)

// handle is one open content.
type handle struct {
	s      *store
	spec   Spec
	layout *layout.Layout
	key    [sha256.Size]byte // of the layout
	ledger *ledger
	sums   []Sum // by worker, each used by that worker alone

	// syncing lets one sync, or one change of where files are, happen at a time.
	syncing sync.Mutex

	// place is held for reading while files are used where they are, and for writing to change that.
	place  sync.RWMutex
	root   string
	paths  []string // by file
	aside  []bool   // by file: its bytes are in the parts file
	closed bool

	mu      sync.Mutex
	idle    sync.Cond // jobs has changed
	sound   bitfield.Set
	unsound []int  // by file: how many of its pieces are not sound
	skip    []bool // by file
	grown   []bool // by file, and one for the parts file: has been made and given its length
	dirty   []bool // likewise: written since the last sync
	born    []bool // likewise: made since the last sync, so that its name may not be synced
	unsaved bool   // any is dirty
	pieces  map[int]*piece
	jobs    int  // verifications, runs and flushes under way
	closing bool // no new jobs
	log     *[]written
}

// written is a run of bytes that was written while the content was being copied elsewhere.
type written struct {
	index     int
	off, size int64
}

// Open opens content. It makes the wanted files that have no bytes; the others are made when they are written.
func (s *store) Open(spec Spec) (Handle, error) {
	l := spec.Layout
	if err := spec.Check(); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(spec.Root)
	if err != nil {
		return nil, err
	}
	n := len(l.Files)
	flags := make([]bool, 5*n+3)
	cut := func(n int) []bool {
		part := flags[:n:n]
		flags = flags[n:]
		return part
	}
	h := &handle{
		s: s, spec: spec, layout: l, key: layoutKey(l), root: root, sums: make([]Sum, s.queue.workers),
		paths: make([]string, n), aside: cut(n), skip: cut(n), unsound: make([]int, n),
		grown: cut(n + 1), dirty: cut(n + 1), born: cut(n + 1),
	}
	h.idle.L = &h.mu
	copy(h.skip, spec.Skip)
	for i := range l.Files {
		h.paths[i] = cmp.Or(spec.Paths[i], l.Files[i].Path)
		first, end := l.FilePieces(i)
		h.unsound[i] = end - first
	}
	h.ledger, err = openLedger(s.disk, &s.journals, spec.Journal, fingerprint(h.key, root), l.Pieces(), n)
	if err != nil {
		h.warn(err)
	}
	h.recall()
	if err := h.settleFiles(); err != nil {
		return nil, errors.Join(err, h.ledger.letGo())
	}
	if err := s.add(h); err != nil {
		return nil, errors.Join(err, h.ledger.letGo())
	}
	return h, nil
}

// Check reports what is wrong with a spec whatever the store, if anything.
func (spec *Spec) Check() error {
	l := spec.Layout
	if err := l.Valid(); err != nil {
		return err
	}
	if l.PieceLength > math.MaxInt32 || l.Size/l.PieceLength >= math.MaxInt32 {
		return fmt.Errorf("storage: %d bytes in pieces of %d are beyond what is stored", l.Size, l.PieceLength)
	}
	if spec.Skip != nil && len(spec.Skip) != len(l.Files) {
		return fmt.Errorf("storage: Skip is for %d files of %d", len(spec.Skip), len(l.Files))
	}
	places := make(map[string]bool, len(l.Files))
	for i := range l.Files {
		p := cmp.Or(spec.Paths[i], l.Files[i].Path)
		if err := checkPath(p); err != nil {
			return err
		}
		if places[p] && spec.Paths != nil {
			return fmt.Errorf("storage: two files at %q", p)
		}
		places[p] = true
	}
	return nil
}

func (h *handle) warn(err error) {
	if h.spec.Warn != nil && err != nil {
		h.spec.Warn(err)
	}
}

// Sound returns the pieces that are good as far as is known.
func (h *handle) Sound() bitfield.Set {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sound.Clone()
}

// Write takes a block of a piece.
func (h *handle) Write(index, begin int, b *block.Block) {
	h.mu.Lock()
	p := h.collect(index)
	kept := p != nil && p.put(begin, b)
	if kept {
		p.touched = h.s.clock.Add(1)
	}
	h.mu.Unlock()
	if !kept {
		b.Release()
		return
	}
	h.s.mindPressure()
}

// collect returns a piece that blocks may be added to, or nil. It is called with mu held.
func (h *handle) collect(index int) *piece {
	if h.closing || h.spec.ReadOnly || uint(index) >= uint(h.sound.Len()) || h.sound.Has(index) {
		return nil
	}
	p := h.pieces[index]
	if p == nil {
		p = h.begin(index, h.layout.DataLen(index))
	}
	return p
}

// begin begins the collection of a piece. It is called with mu held.
func (h *handle) begin(index, length int) *piece {
	p := h.s.spare.Get().(*piece)
	p.begin(h, index, length)
	if h.pieces == nil {
		h.pieces = map[int]*piece{}
	}
	h.pieces[index] = p
	return p
}

// drop forgets a piece and what is collected of it. It is called with mu held.
func (h *handle) drop(p *piece) {
	p.drop()
	delete(h.pieces, p.index)
	h.s.spare.Put(p)
}

// Discard drops what was collected of a piece.
func (h *handle) Discard(index int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.pieces[index]
	switch {
	case p == nil || p.verifying:
	case p.flushing: // of bytes that are no longer wanted, but their place is taken until it ends
		p.drop()
		clear(p.onDisk)
		p.round++
		p.err = nil
	default:
		h.drop(p)
	}
}

// Verify has a piece hashed and written.
func (h *handle) Verify(index int, digests bool) {
	h.mu.Lock()
	if h.closing || uint(index) >= uint(h.sound.Len()) {
		h.mu.Unlock()
		return
	}
	p := h.pieces[index]
	if p == nil {
		p = h.begin(index, h.layout.DataLen(index))
	}
	if p.verifying {
		h.mu.Unlock()
		return
	}
	p.verifying, p.digests = true, digests
	h.jobs++
	now := !p.flushing
	h.mu.Unlock()
	if now {
		h.s.enqueue(p)
	}
}

// Recheck has pieces read and hashed.
func (h *handle) Recheck(pieces []int) {
	var runs []run
	start, bytes := 0, int64(0)
	own := make([]int, 0, len(pieces))
	for _, p := range pieces {
		if uint(p) >= uint(h.layout.Pieces()) {
			continue
		}
		if len(own) > start && bytes+h.layout.PieceLength > runBytes {
			runs = append(runs, run{h, own[start:len(own):len(own)]})
			start, bytes = len(own), 0
		}
		own = append(own, p)
		bytes += h.layout.PieceLength
	}
	if len(own) > start {
		runs = append(runs, run{h, own[start:]})
	}
	h.mu.Lock()
	if h.closing {
		h.mu.Unlock()
		return
	}
	h.jobs += len(runs)
	h.mu.Unlock()
	h.s.queue.addRuns(runs)
}

// claim keeps blocks of a piece away while it is rechecked, so that nothing is written over what is found good. What
// was collected of it is dropped.
func (h *handle) claim(index int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.pieces[index] != nil && h.pieces[index].flushing {
		h.idle.Wait() // for the flusher, which does not wait for workers
	}
	if p := h.pieces[index]; p != nil {
		if p.verifying {
			return
		}
		h.drop(p)
	}
	p := h.begin(index, 0)
	p.verifying, p.rechecking = true, true
}

// unclaim ends a claim without a result.
func (h *handle) unclaim(index int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.pieces[index]; p != nil && p.rechecking {
		h.drop(p)
	}
}

// appendCold appends the pieces of which the flusher could release blocks.
func (h *handle) appendCold(found []cold) []cold {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, p := range h.pieces {
		if p.held > 0 && !p.flushing && !p.verifying {
			found = append(found, cold{h, i, p.touched})
		}
	}
	return found
}

// jobsDone counts n jobs as done.
func (h *handle) jobsDone(n int) {
	h.mu.Lock()
	h.jobs -= n
	if h.jobs == 0 && h.sound.All() {
		clear(h.sums) // there is nothing left to hash, and no worker uses them
		if len(h.pieces) == 0 {
			h.pieces = nil
		}
	}
	h.idle.Broadcast()
	h.mu.Unlock()
}

// Flush writes what is collected to disk, waits for the verifications that are under way, and syncs.
func (h *handle) Flush() error {
	f := flusher{s: h.s}
	h.mu.Lock()
	var collected []int
	verifying := map[int]*piece{}
	for i, p := range h.pieces {
		if p.verifying {
			verifying[i] = p
		} else {
			collected = append(collected, i)
		}
	}
	h.mu.Unlock()
	for _, i := range collected {
		f.flush(h, i)
	}
	h.mu.Lock()
	for i, p := range verifying {
		for h.pieces[i] == p && p.verifying {
			h.idle.Wait()
		}
	}
	h.mu.Unlock()
	return h.sync()
}

// sync syncs every file that was written and then has the ledger say so.
func (h *handle) sync() error {
	h.syncing.Lock()
	defer h.syncing.Unlock()
	return h.syncNow()
}

// syncNow is sync, called with syncing held.
func (h *handle) syncNow() error {
	h.place.RLock()
	defer h.place.RUnlock()
	if h.closed {
		return ErrClosed
	}
	n := h.ledger.unsynced() // before dirty is read: the files of these are in it
	if err := h.syncFiles(); err != nil {
		h.ledger.distrust() // a second sync would succeed without having written anything
		return err
	}
	return h.ledger.mark(n)
}

// syncFiles is called with place held.
func (h *handle) syncFiles() error {
	h.mu.Lock()
	var dirty []int
	var names []string
	for i := range h.dirty {
		if h.unsaved && h.dirty[i] {
			dirty = append(dirty, i)
			if h.born[i] {
				names = append(names, h.path(i))
			}
			h.dirty[i], h.born[i] = false, false
		}
	}
	h.unsaved = false
	h.mu.Unlock()
	var failed error
	for _, i := range dirty {
		f, err := h.s.files.acquire(fileKey{h, i}, true)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted by someone else: there is nothing to lose
		}
		if err == nil {
			err = f.sync()
			h.s.files.release(f)
		}
		failed = errors.Join(failed, err)
	}
	return errors.Join(failed, h.syncNames(names))
}

// syncNames makes the names of new files durable, with one sync of each folder.
func (h *handle) syncNames(names []string) error {
	if len(names) == 0 {
		return nil
	}
	dir, err := h.s.disk.open(h.root, false)
	if err != nil {
		return err
	}
	defer dir.close()
	done := map[string]bool{}
	for _, name := range names {
		for up := name; up != "." && !done[path.Dir(up)]; up = path.Dir(up) {
			done[path.Dir(up)] = true
			if e := dir.sync(up); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// Close syncs and closes.
func (h *handle) Close() error {
	if !h.stop() {
		return nil
	}
	err := h.sync()
	h.syncing.Lock()
	h.place.Lock()
	h.closed = true
	h.place.Unlock()
	h.s.files.forget(h, -1)
	if err == nil && h.ledger.begun {
		stamps := h.survey()
		h.withdrawLost(stamps)
		err = h.ledger.close(stamps)
	} else {
		err = errors.Join(err, h.ledger.letGo())
	}
	h.syncing.Unlock()
	h.s.forget(h)
	return err
}

// stop ends what is under way. It reports false if that was done before.
func (h *handle) stop() bool {
	h.mu.Lock()
	if h.closing {
		h.mu.Unlock()
		return false
	}
	h.closing = true
	for _, p := range h.pieces {
		if !p.verifying && !p.flushing {
			h.drop(p)
		}
	}
	h.mu.Unlock()
	dropped := h.s.queue.dropRuns(h)
	h.mu.Lock()
	h.jobs -= dropped
	for h.jobs > 0 {
		h.idle.Wait()
	}
	h.mu.Unlock()
	return true
}

// stopping reports whether the content is being closed.
func (h *handle) stopping() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closing
}

// ReadAt fills p from off in the address space.
func (h *handle) ReadAt(p []byte, off int64) error {
	if off < 0 || off > h.layout.Size-int64(len(p)) {
		return fmt.Errorf("read of %d bytes at %d of %d: %w", len(p), off, h.layout.Size, io.ErrUnexpectedEOF)
	}
	h.place.RLock()
	defer h.place.RUnlock()
	if h.closed {
		return ErrClosed
	}
	return h.read(p, off)
}

// read is ReadAt, called with place held.
func (h *handle) read(p []byte, off int64) (err error) {
	h.layout.Spans(off, int64(len(p)), func(s layout.Span) bool {
		q := p[:s.Length]
		p = p[s.Length:]
		if s.File < 0 {
			clear(q)
			return true
		}
		index, at := h.locate(s)
		var f *openFile
		if f, err = h.s.files.acquire(fileKey{h, index}, false); err != nil {
			err = missing(err)
			return false
		}
		if _, err = f.ReadAt(q, at); errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s at %d: %w", h.paths[s.File], s.Offset, ErrMissing)
		}
		h.s.files.release(f)
		return err == nil
	})
	return err
}

// Room returns the bytes free for us.
func (h *handle) Room() (int64, string, error) {
	h.place.RLock()
	root := h.root
	h.place.RUnlock()
	return h.s.disk.room(root)
}

// missing makes an error of a file that is not there wrap ErrMissing.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return err
}
