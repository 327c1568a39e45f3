package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/library"
)

func TestHostNames(t *testing.T) {
	s, _ := fakeNode(t, 1, func(c *Config) { c.Access.Names = []string{"NAS.lan.", "shoal.example.org"} })
	c := as(t, s, accounts.Viewer)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:7462": 200, "LOCALHOST.": 200, "shoal.localhost:7462": 200, "127.0.0.1:7462": 200, "[::1]:7462": 200, "[::1]": 200, "192.168.1.5": 200,
		"nas.lan:80": 200, "Shoal.Example.ORG": 200,
		"": 421, "evil.example": 421, "evil.example:7462": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "notshoal.example.org": 421, "a@localhost": 421, "127.1": 421,
	} {
		for _, path := range []string{"/api/v1/torrents", "/healthz"} {
			q := c.request("GET", path, nil)
			q.Host = host
			if w := c.send(q); w.Code != want {
				t.Errorf("%s of %q: %d, want %d", path, host, w.Code, want)
			}
		}
	}
	for _, bad := range []string{"http://x", "a b", "", "x:1"} {
		if err := s.SetAccess(Access{Names: []string{bad}}); err == nil {
			t.Errorf("name %q was taken", bad)
		}
	}
	q := c.request("GET", "/api/v1/torrents", nil)
	q.Host = "evil.example"
	w := httptest.NewRecorder()
	s.local(s.handler).ServeHTTP(w, q) // no browser reaches the socket
	if w.Code != 200 {
		t.Errorf("on the socket: %d", w.Code)
	}
}

func TestForgedRequests(t *testing.T) {
	s, f := fakeNode(t, 1, nil)
	c := as(t, s, accounts.User)
	n := nobody(t, s)
	cookie := n.do(200, "POST", "/login", api.LoginRequest{Name: "user-user", Password: password}).Result().Cookies()[0]
	for name, x := range map[string]struct {
		header map[string]string
		bearer bool
		want   int
	}{
		"no browser":        {nil, false, 204},
		"our page":          {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:7462"}, false, 204},
		"another site":      {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}, false, 403},
		"another port":      {map[string]string{"Sec-Fetch-Site": "same-site"}, false, 403},
		"old, another site": {map[string]string{"Origin": "http://evil.example"}, false, 403},
		"old, our page":     {map[string]string{"Origin": "http://localhost:7462"}, false, 204},
		"null":              {map[string]string{"Origin": "null"}, false, 403},
		"a token":           {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://tool.example"}, true, 204},
	} {
		q := n.request("POST", prefix+"/torrents/actions", `{"action":"pause","ids":["`+f.Order[0]+`"]}`)
		for k, v := range x.header {
			q.Header.Set(k, v)
		}
		if x.bearer {
			q.Header.Set("Authorization", "bearer "+c.token)
		} else {
			q.AddCookie(cookie)
		}
		if w := n.send(q); w.Code != x.want {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, x.want, w.Body)
		}
	}
	q := n.request("POST", prefix+"/login", api.LoginRequest{Name: "user-user", Password: password})
	q.Header.Set("Sec-Fetch-Site", "cross-site") // logging somebody in as somebody else is an attack too
	if w := n.send(q); w.Code != 403 {
		t.Errorf("login from another site: %d", w.Code)
	}
}

func TestSecurityHeaders(t *testing.T) {
	s, _ := fakeNode(t, 1, func(c *Config) { c.Web = fstest.MapFS{"index.html": {Data: []byte("<html>")}} })
	for _, path := range []string{"/", "/api/v1/me", "/nothing.js", "/healthz"} {
		w := nobody(t, s).send(nobody(t, s).request("GET", path, nil))
		csp := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self';", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q", path, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
}

func TestProxies(t *testing.T) {
	s, _ := fakeNode(t, 1, func(c *Config) {
		c.Access = Access{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Names: []string{"shoal.example.org"}}
	})
	var got origin
	var path string
	h := s.proxied(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, path = originOf(r.Context()), r.Host+r.URL.Path
		if r.Header.Get("X-Forwarded-For") != "" || r.RemoteAddr != netip.AddrPortFrom(got.client, 0).String() {
			t.Errorf("passed on: %v, %s", r.Header, r.RemoteAddr)
		}
	}))
	ask := func(remote, path string, header map[string]string) {
		q := httptest.NewRequest("GET", path, nil)
		q.Host, q.RemoteAddr = "direct", remote
		for k, v := range header {
			q.Header.Set(k, v)
		}
		h.ServeHTTP(httptest.NewRecorder(), q)
	}
	all := map[string]string{"X-Forwarded-For": "6.6.6.6, 1.2.3.4, 10.0.0.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil, shoal.example.org", "X-Forwarded-Prefix": "/sub"}
	ask("10.0.0.1:99", "/x", all)
	if got.client.String() != "1.2.3.4" || !got.secure || got.base != "/sub" || path != "shoal.example.org/x" {
		t.Errorf("%+v %s", got, path)
	}
	ask("192.0.2.1:99", "/x", all)
	if got.client.String() != "192.0.2.1" || got.secure || got.base != "" || path != "direct/x" {
		t.Errorf("a stranger was believed: %+v %s", got, path)
	}
	ask("10.0.0.1:99", "/x", map[string]string{"X-Forwarded-For": "nonsense", "X-Forwarded-Prefix": "//evil.example"})
	if got.client.String() != "10.0.0.1" || got.base != "" {
		t.Errorf("%+v", got)
	}
	if err := s.SetAccess(Access{BasePath: "/shoal/"}); err != nil {
		t.Fatal(err)
	}
	ask("192.0.2.1:99", "/shoal/api/v1/me", nil)
	if got.base != "/shoal" || path != "direct/api/v1/me" {
		t.Errorf("%+v %s", got, path)
	}
	ask("192.0.2.1:99", "/shoalx/y", nil)
	if path != "direct/shoalx/y" {
		t.Error(path)
	}
	ask("192.0.2.1:99", "/shoal/torrents/a%2Fb", nil)
	if path != "direct/torrents/a/b" {
		t.Error(path)
	}
	c := as(t, s, accounts.Viewer)
	w := nobody(t, s).send(nobody(t, s).request("POST", "/shoal/api/v1/login", api.LoginRequest{Name: "viewer-user", Password: password}))
	if w.Code != 200 || w.Result().Cookies()[0].Path != "/shoal/" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := c.send(c.request("GET", "/shoal", nil)); w.Code != 308 || w.Header().Get("Location") != "/shoal/" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, bad := range []string{"shoal", "//x", "/a b", "/a?b", "/\"", "/<x>", "/a;b"} {
		if err := s.SetAccess(Access{BasePath: bad}); err == nil {
			t.Errorf("base path %q was taken", bad)
		}
	}
}

func TestOversized(t *testing.T) {
	s, f := fakeNode(t, 1, nil)
	c := as(t, s, accounts.Admin)
	c.do(413, "PATCH", "/torrents/"+f.Order[0], `{"name":"`+strings.Repeat("x", maxJSON)+`"}`)
	endless := c.request("POST", prefix+"/torrents", "x")
	endless.Body = io.NopCloser(zeros{})
	endless.ContentLength = -1
	if w := c.send(endless); w.Code != 413 {
		t.Errorf("JSON without end: %d", w.Code)
	}
	endless = c.request("POST", prefix+"/torrents", "x")
	endless.Body, endless.ContentLength = io.NopCloser(zeros{}), -1
	endless.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	if w := c.send(endless); w.Code != 422 {
		t.Errorf("a form without end: %d", w.Code)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestSlowClients(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	s.headerTimeout = 50 * time.Millisecond
	address := listen(t, s)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") // and no more
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(conn); err != nil {
		t.Fatalf("still there: %q %v", b, err)
	}
}

func TestTooManyConnections(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	s.maxConnections = 3
	address := listen(t, s)
	works := func() (net.Conn, bool) {
		t.Helper()
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		_, err = io.ReadFull(c, make([]byte, 12))
		return c, err == nil
	}
	var first net.Conn
	for n := range 3 {
		c, ok := works()
		if !ok {
			t.Fatalf("connection %d was closed", n)
		}
		if n == 0 {
			first = c
		}
	}
	if _, ok := works(); ok {
		t.Fatal("a fourth is served")
	}
	first.Close()
	for s.connections.Load() > 2 {
		time.Sleep(time.Millisecond)
	}
	if _, ok := works(); !ok {
		t.Fatal("there is room, and it was closed")
	}
}

func TestLocalSocketIsAdmin(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	path := filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.ServeLocal(l) }()
	c := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	r, err := c.Get("http://shoal/api/v1/settings")
	if err != nil || r.StatusCode != 200 {
		t.Fatal(r, err)
	}
	r.Body.Close()
	s.Stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	root, outside := filepath.Join(dir, "root"), filepath.Join(dir, "outside")
	for _, d := range []string{"root/films/old", "outside/secret"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(filepath.Join(root, "films", "a.mkv"), []byte("abc"), 0o644)
	for link, to := range map[string]string{"out": outside, "up": "..", "in": "films", "abs": "/etc", "loop": "loop", "nowhere": filepath.Join(outside, "new")} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	s, f := fakeNode(t, 1, func(c *Config) { c.Access.Roots = []string{root} })
	admin, user := as(t, s, accounts.Admin), as(t, s, accounts.User)
	list := func(path string) (names []string) {
		t.Helper()
		var d api.Folder
		admin.get("/fs?path="+path, &d)
		for _, e := range d.Entries {
			names = append(names, fmt.Sprint(e.Name, ":", e.Folder, ":", e.Size))
		}
		return names
	}
	if got := fmt.Sprint(list("")); got != "["+root+":true:0]" {
		t.Error(got)
	}
	if got := fmt.Sprint(list(root)); got != "[films:true:0 in:true:0]" {
		t.Error(got)
	}
	if got := fmt.Sprint(list(root + "/in")); got != "[old:true:0 a.mkv:false:3]" {
		t.Error(got)
	}
	for _, bad := range []string{"/", "/etc", dir, outside, root + "/../outside", root + "/out", root + "/out/secret", root + "/up", root + "/abs", root + "/loop", root + "x", root + "/films/../../outside"} {
		admin.do(403, "GET", "/fs?path="+bad, nil)
	}
	admin.do(404, "GET", "/fs?path="+root+"/missing", nil)
	admin.do(422, "GET", "/fs?path=films", nil)
	admin.do(422, "GET", "/fs?path="+root+"%00/x", nil)
	admin.do(422, "GET", "/fs?path="+root+"/films/a.mkv", nil)
	user.do(403, "GET", "/fs?path="+root, nil)

	// Who is no admin adds, moves and shares below the roots alone.
	for path, ok := range map[string]bool{
		root: true, root + "/films": true, root + "/new/deeper": true, root + "/in/new": true,
		"/etc": false, outside: false, root + "/out": false, root + "/out/new": false, root + "/up/outside": false, root + "/../outside/x": false, root + "/nowhere": false, "relative": false,
	} {
		w := user.send(user.request("POST", prefix+"/torrents", api.AddRequest{Links: []string{"magnet:?" + path}, Dir: path}))
		if (w.Code == 201) != ok {
			t.Errorf("adding into %s: %d %s", path, w.Code, w.Body)
		}
		w = user.send(user.request("PATCH", prefix+"/torrents/"+f.Order[0], library.Change{Dir: &path}))
		if (w.Code == 200) != ok {
			t.Errorf("moving to %s: %d %s", path, w.Code, w.Body)
		}
		w = user.send(user.request("POST", prefix+"/shares", library.ShareRequest{Path: path}))
		if (w.Code == 202) != ok {
			t.Errorf("sharing %s: %d %s", path, w.Code, w.Body)
		}
	}
	admin.do(201, "POST", "/torrents", api.AddRequest{Links: []string{"magnet:?x"}, Dir: "/etc"})
}

func TestWebUI(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("packed"))
	z.Close()
	s, _ := fakeNode(t, 1, func(c *Config) {
		c.Web = fstest.MapFS{"index.html": {Data: []byte("<html>index")}, "assets/app-1a2b.js": {Data: []byte("let plain")}, "assets/app-1a2b.js.gz": {Data: packed.Bytes()},
			"big.css": {Data: bytes.Repeat([]byte("a{} "), 5000)}}
		c.Stream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "stream") })
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "metrics") })
	})
	n := nobody(t, s)
	ask := func(path string, header ...string) *httptest.ResponseRecorder {
		q := n.request("GET", path, nil)
		for i := 0; i < len(header); i += 2 {
			q.Header.Set(header[i], header[i+1])
		}
		return n.send(q)
	}
	for path, want := range map[string]string{"/": "index", "/torrent/123": "index", "/index.html": "index", "/assets/app-1a2b.js": "let plain", "/stream/x/y": "stream"} {
		if w := ask(path); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for path, want := range map[string]int{"/missing.js": 404, "/assets/../../etc/passwd.txt": 404, "/..%2f..%2fetc%2fpasswd.x": 404, "/metrics": 401, "/api/v1/torrents": 401, "/a\x00.x": 404} {
		q := n.request("GET", "/", nil)
		q.URL.Path = strings.ReplaceAll(path, "%2f", "/")
		if w := n.send(q); w.Code != want && w.Code != 301 && w.Code != 307 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w := ask("/assets/app-1a2b.js", "Accept-Encoding", "br, gzip")
	if w.Header().Get("Content-Encoding") != "gzip" || !bytes.Equal(w.Body.Bytes(), packed.Bytes()) || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") ||
		w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("%v %q", w.Header(), w.Body)
	}
	w = ask("/")
	if w = ask("/", "If-None-Match", w.Header().Get("ETag")); w.Code != 304 {
		t.Errorf("unchanged: %d", w.Code)
	}
	w = ask("/big.css", "Accept-Encoding", "gzip")
	if r, err := gzip.NewReader(w.Body); err != nil || w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("%v %v", w.Header(), err)
	} else if b, _ := io.ReadAll(r); len(b) != 20000 {
		t.Errorf("%d bytes", len(b))
	}
	if w := ask("/big.css", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" || w.Body.Len() != 20000 {
		t.Errorf("%v", w.Header())
	}
	c := as(t, s, accounts.Viewer)
	if w := c.send(c.request("GET", "/metrics", nil)); w.Code != 200 {
		t.Errorf("metrics: %d", w.Code)
	}
	s.SetAccess(Access{OpenMetrics: true})
	if w := ask("/metrics"); w.Code != 200 {
		t.Errorf("open metrics: %d", w.Code)
	}
}

func TestCookieIsSecureBehindTLS(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	as(t, s, accounts.Viewer)
	n := nobody(t, s)
	q := n.request("POST", prefix+"/login", api.LoginRequest{Name: "viewer-user", Password: password})
	q.TLS = &tls.ConnectionState{}
	if w := n.send(q); w.Code != 200 || !w.Result().Cookies()[0].Secure {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
}

// The other two APIs are told who asks, whatever the way; a browser is asked for a password by them alone.
func TestCompatibleAPIs(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := accounts.FromContext(r.Context())
		fmt.Fprintf(w, "%q %d %s", who.Name, len(who.Scopes), r.RemoteAddr)
	})
	s, _ := fakeNode(t, 1, func(c *Config) { c.QBittorrent, c.Transmission = echo, echo })
	c, n := as(t, s, accounts.User), nobody(t, s)
	for _, path := range []string{"/api/v2/app/version", "/transmission/rpc"} {
		ask := func(set func(*http.Request)) *httptest.ResponseRecorder {
			q := n.request("POST", path, nil)
			set(q)
			return n.send(q)
		}
		if w := ask(func(*http.Request) {}); w.Code != 200 || w.Body.String() != `"" 0 127.0.0.1:0` {
			t.Errorf("%s, nobody: %d %s", path, w.Code, w.Body)
		}
		for name, set := range map[string]func(*http.Request){
			"password":          func(q *http.Request) { q.SetBasicAuth("user-user", password) },
			"token as password": func(q *http.Request) { q.SetBasicAuth("x", c.token) },
			"token":             func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+c.token) },
		} {
			if w := ask(set); w.Code != 200 || !strings.HasPrefix(w.Body.String(), `"user-user" 3`) {
				t.Errorf("%s, %s: %d %s", path, name, w.Code, w.Body)
			}
		}
		if w := ask(func(q *http.Request) { q.SetBasicAuth("user-user", "wrong") }); w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic") {
			t.Errorf("%s, wrong: %d %v", path, w.Code, w.Header())
		}
		if w := ask(func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "cross-site") }); w.Code != 403 {
			t.Errorf("%s, from another site: %d", path, w.Code)
		}
	}
	q := n.request("GET", prefix+"/torrents", nil)
	q.SetBasicAuth("user-user", password)
	if w := n.send(q); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("Basic for the own API: %d %v", w.Code, w.Header())
	}
	if err := s.SetAccess(Access{NoQBittorrent: true, NoTransmission: true}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v2/app/version", "/transmission/rpc"} {
		if w := c.send(c.request("GET", path, nil)); w.Code != 404 {
			t.Errorf("%s, off: %d", path, w.Code)
		}
	}
}
