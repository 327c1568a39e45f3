package storage

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"shoal/internal/block"
	"shoal/internal/layout"
)

// chunk is how much a worker reads at once: enough to amortise the call, little enough to stay in its core's cache.
const chunk = 256 << 10

// worker verifies and rechecks pieces.
type worker struct {
	s       *store
	id      int
	buf     []byte // chunk bytes, once needed
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

func (w *worker) buffer() []byte {
	if w.buf == nil {
		w.buf = make([]byte, chunk)
	}
	return w.buf
}

// verify hashes pieces of one content and writes the good ones.
func (w *worker) verify(batch []*piece) {
	h := batch[0].h
	w.results = w.results[:0]
	h.place.RLock()
	for _, p := range batch {
		r := w.verifyPiece(h, p)
		w.results = append(w.results, r)
		w.s.queued.Add(-int64(p.held))
		p.drop()
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

func (w *worker) verifyPiece(h *handle, p *piece) Result {
	r := Result{Piece: p.index}
	if r.Err = p.err; r.Err != nil {
		return r
	}
	if h.spec.ReadOnly {
		r.Err = ErrReadOnly
		return r
	}
	sum := w.sum(h)
	sum.Reset(p.index)
	if r.Err = w.eachBlock(h, p, func(b []byte) { sum.Write(b) }); r.Err != nil {
		return r
	}
	r.Good = sum.Good()
	if !r.Good || p.digests {
		r.Digests = make([]Digest, 0, len(p.blocks))
		r.Err = w.eachBlock(h, p, func(b []byte) {
			d := sha256.Sum256(b)
			r.Digests = append(r.Digests, Digest(d[:16]))
		})
	}
	if r.Good && r.Err == nil {
		r.Err = w.writer.write(h, p.index, p.length, p.blocks)
	}
	r.Good = r.Good && r.Err == nil
	return r
}

// eachBlock visits the blocks of a piece in order, and reads those that are not in memory.
func (w *worker) eachBlock(h *handle, p *piece, visit func([]byte)) error {
	off := h.layout.PieceOffset(p.index)
	for i := 0; i < len(p.blocks); {
		if b := p.blocks[i]; b != nil {
			visit(b.Bytes()[:p.blockLen(i)])
			i++
			continue
		}
		begin := i * block.Size
		n := 0
		for ; i < len(p.blocks) && p.blocks[i] == nil && n+p.blockLen(i) <= chunk; i++ {
			n += p.blockLen(i)
		}
		buf := w.buffer()[:n]
		if err := h.read(buf, off+int64(begin)); err != nil {
			return err
		}
		for len(buf) > 0 {
			k := min(block.Size, len(buf))
			visit(buf[:k])
			buf = buf[k:]
		}
	}
	return nil
}

// recheck reads and hashes a run of pieces.
func (w *worker) recheck(r run) {
	h := r.h
	w.results = w.results[:0]
	for _, p := range r.pieces {
		h.claim(p)
		good, err := w.recheckPiece(h, p)
		if errors.Is(err, ErrClosed) {
			h.unclaim(p)
			break
		}
		w.results = append(w.results, Result{Piece: p, Good: good, Recheck: true, Err: err})
	}
	if !h.spec.ReadOnly {
		h.markRead(w.results)
	}
	w.report(h, 1)
}

// recheckPiece reports whether a piece is good. A file that is missing or too short is no error. It fails with
// ErrClosed when the content is being closed.
func (w *worker) recheckPiece(h *handle, index int) (bool, error) {
	h.place.RLock()
	defer h.place.RUnlock()
	off, left := h.layout.PieceOffset(index), int64(h.layout.DataLen(index))
	if err := h.reaches(off, left); err != nil {
		if errors.Is(err, ErrMissing) {
			err = nil
		}
		return false, err
	}
	sum := w.sum(h)
	sum.Reset(index)
	for left > 0 {
		if h.stopping() {
			return false, ErrClosed
		}
		buf := w.buffer()[:min(left, chunk)]
		if err := h.read(buf, off); err != nil {
			if errors.Is(err, ErrMissing) {
				err = nil
			}
			return false, err
		}
		sum.Write(buf)
		off, left = off+int64(len(buf)), left-int64(len(buf))
	}
	return sum.Good(), nil
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
