package library

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"shoal/internal/bt/magnet"
	"shoal/internal/bt/metainfo"
	"shoal/internal/link"
)

// Bounds of what a person may add.
const (
	maxTorrents = 200_000
	maxTags     = 100 // of one torrent
	maxNamed    = 200 // trackers or peers named at once
	maxText     = 200 // bytes of a tag or category
	// followTime is how long the DHT is asked what a publisher's link names.
	followTime = 30 * time.Second
)

// Add adds what a link or a .torrent file names. What is here already gets the link's trackers and peers.
func (l *Library) Add(ctx context.Context, q Request) (Added, error) {
	var at *link.Link
	var err error
	if q.Torrent != nil {
		at, err = link.Parse("the .torrent file", q.Torrent)
	} else {
		at, err = link.Open(ctx, strings.TrimSpace(q.Link), l.cfg.Client)
	}
	if err != nil {
		return Added{}, fmt.Errorf("%w: %w", ErrBad, err)
	}
	if err := l.follow(ctx, at); err != nil {
		return Added{}, err
	}
	e, err := l.newEntry(ctx, q, at)
	if err != nil {
		return Added{}, err
	}
	return l.insert(e, at, q.Top)
}

// follow finds out what a publisher's link names now (BEP 46).
func (l *Library) follow(ctx context.Context, at *link.Link) error {
	if at.Magnet == nil || !at.Magnet.Hash.IsZero() {
		return nil
	}
	if at.Magnet.Publisher == nil {
		return Bad("the link names nothing that can be fetched")
	}
	ctx, cancel := context.WithTimeout(ctx, followTime)
	defer cancel()
	hash, _, err := l.cfg.Session.Latest(ctx, at.Magnet.Publisher[:], at.Magnet.Salt)
	if err != nil {
		return fmt.Errorf("finding out what the publisher's link names: %w", err)
	}
	at.Magnet.Hash = hash
	return nil
}

// newEntry makes the entry for what was named.
func (l *Library) newEntry(ctx context.Context, q Request, at *link.Link) (*entry, error) {
	r := record{
		Name: strings.TrimSpace(q.Name), LinkName: at.Name(), Category: q.Category, Paused: q.Paused, Forced: q.Forced, Sequential: q.Sequential,
		DownLimit: q.DownLimit, UpLimit: q.UpLimit, SeedRatio: q.SeedRatio, SeedTime: q.SeedTime, Added: time.Now().Unix(), Only: q.Select,
	}
	if q.DownLimit < 0 || q.UpLimit < 0 {
		return nil, Bad("limits cannot be negative")
	}
	var err error
	if r.Tags, err = cleanTags(q.Tags); err != nil {
		return nil, err
	}
	if err := checkText("category", q.Category, true); err != nil {
		return nil, err
	}
	named := q.Peers
	if at.Torrent != nil {
		r.setHash(at.Torrent.Info.Hash)
		r.Trackers = at.Torrent.Announce
	} else {
		m := at.Magnet
		r.setHash(m.Hash)
		r.WebSeeds, named = m.WebSeeds, append(named, m.Peers...)
		for _, u := range m.Trackers {
			r.Trackers = append(r.Trackers, []string{u})
		}
		if r.Only == nil {
			r.Only = ranges(m.Select)
		}
	}
	r.ID = r.hash().Key().String()
	if r.Trackers, err = addTiers(r.Trackers, q.Trackers); err != nil {
		return nil, err
	}
	if r.Peers, err = l.resolve(ctx, named, q.Peers); err != nil {
		return nil, err
	}
	if err := l.place(&r, q.Dir); err != nil {
		return nil, err
	}
	e := &entry{rec: r}
	if q.SkipCheck && at.Torrent != nil {
		e.trust, e.rec.Complete = true, true
	}
	return e, nil
}

// ranges returns the files of a link's selection (BEP 53).
func ranges(list []magnet.Range) []int {
	var out []int
	for _, r := range list {
		for i := r.First; i <= r.Last && len(out) < metainfo.MaxFiles; i++ {
			out = append(out, i)
		}
	}
	return out
}

// place decides where a torrent's files go.
func (l *Library) place(r *record, dir string) error {
	l.mu.Lock()
	set, c := l.set, l.categories[r.Category]
	l.mu.Unlock()
	final := dir
	switch {
	case final != "":
	case c.Dir != "":
		final = c.Dir
	case r.Category != "":
		final = filepath.Join(set.Dir, metainfo.SafeName(r.Category))
	default:
		final = set.Dir
	}
	if !filepath.IsAbs(final) {
		return Bad("the folder %q is not an absolute path", final)
	}
	r.Dir = filepath.Clean(final)
	if set.Incomplete != "" {
		r.Dir, r.Target = set.Incomplete, r.Dir
	}
	if r.Target == r.Dir {
		r.Target = ""
	}
	return nil
}

// insert takes a new entry in, unless the torrent is here already.
func (l *Library) insert(e *entry, at *link.Link, top bool) (Added, error) {
	look := false // at what is on disk
	if at.Torrent != nil {
		look = !e.trust && onDisk(filepath.Join(e.rec.Dir, filepath.FromSlash(contentPath(at.Torrent.Info))))
		l.mu.Lock()
		here := l.here(e)
		l.mu.Unlock()
		if here == nil { // the metadata must be safe before anybody is told that the torrent is
			if err := l.cfg.Session.Remember(at.Torrent); err != nil {
				return Added{}, err
			}
		}
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return Added{}, errors.New("the node is stopping")
	}
	if old := l.here(e); old != nil {
		l.mu.Unlock()
		return l.merge(old, e)
	}
	if len(l.entries) >= maxTorrents {
		l.mu.Unlock()
		return Added{}, Bad("there are %d torrents, and no room for more", maxTorrents)
	}
	if at.Torrent != nil {
		e.learn(at.Torrent.Info, l)
	}
	l.enter(e)
	if look {
		e.busy = "checking" // before it is anybody's turn in the queue
	}
	recs := encode(e)
	if top {
		recs = l.move([]*entry{e}, Top)
	}
	newTags := l.noteGroups(e)
	added := Added{ID: e.rec.ID, Name: e.rec.name()}
	l.mu.Unlock()
	var err error
	if newTags {
		err = l.saveGroups()
	}
	if err == nil {
		err = l.write(insertRecord, recs)
	}
	if err != nil {
		l.drop(e)
		if at.Torrent != nil {
			l.cfg.Session.Forget(e.rec.hash())
		}
		return Added{}, err
	}
	l.saveFiles(recs)
	l.log.Info("added", "torrent", added.Name, "id", added.ID)
	if look {
		l.wg.Go(func() { l.examine(e) })
	}
	l.nudge()
	return added, nil
}

// onDisk reports whether there is something at a path.
func onDisk(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// here returns the entry that is the same torrent. It is called with mu held.
func (l *Library) here(e *entry) *entry {
	for _, n := range e.rec.names() {
		if old := l.names[n]; old != nil {
			return old
		}
	}
	return nil
}

// merge gives a torrent that is here what another link to it says.
func (l *Library) merge(old, e *entry) (Added, error) {
	l.mu.Lock()
	added := Added{ID: old.rec.ID, Name: old.rec.name(), Existed: true}
	private := old.rec.Private
	l.mu.Unlock()
	if private { // it has those trackers alone that its publisher named
		return added, nil
	}
	var urls []string
	for _, tier := range e.rec.Trackers {
		urls = append(urls, tier...)
	}
	return added, errors.Join(l.AddTrackers(added.ID, urls), l.addPeers(added.ID, e.rec.Peers))
}

func cleanTags(tags []string) ([]string, error) {
	var out []string
	for _, t := range tags {
		t = strings.TrimSpace(t)
		if t == "" || slices.Contains(out, t) {
			continue
		}
		if err := checkText("tag", t, false); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	if len(out) > maxTags {
		return nil, Bad("%d tags are more than %d", len(out), maxTags)
	}
	slices.Sort(out)
	return out, nil
}

// checkText refuses names of groups that would be trouble: commas separate tags in other programs' requests.
func checkText(what, s string, empty bool) error {
	switch {
	case s == "" && empty:
		return nil
	case s == "" || s != strings.TrimSpace(s):
		return Bad("a %s cannot be empty, nor begin or end with a space", what)
	case len(s) > maxText:
		return Bad("a %s of %d bytes is longer than %d", what, len(s), maxText)
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == ',' }):
		return Bad("the %s %q has a comma or a control character", what, s)
	}
	return nil
}

// addTiers adds trackers that a person named, each a tier of its own.
func addTiers(tiers [][]string, urls []string) ([][]string, error) {
	if len(urls) > maxNamed {
		return nil, Bad("%d trackers at once are more than %d", len(urls), maxNamed)
	}
	out := slices.Clone(tiers)
	for _, raw := range urls {
		raw = strings.TrimSpace(raw)
		if raw == "" || slices.ContainsFunc(out, func(t []string) bool { return slices.Contains(t, raw) }) {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "udp"}, u.Scheme) {
			return nil, Bad("%q is not an http, https or udp tracker", raw)
		}
		out = append(out, []string{raw})
	}
	return out, nil
}

// resolve returns the addresses of peers. A name that is not found is an error only if the person gave it.
func (l *Library) resolve(ctx context.Context, hostports, mustBe []string) ([]string, error) {
	if len(hostports) > maxNamed {
		return nil, Bad("%d peers at once are more than %d", len(hostports), maxNamed)
	}
	var out []string
	for i, p := range hostports {
		host, port, err := net.SplitHostPort(p)
		n, wrong := strconv.ParseUint(port, 10, 16)
		if err != nil || wrong != nil || n == 0 || host == "" {
			return nil, Bad("the peer %q is not HOST:PORT", p)
		}
		ips, err := l.cfg.Session.Resolve(ctx, host)
		if err != nil && i < len(mustBe) {
			return nil, fmt.Errorf("the peer %s: %w", p, err)
		}
		for _, ip := range ips {
			out = append(out, netip.AddrPortFrom(ip, uint16(n)).String())
		}
	}
	return out, nil
}

// Tiers makes a tier of each tracker that a person named. The error wraps ErrBad.
func Tiers(urls []string) ([][]string, error) { return addTiers(nil, urls) }

// Seed seeds where it lies what was hashed this moment at path.
func (l *Library) Seed(t *metainfo.Torrent, path, category string, tags []string) (Added, error) {
	tags, err := cleanTags(tags)
	if err != nil {
		return Added{}, err
	}
	if err := checkText("category", category, true); err != nil {
		return Added{}, err
	}
	now := time.Now().Unix()
	e := &entry{trust: true, rec: record{
		ID: t.Info.Hash.Key().String(), LinkName: t.Info.Name, Dir: filepath.Dir(path), ReadOnly: true, Paths: t.Info.OnDisk(filepath.Base(path)),
		Category: category, Tags: tags, Trackers: t.Announce, Added: now, Completed: now, Complete: true, Done: t.Info.Layout.DataSize(),
	}}
	e.rec.setHash(t.Info.Hash)
	return l.insert(e, &link.Link{Text: path, Torrent: t}, false)
}

// hosts returns the hosts of trackers, lower case.
func hosts(tiers [][]string) []string {
	var out []string
	for _, tier := range tiers {
		for _, raw := range tier {
			if u, err := url.Parse(raw); err == nil && u.Hostname() != "" {
				out = append(out, lower(u.Hostname()))
			}
		}
	}
	return out
}

func firstHost(tiers [][]string) string {
	if h := hosts(tiers[:min(1, len(tiers))]); len(h) > 0 {
		return h[0]
	}
	return ""
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// contentPath returns where a torrent's content is below its folder: the file, or the folder of its files.
func contentPath(info *metainfo.Info) string {
	files := info.Layout.Files
	if len(files) == 1 && files[0].Path == info.Name {
		return files[0].Path
	}
	return info.Name
}
