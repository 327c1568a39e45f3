package metainfo

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"shoal/internal/bencode"
	"shoal/internal/merkle"
)

// Bounds on what a .torrent file may name besides its content.
const (
	maxURLs = 1000 // trackers, web seeds, nodes: each
	maxURL  = 4096 // bytes
)

// Torrent is a .torrent file. Its fields may be changed before Encode, Info excepted.
type Torrent struct {
	Info        *Info
	Announce    [][]string // trackers by tier (BEP 12), each once
	Nodes       []string   // DHT nodes, host:port (BEP 5)
	WebSeeds    []string   // url-list (BEP 19), each once
	HTTPSeeds   []string   // httpseeds (BEP 17), each once
	Comment     string
	CreatedBy   string
	Created     time.Time              // zero if not said
	PieceLayers map[merkle.Hash][]byte // v2: by root, the piece layer of each file of more than one piece; may lack some
	Notices     []string               // what was ignored, for people; Info has its own

	rest map[string]bencode.Raw // what is unknown, to be encoded again
}

// Parse reads a .torrent file. It keeps b, which must not change. What is wrong with the content is an error that names
// the field; what is wrong beside it is ignored and said in Notices. Piece layers that are there must be sound; those
// that are missing can come from peers (BEP 52).
func Parse(b []byte) (*Torrent, error) {
	if len(b) > MaxTorrent {
		return nil, fmt.Errorf("torrent has %d bytes, more than %d", len(b), MaxTorrent)
	}
	v, behind, err := bencode.ParsePrefix(b)
	if err != nil {
		return nil, err
	}
	if v.Kind() != bencode.Dict {
		return nil, fmt.Errorf("torrent is a %s, not a dictionary", v.Kind())
	}
	t := &Torrent{rest: map[string]bencode.Raw{}}
	if len(behind) > 0 {
		notice(&t.Notices, "%d bytes behind the torrent are ignored", len(behind))
	}
	info, ok := v.Get("info")
	if !ok {
		return nil, errors.New("info is missing")
	}
	if len(info.Raw()) > MaxInfo {
		return nil, fmt.Errorf("info has %d bytes, more than %d", len(info.Raw()), MaxInfo)
	}
	if t.Info, err = parseInfo(info); err != nil {
		return nil, err
	}
	var announce string
	for key, item := range v.Dict() {
		switch key {
		case "info":
		case "announce":
			announce = t.text(key, item)
		case "announce-list":
			t.tiers(item)
		case "nodes":
			t.nodes(item)
		case "url-list":
			t.WebSeeds = t.urls(key, item)
		case "httpseeds":
			t.HTTPSeeds = t.urls(key, item)
		case "comment":
			t.Comment = t.text(key, item)
		case "created by":
			t.CreatedBy = t.text(key, item)
		case "creation date":
			if n, ok := item.Int(); ok && n > 0 && n < 1<<40 {
				t.Created = time.Unix(n, 0)
			} else {
				notice(&t.Notices, "creation date is not a time and is ignored")
			}
		case "piece layers":
			if err := t.pieceLayers(item); err != nil {
				return nil, err
			}
		default:
			t.rest[key] = item.Raw()
		}
	}
	if url, ok := t.url("announce", announce); ok && len(t.Announce) == 0 { // else announce-list replaces it (BEP 12)
		t.Announce = [][]string{{url}}
	}
	return t, nil
}

// text returns a string, or empty if the field is none.
func (t *Torrent) text(field string, v bencode.Value) string {
	s, ok := v.Str()
	if !ok {
		notice(&t.Notices, "%s is a %s, not a string, and is ignored", field, v.Kind())
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// url returns an address without the space around it, and whether it can be one.
func (t *Torrent) url(field, s string) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) > maxURL || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		notice(&t.Notices, "%s has an address of %d bytes that cannot be one: %.80q is ignored", field, len(s), s)
		return "", false
	}
	return s, s != ""
}

func (t *Torrent) tiers(v bencode.Value) {
	if v.Kind() != bencode.List {
		notice(&t.Notices, "announce-list is a %s, not a list, and is ignored", v.Kind())
		return
	}
	seen := map[string]bool{}
	for tier := range v.List() {
		var urls []string
		add := func(item bencode.Value) {
			s, ok := t.url("announce-list", t.text("announce-list", item))
			if !ok || seen[s] {
				return
			}
			if len(seen) == maxURLs {
				notice(&t.Notices, "announce-list has more than %d trackers: the others are ignored", maxURLs)
				return
			}
			seen[s] = true
			urls = append(urls, s)
		}
		if tier.Kind() == bencode.String { // a flat list, which some programs write
			add(tier)
		}
		for item := range tier.List() {
			add(item)
		}
		if len(urls) > 0 {
			t.Announce = append(t.Announce, urls)
		}
	}
}

// urls reads an address or a list of them.
func (t *Torrent) urls(field string, v bencode.Value) []string {
	var urls []string
	seen := map[string]bool{}
	add := func(item bencode.Value) {
		s, ok := t.url(field, t.text(field, item))
		if !ok || seen[s] {
			return
		}
		if len(urls) == maxURLs {
			notice(&t.Notices, "%s has more than %d addresses: the others are ignored", field, maxURLs)
			return
		}
		seen[s] = true
		urls = append(urls, s)
	}
	switch v.Kind() {
	case bencode.String:
		add(v)
	case bencode.List:
		for item := range v.List() {
			add(item)
		}
	default:
		notice(&t.Notices, "%s is a %s, not a list, and is ignored", field, v.Kind())
	}
	return urls
}

func (t *Torrent) nodes(v bencode.Value) {
	for item := range v.List() {
		var host string
		var port int64
		k := 0
		for part := range item.List() {
			switch k {
			case 0:
				host, _ = part.Str()
			case 1:
				port, _ = part.Int()
			}
			k++
		}
		if k != 2 || port < 1 || port > 65535 || host == "" || len(host) > 255 || len(t.Nodes) == maxURLs {
			notice(&t.Notices, "nodes has an entry that is no address, or more than %d: it is ignored", maxURLs)
			continue
		}
		t.Nodes = append(t.Nodes, net.JoinHostPort(host, strconv.FormatInt(port, 10)))
	}
}

func (t *Torrent) pieceLayers(v bencode.Value) error {
	if !t.Info.HasV2 {
		notice(&t.Notices, "piece layers is ignored in a v1 torrent")
		return nil
	}
	if v.Kind() != bencode.Dict {
		return fmt.Errorf("piece layers is a %s, not a dictionary", v.Kind())
	}
	files := map[merkle.Hash]int{}
	for f, root := range t.Info.Roots {
		if t.Info.layered(f) {
			files[root] = f
		}
	}
	t.PieceLayers = map[merkle.Hash][]byte{}
	for key, item := range v.Dict() {
		if len(key) != len(merkle.Hash{}) {
			return fmt.Errorf("piece layers has a key of %d bytes, not %d", len(key), len(merkle.Hash{}))
		}
		root := merkle.Hash([]byte(key))
		f, ok := files[root]
		if !ok {
			notice(&t.Notices, "piece layers has an entry for no file: %s is ignored", root)
			continue
		}
		layer, ok := item.Bytes()
		if !ok {
			return fmt.Errorf("piece layers: %s is a %s, not a string", root, item.Kind())
		}
		if err := t.Info.checkLayer(f, hashesOf(layer), len(layer)); err != nil {
			return fmt.Errorf("piece layers: %w", err)
		}
		t.PieceLayers[root] = layer
	}
	return nil
}

// Encode returns the .torrent file. The info dictionary and what is not known here are as they were read.
func (t *Torrent) Encode() []byte {
	d := map[string]any{"info": bencode.Raw(t.Info.Raw)}
	for key, raw := range t.rest {
		d[key] = raw
	}
	put := func(key, s string) {
		if s != "" {
			d[key] = s
		}
	}
	trackers := 0
	var tiers []any
	for _, tier := range t.Announce {
		if trackers == 0 && len(tier) > 0 {
			put("announce", tier[0])
		}
		trackers += len(tier)
		tiers = append(tiers, list(tier))
	}
	if trackers > 1 {
		d["announce-list"] = tiers
	}
	var nodes []any
	for _, n := range t.Nodes {
		host, port, _ := net.SplitHostPort(n)
		number, _ := strconv.Atoi(port)
		nodes = append(nodes, []any{host, number})
	}
	if nodes != nil {
		d["nodes"] = nodes
	}
	switch len(t.WebSeeds) {
	case 0:
	case 1:
		d["url-list"] = t.WebSeeds[0]
	default:
		d["url-list"] = list(t.WebSeeds)
	}
	if len(t.HTTPSeeds) > 0 {
		d["httpseeds"] = list(t.HTTPSeeds)
	}
	put("comment", t.Comment)
	put("created by", t.CreatedBy)
	if !t.Created.IsZero() {
		d["creation date"] = t.Created.Unix()
	}
	if t.Info.HasV2 && t.PieceLayers != nil {
		layers := map[string]any{}
		for root, layer := range t.PieceLayers {
			layers[string(root[:])] = layer
		}
		d["piece layers"] = layers
	}
	return bencode.Append(nil, d)
}

func list(s []string) []any {
	l := make([]any, len(s))
	for i := range s {
		l[i] = s[i]
	}
	return l
}

// hashesOf cuts a piece layer into its hashes.
func hashesOf(layer []byte) []merkle.Hash {
	h := make([]merkle.Hash, len(layer)/len(merkle.Hash{}))
	for i := range h {
		h[i] = merkle.Hash(layer[i*len(h[i]):])
	}
	return h
}

// bytesOf is the reverse of hashesOf.
func bytesOf(layer []merkle.Hash) []byte {
	var b bytes.Buffer
	for i := range layer {
		b.Write(layer[i][:])
	}
	return b.Bytes()
}
