package metainfo

import (
	"crypto/sha1"
	"fmt"
	"hash"
	"sync/atomic"

	"shoal/internal/layout"
	"shoal/internal/merkle"
	"shoal/internal/sha"
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

// Sum checks one piece, or two side by side, against their expected hashes: Reset, then the bytes [0, Layout.DataLen) in order by any
// number of Writes, then Good. It allocates nothing after NewSum.
type Sum struct {
	pieceHasher
	hashes *Hashes
}

// Reset begins a piece, 0 … Layout.Pieces()-1, or two that are alike (Layout.Alike); b is negative for one alone.
func (s *Sum) Reset(a, b int) {
	s.reset(a, b)
	for i := range s.n {
		l := &s.lanes[i]
		l.want, l.height, l.two = s.hashes.v2(l.piece)
	}
}

// Good ends the pieces and reports whether their bytes are right: by SHA-1 in a v1 or hybrid torrent, by the tree of BEP 52 where its
// hash is known, by both in a hybrid. It is false if nothing is known or bytes are missing, and for a piece that there is not.
func (s *Sum) Good() (a, b bool) {
	if s.left != 0 {
		return false, false
	}
	if s.one {
		s.sumV1()
	}
	return s.good(0), s.n == 2 && s.good(1)
}

func (s *Sum) good(i int) bool {
	l := &s.lanes[i]
	if s.one && l.sum != [sha1.Size]byte(s.hashes.info.Pieces[l.piece*sha1.Size:]) {
		return false
	}
	return (s.one || l.two) && (!l.two || l.tree.Root(l.height) == l.want)
}

// pieceHasher hashes the bytes of one piece, or of two side by side, by v1, v2 or both in one pass.
type pieceHasher struct {
	layout *layout.Layout
	one    bool      // hash for v1
	sha1   hash.Hash // of one piece
	pair   *sha.Pair1
	n      int // pieces: 1 or 2
	lanes  [2]lane
	left   int // bytes of data still to come of each
}

// lane is one piece of a pieceHasher.
type lane struct {
	piece  int
	two    bool // hash for v2
	tree   *merkle.Hasher
	sum    [sha1.Size]byte
	want   merkle.Hash // if it is checked
	height int
}

func newPieceHasher(l *layout.Layout, one, two bool) pieceHasher {
	p := pieceHasher{layout: l, one: one}
	if one {
		p.sha1, p.pair = sha1.New(), sha.NewPair1()
	}
	for i := range p.lanes {
		if p.lanes[i].two = two; two {
			p.lanes[i].tree = merkle.NewHasher()
		}
	}
	return p
}

func (p *pieceHasher) reset(a, b int) {
	p.n, p.left = 1, p.layout.DataLen(a)
	p.lanes[0].piece = a
	if b >= 0 {
		p.n, p.lanes[1].piece = 2, b
	}
	switch {
	case p.one && p.n == 2:
		p.pair.Reset()
	case p.one:
		p.sha1.Reset()
	}
	for i := range p.n {
		if t := p.lanes[i].tree; t != nil {
			t.Reset()
		}
	}
}

// Write takes the next bytes of each piece, as many of one as of the other; b is nil for one alone. More than there are spoil them.
func (p *pieceHasher) Write(a, b []byte) {
	if len(a) > p.left {
		p.left = -1 // never complete
		return
	}
	p.left -= len(a)
	for len(a) > 0 { // in turns, while the bytes are in the cache
		n := min(len(a), 2*merkle.BlockSize)
		if p.n == 2 {
			p.both(a[:n], b[:n])
			b = b[n:]
		} else {
			p.alone(a[:n])
		}
		a = a[n:]
	}
}

func (p *pieceHasher) alone(b []byte) {
	if p.one {
		p.sha1.Write(b)
	}
	if p.lanes[0].two {
		p.lanes[0].tree.Write(b)
	}
}

func (p *pieceHasher) both(a, b []byte) {
	if p.one {
		p.pair.Write(a, b)
	}
	switch x, y := &p.lanes[0], &p.lanes[1]; {
	case x.two && y.two:
		merkle.WriteBoth(x.tree, y.tree, a, b)
	case x.two:
		x.tree.Write(a)
	case y.two:
		y.tree.Write(b)
	}
}

var zeros [merkle.BlockSize]byte

// sumV1 ends the SHA-1 of the whole pieces: the gap behind the data is zeros.
func (p *pieceHasher) sumV1() {
	piece := p.lanes[0].piece
	for n := p.layout.PieceLen(piece) - p.layout.DataLen(piece); n > 0; {
		gap := zeros[:min(n, len(zeros))]
		n -= len(gap)
		if p.n == 2 {
			p.pair.Write(gap, gap)
		} else {
			p.sha1.Write(gap)
		}
	}
	if p.n == 2 {
		p.lanes[0].sum, p.lanes[1].sum = p.pair.Sum()
	} else {
		p.sha1.Sum(p.lanes[0].sum[:0])
	}
}
