package storage

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"shoal/internal/bitfield"
	"shoal/internal/layout"
)

// partsFolder holds, below Root, the bytes of unwanted files that came with shared pieces.
const partsFolder = ".shoal-parts"

// checkPath refuses a path that is not below its folder or lies where ours do.
func checkPath(p string) error {
	if !filepath.IsLocal(filepath.FromSlash(p)) || path.Clean(p) != p || p == "." {
		return fmt.Errorf("path %q is not a clean path below the download folder", p)
	}
	if first, _, _ := strings.Cut(p, "/"); strings.EqualFold(first, partsFolder) {
		return fmt.Errorf("path %q lies in %s, which is ours", p, partsFolder)
	}
	return nil
}

// path returns where below root a file lies, or the parts file. It is called with place held.
func (h *handle) path(index int) string {
	if index == len(h.paths) {
		return path.Join(partsFolder, hex.EncodeToString(h.key[:16]))
	}
	return h.paths[index]
}

// locate returns the file, or the parts file, that holds a span, and the span's offset in it. It is called with place
// held.
func (h *handle) locate(s layout.Span) (int, int64) {
	if h.aside[s.File] {
		return len(h.paths), h.layout.Files[s.File].Offset + s.Offset
	}
	return s.File, s.Offset
}

// openFile opens a file that exists. It is called with place held.
func (h *handle) openFile(index int, write bool) (file, error) {
	dir, err := h.s.disk.open(h.root, false)
	if err != nil {
		return nil, err
	}
	defer dir.close()
	mode := openMode(0)
	if write {
		mode = forWriting
	}
	return dir.openFile(h.path(index), mode)
}

// forWriting acquires a file for writing and makes it first if need be. It is called with place held.
func (h *handle) forWriting(index int) (*openFile, error) {
	key := fileKey{h, index}
	h.mu.Lock()
	grown := h.grown[index]
	h.mu.Unlock()
	if grown {
		f, err := h.s.files.acquire(key, true)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	f, err := h.prepare(index, false)
	if err != nil {
		return nil, err
	}
	return h.s.files.adopt(key, f, true), nil
}

// prepare makes a file and gives it its length. A file that was there, of which pieces are sound, is not made again
// once it is gone, unless again is true: its bytes are lost and a Recheck has to say so. It returns the file open for writing, and is
// called with place held.
func (h *handle) prepare(index int, again bool) (file, error) {
	mode, size := forWriting|creating|scattered, int64(0)
	h.mu.Lock()
	if index < len(h.paths) {
		f := &h.layout.Files[index]
		first, end := h.layout.FilePieces(index)
		size, mode = f.Length, forWriting
		if again || h.unsound[index] == end-first {
			mode |= creating
		}
		if f.Executable {
			mode |= executable
		}
	}
	reserve := h.spec.Preallocate && size > 0 && !h.skip[index]
	h.mu.Unlock()
	dir, err := h.s.disk.open(h.root, mode&creating != 0)
	if err != nil {
		return nil, missing(err)
	}
	defer dir.close()
	f, err := dir.openFile(h.path(index), mode)
	if err != nil {
		return nil, missing(err)
	}
	if err := lengthen(f, size, reserve); err != nil {
		f.close()
		return nil, err
	}
	h.mu.Lock()
	h.grown[index] = true
	h.born[index] = h.born[index] || mode&creating != 0
	h.mu.Unlock()
	return f, nil
}

// lengthen makes a file at least size bytes long, with or without blocks of the disk behind them.
func lengthen(f file, size int64, reserve bool) error {
	if reserve {
		if err := f.allocate(size); err != nil {
			return err
		}
	}
	fi, err := f.stat()
	if err != nil || fi.Size() >= size {
		return err
	}
	return f.truncate(size)
}

// wrote notes that a run of bytes was written.
func (h *handle) wrote(w written) {
	h.mu.Lock()
	h.dirty[w.index], h.unsaved = true, true
	if h.log != nil {
		*h.log = append(*h.log, w)
	}
	h.mu.Unlock()
}

// markRead notes that the files of pieces that were found good on disk may not be synced: another may have written
// them, or we, before a crash.
func (h *handle) markRead(results []Result) {
	h.place.RLock()
	defer h.place.RUnlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range results {
		if r.Good && !h.sound.Has(r.Piece) {
			h.layout.Spans(h.layout.PieceOffset(r.Piece), int64(h.layout.DataLen(r.Piece)), func(s layout.Span) bool {
				if s.File >= 0 {
					index, _ := h.locate(s)
					h.dirty[index], h.unsaved = true, true
				}
				return true
			})
		}
	}
}

// news appends the pieces that results make sound, and those that they make unsound, to two lists.
func (h *handle) news(results []Result, good, bad []uint32) ([]uint32, []uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range results {
		if was := h.sound.Has(r.Piece); r.Good && !was {
			good = append(good, uint32(r.Piece))
		} else if !r.Good && was {
			bad = append(bad, uint32(r.Piece))
		}
	}
	return good, bad
}

// settle takes results into what is sound, and ends the collection of pieces that were verified. Files that this
// completes are cut to their length.
func (h *handle) settle(results []Result) {
	var complete []int
	h.mu.Lock()
	for _, r := range results {
		if r.Good && h.sound.Add(r.Piece) {
			complete = h.countUnsound(r.Piece, -1, complete)
		} else if !r.Good && h.sound.Remove(r.Piece) {
			h.countUnsound(r.Piece, 1, nil)
		}
		if p := h.pieces[r.Piece]; p != nil && p.rechecking == r.Recheck {
			h.drop(p)
		}
	}
	h.mu.Unlock()
	if h.spec.ReadOnly {
		return
	}
	for _, i := range complete {
		if err := h.trim(i); err != nil {
			h.warn(err)
		}
	}
}

// countUnsound counts a piece that has become sound (-1) or unsound (1) for its files, and appends the files that have
// no unsound piece left. It is called with mu held.
func (h *handle) countUnsound(piece, by int, complete []int) []int {
	h.layout.Spans(h.layout.PieceOffset(piece), int64(h.layout.DataLen(piece)), func(s layout.Span) bool {
		if s.File >= 0 {
			h.unsound[s.File] += by
			if h.unsound[s.File] == 0 {
				complete = append(complete, s.File)
			}
		}
		return true
	})
	return complete
}

// trim cuts a file whose pieces are all sound to its length.
func (h *handle) trim(index int) error {
	h.place.RLock()
	defer h.place.RUnlock()
	if h.aside[index] {
		return nil
	}
	key, size := fileKey{h, index}, h.layout.Files[index].Length
	f, err := h.s.files.acquire(key, false)
	if err != nil {
		return err
	}
	fi, err := f.stat()
	h.s.files.release(f)
	if err != nil || fi.Size() <= size {
		return err
	}
	if f, err = h.s.files.acquire(key, true); err != nil {
		return err
	}
	defer h.s.files.release(f)
	return f.truncate(size)
}

// diskError makes an error that says there is no space wrap ErrFull and name the file system that root is on.
func (h *handle) diskError(root string, err error) error {
	if err == nil || errors.Is(err, ErrFull) || !isFull(err) {
		return err
	}
	_, mount, _ := h.s.disk.room(root)
	return fmt.Errorf("%w on %s: %w", ErrFull, mount, err)
}

// Present returns the pieces of which a file has at least one byte.
func (h *handle) Present() bitfield.Set {
	h.place.RLock()
	defer h.place.RUnlock()
	set := bitfield.New(h.layout.Pieces())
	for i, st := range h.survey()[:len(h.paths)] {
		f := &h.layout.Files[i]
		if n := min(st.size, f.Length); n > 0 {
			for p := f.Offset / h.layout.PieceLength; p <= (f.Offset+n-1)/h.layout.PieceLength; p++ {
				set.Add(int(p))
			}
		}
	}
	return set
}

// survey looks at every file that has bytes, and the parts file. It is called with place held, or while there is no
// other to change places.
func (h *handle) survey() []stamp {
	stamps := make([]stamp, len(h.paths)+1)
	for i := range stamps {
		stamps[i].size = -1
	}
	dir, err := h.s.disk.open(h.root, false)
	if err != nil {
		return stamps
	}
	defer dir.close()
	for i := range stamps {
		if i < len(h.paths) && h.layout.Files[i].Length == 0 {
			continue
		}
		if fi, err := dir.stat(h.path(i)); err == nil && fi.Mode().IsRegular() {
			stamps[i] = stampOf(fi.Size(), fi.ModTime())
		}
	}
	return stamps
}

// lost returns the pieces of a set for which a file is missing or too short or, if before is given, not as it was
// then.
func (h *handle) lost(good *bitfield.Set, stamps, before []stamp) []uint32 {
	gone := bitfield.New(good.Len())
	for i := range h.paths {
		f := &h.layout.Files[i]
		if f.Length == 0 {
			continue
		}
		place, start := i, int64(0)
		if h.aside[i] {
			place, start = len(h.paths), f.Offset
		}
		whole := max(0, stamps[place].size-start) // bytes of the file that can be there
		if before != nil && before[place] != stamps[place] {
			whole = 0
		}
		if whole >= f.Length {
			continue
		}
		for p := (f.Offset + whole) / h.layout.PieceLength; p <= (f.Offset+f.Length-1)/h.layout.PieceLength; p++ {
			if good.Has(int(p)) {
				gone.Add(int(p))
			}
		}
	}
	var list []uint32
	for p := range gone.Len() {
		if gone.Has(p) {
			list = append(list, uint32(p))
		}
	}
	return list
}

// withdrawLost withdraws the pieces whose files are not there, before a clean close vouches for them.
func (h *handle) withdrawLost(stamps []stamp) {
	h.mu.Lock()
	lost := h.lost(&h.sound, stamps, nil)
	h.mu.Unlock()
	if len(lost) > 0 {
		h.ledger.bad(lost)
	}
}
