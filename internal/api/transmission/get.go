package transmission

import (
	"encoding/base64"
	"mime"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"shoal/internal/library"
)

// row is a torrent, with what is looked up of it only if it is asked for.
type row struct {
	c      *call
	t      *library.Torrent
	number int

	detail   *library.Detail
	files    []library.File
	peers    []library.Peer
	trackers []library.Tracker
	pieces   []byte
	err      error // the first that came up
}

func (r *row) note(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

func (r *row) getDetail() *library.Detail {
	if r.detail == nil {
		d, err := r.c.Library.Get(r.t.ID)
		r.note(err)
		r.detail = &d
	}
	return r.detail
}

func (r *row) getFiles() []library.File {
	if r.files == nil {
		var err error
		r.files, err = r.c.Library.Files(r.t.ID)
		r.note(err)
	}
	return r.files
}

func (r *row) getPeers() []library.Peer {
	if r.peers == nil {
		var err error
		r.peers, err = r.c.Library.Peers(r.t.ID)
		r.note(err)
	}
	return r.peers
}

// getTrackers returns those that are trackers: Transmission's lists have no DHT.
func (r *row) getTrackers() []library.Tracker {
	if r.trackers == nil {
		list, err := r.c.Library.Trackers(r.t.ID)
		r.note(err)
		for _, t := range list {
			if strings.Contains(t.URL, "://") {
				r.trackers = append(r.trackers, t)
			}
		}
	}
	return r.trackers
}

func (r *row) getPieces() []byte {
	if r.pieces == nil {
		var err error
		r.pieces, err = r.c.Library.Pieces(r.t.ID)
		r.note(err)
	}
	return r.pieces
}

// torrentGet tells the fields that are asked for, each by the name by which it was.
func (c *call) torrentGet() (map[string]any, error) {
	names, there, err := arg[[]string](c, "fields")
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, bad("fields are missing")
	}
	format, _, err := arg[string](c, "format")
	if err != nil {
		return nil, err
	}
	l, list, recently, err := c.chosen()
	if err != nil {
		return nil, err
	}
	style := camel
	if c.modern {
		style = func(s string) string { return s }
	}
	type column struct {
		name  string
		field func(*row) any
	}
	var columns []column
	for _, n := range names {
		if f := fields[snake(n)]; f != nil {
			columns = append(columns, column{n, f})
		}
	}
	torrents := []any{}
	if format == "table" {
		head := []any{}
		for _, x := range columns {
			head = append(head, x.name)
		}
		torrents = append(torrents, head)
	}
	for _, t := range list {
		r := &row{c: c, t: t, number: l.number[t.ID]}
		values := make([]any, len(columns))
		for i, x := range columns {
			values[i] = named(x.field(r), style)
		}
		if r.err != nil {
			continue // it went away meanwhile
		}
		if format == "table" {
			torrents = append(torrents, values)
			continue
		}
		o := make(map[string]any, len(columns))
		for i, x := range columns {
			o[x.name] = values[i]
		}
		torrents = append(torrents, o)
	}
	result := map[string]any{"torrents": torrents}
	if recently {
		result["removed"] = l.removed
	}
	return result, nil
}

// status is Transmission's number for a state.
func status(t *library.Torrent) int {
	switch t.State {
	case library.Checking:
		return 2
	case library.Queued:
		if t.Complete {
			return 5
		}
		return 3
	case library.Downloading, library.Metadata:
		return 4
	case library.Seeding:
		return 6
	case library.Moving:
		if t.Complete {
			return 6
		}
		return 4
	}
	return 0
}

func share(part, all int64) float64 {
	if all <= 0 {
		return 0
	}
	return float64(part) / float64(all)
}

const kilo = 1000 // bytes in what Transmission calls a KB of speed; see session_get's units

// fields are what can be asked for of a torrent.
var fields = map[string]func(*row) any{
	"activity_date":         func(r *row) any { return r.t.LastActive },
	"added_date":            func(r *row) any { return r.t.Added },
	"bandwidth_priority":    func(*row) any { return 0 },
	"comment":               func(r *row) any { return r.getDetail().Comment },
	"corrupt_ever":          func(r *row) any { return r.getDetail().Wasted },
	"creator":               func(r *row) any { return r.getDetail().CreatedBy },
	"date_created":          func(r *row) any { return r.getDetail().CreatedAt },
	"desired_available":     func(r *row) any { return max(r.t.Size-r.t.Done, 0) },
	"done_date":             func(r *row) any { return r.t.Completed },
	"download_dir":          func(r *row) any { return r.t.Dir },
	"download_limit":        func(r *row) any { return r.t.DownLimit / kilo },
	"download_limited":      func(r *row) any { return r.t.DownLimit > 0 },
	"downloaded_ever":       func(r *row) any { return r.t.Downloaded },
	"edit_date":             func(r *row) any { return r.t.Added },
	"error":                 func(r *row) any { return map[bool]int{true: 3}[r.t.State == library.Failed] },
	"error_string":          errorString,
	"eta":                   func(r *row) any { return r.t.ETA },
	"eta_idle":              func(*row) any { return -1 },
	"file_count":            func(r *row) any { return r.t.Files },
	"file_stats":            fileStats,
	"files":                 files,
	"group":                 func(*row) any { return "" },
	"hash_string":           func(r *row) any { return r.t.ID },
	"have_unchecked":        func(*row) any { return 0 },
	"have_valid":            func(r *row) any { return r.t.Done },
	"honors_session_limits": func(*row) any { return true },
	"id":                    func(r *row) any { return r.number },
	"is_finished":           func(r *row) any { return r.t.Complete && r.t.State == library.Paused },
	"is_private":            func(r *row) any { return r.t.Private },
	"is_stalled": func(r *row) any {
		return r.t.State == library.Downloading && r.t.DownRate == 0 || r.t.State == library.Seeding && r.t.UpRate == 0
	},
	"labels":               func(r *row) any { return append([]string{}, r.t.Tags...) },
	"left_until_done":      func(r *row) any { return max(r.t.Size-r.t.Done, 0) },
	"magnet_link":          func(r *row) any { return r.getDetail().Magnet },
	"manual_announce_time": func(*row) any { return -1 },
	"max_connected_peers":  func(r *row) any { return r.c.int("network.max_peers_torrent") },
	"metadata_percent_complete": func(r *row) any {
		return map[bool]float64{true: 1}[r.t.Files > 0]
	},
	"name":                  func(r *row) any { return r.t.Name },
	"peer_limit":            func(r *row) any { return r.c.int("network.max_peers_torrent") },
	"peers":                 peers,
	"peers_connected":       func(r *row) any { return r.t.Peers },
	"peers_from":            peersFrom,
	"peers_getting_from_us": func(r *row) any { return count(r.getPeers(), func(p library.Peer) bool { return p.UpRate > 0 }) },
	"peers_sending_to_us":   func(r *row) any { return count(r.getPeers(), func(p library.Peer) bool { return p.DownRate > 0 }) },
	"percent_complete":      func(r *row) any { return share(r.t.Done, r.t.TotalSize) },
	"percent_done":          func(r *row) any { return share(r.t.Done, r.t.Size) },
	"piece_count":           func(r *row) any { return r.t.Pieces },
	"piece_size":            func(r *row) any { return r.t.PieceLength },
	"pieces":                pieceBits,
	"availability":          availability,
	"primary_mime_type":     mimeType,
	"priorities":            func(r *row) any { return each(r.getFiles(), func(f library.File) int { return priority(f.Priority) }) },
	"queue_position":        func(r *row) any { return max(r.t.Queue-1, 0) },
	"rate_download":         func(r *row) any { return r.t.DownRate },
	"rate_upload":           func(r *row) any { return r.t.UpRate },
	"recheck_progress":      func(r *row) any { return map[bool]float64{true: r.t.Progress}[r.t.State == library.Checking] },
	"seconds_downloading":   func(r *row) any { return max(r.t.ActiveTime-r.t.SeedingTime, 0) },
	"seconds_seeding":       func(r *row) any { return r.t.SeedingTime },
	"seed_idle_limit":       func(*row) any { return 0 },
	"seed_idle_mode":        func(*row) any { return 0 },
	"seed_ratio_limit":      func(r *row) any { return max(r.t.SeedRatio, 0) },
	"seed_ratio_mode":       seedRatioMode,
	"sequential_download":   func(r *row) any { return r.t.Sequential },
	"size_when_done":        func(r *row) any { return r.t.Size },
	"start_date":            func(r *row) any { return r.t.Added },
	"status":                func(r *row) any { return status(r.t) },
	"torrent_file":          func(*row) any { return "" },
	"total_size":            func(r *row) any { return r.t.TotalSize },
	"tracker_list":          trackerList,
	"tracker_stats":         trackerStats,
	"trackers":              trackers,
	"upload_limit":          func(r *row) any { return r.t.UpLimit / kilo },
	"upload_limited":        func(r *row) any { return r.t.UpLimit > 0 },
	"upload_ratio":          func(r *row) any { return r.t.Ratio },
	"uploaded_ever":         func(r *row) any { return r.t.Uploaded },
	"wanted": func(r *row) any {
		return each(r.getFiles(), func(f library.File) int { return map[bool]int{true: 1}[f.Priority != library.Skip] })
	},
	"webseeds": func(r *row) any { return append([]string{}, r.getDetail().WebSeeds...) },
	"webseeds_sending_to_us": func(r *row) any {
		return count(r.getPeers(), func(p library.Peer) bool { return p.Source == "web" && p.DownRate > 0 })
	},
}

func count[T any](list []T, of func(T) bool) (n int) {
	for _, x := range list {
		if of(x) {
			n++
		}
	}
	return n
}

func each[T, U any](list []T, of func(T) U) []U {
	out := make([]U, len(list))
	for i, x := range list {
		out[i] = of(x)
	}
	return out
}

func errorString(r *row) any {
	if r.t.State == library.Failed {
		return r.t.Reason
	}
	return ""
}

func priority(p library.Priority) int {
	return map[library.Priority]int{library.Low: -1, library.High: 1}[p]
}

func seedRatioMode(r *row) any {
	switch {
	case r.t.SeedRatio < 0:
		return 2
	case r.t.SeedRatio > 0:
		return 1
	}
	return 0
}

func files(r *row) any {
	return each(r.getFiles(), func(f library.File) map[string]any {
		return map[string]any{"name": f.Path, "length": f.Size, "bytes_completed": f.Done, "begin_piece": f.First, "end_piece": max(f.Last, f.First) + 1}
	})
}

func fileStats(r *row) any {
	return each(r.getFiles(), func(f library.File) map[string]any {
		return map[string]any{"bytes_completed": f.Done, "wanted": f.Priority != library.Skip, "priority": priority(f.Priority)}
	})
}

func peers(r *row) any {
	return each(r.getPeers(), func(p library.Peer) map[string]any {
		ip, port := p.Address, 0
		if a, err := netip.ParseAddrPort(p.Address); err == nil {
			ip, port = a.Addr().String(), int(a.Port())
		}
		return map[string]any{"address": ip, "port": port, "client_name": p.Client, "flag_str": p.Flags, "progress": p.Progress,
			"rate_to_client": p.DownRate, "rate_to_peer": p.UpRate, "is_downloading_from": p.DownRate > 0, "is_uploading_to": p.UpRate > 0,
			"is_encrypted": p.Encrypted, "is_incoming": p.Incoming, "is_utp": p.UTP, "client_is_choked": p.DownRate == 0, "client_is_interested": p.DownRate > 0,
			"peer_is_choked": p.UpRate == 0, "peer_is_interested": p.UpRate > 0}
	})
}

func peersFrom(r *row) any {
	from := map[string]any{"from_cache": 0, "from_dht": 0, "from_incoming": 0, "from_lpd": 0, "from_ltep": 0, "from_pex": 0, "from_tracker": 0}
	names := map[string]string{"dht": "from_dht", "incoming": "from_incoming", "lsd": "from_lpd", "pex": "from_pex", "tracker": "from_tracker"}
	for _, p := range r.getPeers() {
		if n := names[p.Source]; n != "" {
			from[n] = from[n].(int) + 1
		}
	}
	return from
}

// pieceBits is a bitfield, the first piece in the highest bit.
func pieceBits(r *row) any {
	p := r.getPieces()
	bits := make([]byte, (len(p)+7)/8)
	for i, s := range p {
		if s&3 == 2 {
			bits[i/8] |= 0x80 >> (i % 8)
		}
	}
	return base64.StdEncoding.EncodeToString(bits)
}

// availability is -1 for the pieces that are there; of the others it is the whole copies that are about.
func availability(r *row) any {
	return each(r.getPieces(), func(s byte) int {
		if s&3 == 2 {
			return -1
		}
		return max(int(r.t.Availability), 0)
	})
}

func mimeType(r *row) any {
	largest := library.File{Size: -1}
	for _, f := range r.getFiles() {
		if f.Size > largest.Size {
			largest = f
		}
	}
	if kind := mime.TypeByExtension(path.Ext(largest.Path)); kind != "" {
		return strings.Split(kind, ";")[0]
	}
	return "application/octet-stream"
}

func siteName(u string) (host, site string) {
	x, err := url.Parse(u)
	if err != nil {
		return "", ""
	}
	parts := strings.Split(x.Hostname(), ".")
	return x.Host, parts[max(len(parts)-2, 0)]
}

func trackers(r *row) any {
	list := []map[string]any{}
	for i, t := range r.getTrackers() {
		_, site := siteName(t.URL)
		list = append(list, map[string]any{"id": i, "announce": t.URL, "scrape": "", "sitename": site, "tier": t.Tier})
	}
	return list
}

func trackerList(r *row) any {
	var b strings.Builder
	tier := -1
	for i, t := range r.getTrackers() {
		if i > 0 && t.Tier != tier {
			b.WriteString("\n")
		}
		tier = t.Tier
		b.WriteString(t.URL + "\n")
	}
	return b.String()
}

func trackerStats(r *row) any {
	list := []map[string]any{}
	now := time.Now().Unix()
	for i, t := range r.getTrackers() {
		host, site := siteName(t.URL)
		said, next, state := t.Message, int64(0), 0
		if t.Working && said == "" {
			said = "Success"
		}
		if t.Next >= 0 {
			next, state = now+t.Next, 1
		}
		announced := t.Working || t.Message != ""
		list = append(list, map[string]any{"id": i, "announce": t.URL, "host": host, "sitename": site, "scrape": "", "tier": t.Tier, "is_backup": false,
			"announce_state": state, "scrape_state": 0, "has_announced": announced, "has_scraped": t.Seeds >= 0, "download_count": -1,
			"last_announce_peer_count": max(t.Seeds, 0) + max(t.Leeches, 0), "last_announce_result": said, "last_announce_start_time": 0, "last_announce_time": 0,
			"last_announce_succeeded": t.Working, "last_announce_timed_out": false, "last_scrape_result": "", "last_scrape_start_time": 0,
			"last_scrape_succeeded": t.Seeds >= 0, "last_scrape_time": 0, "last_scrape_timed_out": false, "leecher_count": t.Leeches, "seeder_count": t.Seeds,
			"next_announce_time": next, "next_scrape_time": 0})
	}
	return list
}
