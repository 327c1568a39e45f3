// Package magnet reads and writes magnet links of torrents (BEP 9, BEP 53) and bare infohashes.
package magnet

import (
	"crypto/ed25519"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"shoal/internal/ident"
)

// Bounds on what is accepted.
const (
	MaxLength = 64 << 10 // bytes of a link
	maxList   = 500      // trackers, web seeds, peers, ranges: each
	maxName   = 1024     // bytes of the name
	maxURL    = 4096     // bytes of an address
	maxSalt   = 64       // bytes (BEP 44)
)

// Range is a run of files, both ends included, as BEP 53 counts them: in the order of the torrent, from 0.
type Range struct {
	First, Last int
}

// Magnet is what a link says.
type Magnet struct {
	Hash     ident.InfoHash // of v1 (btih), v2 (btmh), or both for a hybrid
	Name     string         // dn: what to call it until the metadata is there; not safe as a path
	Trackers []string       // tr, each once
	WebSeeds []string       // ws, each once
	Peers    []string       // x.pe: host:port, each once
	Select   []Range        // so: the files to fetch; nil for all

	// Publisher is the ed25519 key (xs=urn:btpk:) of who names the torrent by a mutable item of the DHT, and Salt (s) tells that item from
	// others of the same key (BEP 46). Such a link needs no infohash.
	Publisher *[ed25519.PublicKeySize]byte
	Salt      []byte
}

// multihash begins a SHA-256 multihash: the function's code and the digest's length.
const multihash = "1220"

// ParseLink reads a magnet link or a bare infohash: 40 hexadecimal digits or 32 base32 characters of v1, 64 digits or a
// multihash (1220 and 64 digits) of v2.
func ParseLink(s string) (*Magnet, error) {
	s = strings.TrimSpace(s)
	if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
		return Parse(s)
	}
	m := &Magnet{}
	var err error
	switch len(s) {
	case 32, 40:
		m.Hash.V1, err = parseV1(s)
	case 64:
		m.Hash.V2, err = ident.ParseV2(s)
	case 68:
		m.Hash.V2, err = parseV2(s)
	default:
		return nil, fmt.Errorf("%s is neither a magnet link nor an infohash", quote(s))
	}
	if err == nil {
		err = m.check()
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

const scheme = "magnet:"

// Parse reads a magnet link. Parameters that are not known are ignored; a name, address, peer or range that is too
// long or makes no sense, too. Errors are about the infohash, or a link that is none.
func Parse(s string) (*Magnet, error) {
	if len(s) > MaxLength {
		return nil, fmt.Errorf("magnet link has %d bytes, more than %d", len(s), MaxLength)
	}
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return nil, fmt.Errorf("%s is not a magnet link", quote(s))
	}
	_, query, ok := strings.Cut(s, "?")
	if !ok {
		return nil, errors.New("magnet link has no parameters")
	}
	query, _, _ = strings.Cut(query, "#")
	m := &Magnet{}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		value, err := url.QueryUnescape(value)
		if err != nil {
			value = "" // a broken escape
		}
		if err := m.set(strings.ToLower(key), value); err != nil {
			return nil, err
		}
	}
	if m.Publisher == nil {
		m.Salt = nil
	} else if m.Hash.IsZero() {
		return m, nil
	}
	if m.Hash.IsZero() {
		return nil, errors.New("magnet link has no infohash of BitTorrent (xt=urn:btih: or xt=urn:btmh:)")
	}
	return m, m.check()
}

// check refuses the zero hash: here it means that there is none.
func (m *Magnet) check() error {
	if m.Hash.IsZero() {
		return errors.New("infohash is all zeros")
	}
	return nil
}

// set takes one parameter. Its name may carry a number, as in "xt.1".
func (m *Magnet) set(key, value string) error {
	if base, number, ok := strings.Cut(key, "."); ok && key != "x.pe" {
		if _, err := strconv.ParseUint(number, 10, 16); err == nil {
			key = base
		}
	}
	switch key {
	case "xt":
		return m.topic(value)
	case "xs":
		return m.source(value)
	case "s":
		if salt, err := hex.DecodeString(value); err == nil && len(salt) > 0 && len(salt) <= maxSalt {
			m.Salt = salt
		}
	case "dn":
		if name := strings.ToValidUTF8(value, "\ufffd"); m.Name == "" && len(name) <= maxName {
			m.Name = name
		}
	case "tr":
		m.Trackers = addURL(m.Trackers, value)
	case "ws":
		m.WebSeeds = addURL(m.WebSeeds, value)
	case "x.pe":
		if peer, ok := parsePeer(value); ok {
			m.Peers = add(m.Peers, peer)
		}
	case "so":
		m.Select = append(m.Select, parseRanges(value, maxList-len(m.Select))...)
	}
	return nil
}

// source takes the key of a publisher (BEP 46). Other sources are ignored.
func (m *Magnet) source(value string) error {
	const prefix = "urn:btpk:"
	if len(value) < len(prefix) || !strings.EqualFold(value[:len(prefix)], prefix) {
		return nil
	}
	key, err := hex.DecodeString(value[len(prefix):])
	if err != nil || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("magnet link: key %s is not %d hexadecimal digits", quote(value[len(prefix):]), 2*ed25519.PublicKeySize)
	}
	m.Publisher = (*[ed25519.PublicKeySize]byte)(key)
	return nil
}

func (m *Magnet) topic(value string) error {
	lower := strings.ToLower(value)
	switch {
	case strings.HasPrefix(lower, "urn:btih:"):
		h, err := parseV1(value[len("urn:btih:"):])
		if err != nil {
			return fmt.Errorf("magnet link: %w", err)
		}
		if m.Hash.HasV1() && m.Hash.V1 != h {
			return errors.New("magnet link names two torrents of v1")
		}
		m.Hash.V1 = h
	case strings.HasPrefix(lower, "urn:btmh:"):
		h, err := parseV2(value[len("urn:btmh:"):])
		if err != nil {
			return fmt.Errorf("magnet link: %w", err)
		}
		if m.Hash.HasV2() && m.Hash.V2 != h {
			return errors.New("magnet link names two torrents of v2")
		}
		m.Hash.V2 = h
	}
	return nil
}

// parseV1 reads 40 hexadecimal digits or 32 base32 characters.
func parseV1(s string) (h ident.V1, err error) {
	switch len(s) {
	case 40:
		return ident.ParseV1(s)
	case 32:
		n, err := base32.StdEncoding.Decode(h[:], []byte(strings.ToUpper(s)))
		if err != nil || n != len(h) {
			return ident.V1{}, fmt.Errorf("infohash %s is not base32", quote(s))
		}
		return h, nil
	}
	return h, fmt.Errorf("infohash %s has %d characters, want 40 hexadecimal or 32 base32", quote(s), len(s))
}

// parseV2 reads the multihash of a SHA-256 digest (BEP 9).
func parseV2(s string) (h ident.V2, err error) {
	if !strings.HasPrefix(s, multihash) {
		return h, fmt.Errorf("infohash %s is not a SHA-256 multihash, which begins with %s", quote(s), multihash)
	}
	if len(s) != len(multihash)+2*len(h) {
		return h, fmt.Errorf("infohash %s has %d characters, want %d", quote(s), len(s), len(multihash)+2*len(h))
	}
	return ident.ParseV2(s[len(multihash):])
}

func quote(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%q…", s[:80])
	}
	return fmt.Sprintf("%q", s)
}

// add appends what is not in the list yet, while there is room.
func add(list []string, s string) []string {
	if len(list) == maxList || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

func addURL(list []string, s string) []string {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxURL || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return list
	}
	return add(list, s)
}

// parsePeer checks host:port; an IPv6 address is in brackets.
func parsePeer(s string) (string, bool) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || len(host) > 255 || !utf8.ValidString(host) || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == '%' }) {
		return "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", false
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), true
}

// parseRanges reads "0,2,4-8", of which it takes at most limit ranges.
func parseRanges(s string, limit int) []Range {
	var ranges []Range
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 31)
		b, errB := strconv.ParseUint(last, 10, 31)
		if errA != nil || errB != nil || a > b || b == math.MaxInt32 {
			continue
		}
		if len(ranges) >= limit {
			break
		}
		ranges = append(ranges, Range{int(a), int(b)})
	}
	return ranges
}

// Selects reports whether the link asks for a file, counted as in the torrent.
func (m *Magnet) Selects(file int) bool {
	return m.Select == nil || slices.ContainsFunc(m.Select, func(r Range) bool { return r.First <= file && file <= r.Last })
}

// String returns the link. It has only letters, digits and "-._~:?=&%", so that inside quotes it means nothing to a
// shell, and Parse reads it as the same Magnet.
func (m *Magnet) String() string {
	b := []byte(scheme)
	sep := byte('?')
	param := func(key, value string) {
		b = append(b, sep)
		b = append(append(append(b, key...), '='), value...)
		sep = '&'
	}
	if m.Hash.HasV1() {
		param("xt", "urn:btih:"+m.Hash.V1.String())
	}
	if m.Hash.HasV2() {
		param("xt", "urn:btmh:"+multihash+m.Hash.V2.String())
	}
	if m.Publisher != nil {
		param("xs", "urn:btpk:"+hex.EncodeToString(m.Publisher[:]))
		if len(m.Salt) > 0 {
			param("s", hex.EncodeToString(m.Salt))
		}
	}
	if m.Name != "" {
		param("dn", escape(m.Name))
	}
	for _, s := range m.Trackers {
		param("tr", escape(s))
	}
	for _, s := range m.WebSeeds {
		param("ws", escape(s))
	}
	for _, s := range m.Peers {
		param("x.pe", escape(s))
	}
	if len(m.Select) > 0 {
		var parts []string
		for _, r := range m.Select {
			part := strconv.Itoa(r.First)
			if r.Last > r.First {
				part += "-" + strconv.Itoa(r.Last)
			}
			parts = append(parts, part)
		}
		param("so", strings.Join(parts, "%2C"))
	}
	return string(b)
}

// escape leaves only the unreserved characters of RFC 3986 §2.3 as they are.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}
