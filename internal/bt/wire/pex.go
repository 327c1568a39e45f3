package wire

import (
	"net/netip"

	"shoal/internal/bencode"
)

// MaxPEX is the most addresses that ParsePEX keeps of each of the four lists in a message. BEP 11 allows 50 in all but
// the first message of a connection.
const MaxPEX = 200

// Flags of PEXPeer (BEP 11).
const (
	PEXEncryption = 0x01 // prefers encryption
	PEXSeed       = 0x02 // is a seed or only uploads
	PEXUTP        = 0x04 // supports uTP
	PEXHolepunch  = 0x08 // supports ut_holepunch (BEP 55)
	PEXReachable  = 0x10 // was reached by an outgoing connection
)

// PEXPeer is an address with what its sender knows about it.
type PEXPeer struct {
	Addr  netip.AddrPort
	Flags uint8
}

// PEX is the body of a ut_pex message: the changes of the sender's connections since its last (BEP 11).
type PEX struct {
	Added   []PEXPeer
	Dropped []netip.AddrPort
}

// Append appends the body.
func (p *PEX) Append(dst []byte) []byte {
	var added, flags, dropped [2][]byte // IPv4, IPv6
	for _, peer := range p.Added {
		i := family(peer.Addr)
		added[i] = appendAddr(added[i], peer.Addr)
		flags[i] = append(flags[i], peer.Flags)
	}
	for _, a := range p.Dropped {
		i := family(a)
		dropped[i] = appendAddr(dropped[i], a)
	}
	return bencode.Append(dst, map[string]any{
		"added": added[0], "added.f": flags[0], "added6": added[1], "added6.f": flags[1],
		"dropped": dropped[0], "dropped6": dropped[1],
	})
}

func family(a netip.AddrPort) int {
	if a.Addr().Unmap().Is4() {
		return 0
	}
	return 1
}

func appendAddr(dst []byte, a netip.AddrPort) []byte {
	return be.AppendUint16(append(dst, a.Addr().Unmap().AsSlice()...), a.Port())
}

// ParsePEX reads a body. Addresses where no peer can be are left out, as are those beyond MaxPEX.
func ParsePEX(b []byte) (PEX, error) {
	var p PEX
	v, err := dict(b, 11)
	if err != nil {
		return p, err
	}
	for _, list := range []struct {
		added, flags, dropped string
		size                  int
	}{{"added", "added.f", "dropped", 4}, {"added6", "added6.f", "dropped6", 16}} {
		e, _ := v.Get(list.flags)
		flags, _ := e.Bytes()
		eachAddr(v, list.added, list.size, func(i int, a netip.AddrPort) {
			peer := PEXPeer{Addr: a}
			if i < len(flags) {
				peer.Flags = flags[i]
			}
			p.Added = append(p.Added, peer)
		})
		eachAddr(v, list.dropped, list.size, func(_ int, a netip.AddrPort) { p.Dropped = append(p.Dropped, a) })
	}
	return p, nil
}

// eachAddr calls visit for the usable addresses among the first MaxPEX of a compact list.
func eachAddr(v bencode.Value, key string, size int, visit func(int, netip.AddrPort)) {
	e, _ := v.Get(key)
	b, _ := e.Bytes()
	for i := 0; i < MaxPEX && len(b) >= size+2; i++ {
		a, _ := netip.AddrFromSlice(b[:size])
		if ap := netip.AddrPortFrom(a.Unmap(), be.Uint16(b[size:])); usable(ap) {
			visit(i, ap)
		}
		b = b[size+2:]
	}
}

// usable reports whether a stranger may send us to a: to no port 0, multicast, loopback, link-local or unspecified
// address, and to no "this network" or reserved IPv4 address (RFC 1122 §3.2.1.3, RFC 1112 §4).
func usable(a netip.AddrPort) bool {
	ip := a.Addr()
	if a.Port() == 0 || !ip.IsGlobalUnicast() {
		return false
	}
	return !ip.Is4() || ip.As4()[0] != 0 && ip.As4()[0] < 240
}
