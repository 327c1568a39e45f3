package torrent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"shoal/internal/bitfield"
	"shoal/internal/bt/metainfo"
	"shoal/internal/storage"
)

// ErrAbsent is what ReadAt returns for what is not there yet, or not any more.
var ErrAbsent = errors.New("that part of the content is not there")

// readable is what readers in other goroutines need of an open torrent.
type readable struct {
	info  *metainfo.Info
	store storage.Handle
	view  *bitfield.Shared
}

// waiters are those who wait for pieces. Each is woken for its own piece alone. The zero value is ready.
type waiters struct {
	n  atomic.Int32 // how many there are: the loop looks no further while nobody waits
	mu sync.Mutex
	by map[int][]chan struct{}
}

func (w *waiters) add(piece int) <-chan struct{} {
	c := make(chan struct{})
	w.mu.Lock()
	if w.by == nil {
		w.by = map[int][]chan struct{}{}
	}
	w.by[piece] = append(w.by[piece], c)
	w.mu.Unlock()
	w.n.Add(1)
	return c
}

// remove forgets one who waits no more, if it was not woken.
func (w *waiters) remove(piece int, c <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, o := range w.by[piece] {
		if o == c {
			w.by[piece] = append(w.by[piece][:i], w.by[piece][i+1:]...)
			w.n.Add(-1)
		}
	}
	if len(w.by[piece]) == 0 {
		delete(w.by, piece)
	}
}

// wake wakes those who wait for a piece.
func (w *waiters) wake(piece int) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release(piece)
}

// wakeAll wakes everybody: something is wrong.
func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for piece := range w.by {
		w.release(piece)
	}
}

// release is called with mu held.
func (w *waiters) release(piece int) {
	for _, c := range w.by[piece] {
		close(c)
	}
	w.n.Add(-int32(len(w.by[piece])))
	delete(w.by, piece)
}

// readable returns what there is to read from.
func (t *Torrent) readable() (*readable, error) {
	r := t.reads.Load()
	switch {
	case t.closing.Load():
		return nil, ErrStopped
	case r == nil:
		return nil, errors.New("the content is not known yet")
	}
	return r, nil
}

// Has reports whether a piece is there and sound.
func (t *Torrent) Has(piece int) bool {
	r := t.reads.Load()
	return r != nil && piece >= 0 && piece < r.view.Len() && r.view.Has(piece)
}

// ReadAt fills p with content from off in the address space of the torrent's layout. What is not there yet is ErrAbsent, after the end of
// the torrent it is ErrStopped, else the error is the disk's. It does not disturb the loop.
func (t *Torrent) ReadAt(p []byte, off int64) error {
	r, err := t.readable()
	if err != nil {
		return err
	}
	l := &r.info.Layout
	if off < 0 || off+int64(len(p)) > l.Size {
		return fmt.Errorf("bytes %d+%d of content that has %d", off, len(p), l.Size)
	}
	if len(p) == 0 {
		return nil
	}
	there := func() bool {
		for i := off / l.PieceLength; i <= (off+int64(len(p))-1)/l.PieceLength; i++ {
			if !r.view.Has(int(i)) {
				return false
			}
		}
		return true
	}
	if !there() {
		return ErrAbsent
	}
	switch err := r.store.ReadAt(p, off); {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrClosed):
		return ErrStopped
	case errors.Is(err, storage.ErrEvicted):
		return ErrAbsent
	default:
		return err
	}
}

// Wait returns once a piece is there. Until somebody demands it, that may be long. It fails with ErrStopped when the torrent ends, with what
// is wrong when it stands still for a failure, or with ctx.
func (t *Torrent) Wait(ctx context.Context, piece int) error {
	for {
		if _, err := t.readable(); err != nil {
			return err
		}
		c := t.waiting.add(piece)
		if t.Has(piece) {
			t.waiting.remove(piece, c)
			return nil
		}
		if problem := t.status.Load().Problem; problem != nil {
			t.waiting.remove(piece, c)
			return problem
		}
		select {
		case <-c:
		case <-ctx.Done():
			t.waiting.remove(piece, c)
			return ctx.Err()
		case <-t.ended.done():
			t.waiting.remove(piece, c)
			return ErrStopped
		}
	}
}
