// Package sha computes SHA-1 and SHA-256 (FIPS 180-4) of two inputs of equal length at once.
//
// Each round of these functions waits for the one before it, so that one input keeps a core's SHA unit half idle. Two inputs side by
// side take little longer than one. Where the processor has no such unit that is known here, the standard library hashes them in turn.
package sha

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

const blockSize = 64 // bytes that both functions take at a time

// Pair1 is the SHA-1 of two inputs. The zero value is not usable; use NewPair1.
type Pair1 struct {
	state [2][5]uint32
	rest  [2][blockSize]byte // bytes of each that do not fill a block yet
	fill  int                // how many
	size  uint64             // bytes of each so far
	turns *[2]hash.Hash      // without hardware
}

// NewPair1 returns the SHA-1 of two empty inputs.
func NewPair1() *Pair1 {
	p := &Pair1{}
	if !available {
		p.turns = &[2]hash.Hash{sha1.New(), sha1.New()}
	}
	p.Reset()
	return p
}

// Reset begins two new inputs.
func (p *Pair1) Reset() {
	if p.turns != nil {
		p.turns[0].Reset()
		p.turns[1].Reset()
		return
	}
	start := [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	p.state = [2][5]uint32{start, start}
	p.fill, p.size = 0, 0
}

// Write takes the next bytes of each input: as many of one as of the other.
func (p *Pair1) Write(a, b []byte) {
	if len(a) != len(b) {
		panic("sha: inputs of unequal length")
	}
	if p.turns != nil {
		p.turns[0].Write(a)
		p.turns[1].Write(b)
		return
	}
	p.take(a, b)
}

func (p *Pair1) take(a, b []byte) {
	p.size += uint64(len(a))
	if p.fill > 0 {
		n := copy(p.rest[0][p.fill:], a)
		copy(p.rest[1][p.fill:], b)
		a, b = a[n:], b[n:]
		if p.fill += n; p.fill < blockSize {
			return
		}
		blocks1(&p.state, &p.rest[0][0], &p.rest[1][0], 1)
	}
	if n := len(a) / blockSize; n > 0 {
		blocks1(&p.state, &a[0], &b[0], n)
		a, b = a[n*blockSize:], b[n*blockSize:]
	}
	p.fill = copy(p.rest[0][:], a)
	copy(p.rest[1][:], b)
}

// Sum ends both inputs and returns their hashes. After it only Reset is allowed.
func (p *Pair1) Sum() (a, b [sha1.Size]byte) {
	if p.turns != nil {
		copy(a[:], p.turns[0].Sum(p.rest[0][:0]))
		copy(b[:], p.turns[1].Sum(p.rest[1][:0]))
		return a, b
	}
	var end [2 * blockSize]byte
	n := ending(&end, p.fill, p.size)
	p.take(end[:n], end[:n])
	for i := range 5 {
		binary.BigEndian.PutUint32(a[4*i:], p.state[0][i])
		binary.BigEndian.PutUint32(b[4*i:], p.state[1][i])
	}
	return a, b
}

// ending makes what follows an input of size bytes, of which fill are in its last block: a bit, zeros, and the size in bits.
func ending(end *[2 * blockSize]byte, fill int, size uint64) (n int) {
	end[0] = 0x80
	n = blockSize - fill
	if n < 9 {
		n += blockSize
	}
	binary.BigEndian.PutUint64(end[n-8:], size*8)
	return n
}

// Sum256 returns the SHA-256 of two inputs of equal length.
func Sum256(a, b []byte) (x, y [sha256.Size]byte) {
	if len(a) != len(b) {
		panic("sha: inputs of unequal length")
	}
	if !available {
		return sha256.Sum256(a), sha256.Sum256(b)
	}
	state := [2][8]uint32{start256, start256}
	whole := len(a) / blockSize
	if whole > 0 {
		blocks256(&state, &round256, &a[0], &b[0], whole)
	}
	var last [2][2 * blockSize]byte
	fill := copy(last[0][:], a[whole*blockSize:])
	copy(last[1][:], b[whole*blockSize:])
	var end [2 * blockSize]byte
	n := fill + ending(&end, fill, uint64(len(a)))
	copy(last[0][fill:n], end[:])
	copy(last[1][fill:n], end[:])
	blocks256(&state, &round256, &last[0][0], &last[1][0], n/blockSize)
	for i := range 8 {
		binary.BigEndian.PutUint32(x[4*i:], state[0][i])
		binary.BigEndian.PutUint32(y[4*i:], state[1][i])
	}
	return x, y
}

// start256 is the first state of SHA-256, and round256 the constants of its rounds (FIPS 180-4, 5.3.3 and 4.2.2): the first 32 bits of
// the fractional parts of the square roots of the first 8 primes, and of the cube roots of the first 64.
var (
	start256 = [8]uint32{
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	}
	round256 = [64]uint32{
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
		0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
		0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
		0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
		0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
		0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
	}
)
