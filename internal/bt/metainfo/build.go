package metainfo

import (
	"cmp"
	"crypto/sha1"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"shoal/internal/bencode"
	"shoal/internal/layout"
	"shoal/internal/merkle"
)

// Version tells which peers a new torrent is for.
type Version uint8

// The versions. A hybrid serves peers of both.
const (
	Hybrid Version = iota
	V1
	V2
)

// CreateOptions says what goes into a new torrent besides its content.
type CreateOptions struct {
	Name        string // of the file or folder
	Version     Version
	PieceLength int64 // bytes: a power of two from 16 KiB to 256 MiB, for V1 any multiple of 16 KiB; 0 chooses by size
	Private     bool
	Source      string // changes the infohash and nothing else
	Comment     string
	CreatedBy   string
	Announce    [][]string // trackers by tier
	WebSeeds    []string
	Created     time.Time // to the second; zero leaves it out
}

// AutoPieceLength returns the piece length for content of size bytes: the power of two, 16 KiB … 16 MiB, that makes
// 1,000 to 2,000 pieces where it can.
func AutoPieceLength(size int64) int64 {
	n := int64(merkle.BlockSize)
	for n < 16<<20 && size/n > 2000 {
		n *= 2
	}
	return n
}

// Builder makes a torrent from content that somebody else reads: NewBuilder, then for every piece of Layout a
// PieceSum, then Build. It does no I/O.
type Builder struct {
	opts   CreateOptions
	folder bool
	files  []layout.File // in their order; offsets as in layout
	layout layout.Layout
	pads   bool // gaps are BEP 47 pad files
	one    []byte
	two    []merkle.Hash
	done   []bool
}

// NewBuilder lays out content. The paths of files are below the content's folder; a single file with an empty path is
// content that is one file. It sorts a copy of files by their components, byte by byte, which is the order that BEP 52
// sets. Offsets are ignored; Symlink is a path like Path.
func NewBuilder(files []layout.File, opts CreateOptions) (*Builder, error) {
	b := &Builder{opts: opts, files: slices.Clone(files), folder: len(files) != 1 || files[0].Path != ""}
	slices.SortFunc(b.files, func(x, y layout.File) int { return comparePaths(x.Path, y.Path) })
	if err := b.check(); err != nil {
		return nil, err
	}
	var size int64
	for i := range b.files {
		f := &b.files[i]
		if f.Length < 0 || f.Length > maxSize-size || f.Symlink != "" && f.Length != 0 {
			return nil, fmt.Errorf("file %q cannot have %d bytes", f.Path, f.Length)
		}
		size += f.Length
	}
	if size == 0 {
		return nil, errors.New("all files are empty, so there is nothing to share")
	}
	if opts.PieceLength == 0 {
		b.opts.PieceLength = AutoPieceLength(size)
	}
	if err := b.lay(); err != nil {
		return nil, err
	}
	n := b.layout.Pieces()
	b.done = make([]bool, n)
	if b.hasV1() {
		b.one = make([]byte, n*sha1.Size)
	}
	if b.hasV2() {
		b.two = make([]merkle.Hash, n)
	}
	return b, nil
}

func (b *Builder) hasV1() bool { return b.opts.Version != V2 }
func (b *Builder) hasV2() bool { return b.opts.Version != V1 }

// comparePaths orders paths by their components: a slash is less than any byte in a name.
func comparePaths(x, y string) int {
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			if x[i] == '/' {
				return -1
			}
			if y[i] == '/' {
				return 1
			}
			return cmp.Compare(x[i], y[i])
		}
	}
	return cmp.Compare(len(x), len(y))
}

// check refuses names that no torrent can have, and files that are in one another's place.
func (b *Builder) check() error {
	if err := checkName(b.opts.Name); err != nil {
		return err
	}
	if len(b.files) > MaxFiles {
		return fmt.Errorf("%d files are more than %d", len(b.files), MaxFiles)
	}
	for i := range b.files {
		f := &b.files[i]
		if !b.folder {
			break
		}
		names := strings.Split(f.Path, "/")
		if len(names) > maxTreeDepth {
			return fmt.Errorf("path %q has more than %d components", f.Path, maxTreeDepth)
		}
		for _, name := range names {
			if err := checkName(name); err != nil {
				return fmt.Errorf("path %q: %w", f.Path, err)
			}
		}
		if i > 0 && (f.Path == b.files[i-1].Path || strings.HasPrefix(f.Path, b.files[i-1].Path+"/")) {
			return fmt.Errorf("path %q is taken by another file", b.files[i-1].Path)
		}
		if f.Symlink != "" && (path.Clean(f.Symlink) != f.Symlink || f.Symlink[0] == '/' || strings.HasPrefix(f.Symlink+"/", "../")) {
			return fmt.Errorf("symlink %q leads to %q, which is not in the content", f.Path, f.Symlink)
		}
	}
	if !b.folder && b.files[0].Symlink != "" {
		return errors.New("content is only a symlink")
	}
	return nil
}

// maxTreeDepth is how deep a file tree can be for its encoding to stay within bencode.MaxDepth.
const maxTreeDepth = bencode.MaxDepth - 4

func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%q is not a name", name)
	case !utf8.ValidString(name):
		return fmt.Errorf("name %q is not UTF-8", name)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("name %q has a slash or a NUL in it", name)
	}
	return nil
}

// lay gives every file its offset.
func (b *Builder) lay() error {
	n := b.opts.PieceLength
	if n < merkle.BlockSize || n > MaxPieceLength || n%merkle.BlockSize != 0 || b.hasV2() && n&(n-1) != 0 {
		kind := "a power of two"
		if !b.hasV2() {
			kind = "a multiple of 16 KiB"
		}
		return fmt.Errorf("piece length %d is not %s within %d … %d", n, kind, merkle.BlockSize, MaxPieceLength)
	}
	b.pads = b.opts.Version == Hybrid && len(b.files) > 1
	var off int64
	for i := range b.files {
		f := &b.files[i]
		if b.hasV2() && f.Length > 0 {
			off = (off + n - 1) / n * n
		}
		f.Offset = off
		off += f.Length
		if b.pads && f.Length > 0 {
			off = (off + n - 1) / n * n // the last file's too, as the reference of BEP 52 does
		}
	}
	b.layout = layout.Layout{Files: b.files, Size: off, PieceLength: n, CutTail: b.opts.Version == V2}
	if p := (off + n - 1) / n; p > MaxPieces {
		return fmt.Errorf("pieces of %d bytes are too short: there would be %d, more than %d", n, p, MaxPieces)
	}
	return nil
}

// Layout returns what to hash. Its paths are those given to NewBuilder.
func (b *Builder) Layout() *layout.Layout { return &b.layout }

// NewSum returns a hasher of pieces, for one goroutine. Each goroutine may have one, for pieces of its own.
func (b *Builder) NewSum() *PieceSum {
	return &PieceSum{pieceHasher: newPieceHasher(&b.layout, b.hasV1(), b.hasV2()), b: b}
}

// PieceSum hashes one piece, or two side by side, into a Builder: Reset, then the bytes [0, Layout.DataLen) in order by any number of
// Writes, then Done.
type PieceSum struct {
	pieceHasher
	b *Builder
}

// Reset begins a piece, or two that are alike (Layout.Alike); b is negative for one alone.
func (s *PieceSum) Reset(a, b int) { s.reset(a, b) }

// Done ends the pieces and keeps their hashes. It fails if bytes are missing.
func (s *PieceSum) Done() error {
	if s.left != 0 {
		return fmt.Errorf("piece %d lacks %d bytes", s.lanes[0].piece, s.left)
	}
	if s.one {
		s.sumV1()
	}
	for i := range s.n {
		l := &s.lanes[i]
		if s.one {
			copy(s.b.one[l.piece*sha1.Size:], l.sum[:])
		}
		if l.two {
			height := merkle.Layers(s.layout.PieceLength / merkle.BlockSize)
			if f := &s.layout.Files[s.layout.FileAt(s.layout.PieceOffset(l.piece))]; f.Length <= s.layout.PieceLength {
				height = merkle.Layers(merkle.Blocks(f.Length))
			}
			s.b.two[l.piece] = l.tree.Root(height)
		}
		s.b.done[l.piece] = true
	}
	return nil
}

// Build returns the torrent once every piece is done, as Parse reads it.
func (b *Builder) Build() (*Torrent, error) {
	if i := slices.Index(b.done, false); i >= 0 {
		return nil, fmt.Errorf("piece %d is not hashed", i)
	}
	info := map[string]any{"name": b.opts.Name, "piece length": b.opts.PieceLength}
	if b.opts.Private {
		info["private"] = 1
	}
	if b.opts.Source != "" {
		info["source"] = b.opts.Source
	}
	if b.hasV1() {
		b.buildV1(info)
	}
	layers := map[merkle.Hash][]byte(nil)
	if b.hasV2() {
		layers = b.buildV2(info)
	}
	raw := bencode.Append(nil, info)
	parsed, err := ParseInfo(raw)
	if err != nil {
		return nil, err
	}
	t := Torrent{
		Info: parsed, Announce: b.opts.Announce, WebSeeds: b.opts.WebSeeds, Comment: b.opts.Comment,
		CreatedBy: b.opts.CreatedBy, Created: b.opts.Created, PieceLayers: layers,
	}
	return Parse(t.Encode())
}

func (b *Builder) buildV1(info map[string]any) {
	info["pieces"] = b.one
	if !b.folder {
		info["length"] = b.files[0].Length
		if a := attr(&b.files[0]); a != "" {
			info["attr"] = a
		}
		return
	}
	var files []any
	for i := range b.files {
		f := &b.files[i]
		end := f.Offset
		if i > 0 {
			end = b.files[i-1].Offset + b.files[i-1].Length
		}
		files = b.pad(files, f.Offset-end)
		d := properties(f)
		d["length"] = f.Length
		d["path"] = list(strings.Split(f.Path, "/"))
		files = append(files, d)
	}
	last := b.files[len(b.files)-1]
	info["files"] = b.pad(files, b.layout.Size-last.Offset-last.Length)
}

// pad adds a pad file (BEP 47), if there is something to pad.
func (b *Builder) pad(files []any, n int64) []any {
	if n == 0 {
		return files
	}
	return append(files, map[string]any{"attr": "p", "length": n, "path": []any{".pad", strconv.FormatInt(n, 10)}})
}

// properties returns what both versions write of a file besides its place and its bytes.
func properties(f *layout.File) map[string]any {
	d := map[string]any{}
	if a := attr(f); a != "" {
		d["attr"] = a
	}
	if f.Symlink != "" {
		d["symlink path"] = list(strings.Split(f.Symlink, "/"))
	}
	return d
}

func attr(f *layout.File) string {
	var a string
	if f.Hidden {
		a += "h"
	}
	if f.Executable {
		a += "x"
	}
	if f.Symlink != "" {
		a += "l"
	}
	return a
}

// buildV2 writes the file tree and returns the piece layers.
func (b *Builder) buildV2(info map[string]any) map[merkle.Hash][]byte {
	layers := map[merkle.Hash][]byte{}
	root := map[string]any{}
	for i := range b.files {
		f := &b.files[i]
		d := properties(f)
		if f.Symlink == "" {
			d["length"] = f.Length
		}
		if f.Length > 0 {
			first, end := b.layout.FilePieces(i)
			hashes := b.two[first:end]
			top := merkle.Root(hashes, merkle.ZeroHash(merkle.Layers(b.opts.PieceLength/merkle.BlockSize)))
			if len(hashes) > 1 {
				layers[top] = bytesOf(hashes)
			}
			d["pieces root"] = top[:]
		}
		names := []string{b.opts.Name}
		if b.folder {
			names = strings.Split(f.Path, "/")
		}
		in := root
		for _, name := range names {
			next, ok := in[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				in[name] = next
			}
			in = next
		}
		in[""] = d
	}
	info["file tree"] = root
	info["meta version"] = 2
	return layers
}
