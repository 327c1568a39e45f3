package utp

import (
	"net/netip"
	"sync"

	"shoal/internal/netx"
)

// outputSize is how much is written to the socket at a time.
const outputSize = 128 << 10

// output collects datagrams to one address. Those of one size in a row become one netx.Packet.
type output struct {
	to      netip.AddrPort
	packets []netx.Packet
	closed  bool // nothing may follow in the last packet
	used    int
	data    [outputSize]byte
}

var outputs = sync.Pool{New: func() any { return new(output) }}

func newOutput(to netip.AddrPort) *output {
	o := outputs.Get().(*output)
	o.to, o.packets, o.used = to, o.packets[:0], 0
	return o
}

func (o *output) free() {
	clear(o.packets)
	outputs.Put(o)
}

// fits reports whether a datagram of n bytes has room.
func (o *output) fits(n int) bool { return o.used+n <= outputSize }

// add returns the room of the next datagram, of n bytes. A probe is not to be cut on its way.
func (o *output) add(n int, probe bool) []byte {
	b := o.data[o.used:][:n]
	start := o.used
	o.used += n
	if k := len(o.packets) - 1; k >= 0 && !o.closed && !probe && n <= o.packets[k].Size {
		p := &o.packets[k]
		p.Data = o.data[start-len(p.Data) : o.used]
		o.closed = n < p.Size
		return b
	}
	o.packets = append(o.packets, netx.Packet{Addr: o.to, Data: b, Size: n, DontFragment: probe})
	o.closed = probe
	return b
}
