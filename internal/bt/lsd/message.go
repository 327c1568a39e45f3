package lsd

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

	"shoal/internal/ident"
)

const (
	maxMessage = 1400 // bytes of what is sent (BEP 14)
	maxHeard   = 1500 // bytes of what is read: nobody sends more in a packet
	maxNames   = 32   // names taken from one message; 25 fit into one of the usual length
)

// message is an announce (BEP 14).
type message struct {
	port   uint16     // where the sender takes connections, not 0
	names  []ident.V1 // of the torrents that it has a part in
	cookie string     // by which a sender knows its own; may be empty
}

// bytes returns the message as it is sent to a group, and how many of the names found room.
func (m message) bytes(group string) ([]byte, int) {
	b := append([]byte(nil), "BT-SEARCH * HTTP/1.1\r\nHost: "...)
	b = append(b, group...)
	b = append(b, "\r\nPort: "...)
	b = strconv.AppendUint(b, uint64(m.port), 10)
	end := "\r\ncookie: " + m.cookie + "\r\n\r\n\r\n"
	const field = "\r\nInfohash: "
	n := 0
	for ; n < len(m.names) && len(b)+len(field)+2*len(ident.V1{})+len(end) <= maxMessage; n++ {
		b = append(b, field...)
		b = hex.AppendEncode(b, m.names[n][:])
	}
	return append(b, end...), n
}

var (
	errNoSearch = errors.New("not a BT-SEARCH")
	errNoPort   = errors.New("no port in a BT-SEARCH")
	errNoNames  = errors.New("no info-hash in a BT-SEARCH")
)

// parse reads a message. Names that are none, and headers that we do not know, are passed over.
func parse(b []byte) (m message, err error) {
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	method, _, _ := bytes.Cut(line, []byte(" "))
	if len(b) > maxHeard || !bytes.EqualFold(method, []byte("BT-SEARCH")) {
		return m, errNoSearch
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		if line = bytes.TrimRight(line, "\r"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch string(bytes.ToLower(name)) {
		case "port":
			n, err := strconv.ParseUint(string(value), 10, 16)
			if err != nil || n == 0 {
				return message{}, errNoPort
			}
			m.port = uint16(n)
		case "infohash":
			if h, err := ident.ParseV1(string(value)); err == nil && !h.IsZero() && len(m.names) < maxNames && !slices.Contains(m.names, h) {
				m.names = append(m.names, h)
			}
		case "cookie":
			m.cookie = string(value)
		}
	}
	switch {
	case m.port == 0:
		return message{}, errNoPort
	case len(m.names) == 0:
		return message{}, errNoNames
	}
	return m, nil
}
