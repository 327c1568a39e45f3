package qbittorrent

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"shoal/internal/library"
)

// rows returns all torrents, described, as far as a category or a tag are asked for.
func (c *call) rows(q library.Query) ([]info, map[string]library.Category, error) {
	list, err := c.Library.Categories()
	if err != nil {
		return nil, nil, err
	}
	categories := map[string]library.Category{}
	for _, x := range list {
		categories[x.Name] = x
	}
	rules, err := c.Library.SeedRules()
	if err != nil {
		return nil, nil, err
	}
	p, err := c.Library.List(q)
	if err != nil {
		return nil, nil, err
	}
	g := goals{categories, rules}
	rows := make([]info, len(p.Torrents))
	for i := range p.Torrents {
		rows[i] = describe(&p.Torrents[i], &g)
	}
	return rows, categories, nil
}

// info lists torrents.
func (c *call) info() (any, error) {
	q := library.Query{}
	for name, to := range map[string]**string{"category": &q.Category, "tag": &q.Tag} {
		if c.values.Has(name) {
			v := c.values.Get(name)
			*to = &v
		}
	}
	rows, _, err := c.rows(q)
	if err != nil {
		return nil, err
	}
	filter, hashes, private := c.values.Get("filter"), c.hashes("hashes"), c.values.Get("private")
	rows = slices.DeleteFunc(rows, func(i info) bool {
		return !i.matches(filter) || hashes != nil && !hashes["all"] && !hashes[i.Hash] && !hashes[i.HashV1] && !hashes[i.HashV2] || private != "" && strconv.FormatBool(i.Private) != private
	})
	if err := c.sort(rows); err != nil {
		return nil, err
	}
	limit, _ := strconv.Atoi(c.values.Get("limit"))
	offset, _ := strconv.Atoi(c.values.Get("offset"))
	if offset < 0 {
		offset = max(len(rows)+offset, 0)
	}
	rows = rows[min(offset, len(rows)):]
	if limit > 0 {
		rows = rows[:min(limit, len(rows))]
	}
	if rows == nil {
		rows = []info{}
	}
	return rows, nil
}

// sort sorts rows by the column that is asked for.
func (c *call) sort(rows []info) error {
	column := c.values.Get("sort")
	if column == "" {
		return nil
	}
	t := reflect.TypeFor[info]()
	field := -1
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("json") == column {
			field = i
		}
	}
	if field < 0 {
		return bad("sort: there is no column %q", column)
	}
	reverse := c.values.Get("reverse") == "true"
	slices.SortStableFunc(rows, func(a, b info) int {
		n := compare(reflect.ValueOf(a).Field(field), reflect.ValueOf(b).Field(field))
		if reverse {
			return -n
		}
		return n
	})
	return nil
}

func compare(a, b reflect.Value) int {
	switch a.Kind() {
	case reflect.String:
		return cmp.Compare(a.String(), b.String())
	case reflect.Float64:
		return cmp.Compare(a.Float(), b.Float())
	case reflect.Bool:
		return cmp.Compare(strconv.FormatBool(a.Bool()), strconv.FormatBool(b.Bool()))
	}
	return cmp.Compare(a.Int(), b.Int())
}

// hashes returns a list of hashes, which are parted by bars; nil if there is none.
func (c *call) hashes(name string) map[string]bool {
	var set map[string]bool
	for h := range strings.SplitSeq(c.values.Get(name), "|") {
		if h = strings.ToLower(strings.TrimSpace(h)); h != "" {
			if set == nil {
				set = map[string]bool{}
			}
			set[h] = true
		}
	}
	return set
}

func (c *call) count() (any, error) { return strconv.Itoa(c.Library.Totals().Torrents), nil }

// torrent returns the one that the parameter hash names.
func (c *call) torrent() (library.Detail, error) {
	hash := c.values.Get("hash")
	if hash == "" {
		return library.Detail{}, bad("hash is missing")
	}
	return c.Library.Get(hash)
}

func (c *call) properties() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	trackers, err := c.Library.Trackers(d.ID)
	if err != nil {
		return nil, err
	}
	reannounce, seeds, leeches := int64(0), d.Seeds, max(d.KnownPeers-d.Seeds, 0)
	for _, t := range trackers {
		if t.Next > 0 && (reannounce == 0 || t.Next < reannounce) {
			reannounce = t.Next
		}
		seeds, leeches = max(seeds, t.Seeds), max(leeches, t.Leeches)
	}
	have := 0
	if pieces, err := c.Library.Pieces(d.ID); err == nil {
		for _, p := range pieces {
			if p&3 == 2 {
				have++
			}
		}
	}
	i := describe(&d.Torrent, &goals{})
	average := func(bytes, seconds int64) int64 { return bytes / max(seconds, 1) }
	unlimited := func(n int64) int64 { return orNone(n) }
	return map[string]any{
		"hash": d.ID, "infohash_v1": d.HashV1, "infohash_v2": d.HashV2, "name": d.Name, "save_path": d.Dir, "download_path": "", "comment": d.Comment,
		"created_by": d.CreatedBy, "creation_date": orNone(d.CreatedAt), "addition_date": d.Added, "completion_date": i.CompletionOn, "last_seen": orNone(d.Completed),
		"piece_size": d.PieceLength, "pieces_num": d.Pieces, "pieces_have": have, "total_size": d.TotalSize, "total_wasted": d.Wasted,
		"total_downloaded": d.Downloaded, "total_downloaded_session": d.Downloaded, "total_uploaded": d.Uploaded, "total_uploaded_session": d.Uploaded,
		"dl_speed": d.DownRate, "up_speed": d.UpRate, "dl_speed_avg": average(d.Downloaded, d.ActiveTime), "up_speed_avg": average(d.Uploaded, d.ActiveTime),
		"dl_limit": unlimited(d.DownLimit), "up_limit": unlimited(d.UpLimit), "time_elapsed": d.ActiveTime, "seeding_time": d.SeedingTime, "eta": i.ETA,
		"nb_connections": d.Peers, "nb_connections_limit": c.int("network.max_peers_torrent"), "peers": max(d.Peers-d.Seeds, 0), "peers_total": leeches,
		"seeds": d.Seeds, "seeds_total": seeds, "share_ratio": d.Ratio, "popularity": 0, "reannounce": reannounce, "is_private": d.Private, "private": d.Private,
		"has_metadata": i.HasMetadata, "progress": i.Progress,
	}, nil
}

// trackerStatus is qBittorrent's number: 1 not contacted yet, 2 working, 4 not working.
func trackerStatus(t library.Tracker) int {
	switch {
	case t.Working:
		return 2
	case t.Message == "":
		return 1
	}
	return 4
}

func (c *call) trackers() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	list, err := c.Library.Trackers(d.ID)
	if err != nil {
		return nil, err
	}
	rows := []map[string]any{}
	for _, t := range list {
		row := map[string]any{"url": t.URL, "status": trackerStatus(t), "tier": t.Tier, "num_peers": max(t.Seeds, 0) + max(t.Leeches, 0), "num_seeds": t.Seeds,
			"num_leeches": t.Leeches, "num_downloaded": -1, "msg": t.Message}
		if name := map[string]string{"dht": "** [DHT] **", "pex": "** [PeX] **", "lsd": "** [LSD] **"}[t.URL]; name != "" {
			row["url"], row["tier"] = name, -1
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (c *call) webSeeds() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	rows := []map[string]string{}
	for _, u := range d.WebSeeds {
		rows = append(rows, map[string]string{"url": u})
	}
	return rows, nil
}

// priorities are qBittorrent's numbers. It has nothing that is less than normal.
var priorities = map[library.Priority]int{library.Skip: 0, library.Low: 1, library.Normal: 1, library.High: 6}

func (c *call) listFiles() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	list, err := c.Library.Files(d.ID)
	if err != nil {
		return nil, err
	}
	var wanted map[string]bool
	if x := c.values.Get("indexes"); x != "" {
		wanted = map[string]bool{}
		for i := range strings.SplitSeq(x, "|") {
			wanted[i] = true
		}
	}
	rows := []map[string]any{}
	for _, f := range list {
		if wanted != nil && !wanted[strconv.Itoa(f.Index)] {
			continue
		}
		progress := 1.0
		if f.Size > 0 {
			progress = float64(f.Done) / float64(f.Size)
		}
		rows = append(rows, map[string]any{"index": f.Index, "name": f.Path, "size": f.Size, "progress": progress, "priority": priorities[f.Priority],
			"is_seed": d.Complete, "piece_range": []int{f.First, max(f.Last, f.First)}, "availability": d.Availability})
	}
	return rows, nil
}

func (c *call) pieceStates() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	pieces, err := c.Library.Pieces(d.ID)
	if err != nil {
		return nil, err
	}
	states := make([]int, len(pieces))
	for i, p := range pieces {
		states[i] = int(p & 3)
	}
	return states, nil
}

func (c *call) export() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	b, err := c.Library.Torrent(d.ID)
	return file{"application/x-bittorrent", d.Name + ".torrent", b}, err
}

// category is one as programs are told of it.
type category struct {
	Name     string `json:"name"`
	SavePath string `json:"savePath"`
}

func (c *call) categories() (any, error) {
	list, err := c.Library.Categories()
	if err != nil {
		return nil, err
	}
	all := map[string]category{}
	for _, x := range list {
		all[x.Name] = category{x.Name, x.Dir}
	}
	return all, nil
}

func (c *call) tags() (any, error) {
	t, err := c.Library.Tags()
	if t == nil {
		t = []string{}
	}
	return t, err
}

func (c *call) limits(of func(*library.Torrent) int64) (any, error) {
	p, err := c.Library.List(library.Query{})
	if err != nil {
		return nil, err
	}
	hashes, all := c.hashes("hashes"), map[string]int64{}
	for i := range p.Torrents {
		if t := &p.Torrents[i]; hashes[t.ID] || hashes["all"] {
			all[t.ID] = of(t)
		}
	}
	return all, nil
}

func (c *call) downloadLimits() (any, error) {
	return c.limits(func(t *library.Torrent) int64 { return t.DownLimit })
}

func (c *call) uploadLimits() (any, error) {
	return c.limits(func(t *library.Torrent) int64 { return t.UpLimit })
}

// sorted returns the members of a set in order.
func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
