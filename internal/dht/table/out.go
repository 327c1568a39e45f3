package table

import "net/netip"

// Out collects the datagrams that steps send. It is reused.
type Out struct {
	buf     []byte
	packets []packet
}

type packet struct {
	end int
	to  netip.AddrPort
}

// Len returns how many datagrams there are.
func (o *Out) Len() int { return len(o.packets) }

// Each calls f with each datagram, in order. b may be kept until Reset.
func (o *Out) Each(f func(b []byte, to netip.AddrPort)) {
	start := 0
	for _, p := range o.packets {
		f(o.buf[start:p.end:p.end], p.to)
		start = p.end
	}
}

// Reset forgets all datagrams.
func (o *Out) Reset() { o.buf, o.packets = o.buf[:0], o.packets[:0] }
