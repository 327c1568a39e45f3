package dht

import (
	"net/netip"
	"sync"
)

const (
	maxQueued = 512     // datagrams that wait for the loop
	maxBytes  = 1 << 18 // of them
	maxLength = 2048    // bytes of one
	maxAdded  = 256     // addresses that wait
)

// inbox is the one way to the loop. Its memory is used again.
type inbox struct {
	wake chan struct{} // one slot

	mu      sync.Mutex
	in, old batch
	dropped int64
	closed  bool
}

type batch struct {
	bytes   []byte
	packets []received
	added   []netip.AddrPort
	calls   []func()
}

type received struct {
	end  int
	from netip.AddrPort
}

// datagram queues a copy of b, unless too much waits already.
func (i *inbox) datagram(b []byte, from netip.AddrPort) {
	i.mu.Lock()
	q := &i.in
	if i.closed || len(b) > maxLength || len(q.packets) >= maxQueued || len(q.bytes)+len(b) > maxBytes {
		i.dropped++
		i.mu.Unlock()
		return
	}
	q.bytes = append(q.bytes, b...)
	q.packets = append(q.packets, received{len(q.bytes), from})
	i.mu.Unlock()
	i.signal()
}

// contact queues an address where a node may be, unless too many wait.
func (i *inbox) contact(a netip.AddrPort) {
	i.mu.Lock()
	if !i.closed && len(i.in.added) < maxAdded {
		i.in.added = append(i.in.added, a)
	}
	i.mu.Unlock()
	i.signal()
}

// call queues a function for the loop. Once the inbox is closed, it is not called.
func (i *inbox) call(f func()) {
	i.mu.Lock()
	if !i.closed {
		i.in.calls = append(i.in.calls, f)
	}
	i.mu.Unlock()
	i.signal()
}

func (i *inbox) signal() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i *inbox) close() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.signal()
}

// take hands all that waits to the node. It reports false once the inbox is closed.
func (i *inbox) take(n *Node) bool {
	i.mu.Lock()
	if i.closed {
		i.mu.Unlock()
		return false
	}
	i.in, i.old = i.old, i.in
	i.mu.Unlock()
	q := &i.old
	start := 0
	for _, p := range q.packets {
		n.receive(q.bytes[start:p.end], p.from)
		start = p.end
	}
	for _, a := range q.added {
		n.contact(a)
	}
	for _, f := range q.calls {
		f()
	}
	clear(q.calls)
	q.bytes, q.packets, q.added, q.calls = q.bytes[:0], q.packets[:0], q.added[:0], q.calls[:0]
	return true
}
