// Package krpc is the language of the Mainline DHT (BEP 5): its messages, and what BEP 32, 33, 42, 43, 44 and 51 add to them.
//
// Reading takes no memory: what Decode finds are views into the datagram. Writing appends to the caller's buffer.
package krpc

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math/bits"
	"math/rand/v2"
	"net/netip"
)

// ID names a node or a key, in one space of 160 bits whose distance is XOR.
type ID [20]byte

// String returns 40 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

func (id ID) words() (a, b uint64, c uint32) {
	return binary.BigEndian.Uint64(id[:]), binary.BigEndian.Uint64(id[8:]), binary.BigEndian.Uint32(id[16:])
}

// Closer reports whether a is closer to target than b.
func Closer(target, a, b ID) bool {
	t0, t1, t2 := target.words()
	a0, a1, a2 := a.words()
	b0, b1, b2 := b.words()
	switch {
	case a0 != b0:
		return a0^t0 < b0^t0
	case a1 != b1:
		return a1^t1 < b1^t1
	}
	return a2^t2 < b2^t2
}

// Prefix returns how many leading bits a and b have in common: 160 if they are equal.
func Prefix(a, b ID) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return 8 * len(a)
}

// RandomID returns a random id of which the first n bits are those of prefix.
func RandomID(prefix ID, n int, r *rand.Rand) ID {
	id := prefix
	for i := n / 8; i < len(id); i++ {
		mask := byte(0xff)
		if i == n/8 {
			mask >>= n % 8
		}
		id[i] = id[i]&^mask | byte(r.Uint32())&mask
	}
	return id
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// prefix21 is the expression of BEP 42, of which the first 21 bits count: the hash of an address and a number in [0, 7].
func prefix21(addr netip.Addr, r byte) uint32 {
	if addr.Is4() {
		ip := addr.As4()
		n := binary.BigEndian.Uint32(ip[:])&0x030f3fff | uint32(r&7)<<29
		binary.BigEndian.PutUint32(ip[:], n)
		return checksum(ip[:])
	}
	ip := addr.As16()
	n := binary.BigEndian.Uint64(ip[:])&0x0103070f1f3f7fff | uint64(r&7)<<61
	binary.BigEndian.PutUint64(ip[:], n)
	return checksum(ip[:8])
}

// checksum is crc32.Checksum of a few bytes, which do not move to the heap for it.
func checksum(b []byte) uint32 {
	crc := ^uint32(0)
	for _, x := range b {
		crc = castagnoli[byte(crc)^x] ^ crc>>8
	}
	return ^crc
}

// SecureID returns a random one of the ids that a node at an address may have (BEP 42).
func SecureID(addr netip.Addr, r *rand.Rand) ID {
	id := RandomID(ID{}, 0, r)
	h := prefix21(addr, id[19])
	id[0], id[1] = byte(h>>24), byte(h>>16)
	id[2] = byte(h>>8)&0xf8 | id[2]&7
	return id
}

// Secure reports whether a node at an address may have the id (BEP 42). On a local network every id is fine.
func (id ID) Secure(addr netip.Addr) bool {
	if Local(addr) {
		return true
	}
	h := prefix21(addr, id[19])
	return id[0] == byte(h>>24) && id[1] == byte(h>>16) && id[2]&0xf8 == byte(h>>8)&0xf8
}

// Local reports whether an address is of a local network, where BEP 42 does not hold.
func Local(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()
}
