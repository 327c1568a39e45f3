package tracker

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// once makes one announce to url and returns what was found and the words of the error.
func once(t *testing.T, n *memNet, url string, names ...ident.V1) (peers []netip.AddrPort, msg string) {
	t.Helper()
	p := newPlace(url, 0)
	if p.dead {
		return nil, p.status.Message
	}
	if names == nil {
		names = []ident.V1{{1}}
	}
	a := New(NewClient(n, ClientOptions{}), nil, Options{})
	found := make(chan []discovery.Peer, 100)
	ctx, cancel := context.WithTimeout(t.Context(), announceTime)
	defer cancel()
	_, err := a.announce(ctx, p.url(), request{event: started, port: 6881, want: 50}, names, func(p []discovery.Peer) { found <- p })
	close(found)
	for batch := range found {
		for _, p := range batch {
			peers = append(peers, p.Addr)
		}
	}
	if err != nil {
		msg = describe(err)
	}
	if n.open() > 0 && strings.HasPrefix(url, "udp") {
		for at := range n.udp {
			if at.Addr() == ours4 || at.Addr() == ours6 {
				t.Errorf("socket %v is left open", at)
			}
		}
	}
	return peers, msg
}

const good = "d8:completei2e8:intervali1800e5:peers6:\x0a\x00\x00\x02\x1a\xe1e"

func say(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }
}

func zipped(body io.Reader) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.Copy(z, body)
		z.Close()
	}
}

// endless is a reader of bytes without end.
type endless byte

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		io.WriteString(c, answer)
		c.Close()
	}
}

func TestHTTPAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		tell   http.HandlerFunc
		works  bool
		msg    string // its beginning
		within time.Duration
	}{
		{"good", say(good), true, "", 0},
		{"good and packed", zipped(strings.NewReader(good)), true, "", 0},
		{"huge Content-Length", raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nd"), false, "answer is too long: 99999999999", 0},
		{"body longer than said", raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + good), false, "answer is broken", 0},
		{"body shorter than said", raw("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + good), false, "answer broke off", 0},
		{"endless body", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, endless('5')) }, false, "answer is too long: more than", 0},
		{"gzip bomb", zipped(io.LimitReader(endless('5'), 64<<20)), false, "answer is too long: more than", 0},
		{"broken gzip", raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"), false, "answer broke off", 0},
		{"huge header", raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), false, "net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded", 0},
		{"no HTTP", raw("SSH-2.0-OpenSSH\r\n"), false, "net/http: HTTP/1.x transport connection broken", 0},
		{"connection closed", raw(""), false, "EOF", 0},
		{"silence", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, false, "", announceTime},
		{"a drop a second", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "d")
				w.(http.Flusher).Flush()
				time.Sleep(time.Second)
			}
		}, false, "no answer", announceTime},
		{"page not found", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, false, "HTTP status 404 Not Found", 0},
		{"failure with an error code", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(403)
			io.WriteString(w, "d14:failure reason6:go outee"[:27]+"e")
		}, false, "tracker says: go out", 0},
		{"a page", say("<html>"), false, "answer is broken", 0},
		{"nothing", say(""), false, "answer is broken", 0},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/announce" {
				http.Redirect(w, r, "/there?"+r.URL.RawQuery, 302)
			} else {
				io.WriteString(w, good)
			}
		}, true, "", 0},
		{"redirect loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/announce", 302) }, false, "more than 5 redirects", 0},
		{"redirect to a file", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "file:///etc/passwd", 302) }, false, "unsupported protocol", 0},
		{"redirect to this machine", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:80/shutdown", 302)
		}, false, "refused: not a tracker's path on this machine", 0},
		{"peers of this machine", say("d5:peers6:\x7f\x00\x00\x01\x1a\xe1e"), false, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newMemNet()
				n.serveHTTP(t, "10.9.9.9:80", c.tell)
				n.serveHTTP(t, "127.0.0.1:80", func(w http.ResponseWriter, r *http.Request) { t.Error("the local service was called") })
				begin := time.Now()
				peers, msg := once(t, n, "http://10.9.9.9/announce")
				if works := len(peers) > 0; works != c.works || !strings.HasPrefix(msg, c.msg) || msg == "" && c.msg != "" {
					t.Errorf("peers %v, message %q; want peers: %v, message %q", peers, msg, c.works, c.msg)
				}
				if took := time.Since(begin); took > max(c.within, time.Second) {
					t.Errorf("took %v", took)
				}
				time.Sleep(2 * time.Second) // until the tracker has noticed
			})
		})
	}
}

func TestLocalServicesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		n.names["rebound.test"] = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		called := ""
		n.serveHTTP(t, "127.0.0.1:80", func(w http.ResponseWriter, r *http.Request) { called = r.URL.Path; io.WriteString(w, good) })
		for url, want := range map[string]string{
			"http://127.0.0.1/shutdown?x=": "", "http://rebound.test/api/x": "", "http://rebound.test/announce.php": "/announce.php",
		} {
			called = ""
			if _, msg := once(t, n, url); called != want {
				t.Errorf("%s: called %q (%s), want %q", url, called, msg, want)
			}
		}
	})
}

// udpTracker answers each packet with what tell makes of it; nil is no answer.
func (n *memNet) udpTracker(t *testing.T, addr string, tell func(c *memPacketConn, p memPacket) []byte) {
	c := n.packets(netip.MustParseAddrPort(addr))
	t.Cleanup(func() { c.Close() })
	go func() {
		for {
			select {
			case p := <-c.in:
				if b := tell(c, p); b != nil {
					n.send(c.at, p.from, b)
				}
			case <-c.done:
				return
			}
		}
	}()
}

// send delivers a packet whatever its sender.
func (n *memNet) send(from, to netip.AddrPort, b []byte) {
	n.mu.Lock()
	c := n.udp[to]
	n.mu.Unlock()
	if c != nil {
		c.in <- memPacket{from, b}
	}
}

// reply is a packet: action, transaction id, the rest.
func reply(act action, tx []byte, rest ...any) []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.BigEndian, uint32(act))
	b.Write(tx)
	for _, v := range rest {
		binary.Write(&b, binary.BigEndian, v)
	}
	return b.Bytes()
}

const connID = uint64(0x1122334455667788)

// goodUDP is a tracker that knows one peer and insists on its connection id.
func goodUDP(_ *memPacketConn, p memPacket) []byte {
	id, act, tx := binary.BigEndian.Uint64(p.b), action(binary.BigEndian.Uint32(p.b[8:])), p.b[12:16]
	switch {
	case act == actConnect && id == protocolID && len(p.b) == 16:
		return reply(actConnect, tx, connID)
	case id != connID:
		return reply(actError, tx, []byte("bad connection id"))
	case act == actAnnounce && p.from.Addr().Is6():
		return reply(actAnnounce, tx, uint32(1800), uint32(1), uint32(2), netip.MustParseAddr("2001:db8::2").AsSlice(), uint16(6881))
	case act == actAnnounce:
		return reply(actAnnounce, tx, uint32(1800), uint32(1), uint32(2), []byte{10, 0, 0, 2}, uint16(6881))
	case act == actScrape:
		b := reply(actScrape, tx)
		for i := 16; i < len(p.b); i += 20 {
			b = append(b, reply(action(p.b[i]), []byte{0, 0, 0, 8}, uint32(9))...)
		}
		return b
	}
	return nil
}

// mischief changes the answers of goodUDP.
func mischief(change func(n *memPacketConn, p memPacket, b []byte) []byte) func(*memPacketConn, memPacket) []byte {
	return func(c *memPacketConn, p memPacket) []byte { return change(c, p, goodUDP(c, p)) }
}

func TestUDPAnswers(t *testing.T) {
	isAnnounce := func(p memPacket) bool { return p.b[11] == byte(actAnnounce) }
	const all = 54 * time.Second // all of udpWaits
	lost := 0
	for _, c := range []struct {
		name  string
		tell  func(*memPacketConn, memPacket) []byte
		peers string
		msg   string
		took  time.Duration
	}{
		{"good", goodUDP, "[10.0.0.2:6881]", "", 0},
		{"silence", func(*memPacketConn, memPacket) []byte { return nil }, "[]", "no answer", all},
		{"first two packets are lost", func(c *memPacketConn, p memPacket) []byte {
			if lost++; lost <= 2 {
				return nil
			}
			return goodUDP(c, p)
		}, "[10.0.0.2:6881]", "", 9 * time.Second},
		{"wrong transaction id", mischief(func(_ *memPacketConn, _ memPacket, b []byte) []byte {
			b[7]++
			return b
		}), "[]", "no answer", all},
		{"answer from another port", mischief(func(c *memPacketConn, p memPacket, b []byte) []byte {
			c.n.send(netip.AddrPortFrom(c.at.Addr(), 7), p.from, b)
			return nil
		}), "[]", "no answer", all},
		{"answer from another host", mischief(func(c *memPacketConn, p memPacket, b []byte) []byte {
			c.n.send(netip.AddrPortFrom(ours4, c.at.Port()), p.from, b)
			return nil
		}), "[]", "no answer", all},
		{"stranger with a guess, then the tracker", mischief(func(c *memPacketConn, p memPacket, b []byte) []byte {
			c.n.send(netip.AddrPortFrom(ours4, 7), p.from, reply(actError, p.b[12:16], []byte("spoofed")))
			return b
		}), "[10.0.0.2:6881]", "", 0},
		{"every answer twice", mischief(func(c *memPacketConn, p memPacket, b []byte) []byte {
			c.n.send(c.at, p.from, b)
			return b
		}), "[10.0.0.2:6881]", "", 0},
		{"empty packets", mischief(func(*memPacketConn, memPacket, []byte) []byte { return []byte{} }), "[]", "no answer", all},
		{"7 bytes", mischief(func(_ *memPacketConn, _ memPacket, b []byte) []byte { return b[:7] }), "[]", "no answer", all},
		{"short connect", mischief(func(_ *memPacketConn, _ memPacket, b []byte) []byte { return b[:12] }), "[]", "answer is broken: packet too short", 0},
		{"short announce", mischief(func(_ *memPacketConn, _ memPacket, b []byte) []byte { return b[:min(len(b), 19)] }), "[]", "answer is broken: packet too short", 0},
		{"part of a peer behind", mischief(func(_ *memPacketConn, p memPacket, b []byte) []byte { return append(b, 1, 2, 3) }), "[10.0.0.2:6881]", "", 0},
		{"wrong action", mischief(func(_ *memPacketConn, p memPacket, b []byte) []byte {
			if isAnnounce(p) {
				b[3] = 2
			}
			return b
		}), "[]", "answer is broken: action 2, want 1", 0},
		{"error", mischief(func(_ *memPacketConn, p memPacket, b []byte) []byte {
			if isAnnounce(p) {
				return reply(actError, p.b[12:16], []byte("not \xffallowed\x00"))
			}
			return b
		}), "[]", "tracker says: not ?allowed", 0},
		{"error at once", func(_ *memPacketConn, p memPacket) []byte { return reply(actError, p.b[12:16]) }, "[]", "tracker refuses without a reason", 0},
		{"long packet", mischief(func(_ *memPacketConn, p memPacket, b []byte) []byte {
			return append(b, make([]byte, 65000)...)
		}), "[10.0.0.2:6881]", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newMemNet()
				n.udpTracker(t, "10.9.9.9:6969", c.tell)
				begin := time.Now()
				peers, msg := once(t, n, "udp://10.9.9.9:6969/announce")
				if fmt.Sprint(peers) != c.peers || msg != c.msg || time.Since(begin) != c.took {
					t.Errorf("peers %v, message %q after %v; want %s, %q, %v", peers, msg, time.Since(begin), c.peers, c.msg, c.took)
				}
			})
		})
	}
}

func TestConnectionIDIsUsedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		connects := 0
		n.udpTracker(t, "10.9.9.9:6969", func(c *memPacketConn, p memPacket) []byte {
			if p.b[11] == byte(actConnect) {
				connects++
			}
			return goodUDP(c, p)
		})
		s := &udpSocket{n: n}
		if err := s.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.release()
		ask := func() {
			_, err := s.ask(t.Context(), netip.MustParseAddrPort("10.9.9.9:6969"), func(id uint64, tx uint32) []byte {
				return scrapePacket(id, tx, []ident.V1{{1}})
			})
			if err != nil {
				t.Error(err)
			}
		}
		for range 59 {
			ask()
			time.Sleep(time.Second)
		}
		if connects != 1 {
			t.Errorf("%d connects within a minute", connects)
		}
		time.Sleep(time.Second)
		ask()
		if connects != 2 {
			t.Errorf("%d connects after a minute", connects)
		}
	})
}

func TestPlacesThatCannotWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		n.names["empty.test"] = nil
		for url, want := range map[string]string{
			"http://nowhere.test/announce":  "name not found",
			"udp://nowhere.test:1/announce": "name not found",
			"udp://empty.test:1":            "name not found: it has no address",
			"http://10.0.0.77/announce":     "connection refused",
			"udp://10.0.0.77:0":             `port "0" in the URL`,
			"udp://10.0.0.77":               "no port in the URL",
			"wss://t.test/announce":         `cannot speak "wss"`,
			"http:///announce":              "not a tracker's URL",
			"%zz":                           "not a tracker's URL",
			"":                              "not a tracker's URL",
		} {
			if peers, msg := once(t, n, url); msg != want || peers != nil {
				t.Errorf("%q: %q, want %q", url, msg, want)
			}
		}
	})
}

func TestScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		n.udpTracker(t, "10.9.9.9:6969", goodUDP)
		n.serveHTTP(t, "10.9.9.9:80", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/scrape" || len(r.URL.Query()["info_hash"]) > maxScrape {
				t.Errorf("asked for %s", r.URL.Path)
			}
			io.WriteString(w, "d5:filesd20:\x05"+strings.Repeat("\x00", 19)+"d8:completei5e10:downloadedi8e10:incompletei9ee"+
				"20:"+strings.Repeat("\xff", 20)+"d8:completei1eeee")
		})
		names := make([]ident.V1, 100)
		want := make(map[ident.V1]Counts)
		for i := range names {
			names[i][0] = byte(i)
			want[names[i]] = Counts{Seeds: i, Leeches: 9, Downloads: 8}
		}
		a := New(NewClient(n, ClientOptions{}), nil, Options{})
		got, err := a.Scrape(t.Context(), "udp://10.9.9.9:6969/announce", names...)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("UDP: %v, %v", got, err)
		}
		got, err = a.Scrape(t.Context(), "http://10.9.9.9/announce", names...)
		if err != nil || !reflect.DeepEqual(got, map[ident.V1]Counts{names[5]: want[names[5]]}) {
			t.Errorf("HTTP: %v, %v", got, err)
		}
		for _, url := range []string{"http://10.9.9.9/x", "wss://x/announce", "udp://nowhere.test:1", "http://10.0.0.77/announce"} {
			if got, err := a.Scrape(t.Context(), url, names[0]); err == nil || got != nil {
				t.Errorf("%s: %v", url, got)
			}
		}
	})
}

func TestBothFamiliesAndBothNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemNet()
		n.names["both.test"] = []netip.Addr{netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("fd00::9"), netip.MustParseAddr("10.9.9.8")}
		n.udpTracker(t, "10.9.9.9:6969", goodUDP)
		n.udpTracker(t, "[fd00::9]:6969", goodUDP)
		asked := make(chan string, 10)
		for _, at := range []string{"10.9.9.9:80", "[fd00::9]:80"} {
			n.serveHTTP(t, at, func(w http.ResponseWriter, r *http.Request) {
				asked <- fmt.Sprintf("%s %x", r.RemoteAddr, r.URL.Query().Get("info_hash")[:2])
				io.WriteString(w, good)
			})
		}
		hash := ident.InfoHash{V1: ident.V1{1, 1}, V2: ident.V2{2, 2}}
		if peers, msg := once(t, n, "http://both.test/announce", hash.Swarms()...); len(peers) != 4 || msg != "" {
			t.Errorf("HTTP: %v, %s", peers, msg)
		}
		seen := map[string]int{}
		for range 4 {
			seen[<-asked]++
		}
		if want := map[string]int{"10.0.0.1:50000 0101": 1, "10.0.0.1:50000 0202": 1, "[fd00::1]:50000 0101": 1, "[fd00::1]:50000 0202": 1}; !reflect.DeepEqual(seen, want) {
			t.Errorf("asked %v", seen)
		}
		peers, msg := once(t, n, "udp://both.test:6969/announce", hash.Swarms()...)
		if len(peers) != 4 || msg != "" || n.twice {
			t.Errorf("UDP: %v, %s, more than one socket of a family: %v", peers, msg, n.twice)
		}
		n.silent[netip.MustParseAddrPort("[fd00::9]:80")] = true
		begin := time.Now()
		if peers, msg := once(t, n, "http://both.test/announce"); len(peers) != 1 || msg != "" || time.Since(begin) > grace {
			t.Errorf("with IPv6 silent: %v, %s after %v", peers, msg, time.Since(begin))
		}
	})
}
