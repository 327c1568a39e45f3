package magnet

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"shoal/internal/ident"
)

const (
	hexV1 = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"
	hexV2 = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e"
)

func v1(t testing.TB) ident.V1 {
	h, err := ident.ParseV1(hexV1)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func v2(t testing.TB) ident.V2 {
	h, err := ident.ParseV2(hexV2)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestParse(t *testing.T) {
	one, two := ident.InfoHash{V1: v1(t)}, ident.InfoHash{V2: v2(t)}
	both := ident.InfoHash{V1: v1(t), V2: v2(t)}
	for _, c := range []struct {
		link string
		want Magnet
	}{
		{"magnet:?xt=urn:btih:" + hexV1, Magnet{Hash: one}},
		{"MAGNET:?XT=URN:BTIH:" + strings.ToUpper(hexV1), Magnet{Hash: one}},
		{"magnet:?xt=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK", Magnet{Hash: one}},
		{"magnet:?xt=urn:btih:yex6dqdlxisuvhoj6um3gnnkpqjwpkek", Magnet{Hash: one}},
		{"magnet:?xt=urn:btmh:1220" + hexV2, Magnet{Hash: two}},
		{"magnet:?xt=urn:btih:" + hexV1 + "&xt=urn:btmh:1220" + hexV2, Magnet{Hash: both}},
		{"magnet:?xt.1=urn:btih:" + hexV1 + "&xt.2=urn:btmh:1220" + hexV2, Magnet{Hash: both}},
		{"magnet:?xt=urn:ed2k:31D6CFE0D16AE931B73C59D7E0C089C0&xt=urn:btih:" + hexV1, Magnet{Hash: one}},
		{"magnet:?xt=urn%3Abtih%3A" + hexV1, Magnet{Hash: one}},
		{"magnet:?dn=a+b%20%C3%A9%ff&xt=urn:btih:" + hexV1 + "&dn=second", Magnet{Hash: one, Name: "a b é\ufffd"}},
		{"magnet:?xt=urn:btih:" + hexV1 + "&tr=http%3A%2F%2Ft%2Fa%3Fb%3Dc&tr.2=udp://u:1&tr=udp://u:1&tr=&tr=%zz&tr=a%00b", Magnet{Hash: one, Trackers: []string{"http://t/a?b=c", "udp://u:1"}}},
		{"magnet:?xt=urn:btih:" + hexV1 + "&ws=http://w/&kt=x&xl=5&as=y&junk&=&", Magnet{Hash: one, WebSeeds: []string{"http://w/"}}},
		{"magnet:?xt=urn:btih:" + hexV1 + "&x.pe=1.2.3.4:5&x.pe=[::1]:6&x.pe=host:0070&x.pe=h:0&x.pe=h&x.pe=:5&x.pe=h:65536&x.pe=a/b:1&x.pe=[fe80::1%25lo]:1",
			Magnet{Hash: one, Peers: []string{"1.2.3.4:5", "[::1]:6", "host:70"}}},
		{"magnet:?xt=urn:btih:" + hexV1 + "&so=0,2,4-8,9-3,-1,x,5-,99999999999,2147483647&so=10", Magnet{Hash: one, Select: []Range{{0, 0}, {2, 2}, {4, 8}, {10, 10}}}},
		{"magnet:?xt=urn:btih:" + hexV1 + "#fragment&tr=x", Magnet{Hash: one}},
		{"magnet:?xt=urn:btih:" + hexV1 + "&dn=" + strings.Repeat("n", maxName+1) + "&tr=" + strings.Repeat("t", maxURL+1), Magnet{Hash: one}},
	} {
		m, err := ParseLink(c.link)
		if err != nil || !reflect.DeepEqual(*m, c.want) {
			t.Errorf("%s: %v\n%+v\nwant %+v", c.link, err, m, c.want)
			continue
		}
		again, err := Parse(m.String())
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%s: %v, %+v", m, err, again)
		}
	}
}

func TestParseLink(t *testing.T) {
	for _, c := range []struct {
		link string
		want ident.InfoHash
	}{
		{" " + hexV1 + "\n", ident.InfoHash{V1: v1(t)}},
		{strings.ToUpper(hexV1), ident.InfoHash{V1: v1(t)}},
		{"YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK", ident.InfoHash{V1: v1(t)}},
		{hexV2, ident.InfoHash{V2: v2(t)}},
		{"1220" + hexV2, ident.InfoHash{V2: v2(t)}},
	} {
		if m, err := ParseLink(c.link); err != nil || m.Hash != c.want {
			t.Errorf("%q: %v %v", c.link, m, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ link, want string }{
		{"", "neither a magnet link nor an infohash"},
		{"http://example.com/", "neither a magnet link"},
		{strings.Repeat("x", 1000), `x"… is neither`},
		{hexV1[1:], "neither a magnet link"},
		{"g" + hexV1[1:], "invalid byte"},
		{"g" + hexV2[1:], "invalid byte"},
		{"1221" + hexV2, "not a SHA-256 multihash"},
		{"1EX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK", "is not base32"},
		{strings.Repeat("0", 40), "all zeros"},
		{strings.Repeat("0", 64), "all zeros"},
		{"magnet:", "has no parameters"},
		{"magnet:?", "has no infohash"},
		{"magnet:?dn=x", "has no infohash"},
		{"magnet:?xt=urn:sha1:" + hexV1, "has no infohash"},
		{"magnet:?xt=urn:btih:", "has 0 characters, want 40"},
		{"magnet:?xt=urn:btih:abc", "has 3 characters"},
		{"magnet:?xt=urn:btih:" + strings.Repeat("z", 40), "invalid byte"},
		{"magnet:?xt=urn:btih:" + strings.Repeat("!", 32), "is not base32"},
		{"magnet:?xt=urn:btih:" + strings.Repeat("0", 40), "no infohash"},
		{"magnet:?xt=urn:btmh:" + hexV2, "not a SHA-256 multihash"},
		{"magnet:?xt=urn:btmh:1220" + hexV2[2:], "has 66 characters, want 68"},
		{"magnet:?xt=urn:btmh:1220" + strings.Repeat("z", 64), "invalid byte"},
		{"magnet:?xt=urn:btih:" + hexV1 + "&xt=urn:btih:" + strings.Repeat("1", 40), "two torrents of v1"},
		{"magnet:?xt=urn:btmh:1220" + hexV2 + "&xt=urn:btmh:1220" + strings.Repeat("1", 64), "two torrents of v2"},
		{"magnet:?xt=urn:btih:" + hexV1 + "&dn=" + strings.Repeat("x", MaxLength), "more than 65536"},
	} {
		if m, err := ParseLink(c.link); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.100q: %v, want %q (%v)", c.link, err, c.want, m)
		}
	}
	if _, err := Parse(hexV1); err == nil || !strings.Contains(err.Error(), "is not a magnet link") {
		t.Error(err)
	}
}

func TestBounds(t *testing.T) {
	link := "magnet:?xt=urn:btih:" + hexV1
	for i := range maxList + 10 {
		link += fmt.Sprintf("&tr=udp://t:%d&so=%d&x.pe=h:%d", i, i, i+1)
	}
	m, err := Parse(link)
	if err != nil || len(m.Trackers) != maxList || len(m.Select) != maxList || len(m.Peers) != maxList {
		t.Error(err, len(m.Trackers), len(m.Select), len(m.Peers))
	}
}

func TestString(t *testing.T) {
	m := Magnet{Hash: ident.InfoHash{V1: v1(t)}, Name: "a'b\"$(c) `d`;&é/..\\", Trackers: []string{"http://t/?a=b&c=d"}, Select: []Range{{1, 1}, {3, 5}}}
	s := m.String()
	want := "magnet:?xt=urn:btih:" + hexV1 + "&dn=a%27b%22%24%28c%29%20%60d%60%3B%26%C3%A9%2F..%5C&tr=http%3A%2F%2Ft%2F%3Fa%3Db%26c%3Dd&so=1%2C3-5"
	if s != want {
		t.Errorf("%s\nwant %s", s, want)
	}
	if !m.Selects(4) || m.Selects(2) || m.Selects(0) || !(&Magnet{}).Selects(7) {
		t.Error("Selects")
	}
}

func TestPublisher(t *testing.T) {
	const link = "magnet:?xs=urn:btpk:" + hexV2 + "&s=6e&dn=n"
	m, err := Parse(link)
	if err != nil || !m.Hash.IsZero() || m.Publisher == nil || hex.EncodeToString(m.Publisher[:]) != hexV2 || string(m.Salt) != "n" || m.Name != "n" {
		t.Fatalf("%+v, %v", m, err)
	}
	if m.String() != link {
		t.Error(m.String())
	}
	for _, bad := range []string{"magnet:?xs=urn:btpk:12", "magnet:?xs=urn:btpk:" + hexV1, "magnet:?xs=urn:btpk:zz" + hexV2[2:], "magnet:?s=6e", "magnet:?xs=http://x/"} {
		if m, err := Parse(bad); err == nil {
			t.Errorf("%s: %+v", bad, m)
		}
	}
	if m, err := Parse("magnet:?xt=urn:btih:" + hexV1 + "&s=6e&xs=urn:sha1:ABC"); err != nil || m.Salt != nil || m.Publisher != nil {
		t.Errorf("%+v, %v", m, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("magnet:?xt=urn:btih:" + hexV1 + "&dn=a+b&tr=http%3A%2F%2Ft&ws=http://w/&x.pe=[::1]:6&so=0,2-4")
	f.Add("magnet:?xt=urn:btmh:1220" + hexV2)
	f.Add("magnet:?xs=urn:btpk:" + hexV2 + "&s=6e")
	f.Add(hexV1)
	f.Add("YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseLink(s)
		if err != nil {
			return
		}
		out := m.String()
		if strings.Trim(out, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:?=&%") != "" {
			t.Fatalf("%q has other characters", out)
		}
		if len(out) > MaxLength {
			return // escapes made it longer
		}
		again, err := Parse(out)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%q: %v\n%+v\n%+v", out, err, m, again)
		}
	})
}
