// Package stream plays content while it is fetched: a Reader waits for the pieces that it comes to and has the next ones fetched in time;
// Server hands files to players over HTTP.
package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"shoal/internal/bt/torrent"
	"shoal/internal/layout"
)

// Options of a Reader. The zero value of a field means its default.
type Options struct {
	Ahead   int64 // most bytes fetched ahead; 0: DefaultAhead
	Bitrate int64 // bytes/s that will be read; 0: estimated
}

// Reader reads one file of a torrent that may still be downloading. It is safe for concurrent use, one call after the other.
type Reader struct {
	ctx    context.Context
	t      *torrent.Torrent
	lay    *layout.Layout
	file   int
	base   int64 // of the file in the content
	size   int64
	ahead  int64
	demand *torrent.Demand

	mu     sync.Mutex
	pos    int64
	pace   pace
	told   int       // the piece that the torrent was told we are at; -1: none
	due    int       // the last piece after it that was given a time
	toldAt time.Time // when
	closed bool
}

// How often a reader says anew by when it needs what: one that stays in a piece, and one that goes on.
const (
	retell = 5 * time.Second
	pause  = 200 * time.Millisecond
)

// Open begins to read a file. It waits until the content is known and checked, and no longer than ctx, which ends reads as well. The Reader must
// be closed; until then the file is wanted.
func Open(ctx context.Context, t *torrent.Torrent, file int, o Options) (*Reader, error) {
	select {
	case <-t.Settled():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d, err := t.Demand(file)
	if err != nil {
		return nil, err
	}
	if o.Ahead <= 0 {
		o.Ahead = DefaultAhead
	}
	lay := &t.Info().Layout
	f := &lay.Files[file]
	return &Reader{ctx: ctx, t: t, lay: lay, file: file, base: f.Offset, size: f.Length, ahead: o.Ahead, demand: d, told: -1,
		pace: newPace(f.Length, o.Bitrate, time.Now())}, nil
}

// Size returns the file's length in bytes.
func (r *Reader) Size() int64 { return r.size }

// Read reads on from where the last read ended. It waits for the next byte, not for len(p) of them. Errors: io.EOF; torrent.ErrStopped; what
// is wrong with the disk; the context's.
func (r *Reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.read(p, r.pos)
	r.pos += int64(n)
	return n, err
}

// ReadAt fills p from off; the next Read goes on where it did before. See io.ReaderAt; the errors are those of Read.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := 0
	for done < len(p) {
		n, err := r.read(p[done:], off+int64(done))
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// read reads from pos to the end of its piece at most.
func (r *Reader) read(p []byte, pos int64) (int, error) {
	switch {
	case r.closed:
		return 0, errors.New("the reader is closed")
	case pos < 0:
		return 0, fmt.Errorf("offset %d", pos)
	case pos >= r.size:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	at := r.base + pos
	piece := int(at / r.lay.PieceLength)
	n := min(int64(len(p)), r.lay.PieceOffset(piece+1)-at, r.size-pos)
	for {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		r.tell(piece, pos, false)
		err := r.t.ReadAt(p[:n], at)
		if err == nil {
			r.pace.read(int(n), time.Now())
			return int(n), nil
		}
		if !errors.Is(err, torrent.ErrAbsent) {
			return 0, err
		}
		r.tell(piece, pos, true)
		if err := r.t.Wait(r.ctx, piece); err != nil {
			return 0, err
		}
	}
}

// tell has the torrent fetch what is needed at pos and after it. It says so now and then, at once after a seek and when the reader has to wait:
// what is waited for is needed now, not when it was expected to be.
func (r *Reader) tell(piece int, pos int64, waits bool) {
	now := time.Now()
	since := now.Sub(r.toldAt)
	jumped := r.told < 0 || piece < r.told || piece > r.due
	switch {
	case jumped:
		r.pace.moved(now)
	case piece == r.told && since < retell:
		return
	case piece != r.told && since < pause && !waits:
		return
	}
	w := plan(r.lay, r.file, pos, r.pace.rate, r.ahead)
	r.demand.Set(w.due, w.first, w.end)
	r.told, r.toldAt, r.due = piece, now, w.last
}

// begin says what is needed at pos before anything is read there.
func (r *Reader) begin(pos int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if pos < r.size {
		r.tell(int((r.base+pos)/r.lay.PieceLength), pos, false)
	}
}

// Seek sets where the next Read begins. What is fetched changes with that.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("whence %d", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d", offset)
	}
	r.pos = offset
	return offset, nil
}

// Close ends the reading. Files that are wanted for no other reason are wanted no more. It does not wait for a Read: cancel its context for that.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		r.demand.Close()
	}
	return nil
}
