package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"shoal/internal/ident"
)

var fullHandshake = ExtHandshake{
	M:       map[string]uint8{ExtMetadata: 2, ExtPEX: 1, ExtUploadOnly: 3, ExtDontHave: 255},
	Version: "shoal 1 ü", ReqQ: 500, MetadataSize: 31337, UploadOnly: true, Port: 6881,
	TR: []byte("0123456789abcdefghij"), YourIP: netip.MustParseAddr("192.0.2.1"), IPv4: netip.MustParseAddr("198.51.100.7"), IPv6: netip.MustParseAddr("2001:db8::1"),
}

func TestExtHandshake(t *testing.T) {
	const wire = "d4:ipv44:\xc6\x33\x64\x074:ipv616:\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"1:md11:lt_donthavei255e11:upload_onlyi3e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31337e1:pi6881e4:reqqi500e" +
		"2:tr20:0123456789abcdefghij11:upload_onlyi1e1:v10:shoal 1 ü6:yourip4:\xc0\x00\x02\x01e"
	if got := fullHandshake.Append(nil); string(got) != wire {
		t.Fatalf("got %q", got)
	}
	for _, h := range []ExtHandshake{fullHandshake, {M: map[string]uint8{}}, {M: map[string]uint8{"x": 0}, YourIP: netip.MustParseAddr("2001:db8::2")}} {
		if got, err := ParseExtHandshake(h.Append(nil)); err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("got %+v, %v, want %+v", got, err, h)
		}
	}
}

func TestExtHandshakeHostile(t *testing.T) {
	for _, bad := range []string{"", "le", "i1e", "d", "de1:x", "d1:ai1e", strings.Repeat("l", 10000)} {
		var p *ProtocolError
		if _, err := ParseExtHandshake([]byte(bad)); !errors.As(err, &p) || p.BEP != 10 {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	var names strings.Builder
	for i := range 100 {
		fmt.Fprintf(&names, "3:%03di1e", i)
	}
	long := strings.Repeat("x", 300)
	for in, want := range map[string]ExtHandshake{
		"d1:mi1e1:pi70000e4:reqqi-1e1:vi7ee":           {},
		"d1:md1:ai256e1:bi-1e1:c1:d1:ei255eee":         {M: map[string]uint8{"e": 255}},
		"d1:md300:" + long + "i1e1:ai1eee":             {M: map[string]uint8{"a": 1}},
		"d1:v300:" + long + "e":                        {Version: long[:256]},
		"d1:v7:a\x1b[2J\xffze":                         {Version: "a[2Jz"},
		"d4:ipv43:abc4:ipv64:abcd6:yourip5:abcdee":     {},
		"d6:yourip16:" + v4in6 + "e":                   {YourIP: netip.MustParseAddr("192.0.2.1")},
		"d13:metadata_sizei-5e11:upload_onlyi0ee":      {},
		"d4:reqqi2147483648e13:metadata_sizei1e1:p0:e": {MetadataSize: 1},
	} {
		if want.M == nil {
			want.M = map[string]uint8{}
		}
		if got, err := ParseExtHandshake([]byte(in)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.60q: %+v, %v", in, got, err)
		}
	}
	h, err := ParseExtHandshake([]byte("d1:md" + names.String() + "ee"))
	if err != nil || len(h.M) != 64 {
		t.Errorf("%d extensions, %v", len(h.M), err)
	}
}

const v4in6 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01"

func TestMetadataMessage(t *testing.T) {
	for wire, m := range map[string]MetadataMessage{
		"d8:msg_typei0e5:piecei7ee":                       {Type: MetadataRequest, Piece: 7},
		"d8:msg_typei2e5:piecei0ee":                       {Type: MetadataReject},
		"d8:msg_typei1e5:piecei0e10:total_sizei3425eexyz": {Type: MetadataData, TotalSize: 3425, Data: []byte("xyz")},
	} {
		if got := m.Append(nil); string(got) != wire {
			t.Errorf("appended %q, want %q", got, wire)
		}
		if got, err := ParseMetadataMessage([]byte(wire)); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%q: %+v, %v", wire, got, err)
		}
	}
	full := MetadataMessage{Type: MetadataData, Piece: math.MaxInt32, TotalSize: math.MaxInt64, Data: make([]byte, MetadataPiece)}
	if got, err := ParseMetadataMessage(full.Append(nil)); err != nil || !reflect.DeepEqual(got, full) {
		t.Error(err)
	}
	if got, err := ParseMetadataMessage([]byte("d8:msg_typei9e5:piecei1eejunk")); err != nil || got.Type != 9 || got.Data != nil {
		t.Errorf("unknown type: %+v, %v", got, err)
	}
	full.Data = append(full.Data, 0)
	for _, bad := range []string{"", "le", "de", "d8:msg_typei1ee", "d5:piecei1ee", "d8:msg_typei-1e5:piecei1ee", "d8:msg_typei0e5:piecei-1ee",
		"d8:msg_typei0e5:piecei2147483648ee", "d8:msg_type1:05:piecei1ee", string(full.Append(nil))} {
		var p *ProtocolError
		if _, err := ParseMetadataMessage([]byte(bad)); !errors.As(err, &p) || p.BEP != 9 {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func TestPEX(t *testing.T) {
	ap := netip.MustParseAddrPort
	p := PEX{
		Added:   []PEXPeer{{ap("192.0.2.1:6881"), PEXSeed | PEXReachable}, {ap("198.51.100.2:1"), 0}, {ap("[2001:db8::1]:6882"), PEXUTP}},
		Dropped: []netip.AddrPort{ap("203.0.113.9:65535"), ap("[2001:db8::2]:9")},
	}
	const wire = "d5:added12:\xc0\x00\x02\x01\x1a\xe1\xc6\x33\x64\x02\x00\x017:added.f2:\x12\x00" +
		"6:added618:\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1a\xe28:added6.f1:\x04" +
		"7:dropped6:\xcb\x00\x71\x09\xff\xff8:dropped618:\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x09e"
	if got := p.Append(nil); string(got) != wire {
		t.Fatalf("got %q", got)
	}
	if got, err := ParsePEX([]byte(wire)); err != nil || !reflect.DeepEqual(got, p) {
		t.Fatalf("got %+v, %v", got, err)
	}
	mapped := PEX{Added: []PEXPeer{{netip.AddrPortFrom(netip.AddrFrom16(netip.MustParseAddr("192.0.2.1").As16()), 5), 1}}}
	if got, err := ParsePEX(mapped.Append(nil)); err != nil || len(got.Added) != 1 || got.Added[0].Addr != ap("192.0.2.1:5") {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestPEXHostile(t *testing.T) {
	for _, bad := range []string{"", "le", "dee", "d5:added"} {
		var p *ProtocolError
		if _, err := ParsePEX([]byte(bad)); !errors.As(err, &p) || p.BEP != 11 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, odd := range []string{"de", "d5:addedi1e7:droppedlee", "d5:added5:abcdee", "d7:added.f1:ae"} {
		if p, err := ParsePEX([]byte(odd)); err != nil || p.Added != nil || p.Dropped != nil {
			t.Errorf("%q: %+v, %v", odd, p, err)
		}
	}
	var garbage PEX
	for _, a := range []string{"0.0.0.0:1", "0.1.2.3:1", "127.0.0.1:1", "224.0.0.1:1", "240.0.0.1:1", "255.255.255.255:1", "169.254.1.1:1",
		"192.0.2.1:0", "[::]:1", "[::1]:1", "[ff02::1]:1", "[fe80::1]:1", "[2001:db8::1]:0"} {
		garbage.Added = append(garbage.Added, PEXPeer{Addr: netip.MustParseAddrPort(a)})
		garbage.Dropped = append(garbage.Dropped, netip.MustParseAddrPort(a))
	}
	garbage.Added = append(garbage.Added, PEXPeer{netip.MustParseAddrPort("10.0.0.1:1"), 7})
	p, err := ParsePEX(garbage.Append(nil))
	if err != nil || p.Dropped != nil || !slices.Equal(p.Added, garbage.Added[len(garbage.Added)-1:]) {
		t.Errorf("kept %+v, %v", p, err)
	}
	mapped := "d6:added618:" + v4in6[:12] + "\x7f\x00\x00\x01\x00\x05e"
	if p, err := ParsePEX([]byte(mapped)); err != nil || p.Added != nil {
		t.Errorf("kept a mapped loopback: %+v, %v", p, err)
	}
	long := "d5:added6000:" + strings.Repeat("\x0a\x00\x00\x01\x00\x05", 1000) + "7:dropped6000:" + strings.Repeat("\x0a\x00\x00\x01\x00\x05", 1000) + "e"
	if p, err := ParsePEX([]byte(long)); err != nil || len(p.Added) != MaxPEX || len(p.Dropped) != MaxPEX {
		t.Errorf("kept %d and %d, %v", len(p.Added), len(p.Dropped), err)
	}
}

func TestDontHave(t *testing.T) {
	b := AppendDontHave(nil, 0x01020304)
	if n, err := ParseDontHave(b); err != nil || n != 0x01020304 || !bytes.Equal(b, []byte{1, 2, 3, 4}) {
		t.Errorf("%x: %d, %v", b, n, err)
	}
	for _, bad := range [][]byte{nil, b[:3], append(b, 0)} {
		if _, err := ParseDontHave(bad); err == nil {
			t.Errorf("%x is accepted", bad)
		}
	}
}

func TestUploadOnly(t *testing.T) {
	for _, on := range []bool{true, false} {
		if got, err := ParseUploadOnly(AppendUploadOnly(nil, on)); err != nil || got != on {
			t.Errorf("%v: %v, %v", on, got, err)
		}
	}
	for _, bad := range [][]byte{nil, {0, 0}} {
		if _, err := ParseUploadOnly(bad); err == nil {
			t.Errorf("%x is accepted", bad)
		}
	}
}

// TestAllowedFastSet holds the vectors of BEP 6.
func TestAllowedFastSet(t *testing.T) {
	h := ident.V1(bytes.Repeat([]byte{0xaa}, 20))
	ip := netip.MustParseAddr("80.4.4.200")
	want := []uint32{1059, 431, 808, 1217, 287, 376, 1188, 353, 508}
	for _, k := range []int{7, 9} {
		if got := AllowedFastSet(h, ip, 1313, k); !slices.Equal(got, want[:k]) {
			t.Errorf("k = %d: %v", k, got)
		}
	}
	if got := AllowedFastSet(h, netip.MustParseAddr("::ffff:80.4.4.1"), 1313, 7); !slices.Equal(got, want[:7]) {
		t.Errorf("another host of the /24, mapped: %v", got)
	}
	got := AllowedFastSet(h, ip, 3, 10)
	slices.Sort(got)
	if !slices.Equal(got, []uint32{0, 1, 2}) {
		t.Errorf("of three pieces: %v", got)
	}
	for _, none := range [][]uint32{AllowedFastSet(h, netip.MustParseAddr("2001:db8::1"), 9, 3), AllowedFastSet(h, ip, 0, 3), AllowedFastSet(h, ip, 9, 0), AllowedFastSet(h, netip.Addr{}, 9, 1)} {
		if len(none) != 0 {
			t.Error(none)
		}
	}
}

func FuzzExtensions(f *testing.F) {
	pex := PEX{Added: []PEXPeer{{netip.MustParseAddrPort("192.0.2.1:6881"), 3}}, Dropped: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:9")}}
	data := MetadataMessage{Type: MetadataData, Piece: 1, TotalSize: 20000, Data: []byte("abc")}
	punch := Holepunch{Type: HolepunchError, Addr: pex.Dropped[0], Code: HolepunchNoSelf}
	for _, b := range [][]byte{fullHandshake.Append(nil), pex.Append(nil), data.Append(nil), {1}, {0, 0, 0, 1}, punch.Append(nil), AppendTEX(nil, []string{"udp://t.example:80"})} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseExtHandshake(b); err == nil {
			if again, err := ParseExtHandshake(h.Append(nil)); err != nil || !reflect.DeepEqual(again, h) {
				t.Fatalf("%+v became %+v, %v", h, again, err)
			}
		}
		if p, err := ParsePEX(b); err == nil {
			if len(p.Added) > 2*MaxPEX || len(p.Dropped) > 2*MaxPEX {
				t.Fatal("too many addresses")
			}
			again, err := ParsePEX(p.Append(nil))
			if err != nil || len(p.Added) <= MaxPEX && len(p.Dropped) <= MaxPEX && !samePeers(again, p) {
				t.Fatalf("%+v became %+v, %v", p, again, err)
			}
		}
		if m, err := ParseMetadataMessage(b); err == nil {
			if again, err := ParseMetadataMessage(m.Append(nil)); err != nil || m.Type == MetadataData && !reflect.DeepEqual(again, m) {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
		}
		if n, err := ParseDontHave(b); err == nil && !bytes.Equal(AppendDontHave(nil, n), b) {
			t.Fatal(n)
		}
		if _, err := ParseUploadOnly(b); err == nil && len(b) != 1 {
			t.Fatal("upload_only")
		}
		if h, err := ParseHolepunch(b); err == nil {
			if again, err := ParseHolepunch(h.Append(nil)); err != nil || again != h {
				t.Fatalf("%+v became %+v, %v", h, again, err)
			}
		}
		if urls, err := ParseTEX(b); err == nil {
			if again, err := ParseTEX(AppendTEX(nil, urls)); err != nil || len(urls) > MaxTEX || !slices.Equal(again, urls) {
				t.Fatalf("%q became %q, %v", urls, again, err)
			}
		}
	})
}

// samePeers compares without regard to order: mapped addresses move from the second list to the first.
func samePeers(a, b PEX) bool {
	for _, p := range []*PEX{&a, &b} {
		slices.SortFunc(p.Added, func(x, y PEXPeer) int {
			if c := x.Addr.Compare(y.Addr); c != 0 {
				return c
			}
			return int(x.Flags) - int(y.Flags)
		})
		slices.SortFunc(p.Dropped, netip.AddrPort.Compare)
	}
	return slices.Equal(a.Added, b.Added) && slices.Equal(a.Dropped, b.Dropped)
}

func TestHolepunch(t *testing.T) {
	for wire, h := range map[string]Holepunch{
		"\x00\x00\xc6\x33\x64\x02\x1a\xe1\x00\x00\x00\x00": {Type: HolepunchRendezvous, Addr: netip.MustParseAddrPort("198.51.100.2:6881")},
		"\x01\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x09\x00\x00\x00\x00": {
			Type: HolepunchConnect, Addr: netip.MustParseAddrPort("[2001:db8::1]:9")},
		"\x02\x00\xc6\x33\x64\x02\x1a\xe1\x00\x00\x00\x03": {
			Type: HolepunchError, Addr: netip.MustParseAddrPort("198.51.100.2:6881"), Code: HolepunchNoSupport},
	} {
		if got := h.Append(nil); string(got) != wire {
			t.Errorf("appended %q, want %q", got, wire)
		}
		if got, err := ParseHolepunch([]byte(wire)); err != nil || got != h {
			t.Errorf("%q: %+v, %v", wire, got, err)
		}
	}
	if h, err := ParseHolepunch([]byte("\x01\x00\xc6\x33\x64\x02\x1a\xe1")); err != nil || h.Type != HolepunchConnect {
		t.Errorf("without a code: %+v, %v", h, err)
	}
	for _, bad := range []string{"", "\x00", "\x00\x02", "\x00\x00\xc6\x33\x64\x02", "\x02\x00\xc6\x33\x64\x02\x1a\xe1", "\x00\x00\x7f\x00\x00\x01\x1a\xe1\x00\x00\x00\x00",
		"\x00\x00\xc6\x33\x64\x02\x00\x00\x00\x00\x00\x00", "\x00\x01\xc6\x33\x64\x02\x1a\xe1\x00\x00\x00\x00", "\x00\x00\xc6\x33\x64\x02\x1a\xe1\x00\x00\x00\x00\x00"} {
		var p *ProtocolError
		if h, err := ParseHolepunch([]byte(bad)); !errors.As(err, &p) || p.BEP != 55 {
			t.Errorf("%q: %+v, %v", bad, h, err)
		}
	}
}

func TestTEX(t *testing.T) {
	urls := []string{"http://t.example/announce", "udp://t.example:80"}
	const wire = "d5:addedl25:http://t.example/announce18:udp://t.example:80ee"
	if got := AppendTEX(nil, urls); string(got) != wire {
		t.Fatalf("appended %q", got)
	}
	if got, err := ParseTEX([]byte(wire)); err != nil || !slices.Equal(got, urls) {
		t.Fatalf("%q, %v", got, err)
	}
	many := AppendTEX(nil, slices.Repeat(urls, 100))
	if got, err := ParseTEX(many); err != nil || len(got) != MaxTEX {
		t.Errorf("%d of 200 URLs, %v", len(got), err)
	}
	long := "http://" + strings.Repeat("x", 600) + "/announce"
	if got, err := ParseTEX(AppendTEX(nil, []string{"", long, "http://t\x1b[2J/announce"})); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	for _, odd := range []string{"de", "d5:addedi1ee", "d5:addedli1el1:aeee"} {
		if got, err := ParseTEX([]byte(odd)); err != nil || got != nil {
			t.Errorf("%q: %q, %v", odd, got, err)
		}
	}
	var p *ProtocolError
	if _, err := ParseTEX([]byte("le")); !errors.As(err, &p) || p.BEP != 28 {
		t.Error(err)
	}
	a, b := TrackersHash(urls), TrackersHash([]string{urls[1], urls[0]})
	if a != b || a == TrackersHash(urls[:1]) {
		t.Error("the hash is not that of the sorted list")
	}
}
