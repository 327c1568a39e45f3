package tracker

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/ident"
)

func addrs(list ...string) (out []netip.AddrPort) {
	for _, s := range list {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func TestParseAnswer(t *testing.T) {
	blank := answer{seeds: unknown, leeches: unknown, downloads: unknown}
	with := func(change func(*answer)) answer {
		a := blank
		change(&a)
		return a
	}
	six := "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x1a\xe1"
	for _, c := range []struct {
		name, body string
		want       answer
		err        string
	}{
		{"all there is", "d8:completei5e10:downloadedi7e11:external ip4:\x01\x02\x03\x0410:incompletei6e8:intervali1800e" +
			"12:min intervali900e5:peers6:\x0a\x00\x00\x02\x1a\xe16:peers618:" + six + "10:tracker id2:id15:warning message4:slowe",
			answer{30 * time.Minute, 15 * time.Minute, 5, 6, 7, addrs("10.0.0.2:6881", "[2001:db8::1]:6881"), "id", "slow",
				netip.MustParseAddr("1.2.3.4")}, ""},
		{"dictionaries", "d5:peersld2:ip8:10.0.0.24:porti6881eed2:ip11:2001:db8::14:porti1eed2:ip7:a.bc.de4:porti1eed2:ip7:1.2.3.4" +
			"4:porti70000eei5eee", with(func(a *answer) { a.peers = addrs("10.0.0.2:6881", "[2001:db8::1]:1") }), ""},
		{"a line feed behind", "d8:intervali60ee\r\n", with(func(a *answer) { a.interval = time.Minute }), ""},
		{"negative numbers", "d8:completei-5e8:intervali-60e12:min intervali-1ee", blank, ""},
		{"absurd interval", "d8:intervali9223372036854775807ee", with(func(a *answer) { a.interval = 2147483647 * time.Second }), ""},
		{"interval is no number", "d8:interval4:soone", blank, ""},
		{"7 bytes of peers", "d5:peers7:\x0a\x00\x00\x02\x1a\xe1\x0ae", with(func(a *answer) { a.peers = addrs("10.0.0.2:6881") }), ""},
		{"5 bytes of peers", "d5:peers5:\x0a\x00\x00\x02\x1ae", blank, ""},
		{"addresses nobody has", "d5:peers36:\x0a\x00\x00\x02\x00\x00" + "\x00\x00\x00\x00\x1a\xe1" + "\xe0\x00\x00\x01\x1a\xe1" +
			"\xff\xff\xff\xff\x1a\xe1" + "\xff\x00\x00\x01\x00\x00" + "\x0a\x00\x00\x03\x00\x01" + "e",
			with(func(a *answer) { a.peers = addrs("10.0.0.3:1") }), ""},
		{"IPv4 within IPv6", "d6:peers618:" + strings.Repeat("\x00", 10) + "\xff\xff\x0a\x00\x00\x02\x1a\xe1" + "e",
			with(func(a *answer) { a.peers = addrs("10.0.0.2:6881") }), ""},
		{"link-local", "d6:peers618:\xfe\x80" + strings.Repeat("\x00", 13) + "\x01\x1a\xe1" + "e", blank, ""},
		{"external ip of 5 bytes", "d11:external ip5:12345e", blank, ""},
		{"endless tracker id", "d10:tracker id2000:" + strings.Repeat("x", 2000) + "e", blank, ""},
		{"empty dictionary", "de", blank, ""},

		{"peers is a number", "d5:peersi5ee", answer{}, "answer is broken: peers has the kind integer"},
		{"empty", "", answer{}, "answer is broken: bencode: unexpected end at byte 0"},
		{"a page", "<html>hello", answer{}, "answer is broken: bencode: unexpected byte '<' at byte 0"},
		{"a list", "le", answer{}, "answer is broken: list instead of a dictionary"},
		{"cut short", "d5:peers600:abc", answer{}, "answer is broken: bencode: string of 600 bytes, of which 3 are there at byte 8"},
		{"deep", strings.Repeat("d1:a", 100) + strings.Repeat("e", 100), answer{}, "answer is broken: bencode: more than 64 levels at byte 256"},
		{"string that overflows", "d5:peers99999999999999999999:e", answer{}, "answer is broken: bencode: number too large at byte 8"},
		{"failure", "d14:failure reason12:not allowed.e", answer{}, "tracker says: not allowed."},
		{"failure that is not text", "d14:failure reason10:\xff\xfebad\x1b[2J\ne", answer{}, "tracker says: ?bad [2J"},
		{"failure without words", "d14:failure reason0:e", answer{}, "tracker refuses without a reason"},
		{"endless failure", "d14:failure reason5000:" + strings.Repeat("x", 5000) + "e", answer{}, "tracker says: " + strings.Repeat("x", 200)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseAnswer([]byte(c.body))
			if err != nil {
				if err.Error() != c.err {
					t.Errorf("error %q, want %q", err, c.err)
				}
			} else if c.err != "" {
				t.Errorf("no error, want %q", c.err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestRetryIn(t *testing.T) {
	for body, want := range map[string]Refusal{
		"d14:failure reason1:x8:retry in5:nevere": {Reason: "x", Never: true},
		"d14:failure reason1:x8:retry ini5ee":     {Reason: "x", Retry: 5 * time.Minute},
		"d14:failure reason1:x8:retry in2:10e":    {Reason: "x", Retry: 10 * time.Minute},
		"d14:failure reason1:x8:retry in3:abce":   {Reason: "x"},
		"d14:failure reason1:x8:retry ini-5ee":    {Reason: "x"},
	} {
		_, err := parseAnswer([]byte(body))
		var got *Refusal
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%s: %+v, want %+v", body, err, want)
		}
	}
}

func TestManyPeersAreBounded(t *testing.T) {
	entry := "\x0a\x00\x00\x02\x1a\xe1"
	dict := "d2:ip8:10.0.0.24:porti6881ee"
	for name, body := range map[string]string{
		"compact":      "d5:peers60000:" + strings.Repeat(entry, 10000) + "e",
		"dictionaries": "d5:peersl" + strings.Repeat(dict, 10000) + "ee",
	} {
		if a, err := parseAnswer([]byte(body)); err != nil || len(a.peers) != maxPeers {
			t.Errorf("%s: %d peers, error %v; want %d", name, len(a.peers), err, maxPeers)
		}
	}
}

func TestAnnounceURL(t *testing.T) {
	r := request{event: started, key: 0xbeef, port: 6881, progress: discovery.Progress{Uploaded: 1, Downloaded: 2, Left: 3}, want: 50}
	for i := range r.name {
		r.name[i] = byte(i * 13)
	}
	copy(r.peer[:], "-SH0001-abc~._ %&+=/")
	const tail = "info_hash=%00%0D%1A%274AN%5Bhu%82%8F%9C%A9%B6%C3%D0%DD%EA%F7&peer_id=-SH0001-abc~._%20%25%26%2B%3D%2F" +
		"&port=6881&uploaded=1&downloaded=2&left=3&numwant=50&key=0000beef&compact=1&event=started"
	for raw, want := range map[string]string{
		"http://t.test/announce":             "http://t.test/announce?" + tail,
		"https://t.test:8/a%2Fb/announce?":   "https://t.test:8/a%2Fb/announce?" + tail,
		"http://t.test/announce?pass=a%26#x": "http://t.test/announce?pass=a%26&" + tail,
	} {
		u, _ := url.Parse(raw)
		if got := announceURL(u, &r).String(); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", raw, got, want)
		}
		if u.String() != raw {
			t.Errorf("%s was changed to %s", raw, u)
		}
	}
	r.event, r.id = none, "a b"
	u, _ := url.Parse("http://t.test/announce")
	if got := announceURL(u, &r).RawQuery; !strings.HasSuffix(got, "&compact=1&trackerid=a%20b") {
		t.Errorf("query is %s", got)
	}
}

func TestEveryByteSurvivesEscaping(t *testing.T) {
	raw := make([]byte, 256)
	for i := range raw {
		raw[i] = byte(i)
	}
	if got, err := url.QueryUnescape(string(appendEscaped(nil, raw))); err != nil || got != string(raw) {
		t.Errorf("got %q, %v", got, err)
	}
}

// The examples of BEP 48.
func TestScrapeURL(t *testing.T) {
	name := ident.V1([]byte("aaaaaaaaaaaaaaaaaaaa"))
	const q = "info_hash=aaaaaaaaaaaaaaaaaaaa"
	for raw, want := range map[string]string{
		"http://t.test/announce":           "http://t.test/scrape?" + q,
		"http://t.test/x/announce":         "http://t.test/x/scrape?" + q,
		"http://t.test/announce.php":       "http://t.test/scrape.php?" + q,
		"http://t.test/a":                  "",
		"http://t.test/announce?x2%0644":   "http://t.test/scrape?x2%0644&" + q,
		"http://t.test/announce?x=2/4":     "http://t.test/scrape?x=2/4&" + q,
		"http://t.test/x%064announce":      "",
		"http://t.test/announce/not":       "",
		"http://t.test/a%20b/announce?p=1": "http://t.test/a%20b/scrape?p=1&" + q,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if s, err := scrapeURL(u, []ident.V1{name}); err == nil {
			got = s.String()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
}

func TestParseScrape(t *testing.T) {
	name := strings.Repeat("a", 20)
	got, err := parseScrape([]byte("d5:filesd20:" + name + "d8:completei3e10:incompletei-4ee3:abcdeee"))
	if want := map[ident.V1]Counts{ident.V1([]byte(name)): {3, unknown, unknown}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, body := range []string{"", "de", "d5:filesi1ee", "d14:failure reason2:noe"} {
		if _, err := parseScrape([]byte(body)); err == nil {
			t.Errorf("%q is taken for a scrape", body)
		}
	}
}

func TestPackets(t *testing.T) {
	r := &request{event: completed, key: 0x01020304, port: 0x1ae1, want: 50,
		progress: discovery.Progress{Uploaded: 1, Downloaded: 2, Left: 3}}
	copy(r.name[:], "nnnnnnnnnnnnnnnnnnnn")
	copy(r.peer[:], "pppppppppppppppppppp")
	u, _ := url.Parse("udp://t.test:1/announce?a=" + strings.Repeat("x", 250))
	name, peer := strings.Repeat("6e", 20), strings.Repeat("70", 20)
	announce := "00000000000000aa" + "00000001" + "0000000b" + name + peer + "0000000000000002" + "0000000000000003" +
		"0000000000000001" + "00000001" + "00000000" + "01020304" + "00000032" + "1ae1" +
		"02ff" + hex.EncodeToString([]byte("/announce?a="+strings.Repeat("x", 243))) + "0207" + hex.EncodeToString([]byte("xxxxxxx"))
	for _, c := range []struct {
		what string
		got  []byte
		want string
	}{
		{"connect", connectPacket(0x0b), "0000041727101980" + "00000000" + "0000000b"},
		{"announce", announcePacket(0xaa, 0x0b, r, u), announce},
		{"scrape", scrapePacket(0xaa, 0x0b, []ident.V1{r.name, r.name}), "00000000000000aa" + "00000002" + "0000000b" + name + name},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.what, got, c.want)
		}
	}
}

func TestParsePackets(t *testing.T) {
	head := "0000000100000000"
	for _, c := range []struct {
		name, packet string
		v6           bool
		want         answer
		err          string
	}{
		{"IPv4", head + "00000708" + "00000002" + "00000003" + "0a0000021ae1" + "0a0000030000", false,
			answer{interval: 30 * time.Minute, leeches: 2, seeds: 3, downloads: unknown, peers: addrs("10.0.0.2:6881")}, ""},
		{"IPv6", head + "00000708" + "00000002" + "00000003" + "20010db8000000000000000000000001" + "1ae1" + "2001", true,
			answer{interval: 30 * time.Minute, leeches: 2, seeds: 3, downloads: unknown, peers: addrs("[2001:db8::1]:6881")}, ""},
		{"negative numbers", head + "ffffffff" + "ffffffff" + "80000000", false,
			answer{leeches: unknown, seeds: unknown, downloads: unknown}, ""},
		{"short", head + "000007080000000200000003"[:22], false, answer{}, "answer is broken: packet too short"},
		{"only an action", "00000001", false, answer{}, "answer is broken: packet too short"},
		{"another action", "0000000200000000" + strings.Repeat("00", 12), false, answer{}, "answer is broken: action 2, want 1"},
		{"error", "0000000300000000" + hex.EncodeToString([]byte("go \x00away\xff")), false, answer{}, "tracker says: go  away?"},
		{"error without words", "0000000300000000", false, answer{}, "tracker refuses without a reason"},
	} {
		b, err := hex.DecodeString(c.packet)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseAnnounce(b, c.v6)
		msg := ""
		if err != nil {
			msg = err.Error()
		}
		if msg != c.err || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %q; want %+v, %q", c.name, got, msg, c.want, c.err)
		}
	}
	if _, err := parseScrapePacket(make([]byte, 19), make([]ident.V1, 1)); err == nil {
		t.Error("19 bytes are taken for a connect or scrape")
	}
	if _, err := parseConnect(make([]byte, 15)); !errors.Is(err, errShort) {
		t.Errorf("connect of 15 bytes: %v", err)
	}
}

func checkPeers(t *testing.T, peers []netip.AddrPort) {
	if len(peers) > maxPeers {
		t.Errorf("%d peers", len(peers))
	}
	for _, p := range peers {
		if !p.IsValid() || p.Port() == 0 || p.Addr().IsUnspecified() || p.Addr().IsMulticast() || p.Addr().Is4In6() {
			t.Errorf("peer %v", p)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte("d8:completei5e8:intervali1800e5:peers6:\x0a\x00\x00\x02\x1a\xe1e"))
	f.Add([]byte("d5:peersld2:ip8:10.0.0.24:porti6881eeee"))
	f.Add([]byte("d14:failure reason1:x8:retry in5:nevere"))
	f.Add([]byte("d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei3eeee"))
	f.Add([]byte("d11:external ip16:aaaaaaaaaaaaaaaa6:peers618:aaaaaaaaaaaaaaaabbe"))
	f.Fuzz(func(t *testing.T, body []byte) {
		copied := bytes.Clone(body)
		a, err := parseAnswer(body)
		checkPeers(t, a.peers)
		if a.interval < 0 || a.min < 0 || a.seeds < unknown || a.leeches < unknown || a.downloads < unknown {
			t.Errorf("%+v", a)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
		parseScrape(body)
		if !bytes.Equal(body, copied) {
			t.Error("the input was changed")
		}
	})
}

func FuzzParsePacket(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07\x08\x00\x00\x00\x02\x00\x00\x00\x03\x0a\x00\x00\x02\x1a\xe1"), false)
	f.Add([]byte("\x00\x00\x00\x03\x00\x00\x00\x00go away"), true)
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), true)
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		a, _ := parseAnnounce(b, v6)
		checkPeers(t, a.peers)
		parseConnect(b)
		if c, err := parseScrapePacket(b, make([]ident.V1, 2)); err == nil && len(c) != 2 {
			t.Errorf("%d counts for 2 names", len(c))
		}
	})
}
