package utp

import (
	"encoding/binary"
	"time"
)

// kind is the type of a packet (BEP 29).
type kind uint8

const (
	kindData  kind = iota // ST_DATA
	kindFin               // ST_FIN: there is no data behind it
	kindState             // ST_STATE: an acknowledgement; it takes no sequence number
	kindReset             // ST_RESET
	kindSyn               // ST_SYN
	kinds
)

const (
	version   = 1
	headerLen = 20
)

// Extensions (BEP 29): a chain of type of the next, length, content. Unknown ones are skipped, but libutp takes a packet that begins
// with one above 2 for none of its version.
const (
	extEnd  = 0
	extSack = 1 // a bit mask of what has arrived from the packet after the next expected one on
	extBits = 2 // eight bytes, of which nobody says what they mean. Ours are bitsMagic and a length in four bytes: in a SYN and its
	// answer the longest datagram that is read, else the longest that has come
)

const (
	bitsMagic = "shoa"
	bitsLen   = 8
	maxSack   = 252 // bytes of a mask: a multiple of 4 that fits into the length's byte
)

// header is what each packet begins with.
type header struct {
	kind   kind
	id     uint16 // the receiver's name of the connection, but for SYN
	time   uint32 // µs, when it was sent by the sender's clock
	diff   uint32 // µs between sending and arrival of the last packet that came the other way; 0 if none did
	window uint32 // bytes that the sender has room for
	seq    uint16
	ack    uint16 // the last packet before which, and with which, all have arrived
}

// packet is one that was received.
type packet struct {
	header
	sack    []byte // nil if it has none
	largest int    // 0 if it does not say
	payload []byte
	size    int           // of the datagram
	waited  time.Duration // in our system's queue
}

var be = binary.BigEndian

// Match reports whether a datagram is a uTP packet: version 1 and a type that there is. Neither the DHT's (BEP 5) nor a UDP
// tracker's (BEP 15) look so.
func Match(first []byte) bool {
	return len(first) >= headerLen && first[0]&0xf == version && kind(first[0]>>4) < kinds
}

// parse reads a packet, whose slices point into b. It reports false if b is none.
func parse(b []byte, p *packet) bool {
	if !Match(b) {
		return false
	}
	*p = packet{size: len(b), header: header{
		kind:   kind(b[0] >> 4),
		id:     be.Uint16(b[2:]),
		time:   be.Uint32(b[4:]),
		diff:   be.Uint32(b[8:]),
		window: be.Uint32(b[12:]),
		seq:    be.Uint16(b[16:]),
		ack:    be.Uint16(b[18:]),
	}}
	ext, rest := b[1], b[headerLen:]
	for ext != extEnd {
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return false
		}
		content := rest[2 : 2+int(rest[1])]
		switch {
		case ext == extSack && len(content) > 0:
			p.sack = content
		case ext == extBits && len(content) == bitsLen && string(content[:4]) == bitsMagic:
			p.largest = int(min(be.Uint32(content[4:]), maxDatagram))
		}
		ext, rest = rest[0], rest[2+len(content):]
	}
	p.payload = rest
	return true
}

// put writes a header; ext is the first extension's type.
func (h *header) put(b []byte, ext byte) {
	b[0] = byte(h.kind)<<4 | version
	b[1] = ext
	be.PutUint16(b[2:], h.id)
	be.PutUint32(b[4:], h.time)
	be.PutUint32(b[8:], h.diff)
	be.PutUint32(b[12:], h.window)
	be.PutUint16(b[16:], h.seq)
	be.PutUint16(b[18:], h.ack)
}

// less reports whether sequence number a comes before b: they wrap.
func less(a, b uint16) bool { return int16(a-b) < 0 }
