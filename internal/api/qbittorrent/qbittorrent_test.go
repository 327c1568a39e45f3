package qbittorrent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/api/apitest"
	"shoal/internal/database"
	"shoal/internal/library"
)

// settings keep what they are given.
type settings map[string]any

func (s settings) List() (list []api.Setting) {
	for k, v := range s {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		list = append(list, api.Setting{Key: k, Value: b})
	}
	return list
}

func (s settings) Save(values map[string]any) error {
	for k, v := range values {
		if _, ok := s[k]; !ok {
			return fmt.Errorf("unknown setting %s", k)
		}
		s[k] = v
	}
	return nil
}

type node struct {
	h     http.Handler
	lib   *apitest.Library
	acc   *accounts.Accounts
	set   settings
	token string
	admin string
}

var scratch string // a folder of all tests

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "qbittorrent-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// people are two users, with a token of each: of all tests, for hashing passwords takes long.
var people = sync.OnceValue(func() (n node) {
	db, _, err := database.Open(filepath.Join(scratch, "db"))
	if err != nil {
		panic(err)
	}
	if n.acc, err = accounts.New(db); err != nil {
		panic(err)
	}
	secret := func(name string, role accounts.Role) string {
		if err := n.acc.AddUser(context.Background(), name, "correct horse", role); err != nil {
			panic(err)
		}
		s, _, err := n.acc.AddToken(context.Background(), name, "test", role.Scopes(), 0)
		if err != nil {
			panic(err)
		}
		return s
	}
	n.token, n.admin = secret("ann", accounts.User), secret("root", accounts.Admin)
	return n
})

func start(t testing.TB) *node {
	t.Helper()
	n := people()
	n.lib = apitest.New(40)
	n.set = settings{"folders.downloads": "/srv/downloads", "network.dht": true, "bandwidth.down": 0, "bandwidth.up": 0,
		"seeding.ratio": 0.0, "seeding.time": 0, "seeding.action": "pause", "network.encryption": "prefer", "bandwidth.alternative": false}
	h := New(Config{Library: n.lib, Accounts: n.acc, Settings: n.set, MayUse: func(_ context.Context, p string) error {
		if p == "/srv/ok" {
			return nil
		}
		return errors.New("not there")
	}})
	// as the server does it, but for what it refuses by itself
	n.h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			if who, err := n.acc.ByToken(r.Context(), secret); err == nil {
				r = r.WithContext(accounts.NewContext(r.Context(), who))
			}
		}
		h.ServeHTTP(w, r)
	})
	return &n
}

func (n *node) do(t testing.TB, want int, method, path string, values url.Values) string {
	t.Helper()
	r := httptest.NewRequest(method, "/api/v2/"+path, nil)
	if method == "GET" {
		r.URL.RawQuery = values.Encode()
	} else {
		r = httptest.NewRequest(method, "/api/v2/"+path, strings.NewReader(values.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Authorization", "Bearer "+n.admin)
	w := httptest.NewRecorder()
	n.h.ServeHTTP(w, r)
	if w.Code != want {
		t.Fatalf("%s %s %v: %d, want %d: %s", method, path, values, w.Code, want, w.Body)
	}
	return w.Body.String()
}

func (n *node) row(t testing.TB, hash string) (i info) {
	t.Helper()
	var rows []info
	if err := json.Unmarshal([]byte(n.do(t, 200, "GET", "torrents/info", url.Values{"hashes": {hash}})), &rows); err != nil || len(rows) != 1 {
		t.Fatal(len(rows), err)
	}
	return rows[0]
}

// Requests as programs send them, with what they look for in the answers.
func TestRecorded(t *testing.T) {
	names, err := filepath.Glob("testdata/*.http")
	if err != nil || len(names) < 3 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			n := start(t)
			i := slices.IndexFunc(n.lib.Order, func(id string) bool { return n.lib.Torrents[id].State == library.Seeding })
			words := map[string]string{"hash": n.lib.Order[i], "token": n.token}
			for k, part := range strings.Split(string(b), "\n===\n") {
				n.replay(t, k, part, words)
			}
		})
	}
}

func (n *node) replay(t *testing.T, k int, part string, words map[string]string) {
	t.Helper()
	for name, v := range words {
		part = strings.ReplaceAll(part, "{{"+name+"}}", v)
	}
	for strings.HasPrefix(part, "#") {
		_, part, _ = strings.Cut(part, "\n")
	}
	sent, wanted, ok := strings.Cut(part, "\n---\n")
	head, body, _ := strings.Cut(sent, "\n\n")
	lines := strings.Split(head, "\n")
	method, path, ok2 := strings.Cut(lines[0], " ")
	if !ok || !ok2 {
		t.Fatalf("request %d is none: %q", k, part)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, l := range lines[1:] {
		name, v, _ := strings.Cut(l, ": ")
		r.Header.Set(name, v)
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		r = httptest.NewRequest(method, path, strings.NewReader(strings.ReplaceAll(body, "\n", "\r\n")))
		for _, l := range lines[1:] {
			name, v, _ := strings.Cut(l, ": ")
			r.Header.Set(name, v)
		}
	}
	w := httptest.NewRecorder()
	n.h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.Name == cookieName && c.Value != "" {
			words["sid"] = c.Value
		}
	}
	status, texts, _ := strings.Cut(strings.TrimSpace(wanted), " ")
	if strconv.Itoa(w.Code) != status {
		t.Fatalf("request %d, %s: %d, want %s: %s", k, lines[0], w.Code, status, w.Body)
	}
	for text := range strings.FieldsSeq(texts) {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("request %d, %s: %q is not in %.700s", k, lines[0], text, w.Body)
		}
	}
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		t    library.Torrent
		want string
	}{
		{library.Torrent{State: library.Paused}, "stoppedDL"}, {library.Torrent{State: library.Paused, Complete: true}, "stoppedUP"},
		{library.Torrent{State: library.Queued}, "queuedDL"}, {library.Torrent{State: library.Queued, Complete: true}, "queuedUP"},
		{library.Torrent{State: library.Checking, Complete: true}, "checkingUP"}, {library.Torrent{State: library.Metadata}, "metaDL"},
		{library.Torrent{State: library.Metadata, Forced: true}, "forcedMetaDL"}, {library.Torrent{State: library.Downloading}, "stalledDL"},
		{library.Torrent{State: library.Downloading, DownRate: 1}, "downloading"}, {library.Torrent{State: library.Downloading, Forced: true}, "forcedDL"},
		{library.Torrent{State: library.Seeding, Complete: true}, "stalledUP"}, {library.Torrent{State: library.Seeding, UpRate: 1}, "uploading"},
		{library.Torrent{State: library.Seeding, Forced: true}, "forcedUP"}, {library.Torrent{State: library.Moving}, "moving"}, {library.Torrent{State: library.Failed}, "error"},
	} {
		if got := state(&c.t); got != c.want {
			t.Errorf("%+v is %s, want %s", c.t, got, c.want)
		}
	}
	for _, s := range library.States {
		if state(&library.Torrent{State: s}) == "unknown" {
			t.Errorf("no word for %s", s)
		}
	}
}

func TestGoals(t *testing.T) {
	for text, want := range map[string]float64{"-2": 0, "-1": -1, "0": leastRatio, "1.5": 1.5} {
		if got, err := ourRatio(text); err != nil || got != want {
			t.Errorf("ratio %s is %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]int64{"-2": 0, "-1": -1, "0": 1, "90": 5400, "1e300": 60e9} {
		if got, err := ourSeconds(text); err != nil || got != want {
			t.Errorf("minutes %s are %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "NaN"} {
		if _, err := ourRatio(text); err == nil {
			t.Errorf("ratio %q", text)
		}
	}
	none, old := "", "old"
	g := goals{map[string]library.Category{"tv": {SeedRatio: 2, SeedTime: -1}}, []library.SeedRule{{Tracker: "Example.org", Ratio: 4}, {Tag: &old, Time: 600}, {Category: &none, Tag: &none, Ratio: 1}}}
	for _, c := range []struct {
		t       library.Torrent
		ratio   float64
		minutes int64
	}{
		{library.Torrent{Category: "tv", Tags: []string{"x"}}, 2, -1},
		{library.Torrent{Category: "tv", SeedRatio: 3, SeedTime: 60}, 3, 1},
		{library.Torrent{Category: "tv", Tracker: "a.example.org"}, 2, -1},
		{library.Torrent{Category: "film", Tracker: "a.example.org"}, 4, -1},
		{library.Torrent{Category: "film", Tracker: "notexample.org", Tags: []string{"old"}}, -1, 10},
		{library.Torrent{}, 1, -1},
		{library.Torrent{Category: "film"}, -2, -2},
	} {
		if i := describe(&c.t, &g); i.RatioLimit != c.ratio || i.SeedingLimit != c.minutes {
			t.Errorf("%+v: %v, %d", c.t, i.RatioLimit, i.SeedingLimit)
		}
	}
}

func TestFiltersAndSort(t *testing.T) {
	n := start(t)
	n.lib.Step()
	seen := 0
	for _, f := range []string{"downloading", "seeding", "completed", "stopped", "paused", "running", "active", "inactive", "stalled", "stalled_uploading", "stalled_downloading", "checking", "moving", "errored", "all", "nonsense"} {
		var rows []info
		json.Unmarshal([]byte(n.do(t, 200, "GET", "torrents/info", url.Values{"filter": {f}, "sort": {"size"}, "reverse": {"true"}})), &rows)
		if !slices.IsSortedFunc(rows, func(a, b info) int { return int(b.Size - a.Size) }) {
			t.Errorf("%s: not sorted", f)
		}
		for _, r := range rows {
			if !r.matches(f) {
				t.Errorf("%s: %+v", f, r)
			}
		}
		if len(rows) > 0 {
			seen++
		}
	}
	if seen < 10 {
		t.Errorf("only %d filters had rows", seen)
	}
	n.do(t, 400, "GET", "torrents/info", url.Values{"sort": {"nothing"}})
	var rows []info
	json.Unmarshal([]byte(n.do(t, 200, "GET", "torrents/info", url.Values{"offset": {"-3"}, "limit": {"2"}, "sort": {"name"}})), &rows)
	if len(rows) != 2 {
		t.Error(len(rows))
	}
	if got := n.do(t, 200, "GET", "torrents/count", nil); got != "40" {
		t.Error(got)
	}
}

func TestActions(t *testing.T) {
	n := start(t)
	hash := n.lib.Order[0]
	one := url.Values{"hashes": {hash}}
	with := func(pairs ...string) url.Values {
		v := url.Values{"hashes": {hash}, "hash": {hash}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	for _, a := range []string{"stop", "start", "recheck", "reannounce", "topPrio", "bottomPrio", "increasePrio", "decreasePrio", "toggleFirstLastPiecePrio", "setAutoManagement"} {
		n.do(t, 200, "POST", "torrents/"+a, one)
	}
	n.do(t, 400, "POST", "torrents/stop", nil)
	n.do(t, 200, "POST", "torrents/stop", url.Values{"hashes": {strings.Repeat("0", 40)}})
	n.do(t, 200, "POST", "torrents/stop", url.Values{"hashes": {"all"}})
	if r := n.row(t, n.lib.Order[5]); !strings.HasPrefix(r.State, "stopped") {
		t.Error(r.State)
	}
	n.do(t, 200, "POST", "torrents/rename", with("name", "other"))
	n.do(t, 409, "POST", "torrents/rename", with("name", " "))
	n.do(t, 200, "POST", "torrents/setDownloadLimit", with("limit", "1000"))
	n.do(t, 200, "POST", "torrents/setUploadLimit", with("limit", "-1"))
	n.do(t, 400, "POST", "torrents/setUploadLimit", with("limit", "x"))
	n.do(t, 200, "POST", "torrents/toggleSequentialDownload", one)
	n.do(t, 200, "POST", "torrents/setLocation", with("location", "/srv/new"))
	n.do(t, 400, "POST", "torrents/setLocation", one)
	n.do(t, 200, "POST", "torrents/createTags", url.Values{"tags": {"x, y"}})
	n.do(t, 200, "POST", "torrents/addTags", with("tags", "x,y"))
	n.do(t, 200, "POST", "torrents/removeTags", with("tags", "x"))
	r := n.row(t, hash)
	if r.Name != "other" || r.DownLimit != 1000 || !r.Sequential || r.SavePath != "/srv/new" || !strings.Contains(r.Tags, "y") || strings.Contains(r.Tags, "x") {
		t.Errorf("%+v", r)
	}
	n.do(t, 200, "POST", "torrents/removeTags", one)
	n.do(t, 200, "POST", "torrents/deleteTags", url.Values{"tags": {"x,unknown"}})
	if got := n.do(t, 200, "GET", "torrents/tags", nil); strings.Contains(got, `"x"`) || !strings.Contains(got, `"y"`) {
		t.Error(got)
	}
	n.do(t, 200, "POST", "torrents/filePrio", with("id", "0", "priority", "7"))
	n.do(t, 409, "POST", "torrents/filePrio", with("id", "99", "priority", "7"))
	n.do(t, 400, "POST", "torrents/filePrio", with("id", "x", "priority", "7"))
	n.do(t, 400, "POST", "torrents/filePrio", with("id", "0", "priority", "9"))
	name := n.lib.Torrents[hash].Torrent.Name
	files, _ := n.lib.Files(hash)
	n.do(t, 200, "POST", "torrents/renameFile", with("oldPath", files[0].Path, "newPath", "a/b.mkv"))
	n.do(t, 200, "POST", "torrents/renameFile", with("id", "0", "name", "c.mkv"))
	n.do(t, 200, "POST", "torrents/renameFolder", with("oldPath", "a", "newPath", "z"))
	n.do(t, 200, "POST", "torrents/renameFolder", with("oldPath", "z/", "newPath", "a"))
	n.do(t, 409, "POST", "torrents/renameFolder", with("oldPath", "z", "newPath", "y"))
	n.do(t, 400, "POST", "torrents/renameFolder", with("oldPath", "a", "newPath", "../y"))
	n.do(t, 409, "POST", "torrents/renameFile", with("oldPath", "missing", "newPath", "x"))
	n.do(t, 400, "POST", "torrents/renameFile", with("oldPath", "a/c.mkv", "newPath", "../../etc/passwd"))
	if got := n.do(t, 200, "GET", "torrents/files", with()); !strings.Contains(got, `"name":"a/c.mkv"`) || !strings.Contains(got, `"priority":6`) {
		t.Error(got, name)
	}
	n.do(t, 200, "POST", "torrents/addTrackers", with("urls", "http://x.example/a\nhttp://y.example/a"))
	n.do(t, 200, "POST", "torrents/editTracker", with("origUrl", "http://x.example/a", "newUrl", "http://z.example/a"))
	n.do(t, 200, "POST", "torrents/removeTrackers", with("urls", "http://y.example/a|http://z.example/a"))
	n.do(t, 409, "POST", "torrents/removeTrackers", with("urls", "http://y.example/a"))
	if got := n.do(t, 200, "POST", "torrents/addPeers", with("peers", "127.0.0.1:1|bad")); got != `{"`+hash+`":{"added":1,"failed":1}}`+"\n" {
		t.Error(got)
	}
	if got := n.do(t, 200, "GET", "sync/torrentPeers", with("rid", "0")); !strings.Contains(got, `"127.0.0.1:1"`) {
		t.Error(got)
	}
	if got := n.do(t, 200, "GET", "torrents/pieceStates", with()); !strings.HasPrefix(got, "[") {
		t.Error(got)
	}
	if got := n.do(t, 200, "GET", "torrents/export", with()); got[0] != 'd' {
		t.Error(got)
	}
	n.do(t, 200, "GET", "torrents/webseeds", with())
	n.do(t, 400, "GET", "torrents/properties", nil)
	n.do(t, 200, "POST", "torrents/createCategory", url.Values{"category": {"a"}, "savePath": {"/srv/a"}})
	n.do(t, 200, "POST", "torrents/editCategory", url.Values{"category": {"a"}, "savePath": {"/srv/b"}})
	n.do(t, 409, "POST", "torrents/editCategory", url.Values{"category": {"missing"}})
	n.do(t, 400, "POST", "torrents/createCategory", nil)
	n.do(t, 200, "POST", "torrents/removeCategories", url.Values{"categories": {"a\nmissing"}})
	n.do(t, 400, "POST", "torrents/add", nil)
	n.do(t, 400, "POST", "torrents/setShareLimits", one)
}

func TestPreferences(t *testing.T) {
	n := start(t)
	var p map[string]any
	n.do(t, 200, "POST", "app/setPreferences", url.Values{"json": {`{"dht":false,"max_ratio_enabled":true,"max_ratio":1.5,"max_seeding_time":60,"encryption":1,"dl_limit":1024,"unknown_thing":1}`}})
	json.Unmarshal([]byte(n.do(t, 200, "GET", "app/preferences", nil)), &p)
	if p["dht"] != false || p["max_ratio_enabled"] != true || p["max_ratio"] != 1.5 || p["max_seeding_time"] != 60.0 || p["encryption"] != 1.0 || p["dl_limit"] != 1024.0 {
		t.Errorf("%v", p)
	}
	n.do(t, 200, "POST", "app/setPreferences", url.Values{"json": {`{"max_ratio_enabled":false}`}})
	json.Unmarshal([]byte(n.do(t, 200, "GET", "app/preferences", nil)), &p)
	if p["max_ratio_enabled"] != false || p["max_ratio"] != -1.0 {
		t.Errorf("%v", p)
	}
	for _, bad := range []string{``, `[]`, `{"max_ratio":"x"}`, `{"encryption":9}`, `{"upnp":true}`} { // the last is not among the settings here
		n.do(t, 400, "POST", "app/setPreferences", url.Values{"json": {bad}})
	}
	n.do(t, 200, "POST", "transfer/toggleSpeedLimitsMode", nil)
	if got := n.do(t, 200, "GET", "transfer/speedLimitsMode", nil); got != "1" {
		t.Error(got)
	}
	n.do(t, 200, "POST", "transfer/setUploadLimit", url.Values{"limit": {"5000"}})
	if got := n.do(t, 200, "GET", "transfer/uploadLimit", nil); got != "5000" {
		t.Error(got)
	}
	if got := n.do(t, 200, "GET", "app/defaultSavePath", nil); got != "/srv/downloads" {
		t.Error(got)
	}
}

// A user who is no admin names no folders but those that are allowed.
func TestFoldersAreGuarded(t *testing.T) {
	n := start(t)
	n.admin = n.token
	hash := n.lib.Order[0]
	n.do(t, 403, "POST", "torrents/add", url.Values{"urls": {"magnet:?xt=1"}, "savepath": {"/etc"}})
	n.do(t, 200, "POST", "torrents/add", url.Values{"urls": {"magnet:?xt=1"}, "savepath": {"/srv/ok"}})
	n.do(t, 403, "POST", "torrents/setLocation", url.Values{"hashes": {hash}, "location": {"/etc"}})
	n.do(t, 403, "POST", "torrents/createCategory", url.Values{"category": {"x"}, "savePath": {"/etc"}})
	n.do(t, 403, "POST", "transfer/setUploadLimit", url.Values{"limit": {"5000"}})
}

// Maindata puts together what a client would be told anew.
func TestMainData(t *testing.T) {
	n := start(t)
	type answer struct {
		Rid     int
		Full    bool                      `json:"full_update"`
		Rows    map[string]map[string]any `json:"torrents"`
		Gone    []string                  `json:"torrents_removed"`
		Tags    []string
		TagsOut []string       `json:"tags_removed"`
		State   map[string]any `json:"server_state"`
	}
	ask := func(rid int) (a answer) {
		t.Helper()
		if err := json.Unmarshal([]byte(n.do(t, 200, "GET", "sync/maindata", url.Values{"rid": {strconv.Itoa(rid)}})), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := ask(0)
	if !a.Full || len(a.Rows) != 40 || len(a.Tags) != 3 || a.State["queueing"] != true {
		t.Fatalf("%d rows, %+v", len(a.Rows), a.State)
	}
	rows := a.Rows
	for range 5 {
		n.lib.Step()
		n.do(t, 200, "POST", "torrents/delete", url.Values{"hashes": {n.lib.Order[0]}})
		n.do(t, 200, "POST", "torrents/add", url.Values{"urls": {"magnet:?" + strconv.Itoa(a.Rid)}})
		a = ask(a.Rid)
		if a.Full || len(a.Gone) != 1 {
			t.Fatalf("%+v", a)
		}
		for _, h := range a.Gone {
			delete(rows, h)
		}
		for h, f := range a.Rows {
			if rows[h] == nil {
				rows[h] = map[string]any{}
			}
			for k, v := range f {
				rows[h][k] = v
			}
		}
	}
	if fresh := ask(0); fmt.Sprint(fresh.Rows) != fmt.Sprint(rows) {
		t.Fatal("the deltas do not add up")
	}
	n.do(t, 200, "POST", "torrents/deleteTags", url.Values{"tags": {"hd"}})
	if a = ask(a.Rid); len(a.TagsOut) != 1 {
		t.Fatalf("%+v", a)
	}
	if a = ask(1); !a.Full {
		t.Fatal("an old id was known")
	}
	for range 20 {
		ask(0)
	}
}

func FuzzRequests(f *testing.F) {
	n := start(f)
	for _, s := range [][2]string{
		{"torrents/info", "filter=active&sort=eta&reverse=true&limit=3&offset=-1&hashes=a|b&category=&tag=x"},
		{"torrents/add", "urls=magnet:?xt=1%0ahttp://x&ratioLimit=1&seedingTimeLimit=-1&tags=a,b&dlLimit=5"},
		{"torrents/setShareLimits", "hashes=all&ratioLimit=NaN&seedingTimeLimit=1e99"},
		{"torrents/filePrio", "hash=" + n.lib.Order[0] + "&id=0|1&priority=6"},
		{"torrents/renameFile", "hash=" + n.lib.Order[0] + "&id=0&name=../../x"},
		{"app/setPreferences", "json=" + url.QueryEscape(`{"max_ratio":1e308,"encryption":2.5,"dl_limit":-1}`)},
		{"sync/maindata", "rid=99999999999999999999"}, {"torrents/addPeers", "hashes=all&peers=1|2"}, {"torrents/createCategory", "category=%00&savePath=/"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, name, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.URL.Path = "/api/v2/" + name
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Bearer "+n.admin)
		w := httptest.NewRecorder()
		n.h.ServeHTTP(w, r)
		if w.Code >= 500 || len(w.Result().Cookies()) > 1 {
			t.Fatalf("%s %q: %d %s", name, body, w.Code, w.Body)
		}
	})
}
