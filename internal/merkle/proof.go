package merkle

import "math/bits"

// Tree holds a layer of hashes and all layers above it, to answer requests for hashes (BEP 52). It takes as much
// memory again as the layer, and does not change.
type Tree struct {
	layers [][]Hash // of nodes with something other than padding below; layers[0] is the caller's
	pads   []Hash   // by layer
}

// NewTree returns the tree over the nodes of a layer, at least one, padded with pad to a power of two. It keeps nodes.
func NewTree(nodes []Hash, pad Hash) *Tree {
	t := &Tree{layers: [][]Hash{nodes}, pads: []Hash{pad}}
	for len(nodes) > 1 {
		above := make([]Hash, (len(nodes)+1)/2)
		for i := range above {
			right := pad
			if 2*i+1 < len(nodes) {
				right = nodes[2*i+1]
			}
			above[i] = Pair(nodes[2*i], right)
		}
		nodes, pad = above, Pair(pad, pad)
		t.layers, t.pads = append(t.layers, nodes), append(t.pads, pad)
	}
	return t
}

// Root returns the tree's root.
func (t *Tree) Root() Hash { return t.layers[len(t.layers)-1][0] }

// Height returns how many layers lie above the lowest.
func (t *Tree) Height() int { return len(t.layers) - 1 }

// node returns a node of a layer, padding included.
func (t *Tree) node(layer, i int) Hash {
	if i < len(t.layers[layer]) {
		return t.layers[layer][i]
	}
	return t.pads[layer]
}

// Proof returns length hashes of a layer (0 is the tree's lowest) from index, followed by the uncle hashes that lead
// upwards from them, as the hashes message of BEP 52 has them. proofLayers counts layers above the requested one;
// those whose nodes follow from the requested hashes bring no uncle. It returns nil if the request is not sound:
// length must be a power of two and at least 2, index a multiple of it, both within the padded layer, and no more
// layers asked for than have an uncle.
func (t *Tree) Proof(layer, index, length, proofLayers int) []Hash {
	if layer < 0 || layer >= t.Height() || proofLayers < 0 || proofLayers >= t.Height()-layer ||
		!run(t.Height()-layer, index, length) {
		return nil
	}
	n := Uncles(length, proofLayers)
	out := make([]Hash, 0, length+n)
	for i := range length {
		out = append(out, t.node(layer, index+i))
	}
	up := Layers(int64(length))
	for i := range n {
		out = append(out, t.node(layer+up+i, index>>(up+i)^1))
	}
	return out
}

// Uncles returns how many uncle hashes follow length requested hashes, a power of two, with so many proof layers.
func Uncles(length, proofLayers int) int {
	return max(0, proofLayers-Layers(int64(length))+1)
}

// run reports whether length nodes from index are an aligned run, of at least 2, in a layer of 2^height nodes.
func run(height, index, length int) bool {
	return length >= 2 && bits.OnesCount(uint(length)) == 1 && height >= 0 && height <= MaxLayer &&
		length <= 1<<height && index >= 0 && index <= 1<<height-length && index%length == 0
}

// VerifyProof reports whether hashes, which are length nodes from index followed by all their uncles, belong to the
// tree with that root, which lies height layers above the nodes. It is false for a run that cannot be.
func VerifyProof(root Hash, height, index, length int, hashes []Hash) bool {
	if !run(height, index, length) || len(hashes) != length+height-Layers(int64(length)) {
		return false
	}
	node := Root(hashes[:length], Hash{})
	i := index / length
	for _, uncle := range hashes[length:] {
		if i&1 == 0 {
			node = Pair(node, uncle)
		} else {
			node = Pair(uncle, node)
		}
		i >>= 1
	}
	return node == root
}
