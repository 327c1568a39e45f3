package storage

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"shoal/internal/block"
	"shoal/internal/layout"
)

// chunk is how much of a piece a worker reads at once: enough to amortise the call, little enough to stay in its core's cache.
const chunk = 128 << 10

// worker verifies and rechecks pieces, two at a time where it can: see Sum.
type worker struct {
	s       *store
	id      int
	readers [2]blockReader
	writer  writer
	batch   []*piece
	results []Result
	good    []uint32
	bad     []uint32
}

func (w *worker) work() {
	for {
		batch, r, ok := w.s.queue.take(w.batch[:0])
		switch {
		case !ok:
			return
		case len(batch) > 0:
			w.verify(batch)
			clear(batch)
			w.batch = batch
		default:
			w.recheck(r)
		}
	}
}

// sum returns the worker's own Sum for a content.
func (w *worker) sum(h *handle) Sum {
	if h.sums[w.id] == nil {
		h.sums[w.id] = h.spec.NewSum()
	}
	return h.sums[w.id]
}

// verify hashes pieces of one content and writes the good ones.
func (w *worker) verify(batch []*piece) {
	h := batch[0].h
	w.results = w.results[:0]
	h.place.RLock()
	for rest := batch; len(rest) > 0; {
		two := rest[:1]
		if len(rest) > 1 && h.layout.Alike(rest[0].index, rest[1].index) && rest[0].refused() == nil && rest[1].refused() == nil {
			two = rest[:2]
		}
		rest = rest[len(two):]
		w.verifyPieces(h, two)
		for _, p := range two {
			w.s.queued.Add(-int64(p.held))
			p.drop()
		}
		w.s.mindPressure()
	}
	h.place.RUnlock()
	w.report(h, len(batch))
}

// report records the results of jobs of one content and tells them.
func (w *worker) report(h *handle, jobs int) {
	w.good, w.bad = h.news(w.results, w.good[:0], w.bad[:0])
	if len(w.good) > 0 {
		h.ledger.good(w.good)
		signal(w.s.unsaved)
	}
	if len(w.bad) > 0 {
		h.ledger.bad(w.bad)
		signal(w.s.urgent) // before anything is written over what was vouched for
	}
	h.settle(w.results)
	if len(w.results) > 0 {
		h.spec.Done(w.results...)
	}
	clear(w.results)
	h.jobsDone(jobs)
}

// verifyPieces hashes one piece, or two that are alike and not refused, and writes what is good.
func (w *worker) verifyPieces(h *handle, ps []*piece) {
	if err := ps[0].refused(); err != nil {
		w.results = append(w.results, Result{Piece: ps[0].index, Err: err})
		return
	}
	good, err := w.hash(h, ps)
	if err != nil && len(ps) == 2 { // of one of them
		w.verifyPieces(h, ps[:1])
		w.verifyPieces(h, ps[1:])
		return
	}
	for i, p := range ps {
		w.results = append(w.results, w.conclude(h, p, good[i], err))
	}
}

// hash reports which of one piece, or two that are alike, are good.
func (w *worker) hash(h *handle, ps []*piece) (good [2]bool, err error) {
	sum, b := w.sum(h), -1
	if len(ps) == 2 {
		b = ps[1].index
	}
	sum.Reset(ps[0].index, b)
	for i := range ps {
		w.readers[i].reset(h, ps[i])
	}
	for i := range ps[0].blocks {
		var bytes [2][]byte
		for k := range ps {
			if bytes[k], err = w.readers[k].block(i); err != nil {
				return good, err
			}
		}
		sum.Write(bytes[0], bytes[1])
	}
	good[0], good[1] = sum.Good()
	return good, nil
}

// conclude writes a piece that is good, and makes the digests of one that is not, or of which they are wanted.
func (w *worker) conclude(h *handle, p *piece, good bool, err error) Result {
	r := Result{Piece: p.index, Good: good, Err: err}
	if err == nil && (!good || p.digests) {
		r.Digests = make([]Digest, 0, len(p.blocks))
		w.readers[0].reset(h, p)
		for i := range p.blocks {
			b, err := w.readers[0].block(i)
			if err != nil {
				r.Err = err
				break
			}
			d := sha256.Sum256(b)
			r.Digests = append(r.Digests, Digest(d[:16]))
		}
	}
	if r.Good && r.Err == nil {
		r.Err = w.writer.write(h, p.index, p.length, p.blocks)
	}
	r.Good = r.Good && r.Err == nil
	return r
}

// blockReader gives the blocks of a piece in order, those that are not in memory from disk, a chunk at a time.
type blockReader struct {
	h    *handle
	p    *piece
	buf  []byte // chunk bytes, once needed
	from int    // the blocks [from, to) are in buf
	to   int
}

func (r *blockReader) reset(h *handle, p *piece) { r.h, r.p, r.from, r.to = h, p, 0, 0 }

// buffer returns the first n bytes of buf.
func (r *blockReader) buffer(n int) []byte {
	if r.buf == nil {
		r.buf = make([]byte, chunk)
	}
	return r.buf[:n]
}

func (r *blockReader) block(i int) ([]byte, error) {
	p := r.p
	if b := p.blocks[i]; b != nil {
		return b.Bytes()[:p.blockLen(i)], nil
	}
	if i < r.from || i >= r.to {
		n := 0
		for r.from, r.to = i, i; r.to < len(p.blocks) && p.blocks[r.to] == nil && n+p.blockLen(r.to) <= chunk; r.to++ {
			n += p.blockLen(r.to)
		}
		if err := r.h.read(r.buffer(n), r.h.layout.PieceOffset(p.index)+int64(i)*block.Size); err != nil {
			r.to = r.from
			return nil, err
		}
	}
	return r.buf[(i-r.from)*block.Size:][:p.blockLen(i)], nil
}

// recheck reads and hashes a run of pieces.
func (w *worker) recheck(r run) {
	h := r.h
	w.results = w.results[:0]
	for rest := r.pieces; len(rest) > 0; {
		two := rest[:1]
		if len(rest) > 1 && h.layout.Alike(rest[0], rest[1]) {
			two = rest[:2]
		}
		rest = rest[len(two):]
		for _, p := range two {
			h.claim(p)
		}
		if errors.Is(w.recheckPieces(h, two), ErrClosed) {
			for _, p := range two {
				h.unclaim(p)
			}
			break
		}
	}
	if !h.spec.ReadOnly {
		h.markRead(w.results)
	}
	w.report(h, 1)
}

// recheckPieces hashes one piece, or two that are alike, and adds the results. It fails only with ErrClosed, when the content is being
// closed, and then adds none.
func (w *worker) recheckPieces(h *handle, pieces []int) error {
	good, err := w.rehash(h, pieces)
	if errors.Is(err, ErrClosed) {
		return err
	}
	if err != nil && len(pieces) == 2 { // of one of them
		had := len(w.results)
		err := w.recheckPieces(h, pieces[:1])
		if err == nil {
			err = w.recheckPieces(h, pieces[1:])
		}
		if err != nil {
			w.results = w.results[:had]
		}
		return err
	}
	if errors.Is(err, ErrMissing) {
		err = nil // a file that is missing or too short is no failure of the disk
	}
	for i, p := range pieces {
		w.results = append(w.results, Result{Piece: p, Good: good[i] && err == nil, Recheck: true, Err: err})
	}
	return nil
}

// rehash reads one piece, or two that are alike, and reports which are good.
func (w *worker) rehash(h *handle, pieces []int) (good [2]bool, err error) {
	h.place.RLock()
	defer h.place.RUnlock()
	left := int64(h.layout.DataLen(pieces[0]))
	for _, p := range pieces {
		if err := h.reaches(h.layout.PieceOffset(p), left); err != nil {
			return good, err
		}
	}
	sum, b := w.sum(h), -1
	if len(pieces) == 2 {
		b = pieces[1]
	}
	sum.Reset(pieces[0], b)
	for at := int64(0); left > 0; {
		if h.stopping() {
			return good, ErrClosed
		}
		n := min(left, chunk)
		var bytes [2][]byte
		for i, p := range pieces {
			bytes[i] = w.readers[i].buffer(int(n))
			if err := h.read(bytes[i], h.layout.PieceOffset(p)+at); err != nil {
				return good, err
			}
		}
		sum.Write(bytes[0], bytes[1])
		at, left = at+n, left-n
	}
	good[0], good[1] = sum.Good()
	return good, nil
}

// reaches fails with ErrMissing unless every file that holds bytes of a run is long enough for them. It is called
// with place held.
func (h *handle) reaches(off, n int64) (err error) {
	h.layout.Spans(off, n, func(s layout.Span) bool {
		if s.File < 0 {
			return true
		}
		index, at := h.locate(s)
		var f *openFile
		if f, err = h.s.files.acquire(fileKey{h, index}, false); err != nil {
			err = missing(err)
			return false
		}
		defer h.s.files.release(f)
		fi, e := f.stat()
		if err = e; err == nil && fi.Size() < at+s.Length {
			err = fmt.Errorf("%s has %d bytes: %w", h.paths[s.File], fi.Size(), ErrMissing)
		}
		return err == nil
	})
	return err
}

// writer puts blocks into files.
type writer struct{ bufs [][]byte }

// write puts the blocks in memory of a piece into the files: each unbroken run of them in one file at once. It is
// called with the handle's place held.
func (w *writer) write(h *handle, index, length int, blocks []*block.Block) (err error) {
	at := 0
	h.layout.Spans(h.layout.PieceOffset(index), int64(length), func(s layout.Span) bool {
		end := at + int(s.Length)
		if s.File >= 0 {
			err = w.writeSpan(h, s, blocks, at, end)
		}
		at = end
		return err == nil
	})
	return h.diskError(h.root, err)
}

// writeSpan writes the bytes from at to end of a piece, which begin at s.
func (w *writer) writeSpan(h *handle, s layout.Span, blocks []*block.Block, at, end int) error {
	index, off := h.locate(s)
	var f *openFile
	for at < end {
		w.bufs = w.bufs[:0]
		size := 0
		for at < end {
			i := at / block.Size
			stop := min(end, (i+1)*block.Size)
			b := blocks[i]
			if b == nil && size > 0 {
				break
			}
			if b == nil {
				off += int64(stop - at)
			} else {
				w.bufs = append(w.bufs, b.Bytes()[at-i*block.Size:stop-i*block.Size])
				size += stop - at
			}
			at = stop
		}
		if size == 0 {
			break
		}
		if f == nil {
			var err error
			if f, err = h.forWriting(index); err != nil {
				return err
			}
			defer h.s.files.release(f)
		}
		if err := f.writeAll(w.bufs, off); err != nil {
			return err
		}
		h.wrote(written{index, off, int64(size)})
		off += int64(size)
	}
	return nil
}
