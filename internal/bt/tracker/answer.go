package tracker

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"shoal/internal/bencode"
	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// maxPeers bounds the addresses taken from one answer.
const maxPeers = 1000

// unknown stands for a count that an answer does not give.
const unknown = -1

// event is what an announce tells about the torrent's course; the values are those of BEP 15.
type event uint32

const (
	none event = iota
	completed
	started
	stopped
)

// eventNames are the values of the HTTP parameter (BEP 3).
var eventNames = [...]string{"", "completed", "started", "stopped"}

// request is one announce of one swarm name.
type request struct {
	event    event
	name     ident.V1
	peer     ident.PeerID
	key      uint32 // random, the same in every announce: proves that we are we when our address changes (BEP 7)
	port     uint16
	progress discovery.Progress
	want     int    // addresses
	id       string // the tracker's "tracker id" of an earlier answer
}

// answer is a success.
type answer struct {
	interval, min             time.Duration // 0: not given
	seeds, leeches, downloads int           // or unknown
	peers                     []netip.AddrPort
	id                        string
	warning                   string
	external                  netip.Addr // our own address as the tracker sees it; the zero Addr if not given
}

// Refusal is a tracker's own answer that it will not serve us ("failure reason", BEP 3).
type Refusal struct {
	Reason string        // in printable UTF-8
	Retry  time.Duration // the time after which to ask again (BEP 31), 0 if the tracker gave none
	Never  bool          // the tracker wants never to be asked again (BEP 31)
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Reason == "" {
		return "tracker refuses without a reason"
	}
	return "tracker says: " + r.Reason
}

// parseAnswer reads the body of an answer to an HTTP announce (BEP 3, 7, 23, 24, 31). What follows the dictionary, such
// as a line feed, is left alone. The error is a *Refusal if the tracker gave a failure reason.
func parseAnswer(body []byte) (answer, error) {
	v, err := parseDict(body)
	if err != nil {
		return answer{}, err
	}
	a := answer{
		interval:  seconds(v, "interval"),
		min:       seconds(v, "min interval"),
		seeds:     count(v, "complete"),
		leeches:   count(v, "incomplete"),
		downloads: count(v, "downloaded"),
		warning:   text(v, "warning message"),
	}
	if id, ok := get(v, "tracker id").Bytes(); ok && len(id) <= 1024 {
		a.id = string(id)
	}
	if ip, ok := get(v, "external ip").Bytes(); ok {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			a.external = addr.Unmap()
		}
	}
	peers := get(v, "peers")
	switch peers.Kind() {
	case bencode.String:
		b, _ := peers.Bytes()
		a.peers = appendCompact(a.peers, b, 4)
	case bencode.List:
		a.peers = appendDicts(a.peers, peers)
	case bencode.Invalid:
	default:
		return answer{}, fmt.Errorf("answer is broken: peers has the kind %v", peers.Kind())
	}
	six, _ := get(v, "peers6").Bytes()
	a.peers = appendCompact(a.peers, six, 16)
	return a, nil
}

// parseDict reads what every HTTP answer is: a dictionary, unless it holds a failure reason.
func parseDict(body []byte) (bencode.Value, error) {
	v, _, err := bencode.ParsePrefix(body)
	if err != nil {
		return v, fmt.Errorf("answer is broken: %w", err)
	}
	if v.Kind() != bencode.Dict {
		return v, fmt.Errorf("answer is broken: %v instead of a dictionary", v.Kind())
	}
	if reason, ok := get(v, "failure reason").Bytes(); ok {
		return v, newRefusal(reason, get(v, "retry in"))
	}
	return v, nil
}

// newRefusal reads the retry time of BEP 31, minutes or "never"; trackers send the minutes as a number or as digits.
func newRefusal(reason []byte, retry bencode.Value) *Refusal {
	r := &Refusal{Reason: printable(reason)}
	minutes, _ := retry.Int()
	if s, ok := retry.Str(); ok {
		r.Never = s == "never"
		minutes, _ = strconv.ParseInt(s, 10, 32)
	}
	if minutes > 0 {
		r.Retry = time.Duration(min(minutes, math.MaxInt32)) * time.Minute
	}
	return r
}

func get(v bencode.Value, key string) bencode.Value {
	item, _ := v.Get(key)
	return item
}

// seconds returns a duration, 0 if it is absent or not positive.
func seconds(v bencode.Value, key string) time.Duration {
	n, _ := get(v, key).Int()
	return time.Duration(max(0, min(n, math.MaxInt32))) * time.Second
}

// count returns a number of peers, or unknown.
func count(v bencode.Value, key string) int {
	n, ok := get(v, key).Int()
	if !ok || n < 0 {
		return unknown
	}
	return int(min(n, math.MaxInt32))
}

func text(v bencode.Value, key string) string {
	b, _ := get(v, key).Bytes()
	return printable(b)
}

// printable makes words of a stranger fit for a terminal: valid UTF-8 without control characters, at most 200 bytes.
func printable(b []byte) string {
	if len(b) > 200 {
		b = b[:200]
	}
	s := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(b), "?"))
	return strings.TrimSpace(s)
}

// appendCompact reads addresses of ipLen bytes followed by a port (BEP 23, BEP 7). Bytes behind the last whole one are
// left alone.
func appendCompact(peers []netip.AddrPort, b []byte, ipLen int) []netip.AddrPort {
	for ; len(b) >= ipLen+2 && len(peers) < maxPeers; b = b[ipLen+2:] {
		addr, _ := netip.AddrFromSlice(b[:ipLen])
		peers = appendPeer(peers, addr, int64(b[ipLen])<<8|int64(b[ipLen+1]))
	}
	return peers
}

// appendDicts reads the original form of peers, a list of dictionaries (BEP 3). Names instead of addresses are passed
// over: a tracker does not get to choose whom we look up.
func appendDicts(peers []netip.AddrPort, list bencode.Value) []netip.AddrPort {
	for item := range list.List() {
		if len(peers) >= maxPeers {
			break
		}
		ip, _ := get(item, "ip").Str()
		port, _ := get(item, "port").Int()
		if addr, err := netip.ParseAddr(ip); err == nil {
			peers = appendPeer(peers, addr, port)
		}
	}
	return peers
}

// appendPeer appends an address unless no peer can have it.
func appendPeer(peers []netip.AddrPort, addr netip.Addr, port int64) []netip.AddrPort {
	addr = addr.Unmap()
	if port <= 0 || port > math.MaxUint16 || addr.IsUnspecified() || addr.IsMulticast() ||
		addr.Zone() != "" || addr.Is6() && addr.IsLinkLocalUnicast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return peers
	}
	return append(peers, netip.AddrPortFrom(addr, uint16(port)))
}

// Counts are what a scrape tells about one swarm (BEP 48); a number the tracker does not give is -1.
type Counts struct {
	Seeds, Leeches, Downloads int
}

// parseScrape reads the body of an answer to an HTTP scrape (BEP 48).
func parseScrape(body []byte) (map[ident.V1]Counts, error) {
	v, err := parseDict(body)
	if err != nil {
		return nil, err
	}
	files := get(v, "files")
	if files.Kind() != bencode.Dict {
		return nil, errors.New("answer is broken: no files in it")
	}
	counts := make(map[ident.V1]Counts)
	for name, file := range files.Dict() {
		if len(name) == len(ident.V1{}) && len(counts) < maxPeers {
			counts[ident.V1([]byte(name))] = Counts{count(file, "complete"), count(file, "incomplete"), count(file, "downloaded")}
		}
	}
	return counts, nil
}
