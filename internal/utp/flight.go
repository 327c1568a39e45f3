package utp

import "time"

// fate is what is known of a packet that was sent.
type fate uint8

const (
	flying fate = iota
	lost
	arrived
)

// sent is a packet that was sent and is not below what is acknowledged.
type sent struct {
	at    time.Duration // when last
	off   int64         // of its payload in the stream
	n     uint32        // number of its last transmission
	size  uint16        // bytes of payload
	kind  kind
	fate  fate
	tries uint8
	probe bool // of the path's MTU
}

// flight is what was sent and may yet be lost: by sequence number, and in the order of transmission.
type flight struct {
	first uint16 // of the packets
	len   int
	ring  []sent
	order []uint16 // sequence numbers by the number of a transmission
	count uint32   // transmissions
	known uint32   // all transmissions before it have arrived, are lost, or were followed by another
}

// get returns a packet, which must be there.
func (f *flight) get(seq uint16) *sent { return &f.ring[int(seq)&(len(f.ring)-1)] }

// has reports whether a packet is there.
func (f *flight) has(seq uint16) bool { return int(seq-f.first) < f.len }

// push adds a packet behind the others and returns it.
func (f *flight) push() *sent {
	if f.len == len(f.ring) {
		ring := make([]sent, max(8, 2*len(f.ring)))
		for i := range f.len {
			seq := f.first + uint16(i)
			ring[int(seq)&(len(ring)-1)] = *f.get(seq)
		}
		f.ring = ring
	}
	f.len++
	p := f.get(f.first + uint16(f.len) - 1)
	*p = sent{}
	return p
}

// pop drops the first packet.
func (f *flight) pop() {
	f.first++
	f.len--
	if f.len == 0 && len(f.ring) > 16 { // most connections are idle
		f.ring = nil
		f.forget()
	}
}

// number counts a transmission.
func (f *flight) number(seq uint16) uint32 {
	if n := int(f.count - f.known); n == len(f.order) {
		order := make([]uint16, max(8, 2*n))
		for i := f.known; i != f.count; i++ {
			order[int(i)&(len(order)-1)] = f.order[int(i)&(n-1)]
		}
		f.order = order
	}
	f.order[int(f.count)&(len(f.order)-1)] = seq
	f.count++
	return f.count - 1
}

// matters reports whether the oldest transmission of which nothing is known is of a packet that is flying since.
func (f *flight) matters() bool {
	seq := f.order[int(f.known)&(len(f.order)-1)]
	return f.has(seq) && f.get(seq).n == f.known && f.get(seq).fate == flying
}

// next returns the packet of the oldest transmission of which nothing is known, and false if that does not matter any more.
func (f *flight) next() (seq uint16, ok bool) {
	seq, ok = f.order[int(f.known)&(len(f.order)-1)], f.matters()
	f.known++
	return seq, ok
}

// forget says that all transmissions are known of.
func (f *flight) forget() {
	f.known = f.count
	if len(f.order) > 64 {
		f.order = nil
	}
}
