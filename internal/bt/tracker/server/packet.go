package server

import (
	"encoding/binary"
	"net/netip"

	"shoal/internal/ident"
)

// The UDP tracker protocol (BEP 15). Every request begins with the connection id, the action and the transaction id, every answer
// with the action and the transaction id. All numbers are big-endian.

// protocolID stands in place of the connection id in a connect request (BEP 15).
const protocolID uint64 = 0x41727101980

// action is the kind of a packet (BEP 15).
type action uint32

const (
	actConnect action = iota
	actAnnounce
	actScrape
	actError
)

const (
	headerLen   = 16
	announceLen = 98 // what follows are options (BEP 41), which say nothing that we need
	maxScrape   = 74 // names in one request (BEP 15)

	// maxAnswer is the most bytes of an answer: what a network of IPv6's smallest links and a tunnel or two carries unbroken.
	maxAnswer = 1400
)

// request is a UDP request behind its header.
type request struct {
	id  uint64
	act action
	tx  uint32
}

// parseHeader reads the beginning of a request; ok is false for what is none.
func parseHeader(b []byte) (r request, ok bool) {
	if len(b) < headerLen {
		return r, false
	}
	return request{binary.BigEndian.Uint64(b), action(binary.BigEndian.Uint32(b[8:])), binary.BigEndian.Uint32(b[12:])}, true
}

// parseAnnounce reads an announce whose header was read. own is the address that the packet names as the peer's, the zero Addr if it names
// none.
func parseAnnounce(b []byte) (a announce, own netip.Addr, ok bool) {
	if len(b) < announceLen {
		return a, own, false
	}
	a.name = ident.V1(b[16:])
	a.left = binary.BigEndian.Uint64(b[64:]) != 0
	a.event = event(binary.BigEndian.Uint32(b[80:]))
	if ip := netip.AddrFrom4([4]byte(b[84:])); !ip.IsUnspecified() {
		own = ip
	}
	a.want = wanted(int64(int32(binary.BigEndian.Uint32(b[92:]))))
	a.port = binary.BigEndian.Uint16(b[96:])
	return a, own, true
}

// How many addresses an answer holds.
const (
	defaultWant = 50
	maxWant     = 200
)

// wanted returns how many addresses one gets who asks for n: the default if n is negative (BEP 15).
func wanted(n int64) int {
	if n < 0 {
		return defaultWant
	}
	return int(min(n, maxWant))
}

func appendHeader(b []byte, act action, tx uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(act)), tx)
}

func appendConnect(b []byte, tx uint32, id uint64) []byte {
	return binary.BigEndian.AppendUint64(appendHeader(b, actConnect, tx), id)
}

func appendAnnounce(b []byte, tx uint32, interval uint32, c counts, peers []byte) []byte {
	b = appendHeader(b, actAnnounce, tx)
	b = binary.BigEndian.AppendUint32(b, interval)
	b = binary.BigEndian.AppendUint32(b, c.leeches)
	b = binary.BigEndian.AppendUint32(b, c.seeds)
	return append(b, peers...)
}

func appendScrape(b []byte, c counts) []byte {
	b = binary.BigEndian.AppendUint32(b, c.seeds)
	b = binary.BigEndian.AppendUint32(b, c.downloads)
	return binary.BigEndian.AppendUint32(b, c.leeches)
}

func appendError(b []byte, tx uint32, text string) []byte {
	return append(appendHeader(b, actError, tx), text...)
}
