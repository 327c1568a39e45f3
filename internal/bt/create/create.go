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

// hash hashes every piece of b. One worker a core takes whole pieces, in order.
func hash(ctx context.Context, root string, b *metainfo.Builder, progress Progress) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := b.Layout()
	var next, done atomic.Int64
	total := l.DataSize()
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), l.Pieces()) {
		workers.Go(func() {
			r := reader{root: root, layout: l, sum: b.NewSum(), buf: make([]byte, chunk), at: -1}
			defer r.close()
			for ctx.Err() == nil {
				piece := int(next.Add(1) - 1)
				if piece >= l.Pieces() {
					return
				}
				n, err := r.piece(ctx, piece)
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

// reader is one worker: it reads the files of pieces into a sum.
type reader struct {
	root   string
	layout *layout.Layout
	sum    *metainfo.PieceSum
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

// piece hashes one piece and returns how many bytes of files are in it.
func (r *reader) piece(ctx context.Context, piece int) (n int64, err error) {
	r.sum.Reset(piece)
	r.layout.Spans(r.layout.PieceOffset(piece), int64(r.layout.DataLen(piece)), func(s layout.Span) bool {
		if s.File < 0 {
			err = r.gap(s.Length)
		} else {
			err = r.span(ctx, s)
			n += s.Length
		}
		return err == nil
	})
	if err != nil {
		return 0, err
	}
	return n, r.sum.Done()
}

// gap hashes n zeros.
func (r *reader) gap(n int64) error {
	for n > 0 {
		b := r.buf[:min(n, chunk)]
		clear(b)
		if _, err := r.sum.Write(b); err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

// span hashes a run of bytes of one file.
func (r *reader) span(ctx context.Context, s layout.Span) error {
	if r.at != s.File {
		r.close()
		f, err := os.Open(onDisk(r.root, r.layout.Files[s.File].Path))
		if err != nil {
			return err
		}
		r.file, r.at = f, s.File
	}
	for s.Length > 0 {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		b := r.buf[:min(s.Length, chunk)]
		n, err := r.file.ReadAt(b, s.Offset)
		if n < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				return fmt.Errorf("%s became shorter while it was hashed", r.file.Name())
			}
			return err
		}
		if _, err := r.sum.Write(b); err != nil {
			return err
		}
		s.Offset, s.Length = s.Offset+int64(n), s.Length-int64(n)
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
