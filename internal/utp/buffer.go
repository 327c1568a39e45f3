package utp

import "sync"

// chunkSize is the least memory that a buffer with something in it takes.
const chunkSize = 16 << 10

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// buffer is a queue of bytes in pooled chunks. An empty one holds no memory. The zero buffer is empty.
type buffer struct {
	chunks []*chunk
	head   int // of the first byte in the first chunk
	len    int
}

// write appends bytes.
func (b *buffer) write(p []byte) {
	for len(p) > 0 {
		end := b.head + b.len
		if end == len(b.chunks)*chunkSize {
			b.chunks = append(b.chunks, chunks.Get().(*chunk))
		}
		n := copy(b.chunks[end/chunkSize][end%chunkSize:], p)
		b.len += n
		p = p[n:]
	}
}

// at copies bytes from an offset on, which must be there.
func (b *buffer) at(off int, p []byte) {
	for off += b.head; len(p) > 0; {
		n := copy(p, b.chunks[off/chunkSize][off%chunkSize:])
		p = p[n:]
		off += n
	}
}

// read moves bytes to p and returns how many.
func (b *buffer) read(p []byte) int {
	n := min(len(p), b.len)
	b.at(0, p[:n])
	b.discard(n)
	return n
}

// discard drops the first n bytes.
func (b *buffer) discard(n int) {
	b.head += n
	b.len -= n
	k := b.head / chunkSize
	if b.len == 0 && b.head > 0 {
		k = len(b.chunks)
	}
	if k == 0 {
		return
	}
	for i := range k {
		chunks.Put(b.chunks[i])
	}
	rest := copy(b.chunks, b.chunks[k:])
	clear(b.chunks[rest:])
	b.chunks = b.chunks[:rest]
	b.head %= chunkSize
	if rest == 0 {
		b.head = 0
		if cap(b.chunks) > 4 {
			b.chunks = nil
		}
	}
}

// release drops everything.
func (b *buffer) release() { b.discard(b.len) }
