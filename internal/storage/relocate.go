package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// While content is copied to another file system it stays in use; what is written meanwhile is copied again. Of that,
// the last copyLast bytes, or whatever is left after copyRounds rounds, are copied while everything waits.
const (
	copyLast   = 16 << 20
	copyRounds = 8
)

// Relocate moves the content to another folder.
func (h *handle) Relocate(root string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	if h.spec.ReadOnly {
		return ErrReadOnly
	}
	h.syncing.Lock()
	defer h.syncing.Unlock()
	if err := h.move(root); !errors.Is(err, errCrossDevice) {
		return err
	}
	return h.copyTo(root)
}

// move renames every file. It fails with errCrossDevice, and then all is where it was, if one needs a copy.
func (h *handle) move(root string) error {
	h.place.Lock()
	defer h.place.Unlock()
	if h.closed {
		return ErrClosed
	}
	if root == h.root {
		return nil
	}
	from, to, err := h.openBoth(root)
	if err != nil || from == nil {
		return errors.Join(err, h.arrive(root))
	}
	defer from.close()
	defer to.close()
	h.s.files.forget(h, -1)
	var moved []string
	for i := range len(h.paths) + 1 {
		p := h.path(i)
		if _, err = from.stat(p); errors.Is(err, fs.ErrNotExist) {
			err = nil
			continue
		}
		if err == nil {
			err = h.s.disk.move(from, to, p)
		}
		if err != nil {
			break
		}
		moved = append(moved, p)
	}
	if err == nil {
		err = h.arrive(root)
	}
	if err != nil {
		for _, p := range moved {
			err = errors.Join(err, h.s.disk.move(to, from, p))
			to.prune(p)
		}
		return err
	}
	for _, p := range moved {
		from.prune(p)
	}
	return nil
}

// openBoth opens the present root and the new one; the present one may not exist, which is no error.
func (h *handle) openBoth(root string) (from, to folder, err error) {
	from, err = h.s.disk.open(h.root, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if to, err = h.s.disk.open(root, true); err != nil {
		from.close()
		return nil, nil, err
	}
	return from, to, nil
}

// arrive makes root the root. It is called with place held for writing.
func (h *handle) arrive(root string) error {
	if err := h.ledger.move(fingerprint(h.key, root)); err != nil {
		return errors.Join(err, h.ledger.move(fingerprint(h.key, h.root)))
	}
	h.root = root
	return nil
}

// copying is a content on its way to another file system.
type copying struct {
	h        *handle
	from, to folder
	made     map[int]string // files that exist in the new place because of us
	buf      []byte
}

// copyTo copies every file and then deletes the old ones.
func (h *handle) copyTo(root string) error {
	from, to, err := h.openBoth(root)
	if err != nil {
		return err
	}
	defer from.close()
	defer to.close()
	c := &copying{h: h, from: from, to: to, made: map[int]string{}, buf: make([]byte, chunk)}
	h.mu.Lock()
	h.log = new([]written)
	h.mu.Unlock()
	err = c.copyAll(root)
	h.mu.Lock()
	h.log = nil
	h.mu.Unlock()
	gone := from
	if err != nil {
		gone = to
	}
	for _, p := range c.made {
		if e := gone.remove(p); e != nil {
			h.warn(e)
		}
	}
	return h.diskError(root, err)
}

func (c *copying) copyAll(root string) error {
	h := c.h
	for i := range len(h.paths) + 1 { // syncing is held: paths do not change
		if err := c.copyFile(i); err != nil {
			return err
		}
	}
	for range copyRounds {
		if h.logged() <= copyLast {
			break
		}
		if err := c.copyLog(); err != nil {
			return err
		}
	}
	h.place.Lock()
	defer h.place.Unlock()
	if err := c.copyLog(); err != nil {
		return err
	}
	for i := range c.made {
		if err := c.settle(i); err != nil {
			return err
		}
	}
	h.s.files.forget(h, -1)
	return h.arrive(root)
}

// copyFile copies a file, or a symbolic link, if it exists.
func (c *copying) copyFile(i int) error {
	p := c.h.path(i)
	fi, err := c.from.stat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fi.Mode().Type() == fs.ModeSymlink && i < len(c.h.paths) {
		if err := c.to.symlink(c.h.layout.Files[i].Symlink, p); err != nil {
			return err
		}
		c.made[i] = p
		return nil
	}
	src, dst, err := c.open(i)
	if err != nil {
		return err
	}
	defer src.close()
	defer dst.close()
	if err := copyHoles(dst, src, fi.Size(), c.buf, c.h.stopping); err != nil {
		return err
	}
	return dst.sync()
}

// open opens a file in its old place and in the new, where it makes it, unless somebody else's file is there.
func (c *copying) open(i int) (src, dst file, err error) {
	p := c.h.path(i)
	if _, err := c.to.stat(p); c.made[i] == "" && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errors.Join(err, &fs.PathError{Op: "move", Path: p, Err: fs.ErrExist})
	}
	mode := forWriting | creating
	if i == len(c.h.paths) {
		mode |= scattered
	} else if c.h.layout.Files[i].Executable {
		mode |= executable
	}
	if src, err = c.from.openFile(p, 0); err != nil {
		return nil, nil, err
	}
	if dst, err = c.to.openFile(p, mode); err != nil {
		src.close()
		return nil, nil, err
	}
	c.made[i] = p
	return src, dst, nil
}

// copyLog copies again what was written since the last time.
func (c *copying) copyLog() error {
	h := c.h
	h.mu.Lock()
	runs := *h.log
	*h.log = nil
	h.mu.Unlock()
	for _, w := range runs {
		src, dst, err := c.open(w.index)
		if err != nil {
			return err
		}
		err = errors.Join(copyRange(dst, src, w.off, w.off, w.size, c.buf, h.stopping), src.close(), dst.close())
		if err != nil {
			return err
		}
	}
	return nil
}

// settle makes a copy the length of its original and durable.
func (c *copying) settle(i int) error {
	p := c.made[i]
	if fi, err := c.from.stat(p); err != nil || !fi.Mode().IsRegular() {
		return err
	}
	src, dst, err := c.open(i)
	if err != nil {
		return err
	}
	defer src.close()
	defer dst.close()
	fi, err := src.stat()
	if err == nil {
		err = dst.truncate(fi.Size())
	}
	if err == nil {
		err = dst.sync()
	}
	if err == nil {
		err = c.to.sync(p)
	}
	return err
}

// logged returns how many bytes were written since the last copyLog.
func (h *handle) logged() (n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range *h.log {
		n += w.size
	}
	return n
}

// Rename gives a file another path.
func (h *handle) Rename(i int, to string) error {
	if uint(i) >= uint(len(h.layout.Files)) {
		return fmt.Errorf("storage: file %d of %d", i, len(h.layout.Files))
	}
	if err := checkPath(to); err != nil {
		return err
	}
	if len(to) > maxPath {
		return fmt.Errorf("storage: path of %d bytes", len(to))
	}
	if h.spec.ReadOnly {
		return ErrReadOnly
	}
	h.syncing.Lock()
	defer h.syncing.Unlock()
	h.place.Lock()
	defer h.place.Unlock()
	if h.closed {
		return ErrClosed
	}
	old := h.paths[i]
	for _, p := range h.paths {
		if p == to {
			return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
		}
	}
	dir, err := h.s.disk.open(h.root, false)
	if errors.Is(err, fs.ErrNotExist) {
		h.paths[i] = to
		return h.ledger.rename(i, to)
	}
	if err != nil {
		return err
	}
	defer dir.close()
	if _, err := dir.stat(to); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist})
	}
	if err := h.ledger.rename(i, to); err != nil { // first: Open ends a rename that a crash interrupts here
		return err
	}
	h.s.files.forget(h, i)
	if err := dir.rename(old, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, h.ledger.rename(i, old))
	}
	h.paths[i] = to
	dir.prune(old)
	if err := dir.sync(to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Remove deletes the content's files, unless they are open read-only, and the journal, and closes.
func (h *handle) Remove() error {
	if !h.stop() {
		return ErrClosed
	}
	h.syncing.Lock()
	defer h.syncing.Unlock()
	h.place.Lock()
	defer h.place.Unlock()
	h.closed = true
	h.s.files.forget(h, -1)
	h.s.forget(h)
	err := h.ledger.remove()
	if h.spec.ReadOnly {
		return err
	}
	dir, e := h.s.disk.open(h.root, false)
	if errors.Is(e, fs.ErrNotExist) {
		return err
	}
	if e != nil {
		return errors.Join(err, e)
	}
	defer dir.close()
	for i := range len(h.paths) + 1 {
		p := h.path(i)
		fi, e := dir.stat(p)
		if e == nil && (fi.Mode().IsRegular() || fi.Mode().Type() == fs.ModeSymlink) {
			err = errors.Join(err, dir.remove(p))
		}
	}
	return err
}

// copyRange copies n bytes from srcOff to dstOff, or as far as there are any. It fails with ErrClosed once stop, if
// there is one, reports true.
func copyRange(dst io.WriterAt, src io.ReaderAt, dstOff, srcOff, n int64, buf []byte, stop func() bool) error {
	return copyChunks(src, srcOff, n, buf, stop, func(b []byte, off int64) error {
		_, err := dst.WriteAt(b, dstOff+off)
		return err
	})
}

// copyHoles copies a whole file of n bytes to an empty one, and leaves holes where it has only zeros.
func copyHoles(dst file, src io.ReaderAt, n int64, buf []byte, stop func() bool) error {
	err := copyChunks(src, 0, n, buf, stop, func(b []byte, off int64) error {
		for _, c := range b {
			if c != 0 {
				_, err := dst.WriteAt(b, off)
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return dst.truncate(n)
}

func copyChunks(src io.ReaderAt, off, n int64, buf []byte, stop func() bool, write func([]byte, int64) error) error {
	for done := int64(0); done < n; {
		if stop != nil && stop() {
			return ErrClosed
		}
		k, err := src.ReadAt(buf[:min(n-done, int64(len(buf)))], off+done)
		if err != nil && err != io.EOF {
			return err
		}
		if e := write(buf[:k], done); e != nil {
			return e
		}
		if err == io.EOF {
			return nil
		}
		done += int64(k)
	}
	return nil
}
