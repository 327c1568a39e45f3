package storage

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/block"
)

// syncEvery is how much of the good pieces' time a power loss may cost at most, beside the time that a sync takes.
const syncEvery = 30 * time.Second

// FilesOptions are the settings of NewFiles. The zero value means the defaults.
type FilesOptions struct {
	MaxOpen int // most files open at once over all content, except that all in use at one instant stay open; 0: 128
	Workers int // goroutines that hash and write; 0: GOMAXPROCS
}

// NewFiles returns a store that keeps content in the machine's file system. Blocks given to Write come from pool,
// whose OnPressure it sets.
//
// A file is made, with the folders on its way, when its first block is written, and at once given its whole length
// with holes; one that is there already is written into, and never shortened before all its pieces are good: then
// what lies behind its length is cut off. Pieces shared between wanted and unwanted files leave the bytes of an
// unwanted file that does not exist in Root/.shoal-parts/<key>: one file for each content, each byte at its offset in
// the address space, the rest holes.
//
// Nothing below Root is reached through a symbolic link that leads out of Root.
func NewFiles(pool *block.Pool, opts FilesOptions) Store { return newStore(pool, osDisk{}, opts) }

// store is a Store over any disk. It owns its workers, which verify and recheck; a flusher, which makes room in the
// pool; and a syncer.
//
//	Write → piece (blocks) → Verify → queue → worker: hash, write, ledger, release → Done
//	                       ↘ flusher, under pressure: write, release; the worker reads back
//
// Locks: a handle's syncing before its place before any other; of all others no two are held at once.
type store struct {
	pool     *block.Pool
	disk     disk
	files    *openFiles
	queue    *queue
	spare    sync.Pool     // of *piece
	clock    atomic.Uint64 // counts blocks written
	queued   atomic.Int64  // blocks in pieces that are queued or being verified
	journals atomic.Int32  // open
	pressed  atomic.Bool   // the pool is, or lately was, more than half lent
	flush    chan struct{} // one slot: the flusher should look
	unsaved  chan struct{} // one slot: the syncer should look, in a while
	urgent   chan struct{} // one slot: the syncer should look now
	done     chan struct{}
	wg       sync.WaitGroup

	mu      sync.Mutex
	handles map[*handle]struct{}
	closed  bool
}

func newStore(pool *block.Pool, d disk, opts FilesOptions) *store {
	if opts.MaxOpen <= 0 {
		opts.MaxOpen = 128
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	s := &store{
		pool: pool, disk: d, files: newOpenFiles(opts.MaxOpen), queue: newQueue(opts.Workers),
		flush: make(chan struct{}, 1), unsaved: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
		done: make(chan struct{}), handles: map[*handle]struct{}{},
	}
	s.spare.New = func() any { return new(piece) }
	pool.OnPressure(func() {
		s.pressed.Store(true)
		signal(s.flush)
	})
	for i := range opts.Workers {
		w := &worker{s: s, id: i}
		s.wg.Go(w.work)
	}
	s.wg.Go(s.relieve)
	s.wg.Go(s.save)
	return s
}

// Close ends the workers. Every handle must be closed first.
func (s *store) Close() error {
	s.mu.Lock()
	if n := len(s.handles); n > 0 {
		s.mu.Unlock()
		return errors.New("storage: content is still open")
	}
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		close(s.done)
		s.queue.close()
	}
	s.wg.Wait()
	return nil
}

func (s *store) add(h *handle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.handles[h] = struct{}{}
	return nil
}

func (s *store) forget(h *handle) {
	s.mu.Lock()
	delete(s.handles, h)
	s.mu.Unlock()
}

func (s *store) all() []*handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*handle, 0, len(s.handles))
	for h := range s.handles {
		all = append(all, h)
	}
	return all
}

// mindPressure wakes the flusher if there is anything for it to mind. It is called when blocks become flushable, and
// when verified ones are released, because the pool itself tells of pressure only as a block goes out.
func (s *store) mindPressure() {
	if s.pressed.Load() {
		signal(s.flush)
	}
}

// relieve is the flusher: while more than half of the pool is lent, not counting what workers are about to release, it
// writes the blocks of the coldest pieces to disk.
func (s *store) relieve() {
	f := flusher{s: s}
	for {
		select {
		case <-s.flush:
		case <-s.done:
			return
		}
		for s.tight() && f.flushColdest() {
		}
		if s.pool.Pressured() {
			continue // pressed stays set: the next write, or release by a worker, wakes us
		}
		s.pressed.Store(false)
		if s.pool.Pressured() { // again, perhaps before the line above
			s.pressed.Store(true)
			signal(s.flush)
		}
	}
}

func (s *store) tight() bool {
	lent, _, limit := s.pool.Lent()
	return lent-int(s.queued.Load()) > limit/2
}

// save is the syncer: it syncs what is new at most every syncEvery, or at once when a piece was withdrawn.
func (s *store) save() {
	for {
		select {
		case <-s.urgent:
		case <-s.unsaved:
			wait := time.NewTimer(syncEvery)
			select {
			case <-wait.C:
			case <-s.urgent:
			case <-s.done:
			}
			wait.Stop()
		case <-s.done:
			return
		}
		for _, h := range s.all() {
			if h.ledger.base == "" {
				continue
			}
			if !h.syncing.TryLock() { // perhaps on a long move
				signal(s.unsaved)
				continue
			}
			if err := h.syncNow(); err != nil && !errors.Is(err, ErrClosed) {
				h.warn(err)
			}
			h.syncing.Unlock()
		}
	}
}

// flusher writes pieces that are not complete to disk, one at a time.
type flusher struct {
	s      *store
	writer writer
	blocks []*block.Block
}

// cold is a piece as the flusher found it.
type cold struct {
	h       *handle
	index   int
	touched uint64
}

// flushColdest writes pieces, those first that have waited longest for a block, until there is room. It reports
// whether it has released any.
func (f *flusher) flushColdest() bool {
	var found []cold
	for _, h := range f.s.all() {
		found = h.appendCold(found)
	}
	slices.SortFunc(found, func(a, b cold) int { return cmp.Compare(a.touched, b.touched) })
	any := false
	for _, c := range found {
		if !f.s.tight() {
			break
		}
		any = f.flush(c.h, c.index) || any
	}
	return any
}

// flush puts the blocks of a piece that is not being verified into the files. It reports whether it released any.
func (f *flusher) flush(h *handle, index int) bool {
	h.mu.Lock()
	p := h.pieces[index]
	if p == nil || p.held == 0 || p.flushing || p.verifying {
		h.mu.Unlock()
		return false
	}
	f.blocks = append(f.blocks[:0], p.blocks...)
	for i, b := range p.blocks {
		if b != nil {
			p.blocks[i], p.onDisk[i] = nil, true
		}
	}
	round, length := p.round, p.length
	p.held, p.flushing = 0, true
	h.jobs++
	h.mu.Unlock()

	h.place.RLock()
	err := f.writer.write(h, index, length, f.blocks)
	h.place.RUnlock()
	for i, b := range f.blocks {
		if b != nil {
			b.Release()
			f.blocks[i] = nil
		}
	}

	h.mu.Lock()
	p.flushing = false
	if err != nil && p.round == round {
		p.err = err
		p.drop()
	}
	verify := p.verifying
	if !verify && (h.closing || p.round != round && p.held == 0) {
		h.drop(p)
	}
	h.jobs--
	h.idle.Broadcast()
	h.mu.Unlock()
	if verify {
		f.s.enqueue(p)
	}
	return true
}

// enqueue gives a piece that is verifying, and no longer flushing, to the workers.
func (s *store) enqueue(p *piece) {
	s.queued.Add(int64(p.held))
	s.queue.addPiece(p)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
