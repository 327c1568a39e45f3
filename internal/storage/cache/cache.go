// Package cache is a storage.Store that keeps content in memory, and only so many bytes of it: the pieces that came last. For playing
// without keeping.
package cache

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

// Cache is a storage.Store. When there is no room for another piece, the oldest sound one is given up: its handle's Done is told with
// Result.Evicted, and reads of it fail with storage.ErrEvicted. It has one worker, which hashes.
type Cache struct {
	limit int64
	wake  chan struct{} // has room for one: there is work, or the end

	mu     sync.RWMutex
	used   int64
	oldest []*piece // sound pieces, as they came
	work   []*piece // to be hashed, as they came
	spare  [][]byte
	closed bool
	ended  chan struct{}
}

// New returns a cache of at most so many bytes. It holds pieces that are still being collected as well, and so must have room for some of
// them: a piece that alone is larger is kept until the next.
func New(limit int64) *Cache {
	c := &Cache{limit: limit, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go c.run()
	return c
}

// piece is one piece in memory, guarded by the cache's mu, but for data while it is hashed.
type piece struct {
	h       *handle
	index   int
	data    []byte
	got     []bool // by block
	missing int
	sound   bool
	queued  bool // for the worker
	recheck bool // as an answer to Recheck
	digests bool
}

// handle is one open content.
type handle struct {
	c    *Cache
	spec storage.Spec
	lay  *layout.Layout
	sum  storage.Sum // the worker's

	// Guarded by the cache's mu.
	pieces map[int]*piece
	empty  bitfield.Set // gaps that were found good
	jobs   int
	idle   *sync.Cond
	closed bool
}

// Open implements storage.Store. Nothing is remembered of content that was open before.
func (c *Cache) Open(spec storage.Spec) (storage.Handle, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, storage.ErrClosed
	}
	h := &handle{c: c, spec: spec, lay: spec.Layout, pieces: map[int]*piece{}, empty: bitfield.New(spec.Layout.Pieces()), idle: sync.NewCond(&c.mu)}
	return h, nil
}

// Close implements storage.Store.
func (c *Cache) Close() error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.mu.Unlock()
	if !was {
		c.nudge()
	}
	<-c.ended
	return nil
}

func (c *Cache) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run is the worker.
func (c *Cache) run() {
	defer close(c.ended)
	for {
		c.mu.Lock()
		if len(c.work) == 0 {
			closed := c.closed
			c.mu.Unlock()
			if closed {
				return
			}
			<-c.wake
			continue
		}
		p := c.work[0]
		c.work = c.work[1:]
		c.mu.Unlock()
		c.verify(p)
	}
}

// verify hashes a piece and tells what became of it, and of those that had to make room.
func (c *Cache) verify(p *piece) {
	h := p.h
	r := storage.Result{Piece: p.index, Recheck: p.recheck}
	if p.missing == 0 {
		if h.sum == nil {
			h.sum = h.spec.NewSum()
		}
		h.sum.Reset(p.index, -1)
		h.sum.Write(p.data, nil)
		r.Good, _ = h.sum.Good()
	}
	if p.digests || !r.Good && !p.recheck {
		r.Digests = digests(p.data)
	}
	c.mu.Lock()
	p.queued = false
	var evicted []*piece
	switch {
	case !r.Good:
		c.drop(p)
	case len(p.data) == 0:
		h.empty.Add(p.index)
		delete(h.pieces, p.index)
	case !p.sound:
		p.sound = true
		c.oldest = append(c.oldest, p)
		evicted = c.makeRoom(p)
	}
	c.mu.Unlock()
	h.spec.Done(r)
	for _, e := range evicted {
		e.h.spec.Done(storage.Result{Piece: e.index, Evicted: true})
	}
	c.mu.Lock()
	h.jobs--
	h.idle.Broadcast()
	c.mu.Unlock()
}

func digests(data []byte) (out []storage.Digest) {
	for len(data) > 0 {
		n := min(len(data), block.Size)
		d := sha256.Sum256(data[:n])
		out = append(out, storage.Digest(d[:16]))
		data = data[n:]
	}
	return out
}

// makeRoom gives the oldest pieces up, but for one, until the limit holds. It is called with mu held.
func (c *Cache) makeRoom(but *piece) (evicted []*piece) {
	kept := c.oldest[:0]
	for i, p := range c.oldest {
		if c.used <= c.limit {
			kept = append(kept, c.oldest[i:]...)
			break
		}
		if p == but || p.queued {
			kept = append(kept, p)
			continue
		}
		evicted = append(evicted, p)
		c.release(p)
	}
	clear(c.oldest[len(kept):])
	c.oldest = kept
	return evicted
}

// release gives a piece's memory back. It is called with mu held.
func (c *Cache) release(p *piece) {
	delete(p.h.pieces, p.index)
	c.used -= int64(len(p.data))
	if len(c.spare) < 4 {
		c.spare = append(c.spare, p.data)
	}
	p.data = nil
}

// drop is release for a piece that may be sound. It is called with mu held.
func (c *Cache) drop(p *piece) {
	for i, o := range c.oldest {
		if o == p {
			c.oldest = append(c.oldest[:i], c.oldest[i+1:]...)
			break
		}
	}
	c.release(p)
}

// memory returns a buffer of n bytes. It is called with mu held.
func (c *Cache) memory(n int) []byte {
	c.used += int64(n)
	for i, b := range c.spare {
		if cap(b) >= n {
			c.spare = append(c.spare[:i], c.spare[i+1:]...)
			return b[:n]
		}
	}
	return make([]byte, n)
}

// Sound implements storage.Handle.
func (h *handle) Sound() bitfield.Set {
	h.c.mu.RLock()
	defer h.c.mu.RUnlock()
	set := h.empty.Clone()
	for i, p := range h.pieces {
		if p.sound {
			set.Add(i)
		}
	}
	return set
}

// Present implements storage.Handle.
func (h *handle) Present() bitfield.Set { return bitfield.New(h.lay.Pieces()) }

// Write implements storage.Handle.
func (h *handle) Write(index, begin int, b *block.Block) {
	defer b.Release()
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	if h.closed || h.spec.ReadOnly || index < 0 || index >= h.lay.Pieces() {
		return
	}
	p := h.pieces[index]
	n := h.lay.DataLen(index)
	if begin < 0 || begin >= n || begin%block.Size != 0 || b.Len() < min(block.Size, n-begin) {
		return
	}
	if p == nil {
		p = h.begin(index)
	}
	if i := begin / block.Size; !p.sound && !p.queued && !p.got[i] {
		p.got[i] = true
		p.missing--
		copy(p.data[begin:], b.Bytes())
	}
}

// begin makes a piece of which nothing is there. It is called with mu held.
func (h *handle) begin(index int) *piece {
	n := h.lay.Blocks(index)
	p := &piece{h: h, index: index, data: h.c.memory(h.lay.DataLen(index)), got: make([]bool, n), missing: n}
	h.pieces[index] = p
	return p
}

// Verify implements storage.Handle.
func (h *handle) Verify(index int, digests bool) {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	if h.closed || index < 0 || index >= h.lay.Pieces() {
		return
	}
	p := h.pieces[index]
	if p == nil {
		p = h.begin(index)
	}
	if !p.queued && !p.sound {
		p.digests, p.recheck = digests, false
		h.queue(p)
	}
}

// queue gives a piece to the worker. It is called with mu held.
func (h *handle) queue(p *piece) {
	p.queued = true
	h.jobs++
	h.c.work = append(h.c.work, p)
	h.c.nudge()
}

// Discard implements storage.Handle.
func (h *handle) Discard(index int) {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	if p := h.pieces[index]; p != nil && !p.sound && !p.queued {
		h.c.release(p)
	}
}

// Recheck implements storage.Handle.
func (h *handle) Recheck(pieces []int) {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	for _, index := range pieces {
		if h.closed || index < 0 || index >= h.lay.Pieces() {
			continue
		}
		p := h.pieces[index]
		if p != nil && !p.sound && !p.queued {
			h.c.release(p)
			p = nil
		}
		if p == nil {
			p = h.begin(index)
		}
		if !p.queued {
			p.recheck, p.digests = true, false
			h.queue(p)
		}
	}
}

// ReadAt implements storage.Handle.
func (h *handle) ReadAt(b []byte, off int64) error {
	if off < 0 || off+int64(len(b)) > h.lay.Size {
		return fmt.Errorf("cache: %d bytes at %d of %d", len(b), off, h.lay.Size)
	}
	h.c.mu.RLock()
	defer h.c.mu.RUnlock()
	if h.closed {
		return storage.ErrClosed
	}
	for len(b) > 0 {
		index := int(off / h.lay.PieceLength)
		in := int(off - h.lay.PieceOffset(index))
		n := min(len(b), h.lay.PieceLen(index)-in)
		data := 0
		if end := h.lay.DataLen(index); in < end {
			p := h.pieces[index]
			if p == nil || !p.sound {
				return fmt.Errorf("cache: piece %d: %w", index, storage.ErrEvicted)
			}
			data = copy(b[:n], p.data[in:])
		}
		clear(b[data:n])
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// alive is what calls return that have nothing to do here.
func (h *handle) alive() error {
	h.c.mu.RLock()
	defer h.c.mu.RUnlock()
	if h.closed {
		return storage.ErrClosed
	}
	return nil
}

// SetSkip, Relocate, Rename and Flush implement storage.Handle: there are no files.
func (h *handle) SetSkip(int, bool) error  { return h.alive() }
func (h *handle) Relocate(string) error    { return h.alive() }
func (h *handle) Rename(int, string) error { return h.alive() }
func (h *handle) Flush() error             { return h.alive() }

// Room implements storage.Handle. There is always room, for what is oldest gives way.
func (h *handle) Room() (int64, string, error) { return h.c.limit, "memory", h.alive() }

// Remove implements storage.Handle.
func (h *handle) Remove() error {
	if err := h.alive(); err != nil {
		return err
	}
	return h.Close()
}

// Close implements storage.Handle.
func (h *handle) Close() error {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	h.closed = true
	for h.jobs > 0 {
		h.idle.Wait()
	}
	for _, p := range h.pieces {
		h.c.drop(p)
	}
	return nil
}
