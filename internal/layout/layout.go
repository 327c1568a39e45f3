// Package layout is the geometry of content: files and pieces in one address space of bytes.
//
// Files lie in ascending order and do not overlap. What lies between them, and behind the last, is a gap: padding that
// exists in no file and reads as zeros. BEP 47 pad files and the piece alignment of BEP 52 are both gaps.
package layout

import (
	"fmt"
	"sort"

	"shoal/internal/block"
)

// File is one file of the content.
type File struct {
	Path       string // below the download folder, slash-separated, already made safe for any system
	Offset     int64  // of its first byte in the address space
	Length     int64  // bytes
	Executable bool   // BEP 47 attribute x
	Hidden     bool   // BEP 47 attribute h
	Symlink    string // BEP 47 attribute l: the safe path of its target, relative like Path; such a file has no bytes
}

// Layout describes content. It does not change once made.
type Layout struct {
	Files       []File
	Size        int64 // of the address space, gaps included
	PieceLength int64
	CutTail     bool // requests stop at the last byte of data of a piece (v2-only torrents, BEP 52), else at its end
}

// Pieces returns the number of pieces.
func (l *Layout) Pieces() int { return int((l.Size + l.PieceLength - 1) / l.PieceLength) }

// PieceOffset returns where a piece begins in the address space.
func (l *Layout) PieceOffset(piece int) int64 { return int64(piece) * l.PieceLength }

// PieceLen returns the length of a piece in bytes, its gaps included.
func (l *Layout) PieceLen(piece int) int {
	return int(min(l.PieceLength, l.Size-l.PieceOffset(piece)))
}

// DataLen returns the length of a piece up to the last byte that is in a file: 0 if the whole piece is a gap.
func (l *Layout) DataLen(piece int) int {
	start := l.PieceOffset(piece)
	end := start + int64(l.PieceLen(piece))
	for i := l.FileAt(end-1) + 1; i > 0; i-- { // the last file that begins before end; empty ones are passed over
		if f := &l.Files[i-1]; f.Length > 0 {
			return int(max(0, min(end, f.Offset+f.Length)-start))
		}
	}
	return 0
}

// Alike reports whether two pieces have as many bytes as each other, and as many of them in files, so that they can be hashed side by side.
func (l *Layout) Alike(a, b int) bool {
	return l.PieceLen(a) == l.PieceLen(b) && l.DataLen(a) == l.DataLen(b)
}

// Blocks returns how many blocks of a piece hold data and so have to be fetched.
func (l *Layout) Blocks(piece int) int { return (l.DataLen(piece) + block.Size - 1) / block.Size }

// BlockLen returns the length to request of the block that begins at begin, a multiple of block.Size below DataLen.
func (l *Layout) BlockLen(piece, begin int) int {
	if l.CutTail {
		return min(block.Size, l.DataLen(piece)-begin)
	}
	return min(block.Size, l.PieceLen(piece)-begin)
}

// FileAt returns the index of the last file whose offset is at most off, or -1.
func (l *Layout) FileAt(off int64) int {
	return sort.Search(len(l.Files), func(i int) bool { return l.Files[i].Offset > off }) - 1
}

// FilePieces returns the pieces that hold bytes of a file, as first and one past the last. They are equal for an empty file.
func (l *Layout) FilePieces(file int) (first, end int) {
	f := &l.Files[file]
	first = int(f.Offset / l.PieceLength)
	if f.Length == 0 {
		return first, first
	}
	return first, int((f.Offset+f.Length-1)/l.PieceLength) + 1
}

// DataSize returns the sum of the files' lengths.
func (l *Layout) DataSize() int64 {
	var n int64
	for i := range l.Files {
		n += l.Files[i].Length
	}
	return n
}

// Span is a run of bytes in one file, or in a gap (File is -1).
type Span struct {
	File   int
	Offset int64 // in the file
	Length int64
}

// Spans calls visit for each span of the n bytes from off, in order, until it returns false.
func (l *Layout) Spans(off, n int64, visit func(Span) bool) {
	for i := l.FileAt(off); n > 0; i++ {
		if i >= 0 && off < l.Files[i].Offset+l.Files[i].Length {
			f := &l.Files[i]
			m := min(n, f.Offset+f.Length-off)
			if !visit(Span{i, off - f.Offset, m}) {
				return
			}
			off, n = off+m, n-m
		}
		gap := n // to the end, unless another file begins first
		if i+1 < len(l.Files) {
			gap = min(n, l.Files[i+1].Offset-off)
		}
		if gap > 0 {
			if !visit(Span{-1, 0, gap}) {
				return
			}
			off, n = off+gap, n-gap
		}
	}
}

// Valid reports what is wrong with the geometry, if anything: order, overlap, bounds.
func (l *Layout) Valid() error {
	if l.PieceLength <= 0 {
		return fmt.Errorf("layout: piece length %d", l.PieceLength)
	}
	var end int64
	for i := range l.Files {
		f := &l.Files[i]
		if f.Length < 0 || f.Offset < end || f.Offset > l.Size-f.Length {
			return fmt.Errorf("layout: file %d (%q) at %d, %d bytes, does not fit", i, f.Path, f.Offset, f.Length)
		}
		end = f.Offset + f.Length
	}
	return nil
}
