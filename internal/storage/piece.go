package storage

import "shoal/internal/block"

// piece is a piece that is being collected or verified. Its fields are guarded by its handle's mu, except that the
// worker which verifies it owns blocks and onDisk.
type piece struct {
	h      *handle
	index  int
	length int // bytes of it that are hashed: up to the last that is in a file

	blocks  []*block.Block // those in memory
	onDisk  []bool         // those that the flusher has put into the files
	held    int            // blocks in memory
	touched uint64         // when the last block came, on the store's clock of blocks

	flushing   bool // the flusher is writing blocks of it
	verifying  bool // queued, or to be queued once it is no longer flushing
	rechecking bool // verifying as well, but from disk: there to keep blocks away
	digests    bool
	round      int   // counts Discards, for a flush that is overtaken by one
	err        error // why the flusher failed
}

// begin makes p a piece of which nothing is there.
func (p *piece) begin(h *handle, index, length int) {
	n := (length + block.Size - 1) / block.Size
	blocks, onDisk := p.blocks[:0], p.onDisk[:0]
	if cap(blocks) < n {
		blocks, onDisk = make([]*block.Block, n), make([]bool, n)
	}
	blocks, onDisk = blocks[:n], onDisk[:n]
	clear(onDisk) // blocks is clear: drop leaves it so
	*p = piece{h: h, index: index, length: length, blocks: blocks, onDisk: onDisk}
}

// blockLen returns how many bytes of block i are hashed.
func (p *piece) blockLen(i int) int { return min(block.Size, p.length-i*block.Size) }

// refused returns why a piece cannot be verified.
func (p *piece) refused() error {
	if p.err == nil && p.h.spec.ReadOnly {
		return ErrReadOnly
	}
	return p.err
}

// put keeps a block if it is new.
func (p *piece) put(begin int, b *block.Block) bool {
	if begin < 0 || begin >= p.length || begin%block.Size != 0 || p.verifying || p.err != nil {
		return false
	}
	i := begin / block.Size
	if p.blocks[i] != nil || p.onDisk[i] || b.Len() < p.blockLen(i) {
		return false
	}
	p.blocks[i] = b
	p.held++
	return true
}

// drop releases the blocks in memory.
func (p *piece) drop() {
	for i, b := range p.blocks {
		if b != nil {
			b.Release()
			p.blocks[i] = nil
		}
	}
	p.held = 0
}
