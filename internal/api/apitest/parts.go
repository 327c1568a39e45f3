package apitest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"path"
	"path/filepath"
	"slices"

	"shoal/internal/library"
)

func (f *Library) Files(id string) ([]library.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(t.files), nil
}

func (f *Library) SetPriority(_ context.Context, id string, files []int, p library.Priority) error {
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

func (f *Library) RenameFile(_ context.Context, id string, file int, to string) error {
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

func (f *Library) Peers(id string) ([]library.Peer, error) {
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

func (f *Library) AddPeers(_ context.Context, id string, peers []string) error {
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

func (f *Library) Trackers(id string) ([]library.Tracker, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(t.trackers), nil
}

func (f *Library) AddTrackers(_ context.Context, id string, urls []string) error {
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

func (f *Library) RemoveTracker(_ context.Context, id, url string) error {
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

func (f *Library) Pieces(id string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(t.pieces), nil
}

func (f *Library) Torrent(id string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(id); err != nil {
		return nil, err
	}
	return []byte("d4:infod4:name4:fakeee"), nil
}

func (f *Library) Totals() library.Totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.totals
	t.Torrents = len(f.Torrents)
	return t
}

func (f *Library) History(span string) (library.History, error) {
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

func (f *Library) Categories() ([]library.Category, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.categories), func(a, b library.Category) int { return cmp.Compare(a.Name, b.Name) }), nil
}

func (f *Library) PutCategory(_ context.Context, c library.Category) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.categories[c.Name] = c
	f.revision++
	return nil
}

func (f *Library) RemoveCategory(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.categories, name)
	f.revision++
	return nil
}

func (f *Library) Tags() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.tags)), nil
}

func (f *Library) PutTag(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tags[name] = true
	return nil
}

func (f *Library) RemoveTag(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tags, name)
	return nil
}

func (f *Library) SeedRules() ([]library.SeedRule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rules), nil
}

func (f *Library) SetSeedRules(_ context.Context, r []library.SeedRule) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = r
	return nil
}

func (f *Library) Share(_ context.Context, r library.ShareRequest) (library.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := &library.Job{ID: fmt.Sprint(len(f.jobs) + 1), Path: r.Path, State: "running", Total: 10 << 30, Begun: f.now}
	f.jobs[j.ID] = j
	return *j, nil
}

func (f *Library) Jobs() []library.Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []library.Job
	for _, j := range f.jobs {
		list = append(list, *j)
	}
	slices.SortFunc(list, func(a, b library.Job) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (f *Library) Job(id string) (library.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if j := f.jobs[id]; j != nil {
		return *j, nil
	}
	return library.Job{}, fmt.Errorf("%w: no job %s", library.ErrNotFound, id)
}

func (f *Library) JobTorrent(id string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch j := f.jobs[id]; {
	case j == nil:
		return nil, fmt.Errorf("%w: no job %s", library.ErrNotFound, id)
	case j.State != "done":
		return nil, library.ErrNoInfo
	}
	return []byte("d4:infod4:name4:fakeee"), nil
}

func (f *Library) CancelJob(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if j := f.jobs[id]; j != nil {
		j.State = "cancelled"
		return nil
	}
	return fmt.Errorf("%w: no job %s", library.ErrNotFound, id)
}
