// Package storage keeps content on disk: it collects blocks into pieces, has them hashed, writes them where they will
// stay, and remembers across crashes which are sound. It knows files and pieces and nothing of BitTorrent.
package storage

import (
	"errors"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/layout"
)

// Errors that a Result or a call may wrap.
var (
	ErrFull     = errors.New("no space left") // the message names the filesystem
	ErrReadOnly = errors.New("content is open read-only")
	ErrClosed   = errors.New("storage is closed")
	ErrMissing  = errors.New("file is missing or too short")
	ErrEvicted  = errors.New("the piece was given up to make room")
)

// Sum hashes one piece, or two side by side, which takes a core little longer than one: Reset, then the bytes [0, Layout.DataLen) in
// order by any number of Writes, then Good. Each worker has its own.
type Sum interface {
	// Reset begins a piece, or two that are alike (Layout.Alike); b is negative for one alone.
	Reset(a, b int)
	// Write takes the next bytes of each piece, as many of one as of the other; b is nil for one alone.
	Write(a, b []byte)
	// Good reports whether the bytes are those that the content's publisher hashed.
	Good() (a, b bool)
}

// Digest identifies the bytes of one block, so that the sender of a bad one can be found later.
type Digest [16]byte

// Result is the outcome of Verify or of one piece of Recheck.
type Result struct {
	Piece   int
	Good    bool     // hashed right and, after Verify, written
	Recheck bool     // the answer to Recheck, not to Verify
	Evicted bool     // the answer to nothing: a piece that was sound was given up to make room, and is Good no more
	Err     error    // the disk failed; Good is false and the piece's cached blocks are gone
	Digests []Digest // one a block, if Verify found the piece bad or was asked for them
}

// Spec says what to open.
type Spec struct {
	Layout  *layout.Layout
	Root    string          // folder below which the files' paths lie
	NewSum  func() Sum      // called once by each worker that needs one
	Done    func(...Result) // called from workers; must not block; the slice is the callee's only during the call
	Warn    func(error)     // told of what is wrong but stops nothing, such as a corrupt journal; may be nil
	Journal string          // path of the resume journal; empty: nothing is remembered
	Skip    []bool          // by file: not wanted; nil: all wanted
	Paths   map[int]string  // by file: where below Root it lies, if that is not the layout's path; Rename still overrides it

	ReadOnly bool // never create, write or truncate
	// Preallocate reserves the blocks of wanted files when they become wanted, where the system can (fallocate on
	// Linux); elsewhere, and without it, files are sparse.
	Preallocate bool
}

// Store opens content. Implementations share their workers, caches and open files among all that is open.
type Store interface {
	Open(Spec) (Handle, error)
	// Close ends the workers. Every handle must be closed first.
	Close() error
}

// Handle is one open content. Its methods are safe for concurrent use; those that say so never wait for a disk.
type Handle interface {
	// Sound returns the pieces that the journal vouches for and whose files are as it left them. Its complement, where
	// Present, is worth a Recheck.
	Sound() bitfield.Set
	// Present returns the pieces for which a file has at least one byte on disk: candidates for Recheck when there is no journal.
	Present() bitfield.Set

	// Write takes a block of a piece that is being collected. It takes ownership and never waits. A block that is there
	// already is released, and so is one of a piece that is sound or being verified, one that is shorter than the data
	// that it stands for, and one that comes after the disk failed the piece. begin is a multiple of block.Size.
	Write(piece, begin int, b *block.Block)
	// Verify hashes a piece of which every block was written and, if it is good, puts it into the files and into the
	// journal; then Done. With digests true the Result has Digests even if the piece is good. Digests are over the
	// bytes that are hashed, so the last ends with the piece's data. Blocks that were not written are read from disk. It
	// never waits.
	Verify(piece int, digests bool)
	// Discard drops what was collected of a piece, unless it is being verified. It never waits.
	Discard(piece int)
	// Recheck reads pieces from disk and hashes them on every core; one Result each, in any order. Good pieces become
	// sound, others are so no longer, in the journal too. What was collected of them is dropped, and so are blocks that
	// come meanwhile; a piece is not to be verified meanwhile. It never waits.
	Recheck(pieces []int)
	// ReadAt fills p from off in the address space; gaps read as zeros. For pieces found good only.
	ReadAt(p []byte, off int64) error

	// SetSkip changes which files are wanted. Bytes of unwanted files that arrive with shared pieces are kept aside and
	// move into place when the file becomes wanted.
	SetSkip(file int, skip bool) error
	// Room returns the bytes free for us on the filesystem of Root and the filesystem's name (its mount point).
	Room() (free int64, mount string, err error)
	// Relocate moves every file below a new root and goes on there. Across filesystems it copies while everything else
	// goes on, syncs, then removes; Close cancels that. It fails rather than replace a file, and then all is where it was.
	Relocate(root string) error
	// Rename gives a file another safe path below Root.
	Rename(file int, path string) error
	// Flush writes what is collected to disk and syncs files and journal: after it even a power loss costs nothing.
	Flush() error
	// Remove deletes the content's files, the folders that this leaves empty, and the journal. The handle is closed.
	Remove() error
	// Close syncs and closes. Outstanding Verify calls are answered and Recheck calls dropped before it returns.
	Close() error
}
