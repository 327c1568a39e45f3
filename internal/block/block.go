// Package block holds the pooled 16 KiB buffers in which payload travels from a socket to the disk.
//
// A block is filled by the reader of a connection, its pointer crosses to the torrent's loop and from there to
// storage, which releases it once it is hashed and written. The pool bounds how many exist: a reader that finds
// none waits, and that becomes flow control of its connection.
package block

import "sync"

// Size is the length in bytes of a block, the unit of request (BEP 3). Only the last block of a piece may be shorter.
const Size = 16 << 10

// slab is the number of blocks allocated at once.
const slab = 16

// Block is one pooled buffer. Whoever holds the pointer owns it and must Release it once.
type Block struct {
	n     int
	buf   []byte // always Size bytes
	pool  *Pool
	spare bool // under the pool's mu
}

// Bytes returns the payload: Len bytes of the buffer.
func (b *Block) Bytes() []byte { return b.buf[:b.n] }

// Len returns the length of the payload in bytes.
func (b *Block) Len() int { return b.n }

// SetLen sets the length of the payload, 0 … Size; the bytes keep what they held.
func (b *Block) SetLen(n int) { b.n = len(b.buf[:n]) }

// Release gives the block back to its pool. The block must not be used afterwards.
func (b *Block) Release() {
	if b != nil {
		b.pool.put(b)
	}
}

// Pool lends blocks, at most a fixed number at a time. It is safe for concurrent use.
type Pool struct {
	limit     int
	high      int
	pressured func()

	mu      sync.Mutex
	free    []*Block
	lent    int
	spare   int // of those lent
	peak    int
	waiters []chan *Block
}

// NewPool returns a pool that lends at most limit bytes, rounded up to whole blocks and to at least 64 of them (1 MiB).
func NewPool(limit int64) *Pool {
	n := max(int((limit+Size-1)/Size), 64)
	return &Pool{limit: n, high: n / 2}
}

// OnPressure sets what is called, from the goroutine that takes a block, each time more than half of the pool is lent
// as the block goes out. It must not block and must be set before the first Get.
func (p *Pool) OnPressure(f func()) { p.pressured = f }

// Get lends a block of length Size, waiting for one if all are lent. It returns nil once done is closed.
func (p *Pool) Get(done <-chan struct{}) *Block {
	p.mu.Lock()
	b := p.take()
	var wait chan *Block
	if b == nil {
		wait = make(chan *Block, 1)
		p.waiters = append(p.waiters, wait)
	}
	press := p.lent > p.high
	p.mu.Unlock()
	if press && p.pressured != nil {
		p.pressured()
	}
	if b != nil {
		return b
	}
	select {
	case b = <-wait:
		return b
	case <-done:
		p.forget(wait)
		return nil
	}
}

// TryGet lends a block of length Size, or returns nil if all are lent.
func (p *Pool) TryGet() *Block {
	p.mu.Lock()
	b := p.take()
	p.mu.Unlock()
	return b
}

// Spare lends blocks of length Size into the elements of into, all under one lock, to somebody who does not know yet whether
// they are needed: KeepAll tells that they are. At most a quarter of the pool is lent like this, so that those who hold spare
// blocks while they wait for one that they need never wait for each other alone. It returns how many it lends, and never waits.
func (p *Pool) Spare(into []*Block) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	into = into[:min(len(into), p.limit-p.lent, p.limit/4-p.spare)]
	for i := range into {
		into[i] = p.take()
		into[i].spare = true
	}
	p.spare += len(into)
	return len(into)
}

// Lent returns how many blocks are out now, the most that ever were, and the limit.
func (p *Pool) Lent() (now, peak, limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lent, p.peak, p.limit
}

// Pressured reports whether more than half of the pool is lent.
func (p *Pool) Pressured() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lent > p.high
}

// take is called with mu held.
func (p *Pool) take() *Block {
	if p.lent >= p.limit {
		return nil
	}
	if len(p.free) == 0 {
		mem := make([]byte, slab*Size)
		for i := range slab {
			p.free = append(p.free, &Block{buf: mem[i*Size : (i+1)*Size : (i+1)*Size], pool: p})
		}
	}
	b := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	b.n = Size
	p.lent++
	p.peak = max(p.peak, p.lent)
	return b
}

// KeepAll makes spare blocks of one pool ordinary ones.
func KeepAll(blocks []*Block) {
	if len(blocks) == 0 {
		return
	}
	p := blocks[0].pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range blocks {
		p.keep(b)
	}
}

// keep is called with mu held.
func (p *Pool) keep(b *Block) {
	if b.spare {
		b.spare = false
		p.spare--
	}
}

// ReleaseAll gives blocks of one pool back under one lock.
func ReleaseAll(blocks []*Block) {
	if len(blocks) == 0 {
		return
	}
	p := blocks[0].pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range blocks {
		p.putLocked(b)
	}
}

func (p *Pool) put(b *Block) {
	p.mu.Lock()
	p.putLocked(b)
	p.mu.Unlock()
}

// putLocked is called with mu held.
func (p *Pool) putLocked(b *Block) {
	p.keep(b)
	if len(p.waiters) > 0 {
		w := p.waiters[0]
		p.waiters = p.waiters[1:]
		b.n = Size
		w <- b // has room for one
		return
	}
	p.lent--
	p.free = append(p.free, b)
}

// forget takes a waiter off the queue; if a block has reached it meanwhile, the block goes back.
func (p *Pool) forget(wait chan *Block) {
	p.mu.Lock()
	for i, w := range p.waiters {
		if w == wait {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			p.mu.Unlock()
			return
		}
	}
	p.mu.Unlock()
	(<-wait).Release()
}
