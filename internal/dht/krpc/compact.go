package krpc

import (
	"iter"
	"net/netip"

	"shoal/internal/bencode"
)

// Lengths of compact addresses and nodes (BEP 5, BEP 32).
const (
	peerLen4 = 4 + 2
	peerLen6 = 16 + 2
	nodeLen4 = 20 + peerLen4
	nodeLen6 = 20 + peerLen6
)

// Node is a node as others tell of it.
type Node struct {
	ID   ID
	Addr netip.AddrPort
}

func appendAddr(dst []byte, a netip.AddrPort) []byte {
	if ip := a.Addr(); ip.Is4() {
		b := ip.As4()
		dst = append(dst, b[:]...)
	} else {
		b := ip.As16()
		dst = append(dst, b[:]...)
	}
	return append(dst, byte(a.Port()>>8), byte(a.Port()))
}

// AppendNode appends a node's compact form. Those of one string have to be of one family.
func AppendNode(dst []byte, n Node) []byte { return appendAddr(append(dst, n.ID[:]...), n.Addr) }

// AppendPeer appends a compact address as an item of "values".
func AppendPeer(dst []byte, a netip.AddrPort) []byte {
	if a.Addr().Is4() {
		dst = append(dst, '6', ':')
	} else {
		dst = append(dst, '1', '8', ':')
	}
	return appendAddr(dst, a)
}

// EachNode returns the nodes of "nodes" or, with ipv6, of "nodes6".
func EachNode(compact []byte, ipv6 bool) iter.Seq[Node] {
	size := nodeLen4
	if ipv6 {
		size = nodeLen6
	}
	return func(yield func(Node) bool) {
		for ; len(compact) >= size; compact = compact[size:] {
			a, _ := addrPort(compact[20:size])
			if a.Addr().Is4() == ipv6 {
				continue // a mapped address
			}
			if !yield(Node{ID(compact[:20]), a}) {
				return
			}
		}
	}
}

// EachPeer returns the addresses among the strings of "values".
func (m *Message) EachPeer() iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		for rest := m.Values; len(rest) > 0; {
			v, after, err := bencode.ParsePrefix(rest)
			if err != nil {
				return
			}
			rest = after
			b, _ := v.Bytes()
			if a, ok := addrPort(b); ok && !yield(a) {
				return
			}
		}
	}
}
