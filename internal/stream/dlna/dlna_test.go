package dlna

import (
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/netx"
	"shoal/internal/simnet"
)

const id = "6a2f41a3-c54c-fce8-32d2-0324e1c32e22"

func config(n netx.Network, own string) Config {
	return Config{
		Network: n, Name: "shoal & co", ID: id, Version: "1",
		Port: func() uint16 { return 7463 }, Local: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(own)} },
		List: func() []Folder {
			return []Folder{
				{ID: "aa", Title: "Films <1>", Files: []File{
					{ID: "0", Title: "A & B", Type: "video/mp4", Size: 5, URL: "/stream/k/aa/0/a%20b.mp4"},
					{ID: "1", Title: "Song", Type: "audio/mpeg", Size: 6, URL: "/stream/k/aa/1/s.mp3"},
				}},
				{ID: "bb", Title: "Empty"},
			}
		},
	}
}

// lan is a simulated local network with a media server and somebody who looks for one.
func lan(t *testing.T, test func(t *testing.T, s *Service, c, own net.PacketConn)) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1).NAT(netip.MustParseAddr("203.0.113.9"), simnet.Link{}, simnet.FullCone)
		a, b := n.Host(netip.MustParseAddr("192.168.1.5"), simnet.Link{}), n.Host(netip.MustParseAddr("192.168.1.9"), simnet.Link{})
		c, err := netx.ListenMulticast(t.Context(), b, group)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		own, err := b.ListenPacket(t.Context(), "udp4", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		s, err := New(config(a, "192.168.1.5/24"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		test(t, s, c, own)
	})
}

// hear returns the datagrams that come within a time.
func hear(t *testing.T, c net.PacketConn, d time.Duration) (out []string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(d))
	b := make([]byte, 4096)
	for {
		n, _, err := c.ReadFrom(b)
		if err != nil {
			return out
		}
		if !strings.HasPrefix(string(b[:n]), "M-SEARCH") { // our own comes back
			out = append(out, string(b[:n]))
		}
	}
}

func TestAliveAndByebye(t *testing.T) {
	lan(t, func(t *testing.T, s *Service, c, _ net.PacketConn) {
		got := hear(t, c, 5*time.Second)
		if len(got) != 10 || !strings.Contains(got[0], "NTS: ssdp:alive\r\n") || !strings.Contains(got[0], "LOCATION: http://192.168.1.5:7463/dlna/device.xml\r\n") {
			t.Fatalf("%d: %q", len(got), got)
		}
		if got := hear(t, c, 2*reannounce); len(got) < 5 {
			t.Errorf("not announced again: %q", got)
		}
		s.Close()
		if got := hear(t, c, time.Second); len(got) != 5 || !strings.Contains(got[4], "NTS: ssdp:byebye\r\n") {
			t.Errorf("%q", got)
		}
	})
}

const find1 = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: %s\r\n\r\n"

func TestSearches(t *testing.T) {
	for target, n := range map[string]int{"ssdp:all": 5, mediaServer: 1, rootDevice: 1, "uuid:" + id: 1, directory: 1, "urn:other": 0} {
		lan(t, func(t *testing.T, _ *Service, _, c net.PacketConn) {
			hear(t, c, 5*time.Second)
			if _, err := fmt.Fprintf(writer{c}, find1, target); err != nil {
				t.Fatal(err)
			}
			got := hear(t, c, 3*time.Second)
			if len(got) != n {
				t.Fatalf("%s: %q", target, got)
			}
			for _, a := range got {
				if !strings.HasPrefix(a, "HTTP/1.1 200 OK\r\n") || !strings.Contains(a, "\r\nLOCATION: http://192.168.1.5:7463/dlna/device.xml\r\n") ||
					!strings.Contains(a, "\r\nUSN: uuid:"+id) {
					t.Errorf("%q", a)
				}
			}
		})
	}
}

type writer struct{ net.PacketConn }

func (w writer) Write(b []byte) (int, error) { return w.WriteTo(b, net.UDPAddrFromAddrPort(group)) }

// Who is not a neighbour is not answered, nor are more than so many at once.
func TestNobodyIsFlooded(t *testing.T) {
	lan(t, func(t *testing.T, s *Service, _, c net.PacketConn) {
		hear(t, c, 5*time.Second)
		s.heard(t.Context(), search{"ssdp:all", time.Second}, &net.UDPAddr{IP: net.IPv4(203, 0, 113, 1), Port: 1})
		if len(s.budget) != 0 {
			t.Error("a stranger is answered")
		}
		for range 10 * maxAnswers {
			s.heard(t.Context(), search{mediaServer, time.Second}, c.LocalAddr())
			fmt.Fprintf(writer{c}, find1, mediaServer)
		}
		if got := hear(t, c, 5*time.Second); len(got) == 0 || len(got) > maxAnswers {
			t.Errorf("%d answers", len(got))
		}
	})
}

func call(t *testing.T, s *Service, path, service, name, args string) (int, string) {
	t.Helper()
	body := fmt.Sprintf(`<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:%s xmlns:u="%s">%s</u:%s></s:Body></s:Envelope>`, name, service, args, name)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "http://192.168.1.5:7463"+path, strings.NewReader(body)))
	wellFormed(t, w.Body.String())
	return w.Code, w.Body.String()
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
}

func browse(id, flag string, from, count int) string {
	return fmt.Sprintf("<ObjectID>%s</ObjectID><BrowseFlag>%s</BrowseFlag><Filter>*</Filter><StartingIndex>%d</StartingIndex><RequestedCount>%d</RequestedCount><SortCriteria/>", id, flag, from, count)
}

func TestBrowse(t *testing.T) {
	s := &Service{cfg: config(nil, "192.168.1.5/24")}
	for _, c := range []struct {
		args           string
		code, returned int
		total          int
		has            []string
	}{
		{browse("0", "BrowseDirectChildren", 0, 0), 200, 2, 2, []string{`<container id="aa" parentID="0"`, "Films &lt;1&gt;", `childCount="2"`}},
		{browse("0", "BrowseDirectChildren", 1, 5), 200, 1, 2, []string{`id="bb"`}},
		{browse("0", "BrowseDirectChildren", 99, 5), 200, 0, 2, nil},
		{browse("0", "BrowseMetadata", 0, 0), 200, 1, 1, []string{`<container id="0" parentID="-1"`}},
		{browse("aa", "BrowseDirectChildren", 0, 1), 200, 1, 2, []string{`<item id="aa/0" parentID="aa"`, "A &amp; B", "object.item.videoItem",
			`protocolInfo="http-get:*:video/mp4:DLNA.ORG_OP=01" size="5">http://192.168.1.5:7463/stream/k/aa/0/a%20b.mp4</res>`}},
		{browse("aa/1", "BrowseMetadata", 0, 0), 200, 1, 1, []string{"object.item.audioItem.musicTrack"}},
		{browse("aa/9", "BrowseMetadata", 0, 0), 500, 0, 0, []string{"<errorCode>701</errorCode>"}},
		{browse("../x", "BrowseMetadata", 0, 0), 500, 0, 0, []string{"<errorCode>701</errorCode>"}},
		{browse("0", "Other", 0, 0), 500, 0, 0, []string{"<errorCode>402</errorCode>"}},
		{"<ObjectID>0</ObjectID>", 500, 0, 0, []string{"<errorCode>402</errorCode>"}},
	} {
		code, body := call(t, s, "/dlna/directory", directory, "Browse", c.args)
		if code != c.code {
			t.Errorf("%s: %d %s", c.args, code, body)
			continue
		}
		var env struct {
			Body struct {
				BrowseResponse struct {
					Result                       string
					NumberReturned, TotalMatches int
				}
			}
		}
		if err := xml.Unmarshal([]byte(body), &env); err != nil {
			t.Fatal(err)
		}
		r := env.Body.BrowseResponse
		wellFormed(t, r.Result)
		if r.NumberReturned != c.returned || r.TotalMatches != c.total {
			t.Errorf("%s: %+v", c.args, r)
		}
		for _, text := range c.has {
			if !strings.Contains(r.Result+body, text) {
				t.Errorf("%s: no %s in %s", c.args, text, r.Result)
			}
		}
	}
}

func TestOtherActions(t *testing.T) {
	s := &Service{cfg: config(nil, "192.168.1.5/24")}
	for _, c := range []struct {
		path, service, name string
		code                int
		has                 string
	}{
		{"/dlna/directory", directory, "GetSystemUpdateID", 200, "<Id>"},
		{"/dlna/directory", directory, "GetSearchCapabilities", 200, "<SearchCaps></SearchCaps>"},
		{"/dlna/directory", directory, "DestroyObject", 500, "<errorCode>401</errorCode>"},
		{"/dlna/connections", connections, "GetProtocolInfo", 200, "http-get:*:video/*:*"},
		{"/dlna/connections", connections, "PrepareForConnection", 500, "<errorCode>401</errorCode>"},
	} {
		if code, body := call(t, s, c.path, c.service, c.name, ""); code != c.code || !strings.Contains(body, c.has) {
			t.Errorf("%s: %d %s", c.name, code, body)
		}
	}
	for _, path := range []string{"/dlna/device.xml", "/dlna/directory.xml", "/dlna/connections.xml"} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
		wellFormed(t, w.Body.String())
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/dlna/directory", strings.NewReader("<x>")))
	if w.Code != http.StatusBadRequest {
		t.Error(w.Code)
	}
}

func FuzzParseSearch(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(find1, "ssdp:all")))
	f.Add([]byte("M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\nMX: 99999999999999999999\r\nST: \x00\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := parseSearch(b)
		if ok && (s.delay <= 0 || s.delay > maxDelay || len(s.target) > maxSearch) {
			t.Fatalf("%+v", s)
		}
	})
}

func FuzzParseAction(f *testing.F) {
	f.Add([]byte(`<s:Envelope xmlns:s="x"><s:Body><u:Browse xmlns:u="y"><ObjectID>0</ObjectID></u:Browse></s:Body></s:Envelope>`))
	f.Add([]byte(`<a><b><c><d><e><f><g><h><i/></h></g></f></e></d></c></b></a>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAction(strings.NewReader(string(b)))
		if err == nil && (a.name == "" || len(a.args) > maxArguments) {
			t.Fatalf("%+v", a)
		}
		s := &Service{cfg: config(nil, "192.168.1.5/24")}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/dlna/directory", strings.NewReader(string(b))))
		if w.Code != 400 {
			wellFormed(t, w.Body.String())
		}
	})
}
