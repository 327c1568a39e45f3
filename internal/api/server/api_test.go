package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/api/apitest"
	"shoal/internal/database"
	"shoal/internal/library"
	"shoal/internal/logring"
)

func TestList(t *testing.T) {
	s, f := fakeNode(t, 300, nil)
	c := as(t, s, accounts.Viewer)
	f.Step()
	var p library.Page
	c.get("/torrents?limit=20&sort=name", &p)
	if p.Total != 300 || len(p.Torrents) != 20 || p.Counts.All != 300 || !slices.IsSortedFunc(p.Torrents, func(a, b library.Torrent) int { return strings.Compare(a.Name, b.Name) }) {
		t.Fatalf("%d of %d", len(p.Torrents), p.Total)
	}
	c.get("/torrents?state=downloading,paused&category=film&q=a", &p)
	if len(p.Torrents) == 0 || len(p.Torrents) == 100 {
		t.Fatal(len(p.Torrents))
	}
	for _, x := range p.Torrents {
		if x.Category != "film" || x.State != library.Downloading && x.State != library.Paused {
			t.Fatalf("%+v", x)
		}
	}
	c.get("/torrents?category=", &p)
	for _, x := range p.Torrents {
		if x.Category != "" {
			t.Fatalf("with a category: %+v", x)
		}
	}
	for _, bad := range []string{"limit=-1", "limit=x", "offset=-5", "sort=nothing", "desc=maybe", "limit=99999999999999999999"} {
		c.do(422, "GET", "/torrents?"+bad, nil)
	}
}

func TestAdd(t *testing.T) {
	s, f := fakeNode(t, 0, nil)
	c := as(t, s, accounts.User)
	var r api.AddResult
	w := c.do(201, "POST", "/torrents", api.AddRequest{Links: []string{"magnet:?xt=urn:btih:1", "nonsense"}, Torrents: [][]byte{[]byte("d4:infode")}, Category: "tv", Paused: true, UpLimit: 9})
	json.Unmarshal(w.Body.Bytes(), &r)
	if len(r.Added) != 2 || len(r.Failed) != 1 || r.Failed[0].Link != "nonsense" || !strings.Contains(r.Failed[0].Message, "no link that we know") {
		t.Fatalf("%+v", r)
	}
	if q := f.Requests[0]; q.Category != "tv" || !q.Paused || q.UpLimit != 9 || string(f.Requests[1].Torrent) != "d4:infode" {
		t.Fatalf("%+v", f.Requests)
	}
	c.do(422, "POST", "/torrents", api.AddRequest{Links: []string{"nonsense"}})
	c.do(422, "POST", "/torrents", api.AddRequest{})
	c.do(422, "POST", "/torrents", `{"links":"magnet:"}`)
	c.do(422, "POST", "/torrents", `{"surprise":1}`)
	c.do(400, "POST", "/torrents", `{"links":`)

	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	m.WriteField("category", "film")
	m.WriteField("tag", "a")
	m.WriteField("tag", "b")
	p, _ := m.CreateFormFile("file", "x.torrent")
	p.Write([]byte("d4:infod1:xee"))
	p, _ = m.CreateFormFile("file", "bad.torrent")
	p.Write([]byte("<html>"))
	m.Close()
	q := c.request("POST", prefix+"/torrents", form.String())
	q.Header.Set("Content-Type", m.FormDataContentType())
	w = c.send(q)
	r = api.AddResult{}
	json.Unmarshal(w.Body.Bytes(), &r)
	if w.Code != 201 || len(r.Added) != 1 || len(r.Failed) != 1 || r.Failed[0].Link != "bad.torrent" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if q := f.Requests[2]; q.Category != "film" || !slices.Equal(q.Tags, []string{"a", "b"}) {
		t.Fatalf("%+v", q)
	}
	q = nobody(t, s).request("POST", prefix+"/torrents", form.String())
	q.Header.Set("Content-Type", m.FormDataContentType())
	if w := c.send(q); w.Code != 401 {
		t.Fatal(w.Code)
	}
}

func TestOneTorrent(t *testing.T) {
	s, f := fakeNode(t, 5, nil)
	c := as(t, s, accounts.User)
	id := f.Order[0]
	at := "/torrents/" + id
	var d library.Detail
	c.get(at, &d)
	if d.ID != id || d.Magnet == "" {
		t.Fatalf("%+v", d)
	}
	c.get("/torrents/"+strings.ToUpper(id), &d)
	w := c.do(200, "PATCH", at, `{"name":"new","tags":["x"],"up_limit":5}`)
	json.Unmarshal(w.Body.Bytes(), &d)
	if d.Name != "new" || d.UpLimit != 5 || !slices.Equal(d.Tags, []string{"x"}) {
		t.Fatalf("%+v", d)
	}
	c.do(422, "PATCH", at, `{"up_limit":-5}`)
	var files api.FilePage
	c.get(at+"/files", &files)
	if len(files.Files) != files.Total || files.Files[0].Media != "video" || !strings.HasPrefix(files.Files[0].StreamURL, "/stream/key/"+id+"/0/") {
		t.Fatalf("%+v", files)
	}
	c.get(at+"/files?offset=99", &files)
	if len(files.Files) != 0 {
		t.Fatalf("%+v", files)
	}
	c.do(204, "PATCH", at+"/files", `{"files":[0],"priority":"skip"}`)
	c.do(204, "PATCH", at+"/files", `{"index":0,"path":"a/b.mkv"}`)
	for _, bad := range []string{`{}`, `{"files":[0]}`, `{"priority":"high"}`, `{"files":[0],"priority":"urgent"}`, `{"files":[-1],"priority":"high"}`, `{"files":[7777],"priority":"high"}`,
		`{"index":0,"path":"../../etc/passwd"}`, `{"index":0,"path":"/etc/passwd"}`, `{"index":0,"path":"a","priority":"low"}`} {
		c.do(422, "PATCH", at+"/files", bad)
	}
	c.get(at+"/files", &files)
	if files.Files[0].Path != "a/b.mkv" || files.Files[0].Priority != library.Skip {
		t.Fatalf("%+v", files.Files[0])
	}
	var peers []library.Peer
	c.do(204, "POST", at+"/peers", `{"peers":["127.0.0.1:6881"]}`)
	c.do(422, "POST", at+"/peers", `{"peers":["x"]}`)
	c.get(at+"/peers", &peers)
	if len(peers) == 0 {
		t.Fatal("no peers")
	}
	var trackers []library.Tracker
	c.do(204, "POST", at+"/trackers", `{"urls":["http://a.example/announce"]}`)
	c.do(204, "DELETE", at+"/trackers?url=http%3A%2F%2Fa.example%2Fannounce", nil)
	c.do(422, "DELETE", at+"/trackers?url=http%3A%2F%2Fa.example%2Fannounce", nil)
	c.do(422, "DELETE", at+"/trackers", nil)
	c.get(at+"/trackers", &trackers)
	if w := c.do(200, "GET", at+"/pieces", nil); w.Header().Get("Content-Type") != "application/octet-stream" || w.Body.Len() != d.Pieces {
		t.Fatalf("%s, %d bytes", w.Header(), w.Body.Len())
	}
	if w := c.do(200, "GET", at+"/torrent", nil); w.Header().Get("Content-Disposition") != "attachment; filename*=UTF-8''new.torrent" || w.Body.Bytes()[0] != 'd' {
		t.Fatalf("%s %s", w.Header(), w.Body)
	}
	c.do(204, "DELETE", at+"?data=true", nil)
	c.do(404, "GET", at, nil)
	for _, bad := range []string{"x", "..%2f..%2fetc", id + "0", strings.Repeat("g", 40)} {
		c.do(422, "GET", "/torrents/"+bad, nil)
	}
	c.do(204, "POST", "/torrents/actions", `{"action":"pause","ids":["all"]}`)
	for _, x := range f.Torrents {
		if x.State != library.Paused {
			t.Fatalf("%+v", x.Torrent)
		}
	}
	c.do(404, "POST", "/torrents/actions", `{"action":"pause","ids":["`+id+`"]}`)
	c.do(422, "POST", "/torrents/actions", `{"action":"explode","ids":["all"]}`)
	c.do(422, "POST", "/torrents/actions", `{"action":"pause","ids":[]}`)
}

func TestNodeRoutes(t *testing.T) {
	s, f := fakeNode(t, 5, nil)
	c := as(t, s, accounts.Admin)
	var totals library.Totals
	c.get("/stats", &totals)
	if totals.Torrents != 5 {
		t.Fatalf("%+v", totals)
	}
	var h library.History
	c.get("/stats/history?span=day", &h)
	if len(h.Times) == 0 || len(h.Times) != len(h.UpRate) {
		t.Fatalf("%+v", h)
	}
	c.do(422, "GET", "/stats/history?span=year", nil)
	var settings []api.Setting
	c.get("/settings", &settings)
	c.do(200, "PATCH", "/settings", `{"down_limit":1000}`)
	c.do(422, "PATCH", "/settings", `{"down_limit":1,"port":1}`)
	c.get("/settings", &settings)
	if i := slices.IndexFunc(settings, func(x api.Setting) bool { return x.Key == "down_limit" }); string(settings[i].Value) != "1000" {
		t.Fatalf("%s", settings[i].Value)
	}
	c.do(204, "PUT", "/categories/tv%2Fhd", `{"name":"ignored","dir":"","seed_ratio":1,"seed_time":0}`)
	var categories []library.Category
	c.get("/categories", &categories)
	if !slices.ContainsFunc(categories, func(x library.Category) bool { return x.Name == "tv/hd" }) {
		t.Fatalf("%+v", categories)
	}
	c.do(204, "DELETE", "/categories/tv%2Fhd", nil)
	c.do(204, "PUT", "/tags/new", nil)
	c.do(204, "DELETE", "/tags/new", nil)
	c.do(204, "PUT", "/rules/seed", `[{"ratio":2,"time":0,"min_seeds":0,"then":"pause","tracker":""}]`)
	var rules []library.SeedRule
	if c.get("/rules/seed", &rules); len(rules) != 1 || rules[0].Ratio != 2 {
		t.Fatalf("%+v", rules)
	}
	for _, k := range documentKinds {
		c.do(204, "PUT", "/"+k.kind+"/one", `{"any":["thing"]}`)
		var docs []json.RawMessage
		if c.get("/"+k.kind, &docs); len(docs) != 1 || string(docs[0]) != `{"any":["thing"]}` {
			t.Fatalf("%s: %s", k.kind, docs)
		}
		c.do(422, "PUT", "/"+k.kind+"/..%2f..%2fx", `{}`)
		c.do(204, "DELETE", "/"+k.kind+"/one", nil)
	}
	var job library.Job
	w := c.do(202, "POST", "/shares", `{"path":"/srv/film"}`)
	json.Unmarshal(w.Body.Bytes(), &job)
	c.get("/jobs/"+job.ID, &job)
	c.do(409, "GET", "/jobs/"+job.ID+"/torrent", nil)
	for range 10 {
		f.Step()
	}
	if r := c.do(200, "GET", "/jobs/"+job.ID+"/torrent", nil); r.Header().Get("Content-Type") != "application/x-bittorrent" || r.Body.Len() == 0 {
		t.Fatalf("%v: %d bytes", r.Header(), r.Body.Len())
	}
	c.do(404, "GET", "/jobs/77/torrent", nil)
	c.do(204, "DELETE", "/jobs/"+job.ID, nil)
	c.do(404, "GET", "/jobs/77", nil)
	var checks []api.Check
	if c.get("/doctor", &checks); len(checks) != 2 {
		t.Fatalf("%+v", checks)
	}
	s.Logger.Error("told", "why", "x")
	var lines []logring.Line
	if c.get("/log?level=error", &lines); len(lines) != 1 || lines[0].Text != "told" || lines[0].Attrs["why"] != "x" {
		t.Fatalf("%+v", lines)
	}
	c.do(404, "GET", "/nothing", nil)
	if w := c.send(c.request("GET", "/healthz", nil)); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Fatal(w.Code, w.Body)
	}
}

func TestAccountsRoutes(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	n := nobody(t, s)
	var me api.Me
	if n.get("/me", &me); !me.SetupNeeded || len(me.Scopes) != 0 || me.Version != "" {
		t.Fatalf("%+v", me)
	}
	n.do(403, "POST", "/setup", api.SetupRequest{Code: "guess", Name: "ann", Password: password})
	w := n.do(200, "POST", "/setup", api.SetupRequest{Code: s.Accounts.SetupCode(), Name: "ann", Password: password})
	cookie := w.Result().Cookies()[0]
	if cookie.Name != cookieName || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" {
		t.Fatalf("%+v", cookie)
	}
	withCookie := func(want int, method, path string, body any) *httptest.ResponseRecorder {
		t.Helper()
		q := n.request(method, prefix+path, body)
		q.AddCookie(cookie)
		w := n.send(q)
		if w.Code != want {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return w
	}
	withCookie(200, "GET", "/torrents", nil)
	if w := withCookie(200, "GET", "/me", nil); len(w.Result().Cookies()) != 1 || w.Result().Cookies()[0].Value != cookie.Value {
		t.Fatalf("the cookie does not last: %s", w.Header())
	}
	withCookie(201, "POST", "/users", api.UserRequest{Name: "bob", Password: "bob's password", Role: accounts.User})
	withCookie(409, "POST", "/users", api.UserRequest{Name: "bob", Password: "bob's password", Role: accounts.User})
	withCookie(422, "POST", "/users", api.UserRequest{Name: "b b", Password: "bob's password", Role: accounts.User})
	withCookie(422, "POST", "/users", api.UserRequest{Name: "eve", Password: "short", Role: accounts.User})
	withCookie(204, "PATCH", "/users/bob", api.UserChange{Role: accounts.Viewer, Password: "bob's new one"})
	withCookie(409, "DELETE", "/users/ann", nil)
	var users []accounts.Account
	json.Unmarshal(withCookie(200, "GET", "/users", nil).Body.Bytes(), &users)
	if len(users) != 2 || users[1].Role != accounts.Viewer {
		t.Fatalf("%+v", users)
	}
	var token api.NewToken
	json.Unmarshal(withCookie(201, "POST", "/tokens", api.TokenRequest{Name: "x", Scopes: []accounts.Scope{accounts.Read}}).Body.Bytes(), &token)
	reader := &caller{t, s.Handler(), token.Secret}
	reader.do(200, "GET", "/torrents", nil)
	reader.do(403, "POST", "/torrents", api.AddRequest{Links: []string{"magnet:"}})
	reader.do(403, "GET", "/users", nil)
	reader.do(403, "POST", "/tokens", api.TokenRequest{Name: "y", Scopes: []accounts.Scope{accounts.Read}})
	reader.do(403, "POST", "/me/password", api.PasswordRequest{Old: password, New: "another one"})
	withCookie(204, "DELETE", "/tokens/"+token.ID, nil)
	reader.do(401, "GET", "/torrents", nil)
	reader.do(401, "GET", "/me", nil)
	withCookie(401, "POST", "/me/password", api.PasswordRequest{Old: "wrong", New: "another one"})
	withCookie(204, "POST", "/me/password", api.PasswordRequest{Old: password, New: "another one"})
	withCookie(204, "DELETE", "/users/bob", nil)
	if w := withCookie(200, "POST", "/logout", nil); w.Result().Cookies()[0].MaxAge != -1 {
		t.Fatalf("%s", w.Header())
	}
	withCookie(401, "GET", "/torrents", nil)
	n.do(401, "POST", "/login", api.LoginRequest{Name: "ann", Password: password})
	n.do(200, "POST", "/login", api.LoginRequest{Name: "ann", Password: "another one"})
	slow := false
	for range 30 {
		w := n.send(n.request("POST", prefix+"/login", api.LoginRequest{Name: "ann", Password: "guess guess"}))
		slow = slow || w.Code == 429 && w.Header().Get("Retry-After") != ""
	}
	if !slow {
		t.Fatal("guessing was not slowed")
	}
}

// A user's tokens are its own business, an admin's too, and a user makes none for others.
func TestOwnTokens(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	n := nobody(t, s)
	cookies := map[string]*http.Cookie{}
	for _, u := range []string{"ann", "bob"} {
		if err := s.Accounts.AddUser(t.Context(), u, password, accounts.User); err != nil {
			t.Fatal(err)
		}
		cookies[u] = n.do(200, "POST", "/login", api.LoginRequest{Name: u, Password: password}).Result().Cookies()[0]
	}
	do := func(user, method, path string, body any) *httptest.ResponseRecorder {
		q := n.request(method, prefix+path, body)
		q.AddCookie(cookies[user])
		return n.send(q)
	}
	var token api.NewToken
	json.Unmarshal(do("ann", "POST", "/tokens", api.TokenRequest{Name: "x", Scopes: []accounts.Scope{accounts.Read}}).Body.Bytes(), &token)
	var list []accounts.Token
	json.Unmarshal(do("bob", "GET", "/tokens", nil).Body.Bytes(), &list)
	if len(list) != 0 || do("bob", "DELETE", "/tokens/"+token.ID, nil).Code != 404 {
		t.Fatalf("bob has ann's tokens: %+v", list)
	}
	if w := do("bob", "POST", "/tokens", api.TokenRequest{Name: "x", User: "ann", Scopes: []accounts.Scope{accounts.Read}}); w.Code != 403 {
		t.Fatal(w.Code)
	}
	if w := do("bob", "POST", "/tokens", api.TokenRequest{Name: "x", Scopes: []accounts.Scope{accounts.Manage}}); w.Code != 422 {
		t.Fatal(w.Code)
	}
	if w := do("ann", "DELETE", "/tokens/"+token.ID, nil); w.Code != 204 {
		t.Fatal(w.Code)
	}
}

// Every operation is refused to whoever lacks its scope.
func TestScopes(t *testing.T) {
	s, f := fakeNode(t, 1, nil)
	id := f.Order[0]
	callers := map[accounts.Role]*caller{"": nobody(t, s)}
	for _, r := range []accounts.Role{accounts.Viewer, accounts.User, accounts.Admin} {
		callers[r] = as(t, s, r)
	}
	checked := 0
	for path, item := range s.api.OpenAPI().Paths {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			op := operation(item, method)
			if op == nil || op.Method != method || path == "/events" {
				continue
			}
			need := op.Metadata[scopeKey].(accounts.Scope)
			for role, c := range callers {
				w := c.send(c.request(method, prefix+strings.NewReplacer("{id}", id, "{name}", "x").Replace(path), nil))
				refused := w.Code == 401 || w.Code == 403
				if need != open && slices.Contains(role.Scopes(), need) == refused && !strings.Contains(path, "token") && !strings.HasPrefix(path, "/me") {
					t.Errorf("%s %s for %q: %d", method, path, role, w.Code)
				}
				checked++
			}
		}
	}
	if checked < 150 {
		t.Fatal(checked)
	}
}

// failing fails in the way it is told.
type failing struct {
	*apitest.Library
	err error
}

func (f failing) List(library.Query) (library.Page, error) { return library.Page{}, f.err }

func TestErrorsHaveCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("x: %w", library.ErrBad), 422}, {library.ErrExists, 409}, {library.ErrNoInfo, 409}, {library.ErrNotFound, 404},
		{fmt.Errorf("saving: %w", database.ErrFull), 507}, {context.Canceled, 503}, {errors.New("odd"), 500},
	} {
		s, _ := fakeNode(t, 1, func(cfg *Config) { cfg.Library = failing{apitest.New(1), c.err} })
		w := as(t, s, accounts.Viewer).do(c.want, "GET", "/torrents", nil)
		var p struct {
			Status        int
			Title, Detail string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != c.want || !strings.Contains(p.Detail, c.err.Error()) ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: %s %s", c.err, w.Header(), w.Body)
		}
		if logged := len(s.Log.Lines(0, logring.ParseLevel("error"), 10)); (logged == 1) != (c.want == 500) {
			t.Errorf("%v: %d lines logged", c.err, logged)
		}
	}
}
