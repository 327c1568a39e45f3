package automation

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/accounts"
	"shoal/internal/database"
	"shoal/internal/library"
)

// shelf notes what is added.
type shelf struct {
	mu    sync.Mutex
	added []library.Request
	news  chan library.Request
	err   error
}

func (s *shelf) Add(_ context.Context, q library.Request) (library.Added, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || q.Link == "bad" || string(q.Torrent) == "bad" {
		return library.Added{}, errors.New("it is bad")
	}
	s.added = append(s.added, q)
	s.news <- q
	return library.Added{ID: "x"}, nil
}

// site answers requests without a network.
type site func(*http.Request) (status int, body string)

func (s site) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := s(r)
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{"Etag": {`"1"`}}}, nil
}

func open(t *testing.T, s *shelf, change func(*Config)) *Automation {
	t.Helper()
	db, _, err := database.Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s.news = make(chan library.Request, 100)
	cfg := Config{Library: s, Database: db, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Hours: func(bool, bool) {}}
	if change != nil {
		change(&cfg)
	}
	a, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func put(t *testing.T, a *Automation, kind, id, doc string) {
	t.Helper()
	if err := a.Put(t.Context(), kind, id, json.RawMessage(doc)); err != nil {
		t.Fatal(err)
	}
}

func next(t *testing.T, s *shelf) library.Request {
	t.Helper()
	select {
	case q := <-s.news:
		return q
	case <-time.After(15 * time.Second):
		t.Fatal("nothing was added")
		panic("unreachable")
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := time.Now().Add(-time.Minute)
	for name, content := range map[string]string{"a.torrent": "whatever", "b.magnet": "# links\nmagnet:?one\n\nmagnet:?two\n", "c.txt": "no", "d.torrent": "bad"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "e.torrent"), []byte("still being written"), 0o600); err != nil {
		t.Fatal(err)
	}
	var s shelf
	a := open(t, &s, func(c *Config) { c.Roots = func() []string { return []string{filepath.Dir(dir)} } })
	if err := a.Put(t.Context(), Watches, "out", json.RawMessage(`{"path":"/etc"}`)); !errors.Is(err, library.ErrBad) {
		t.Errorf("a folder that may not be used: %v", err)
	}
	doc, err := json.Marshal(Watch{Path: dir, Category: "films", Paused: true})
	if err != nil {
		t.Fatal(err)
	}
	put(t, a, Watches, "in", string(doc))
	for range 3 {
		if q := next(t, &s); q.Category != "films" || !q.Paused || q.Link == "" && string(q.Torrent) != "whatever" {
			t.Errorf("%+v", q)
		}
	}
	a.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	if got := strings.Join(files, " "); got != "a.torrent.added b.magnet.added c.txt d.torrent.invalid e.torrent" && got != "a.torrent.added b.magnet.added c.txt d.torrent.invalid e.torrent.added" {
		t.Errorf("%s", got)
	}
}

const rss = `<?xml version="1.0"?><rss version="2.0" xmlns:torrent="http://xmlns.ezrss.it/0.1/"><channel><title>f</title>
<item><title>Show.S01E01.1080p</title><guid>1</guid><link>https://x.example/1</link><enclosure url="/get/1.torrent" length="1000" type="application/x-bittorrent"/></item>
<item><title>Show S01E01 720p REPACK</title><guid>2</guid><link>magnet:?2</link></item>
<item><title>Show 1x02 cam</title><guid>3</guid><link>magnet:?3</link></item>
<item><title>Show 1x02 1080p</title><guid>4</guid><torrent:magnetURI>magnet:?4</torrent:magnetURI></item>
<item><title>Other</title><guid>5</guid><link>magnet:?5</link></item>
<item><title>Huge show s01e03 1080p</title><guid>6</guid><enclosure url="https://y.example/6.torrent" length="99999999" type="application/x-bittorrent"/></item>
</channel></rss>`

func TestFeed(t *testing.T) {
	t.Parallel()
	var s shelf
	a := open(t, &s, func(c *Config) {
		c.Client = &http.Client{Transport: site(func(r *http.Request) (int, string) {
			if r.Header.Get("If-None-Match") != "" {
				return http.StatusNotModified, ""
			}
			return http.StatusOK, rss
		})}
	})
	doc := `{"name":"f","url":"https://x.example/feed?key=secret","rules":[{"name":"shows","include":["show s01","show 1x"],"exclude":["cam"],"episodes":true,"max_size":5000,"category":"tv"}]}`
	put(t, a, Feeds, "f", doc)
	if q := next(t, &s); q.Link != "https://x.example/get/1.torrent" || q.Category != "tv" {
		t.Errorf("%+v", q)
	}
	if q := next(t, &s); q.Link != "magnet:?4" {
		t.Errorf("%+v", q)
	}
	// The same again: all was seen, also by its number.
	list, err := a.List(Feeds)
	if err != nil || len(list) != 1 {
		t.Fatalf("%s, %v", list, err)
	}
	put(t, a, Feeds, "f", string(list[0])) // as it was shown
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var f feed
		if list, err = a.List(Feeds); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(list[0], &f); err != nil {
			t.Fatal(err)
		}
		if len(f.Items) == 6 && f.Fetched > 0 {
			if f.Items[4].State != "passed" || f.Items[0].State != "added" {
				t.Errorf("%+v", f.Items)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", f)
		}
	}
	if len(s.news) > 0 {
		t.Errorf("added twice: %+v", <-s.news)
	}
}

func TestFeedProblem(t *testing.T) {
	t.Parallel()
	var s shelf
	a := open(t, &s, func(c *Config) {
		c.Client = &http.Client{Transport: site(func(*http.Request) (int, string) { return http.StatusOK, "<html>" })}
	})
	put(t, a, Feeds, "f", `{"url":"https://x.example/"}`)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		list, err := a.List(Feeds)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(list[0]), "not a feed") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s", list[0])
		}
	}
}

func TestEpisode(t *testing.T) {
	for title, want := range map[string]string{
		"Show.Name.S01E02.mkv": "show name/1/2", "show name 1x02": "show name/1/2", "Show_Name s1e2 x": "show name/1/2",
		"Daily 2026.11.26 news": "daily/2026/11/26", "Film 2024": "", "": "",
	} {
		if got := episode(title); got != want {
			t.Errorf("%q: %q, want %q", title, got, want)
		}
	}
}

func TestSchedule(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.ParseInLocation("2006-01-02 15:04", text, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	night := Schedule{Days: []int{5}, From: "22:00", To: "06:30", What: Alternative} // from Friday on
	for text, want := range map[string]bool{
		"2026-11-27 21:59": false, "2026-11-27 22:00": true, "2026-11-28 06:29": true, "2026-11-28 06:30": false, "2026-11-28 23:00": false, "2026-11-27 03:00": false,
	} {
		if got := night.holds(at(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	day := Schedule{From: "08:00", To: "18:00", What: Suspend}
	if !day.holds(at("2026-11-26 08:00")) || day.holds(at("2026-11-26 18:00")) {
		t.Error("a day's hours")
	}
	told := make(chan hours, 10)
	var s shelf
	a := open(t, &s, func(c *Config) { c.Hours = func(alt, suspended bool) { told <- hours{alt, suspended, true} } })
	put(t, a, Schedules, "always", `{"from":"00:00","to":"00:00","what":"pause"}`)
	if got := <-told; got.alternative || !got.suspended {
		t.Errorf("%+v", got)
	}
	if err := a.Delete(t.Context(), Schedules, "always"); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got.suspended {
		t.Errorf("%+v", got)
	}
}

func TestHook(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell's")
	}
	t.Parallel()
	var s shelf
	a := open(t, &s, nil)
	out := filepath.Join(t.TempDir(), "out")
	doc, err := json.Marshal(Hook{Event: Completed, Command: []string{"sh", "-c", `echo "$SHOAL_TORRENT_EVENT $SHOAL_TORRENT_NAME $1" > "` + out + `.new"; mv "` + out + `.new" "` + out + `"`, "-", "$(an argument)"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Put(accounts.NewContext(t.Context(), accounts.Identity{Name: "somebody", Role: accounts.Admin}), Hooks, "h", doc); !errors.Is(err, library.ErrBad) {
		t.Errorf("a program named in a browser: %v", err)
	}
	put(t, a, Hooks, "h", string(doc))
	a.Happened(Completed, library.Torrent{Name: "a\x00b; rm", Dir: t.TempDir()})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if b, err := os.ReadFile(out); err == nil {
			if string(b) != "completed ab; rm $(an argument)\n" {
				t.Errorf("%q", b)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it was not run")
		}
	}
}

func TestBadDocuments(t *testing.T) {
	var s shelf
	a := open(t, &s, nil)
	for _, c := range []struct{ kind, id, doc string }{
		{Watches, "x", `{"path":"relative"}`}, {Watches, "../x", `{"path":"/"}`}, {Watches, "x", `{"path":"/","unknown":1}`}, {Watches, "x", `{"path":"/"} {}`},
		{Feeds, "x", `{"url":"ftp://x"}`}, {Feeds, "x", `{"url":"https://x","interval":1}`}, {Feeds, "x", `{"url":"https://x","rules":[{"regex":true,"include":["("]}]}`},
		{Schedules, "x", `{"from":"25:00","to":"00:00","what":"pause"}`}, {Schedules, "x", `{"from":"05:00","to":"06:00","what":"party"}`}, {Schedules, "x", `{"from":"05:00","to":"06:00","what":"pause","days":[7]}`},
		{Hooks, "x", `{"event":"completed"}`}, {Hooks, "x", `{"event":"birthday","command":["x"]}`}, {"spells", "x", `{}`}, {Feeds, "x", `null`}, {Feeds, "x", ``},
	} {
		if err := a.Put(t.Context(), c.kind, c.id, json.RawMessage(c.doc)); !errors.Is(err, library.ErrBad) {
			t.Errorf("%s %s: %v", c.kind, c.doc, err)
		}
	}
	if err := a.Delete(t.Context(), Feeds, "nothing"); !errors.Is(err, library.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestKept finds documents again after a restart.
func TestKept(t *testing.T) {
	var s shelf
	a := open(t, &s, nil)
	put(t, a, Schedules, "s", `{"from":"05:00","to":"06:00","what":"pause"}`)
	a.Close()
	b, err := Open(a.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if list, err := b.List(Schedules); err != nil || len(list) != 1 || !strings.Contains(string(list[0]), `"id":"s"`) {
		t.Errorf("%s, %v", list, err)
	}
}

func FuzzFeed(f *testing.F) {
	f.Add(rss)
	f.Add(`{"version":"https://jsonfeed.org/version/1","items":[{"id":"1","title":"a","url":"magnet:?x"}]}`)
	f.Add(`<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>x</title><id>1</id><link href="a.torrent" rel="enclosure" type="application/x-bittorrent"/></entry></feed>`)
	f.Fuzz(func(t *testing.T, text string) {
		items, err := parseFeed(strings.NewReader(text), "https://x.example/feed")
		if err != nil {
			return
		}
		for _, it := range items {
			if it.Link == "" || it.guid == "" || it.Size < 0 {
				t.Errorf("%+v", it)
			}
			_ = episode(it.Title)
		}
	})
}

func FuzzDocument(f *testing.F) {
	f.Add(Watches, `{"path":"/x"}`)
	f.Add(Feeds, `{"url":"https://x","rules":[{"include":["a"]}]}`)
	f.Add(Schedules, `{"from":"05:00","to":"06:00","what":"pause"}`)
	f.Add(Hooks, `{"event":"completed","command":["x"]}`)
	f.Fuzz(func(t *testing.T, kind, doc string) {
		a := &Automation{watches: map[string]*Watch{}, feeds: map[string]*feed{}, schedules: map[string]*Schedule{}, hooks: map[string]*Hook{}}
		if a.set(kind, "x", []byte(doc)) != nil {
			return
		}
		clean, err := a.clean(kind, "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := a.set(kind, "x", clean); err != nil {
			t.Errorf("%s became %s: %v", doc, clean, err)
		}
	})
}
