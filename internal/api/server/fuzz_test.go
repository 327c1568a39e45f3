package server

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"shoal/internal/accounts"
)

// FuzzRequests sends what anybody could to every operation that takes something: it may be refused, and must not fail on the node.
func FuzzRequests(f *testing.F) {
	s, lib := fakeNode(f, 3, nil)
	c := as(f, s, accounts.Admin)
	id := lib.Order[0]
	for _, x := range [][4]string{
		{"GET", "/torrents", "q=a&state=paused,active&sort=name&desc=true&offset=1&limit=2&category=&tag=x", ""},
		{"POST", "/torrents", "", `{"links":["magnet:?xt=urn:btih:x"],"torrents":["ZGU="],"select":[1,2],"seed_ratio":1.5}`},
		{"POST", "/torrents/actions", "", `{"action":"pause","ids":["all"]}`},
		{"PATCH", "/torrents/" + id, "", `{"tags":[],"dir":"/x","seed_time":-1}`},
		{"PATCH", "/torrents/" + id + "/files", "", `{"files":[0],"priority":"high"}`},
		{"POST", "/torrents/" + id + "/peers", "", `{"peers":["[::1]:1"]}`},
		{"DELETE", "/torrents/" + id + "/trackers", "url=http://x", ""},
		{"PATCH", "/settings", "", `{"port":{"a":[1e400]}}`},
		{"PUT", "/hooks/a", "", `{"run":["x"]}`},
		{"PUT", "/rules/seed", "", `[{"ratio":1,"time":0,"min_seeds":0,"then":"pause","tracker":""}]`},
		{"POST", "/shares", "", `{"path":"/x","piece_length":3}`},
		{"GET", "/fs", "path=/etc", ""},
		{"GET", "/log", "after=18446744073709551615&level=warn", ""},
		{"POST", "/tokens", "", `{"name":"x","scopes":["read"],"user":"admin-user"}`},
	} {
		f.Add(x[0], x[1], x[2], x[3])
	}
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		u := &url.URL{Path: prefix + path, RawQuery: query}
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/events") || strings.HasPrefix(path, "/log") && method == "POST" {
			return
		}
		q := httptest.NewRequest("GET", "/", strings.NewReader(body))
		q.Method, q.URL, q.Host, q.RequestURI = method, u, "localhost", u.RequestURI()
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Authorization", "Bearer "+c.token)
		if w := c.send(q); w.Code >= 500 {
			t.Fatalf("%s %q?%q %q: %d %s", method, path, query, body, w.Code, w.Body)
		}
	})
}

// FuzzProxyHeaders checks what a proxy can make of a request.
func FuzzProxyHeaders(f *testing.F) {
	f.Add("1.2.3.4, 10.0.0.1", "https", "a.example", "/sub", "/shoal/x")
	f.Add("[::1]:99", "http,https", "", "//evil", "/shoal")
	f.Add(",,,", "", "\x00", "/a/../../b", "/shoal/%2f")
	f.Fuzz(func(t *testing.T, chain, proto, host, base, path string) {
		if b, err := cleanBase(base); err == nil && b != "" && (b[0] != '/' || strings.HasPrefix(b, "//") || strings.ContainsAny(b, "\"<>?#;, \r\n")) {
			t.Fatalf("base %q of %q", b, base)
		}
		a := &access{}
		addr := addrOf("127.0.0.1:1")
		if got := forwardedFor(a, addr, []string{chain}); !got.IsValid() {
			t.Fatalf("%q gives no address", chain)
		}
		cookie := sessionCookie(origin{base: base}, "key")
		if strings.ContainsAny(cookie, "\r\n") {
			t.Fatalf("%q", cookie)
		}
		_, _ = lastOf(proto), hostOnly(host)
	})
}

// FuzzCredentials shows what is no credential: it gives nobody any right.
func FuzzCredentials(f *testing.F) {
	s, _ := fakeNode(f, 1, nil)
	n := nobody(f, s)
	f.Add("shoal_session=x", "")
	f.Add("shoal_session=\"a b\"; shoal_session=; SID=1", "Bearer shoal_x")
	f.Add("=;=,\x00", "Basic Og==")
	f.Add("", "bearer  ")
	f.Fuzz(func(t *testing.T, cookie, authorization string) {
		q := n.request("GET", prefix+"/torrents", nil)
		q.Header["Cookie"], q.Header["Authorization"] = []string{cookie}, []string{authorization}
		if w := n.send(q); w.Code != 401 {
			t.Fatalf("%q %q: %d %s", cookie, authorization, w.Code, w.Body)
		}
	})
}
