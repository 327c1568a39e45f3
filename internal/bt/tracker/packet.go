package tracker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"

	"shoal/internal/ident"
)

// The UDP tracker protocol (BEP 15). Every request begins with the connection id, the action and the transaction id,
// every answer with the action and the transaction id. All numbers are big-endian.

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

// maxScrape is how many names one scrape holds (BEP 15).
const maxScrape = 74

// Options that may follow an announce (BEP 41).
const (
	optURLData    = 2
	maxOptionData = 255
)

var errShort = errors.New("answer is broken: packet too short")

func appendHeader(b []byte, id uint64, act action, tx uint32) []byte {
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.BigEndian.AppendUint32(b, uint32(act))
	return binary.BigEndian.AppendUint32(b, tx)
}

func connectPacket(tx uint32) []byte { return appendHeader(nil, protocolID, actConnect, tx) }

// announcePacket is an announce (BEP 15), with the path and query of the tracker's URL behind it (BEP 41). The address
// field stays 0: the tracker takes the sender's.
func announcePacket(id uint64, tx uint32, r *request, u *url.URL) []byte {
	b := appendHeader(make([]byte, 0, 128), id, actAnnounce, tx)
	b = append(b, r.name[:]...)
	b = append(b, r.peer[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.progress.Downloaded))
	b = binary.BigEndian.AppendUint64(b, uint64(r.progress.Left))
	b = binary.BigEndian.AppendUint64(b, uint64(r.progress.Uploaded))
	b = binary.BigEndian.AppendUint32(b, uint32(r.event))
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, r.key)
	b = binary.BigEndian.AppendUint32(b, uint32(r.want))
	b = binary.BigEndian.AppendUint16(b, r.port)
	for data := u.RequestURI(); len(data) > 0; {
		n := min(len(data), maxOptionData)
		b = append(b, optURLData, byte(n))
		b = append(b, data[:n]...)
		data = data[n:]
	}
	return b
}

func scrapePacket(id uint64, tx uint32, names []ident.V1) []byte {
	b := appendHeader(nil, id, actScrape, tx)
	for _, name := range names {
		b = append(b, name[:]...)
	}
	return b
}

// transaction returns the transaction id of an answer.
func transaction(b []byte) (uint32, bool) {
	if len(b) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[4:]), true
}

// parseHeader returns what follows the header of an answer to act. The error is a *Refusal if the tracker sent one.
func parseHeader(b []byte, act action) ([]byte, error) {
	if len(b) < 8 {
		return nil, errShort
	}
	switch got := action(binary.BigEndian.Uint32(b)); got {
	case act:
		return b[8:], nil
	case actError:
		return nil, &Refusal{Reason: printable(b[8:])}
	default:
		return nil, fmt.Errorf("answer is broken: action %d, want %d", got, act)
	}
}

// refused reports whether an answer is a refusal.
func refused(b []byte) bool { return len(b) >= 4 && action(binary.BigEndian.Uint32(b)) == actError }

func parseConnect(b []byte) (id uint64, err error) {
	b, err = parseHeader(b, actConnect)
	if err != nil {
		return 0, err
	}
	if len(b) < 8 {
		return 0, errShort
	}
	return binary.BigEndian.Uint64(b), nil
}

// parseAnnounce reads the answer to an announce; its addresses are of the family that the socket has (BEP 15, IPv6).
func parseAnnounce(b []byte, v6 bool) (answer, error) {
	b, err := parseHeader(b, actAnnounce)
	if err != nil {
		return answer{}, err
	}
	if len(b) < 12 {
		return answer{}, errShort
	}
	a := answer{
		interval:  time.Duration(max(0, number(b))) * time.Second,
		leeches:   max(unknown, number(b[4:])),
		seeds:     max(unknown, number(b[8:])),
		downloads: unknown,
	}
	ipLen := 4
	if v6 {
		ipLen = 16
	}
	a.peers = appendCompact(nil, b[12:], ipLen)
	return a, nil
}

// parseScrapePacket reads the answer to a scrape of names.
func parseScrapePacket(b []byte, names []ident.V1) ([]Counts, error) {
	b, err := parseHeader(b, actScrape)
	if err != nil {
		return nil, err
	}
	if len(b) < 12*len(names) {
		return nil, errShort
	}
	counts := make([]Counts, len(names))
	for i := range names {
		n := b[12*i:]
		counts[i] = Counts{Seeds: max(unknown, number(n)), Downloads: max(unknown, number(n[4:])), Leeches: max(unknown, number(n[8:]))}
	}
	return counts, nil
}

// number reads a signed 32-bit number.
func number(b []byte) int {
	n := binary.BigEndian.Uint32(b)
	if n > math.MaxInt32 {
		return unknown
	}
	return int(n)
}
