package qbittorrent

import (
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"shoal/internal/api"
	"shoal/internal/library"
)

// maxSnapshots is how many answers are remembered to tell changes from. Each holds every row.
const maxSnapshots = 4

// snapshot is what a client was told.
type snapshot struct {
	rid        int
	rows       map[string]info
	categories map[string]category
	tags       []string
	state      serverState
}

// syncs remembers what clients were told last.
type syncs struct {
	mu   sync.Mutex
	last int
	told []*snapshot // the oldest first
}

// take returns the answer of an id and forgets it: the client has it and will ask from the next one.
func (s *syncs) take(rid int) *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range s.told {
		if t.rid == rid {
			s.told = slices.Delete(s.told, i, i+1)
			return t
		}
	}
	return nil
}

func (s *syncs) put(t *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	t.rid = s.last
	if len(s.told) == maxSnapshots {
		s.told = slices.Delete(s.told, 0, 1)
	}
	s.told = append(s.told, t)
}

// serverState is the node as a whole.
type serverState struct {
	DownSpeed    int64  `json:"dl_info_speed"`
	DownData     int64  `json:"dl_info_data"`
	UpSpeed      int64  `json:"up_info_speed"`
	UpData       int64  `json:"up_info_data"`
	DownLimit    int64  `json:"dl_rate_limit"`
	UpLimit      int64  `json:"up_rate_limit"`
	AllDown      int64  `json:"alltime_dl"` //nolint:misspell // its name
	AllUp        int64  `json:"alltime_ul"` //nolint:misspell // its name
	DHTNodes     int    `json:"dht_nodes"`
	Status       string `json:"connection_status"`
	Peers        int    `json:"total_peer_connections"`
	FreeSpace    int64  `json:"free_space_on_disk"`
	GlobalRatio  string `json:"global_ratio"`
	Queueing     bool   `json:"queueing"`
	AltLimits    bool   `json:"use_alt_speed_limits"`
	RefreshEvery int    `json:"refresh_interval"`
	Buffers      int64  `json:"total_buffers_size"`
}

func (c *call) serverState() serverState {
	t := c.Library.Totals()
	s := serverState{DownSpeed: t.DownRate, DownData: t.SessionDown, UpSpeed: t.UpRate, UpData: t.SessionUp, DownLimit: c.int("bandwidth.down"),
		UpLimit: c.int("bandwidth.up"), AllDown: t.Downloaded, AllUp: t.Uploaded, DHTNodes: t.DHTNodes, Status: "firewalled", Peers: t.Peers,
		GlobalRatio: "0.00", Queueing: true, AltLimits: c.bool("bandwidth.alternative"), RefreshEvery: 1500, Buffers: t.Memory}
	if t.Reachable {
		s.Status = "connected"
	}
	if t.Downloaded > 0 {
		s.GlobalRatio = strconv.FormatFloat(float64(t.Uploaded)/float64(t.Downloaded), 'f', 2, 64)
	}
	for _, d := range t.Disks {
		s.FreeSpace = max(s.FreeSpace, d.Free)
	}
	return s
}

// mainData tells everything, or, to who says by rid what it was told last, what changed since.
func (c *call) mainData() (any, error) {
	rows, categories, err := c.rows(library.Query{})
	if err != nil {
		return nil, err
	}
	tags, err := c.Library.Tags()
	if err != nil {
		return nil, err
	}
	is := &snapshot{rows: make(map[string]info, len(rows)), categories: map[string]category{}, tags: tags, state: c.serverState()}
	for _, r := range rows {
		is.rows[r.Hash] = r
	}
	for name, x := range categories {
		is.categories[name] = category{name, x.Dir}
	}
	rid, _ := strconv.Atoi(c.values.Get("rid"))
	was := c.syncs.take(rid)
	c.syncs.put(is)
	answer := map[string]any{"rid": is.rid}
	if was == nil {
		answer["full_update"] = true
		was = &snapshot{}
	}
	torrents := map[string]api.Fields{}
	for hash, r := range is.rows {
		if before, ok := was.rows[hash]; !ok {
			torrents[hash] = without(api.Whole(&r))
		} else if f := api.Changes(&before, &r, ""); f != nil {
			torrents[hash] = f
		}
	}
	put := func(name string, v any, n int) {
		if n > 0 {
			answer[name] = v
		}
	}
	put("torrents", torrents, len(torrents))
	gone := missing(was.rows, is.rows)
	put("torrents_removed", gone, len(gone))
	changed := map[string]category{}
	for name, x := range is.categories {
		if before, ok := was.categories[name]; !ok || before != x {
			changed[name] = x
		}
	}
	put("categories", changed, len(changed))
	gone = missing(was.categories, is.categories)
	put("categories_removed", gone, len(gone))
	added := slices.DeleteFunc(slices.Clone(is.tags), func(t string) bool { return slices.Contains(was.tags, t) })
	put("tags", added, len(added))
	gone = slices.DeleteFunc(slices.Clone(was.tags), func(t string) bool { return slices.Contains(is.tags, t) })
	put("tags_removed", gone, len(gone))
	if was.rows == nil {
		answer["server_state"] = is.state
	} else if f := api.Changes(&was.state, &is.state, ""); f != nil {
		answer["server_state"] = f
	}
	return answer, nil
}

// without leaves out the hash, which is the row's key.
func without(f api.Fields) api.Fields {
	delete(f, "hash")
	return f
}

func missing[T any](was, is map[string]T) []string {
	gone := []string{}
	for name := range was {
		if _, ok := is[name]; !ok {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	return gone
}

// torrentPeers tells all peers of a torrent each time.
func (c *call) torrentPeers() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	list, err := c.Library.Peers(d.ID)
	if err != nil {
		return nil, err
	}
	peers := map[string]map[string]any{}
	for _, p := range list {
		ip, port := splitAddress(p.Address)
		kind := "BT"
		if p.UTP {
			kind = "μTP"
		}
		peers[p.Address] = map[string]any{"ip": ip, "port": port, "client": p.Client, "peer_id_client": p.Client, "country_code": p.Country, "country": p.Country,
			"progress": p.Progress, "dl_speed": p.DownRate, "up_speed": p.UpRate, "downloaded": p.Downloaded, "uploaded": p.Uploaded,
			"connection": kind, "flags": p.Flags, "flags_desc": p.Source, "relevance": 1, "files": ""}
	}
	rid, _ := strconv.Atoi(c.values.Get("rid"))
	return map[string]any{"full_update": true, "rid": rid + 1, "show_flags": true, "peers": peers}, nil
}

func splitAddress(address string) (ip string, port int) {
	if a, err := netip.ParseAddrPort(address); err == nil {
		return a.Addr().String(), int(a.Port())
	}
	return address, 0
}
