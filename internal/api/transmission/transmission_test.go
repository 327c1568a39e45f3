package transmission

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/api/apitest"
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
	h   *Handler
	lib *apitest.Library
	set settings
	who accounts.Identity
}

func start() *node {
	n := &node{lib: apitest.New(30), who: accounts.Local(), set: settings{"folders.downloads": "/srv/downloads", "folders.incomplete": "", "network.dht": true,
		"network.encryption": "prefer", "bandwidth.down": 0, "bandwidth.up": 50_000, "seeding.ratio": 0.0, "bandwidth.alternative": false, "network.max_peers_torrent": 200}}
	n.h = New(Config{Library: n.lib, Settings: n.set, MayUse: func(_ context.Context, p string) error {
		if p == "/srv/ok" {
			return nil
		}
		return errors.New("not there")
	}})
	return n
}

func (n *node) post(body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/transmission/rpc", strings.NewReader(body))
	r.Header.Set(sessionHeader, n.h.session)
	w := httptest.NewRecorder()
	n.h.ServeHTTP(w, r.WithContext(accounts.NewContext(r.Context(), n.who)))
	return w
}

// old makes a call of the protocol before 4.1.
func (n *node) old(t testing.TB, method, args string) map[string]any {
	t.Helper()
	w := n.post(`{"method":"` + method + `","arguments":` + args + `,"tag":7}`)
	var a struct {
		Result    string
		Arguments map[string]any
		Tag       int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 || a.Tag != 7 || a.Result != "success" {
		t.Fatalf("%s %s: %d %s", method, args, w.Code, w.Body)
	}
	return a.Arguments
}

func (n *node) oldFails(t testing.TB, method, args, want string) {
	t.Helper()
	w := n.post(`{"method":"` + method + `","arguments":` + args + `}`)
	var a struct{ Result string }
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 || !strings.Contains(a.Result, want) {
		t.Fatalf("%s %s: %d %s", method, args, w.Code, w.Body)
	}
}

// modern makes a call of JSON-RPC 2.0.
func (n *node) modern(t testing.TB, method, params string) map[string]any {
	t.Helper()
	w := n.post(`{"jsonrpc":"2.0","id":"x","method":"` + method + `","params":` + params + `}`)
	var a struct {
		Version string `json:"jsonrpc"`
		Result  map[string]any
		ID      string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 || a.ID != "x" || a.Version != "2.0" || a.Result == nil {
		t.Fatalf("%s %s: %d %s", method, params, w.Code, w.Body)
	}
	return a.Result
}

func TestHandshake(t *testing.T) {
	n := start()
	send := func(method, path, session string, who accounts.Identity) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(`{"method":"session-get"}`))
		if session != "" {
			r.Header.Set(sessionHeader, session)
		}
		w := httptest.NewRecorder()
		n.h.ServeHTTP(w, r.WithContext(accounts.NewContext(r.Context(), who)))
		return w
	}
	w := send("POST", "/transmission/rpc", n.h.session, accounts.Identity{})
	if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic") {
		t.Fatal(w.Code, w.Header())
	}
	for _, session := range []string{"", "x", n.h.session + "x"} {
		w = send("POST", "/transmission/rpc", session, accounts.Local())
		if w.Code != 409 || w.Header().Get(sessionHeader) != n.h.session {
			t.Fatal(w.Code, w.Header())
		}
	}
	for _, path := range []string{"/transmission/rpc", "/transmission/rpc/"} {
		if w = send("POST", path, w.Header().Get(sessionHeader), accounts.Local()); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
	}
	if w = send("GET", "/transmission/rpc", n.h.session, accounts.Local()); w.Code != 405 {
		t.Fatal(w.Code)
	}
	if w = send("POST", "/transmission/other", n.h.session, accounts.Local()); w.Code != 404 {
		t.Fatal(w.Code)
	}
	if start().h.session == n.h.session {
		t.Fatal("the session id can be known")
	}
}

func TestOldNames(t *testing.T) {
	n := start()
	n.lib.Step()
	a := n.old(t, "torrent-get", `{"fields":["id","name","hashString","rateDownload","percentDone","status","errorString","peersFrom","files","fileStats","trackerStats","peer-limit","file-count","nothing"],"ids":[1,2]}`)
	rows := a["torrents"].([]any)
	if len(rows) != 2 {
		t.Fatal(rows)
	}
	row := rows[0].(map[string]any)
	for _, name := range []string{"hashString", "rateDownload", "percentDone", "peer-limit", "file-count"} {
		if _, ok := row[name]; !ok {
			t.Errorf("%s is missing: %v", name, row)
		}
	}
	if _, ok := row["nothing"]; ok {
		t.Error("a field that there is not was made up")
	}
	for field, names := range map[string][]string{"files": {"bytesCompleted", "length", "name"}, "fileStats": {"bytesCompleted", "wanted", "priority"},
		"trackerStats": {"announce", "lastAnnounceSucceeded", "seederCount", "nextAnnounceTime", "host"}} {
		first := row[field].([]any)[0].(map[string]any)
		for _, name := range names {
			if _, ok := first[name]; !ok {
				t.Errorf("%s.%s is missing: %v", field, name, first)
			}
		}
	}
	if _, ok := row["peersFrom"].(map[string]any)["fromDht"]; !ok {
		t.Error(row["peersFrom"])
	}
	a = n.old(t, "session-get", `{}`)
	for _, name := range []string{"download-dir", "rpc-version", "rpc-version-minimum", "seedRatioLimit", "seedRatioLimited", "speed-limit-up-enabled", "peer-limit-per-torrent", "version", "units"} {
		if _, ok := a[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if a["speed-limit-up"] != 50.0 || a["units"].(map[string]any)["speed-bytes"] != 1000.0 {
		t.Error(a)
	}
	a = n.old(t, "session-stats", `{}`)
	if a["torrentCount"] != 30.0 || a["cumulative-stats"].(map[string]any)["downloadedBytes"] == nil {
		t.Error(a)
	}
	if a = n.old(t, "free-space", `{"path":"/srv/x"}`); a["size-bytes"] != float64(1<<38) || a["path"] != "/srv/x" {
		t.Error(a)
	}
	if a = n.old(t, "port-test", `{}`); a["port-is-open"] != true {
		t.Error(a)
	}
	n.old(t, "group-get", `{}`)
	n.oldFails(t, "blocklist-update", `{}`, "network.ip_filter")
	n.oldFails(t, "session-close", `{}`, "not stopped")
	n.oldFails(t, "no-such-thing", `{}`, "no method")
	n.oldFails(t, "torrent-get", `{}`, "fields are missing")
	n.oldFails(t, "torrent-get", `[]`, "not an object")
	n.oldFails(t, "free-space", `{"path":"x"}`, "not absolute")
}

func TestTable(t *testing.T) {
	n := start()
	rows := n.old(t, "torrent-get", `{"fields":["id","name"],"format":"table"}`)["torrents"].([]any)
	if len(rows) != 31 || fmt.Sprint(rows[0]) != "[id name]" || fmt.Sprint(rows[1].([]any)[0]) != "1" {
		t.Fatal(rows[:2])
	}
}

func TestModern(t *testing.T) {
	n := start()
	n.lib.Step()
	row := n.modern(t, "torrent_get", `{"fields":["id","hash_string","tracker_stats","peers_from"],"ids":1}`)["torrents"].([]any)[0].(map[string]any)
	if row["hash_string"] == nil || row["tracker_stats"].([]any)[0].(map[string]any)["last_announce_succeeded"] == nil || row["peers_from"].(map[string]any)["from_dht"] == nil {
		t.Fatal(row)
	}
	if s := n.modern(t, "session_get", `{"fields":["rpc_version_semver","seed_ratio_limited"]}`); len(s) != 2 {
		t.Fatal(s)
	}
	if s := n.modern(t, "session_stats", `{}`); s["cumulative_stats"].(map[string]any)["downloaded_bytes"] == nil {
		t.Fatal(s)
	}
	for body, want := range map[string]string{
		`{"jsonrpc":"2.0","method":"nope","id":1}`:        `"code":-32601`,
		`{"jsonrpc":"2.0","method":"torrent_get","id":1}`: `"code":-32602`,
		`{"jsonrpc":`: `"code":-32700`,
		`[]`:          `"code":-32600`,
		`{"jsonrpc":"2.0","method":"torrent_add","params":{"filename":"nonsense"},"id":1}`:                             `"error_string":"cannot be done`,
		`[{"jsonrpc":"2.0","method":"session_stats","id":1},{"jsonrpc":"2.0","method":"session_stats","id":2}]`:        `"id":2`,
		`[{"jsonrpc":"2.0","method":"session_stats"},{"jsonrpc":"2.0","method":"session_stats","id":null,"params":3}]`: `"id":null`,
	} {
		if w := n.post(body); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := n.post(`{"jsonrpc":"2.0","method":"torrent_stop","params":{"ids":[1]}}`); w.Code != 204 || w.Body.Len() != 0 {
		t.Errorf("a notification: %d %s", w.Code, w.Body)
	}
	if w := n.post("[" + strings.Repeat(`{"jsonrpc":"2.0","method":"session_stats","id":1},`, maxBatch) + "{}]"); !strings.Contains(w.Body.String(), "-32600") {
		t.Errorf("%.200s", w.Body)
	}
}

func TestIDs(t *testing.T) {
	n := start()
	ids := func(arg string) (list []int) {
		for _, r := range n.old(t, "torrent-get", `{"fields":["id"]`+arg+`}`)["torrents"].([]any) {
			list = append(list, int(r.(map[string]any)["id"].(float64)))
		}
		return list
	}
	hash := n.lib.Order[0]
	first := ids("")
	if len(first) != 30 || !slices.IsSorted(first) {
		t.Fatal(first)
	}
	one := ids(`,"ids":"` + strings.ToUpper(hash) + `"`)
	if len(one) != 1 {
		t.Fatal(one)
	}
	for arg, want := range map[string]int{`,"ids":3`: 1, `,"ids":[1,"` + hash + `"]`: 2, `,"ids":[999]`: 0, `,"ids":[]`: 0, `,"ids":null`: 30} {
		if got := ids(arg); len(got) != want {
			t.Errorf("%s: %v", arg, got)
		}
	}
	n.oldFails(t, "torrent-get", `{"fields":["id"],"ids":[{}]}`, "numbers or hashes")
	n.oldFails(t, "torrent-remove", `{}`, "ids are missing")
	n.old(t, "torrent-remove", fmt.Sprintf(`{"ids":[%d]}`, one[0]))
	if got := ids(""); len(got) != 29 || slices.Contains(got, one[0]) {
		t.Fatal(got)
	}
	a := n.old(t, "torrent-get", `{"fields":["id"],"ids":"recently-active"}`)
	if fmt.Sprint(a["removed"]) != fmt.Sprint(one) || len(a["torrents"].([]any)) != 29 {
		t.Fatal(a)
	}
	if a := n.modern(t, "torrent_get", `{"fields":["id"],"ids":"recently_active"}`); a["removed"] == nil {
		t.Fatal(a)
	}
	added := n.old(t, "torrent-add", `{"filename":"magnet:?xt=urn:btih:new"}`)["torrent-added"].(map[string]any)
	if added["id"] != 31.0 || added["hashString"] == "" { // a number is not given twice
		t.Fatal(added)
	}
	if again := n.modern(t, "torrent_add", `{"filename":"magnet:?xt=urn:btih:new"}`)["torrent_duplicate"].(map[string]any); again["id"] != 31.0 || again["hash_string"] == nil {
		t.Fatal(again)
	}
}

func TestRecentPasses(t *testing.T) {
	var n numbers
	now := time.Unix(1_800_000_000, 0)
	rows := []library.Torrent{{ID: "a"}, {ID: "b"}}
	n.number(rows, now)
	now = now.Add(recent)
	rows[1].Done = 5
	if l := n.number(rows, now); l.recent["a"] || !l.recent["b"] {
		t.Fatal(l.recent)
	}
	if l := n.number(rows[:1], now); len(l.removed) != 1 {
		t.Fatal(l.removed)
	}
	if l := n.number(rows[:1], now.Add(recent)); len(l.removed) != 0 {
		t.Fatal(l.removed)
	}
}

func TestAddAndSet(t *testing.T) {
	n := start()
	info := base64.StdEncoding.EncodeToString([]byte("d4:infod4:name1:xee"))
	a := n.old(t, "torrent-add", `{"metainfo":"`+info+`","paused":true,"download-dir":"/srv/new","labels":["a"],"files-unwanted":[0]}`)["torrent-added"].(map[string]any)
	hash := a["hashString"].(string)
	get := func() *apitest.Torrent { return n.lib.Torrents[hash] }
	files := func() []library.File { f, _ := n.lib.Files(hash); return f }
	if x := get(); x.State != library.Paused || x.Dir != "/srv/new" || !slices.Equal(x.Tags, []string{"a"}) || files()[0].Priority != library.Skip {
		t.Fatalf("%+v %+v", x.Torrent, files()[0])
	}
	set := func(args string) { t.Helper(); n.old(t, "torrent-set", `{"ids":["`+hash+`"],`+args+`}`) }
	set(`"files-wanted":[0],"priority-high":[0]`)
	if f := files(); f[0].Priority != library.High {
		t.Fatalf("%+v", f[0])
	}
	set(`"priority-low":[]`)
	if f := files(); f[len(f)-1].Priority != library.Low {
		t.Fatalf("%+v", f)
	}
	set(`"downloadLimit":100,"downloadLimited":true,"uploadLimit":7,"labels":["x","y"],"seedRatioLimit":1.5,"seedRatioMode":1,"location":"/srv/moved","sequential_download":true`)
	if x := get(); x.DownLimit != 100_000 || x.UpLimit != 0 || x.SeedRatio != 1.5 || x.Dir != "/srv/moved" || !x.Sequential || len(x.Tags) != 2 {
		t.Fatalf("%+v", x.Torrent)
	}
	set(`"downloadLimited":false,"seedRatioMode":2`)
	if x := get(); x.DownLimit != 0 || x.SeedRatio != -1 {
		t.Fatalf("%+v", x.Torrent)
	}
	set(`"seedRatioMode":0`)
	set(`"trackerAdd":["http://a.example/announce"],"trackerRemove":[0]`)
	set(`"trackerReplace":[0,"http://b.example/announce"]`)
	set(`"trackerList":"http://c.example/announce\n\nhttp://d.example/announce\n"`)
	if tr, _ := n.lib.Trackers(hash); len(tr) != 2 || tr[0].URL != "http://c.example/announce" {
		t.Fatalf("%+v", tr)
	}
	set(`"queuePosition":0`)
	set(`"queuePosition":1000000`)
	n.oldFails(t, "torrent-set", `{"ids":["`+hash+`"],"trackerRemove":[99]}`, "no tracker 99")
	n.oldFails(t, "torrent-set", `{"ids":["`+hash+`"],"priority-high":[99]}`, "no file 99")
	n.oldFails(t, "torrent-set", `{"ids":["`+hash+`"],"downloadLimit":"x"}`, "download_limit")
	for _, method := range []string{"torrent-start", "torrent-start-now", "torrent-stop", "torrent-verify", "torrent-reannounce", "queue-move-top", "queue-move-up", "queue-move-down", "queue-move-bottom"} {
		n.old(t, method, `{"ids":["`+hash+`"]}`)
	}
	n.old(t, "torrent-set-location", `{"ids":["`+hash+`"],"location":"/srv/else","move":true}`)
	n.oldFails(t, "torrent-set-location", `{"ids":["`+hash+`"],"location":"else"}`, "absolute")
	root, _, _ := strings.Cut(files()[0].Path, "/")
	r := n.old(t, "torrent-rename-path", `{"ids":["`+hash+`"],"path":"`+root+`","name":"renamed"}`)
	if r["name"] != "renamed" || !strings.HasPrefix(files()[0].Path, "renamed/") {
		t.Fatal(r, files()[0].Path)
	}
	for _, bad := range []string{"..", "a/b", "", "."} {
		n.oldFails(t, "torrent-rename-path", `{"ids":["`+hash+`"],"path":"renamed","name":"`+bad+`"}`, "without slashes")
	}
	n.oldFails(t, "torrent-rename-path", `{"ids":["`+hash+`"],"path":"missing","name":"x"}`, "no missing")
	n.oldFails(t, "torrent-add", `{}`, "needed")
	n.oldFails(t, "torrent-add", `{"metainfo":"%%%"}`, "base64")
	n.oldFails(t, "torrent-add", `{"filename":"/etc/passwd"}`, "no link")
}

func TestSessionSet(t *testing.T) {
	n := start()
	n.old(t, "session-set", `{"speed-limit-down":200,"speed-limit-down-enabled":true,"speed-limit-up-enabled":false,"encryption":"required","dht-enabled":false,"alt-speed-enabled":true,"seedRatioLimited":true,"seedRatioLimit":2,"incomplete-dir":"/srv/part","incomplete-dir-enabled":true,"cache-size-mb":4}`)
	want := settings{"bandwidth.down": 200_000.0, "bandwidth.up": 0, "network.encryption": "require", "network.dht": false, "bandwidth.alternative": true, "seeding.ratio": 2.0, "folders.incomplete": "/srv/part"}
	for k, v := range want {
		if fmt.Sprint(n.set[k]) != fmt.Sprint(v) {
			t.Errorf("%s is %v, want %v", k, n.set[k], v)
		}
	}
	n.oldFails(t, "session-set", `{"encryption":"maybe"}`, "required")
	n.oldFails(t, "session-set", `{"lpd-enabled":true}`, "unknown setting network.lsd")
}

func TestScopes(t *testing.T) {
	n := start()
	hash := n.lib.Order[0]
	n.who = accounts.Identity{Name: "v", Scopes: accounts.Viewer.Scopes()}
	n.old(t, "torrent-get", `{"fields":["id"]}`)
	n.oldFails(t, "torrent-stop", `{}`, "scope control")
	n.oldFails(t, "torrent-add", `{"filename":"magnet:?x"}`, "scope add")
	n.who.Scopes = accounts.User.Scopes()
	n.oldFails(t, "session-set", `{}`, "scope admin")
	n.oldFails(t, "torrent-add", `{"filename":"magnet:?x","download-dir":"/etc"}`, "not there")
	n.old(t, "torrent-add", `{"filename":"magnet:?x","download-dir":"/srv/ok"}`)
	n.old(t, "torrent-add", `{"filename":"magnet:?y","download-dir":"/srv/downloads"}`)
	n.oldFails(t, "torrent-set-location", `{"ids":["`+hash+`"],"location":"/etc"}`, "not there")
	n.oldFails(t, "torrent-set", `{"ids":["`+hash+`"],"location":"/etc"}`, "not there")
}

// Every field can be asked for, of every kind of torrent, and becomes JSON.
func TestAllFields(t *testing.T) {
	n := start()
	n.lib.Step()
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	b, _ := json.Marshal(names)
	rows := n.modern(t, "torrent_get", `{"fields":`+string(b)+`}`)["torrents"].([]any)
	if len(rows) != 30 || len(rows[0].(map[string]any)) != len(fields) || len(fields) < 70 {
		t.Fatal(len(rows), len(fields))
	}
	for _, s := range library.States {
		_ = status(&library.Torrent{State: s})
	}
	if status(&library.Torrent{State: library.Queued, Complete: true}) != 5 || status(&library.Torrent{State: library.Failed}) != 0 {
		t.Fatal("status")
	}
}

func TestNames(t *testing.T) {
	for old, want := range map[string]string{"hashString": "hash_string", "peer-limit": "peer_limit", "seedRatioLimited": "seed_ratio_limited", "files_wanted": "files_wanted", "id": "id"} {
		if got := snake(old); got != want {
			t.Errorf("%s is %s", old, got)
		}
	}
	for name, want := range map[string]string{"is_utp": "isUTP", "bytes_completed": "bytesCompleted", "id": "id"} {
		if got := camel(name); got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
}

func TestTooLong(t *testing.T) {
	n := start()
	r := httptest.NewRequest("POST", "/transmission/rpc", http.MaxBytesReader(nil, zeros{}, maxBody+10))
	r.Header.Set(sessionHeader, n.h.session)
	w := httptest.NewRecorder()
	n.h.ServeHTTP(w, r.WithContext(accounts.NewContext(r.Context(), n.who)))
	if w.Code != 413 {
		t.Fatal(w.Code)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
func (zeros) Close() error               { return nil }

func FuzzAnswer(f *testing.F) {
	n := start()
	for _, s := range []string{
		`{"method":"torrent-get","arguments":{"fields":["id","files","peers"],"ids":[1,"x",2.5]},"tag":1}`,
		`{"jsonrpc":"2.0","method":"torrent_set","params":{"ids":1,"queue_position":-5,"tracker_replace":[0,"x"],"seed_ratio_limit":1e308},"id":null}`,
		`[{"jsonrpc":"2.0","method":"session_set","params":{"speed_limit_down":1e300,"speed_limit_down_enabled":true},"id":1}]`,
		`{"method":"torrent-add","arguments":{"metainfo":"ZGU=","priority-high":[-1,5]}}`,
		`{"method":"torrent-rename-path","arguments":{"ids":1,"path":"a","name":".."}}`, `{"method":null}`, `[[[[`, `{"jsonrpc":"2.0","id":{"a":[]}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if a := n.h.answer(accounts.NewContext(context.Background(), n.who), []byte(body)); a != nil {
			if _, err := json.Marshal(a); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
		}
	})
}
