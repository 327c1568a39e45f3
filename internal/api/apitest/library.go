// Package apitest has a library of made up torrents, for tests of what serves one.
package apitest

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal/internal/library"
)

// Library is a library of made up torrents. It changes when Step is called, and by what it is told.
type Library struct {
	Order    []string // ids, as the queue has them
	Torrents map[string]*Torrent
	Requests []library.Request // what was added

	mu         sync.Mutex
	r          *rand.Rand
	now        int64
	revision   uint64
	categories map[string]library.Category
	tags       map[string]bool
	rules      []library.SeedRule
	jobs       map[string]*library.Job
	totals     library.Totals
	started    int64
	added      int
}

// Torrent is one of them.
type Torrent struct {
	library.Detail
	files    []library.File
	peers    []library.Peer
	trackers []library.Tracker
	pieces   []byte
}

var (
	words        = strings.Fields("river mountain archive lecture concert debian fedora atlas recordings harbour survey field notes winter summer orchestra telescope maps census garden")
	trackerNames = []string{"tracker.example.org", "announce.example.net", "open.example.com"}
)

// New makes up n torrents, the same each time.
func New(n int) *Library {
	f := &Library{r: rand.New(rand.NewPCG(1, 2)), now: time.Now().Unix(), Torrents: map[string]*Torrent{}, tags: map[string]bool{"hd": true, "public": true, "old": true},
		categories: map[string]library.Category{"film": {Name: "film"}, "music": {Name: "music", SeedRatio: 2}, "linux": {Name: "linux", Dir: "/srv/linux"}},
		jobs:       map[string]*library.Job{}}
	f.started = f.now
	for i := range n {
		f.insert(fmt.Sprintf("%s %s %d", words[f.r.IntN(len(words))], words[f.r.IntN(len(words))], i), i)
	}
	f.totals = library.Totals{Port: 51413, Reachable: true, DHTNodes: 312, Disks: []library.Disk{{Mount: "/", Free: 1 << 38, Floor: 1 << 30}}}
	return f
}

func (f *Library) insert(name string, i int) *Torrent {
	sum := sha1.Sum(fmt.Append(nil, "fake", i, name))
	id := hex.EncodeToString(sum[:])
	t := &Torrent{}
	t.ID, t.HashV1, t.Name = id, id, name
	t.Magnet, t.Comment = "magnet:?xt=urn:btih:"+id, "made up"
	t.PieceLength, t.Pieces = 1<<20, 50+f.r.IntN(2000)
	t.TotalSize = int64(t.Pieces)<<20 - int64(f.r.IntN(1<<20))
	t.Size = t.TotalSize
	t.Added = f.now - int64(f.r.IntN(300*24*3600))
	t.Dir, t.Path = "/srv/downloads", "/srv/downloads/"+name
	t.Tags, t.Tracker = []string{}, trackerNames[i%3]
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
		t.files = append(t.files, library.File{Index: k, Path: fmt.Sprintf("%s/%02d %s%s", name, k+1, words[k], ends[k%len(ends)]), Size: size,
			Priority: library.Normal, First: first, Last: max(first, int((t.TotalSize-left-1)>>20))})
	}
	t.Files = len(t.files)
	for k := range 3 {
		t.trackers = append(t.trackers, library.Tracker{URL: "http://" + trackerNames[k] + "/announce", Tier: k, Working: k < 2, Seeds: f.r.IntN(100), Leeches: f.r.IntN(50), Next: 1800})
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
	f.Torrents[id] = t
	f.Order = append(f.Order, id)
	return t
}

func (f *Library) finish(t *Torrent) {
	for k := range t.pieces {
		t.pieces[k] = 2
	}
	t.Completed, t.Complete = f.now, true
	f.count(t)
}

func (f *Library) count(t *Torrent) {
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

// Step lets a second pass.
func (f *Library) Step() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now++
	f.totals.DownRate, f.totals.UpRate, f.totals.Active = 0, 0, 0
	for _, t := range f.Torrents {
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

func (f *Library) move(t *Torrent) {
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

func (f *Library) find(id string) (*Torrent, error) {
	if t := f.Torrents[strings.ToLower(id)]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %s", library.ErrNotFound, id)
}

func (f *Library) Revision() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision
}

func (f *Library) List(q library.Query) (library.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := library.Page{Revision: f.revision, Torrents: []library.Torrent{}, Counts: library.Counts{State: map[library.State]int{}, Category: map[string]int{},
		Tag: map[string]int{}, Tracker: map[string]int{}, All: len(f.Torrents)}}
	for name := range f.categories {
		p.Counts.Category[name] = 0
	}
	var rows []*Torrent
	for _, id := range f.Order {
		t := f.Torrents[id]
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
		if matches(t, q) {
			rows = append(rows, t)
		}
	}
	p.Total = len(rows)
	slices.SortStableFunc(rows, func(a, b *Torrent) int {
		c := compare(a, b, q.Sort)
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

func matches(t *Torrent, q library.Query) bool {
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

func compare(a, b *Torrent, by string) int {
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

func (f *Library) Get(id string) (library.Detail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return library.Detail{}, err
	}
	return t.Detail, nil
}

func (f *Library) Add(_ context.Context, r library.Request) (library.Added, error) {
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
	for _, t := range f.Torrents {
		if t.Name == name {
			return library.Added{ID: t.ID, Name: t.Name, Existed: true}, nil
		}
	}
	f.Requests = append(f.Requests, r)
	f.added++
	t := f.insert(name, 1_000_000+f.added)
	t.Added, t.Category, t.State = f.now, r.Category, library.Downloading
	t.Reason, t.Complete, t.Completed = "", false, 0
	clear(t.pieces)
	f.count(t)
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

func (f *Library) Act(_ context.Context, a library.Action, ids []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ids == nil {
		ids = slices.Collect(maps.Keys(f.Torrents))
	}
	var list []*Torrent
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
			t.Queue = len(f.Torrents) + 1
		case library.Remove, library.RemoveData:
			delete(f.Torrents, t.ID)
			f.Order = slices.DeleteFunc(f.Order, func(id string) bool { return id == t.ID })
		}
	}
	f.revision++
	return nil
}

func (f *Library) Change(_ context.Context, id string, c library.Change) error {
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
