package server

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/database"
	"shoal/internal/library"
	"shoal/internal/logring"
)

var (
	fakeListen   = flag.String("fake-listen", "", "serve a node that is made up at this address, until interrupted")
	fakeTorrents = flag.Int("fake-torrents", 20000, "how many torrents it has")
	fakeWeb      = flag.String("fake-web", "", "folder of a built web UI to serve with it")
)

// fake is a library of made up torrents. It changes when step is called.
type fake struct {
	mu         sync.Mutex
	r          *rand.Rand
	now        int64
	revision   uint64
	torrents   map[string]*fakeTorrent
	order      []string // as the queue has them
	categories map[string]library.Category
	tags       map[string]bool
	rules      []library.SeedRule
	jobs       map[string]*library.Job
	totals     library.Totals
	started    int64
	added      int
	requests   []library.Request
}

type fakeTorrent struct {
	library.Detail
	files    []library.File
	peers    []library.Peer
	trackers []library.Tracker
	pieces   []byte
}

var (
	fakeWords    = strings.Fields("river mountain archive lecture concert debian fedora atlas recordings harbour survey field notes winter summer orchestra telescope maps census garden")
	fakeTrackers = []string{"tracker.example.org", "announce.example.net", "open.example.com"}
)

func newFake(n int) *fake {
	f := &fake{r: rand.New(rand.NewPCG(1, 2)), now: time.Now().Unix(), torrents: map[string]*fakeTorrent{}, tags: map[string]bool{"hd": true, "public": true, "old": true},
		categories: map[string]library.Category{"film": {Name: "film"}, "music": {Name: "music", SeedRatio: 2}, "linux": {Name: "linux", Dir: "/srv/linux"}},
		jobs:       map[string]*library.Job{}}
	f.started = f.now
	for i := range n {
		f.insert(fmt.Sprintf("%s %s %d", fakeWords[f.r.IntN(len(fakeWords))], fakeWords[f.r.IntN(len(fakeWords))], i), i)
	}
	f.totals = library.Totals{Port: 51413, Reachable: true, DHTNodes: 312, Disks: []library.Disk{{Mount: "/", Free: 1 << 38, Floor: 1 << 30}}}
	return f
}

func (f *fake) insert(name string, i int) *fakeTorrent {
	sum := sha1.Sum(fmt.Append(nil, "fake", i, name))
	id := hex.EncodeToString(sum[:])
	t := &fakeTorrent{}
	t.ID, t.HashV1, t.Name = id, id, name
	t.Magnet, t.Comment = "magnet:?xt=urn:btih:"+id, "made up"
	t.PieceLength, t.Pieces = 1<<20, 50+f.r.IntN(2000)
	t.TotalSize = int64(t.Pieces)<<20 - int64(f.r.IntN(1<<20))
	t.Size = t.TotalSize
	t.Added = f.now - int64(f.r.IntN(300*24*3600))
	t.Dir, t.Path = "/srv/downloads", "/srv/downloads/"+name
	t.Tags, t.Tracker = []string{}, fakeTrackers[i%3]
	t.ETA, t.Availability, t.Queue = -1, -1, i+1
	if c := []string{"", "film", "music", "linux"}[f.r.IntN(4)]; c != "" {
		t.Category = c
	}
	if f.r.IntN(3) == 0 {
		t.Tags = append(t.Tags, "hd")
	}
	ends := []string{".mkv", ".mp4", ".srt", ".flac", ".jpg", ".txt"}
	left := t.TotalSize
	count := 1 + f.r.IntN(12)
	for k := range count {
		size := left / int64(count-k)
		left -= size
		first := int((t.TotalSize - left - size) >> 20)
		t.files = append(t.files, library.File{Index: k, Path: fmt.Sprintf("%s/%02d %s%s", name, k+1, fakeWords[k], ends[k%len(ends)]), Size: size,
			Priority: library.Normal, First: first, Last: max(first, int((t.TotalSize-left-1)>>20))})
	}
	t.Files = len(t.files)
	for k := range 3 {
		t.trackers = append(t.trackers, library.Tracker{URL: "http://" + fakeTrackers[k] + "/announce", Tier: k, Working: k < 2, Seeds: f.r.IntN(100), Leeches: f.r.IntN(50), Next: 1800})
	}
	t.pieces = make([]byte, t.Pieces)
	switch x := f.r.IntN(20); {
	case x < 14:
		t.State = library.Seeding
		f.finish(t)
	case x < 16:
		t.State = library.Paused
	case x < 17:
		t.State, t.Reason = library.Failed, "the folder /srv/downloads cannot be written: permission denied"
	case x < 18:
		t.State = library.Queued
	default:
		t.State = library.Downloading
		for k := range t.pieces[:t.Pieces/2] {
			t.pieces[k] = 2
		}
		f.count(t)
	}
	f.torrents[id] = t
	f.order = append(f.order, id)
	return t
}

func (f *fake) finish(t *fakeTorrent) {
	for k := range t.pieces {
		t.pieces[k] = 2
	}
	t.Completed, t.Complete = f.now, true
	f.count(t)
}

func (f *fake) count(t *fakeTorrent) {
	have := int64(0)
	for _, p := range t.pieces {
		if p&3 == 2 {
			have++
		}
	}
	t.Done = min(have<<20, t.TotalSize)
	t.Progress = float64(t.Done) / float64(t.Size)
	for k := range t.files {
		x := &t.files[k]
		x.Done = int64(float64(x.Size) * t.Progress)
	}
}

// step lets a second pass.
func (f *fake) step() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now++
	f.totals.DownRate, f.totals.UpRate, f.totals.Active = 0, 0, 0
	for _, t := range f.torrents {
		f.move(t)
		f.totals.DownRate += t.DownRate
		f.totals.UpRate += t.UpRate
		if t.DownRate+t.UpRate > 0 {
			f.totals.Active++
		}
	}
	f.totals.Downloaded += f.totals.DownRate
	f.totals.Uploaded += f.totals.UpRate
	f.totals.SessionDown, f.totals.SessionUp = f.totals.Downloaded, f.totals.Uploaded
	f.totals.Uptime = f.now - f.started
	f.totals.DHTNodes = 300 + f.r.IntN(30)
	for _, j := range f.jobs {
		if j.State == "running" {
			if j.Done = min(j.Done+j.Total/10, j.Total); j.Done == j.Total {
				j.State = "done"
			}
		}
	}
	f.revision++
}

func (f *fake) move(t *fakeTorrent) {
	t.DownRate, t.UpRate = 0, 0
	switch t.State {
	case library.Downloading:
		t.DownRate = int64(500_000 + f.r.IntN(4_000_000))
		t.Peers, t.Seeds, t.KnownPeers = 5+f.r.IntN(40), 3, 80
		t.Availability = 3 + f.r.Float64()
		for n := t.DownRate >> 20; n >= 0; n-- {
			if k := slices.IndexFunc(t.pieces, func(p byte) bool { return p&3 < 2 }); k >= 0 {
				t.pieces[k] = 2
			}
		}
		f.count(t)
		if t.ETA = (t.Size - t.Done) / t.DownRate; t.Done >= t.Size {
			t.State, t.ETA = library.Seeding, -1
			f.finish(t)
		}
	case library.Seeding:
		if f.r.IntN(10) == 0 {
			t.UpRate = int64(f.r.IntN(300_000))
		}
		t.SeedingTime++
	default:
		return
	}
	t.ActiveTime++
	t.Downloaded += t.DownRate
	t.Uploaded += t.UpRate
	if t.Size > 0 {
		t.Ratio = float64(t.Uploaded) / float64(t.Size)
	}
	if t.DownRate+t.UpRate > 0 {
		t.LastActive = f.now
	}
}

func (f *fake) find(id string) (*fakeTorrent, error) {
	if t := f.torrents[strings.ToLower(id)]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %s", library.ErrNotFound, id)
}

func (f *fake) Revision() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision
}

func (f *fake) List(q library.Query) (library.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := library.Page{Revision: f.revision, Torrents: []library.Torrent{}, Counts: library.Counts{State: map[library.State]int{}, Category: map[string]int{},
		Tag: map[string]int{}, Tracker: map[string]int{}, All: len(f.torrents)}}
	for name := range f.categories {
		p.Counts.Category[name] = 0
	}
	var rows []*fakeTorrent
	for _, id := range f.order {
		t := f.torrents[id]
		p.Counts.State[t.State]++
		p.Counts.Category[t.Category]++
		p.Counts.Tracker[t.Tracker]++
		if len(t.Tags) == 0 {
			p.Counts.Tag[""]++
		}
		for _, tag := range t.Tags {
			p.Counts.Tag[tag]++
		}
		if t.DownRate+t.UpRate > 0 {
			p.Counts.Active++
		}
		if t.Complete {
			p.Counts.Complete++
		}
		if fakeMatches(t, q) {
			rows = append(rows, t)
		}
	}
	p.Total = len(rows)
	slices.SortStableFunc(rows, func(a, b *fakeTorrent) int {
		c := fakeCompare(a, b, q.Sort)
		if q.Desc {
			c = -c
		}
		return c
	})
	rows = rows[min(q.Offset, len(rows)):]
	if q.Limit > 0 {
		rows = rows[:min(q.Limit, len(rows))]
	}
	for _, t := range rows {
		p.Torrents = append(p.Torrents, t.Torrent)
	}
	return p, nil
}

func fakeMatches(t *fakeTorrent, q library.Query) bool {
	for w := range strings.FieldsSeq(strings.ToLower(q.Text)) {
		if !strings.Contains(strings.ToLower(t.Name), w) {
			return false
		}
	}
	state := len(q.State) == 0
	for _, s := range q.State {
		state = state || s == t.State || s == "active" && t.DownRate+t.UpRate > 0 || s == "complete" && t.Complete || s == "incomplete" && !t.Complete
	}
	tagged := q.Tag == nil || *q.Tag == "" && len(t.Tags) == 0 || slices.Contains(t.Tags, *q.Tag)
	return state && tagged && (q.Category == nil || *q.Category == t.Category) && (q.Tracker == nil || *q.Tracker == t.Tracker)
}

func fakeCompare(a, b *fakeTorrent, by string) int {
	switch by {
	case "name":
		return cmp.Compare(a.Name, b.Name)
	case "state":
		return cmp.Compare(a.State, b.State)
	case "size":
		return cmp.Compare(a.Size, b.Size)
	case "progress":
		return cmp.Compare(a.Progress, b.Progress)
	case "down_rate":
		return cmp.Compare(a.DownRate, b.DownRate)
	case "up_rate":
		return cmp.Compare(a.UpRate, b.UpRate)
	case "ratio":
		return cmp.Compare(a.Ratio, b.Ratio)
	case "peers":
		return cmp.Compare(a.Peers, b.Peers)
	case "eta":
		return cmp.Compare(a.ETA, b.ETA)
	case "category":
		return cmp.Compare(a.Category, b.Category)
	case "queue":
		return cmp.Compare(a.Queue, b.Queue)
	}
	return -cmp.Compare(a.Added, b.Added)
}

func (f *fake) Get(id string) (library.Detail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return library.Detail{}, err
	}
	return t.Detail, nil
}

func (f *fake) Add(_ context.Context, r library.Request) (library.Added, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := r.Link
	switch {
	case len(r.Torrent) > 0 && r.Torrent[0] != 'd':
		return library.Added{}, fmt.Errorf("%w: this is not a .torrent file", library.ErrBad)
	case len(r.Torrent) > 0:
		name = fmt.Sprintf("file %x", sha1.Sum(r.Torrent))
	case !strings.HasPrefix(r.Link, "magnet:") && len(r.Link) != 40 && !strings.HasPrefix(r.Link, "http"):
		return library.Added{}, fmt.Errorf("%w: %q is no link that we know", library.ErrBad, r.Link)
	}
	for _, t := range f.torrents {
		if t.Name == name {
			return library.Added{ID: t.ID, Name: t.Name, Existed: true}, nil
		}
	}
	f.requests = append(f.requests, r)
	f.added++
	t := f.insert(name, 1_000_000+f.added)
	t.Added, t.Category, t.State = f.now, r.Category, library.Downloading
	t.Tags = append([]string{}, r.Tags...)
	if r.Paused {
		t.State = library.Paused
	}
	if r.Name != "" {
		t.Name = r.Name
	}
	if r.Dir != "" {
		t.Dir = r.Dir
	}
	t.Sequential, t.DownLimit, t.UpLimit, t.SeedRatio, t.SeedTime = r.Sequential, r.DownLimit, r.UpLimit, r.SeedRatio, r.SeedTime
	f.revision++
	return library.Added{ID: t.ID, Name: t.Name}, nil
}

func (f *fake) Act(_ context.Context, a library.Action, ids []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ids == nil {
		ids = slices.Collect(maps.Keys(f.torrents))
	}
	var list []*fakeTorrent
	for _, id := range ids {
		t, err := f.find(id)
		if err != nil {
			return err
		}
		list = append(list, t)
	}
	for _, t := range list {
		switch a {
		case library.Pause:
			t.State, t.Forced = library.Paused, false
		case library.Resume, library.Force:
			t.State, t.Forced = library.Downloading, a == library.Force
			if t.Complete {
				t.State = library.Seeding
			}
		case library.Recheck:
			t.State = library.Checking
		case library.Top:
			t.Queue = 0
		case library.Bottom:
			t.Queue = len(f.torrents) + 1
		case library.Remove, library.RemoveData:
			delete(f.torrents, t.ID)
			f.order = slices.DeleteFunc(f.order, func(id string) bool { return id == t.ID })
		}
	}
	f.revision++
	return nil
}

func (f *fake) Change(_ context.Context, id string, c library.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return err
	}
	f.revision++
	set(c.Name, &t.Name)
	set(c.Category, &t.Category)
	set(c.Tags, &t.Tags)
	set(c.Dir, &t.Dir)
	set(c.Sequential, &t.Sequential)
	set(c.Forced, &t.Forced)
	set(c.DownLimit, &t.DownLimit)
	set(c.UpLimit, &t.UpLimit)
	set(c.SeedRatio, &t.SeedRatio)
	set(c.SeedTime, &t.SeedTime)
	tags := slices.Concat(t.Tags, c.AddTags)
	slices.Sort(tags)
	t.Tags = slices.DeleteFunc(slices.Compact(tags), func(s string) bool { return slices.Contains(c.RemoveTags, s) })
	return nil
}

func set[T any](from, to *T) {
	if from != nil {
		*to = *from
	}
}

func (f *fake) Files(id string) ([]library.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(t.files), nil
}

func (f *fake) SetPriority(_ context.Context, id string, files []int, p library.Priority) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return err
	}
	for _, i := range files {
		if i < 0 || i >= len(t.files) {
			return fmt.Errorf("%w: there is no file %d", library.ErrBad, i)
		}
		t.files[i].Priority = p
	}
	f.revision++
	return nil
}

func (f *fake) RenameFile(_ context.Context, id string, file int, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return err
	}
	if file >= len(t.files) || !filepath.IsLocal(to) || path.Clean(to) != to {
		return fmt.Errorf("%w: a file cannot be renamed to %q", library.ErrBad, to)
	}
	t.files[file].Path = to
	return nil
}

func (f *fake) Peers(id string) ([]library.Peer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return nil, err
	}
	var list []library.Peer
	for k := range t.Peers {
		list = append(list, library.Peer{Address: fmt.Sprintf("198.51.100.%d:%d", k+1, 6881+k), Client: "Made Up 1.0", Source: "tracker", Flags: "DE",
			Country: []string{"DE", "FR", "JP", "BR"}[k%4], Progress: f.r.Float64(), DownRate: int64(f.r.IntN(100000)), UTP: k%2 == 0, Encrypted: k%3 == 0})
	}
	return append(list, t.peers...), nil
}

func (f *fake) AddPeers(_ context.Context, id string, peers []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return err
	}
	for _, p := range peers {
		if _, _, err := net.SplitHostPort(p); err != nil {
			return fmt.Errorf("%w: %q is no address of a peer", library.ErrBad, p)
		}
		t.peers = append(t.peers, library.Peer{Address: p, Source: "static"})
	}
	return nil
}

func (f *fake) Trackers(id string) ([]library.Tracker, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(t.trackers), nil
}

func (f *fake) AddTrackers(_ context.Context, id string, urls []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return err
	}
	for _, u := range urls {
		t.trackers = append(t.trackers, library.Tracker{URL: u, Seeds: -1, Leeches: -1, Next: 0})
	}
	return nil
}

func (f *fake) RemoveTracker(_ context.Context, id, url string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return err
	}
	n := len(t.trackers)
	t.trackers = slices.DeleteFunc(t.trackers, func(x library.Tracker) bool { return x.URL == url })
	if len(t.trackers) == n {
		return fmt.Errorf("%w: it has no tracker %s", library.ErrBad, url)
	}
	return nil
}

func (f *fake) Pieces(id string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(t.pieces), nil
}

func (f *fake) Torrent(id string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(id); err != nil {
		return nil, err
	}
	return []byte("d4:infod4:name4:fakeee"), nil
}

func (f *fake) Totals() library.Totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.totals
	t.Torrents = len(f.torrents)
	return t
}

func (f *fake) History(span string) (library.History, error) {
	h := library.History{Step: map[string]int64{"hour": 10, "day": 300, "month": 7200}[span]}
	for i := range int64(360) {
		h.Times = append(h.Times, f.started-(360-i)*h.Step)
		h.DownRate = append(h.DownRate, 1_000_000+(i*7919)%3_000_000)
		h.UpRate = append(h.UpRate, 200_000+(i*104729)%900_000)
		h.Peers = append(h.Peers, 100+i%50)
		h.DHTNodes = append(h.DHTNodes, 280+i%60)
	}
	return h, nil
}

func (f *fake) Categories() ([]library.Category, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.categories), func(a, b library.Category) int { return cmp.Compare(a.Name, b.Name) }), nil
}

func (f *fake) PutCategory(_ context.Context, c library.Category) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.categories[c.Name] = c
	f.revision++
	return nil
}

func (f *fake) RemoveCategory(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.categories, name)
	f.revision++
	return nil
}

func (f *fake) Tags() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.tags)), nil
}

func (f *fake) PutTag(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tags[name] = true
	return nil
}

func (f *fake) RemoveTag(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tags, name)
	return nil
}

func (f *fake) SeedRules() ([]library.SeedRule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rules), nil
}

func (f *fake) SetSeedRules(_ context.Context, r []library.SeedRule) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = r
	return nil
}

func (f *fake) Share(_ context.Context, r library.ShareRequest) (library.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := &library.Job{ID: fmt.Sprint(len(f.jobs) + 1), Path: r.Path, State: "running", Total: 10 << 30, Begun: f.now}
	f.jobs[j.ID] = j
	return *j, nil
}

func (f *fake) Jobs() []library.Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []library.Job
	for _, j := range f.jobs {
		list = append(list, *j)
	}
	slices.SortFunc(list, func(a, b library.Job) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (f *fake) Job(id string) (library.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if j := f.jobs[id]; j != nil {
		return *j, nil
	}
	return library.Job{}, fmt.Errorf("%w: no job %s", library.ErrNotFound, id)
}

func (f *fake) CancelJob(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if j := f.jobs[id]; j != nil {
		j.State = "cancelled"
		return nil
	}
	return fmt.Errorf("%w: no job %s", library.ErrNotFound, id)
}

// fakeSettings are a few of each type.
type fakeSettings struct {
	mu   sync.Mutex
	list []api.Setting
}

func newFakeSettings() *fakeSettings {
	row := func(key, title, group, kind, unit, value string) api.Setting {
		return api.Setting{Key: key, Title: title, Text: "What " + strings.ToLower(title) + " is.", Group: group, Type: kind, Unit: unit,
			Default: json.RawMessage(value), Value: json.RawMessage(value), Source: "default"}
	}
	s := &fakeSettings{list: []api.Setting{
		row("download_dir", "Download folder", "Folders", "path", "", `"/srv/downloads"`),
		row("free_floor", "Free space to leave", "Folders", "size", "bytes", `1073741824`),
		row("down_limit", "Download limit", "Speed", "rate", "bytes/s", `0`),
		row("up_limit", "Upload limit", "Speed", "rate", "bytes/s", `0`),
		row("port", "Port", "Network", "int", "", `51413`),
		row("dht", "DHT", "Network", "bool", "", `true`),
		row("encryption", "Encryption", "Network", "choice", "", `"prefer"`),
		row("host_names", "Host names", "Web", "list", "", `[]`),
		row("queue_active", "Torrents at work", "Queue", "int", "", `8`),
	}}
	s.list[4].Source, s.list[4].Locked, s.list[4].Restart = "env", true, true
	s.list[6].Choices = []string{"off", "prefer", "require"}
	return s
}

func (s *fakeSettings) List() []api.Setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

func (s *fakeSettings) Save(m map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.Clone(s.list)
	for k, v := range m {
		i := slices.IndexFunc(next, func(x api.Setting) bool { return x.Key == k })
		if i < 0 {
			return fmt.Errorf("there is no setting %q", k)
		}
		if next[i].Locked {
			return fmt.Errorf("%s is set by the environment", k)
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		next[i].Value, next[i].Source = b, "saved"
	}
	s.list = next
	return nil
}

// fakeDocuments keep whatever they are given.
type fakeDocuments struct {
	mu   sync.Mutex
	docs map[string]map[string]json.RawMessage
}

func (d *fakeDocuments) List(kind string) ([]json.RawMessage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.docs[kind])), nil
}

func (d *fakeDocuments) Put(_ context.Context, kind, id string, doc json.RawMessage) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.docs == nil {
		d.docs = map[string]map[string]json.RawMessage{}
	}
	if d.docs[kind] == nil {
		d.docs[kind] = map[string]json.RawMessage{}
	}
	d.docs[kind][id] = doc
	return nil
}

func (d *fakeDocuments) Delete(_ context.Context, kind, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.docs[kind], id)
	return nil
}

// fakeNode makes a server of made up parts.
func fakeNode(t testing.TB, torrents int, change func(*Config)) (*Server, *fake) {
	t.Helper()
	db, _, err := database.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	a, err := accounts.New(db)
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(torrents)
	ring := logring.New(1000)
	c := Config{
		Library: f, Accounts: a, Settings: newFakeSettings(), Documents: &fakeDocuments{}, Log: ring, Logger: slog.New(ring.Handler(slog.NewTextHandler(io.Discard, nil))),
		Version: "test", StreamURL: func(id string, i int, p string) string {
			return fmt.Sprintf("/stream/key/%s/%d/%s", id, i, path.Base(p))
		},
		Doctor: func(context.Context) []api.Check {
			return []api.Check{{ID: "clock", Title: "Clock", Level: "ok", Text: "right"}, {ID: "port", Title: "Port", Level: "warning", Text: "no peer has reached it", Remedy: "forward port 51413"}}
		},
	}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s, f
}

// TestServeFake serves a made up node for work on the web UI, when it is given an address. Its admin is "admin" with the password "admin-admin".
// Without one it looks whether that would work.
func TestServeFake(t *testing.T) {
	n, address := *fakeTorrents, *fakeListen
	if address == "" {
		n, address = 100, "127.0.0.1:0"
	}
	s, f := fakeNode(t, n, func(c *Config) {
		c.Access.Roots = []string{t.TempDir()}
		if *fakeWeb != "" {
			c.Web = os.DirFS(*fakeWeb)
		}
	})
	if err := s.Accounts.EnsureAdmin(t.Context(), "admin", "admin-admin"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	if *fakeListen != "" {
		fmt.Println("serving", n, "torrents at http://"+l.Addr().String())
		for {
			select {
			case <-time.After(time.Second):
				f.step()
				s.Logger.Info("a second has passed", "rate", f.Totals().DownRate)
			case err := <-served:
				t.Fatal(err)
			}
		}
	}
	r, err := http.Get("http://" + l.Addr().String() + "/api/v1/me")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r, err)
	}
	r.Body.Close()
	f.step()
	s.Stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
