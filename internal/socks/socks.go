// Package socks is the layout of SOCKS5's addresses and packets (RFC 1928 §5, §7).
package socks

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// Types of address (RFC 1928 §5).
const (
	typeIPv4 = 1
	typeName = 3
	typeIPv6 = 4
)

// MaxHeader is the length of the longest header of a packet that SplitPacket takes apart: two bytes reserved, fragment, type, an IPv6
// address and a port.
const MaxHeader = 4 + 16 + 2

// Addr is whom a proxy is asked for: an address, or a name that the proxy resolves.
type Addr struct {
	IP   netip.Addr // valid if it is an address, which is never an IPv4 one mapped into IPv6
	Name string     // at most 255 bytes
	Port uint16
}

// String returns host:port.
func (a Addr) String() string {
	if a.IP.IsValid() {
		return netip.AddrPortFrom(a.IP, a.Port).String()
	}
	return net.JoinHostPort(a.Name, strconv.Itoa(int(a.Port)))
}

// Append appends type, address and port.
func (a Addr) Append(b []byte) []byte {
	switch {
	case a.IP.Is4():
		b = append(b, typeIPv4)
	case a.IP.Is6():
		b = append(b, typeIPv6)
	default:
		b = append(b, typeName, byte(len(a.Name)))
		b = append(b, a.Name...)
	}
	b = append(b, a.IP.AsSlice()...)
	return binary.BigEndian.AppendUint16(b, a.Port)
}

// ReadAddr reads what Append writes, and not a byte more.
func ReadAddr(r io.Reader) (a Addr, err error) {
	var b [256 + 2]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return a, err
	}
	var size int
	kind := b[0]
	switch kind {
	case typeIPv4:
		size = 4
	case typeIPv6:
		size = 16
	case typeName:
		if _, err := io.ReadFull(r, b[:1]); err != nil {
			return a, err
		}
		size = int(b[0])
	default:
		return a, fmt.Errorf("an address of unknown type %#02x", kind)
	}
	if _, err := io.ReadFull(r, b[:size+2]); err != nil {
		return a, err
	}
	if kind == typeName {
		a.Name = string(b[:size])
	} else {
		ip, _ := netip.AddrFromSlice(b[:size])
		a.IP = ip.Unmap()
	}
	a.Port = binary.BigEndian.Uint16(b[size:])
	return a, nil
}

// AppendHeader appends what stands before the payload of a packet to or from a (§7).
func AppendHeader(b []byte, a Addr) []byte { return a.Append(append(b, 0, 0, 0)) }

// SplitPacket takes the header off a packet of a relay. It refuses fragments, which a client without a queue for them has to drop, and
// packets from a name, which nobody could answer.
func SplitPacket(b []byte) (from netip.AddrPort, payload []byte, ok bool) {
	if len(b) < 4 || b[2] != 0 {
		return from, nil, false
	}
	size := 4
	switch b[3] {
	case typeIPv4:
	case typeIPv6:
		size = 16
	default:
		return from, nil, false
	}
	if len(b) < 4+size+2 {
		return from, nil, false
	}
	ip, _ := netip.AddrFromSlice(b[4 : 4+size])
	b = b[4+size:]
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(b)), b[2:], true
}
