package wire

import (
	"fmt"
	"net/netip"
)

// ExtHolepunch is the name of the hole punching extension in ExtHandshake.M (BEP 55).
const ExtHolepunch = "ut_holepunch"

// HolepunchType tells what a ut_holepunch message is for (BEP 55).
type HolepunchType uint8

// The types.
const (
	HolepunchRendezvous HolepunchType = iota // to a relay: introduce me to the peer at Addr
	HolepunchConnect                         // from a relay: dial Addr over uTP now, for it dials you
	HolepunchError                           // from a relay: no introduction to Addr, Code says why
)

// HolepunchCode says why a relay makes no introduction (BEP 55).
type HolepunchCode uint32

// The codes.
const (
	HolepunchNoSuchPeer   HolepunchCode = 1 + iota // the address is none of a peer
	HolepunchNotConnected                          // the relay has no connection to it
	HolepunchNoSupport                             // it does not know the extension
	HolepunchNoSelf                                // it is the relay itself
)

// Holepunch is the body of a ut_holepunch message (BEP 55).
type Holepunch struct {
	Type HolepunchType
	Addr netip.AddrPort
	Code HolepunchCode // of HolepunchError; else 0
}

// Append appends the body.
func (h *Holepunch) Append(dst []byte) []byte {
	dst = appendAddr(append(dst, byte(h.Type), byte(family(h.Addr))), h.Addr)
	return be.AppendUint32(dst, uint32(h.Code))
}

// ParseHolepunch reads a body. The error code may be missing where there is no error, as some clients leave it out. An address where no
// peer can be is an error.
func ParseHolepunch(b []byte) (Holepunch, error) {
	fail := func(what string, args ...any) (Holepunch, error) {
		return Holepunch{}, &ProtocolError{Extended, ExtHolepunch + " " + fmt.Sprintf(what, args...), 55}
	}
	if len(b) < 2 || b[1] > 1 {
		return fail("without a kind of address")
	}
	size := []int{4, 16}[b[1]]
	if len(b) != 2+size+2+4 && (len(b) != 2+size+2 || HolepunchType(b[0]) == HolepunchError) {
		return fail("of %d bytes", len(b))
	}
	ip, _ := netip.AddrFromSlice(b[2 : 2+size])
	h := Holepunch{Type: HolepunchType(b[0]), Addr: netip.AddrPortFrom(ip.Unmap(), be.Uint16(b[2+size:]))}
	if !usable(h.Addr) {
		return fail("to %v, where no peer can be", h.Addr)
	}
	if h.Type == HolepunchError {
		h.Code = HolepunchCode(be.Uint32(b[2+size+2:]))
	}
	return h, nil
}
