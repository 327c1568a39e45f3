package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// recall takes up what the ledger says about where files are and which pieces are sound, as far as the disk bears it
// out.
func (h *handle) recall() {
	h.takeUpRenames()
	v := h.ledger.v
	for i, aside := range v.aside {
		h.aside[i] = aside && h.layout.Files[i].Length > 0
	}
	stamps := h.survey()
	if lost := h.lost(&v.good, stamps, v.clean); len(lost) > 0 {
		h.ledger.doubt(lost)
	}
	h.sound = v.good.Clone()
	for p := range h.sound.Len() {
		if h.sound.Has(p) {
			h.countUnsound(p, -1, nil)
		}
	}
}

// takeUpRenames gives renamed files their paths, and ends a rename that a crash interrupted.
func (h *handle) takeUpRenames() {
	if len(h.ledger.v.renamed) == 0 {
		return
	}
	dir, err := h.s.disk.open(h.root, false)
	if err == nil {
		defer dir.close()
	}
	for i, paths := range h.ledger.v.renamed {
		before := h.paths[i]
		h.paths[i] = paths[len(paths)-1]
		if err != nil || h.spec.ReadOnly {
			continue
		}
		if _, e := dir.stat(h.paths[i]); !errors.Is(e, fs.ErrNotExist) {
			continue
		}
		for _, p := range append([]string{before}, paths[:len(paths)-1]...) {
			if _, e := dir.stat(p); e == nil {
				h.warn(dir.rename(p, h.paths[i]))
				break
			}
		}
	}
}

// settleFiles brings files and wishes together when content is opened: wanted files that have no bytes are made,
// bytes kept aside of files that are now wanted move into place, and unwanted files that do not exist are kept aside.
func (h *handle) settleFiles() error {
	if h.spec.ReadOnly {
		return nil
	}
	var stamps []stamp
	if slices.Contains(h.skip, true) {
		stamps = h.survey()
	}
	var aside []int
	back := false
	for i := range h.paths {
		switch {
		case !h.skip[i]:
			back = back || h.aside[i]
			if err := h.want(i); err != nil {
				return err
			}
		case !h.aside[i] && stamps[i].size < 0 && h.layout.Files[i].Length > 0:
			h.aside[i] = true
			aside = append(aside, i)
		}
	}
	h.ledger.setAside(aside, true)
	if back {
		return h.dropParts()
	}
	return nil
}

// want does what a file needs that is, or becomes, wanted. It is called with place held for writing.
func (h *handle) want(i int) error {
	f := &h.layout.Files[i]
	switch {
	case f.Length == 0:
		if err := h.makeEmpty(i); err != nil {
			h.warn(err)
		}
	case h.aside[i]:
		if err := h.bringBack(i); err != nil {
			return err
		}
	}
	if h.spec.Preallocate && f.Length > 0 {
		return h.reserve(i)
	}
	return nil
}

// reserve makes a file of which pieces are missing with all its blocks. It is called with place held for writing.
func (h *handle) reserve(i int) error {
	h.mu.Lock()
	whole := h.unsound[i] == 0
	h.mu.Unlock()
	if whole {
		return nil
	}
	f, err := h.prepare(i, false)
	if err == nil {
		err = f.close()
	}
	return h.diskError(h.root, err)
}

// makeEmpty makes a file without bytes, or a symbolic link (BEP 47), unless there is something of its name.
func (h *handle) makeEmpty(i int) error {
	dir, err := h.s.disk.open(h.root, true)
	if err != nil {
		return err
	}
	defer dir.close()
	if _, err := dir.stat(h.paths[i]); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lf := &h.layout.Files[i]
	if lf.Symlink != "" {
		return dir.symlink(lf.Symlink, h.paths[i])
	}
	mode := forWriting | creating
	if lf.Executable {
		mode |= executable
	}
	f, err := dir.openFile(h.paths[i], mode)
	if err != nil {
		return err
	}
	return f.close()
}

// bringBack moves the bytes of a file from the parts file into place. It is called with place held for writing.
func (h *handle) bringBack(i int) (err error) {
	defer func() { err = h.diskError(h.root, err) }()
	lf := &h.layout.Files[i]
	h.aside[i] = false
	defer func() { h.aside[i] = err != nil }()
	parts, err := h.s.files.acquire(fileKey{h, len(h.paths)}, false)
	if errors.Is(err, fs.ErrNotExist) { // nothing ever came
		h.ledger.setAside([]int{i}, false)
		return nil
	}
	if err != nil {
		return err
	}
	defer h.s.files.release(parts)
	made, err := h.prepare(i, true)
	if err != nil {
		return err
	}
	f := h.s.files.adopt(fileKey{h, i}, made, true)
	defer h.s.files.release(f)
	buf := make([]byte, chunk)
	first, end := h.layout.FilePieces(i)
	for p := first; p < end; p++ {
		h.mu.Lock()
		there := h.sound.Has(p) || h.pieces[p] != nil
		h.mu.Unlock()
		if !there {
			continue
		}
		from := max(lf.Offset, h.layout.PieceOffset(p))
		to := min(lf.Offset+lf.Length, h.layout.PieceOffset(p)+int64(h.layout.PieceLen(p)))
		if err := copyRange(f, parts, from-lf.Offset, from, to-from, buf, nil); err != nil {
			return err
		}
	}
	if err := f.sync(); err != nil {
		return err
	}
	h.ledger.setAside([]int{i}, false)
	return h.ledger.sync()
}

// dropParts deletes the parts file if no file needs it. It is called with place held for writing.
func (h *handle) dropParts() error {
	for i := range h.aside {
		if h.aside[i] {
			return nil
		}
	}
	parts := len(h.paths)
	h.s.files.forget(h, parts)
	h.mu.Lock()
	h.grown[parts], h.dirty[parts] = false, false
	h.mu.Unlock()
	dir, err := h.s.disk.open(h.root, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.close()
	return dir.remove(h.path(parts))
}

// SetSkip changes whether a file is wanted.
func (h *handle) SetSkip(i int, skip bool) error {
	if uint(i) >= uint(len(h.layout.Files)) {
		return fmt.Errorf("storage: file %d of %d", i, len(h.layout.Files))
	}
	h.syncing.Lock()
	defer h.syncing.Unlock()
	h.place.Lock()
	defer h.place.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.mu.Lock()
	h.skip[i] = skip
	h.mu.Unlock()
	if h.spec.ReadOnly {
		return nil
	}
	if !skip {
		if err := h.want(i); err != nil {
			return err
		}
		return h.dropParts()
	}
	if h.aside[i] || h.layout.Files[i].Length == 0 || h.exists(i) {
		return nil
	}
	h.aside[i] = true
	h.ledger.setAside([]int{i}, true)
	return nil
}

// exists reports whether there is anything at the path of a file. It is called with place held.
func (h *handle) exists(i int) bool {
	dir, err := h.s.disk.open(h.root, false)
	if err != nil {
		return false
	}
	defer dir.close()
	_, err = dir.stat(h.paths[i])
	return err == nil
}
