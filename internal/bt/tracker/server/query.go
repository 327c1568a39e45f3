package server

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"shoal/internal/ident"
)

// Problems with HTTP requests. They are told to the client.
var (
	errNoName = errors.New("info_hash is not 20 bytes")
	errNoPort = errors.New("port is not a number from 0 to 65535")
)

// webAnnounce is an announce over HTTP (BEP 3).
type webAnnounce struct {
	announce
	own     netip.Addr // that the client says it has; the zero Addr if it does not say
	compact bool       // peers as bytes (BEP 23), which is the default
}

// parseWebAnnounce reads the query of an announce. What it does not know, it passes over.
func parseWebAnnounce(query string) (a webAnnounce, err error) {
	a.want, a.left, a.compact = defaultWant, true, true
	var named, ported bool
	each(query, func(key, value string) {
		switch key {
		case "info_hash":
			a.name, named = parseName(value)
		case "port":
			n, err := strconv.ParseUint(value, 10, 16)
			a.port, ported = uint16(n), err == nil
		case "left":
			a.left = strings.Trim(value, "0") != "" || value == ""
		case "numwant":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				n = -1
			}
			a.want = wanted(n)
		case "compact":
			a.compact = value != "0"
		case "event":
			a.event = parseEvent(value)
		case "ip":
			if text, ok := unescape(value); ok {
				a.own, _ = netip.ParseAddr(text)
			}
		}
	})
	switch {
	case !named:
		return a, errNoName
	case !ported:
		return a, errNoPort
	}
	return a, nil
}

func parseEvent(s string) event {
	switch s {
	case "completed":
		return completed
	case "started":
		return started
	case "stopped":
		return stopped
	case "paused":
		return paused
	}
	return none
}

// parseWebScrape reads the names in the query of a scrape (BEP 48), maxScrape at most.
func parseWebScrape(query string) (names []ident.V1, err error) {
	each(query, func(key, value string) {
		if key != "info_hash" || len(names) == maxScrape {
			return
		}
		name, ok := parseName(value)
		if !ok {
			err = errNoName
		}
		names = append(names, name)
	})
	return names, err
}

// each calls f with each parameter of a query, its value as it is written there.
func each(query string, f func(key, value string)) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		f(key, value)
	}
}

// parseName reads an escaped infohash. That of v2 is cut to 20 bytes by who sends it (BEP 52).
func parseName(s string) (name ident.V1, ok bool) {
	n := 0
	for i := 0; i < len(s); i++ {
		if n == len(name) {
			return name, false
		}
		c := s[i]
		switch c {
		case '%':
			if i+2 >= len(s) {
				return name, false
			}
			high, low := digit(s[i+1]), digit(s[i+2])
			if high|low > 15 {
				return name, false
			}
			c = high<<4 | low
			i += 2
		case '+':
			c = ' '
		}
		name[n] = c
		n++
	}
	return name, n == len(name)
}

// digit returns the value of a hexadecimal digit, 255 if it is none.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|32 >= 'a' && c|32 <= 'f':
		return c | 32 - 'a' + 10
	}
	return 255
}

// unescape reads an escaped text, as %3A in an IPv6 address, of at most 64 bytes.
func unescape(s string) (string, bool) {
	if len(s) > 3*64 {
		return "", false
	}
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", false
			}
			high, low := digit(s[i+1]), digit(s[i+2])
			if high|low > 15 {
				return "", false
			}
			c = high<<4 | low
			i += 2
		}
		b = append(b, c)
	}
	return string(b), true
}
