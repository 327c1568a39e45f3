package sha

// available reports whether the processor has the SHA extensions, and SSSE3 and SSE4.1, which every one that has them has.
var available = func() bool {
	_, features := cpuid(1, 0)
	extended, _ := cpuid(7, 0)
	const ssse3, sse41, sha = 1 << 9, 1 << 19, 1 << 29
	return features&ssse3 != 0 && features&sse41 != 0 && extended&sha != 0
}()

func cpuid(leaf, sub uint32) (b, c uint32)

// blocks1 takes n blocks, at least one, of each input into the two states.
//
//go:noescape
func blocks1(h *[2][5]uint32, a, b *byte, n int)

// blocks256 is blocks1 for SHA-256, whose round constants it is given.
//
//go:noescape
func blocks256(h *[2][8]uint32, k *[64]uint32, a, b *byte, n int)
