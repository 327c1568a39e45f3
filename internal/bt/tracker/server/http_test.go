package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"shoal/internal/bencode"
	"shoal/internal/ident"
	"shoal/internal/netx"
)

func (k *desk) get(t *testing.T, from, query string) bencode.Value {
	t.Helper()
	k.r.reply.both = true
	b := k.r.announceHTTP(nil, query, netip.MustParseAddr(from), k.now)
	v, err := bencode.Parse(b)
	if err != nil || v.Kind() != bencode.Dict {
		t.Fatalf("%q: %v", b, err)
	}
	return v
}

func field(v bencode.Value, key string) string {
	item, ok := v.Get(key)
	if !ok {
		return "none"
	}
	return string(item.Raw())
}

func queryOf(name ident.V1, rest string) string {
	return "info_hash=" + url.QueryEscape(string(name[:])) + "&peer_id=-XX0000-000000000000" + rest
}

func TestAnnounceHTTP(t *testing.T) {
	k := newDesk(Config{})
	v := k.get(t, "8.0.0.1", queryOf(nameA, "&port=258&left=0&event=completed&numwant=2147483648"))
	for key, want := range map[string]string{
		"complete": "i1e", "incomplete": "i0e", "downloaded": "i1e", "external ip": "4:\x08\x00\x00\x01", "peers": "0:", "peers6": "none", "failure reason": "none",
	} {
		if got := field(v, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	item, _ := v.Get("interval")
	interval, _ := item.Int()
	item, _ = v.Get("min interval")
	if least, _ := item.Int(); interval < 1800 || interval > 2025 || least != (interval+1)/2 {
		t.Errorf("interval %d, at least %d", interval, least)
	}
	v = k.get(t, "2001:db8::1", queryOf(nameA, "&port=1&left=7&compact=1"))
	if got := field(v, "peers"); got != "6:\x08\x00\x00\x01\x01\x02" { // BEP 7: both families
		t.Errorf("peers are %q", got)
	}
	if got := field(v, "external ip"); got != "16:\x20\x01\x0d\xb8"+strings.Repeat("\x00", 11)+"\x01" {
		t.Errorf("external ip is %q", got)
	}
	v = k.get(t, "8.0.0.3", queryOf(nameA, "&port=3&left=7&compact=0&no_peer_id=1"))
	if got := field(v, "peers"); got != "ld2:ip7:8.0.0.14:porti258eed2:ip11:2001:db8::14:porti1eee" {
		t.Errorf("peers are %q", got)
	}
	v = k.get(t, "8.0.0.4", queryOf(nameA, "&port=4&left=7"))
	if got := field(v, "peers6"); got != "18:\x20\x01\x0d\xb8"+strings.Repeat("\x00", 11)+"\x01\x00\x01" {
		t.Errorf("peers6 is %q", got)
	}
	k.get(t, "8.0.0.4", queryOf(nameA, "&port=4&left=7&event=stopped"))
	v = k.get(t, "8.0.0.1", queryOf(nameA, "&port=258&left=0&numwant=1"))
	if got := field(v, "peers") + field(v, "peers6"); got != "6:\x08\x00\x00\x03\x00\x03none" {
		t.Errorf("the one peer is %q", got)
	}
}

func TestAnnounceHTTPRefusals(t *testing.T) {
	k := newDesk(Config{Access: Access{Deny: List{nameB: {}}}})
	for query, want := range map[string]string{
		"": errNoName.Error(), "info_hash=abc&port=1": errNoName.Error(), queryOf(nameA, "")[:len("info_hash=")+58] + "%0&port=1": errNoName.Error(),
		queryOf(nameA, ""): errNoPort.Error(), queryOf(nameA, "&port=65536"): errNoPort.Error(), queryOf(nameA, "&port=-1"): errNoPort.Error(),
		queryOf(nameB, "&port=1"): errNotAllowed.Error(), "info_hash=" + strings.Repeat("x", 21) + "&port=1": errNoName.Error(),
		"info_hash=" + strings.Repeat("x", 32) + "&port=1": errNoName.Error(), "info_hash=" + strings.Repeat("%zz", 20) + "&port=1": errNoName.Error(),
	} {
		v := k.get(t, "8.0.0.1", query)
		if got := field(v, "failure reason"); got != fmt.Sprintf("%d:%s", len(want), want) || field(v, "retry in") != "i30e" {
			t.Errorf("%q is answered with %q", query, v.Raw())
		}
	}
	if st := k.Stats(); st.Peers != 0 {
		t.Errorf("%+v", st)
	}
}

func TestParseWebAnnounce(t *testing.T) {
	a, err := parseWebAnnounce("info_hash=%01+%7e" + strings.Repeat("a", 17) + "&port=6881&left=00&numwant=x&event=paused&ip=2001%3adb8%3A%3a1&key=1&trackerid=%%&&=&x")
	if err != nil || a.name != ident.V1([]byte("\x01 ~aaaaaaaaaaaaaaaaa")) || a.port != 6881 || a.left || a.want != defaultWant || a.event != paused || a.own != netip.MustParseAddr("2001:db8::1") {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = parseWebAnnounce("info_hash=" + strings.Repeat("a", 20) + "&port=0&left=10&numwant=9999999999&compact=0&ip=nowhere")
	if err != nil || !a.left || a.want != maxWant || a.compact || a.own.IsValid() {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestScrapeHTTP(t *testing.T) {
	k := newDesk(Config{})
	k.announce(t, "8.0.0.1:1", nameB, 0, completed, -1)
	k.announce(t, "8.0.0.2:1", nameA, 1, none, -1)
	scrape := func(query string) string {
		return string(k.r.scrapeHTTP(nil, query, netip.MustParseAddr("8.0.0.1"), k.now))
	}
	a := "20:\x01" + strings.Repeat("\x00", 19) + "d8:completei0e10:downloadedi0e10:incompletei1ee"
	b := "20:\x02" + strings.Repeat("\x00", 19) + "d8:completei1e10:downloadedi1e10:incompletei0ee"
	if got := scrape(queryOf(nameB, "&") + queryOf(nameA, "&") + queryOf(nameB, "")); got != "d5:filesd"+a+b+"ee" {
		t.Errorf("%q", got)
	}
	if got := scrape(""); !strings.Contains(got, "name the torrents") {
		t.Errorf("%q", got)
	}
	if got := scrape("info_hash=x"); !strings.Contains(got, errNoName.Error()) {
		t.Errorf("%q", got)
	}
	k.cfg.FullScrape = true
	if got := scrape("x=y"); got != "d5:filesd"+a+b+"ee" {
		t.Errorf("%q", got)
	}
}

// serving is a tracker on loopback.
func serving(t *testing.T, c Config) *Server {
	t.Helper()
	c.Network = netx.NewHost(netx.Options{})
	s, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestHTTPServer(t *testing.T) {
	s := serving(t, Config{HTTP: "127.0.0.1:0", Access: Access{Allow: List{nameA: {}}}})
	client := netx.HTTPClient(netx.NewHost(netx.Options{}), netx.HTTPOptions{})
	get := func(path string, code int) string {
		t.Helper()
		resp, err := client.Get("http://" + s.HTTPAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != code {
			t.Fatalf("%s: %s, %v", path, resp.Status, err)
		}
		return string(b)
	}
	get("/", http.StatusNotFound)
	if got := get("/announce?"+queryOf(nameA, "&port=7&left=0"), http.StatusOK); !strings.HasPrefix(got, "d8:completei1e") {
		t.Errorf("%q", got)
	}
	if got := get("/scrape?"+queryOf(nameA, ""), http.StatusOK); !strings.HasPrefix(got, "d5:filesd20:") {
		t.Errorf("%q", got)
	}
	var st Stats
	if err := json.Unmarshal([]byte(get("/stats", http.StatusOK)), &st); err != nil || st.Torrents != 1 || st.Peers != 1 || st.Seeds != 1 || st.Announces != 1 || st.Open || st.Allowed != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	metrics := get("/metrics", http.StatusOK)
	if !strings.Contains(metrics, "\nshoal_tracker_announces_total 1\n") || !strings.Contains(metrics, "\nshoal_tracker_seeds 1\n") {
		t.Errorf("%s", metrics)
	}
	for line := range strings.Lines(metrics) { // the text format's grammar
		if !regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+ [0-9.e+]+)\n$`).MatchString(line) {
			t.Errorf("%q", line)
		}
	}
}

// One host cannot take all connections, nor keep those on which it says nothing.
func TestGate(t *testing.T) {
	s := serving(t, Config{HTTP: "127.0.0.1:0"})
	n := netx.NewHost(netx.Options{})
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range maxConnsOne {
		c, err := n.Dial(t.Context(), "tcp", s.HTTPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	ask := func(c net.Conn) error {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		return err
	}
	another, err := n.Dial(t.Context(), "tcp", s.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	open = append(open, another)
	if err := ask(another); err == nil {
		t.Error("one connection too many is served")
	}
	if err := ask(open[0]); err != nil {
		t.Error("an earlier one is not served:", err)
	}
	open[0].Close()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		c, err := n.Dial(t.Context(), "tcp", s.HTTPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		if err = ask(c); err == nil {
			return
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("no room after one has gone:", err)
		}
	}
}

func TestReadList(t *testing.T) {
	l := List{}
	err := l.ReadList(strings.NewReader("# ours\n\n" + strings.Repeat("0a", 20) + "  album\n" + strings.Repeat("FF", 32) + "#v2\r\n"))
	var v1, v2 ident.V1
	copy(v1[:], strings.Repeat("\x0a", 20))
	copy(v2[:], strings.Repeat("\xff", 20))
	if _, ok := l[v1]; err != nil || len(l) != 2 || !ok {
		t.Errorf("%v, %v", l, err)
	}
	if _, ok := l[v2]; !ok {
		t.Errorf("%v", l)
	}
	for text, want := range map[string]string{"\nabc": "line 2", strings.Repeat("zz", 20): "line 1", strings.Repeat("0", 1<<20): "too long"} {
		if err := (List{}).ReadList(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50q: %v", text, err)
		}
	}
}

// FuzzHTTP gives a tracker whatever query may come.
func FuzzHTTP(f *testing.F) {
	k := newDesk(Config{FullScrape: true, TrustAddress: true})
	for _, query := range []string{"", queryOf(nameA, "&port=1&left=0"), queryOf(nameB, "&port=0&event=stopped&numwant=-1&compact=0"), "info_hash=%", "ip=%3a&ip=1.2.3.4&port=99999", "&&&=&="} {
		f.Add(query)
	}
	from := netip.MustParseAddr("127.0.0.1")
	f.Fuzz(func(t *testing.T, query string) {
		k.r.reply.both = true
		for _, b := range [][]byte{k.r.announceHTTP(nil, query, from, 0), k.r.scrapeHTTP(nil, query, from, 0)} {
			if v, err := bencode.Parse(b); err != nil || v.Kind() != bencode.Dict {
				t.Fatalf("%q is answered with %q: %v", query, b, err)
			}
		}
	})
}

// FuzzList reads whatever a list may hold.
func FuzzList(f *testing.F) {
	f.Add(strings.Repeat("0a", 20) + "\n# x\n")
	f.Fuzz(func(t *testing.T, text string) {
		l := List{}
		if err := l.ReadList(strings.NewReader(text)); err == nil && len(l) > len(strings.Split(text, "\n")) {
			t.Fatal("more infohashes than lines")
		}
	})
}
