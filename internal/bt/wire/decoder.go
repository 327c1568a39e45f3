package wire

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"shoal/internal/block"
)

// Limits bound what a peer can make us hold besides blocks.
type Limits struct {
	Bitfield int // bytes of a bitfield
	Extended int // bytes of an extension message's body, and of an unknown message that is skipped
}

// DefaultLimits allow bitfields of four million pieces, and extension bodies several times as long as the longest in
// use, a piece of metadata (16 KiB and a short header, BEP 9).
var DefaultLimits = Limits{Bitfield: 512 << 10, Extended: 128 << 10}

const (
	bufferSize   = 4 << 10 // a batch of 240 requests; at most a quarter of a block is copied out of it
	smallSize    = 32      // holds any message without payload
	hashRangeLen = 48
	maxProof     = 64 // ancestor layers of any tree that can exist
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Decoder reads messages. It has one owner, and reads only during Next.
//
// It begins with a buffer of a few bytes inside itself and takes a larger one when more has arrived than fits there, so
// that a connection on which little happens costs no buffer.
type Decoder struct {
	r      io.Reader
	blocks func() *block.Block
	limits Limits
	err    error

	small [smallSize]byte
	large *[bufferSize]byte // nil while small is in use
	body  []byte            // payloads longer than the buffer
	i, n  int               // the buffer holds unconsumed bytes in [i, n)

	vector VectorReader // nil: nothing is read ahead
	spare  func([]*block.Block) int
	ahead  *ahead // nil while nothing is; the buffer's bytes come before it
	guess  int    // how many blocks to read ahead; 0 while little comes at a time
	more   bool   // the last read filled all that it was given
}

// NewDecoder returns a decoder of what follows the handshake on r. It calls blocks for each Piece message, once its
// header is found good; blocks may wait, and returns nil when the connection is closing.
func NewDecoder(r io.Reader, blocks func() *block.Block, l Limits) *Decoder {
	return &Decoder{r: r, blocks: blocks, limits: l}
}

// Limit changes the limits for the messages to come: once the number of pieces is known, so is the length of a bitfield.
func (d *Decoder) Limit(l Limits) { d.limits = l }

// Buffered returns the number of bytes that were read and not yet consumed.
func (d *Decoder) Buffered() int {
	if d.ahead != nil {
		return d.n - d.i + d.ahead.n
	}
	return d.n - d.i
}

// Idle gives the buffers up until more arrives than a few bytes at a time. It does nothing while bytes are buffered.
// The Payload of the last message becomes invalid.
func (d *Decoder) Idle() {
	if d.Buffered() > 0 {
		return
	}
	d.body = nil
	d.i, d.n = 0, 0
	if d.large != nil {
		buffers.Put(d.large)
		d.large = nil
	}
}

// Next reads one message into m. Messages with an unknown id are skipped. An error is final: io.EOF if r ended between
// messages, io.ErrUnexpectedEOF within one, a *ProtocolError if the peer broke the rules, ErrClosing if blocks returned
// nil, or what r returned.
func (d *Decoder) Next(m *Message) error {
	if d.err == nil {
		d.err = d.next(m)
	}
	if d.err != nil {
		*m = Message{}
		d.dropAhead()
	}
	return d.err
}

// Close gives up all that the decoder holds. Next must not be called afterwards.
func (d *Decoder) Close() {
	d.dropAhead()
	d.i, d.n = 0, 0
	d.Idle()
}

func (d *Decoder) next(m *Message) error {
	for {
		if whole, err := d.nextAhead(m); whole || err != nil {
			return err
		}
		if err := d.need(4); err != nil {
			if d.i < d.n {
				err = unexpected(err)
			}
			return err
		}
		size := be.Uint32(d.take(4))
		if size == 0 {
			*m = Message{ID: KeepAlive}
			return nil
		}
		if err := d.need(1); err != nil {
			return unexpected(err)
		}
		*m = Message{ID: ID(d.take(1)[0])}
		known, err := d.read(m, int64(size)-1)
		if known || err != nil {
			return unexpected(err)
		}
	}
}

// read reads the n bytes behind the id of a message. If the id is unknown it skips them and reports false.
func (d *Decoder) read(m *Message, n int64) (known bool, err error) {
	switch m.ID {
	case Choke, Unchoke, Interested, NotInterested:
		return true, exactly(m.ID, 3, n, 0)
	case HaveAll, HaveNone:
		return true, exactly(m.ID, 6, n, 0)
	case Have:
		return true, d.piece(m, 3, n)
	case Suggest, AllowedFast:
		return true, d.piece(m, 6, n)
	case Request, Cancel:
		return true, d.request(m, 3, n)
	case Reject:
		return true, d.request(m, 6, n)
	case Piece:
		return true, d.payload(m, n)
	case Bitfield:
		return true, d.bitfield(m, n)
	case Port:
		return true, d.port(m, n)
	case Extended:
		return true, d.extended(m, n)
	case HashRequest, HashReject, Hashes:
		return true, d.hashes(m, n)
	}
	return false, d.skip(m.ID, n)
}

func exactly(id ID, bep int, n, want int64) error {
	if n != want {
		return &ProtocolError{id, fmt.Sprintf("%d bytes follow its id, not %d", n, want), bep}
	}
	return nil
}

// fixed returns the whole body of a message that must have want bytes.
func (d *Decoder) fixed(id ID, bep int, n, want int64) ([]byte, error) {
	if err := exactly(id, bep, n, want); err != nil {
		return nil, err
	}
	if err := d.need(int(want)); err != nil {
		return nil, err
	}
	return d.take(int(want)), nil
}

func (d *Decoder) piece(m *Message, bep int, n int64) error {
	b, err := d.fixed(m.ID, bep, n, 4)
	if err == nil {
		m.Piece = be.Uint32(b)
	}
	return err
}

func (d *Decoder) request(m *Message, bep int, n int64) error {
	b, err := d.fixed(m.ID, bep, n, 12)
	if err == nil {
		m.Piece, m.Begin, m.Length = be.Uint32(b), be.Uint32(b[4:]), be.Uint32(b[8:])
	}
	return err
}

func (d *Decoder) port(m *Message, n int64) error {
	b, err := d.fixed(m.ID, 5, n, 2)
	if err == nil {
		m.Port = be.Uint16(b)
	}
	return err
}

func (d *Decoder) bitfield(m *Message, n int64) (err error) {
	if n > int64(d.limits.Bitfield) {
		return &ProtocolError{m.ID, fmt.Sprintf("%d bytes are more than %d", n, d.limits.Bitfield), 3}
	}
	m.Payload, err = d.bytes(int(n))
	return err
}

func (d *Decoder) extended(m *Message, n int64) error {
	if n < 1 {
		return &ProtocolError{m.ID, "it has no extended message id", 10}
	}
	if n-1 > int64(d.limits.Extended) {
		return &ProtocolError{m.ID, fmt.Sprintf("%d bytes are more than %d", n-1, d.limits.Extended), 10}
	}
	if err := d.need(1); err != nil {
		return err
	}
	m.Ext = d.take(1)[0]
	var err error
	m.Payload, err = d.bytes(int(n - 1))
	return err
}

func (d *Decoder) hashes(m *Message, n int64) error {
	list := n - hashRangeLen
	if m.ID != Hashes || list < 0 {
		list = 0
	}
	if list > 32*(MaxHashes+maxProof) {
		return &ProtocolError{m.ID, fmt.Sprintf("%d bytes of hashes are more than %d", list, 32*(MaxHashes+maxProof)), 52}
	}
	b, err := d.fixed(m.ID, 52, n-list, hashRangeLen)
	if err != nil {
		return err
	}
	h := HashRange{[32]byte(b), be.Uint32(b[32:]), be.Uint32(b[36:]), be.Uint32(b[40:]), be.Uint32(b[44:])}
	m.Hashes = h
	if m.ID != Hashes {
		return nil
	}
	// Uncle hashes of layers that the range itself covers are left out, so there may be fewer than ProofLayers.
	if least, most := 32*int64(h.Length), 32*(int64(h.Length)+int64(h.ProofLayers)); list%32 != 0 || list < least || list > most {
		return &ProtocolError{m.ID, fmt.Sprintf("%d bytes cannot be %d hashes and up to %d proof hashes", list, h.Length, h.ProofLayers), 52}
	}
	m.Payload, err = d.bytes(int(list))
	return err
}

// payload reads a Piece message: what is buffered is copied into the block, the rest is read there.
func (d *Decoder) payload(m *Message, n int64) error {
	size := n - 8
	if size < 1 || size > block.Size {
		return &ProtocolError{m.ID, fmt.Sprintf("its payload has %d bytes, not 1 to %d", size, block.Size), 3}
	}
	if err := d.need(8); err != nil {
		return err
	}
	b := d.take(8)
	m.Piece, m.Begin, m.Length = be.Uint32(b), be.Uint32(b[4:]), uint32(size)
	blk := d.blocks()
	if blk == nil {
		return ErrClosing
	}
	blk.SetLen(int(size))
	return d.payloadRest(m, blk, d.buffered(blk.Bytes()))
}

// payloadRest reads the payload of m into blk, of which the first k bytes are there.
func (d *Decoder) payloadRest(m *Message, blk *block.Block, k int) error {
	p := blk.Bytes()
	quick := d.guess == 0 && d.vector != nil && len(p) == block.Size && k < len(p)
	for k < len(p) {
		n, err := d.fillBlock(p[k:])
		if k += n; k < len(p) {
			quick = false
			if err != nil {
				blk.Release()
				return err
			}
		}
	}
	if quick { // most of a block at once: perhaps there is another
		d.guess = 1
	}
	m.Block = blk
	return nil
}

// skip reads and forgets the body of an unknown message.
func (d *Decoder) skip(id ID, n int64) error {
	if n > int64(d.limits.Extended) {
		return &ProtocolError{id, fmt.Sprintf("%d bytes of an unknown message are more than %d", n, d.limits.Extended), 3}
	}
	for n > 0 {
		if err := d.need(1); err != nil {
			return err
		}
		n -= int64(len(d.take(int(min(n, int64(d.n-d.i))))))
	}
	return nil
}

// bytes returns the next n bytes, which stay valid until the next read. Memory for them grows only as they arrive: a
// peer that announces much and sends little holds little.
func (d *Decoder) bytes(n int) ([]byte, error) {
	if n <= bufferSize {
		err := d.need(n)
		if err != nil {
			return nil, err
		}
		return d.take(n), nil
	}
	d.body = d.body[:0]
	for len(d.body) < n {
		k := len(d.body)
		step := min(n-k, max(k, bufferSize))
		d.body = slices.Grow(d.body, step)[:k+step]
		if err := d.full(d.body[k:]); err != nil {
			return nil, err
		}
	}
	return d.body, nil
}

// full fills p, first from the buffer.
func (d *Decoder) full(p []byte) error {
	for k := d.buffered(p); k < len(p); {
		n, err := d.fill(p[k:])
		if k += n; k < len(p) && err != nil {
			return err
		}
	}
	return nil
}

// buffered moves bytes from the buffer to p and returns how many.
func (d *Decoder) buffered(p []byte) int {
	k := copy(p, d.buf()[d.i:d.n])
	d.i += k
	return k
}

// fill reads into p what is ahead, or else what comes.
func (d *Decoder) fill(p []byte) (n int, err error) {
	if d.ahead != nil {
		n = d.ahead.read(p)
		if d.ahead.n == 0 {
			d.dropAhead()
		}
		return n, nil
	}
	n, err = d.r.Read(p)
	d.more = n == len(p)
	return n, err
}

func (d *Decoder) buf() []byte {
	if d.large != nil {
		return d.large[:]
	}
	return d.small[:]
}

// take consumes k buffered bytes.
func (d *Decoder) take(k int) []byte {
	d.i += k
	return d.buf()[d.i-k : d.i : d.i]
}

// need reads until at least k bytes, at most bufferSize, are buffered.
func (d *Decoder) need(k int) error {
	if d.n-d.i >= k {
		return nil
	}
	d.makeRoom(k)
	for empty := 0; d.n-d.i < k; {
		n, err := d.fill(d.buf()[d.n:])
		d.n += n
		if d.n-d.i >= k {
			return nil // a persistent error comes back with the next read
		}
		if err != nil {
			return err
		}
		if empty++; n > 0 {
			empty = 0
		} else if empty == 100 {
			return io.ErrNoProgress
		}
	}
	return nil
}

// makeRoom moves what is buffered to the front, of the large buffer if the small one was full or is too small. But the small
// one does for the header of a piece message behind which blocks are read ahead.
func (d *Decoder) makeRoom(k int) {
	from := d.buf()[d.i:d.n]
	if d.large == nil && (k > smallSize || d.n == smallSize && (d.guess == 0 || len(from) > 0)) {
		d.large = buffers.Get().(*[bufferSize]byte)
	}
	d.n = copy(d.buf(), from)
	d.i = 0
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
