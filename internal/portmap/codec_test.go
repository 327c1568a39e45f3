package portmap

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBytes compares what is sent with the layouts of RFC 6886 §3 and RFC 6887 §7 and §11.
func TestBytes(t *testing.T) {
	nonce := [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"external address": {appendPMPExternal(nil), "0000"},
		"NAT-PMP UDP":      {appendPMPMap(nil, opMapUDP, 0x1388, 0x1389, 7200), "00 01 0000 1388 1389 00001c20"},
		"NAT-PMP TCP off":  {appendPMPMap(nil, opMapTCP, 0x1388, 0, 0), "00 02 0000 1388 0000 00000000"},
		"PCP announce": {appendPCPHeader(nil, opAnnounce, 0, netip.MustParseAddr("192.168.1.20")),
			"02 00 0000 00000000 00000000000000000000ffffc0a80114"},
		"PCP map": {appendPCPMap(nil, 7200, netip.MustParseAddr("192.168.1.20"), nonce, tcp, 5000, netip.MustParseAddrPort("0.0.0.0:5001")),
			"02 01 0000 00001c20 00000000000000000000ffffc0a80114 0102030405060708090a0b0c 06 000000 1388 1389 00000000000000000000ffff00000000"},
		"PCP pinhole": {appendPCPMap(nil, 7200, netip.MustParseAddr("2001:db8::7"), nonce, udp, 5000, netip.MustParseAddrPort("[::]:5000")),
			"02 01 0000 00001c20 20010db8000000000000000000000007 0102030405060708090a0b0c 11 000000 1388 1388 00000000000000000000000000000000"},
	} {
		if want := unhex(t, c.want); !bytes.Equal(c.got, want) {
			t.Errorf("%s: %x, want %x", name, c.got, want)
		}
	}
}

func TestParsePMP(t *testing.T) {
	for text, want := range map[string]pmpReply{
		"00 80 0000 00000102 cb007101":              {op: opExternal, epoch: 258, external: public4},
		"00 82 0000 00000102 1388 1389 00001c20":    {op: opMapTCP, epoch: 258, internalPort: 5000, externalPort: 5001, lifetime: 7200},
		"00 81 0000 00000102 1388 1389 00001c20 ff": {op: opMapUDP, epoch: 258, internalPort: 5000, externalPort: 5001, lifetime: 7200},
		"00 81 0002 00000102":                       {op: opMapUDP, result: 2, epoch: 258},
		"00 80 0003 00000102":                       {op: opExternal, result: 3, epoch: 258},
	} {
		if got, ok := parsePMP(unhex(t, text)); !ok || got != want {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "00", "00 80 0000 00000102", "00 80 0000 00000102 cb0071", "00 82 0000 00000102 1388 1389 00001c", "02 80 0000 00000102 cb007101",
		"00 00 0000 00000102 cb007101", "00 83 0000 00000102 1388 1389 00001c20"} {
		if got, ok := parsePMP(unhex(t, text)); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestParsePCP(t *testing.T) {
	const head = "02 81 00 00 00001c20 00000102 000000000000000000000000 "
	const body = "0102030405060708090a0b0c 06 000000 1388 1389 "
	want := pcpReply{op: opMap, lifetime: 7200, epoch: 258, nonce: [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, protocol: tcp,
		internalPort: 5000, externalPort: 5001, external: public4}
	if got, ok := parsePCP(unhex(t, head+body+"00000000000000000000ffffcb007101")); !ok || got != want {
		t.Errorf("%+v", got)
	}
	want.external = own6
	if got, ok := parsePCP(unhex(t, head+body+"20010db8000700000000000000000020 00010000")); !ok || got != want {
		t.Errorf("%+v", got)
	}
	if got, ok := parsePCP(unhex(t, "02 81 00 08 0000003c 00000102 000000000000000000000000")); !ok || got.result != 8 || got.lifetime != 60 {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"", head, head + body, "02 01" + head[5:] + body + "00000000000000000000ffffcb007101", "02 82" + head[5:],
		head + body + strings.Repeat("00", 1100)} {
		if got, ok := parsePCP(unhex(t, text)); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, text := range []string{"00800000 00000102 cb007101", "00820000 00000102 13881389 00001c20",
		"02810000 00001c20 00000102 000000000000000000000000 0102030405060708090a0b0c 06000000 13881389 00000000000000000000ffffcb007101",
		"02800000 00000000 00000102 000000000000000000000000"} {
		b, _ := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := parsePMP(b); ok && r.result == 0 && r.op == opExternal && !r.external.Is4() {
			t.Errorf("%+v", r)
		}
		if r, ok := parsePCP(b); ok && r.result == 0 && r.op == opMap && !r.external.IsValid() {
			t.Errorf("%+v", r)
		}
	})
}

func TestEpoch(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		server uint32
		after  time.Duration
		says   uint32
		want   bool
	}{
		{1000, time.Minute, 1060, true},
		{1000, time.Minute, 1062, true},
		{1000, time.Minute, 1058, true},
		{1000, time.Minute, 1000, false},
		{1000, 0, 999, true},
		{1000, 0, 998, false},
		{1000, time.Hour, 3, false},
		{1000, time.Hour, 1000 + 3600 - 200, true}, // its clock is slow
		{1000, time.Hour, 1000 + 3600 - 300, false},
		{1000, time.Hour, 1000 + 3600 + 300, false},
	} {
		e := epoch{}
		e.hear(c.server, now)
		if e.hear(c.says, now.Add(c.after)); e.reset == c.want {
			t.Errorf("%+v", c)
		}
	}
}

func TestParseSearchAnswer(t *testing.T) {
	gateway := netip.MustParseAddr("192.168.1.1")
	from := func(a netip.Addr) bool { return a == gateway }
	const st = "\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
	u, err := parseSearchAnswer([]byte("HTTP/1.1 200 OK"+st+"LOCATION: http://192.168.1.1:5000/root.xml?a=b\r\n\r\n"), from)
	if err != nil || u.String() != "http://192.168.1.1:5000/root.xml?a=b" {
		t.Error(u, err)
	}
	if u, err = parseSearchAnswer([]byte("HTTP/1.0 200 OK\nlocation:http://192.168.1.1/\nst : urn:schemas-upnp-org:device:InternetGatewayDevice:2"), from); err != nil {
		t.Error(u, err)
	}
	for _, text := range []string{"", "HTTP/1.1", "NOTIFY * HTTP/1.1" + st, "HTTP/1.1 404 No" + st + "Location: http://192.168.1.1/\r\n",
		"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLocation: http://192.168.1.1/\r\n", "HTTP/1.1 200 OK" + st,
		"HTTP/1.1 200 OK" + st + "Location: http://192.168.1.2/\r\n", "HTTP/1.1 200 OK" + st + "Location: http://192.168.1.1@evil.example/\r\n",
		"HTTP/1.1 200 OK" + st + "Location: http://user@192.168.1.1/\r\n", "HTTP/1.1 200 OK" + st + "Location: file:///etc/passwd\r\n",
		"HTTP/1.1 200 OK" + st + "Location: http://192.168.1.1/" + strings.Repeat("x", maxLocation) + "\r\n",
		"HTTP/1.1 200 OK" + st + "Location: http://192.168.1.1.evil.example/\r\n", "HTTP/1.1 200 OK" + st + "Location: http://3232235777/\r\n"} {
		if u, err := parseSearchAnswer([]byte(text), from); err == nil {
			t.Errorf("%q: %v", text, u)
		}
	}
}

func TestServes(t *testing.T) {
	four := place{gateway: netip.MustParseAddr("192.168.1.1"), local: own4}
	six := place{gateway: netip.MustParseAddr("fe80::1%eth0"), local: own6}
	for _, c := range []struct {
		p    place
		a    string
		want bool
	}{
		{four, "192.168.1.1", true}, {four, "192.168.1.2", false}, {four, "192.168.1.20", false}, {four, "fe80::1", false},
		{six, "fe80::1", true}, {six, "2001:db8:7::1", true}, {six, "fe80::2", false}, {six, "2001:db8:8::1", false}, {six, "::1", false}, {six, "192.168.1.1", false},
	} {
		if got := c.p.serves(netip.MustParseAddr(c.a)); got != c.want {
			t.Errorf("%v serves %s: %v", c.p.gateway, c.a, got)
		}
	}
}

func FuzzSearchAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://192.168.1.1:5000/root.xml\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://192.168.1.1@evil/\r\n\r\n"))
	gateway := netip.MustParseAddr("192.168.1.1")
	from := func(a netip.Addr) bool { return a == gateway }
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := parseSearchAnswer(b, from); err == nil && (u.Hostname() != gateway.String() || u.Scheme != "http") {
			t.Errorf("%v", u)
		}
	})
}

func TestParseDescription(t *testing.T) {
	from, _ := url.Parse("http://192.168.1.1:5000/dir/root.xml")
	const open = "<service><serviceType>urn:schemas-upnp-org:service:"
	for text, want := range map[string]string{
		open + "A</serviceType><controlURL>/c</controlURL></service>":                                                 "A http://192.168.1.1:5000/c",
		open + "A</serviceType><controlURL>c</controlURL></service>":                                                  "A http://192.168.1.1:5000/dir/c",
		"<root><URLBase>http://192.168.1.1:80/x/</URLBase>" + open + "A</serviceType><controlURL>c</controlURL>":      "A http://192.168.1.1:80/x/c",
		"<r xmlns:x='y'><x:service><x:serviceType>B</x:serviceType><x:controlURL> /c </x:controlURL></x:service></r>": "B http://192.168.1.1:5000/c",
		open + "A</serviceType></service>" + open + "B</serviceType><controlURL>/b</controlURL></service>":            "B http://192.168.1.1:5000/b",
		open + "A</serviceType><controlURL>http://10.0.0.1/c</controlURL></service>":                                  "",
		open + "A</serviceType><controlURL>file:///c</controlURL></service>":                                          "",
		"":                               "",
		strings.Repeat("<a>", 30):        "",
		strings.Repeat("<a></a>", 3000):  "",
		"<a>&amp;&unknown;</a>" + "<b/>": "",
	} {
		list, _ := parseDescription(strings.NewReader(text), from)
		got := ""
		for _, s := range list {
			got += strings.TrimPrefix(s.kind, serviceURN) + " " + s.control.String()
		}
		if got != want {
			t.Errorf("%.80q: %q, want %q", text, got, want)
		}
	}
}

func FuzzDescription(f *testing.F) {
	f.Add("<root><URLBase>http://192.168.1.1/</URLBase><service><serviceType>A</serviceType><controlURL>/c</controlURL></service></root>")
	f.Add("<a><![CDATA[x]]><!-- --><?pi?><b:c d='e'/></a>")
	from, _ := url.Parse("http://192.168.1.1:5000/root.xml")
	f.Fuzz(func(t *testing.T, text string) {
		list, _ := parseDescription(strings.NewReader(text), from)
		if len(list) > maxServices {
			t.Errorf("%d services", len(list))
		}
		for _, s := range list {
			if s.control.Hostname() != "192.168.1.1" || s.control.Scheme != "http" {
				t.Errorf("%v", s.control)
			}
		}
		_, _ = parseAnswer(strings.NewReader(text))
	})
}

func TestAnswer(t *testing.T) {
	values, err := parseAnswer(bytes.NewReader(envelope("urn:x&y", "Do", []argument{{"NewA", "<&>"}, {"NewB", ""}})))
	if want := map[string]string{"NewA": "<&>", "NewB": ""}; err != nil || !reflect.DeepEqual(values, want) {
		t.Error(values, err)
	}
	_, err = parseAnswer(strings.NewReader("<s:Envelope><s:Fault><errorCode>718</errorCode><errorDescription>Con\x1b[31mflict</errorDescription></s:Fault></s:Envelope>"))
	if err == nil || !strings.Contains(err.Error(), "718") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
}

func TestRoutes(t *testing.T) {
	four := `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
wlan0	00000000	0101A8C0	0003	0	0	600	00000000	0	0	0
eth0	00000000	FE01A8C0	0003	0	0	100	00000000	0	0	0
tun0	00000000	00000000	0001	0	0	50	00000000	0	0	0
eth0	0001A8C0	00000000	0001	0	0	100	00FFFFFF	0	0	0
tun0	00000000	0100080A	0003	0	0	0	00000080	0	0	0
bad	00000000	XYZ	0003	0	0	0	00000000
`
	if got := best(parseRoutes4([]byte(four))); !reflect.DeepEqual(got, []netip.Addr{netip.MustParseAddr("192.168.1.254"), netip.MustParseAddr("192.168.1.1")}) {
		t.Error(got)
	}
	six := `00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0
20010db8000700000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
`
	if got := best(parseRoutes6([]byte(six))); !reflect.DeepEqual(got, []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}) {
		t.Error(got)
	}
	if got := best(parseRoutes4(bytes.Repeat([]byte("e 00000000 0101A8C0 3 0 0 1 00000000\n"), 10000))); len(got) != 1 {
		t.Error(got)
	}
}

func TestGuess(t *testing.T) {
	for own, want := range map[string]string{"192.168.7.20": "192.168.7.1", "192.168.7.1": "", "8.8.8.8": "", "2001:db8::1": ""} {
		got := guess(netip.MustParseAddr(own), nil)
		if len(got) > 1 || (len(got) == 1) != (want != "") || want != "" && got[0].String() != want {
			t.Errorf("%s: %v", own, got)
		}
	}
}
