// Package merkle holds the SHA-256 trees by which BitTorrent v2 names files (BEP 52).
//
// The leaves of a file's tree are the hashes of its 16 KiB blocks, the last block as short as it is. Layer 0 is that of
// the leaves. A tree is padded with zero leaves to a power of two. The piece layer is the one where a node covers one
// piece.
package merkle

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"math/bits"

	"shoal/internal/sha"
)

// BlockSize is the number of bytes under one leaf.
const BlockSize = 16 << 10

// MaxLayer is the highest layer that the functions here work with: 2^62 bytes under one root.
const MaxLayer = 48

// Hash is a node of a tree. The zero Hash is the leaf that pads a tree.
type Hash [sha256.Size]byte

// IsZero reports whether the hash is zero.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns 64 lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Sum returns the leaf of a block of at most BlockSize bytes.
func Sum(block []byte) Hash { return sha256.Sum256(block) }

// Pair returns the node above two nodes.
func Pair(left, right Hash) Hash {
	var b [2 * sha256.Size]byte
	copy(b[:], left[:])
	copy(b[sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

var zeros = func() (z [MaxLayer + 1]Hash) {
	for i := range MaxLayer {
		z[i+1] = Pair(z[i], z[i])
	}
	return z
}()

// ZeroHash returns the node of a layer, 0 … MaxLayer, that has only padding under it.
func ZeroHash(layer int) Hash { return zeros[layer] }

// Layers returns how many layers lie above n nodes once they are padded to a power of two: 0 for one node or none.
func Layers(n int64) int {
	if n <= 1 {
		return 0
	}
	return bits.Len64(uint64(n - 1))
}

// Blocks returns the number of leaves of a file of length bytes.
func Blocks(length int64) int64 { return (length + BlockSize - 1) / BlockSize }

// Root returns the root over nodes of one layer, padded with pad to a power of two. Over no nodes it is pad.
func Root(nodes []Hash, pad Hash) Hash {
	var s Stack
	for _, h := range nodes {
		s.Push(h)
	}
	return s.Root(Layers(int64(len(nodes))), pad)
}

// Stack builds a root from nodes of one layer, given from left to right, in memory that does not grow. Its zero value
// is ready.
type Stack struct {
	n     uint64
	nodes [MaxLayer + 1]Hash // nodes[i] is the root of 2^i nodes if bit i of n is set
}

// Reset forgets all nodes.
func (s *Stack) Reset() { s.n = 0 }

// Len returns the number of nodes pushed.
func (s *Stack) Len() int { return int(s.n) }

// Push adds the next node. There is room for 2^MaxLayer.
func (s *Stack) Push(h Hash) {
	i := 0
	for ; s.n>>i&1 == 1; i++ {
		h = Pair(s.nodes[i], h)
	}
	s.nodes[i] = h
	s.n++
}

// Root returns the root that lies layers above the nodes, which are padded with pad. At most 2^layers nodes may have
// been pushed; the stack stays as it is.
func (s *Stack) Root(layers int, pad Hash) Hash {
	if s.n>>layers == 1 {
		return s.nodes[layers]
	}
	root, have := Hash{}, false
	for i := range layers {
		switch whole := s.n>>i&1 == 1; {
		case whole && have:
			root = Pair(s.nodes[i], root)
		case whole:
			root, have = Pair(s.nodes[i], pad), true
		case have:
			root = Pair(root, pad)
		}
		pad = Pair(pad, pad)
	}
	if !have {
		return pad
	}
	return root
}

// Hasher makes the leaves of a byte stream and their root. It allocates only when it is made. Use NewHasher.
type Hasher struct {
	stack Stack
	part  hash.Hash
	fill  int // bytes of the current leaf in part
	sum   [sha256.Size]byte
}

// NewHasher returns an empty hasher.
func NewHasher() *Hasher { return &Hasher{part: sha256.New()} }

// Reset begins a new stream.
func (h *Hasher) Reset() {
	h.stack.Reset()
	h.part.Reset()
	h.fill = 0
}

// Write takes the next bytes.
func (h *Hasher) Write(p []byte) {
	for len(p) > 0 {
		if h.fill == 0 && len(p) >= BlockSize {
			if len(p) >= 2*BlockSize {
				a, b := sha.Sum256(p[:BlockSize], p[BlockSize:2*BlockSize])
				h.stack.Push(a)
				h.stack.Push(b)
				p = p[2*BlockSize:]
				continue
			}
			h.stack.Push(sha256.Sum256(p[:BlockSize]))
			p = p[BlockSize:]
			continue
		}
		m := min(len(p), BlockSize-h.fill)
		h.part.Write(p[:m])
		p = p[m:]
		if h.fill += m; h.fill == BlockSize {
			h.flush()
		}
	}
}

// WriteBoth is Write to two hashers that have had as many bytes as each other, of as many bytes to each. It takes little longer than
// one of them.
func WriteBoth(x, y *Hasher, a, b []byte) {
	for x.fill == 0 && len(a) >= BlockSize && len(b) >= BlockSize {
		l, r := sha.Sum256(a[:BlockSize], b[:BlockSize])
		x.stack.Push(l)
		y.stack.Push(r)
		a, b = a[BlockSize:], b[BlockSize:]
	}
	x.Write(a)
	y.Write(b)
}

func (h *Hasher) flush() {
	h.part.Sum(h.sum[:0])
	h.stack.Push(h.sum)
	h.part.Reset()
	h.fill = 0
}

// Root ends the stream, of at most 2^layers blocks, and returns the root that lies layers above its leaves: of a piece
// with Layers(blocks of a whole piece), of a file that is no longer than a piece with Layers(Blocks(length)). After it
// only Reset is allowed.
func (h *Hasher) Root(layers int) Hash {
	if h.fill > 0 {
		h.flush()
	}
	return h.stack.Root(layers, Hash{})
}
