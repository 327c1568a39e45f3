package metainfo

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"sync/atomic"

	"shoal/internal/layout"
	"shoal/internal/merkle"
)

// layered reports whether a file has more than one piece, so that its root alone does not tell their hashes (BEP 52).
func (i *Info) layered(file int) bool {
	return i.HasV2 && i.Layout.Files[file].Length > i.Layout.PieceLength
}

// checkLayer reports what is wrong with the piece layer of a file, which was size bytes on the wire.
func (i *Info) checkLayer(file int, layer []merkle.Hash, size int) error {
	f := &i.Layout.Files[file]
	want := (f.Length + i.Layout.PieceLength - 1) / i.Layout.PieceLength
	if int64(size) != want*int64(len(merkle.Hash{})) {
		return fmt.Errorf("layer of %q has %d bytes, not %d for %d pieces", f.Path, size, want*int64(len(merkle.Hash{})), want)
	}
	if merkle.Root(layer, i.PiecePad()) != i.Roots[file] {
		return fmt.Errorf("layer of %q does not match its root", f.Path)
	}
	return nil
}

// PieceLayer returns the layer of the trees of BEP 52 on which a hash covers one piece: 0 for pieces of 16 KiB.
func (i *Info) PieceLayer() int { return merkle.Layers(i.Layout.PieceLength / merkle.BlockSize) }

// PiecePad returns the hash that pads a piece layer.
func (i *Info) PiecePad() merkle.Hash { return merkle.ZeroHash(i.PieceLayer()) }

// Hashes holds the expected hashes of a torrent's pieces. Those of v1 are there from the start; the piece layers of v2
// may come later (BEP 52). It is safe for concurrent use.
type Hashes struct {
	info   *Info
	layers []atomic.Pointer[[]merkle.Hash] // by file of the layout; nil for a v1 torrent
}

// NewHashes returns the hashes that info and the layers, by root, tell. A layer that does not match is an error.
func NewHashes(info *Info, layers map[merkle.Hash][]byte) (*Hashes, error) {
	h := &Hashes{info: info}
	if !info.HasV2 {
		return h, nil
	}
	h.layers = make([]atomic.Pointer[[]merkle.Hash], len(info.Layout.Files))
	for f := range info.Layout.Files {
		if b, ok := layers[info.Roots[f]]; ok && info.layered(f) {
			layer := hashesOf(b)
			if err := info.checkLayer(f, layer, len(b)); err != nil {
				return nil, fmt.Errorf("piece layers: %w", err)
			}
			h.layers[f].Store(&layer)
		}
	}
	return h, nil
}

// Info returns what the hashes are of.
func (h *Hashes) Info() *Info { return h.info }

// Known reports whether a piece can be checked: always in a v1 or hybrid torrent, in v2 alone once the layer of its
// file is there, if it needs one.
func (h *Hashes) Known(piece int) bool {
	if h.info.HasV1 {
		return true
	}
	_, _, ok := h.v2(piece)
	return ok
}

// v2 returns the node that a piece's bytes must give and how many layers it lies above their blocks.
func (h *Hashes) v2(piece int) (want merkle.Hash, height int, ok bool) {
	if !h.info.HasV2 {
		return want, 0, false
	}
	l := &h.info.Layout
	off := l.PieceOffset(piece)
	f := l.FileAt(off)
	if f < 0 || off >= l.Files[f].Offset+l.Files[f].Length {
		return want, 0, false
	}
	if !h.info.layered(f) {
		return h.info.Roots[f], merkle.Layers(merkle.Blocks(l.Files[f].Length)), true
	}
	layer := h.layers[f].Load()
	if layer == nil {
		return want, 0, false
	}
	return (*layer)[(off-l.Files[f].Offset)/l.PieceLength], h.info.PieceLayer(), true
}

// AddLayer takes the piece layer of a file once it is checked against the file's root. It keeps layer.
func (h *Hashes) AddLayer(file int, layer []merkle.Hash) error {
	if file < 0 || file >= len(h.layers) || !h.info.layered(file) {
		return fmt.Errorf("file %d has no piece layer", file)
	}
	if err := h.info.checkLayer(file, layer, len(layer)*len(merkle.Hash{})); err != nil {
		return err
	}
	h.layers[file].Store(&layer)
	return nil
}

// Layer returns the piece layer of a file, to be read only, or nil if it is not there or the file needs none.
func (h *Hashes) Layer(file int) []merkle.Hash {
	if file < 0 || file >= len(h.layers) {
		return nil
	}
	if layer := h.layers[file].Load(); layer != nil {
		return *layer
	}
	return nil
}

// MissingLayers returns the files whose piece layers are still to come, in order.
func (h *Hashes) MissingLayers() []int {
	var files []int
	for f := range h.layers {
		if h.info.layered(f) && h.layers[f].Load() == nil {
			files = append(files, f)
		}
	}
	return files
}

// PieceLayers returns the layers that are there by root, as a Torrent has them.
func (h *Hashes) PieceLayers() map[merkle.Hash][]byte {
	m := map[merkle.Hash][]byte{}
	for f := range h.layers {
		if layer := h.Layer(f); layer != nil {
			m[h.info.Roots[f]] = bytesOf(layer)
		}
	}
	return m
}

// NewSum returns a hasher of pieces, for one goroutine.
func (h *Hashes) NewSum() *Sum {
	return &Sum{hashes: h, pieceHasher: newPieceHasher(&h.info.Layout, h.info.HasV1, h.info.HasV2)}
}

// Sum checks one piece at a time against its expected hashes: Reset, then the bytes [0, Layout.DataLen) of the piece in
// order by any number of Writes, then Good. It allocates nothing after NewSum.
type Sum struct {
	pieceHasher
	hashes *Hashes
	want   merkle.Hash
	height int
	known  bool // want is
}

// Reset begins a piece, 0 … Layout.Pieces()-1.
func (s *Sum) Reset(piece int) {
	s.reset(piece)
	s.want, s.height, s.known = s.hashes.v2(piece)
	s.two = s.known
}

// Good ends the piece and reports whether its bytes are right: by SHA-1 in a v1 or hybrid torrent, by the tree of BEP 52
// where its hash is known, by both in a hybrid. It is false if nothing is known or bytes are missing.
func (s *Sum) Good() bool {
	if !s.complete() || !s.one && !s.known {
		return false
	}
	if s.one && s.sumV1() != [sha1.Size]byte(s.hashes.info.Pieces[s.piece*sha1.Size:]) {
		return false
	}
	return !s.known || s.tree.Root(s.height) == s.want
}

// pieceHasher hashes the bytes of a piece by v1, v2 or both in one pass.
type pieceHasher struct {
	layout   *layout.Layout
	one, two bool // hash for v1, for v2
	sha1     hash.Hash
	tree     *merkle.Hasher
	sum      [sha1.Size]byte
	piece    int
	left     int // bytes of data still to come
}

func newPieceHasher(l *layout.Layout, one, two bool) pieceHasher {
	p := pieceHasher{layout: l, one: one, two: two}
	if one {
		p.sha1 = sha1.New()
	}
	if two {
		p.tree = merkle.NewHasher()
	}
	return p
}

func (p *pieceHasher) reset(piece int) {
	p.piece, p.left = piece, p.layout.DataLen(piece)
	if p.one {
		p.sha1.Reset()
	}
	if p.tree != nil {
		p.tree.Reset()
	}
}

var errTooMuch = errors.New("more bytes than the piece has")

// Write takes the next bytes of the piece. It fails if there are more than Layout.DataLen.
func (p *pieceHasher) Write(b []byte) (int, error) {
	if len(b) > p.left {
		p.left = -1 // never complete
		return 0, errTooMuch
	}
	p.left -= len(b)
	for rest := b; len(rest) > 0; { // in turns, while the bytes are in the cache
		part := rest[:min(len(rest), merkle.BlockSize)]
		rest = rest[len(part):]
		if p.one {
			p.sha1.Write(part)
		}
		if p.two {
			p.tree.Write(part)
		}
	}
	return len(b), nil
}

func (p *pieceHasher) complete() bool { return p.left == 0 }

var zeros [merkle.BlockSize]byte

// sumV1 returns the SHA-1 of the whole piece: the gap behind its data is zeros.
func (p *pieceHasher) sumV1() [sha1.Size]byte {
	for n := p.layout.PieceLen(p.piece) - p.layout.DataLen(p.piece); n > 0; {
		m := min(n, len(zeros))
		p.sha1.Write(zeros[:m])
		n -= m
	}
	p.sha1.Sum(p.sum[:0])
	return p.sum
}
