package wire

import (
	"sync"

	"shoal/internal/block"
)

// VectorReader is a connection that reads into several buffers with one system call.
type VectorReader interface {
	// ReadVector fills buffers, which have room, in order with what has arrived and returns how many bytes that was: 0
	// without an error if nothing has, for it does not wait.
	ReadVector(bufs [][]byte) (int, error)
}

// maxAhead is the most piece messages that are read at a time beyond the current one.
const maxAhead = 32

// slotLen is the length of a piece message of a whole block.
const slotLen = PieceHeaderLen + block.Size

// ahead is what one ReadVector read beyond the current payload. A quick peer sends whole blocks one after the other, so it is
// read into the places where that would put it: a header, a block, a header, a block, and so on. Where the guess was right,
// each block is already where it has to be; where it was wrong, the bytes are copied from there.
type ahead struct {
	heads  [maxAhead][PieceHeaderLen]byte
	blocks [maxAhead]*block.Block
	vec    [1 + 2*maxAhead][]byte
	slots  int // how many of the blocks are held, of which those below slot were given away
	slot   int // where the next byte is,
	off    int // and how far into that slot
	n      int // bytes that are not consumed
}

var aheads = sync.Pool{New: func() any { return new(ahead) }}

// ReadAhead makes the decoder read several piece messages at once while they come quickly. It takes blocks for them by
// spare, which fills elements of a slice from the first on, returns how many, and does not wait. Whoever stops calling Next
// must call Close.
func (d *Decoder) ReadAhead(v VectorReader, spare func([]*block.Block) int) {
	d.vector, d.spare = v, spare
}

// nextAhead takes the next message from where it was guessed to be, if it is one of a whole block and there.
func (d *Decoder) nextAhead(m *Message) (bool, error) {
	if d.i < d.n {
		return false, nil
	}
	if d.ahead == nil && d.guess > 0 && d.more {
		if _, err := d.readAhead(nil); err != nil {
			return false, err
		}
	}
	a := d.ahead
	if a == nil || a.off > 0 || a.n < PieceHeaderLen {
		return false, nil
	}
	if !a.isRight(a.slot) {
		d.guess = (d.guess + 1) / 2 // of what is wrong each byte is copied
		return false, nil
	}
	head := &a.heads[a.slot]
	*m = Message{ID: Piece, Piece: be.Uint32(head[5:]), Begin: be.Uint32(head[9:]), Length: block.Size}
	b, n := a.blocks[a.slot], min(a.n-PieceHeaderLen, block.Size)
	a.slot++
	a.n -= PieceHeaderLen + n
	if a.n == 0 {
		d.dropAhead()
	}
	return true, unexpected(d.payloadRest(m, b, n))
}

// fillBlock is fill for the rest of a payload: if what follows has probably come, it is read too.
func (d *Decoder) fillBlock(p []byte) (int, error) {
	if d.ahead == nil && d.guess > 0 && d.more {
		return d.readAhead(p)
	}
	return d.fill(p)
}

// readAhead fills p, which may be empty, and then what spare blocks there are with what has arrived. It returns how many
// bytes of p it has filled. It is called when nothing is buffered or ahead.
func (d *Decoder) readAhead(p []byte) (int, error) {
	a := aheads.Get().(*ahead)
	a.slots = d.spare(a.blocks[:d.guess])
	a.slot, a.off, a.n = 0, 0, 0
	if len(p) == 0 && a.slots == 0 {
		aheads.Put(a)
		d.more = false
		return 0, nil
	}
	vec := append(a.vec[:0], p)
	for i, b := range a.blocks[:a.slots] {
		vec = append(vec, a.heads[i][:], b.Bytes())
	}
	n, err := d.vector.ReadVector(vec)
	a.n = max(n-len(p), 0)
	used := (a.n + slotLen - 1) / slotLen
	block.KeepAll(a.blocks[:a.right()])
	block.ReleaseAll(a.blocks[used:a.slots])
	d.more = n == len(p)+a.slots*slotLen && n > 0
	if d.more {
		d.guess = min(2*d.guess, maxAhead)
	} else {
		d.guess = max(used, d.guess/2)
	}
	a.slots = used
	if used > 0 {
		d.ahead = a
	} else {
		aheads.Put(a)
	}
	return min(n, len(p)), err
}

// isRight reports whether a slot whose header has come holds a piece message of a whole block.
func (a *ahead) isRight(slot int) bool {
	head := &a.heads[slot]
	return be.Uint32(head[:]) == 9+block.Size && ID(head[4]) == Piece
}

// right returns how many messages have come as guessed, without one that is wrong between, before any was taken.
func (a *ahead) right() (k int) {
	for k*slotLen+PieceHeaderLen <= a.n && a.isRight(k) {
		k++
	}
	return k
}

// read copies what is ahead.
func (a *ahead) read(p []byte) (n int) {
	for n < len(p) && a.n > 0 {
		from := a.heads[a.slot][min(a.off, PieceHeaderLen):]
		if len(from) == 0 {
			from = a.blocks[a.slot].Bytes()[a.off-PieceHeaderLen:]
		}
		k := copy(p[n:], from[:min(len(from), a.n)])
		n, a.off, a.n = n+k, a.off+k, a.n-k
		if a.off == slotLen {
			a.blocks[a.slot].Release()
			a.slot, a.off = a.slot+1, 0
		}
	}
	return n
}

// dropAhead gives up what is left of what was read ahead.
func (d *Decoder) dropAhead() {
	if a := d.ahead; a != nil {
		block.ReleaseAll(a.blocks[a.slot:a.slots])
		d.ahead = nil
		aheads.Put(a)
	}
}
