package sha

import (
	"crypto/sha1"
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// each runs a test with the processor's SHA unit, if it has one, and without.
func each(t *testing.T, test func(t *testing.T)) {
	had := available
	t.Run("in turn", func(t *testing.T) {
		available = false
		defer func() { available = had }()
		test(t)
	})
	if had {
		t.Run("at once", test)
	}
}

// check compares with the standard library, the bytes written in steps of any length.
func check(t *testing.T, a, b []byte, steps func(left int) int) {
	t.Helper()
	p := NewPair1()
	p.Write([]byte("forgotten"), []byte("by Reset!"))
	p.Reset()
	for i := 0; i < len(a); {
		n := steps(len(a) - i)
		p.Write(a[i:i+n], b[i:i+n])
		i += n
	}
	if x, y := p.Sum(); x != sha1.Sum(a) || y != sha1.Sum(b) {
		t.Fatalf("SHA-1 of %d bytes: %x and %x, want %x and %x", len(a), x, y, sha1.Sum(a), sha1.Sum(b))
	}
	if x, y := Sum256(a, b); x != sha256.Sum256(a) || y != sha256.Sum256(b) {
		t.Fatalf("SHA-256 of %d bytes: %x and %x, want %x and %x", len(a), x, y, sha256.Sum256(a), sha256.Sum256(b))
	}
}

func TestEveryLength(t *testing.T) {
	each(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		buf := make([]byte, 2*1100)
		for i := range buf {
			buf[i] = byte(rng.Uint32())
		}
		for n := range 1100 {
			a, b := buf[n%7:][:n], buf[1100-n%3:][:n] // at any alignment
			check(t, a, b, func(left int) int { return left })
			check(t, a, b, func(left int) int { return 1 + rng.IntN(min(left, 200)) })
		}
	})
}

func FuzzPair(f *testing.F) {
	f.Add([]byte(""), uint8(1))
	f.Add([]byte("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), uint8(7))
	f.Add(make([]byte, 300), uint8(64))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		n := len(data) / 2
		check(t, data[:n], data[n:2*n], func(left int) int { return min(left, int(step)+1) })
	})
}

func TestUnequalLengths(t *testing.T) {
	for name, f := range map[string]func(){
		"Write":  func() { NewPair1().Write(make([]byte, 3), make([]byte, 4)) },
		"Sum256": func() { Sum256(make([]byte, 3), make([]byte, 4)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes inputs of unequal length", name)
				}
			}()
			f()
		}()
	}
}

func TestAllocates(t *testing.T) {
	a, b := make([]byte, 16<<10), make([]byte, 16<<10)
	p := NewPair1()
	if n := testing.AllocsPerRun(100, func() {
		p.Reset()
		p.Write(a, b)
		p.Sum()
		Sum256(a, b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The benchmarks hash 1 MiB, or a leaf, of two inputs, and the same with the standard library in turn.

func BenchmarkSHA1Pair(b *testing.B) {
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	p := NewPair1()
	b.SetBytes(2 << 20)
	for b.Loop() {
		p.Reset()
		p.Write(x, y)
		p.Sum()
	}
}

func BenchmarkSHA1InTurn(b *testing.B) {
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	b.SetBytes(2 << 20)
	for b.Loop() {
		sha1.Sum(x)
		sha1.Sum(y)
	}
}

func BenchmarkSHA256Pair(b *testing.B) {
	x, y := make([]byte, 16<<10), make([]byte, 16<<10)
	b.SetBytes(32 << 10)
	for b.Loop() {
		Sum256(x, y)
	}
}

func BenchmarkSHA256InTurn(b *testing.B) {
	x, y := make([]byte, 16<<10), make([]byte, 16<<10)
	b.SetBytes(32 << 10)
	for b.Loop() {
		sha256.Sum256(x)
		sha256.Sum256(y)
	}
}
