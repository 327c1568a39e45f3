// Package create makes a torrent from a file or folder on disk. It hashes on every core.
package create

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/layout"
)

// Progress is told how many bytes of how many are hashed, from several goroutines at once. It must not block.
type Progress func(done, total int64)

// chunk is the number of bytes read at once: they stay in a core's cache until they are hashed.
const chunk = 128 << 10

// Torrent makes a torrent of the file or folder at path. opts.Name defaults to the path's last component. The result
// depends on the content and opts only. notices say what was left out, and what those who fetch it will keep under
// another name than it has on disk.
//
// It fails if something cannot be read or changes meanwhile, and when ctx is done.
func Torrent(ctx context.Context, path string, opts metainfo.CreateOptions, progress Progress) (t *metainfo.Torrent, notices []string, err error) {
	w, err := walk(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	if opts.Name == "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, nil, err
		}
		opts.Name = filepath.Base(abs)
	}
	if len(w.files) == 0 {
		return nil, w.notices, fmt.Errorf("%s: no files to share", path)
	}
	b, err := metainfo.NewBuilder(w.files, opts)
	if err != nil {
		return nil, w.notices, fmt.Errorf("%s: %w", path, err)
	}
	if err := hash(ctx, path, b, progress); err != nil {
		return nil, w.notices, err
	}
	if err := w.unchanged(path); err != nil {
		return nil, w.notices, err
	}
	if t, err = b.Build(); err != nil {
		return nil, w.notices, fmt.Errorf("%s: %w", path, err)
	}
	return t, append(w.notices, t.Info.Notices...), nil
}

// hash hashes every piece of b. One worker a core takes two pieces at a time, in order, and hashes them side by side.
func hash(ctx context.Context, root string, b *metainfo.Builder, progress Progress) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := b.Layout()
	var next, done atomic.Int64
	total := l.DataSize()
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), l.Pieces()) {
		workers.Go(func() {
			h := newHasher(root, b)
			defer h.close()
			for ctx.Err() == nil {
				first := int(next.Add(2) - 2)
				if first >= l.Pieces() {
					return
				}
				n, err := h.pieces(ctx, first, min(first+2, l.Pieces()))
				if err != nil {
					cancel(err)
					return
				}
				if sum := done.Add(n); progress != nil {
					progress(sum, total)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// hasher is one worker.
type hasher struct {
	layout  *layout.Layout
	sum     *metainfo.PieceSum
	readers [2]reader // one for each piece of two side by side
}

func newHasher(root string, b *metainfo.Builder) *hasher {
	h := &hasher{layout: b.Layout(), sum: b.NewSum()}
	for i := range h.readers {
		h.readers[i] = reader{root: root, layout: h.layout, buf: make([]byte, chunk), at: -1}
	}
	return h
}

func (h *hasher) close() {
	for i := range h.readers {
		h.readers[i].close()
	}
}

// pieces hashes one piece or two, from first to before end, and returns how many bytes of files are in them.
func (h *hasher) pieces(ctx context.Context, first, end int) (n int64, err error) {
	if end-first == 2 && !h.layout.Alike(first, first+1) {
		for i := first; i < end && err == nil; i++ {
			var m int64
			m, err = h.pieces(ctx, i, i+1)
			n += m
		}
		return n, err
	}
	second := -1
	if end-first == 2 {
		second = first + 1
	}
	h.sum.Reset(first, second)
	size := int64(h.layout.DataLen(first))
	for at := int64(0); at < size; at += chunk {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		var bytes [2][]byte
		for i := first; i < end; i++ {
			r := &h.readers[i-first]
			bytes[i-first] = r.buf[:min(size-at, chunk)]
			m, err := r.read(bytes[i-first], h.layout.PieceOffset(i)+at)
			if err != nil {
				return 0, err
			}
			n += m
		}
		h.sum.Write(bytes[0], bytes[1])
	}
	return n, h.sum.Done()
}

// reader reads files, of which it keeps one open.
type reader struct {
	root   string
	layout *layout.Layout
	buf    []byte
	file   *os.File
	at     int // the index of file, -1 if none is open
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
	r.file, r.at = nil, -1
}

// read fills b from off in the address space, with zeros for gaps, and returns how many bytes are of files.
func (r *reader) read(b []byte, off int64) (n int64, err error) {
	r.layout.Spans(off, int64(len(b)), func(s layout.Span) bool {
		part := b[:s.Length]
		b = b[s.Length:]
		if s.File < 0 {
			clear(part)
		} else {
			err = r.span(part, s)
			n += s.Length
		}
		return err == nil
	})
	return n, err
}

// span reads a run of bytes of one file.
func (r *reader) span(b []byte, s layout.Span) error {
	if r.at != s.File {
		r.close()
		f, err := os.Open(onDisk(r.root, r.layout.Files[s.File].Path))
		if err != nil {
			return err
		}
		r.file, r.at = f, s.File
	}
	n, err := r.file.ReadAt(b, s.Offset)
	if n < len(b) && (err == nil || errors.Is(err, io.EOF)) {
		return fmt.Errorf("%s became shorter while it was hashed", r.file.Name())
	}
	if n < len(b) {
		return err
	}
	return nil
}

// onDisk returns where a file of the layout lies: below root, or root itself.
func onDisk(root, path string) string {
	return filepath.Join(root, filepath.FromSlash(path))
}

// stamp tells whether a file was changed.
type stamp struct {
	size int64
	time time.Time
}

// unchanged fails if a file is no longer as it was found, since its pieces may then be of two versions of it.
func (w *walker) unchanged(root string) error {
	for i := range w.files {
		f := &w.files[i]
		if f.Symlink != "" {
			continue
		}
		name := onDisk(root, f.Path)
		fi, err := os.Stat(name)
		if err != nil {
			return err
		}
		if now := (stamp{fi.Size(), fi.ModTime()}); now.size != w.stamps[i].size || !now.time.Equal(w.stamps[i].time) {
			return fmt.Errorf("%s was changed while it was hashed", name)
		}
	}
	return nil
}
