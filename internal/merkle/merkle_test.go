package merkle

import (
	"crypto/sha256"
	"testing"
)

func pair(a, b Hash) Hash { return sha256.Sum256(append(a[:], b[:]...)) }

// naive is the definition: pad to width, then halve.
func naive(nodes []Hash, pad Hash, width int) Hash {
	level := make([]Hash, width)
	for i := range level {
		level[i] = pad
	}
	copy(level, nodes)
	for len(level) > 1 {
		next := make([]Hash, len(level)/2)
		for i := range next {
			next[i] = pair(level[2*i], level[2*i+1])
		}
		level = next
	}
	return level[0]
}

func leaves(n int) []Hash {
	l := make([]Hash, n)
	for i := range l {
		l[i] = sha256.Sum256([]byte{byte(i), byte(i >> 8)})
	}
	return l
}

func TestHandBuilt(t *testing.T) {
	l := leaves(3)
	want := pair(pair(l[0], l[1]), pair(l[2], Hash{}))
	if got := Root(l, Hash{}); got != want {
		t.Error(got, want)
	}
	if Root(l[:1], Hash{}) != l[0] || Root(nil, l[2]) != l[2] {
		t.Error("one node is its own root, none is the padding")
	}
	z := pair(Hash{}, Hash{})
	if ZeroHash(0) != (Hash{}) || ZeroHash(1) != z || ZeroHash(2) != pair(z, z) {
		t.Error("ZeroHash")
	}
	if got := z.String(); got != "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b" {
		t.Error(got)
	}
}

func TestRoot(t *testing.T) {
	for n := range 40 {
		l, pad := leaves(n), ZeroHash(3)
		width := 1
		for width < n {
			width *= 2
		}
		if 1<<Layers(int64(n)) != width {
			t.Fatal(n, Layers(int64(n)))
		}
		if Root(l, pad) != naive(l, pad, width) {
			t.Errorf("%d nodes", n)
		}
		var s Stack
		for _, h := range l {
			s.Push(h)
		}
		for range 2 { // Root leaves the stack as it is
			if s.Len() != n || s.Root(7, pad) != naive(l, pad, 128) {
				t.Errorf("%d nodes padded to 128", n)
			}
		}
		if n > 0 && NewTree(l, pad).Root() != naive(l, pad, width) {
			t.Errorf("tree of %d nodes", n)
		}
	}
}

// The same bytes give the same root however they are cut into writes.
func TestHasher(t *testing.T) {
	data := make([]byte, 5*BlockSize+77)
	for i := range data {
		data[i] = byte(i * 7 / 5)
	}
	h := NewHasher()
	for _, size := range []int{0, 1, BlockSize - 1, BlockSize, BlockSize + 1, 2 * BlockSize, len(data)} {
		var l []Hash
		for i := 0; i < size; i += BlockSize {
			l = append(l, sha256.Sum256(data[i:min(i+BlockSize, size)]))
		}
		if int64(len(l)) != Blocks(int64(size)) {
			t.Error(len(l), Blocks(int64(size)))
		}
		for _, cut := range []int{1, 1000, BlockSize, 3*BlockSize - 5, len(data)} {
			h.Reset()
			for p := data[:size]; len(p) > 0; {
				n := min(cut, len(p))
				h.Write(p[:n])
				p = p[n:]
			}
			if h.Root(3) != naive(l, Hash{}, 8) {
				t.Errorf("%d bytes by %d", size, cut)
			}
		}
	}
	if n := testing.AllocsPerRun(5, func() { h.Reset(); h.Write(data); h.Root(3) }); n != 0 {
		t.Error(n, "allocations")
	}
}

func TestProof(t *testing.T) {
	for _, n := range []int{2, 3, 5, 8, 13, 33} {
		l, pad := leaves(n), ZeroHash(2)
		tree := NewTree(l, pad)
		for layer := range tree.Height() {
			height := tree.Height() - layer
			for length := 2; length <= 1<<height; length *= 2 {
				for index := 0; index < 1<<height; index += length {
					p := tree.Proof(layer, index, length, height-1)
					if !VerifyProof(tree.Root(), height, index, length, p) {
						t.Fatalf("%d nodes: layer %d, %d from %d", n, layer, length, index)
					}
					if index == 0 && layer == 0 && !equal(p[:min(length, n)], l[:min(length, n)]) {
						t.Fatal("the proof does not begin with the nodes")
					}
					for i := range p {
						p[i][31] ^= 1
						if VerifyProof(tree.Root(), height, index, length, p) {
							t.Fatalf("changed hash %d of %d passes", i, len(p))
						}
						p[i][31] ^= 1
					}
					if VerifyProof(tree.Root(), height, index, length, p[1:]) || VerifyProof(tree.Root(), height, index, length, append(p, Hash{})) {
						t.Fatal("wrong count passes")
					}
				}
			}
		}
	}
}

func equal(a, b []Hash) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// The count that BEP 52 gives: proof layers below the run's own root bring nothing.
func TestUncles(t *testing.T) {
	tree := NewTree(leaves(16), Hash{})
	for _, c := range []struct{ length, proof, want int }{{2, 0, 0}, {2, 1, 1}, {2, 3, 3}, {4, 1, 0}, {4, 3, 2}, {16, 3, 0}} {
		if got := Uncles(c.length, c.proof); got != c.want {
			t.Errorf("%v: %d", c, got)
		}
		if got := len(tree.Proof(0, 0, c.length, c.proof)); got != c.length+c.want {
			t.Errorf("%v: %d hashes", c, got)
		}
	}
}

func TestProofRefused(t *testing.T) {
	tree := NewTree(leaves(16), Hash{})
	for _, c := range [][4]int{
		{-1, 0, 2, 0}, {4, 0, 2, 0}, {0, 0, 0, 0}, {0, 0, 1, 0}, {0, 0, 3, 0}, {0, 0, -2, 0}, {0, 0, 32, 0}, {0, -2, 2, 0},
		{0, 1, 2, 0}, {0, 16, 2, 0}, {0, 2, 4, 0}, {0, 0, 2, -1}, {0, 0, 2, 4}, {2, 0, 2, 2}, {0, 1 << 62, 1 << 62, 0},
	} {
		if p := tree.Proof(c[0], c[1], c[2], c[3]); p != nil {
			t.Errorf("%v: %d hashes", c, len(p))
		}
	}
	if VerifyProof(Hash{}, MaxLayer+1, 0, 2, make([]Hash, 50)) || VerifyProof(Hash{}, -1, 0, 2, nil) {
		t.Error("a height out of range passes")
	}
}

func FuzzProof(f *testing.F) {
	f.Add(uint16(33), int8(1), int32(4), int32(4), int32(4), []byte("x"))
	f.Add(uint16(2), int8(0), int32(0), int32(2), int32(0), []byte{})
	f.Fuzz(func(t *testing.T, n uint16, layer int8, index, length, proof int32, noise []byte) {
		tree := NewTree(leaves(int(n)%600+1), ZeroHash(1))
		p := tree.Proof(int(layer), int(index), int(length), int(proof))
		if p == nil {
			return
		}
		height := tree.Height() - int(layer)
		full := Uncles(int(length), int(proof)) == height-Layers(int64(length))
		if VerifyProof(tree.Root(), height, int(index), int(length), p) != full {
			t.Fatal("proof does not verify, or a short one does")
		}
		at := 0
		for i, c := range noise {
			at = (at + int(c) + 1) % len(p)
			p[at][i%32] ^= c | 1
		}
		if len(noise) == 1 && VerifyProof(tree.Root(), height, int(index), int(length), p) {
			t.Fatal("a changed proof verifies")
		}
	})
}

// Two hashers side by side give what each gives alone, however the bytes are cut.
func TestWriteBoth(t *testing.T) {
	data := make([]byte, 8*BlockSize)
	for i := range data {
		data[i] = byte(i * 11 / 7)
	}
	x, y, alone := NewHasher(), NewHasher(), NewHasher()
	for _, size := range []int{0, 1, BlockSize, 3*BlockSize + 5, 4 * BlockSize} {
		for _, cut := range []int{1000, BlockSize, 2*BlockSize + 1, 4 * BlockSize} {
			a, b := data[:size], data[4*BlockSize-3:][:size]
			x.Reset()
			y.Reset()
			for i := 0; i < size; i += cut {
				WriteBoth(x, y, a[i:min(i+cut, size)], b[i:min(i+cut, size)])
			}
			for _, c := range []struct {
				got  *Hasher
				want []byte
			}{{x, a}, {y, b}} {
				alone.Reset()
				alone.Write(c.want)
				if c.got.Root(3) != alone.Root(3) {
					t.Errorf("%d bytes by %d", size, cut)
				}
			}
		}
	}
}

func BenchmarkHasher(b *testing.B) {
	data := make([]byte, 1<<20)
	h := NewHasher()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		h.Reset()
		h.Write(data)
		h.Root(6)
	}
}
