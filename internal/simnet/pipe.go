package simnet

import (
	"math/rand/v2"
	"time"
)

// packet is a datagram, or a run of TCP segments that travel as one.
type packet struct {
	size     int // bytes, headers included
	from, to *Host
	out, in  *flow // its queues at the sender's and at the receiver's link
	rand     *rand.Rand
	drop     bool              // congestion loses it, else it only marks it
	marked   bool              // it met congestion
	left     func()            // it has left the sender's uplink; may be nil
	arrive   func(marked bool) // it has reached the receiver
	lost     func()            // it never will; may be nil
	done     func()            // the pipe that it is in has sent it
}

// flow is the queue of one stream or socket at one link.
type flow struct {
	queue   []*packet
	bytes   int
	deficit int
	waiting bool // it is in its pipe's ring
}

// pipe is one direction of a link. It sends one packet at a time, taking turns between flows by deficit round robin
// (RFC 8290 §4.1 tells of this use of it).
type pipe struct {
	net   *Net
	rate  int64 // bytes a second, 0 unlimited
	ring  []*flow
	busy  bool
	limit int  // bytes of the one queue of all flows; 0: each has its own
	one   flow // that queue
}

// send puts a packet on its way. A packet to the host itself meets no link.
func (n *Net) send(p *packet) {
	if p.from == p.to {
		n.after(0, func() {
			p.leave()
			p.arrive(p.marked)
		})
		return
	}
	p.done = func() {
		p.leave()
		if p.from.reaches(p.to) && !p.from.loses(p.to, p.size, p.rand) {
			n.after(p.from.latency(p.to, p.rand), p.receive)
		} else {
			p.lose()
		}
	}
	p.from.up.put(p.out, p)
	if p.from.up.limit > 0 {
		n.after(0, p.leave) // it does not wait in its socket
	}
}

// receive queues a packet at the receiver's downlink. A flow that has more than its share of the queue is told to slow
// down.
func (p *packet) receive() {
	if !p.from.reaches(p.to) { // cut while it travelled
		p.lose()
		return
	}
	l := &p.to.down
	if l.rate > 0 && l.limit == 0 && p.in.bytes > l.room()/max(1, len(l.ring)) {
		p.marked = true
		if p.drop {
			p.lose()
			return
		}
	}
	p.done = func() { p.arrive(p.marked) }
	l.put(p.in, p)
}

func (p *packet) leave() {
	if left := p.left; left != nil {
		p.left = nil
		left()
	}
}

func (p *packet) lose() {
	if p.lost != nil {
		p.lost()
	}
}

// room is how many bytes the pipe queues for all flows together: a fifth of a second, but enough for some packets.
func (l *pipe) room() int { return max(minQueue, int(l.rate/5)) }

func (l *pipe) put(f *flow, p *packet) {
	if l.rate == 0 && !l.busy {
		l.net.after(0, p.done)
		return
	}
	if l.limit > 0 {
		if f = &l.one; f.bytes+p.size > l.limit {
			p.lose()
			return
		}
	}
	f.queue = append(f.queue, p)
	f.bytes += p.size
	if !f.waiting {
		f.waiting = true
		l.ring = append(l.ring, f)
	}
	if !l.busy {
		l.next()
	}
}

// next serialises the next packet.
func (l *pipe) next() {
	l.busy = len(l.ring) > 0
	if !l.busy {
		return
	}
	for l.ring[0].deficit <= 0 {
		f := l.ring[0]
		f.deficit += segment(l.rate)
		copy(l.ring, l.ring[1:])
		l.ring[len(l.ring)-1] = f
	}
	f := l.ring[0]
	p := f.queue[0]
	f.queue[0] = nil
	f.queue = f.queue[1:]
	f.bytes -= p.size
	f.deficit -= p.size
	if len(f.queue) == 0 {
		f.waiting, f.deficit, f.queue = false, 0, nil
		l.ring = append(l.ring[:0], l.ring[1:]...)
	}
	l.net.after(duration(p.size, l.rate), func() {
		p.done()
		l.next()
	})
}

func duration(size int, rate int64) time.Duration {
	if rate == 0 {
		return 0
	}
	return time.Duration(float64(size) / float64(rate) * float64(time.Second))
}

// segment returns how many bytes travel as one at a rate: what takes 5 ms, but at least a packet and at most 16 KiB.
func segment(rate int64) int {
	if rate == 0 {
		return 16 << 10
	}
	return int(min(max(rate/200, mtu), 16<<10))
}
