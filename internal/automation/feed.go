package automation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mmcdole/gofeed"

	"shoal/internal/library"
)

// Feed is an RSS, Atom or JSON feed, from which what its rules choose is added, each thing once.
type Feed struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	URL      string `json:"url"`
	Interval int    `json:"interval"` // seconds between looks; 0: 1800; at least 300
	Disabled bool   `json:"disabled"`
	Rules    []Rule `json:"rules"`
}

// Rule chooses items of a feed. Of several rules the first that matches counts. What is empty does not count.
type Rule struct {
	Name     string   `json:"name"`
	Include  []string `json:"include"` // one of them must be in the title: words that are all there, or a regular expression
	Exclude  []string `json:"exclude"` // none of them may
	Regex    bool     `json:"regex"`   // they are regular expressions (RE2), without regard to case
	MinSize  int64    `json:"min_size"`
	MaxSize  int64    `json:"max_size"` // bytes, where the feed tells the size
	Episodes bool     `json:"episodes"` // of each episode (S01E02, 1x02, 2026-11-26) the first only; items without a number are left out
	Category string   `json:"category"`
	Tags     []string `json:"tags"`
	Dir      string   `json:"dir"`
	Paused   bool     `json:"paused"`
	Disabled bool     `json:"disabled"`
}

// Item is what a feed offers.
type Item struct {
	Title string `json:"title"`
	Link  string `json:"link"`
	Size  int64  `json:"size"`  // 0: not told
	Time  int64  `json:"time"`  // Unix; 0: not told
	Rule  string `json:"rule"`  // that chose it; empty: none
	State string `json:"state"` // new, added, failed, passed (nothing chose it)
	guid  string
}

// feed is a Feed and how it fares.
type feed struct {
	Feed
	Fetched int64  `json:"fetched"` // Unix time of the last success
	Problem string `json:"problem"`
	Items   []Item `json:"items"` // at the last look, at most maxShown

	next         time.Time
	failures     int
	etag, edited string
	busy         bool
}

// Bounds of feeds.
const (
	defaultInterval = 30 * time.Minute
	minInterval     = 5 * time.Minute
	maxBackoff      = 6 * time.Hour
	fetchTime       = time.Minute
	maxFeed         = 16 << 20 // bytes
	maxItems        = 5000     // that are looked at
	maxShown        = 200
	maxSeen         = 20_000 // items remembered of a feed
	maxPattern      = 500
)

func (f *Feed) check() error {
	u, err := url.Parse(f.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return library.Bad("%.200q is not an http or https URL", f.URL)
	}
	if f.Interval != 0 && time.Duration(f.Interval)*time.Second < minInterval || f.Interval > 30*24*3600 {
		return library.Bad("an interval of %d seconds is not from %v to 30 days", f.Interval, minInterval)
	}
	if len(f.Rules) > 200 {
		return library.Bad("%d rules are more than 200", len(f.Rules))
	}
	for i := range f.Rules {
		if _, err := f.Rules[i].compile(); err != nil {
			return library.Bad("rule %d: %v", i+1, err)
		}
	}
	return nil
}

// matcher is a rule that is ready to be used.
type matcher struct {
	Rule
	include, exclude []func(title string) bool
}

func (r *Rule) compile() (*matcher, error) {
	m := &matcher{Rule: *r}
	for _, list := range []struct {
		from []string
		to   *[]func(string) bool
	}{{r.Include, &m.include}, {r.Exclude, &m.exclude}} {
		for _, text := range list.from {
			if len(text) > maxPattern {
				return nil, fmt.Errorf("a pattern of %d bytes is longer than %d", len(text), maxPattern)
			}
			if !r.Regex {
				words := strings.Fields(strings.ToLower(text))
				*list.to = append(*list.to, func(title string) bool { return hasAll(title, words) })
				continue
			}
			re, err := regexp.Compile("(?i)" + text)
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, re.MatchString)
		}
	}
	return m, nil
}

// hasAll reports whether a title has all words, dots and underscores between them being as good as spaces.
func hasAll(title string, words []string) bool {
	title = strings.NewReplacer(".", " ", "_", " ").Replace(strings.ToLower(title))
	for _, w := range words {
		if !strings.Contains(title, strings.NewReplacer(".", " ", "_", " ").Replace(w)) {
			return false
		}
	}
	return true
}

func (m *matcher) matches(it *Item) bool {
	is := func(f func(string) bool) bool { return f(it.Title) }
	switch {
	case m.Disabled,
		len(m.include) > 0 && !slices.ContainsFunc(m.include, is),
		slices.ContainsFunc(m.exclude, is),
		it.Size > 0 && (it.Size < m.MinSize || m.MaxSize > 0 && it.Size > m.MaxSize),
		m.Episodes && episode(it.Title) == "":
		return false
	}
	return true
}

var (
	seasonEpisode = regexp.MustCompile(`(?i)^(.*?)\bs(\d{1,4})[ ._-]?e(\d{1,4})\b`)
	byCross       = regexp.MustCompile(`(?i)^(.*?)\b(\d{1,2})x(\d{1,4})\b`)
	byDate        = regexp.MustCompile(`^(.*?)\b((?:19|20)\d\d)[ ._-](\d\d)[ ._-](\d\d)\b`)
)

// episode names the episode of a show that a title is of, the same for every spelling; empty if it has no number.
func episode(title string) string {
	for _, re := range []*regexp.Regexp{seasonEpisode, byCross, byDate} {
		m := re.FindStringSubmatch(title)
		if m == nil {
			continue
		}
		show := strings.Join(strings.FieldsFunc(strings.ToLower(m[1]), func(r rune) bool { return strings.ContainsRune(" ._-[](){}", r) }), " ")
		for _, n := range m[2:] {
			show += "/" + strings.TrimLeft(n, "0")
		}
		return show
	}
	return ""
}

// fetchFeeds looks at the feeds that are due.
func (a *Automation) fetchFeeds(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range sorted(a.feeds) {
		f := a.feeds[id]
		if f.Disabled || f.busy || now.Before(f.next) {
			continue
		}
		f.busy = true
		a.wg.Go(func() { a.fetch(f) })
	}
}

// fetch looks at a feed. f's document does not change: another one would be another feed.
func (a *Automation) fetch(f *feed) {
	ctx, cancel := context.WithTimeout(a.ctx, fetchTime)
	defer cancel()
	items, err := a.read(ctx, f)
	if err == nil && items != nil {
		a.choose(f, items)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f.busy = false
	pause := defaultInterval
	if f.Interval > 0 {
		pause = time.Duration(f.Interval) * time.Second
	}
	if err != nil {
		f.failures++
		pause = min(pause<<min(f.failures-1, 6), max(maxBackoff, pause))
		if f.Problem != err.Error() {
			a.cfg.Log.Warn("a feed cannot be read", "feed", f.Name, "url", f.URL, "error", err, "next", pause)
		}
		f.Problem = err.Error()
	} else {
		f.failures, f.Problem, f.Fetched = 0, "", time.Now().Unix()
		if items != nil {
			f.Items = items[:min(len(items), maxShown)]
		}
	}
	f.next = time.Now().Add(pause)
}

// read returns a feed's items, nil if there is nothing new.
func (a *Automation) read(ctx context.Context, f *feed) ([]Item, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return nil, err
	}
	if f.etag != "" {
		req.Header.Set("If-None-Match", f.etag)
	}
	if f.edited != "" {
		req.Header.Set("If-Modified-Since", f.edited)
	}
	resp, err := a.cfg.Client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may hold a key
		}
		return nil, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified:
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the server says %s", resp.Status)
	}
	items, err := parseFeed(io.LimitReader(resp.Body, maxFeed), f.URL)
	if err == nil {
		f.etag, f.edited = resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	}
	return items, err
}

// parseFeed reads a feed that was at a URL.
func parseFeed(r io.Reader, from string) ([]Item, error) {
	parsed, err := gofeed.NewParser().Parse(r)
	if err != nil {
		return nil, fmt.Errorf("not a feed: %w", err)
	}
	base, err := url.Parse(from)
	if err != nil {
		return nil, err
	}
	items := []Item{}
	for _, e := range parsed.Items[:min(len(parsed.Items), maxItems)] {
		if e == nil {
			continue
		}
		it := Item{Title: strings.Join(strings.Fields(e.Title), " "), State: "new"}
		it.Link, it.Size = linkOf(e)
		if it.Link == "" {
			continue
		}
		if u, err := base.Parse(it.Link); err == nil && !strings.HasPrefix(strings.ToLower(it.Link), "magnet:") {
			it.Link = u.String()
		}
		if e.PublishedParsed != nil {
			it.Time = e.PublishedParsed.Unix()
		}
		if it.guid = e.GUID; it.guid == "" {
			it.guid = it.Link
		}
		items = append(items, it)
	}
	return items, nil
}

// linkOf returns where an item's torrent is: its magnet link, its enclosure, or its link.
func linkOf(e *gofeed.Item) (link string, size int64) {
	extension := func(space, name string) string {
		for _, x := range e.Extensions[space][name] {
			if x.Value != "" {
				return strings.TrimSpace(x.Value)
			}
		}
		return ""
	}
	number := func(s string) (n int64) { _, _ = fmt.Sscan(s, &n); return max(n, 0) }
	size = number(extension("torrent", "contentLength"))
	for _, x := range e.Extensions["torznab"]["attr"] {
		switch x.Attrs["name"] {
		case "magneturl":
			link = x.Attrs["value"]
		case "size":
			size = number(x.Attrs["value"])
		}
	}
	for _, x := range e.Enclosures {
		if x != nil && (x.Type == "application/x-bittorrent" || strings.HasPrefix(x.URL, "magnet:") || strings.HasSuffix(x.URL, ".torrent")) {
			if n := number(x.Length); n > 0 && size == 0 {
				size = n
			}
			if link == "" {
				link = x.URL
			}
		}
	}
	for _, text := range []string{extension("torrent", "magnetURI"), e.Link, e.GUID} {
		if link == "" && (strings.HasPrefix(text, "magnet:") || strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")) {
			link = text
		}
	}
	return link, size
}

// choose adds what the rules choose and was not seen before.
func (a *Automation) choose(f *feed, items []Item) {
	var rules []*matcher
	for i := range f.Rules {
		if m, err := f.Rules[i].compile(); err == nil {
			rules = append(rules, m)
		}
	}
	for i := range items {
		it := &items[i]
		at := slices.IndexFunc(rules, func(m *matcher) bool { return m.matches(it) })
		if at < 0 {
			it.State = "passed"
			continue
		}
		m := rules[at]
		it.Rule, it.State = m.Name, "added"
		names := []string{it.guid}
		if m.Episodes {
			names = append(names, "episode:"+episode(it.Title))
		}
		if a.seen(f, names) {
			continue
		}
		if _, err := a.cfg.Library.Add(a.ctx, library.Request{Link: it.Link, Category: m.Category, Tags: m.Tags, Dir: m.Dir, Paused: m.Paused}); err != nil {
			it.State = "failed"
			a.cfg.Log.Warn("an item of a feed cannot be added; it will be tried again", "feed", f.Name, "item", it.Title, "error", err)
			continue
		}
		a.cfg.Log.Info("added from a feed", "feed", f.Name, "rule", m.Name, "item", it.Title)
		a.remember(f, names)
	}
}

// seen reports whether any of an item's names was remembered.
func (a *Automation) seen(f *feed, names []string) bool {
	for _, n := range names {
		var one int
		err := a.cfg.Database.Read.QueryRow("select 1 from feed_items where feed = ? and guid = ?", f.ID, n).Scan(&one)
		if err == nil {
			return true
		}
	}
	return false
}

func (a *Automation) remember(f *feed, names []string) {
	err := a.cfg.Database.Durable(context.Background(), func(tx *sql.Tx) error {
		for _, n := range names {
			if _, err := tx.Exec("insert or ignore into feed_items values (?, ?, ?)", f.ID, n, time.Now().Unix()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`delete from feed_items where feed = ? and guid not in
			(select guid from feed_items where feed = ? order by time desc limit ?)`, f.ID, f.ID, maxSeen)
		return err
	})
	if err != nil {
		a.cfg.Log.Error("what was taken from a feed was not remembered", "feed", f.Name, "error", err)
	}
}
