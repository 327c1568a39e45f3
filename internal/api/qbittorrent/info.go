package qbittorrent

import (
	"cmp"
	"slices"
	"strings"

	"shoal/internal/library"
)

// info is a torrent as lists have it.
type info struct {
	Hash          string  `json:"hash"`
	HashV1        string  `json:"infohash_v1"`
	HashV2        string  `json:"infohash_v2"`
	Name          string  `json:"name"`
	MagnetURI     string  `json:"magnet_uri"`
	Size          int64   `json:"size"`
	TotalSize     int64   `json:"total_size"`
	Progress      float64 `json:"progress"`
	DownSpeed     int64   `json:"dlspeed"`
	UpSpeed       int64   `json:"upspeed"`
	Priority      int     `json:"priority"`
	NumSeeds      int     `json:"num_seeds"`
	NumComplete   int     `json:"num_complete"`
	NumLeechs     int     `json:"num_leechs"`
	NumIncomplete int     `json:"num_incomplete"`
	Ratio         float64 `json:"ratio"`
	RatioLimit    float64 `json:"ratio_limit"`
	MaxRatio      float64 `json:"max_ratio"`
	SeedingLimit  int64   `json:"seeding_time_limit"`
	MaxSeeding    int64   `json:"max_seeding_time"`
	InactiveLimit int64   `json:"inactive_seeding_time_limit"`
	MaxInactive   int64   `json:"max_inactive_seeding_time"`
	ETA           int64   `json:"eta"`
	State         string  `json:"state"`
	Sequential    bool    `json:"seq_dl"`
	FirstLast     bool    `json:"f_l_piece_prio"`
	Category      string  `json:"category"`
	Tags          string  `json:"tags"`
	SuperSeeding  bool    `json:"super_seeding"`
	ForceStart    bool    `json:"force_start"`
	SavePath      string  `json:"save_path"`
	DownloadPath  string  `json:"download_path"`
	ContentPath   string  `json:"content_path"`
	RootPath      string  `json:"root_path"`
	AddedOn       int64   `json:"added_on"`
	CompletionOn  int64   `json:"completion_on"`
	Tracker       string  `json:"tracker"`
	TrackersCount int     `json:"trackers_count"`
	DownLimit     int64   `json:"dl_limit"`
	UpLimit       int64   `json:"up_limit"`
	Downloaded    int64   `json:"downloaded"`
	Uploaded      int64   `json:"uploaded"`
	AmountLeft    int64   `json:"amount_left"`
	Completed     int64   `json:"completed"`
	SeenComplete  int64   `json:"seen_complete"`
	LastActivity  int64   `json:"last_activity"`
	TimeActive    int64   `json:"time_active"`
	SeedingTime   int64   `json:"seeding_time"`
	Availability  float64 `json:"availability"`
	AutoTMM       bool    `json:"auto_tmm"`
	Private       bool    `json:"private"`
	HasMetadata   bool    `json:"has_metadata"`
	Comment       string  `json:"comment"`
	Popularity    float64 `json:"popularity"`
	Reannounce    int64   `json:"reannounce"`
}

// never is an ETA that is unknown.
const never = 8640000

// goals are what ends the seeding of torrents that have no goals of their own, before the settings do.
type goals struct {
	categories map[string]library.Category
	rules      []library.SeedRule
}

// of returns a torrent's goals: its own, its category's, those of the first rule that matches; 0 is as the settings say, -1 none.
func (g *goals) of(t *library.Torrent) (ratio float64, seconds int64) {
	ratio, seconds = t.SeedRatio, t.SeedTime
	if c := g.categories[t.Category]; t.Category != "" {
		ratio, seconds = cmp.Or(ratio, c.SeedRatio), cmp.Or(seconds, c.SeedTime)
	}
	for _, r := range g.rules {
		if applies(&r, t) {
			return cmp.Or(ratio, r.Ratio, -1), cmp.Or(seconds, r.Time, -1)
		}
	}
	return ratio, seconds
}

// applies reports whether a rule is for a torrent, as far as its row tells: of its trackers that has the first.
func applies(r *library.SeedRule, t *library.Torrent) bool {
	tagged := r.Tag == nil || *r.Tag == "" && len(t.Tags) == 0 || slices.Contains(t.Tags, *r.Tag)
	tracker, host := strings.ToLower(r.Tracker), strings.ToLower(t.Tracker)
	return tagged && (r.Category == nil || *r.Category == t.Category) && (tracker == "" || host == tracker || strings.HasSuffix(host, "."+tracker))
}

// describe returns the row of a torrent. Programs compare its goals with its ratio before they remove it.
func describe(t *library.Torrent, g *goals) info {
	ratio, seconds := g.of(t)
	i := info{
		Hash: t.ID, HashV1: t.HashV1, HashV2: t.HashV2, Name: t.Name, MagnetURI: magnet(t), Size: t.Size, TotalSize: t.TotalSize, Progress: t.Progress,
		DownSpeed: t.DownRate, UpSpeed: t.UpRate, Priority: t.Queue, NumSeeds: t.Seeds, NumComplete: t.Seeds, NumLeechs: max(t.Peers-t.Seeds, 0),
		NumIncomplete: max(t.KnownPeers-t.Seeds, 0), Ratio: t.Ratio, RatioLimit: limitRatio(ratio), SeedingLimit: limitMinutes(seconds),
		InactiveLimit: -2, MaxInactive: -1, ETA: t.ETA, State: state(t), Sequential: t.Sequential, Category: t.Category, Tags: strings.Join(t.Tags, ", "),
		ForceStart: t.Forced, SavePath: t.Dir, ContentPath: t.Path, AddedOn: t.Added, CompletionOn: -1, Tracker: t.Tracker,
		DownLimit: t.DownLimit, UpLimit: t.UpLimit, Downloaded: t.Downloaded, Uploaded: t.Uploaded, AmountLeft: max(t.Size-t.Done, 0), Completed: t.Done,
		SeenComplete: t.Completed, LastActivity: t.LastActive, TimeActive: t.ActiveTime, SeedingTime: t.SeedingTime, Availability: t.Availability,
		Private: t.Private, HasMetadata: t.Files > 0,
	}
	i.MaxRatio, i.MaxSeeding = max(i.RatioLimit, -1), max(i.SeedingLimit, -1)
	if t.ETA < 0 {
		i.ETA = never
	}
	if t.Completed > 0 {
		i.CompletionOn = t.Completed
	}
	if t.Files > 1 {
		i.RootPath = t.Path
	}
	if t.State == library.Checking { // progress is the check's then
		i.Progress = 0
		if t.Size > 0 {
			i.Progress = float64(t.Done) / float64(t.Size)
		}
	}
	return i
}

func magnet(t *library.Torrent) string {
	var names []string
	if t.HashV1 != "" {
		names = append(names, "xt=urn:btih:"+t.HashV1)
	}
	if t.HashV2 != "" {
		names = append(names, "xt=urn:btmh:1220"+t.HashV2)
	}
	if names == nil {
		names = append(names, "xt=urn:btih:"+t.ID)
	}
	return "magnet:?" + strings.Join(names, "&")
}

// limitRatio returns a goal in qBittorrent's way: -2 is as the settings say, -1 none.
func limitRatio(r float64) float64 {
	switch {
	case r == 0:
		return -2
	case r < 0:
		return -1
	}
	return r
}

func limitMinutes(seconds int64) int64 {
	switch {
	case seconds == 0:
		return -2
	case seconds < 0:
		return -1
	}
	return (seconds + 59) / 60
}

// state returns qBittorrent's word, as of 5.0: stopped is what was paused before.
func state(t *library.Torrent) string {
	side := "DL"
	if t.Complete {
		side = "UP"
	}
	switch t.State {
	case library.Failed:
		return "error"
	case library.Paused:
		return "stopped" + side
	case library.Queued:
		return "queued" + side
	case library.Checking:
		return "checking" + side
	case library.Moving:
		return "moving"
	case library.Metadata:
		if t.Forced {
			return "forcedMetaDL"
		}
		return "metaDL"
	case library.Downloading:
		switch {
		case t.Forced:
			return "forcedDL"
		case t.DownRate == 0:
			return "stalledDL"
		}
		return "downloading"
	case library.Seeding:
		switch {
		case t.Forced:
			return "forcedUP"
		case t.UpRate == 0:
			return "stalledUP"
		}
		return "uploading"
	}
	return "unknown"
}

// matches reports whether a row is of those that a filter names.
func (i *info) matches(filter string) bool {
	stopped := strings.HasPrefix(i.State, "stopped")
	active := i.DownSpeed+i.UpSpeed > 0
	switch filter {
	case "", "all":
		return true
	case "downloading":
		return i.AmountLeft > 0 || i.Size == 0
	case "seeding":
		return i.State == "uploading" || i.State == "stalledUP" || i.State == "forcedUP" || i.State == "queuedUP" || i.State == "checkingUP"
	case "completed":
		return i.Size > 0 && i.AmountLeft == 0
	case "stopped", "paused":
		return stopped
	case "running", "resumed":
		return !stopped
	case "active":
		return active
	case "inactive":
		return !active
	case "stalled":
		return strings.HasPrefix(i.State, "stalled")
	case "stalled_uploading":
		return i.State == "stalledUP"
	case "stalled_downloading":
		return i.State == "stalledDL"
	case "checking":
		return strings.HasPrefix(i.State, "checking")
	case "moving":
		return i.State == "moving"
	case "errored":
		return i.State == "error"
	}
	return true // as qBittorrent does with a word that it does not know
}
