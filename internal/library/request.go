package library

import "errors"

// Errors that calls wrap, for whoever must answer with a code.
var (
	ErrNotFound = errors.New("no such torrent")
	ErrExists   = errors.New("this torrent is here already")
	ErrBad      = errors.New("cannot be done") // what was asked makes no sense; the message says why
	ErrNoInfo   = errors.New("the torrent's content is not known yet")
)

// Request says what to add. Link or Torrent is needed.
type Request struct {
	Link    string // magnet link, infohash, or URL of a .torrent file
	Torrent []byte // a .torrent file

	Dir        string // empty: as the category or the settings say
	Category   string
	Tags       []string
	Name       string // to call it otherwise; empty: its own name
	Paused     bool
	Forced     bool
	Top        bool // first in the queue
	Sequential bool
	SkipCheck  bool  // all data is there and sound: do not hash it
	Select     []int // wanted files by index; nil: all, or what the link says
	Trackers   []string
	Peers      []string // HOST:PORT
	DownLimit  int64
	UpLimit    int64
	SeedRatio  float64
	SeedTime   int64
}

// Added is what came of a Request.
type Added struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Existed bool   `json:"existed" doc:"it was here already; trackers of the new link were added to it"`
}

// Change says what to change of a torrent. Nil leaves a value as it is.
type Change struct {
	Name       *string   `json:"name,omitempty"`
	Category   *string   `json:"category,omitempty"`
	Tags       *[]string `json:"tags,omitempty" doc:"all of them"`
	AddTags    []string  `json:"add_tags,omitempty"`
	RemoveTags []string  `json:"remove_tags,omitempty"`
	Dir        *string   `json:"dir,omitempty" doc:"its files are moved there"`
	Sequential *bool     `json:"sequential,omitempty"`
	Forced     *bool     `json:"forced,omitempty"`
	DownLimit  *int64    `json:"down_limit,omitempty" minimum:"0" doc:"bytes/s; 0: none"`
	UpLimit    *int64    `json:"up_limit,omitempty" minimum:"0" doc:"bytes/s; 0: none"`
	SeedRatio  *float64  `json:"seed_ratio,omitempty" doc:"0: as the rules say; -1: without end"`
	SeedTime   *int64    `json:"seed_time,omitempty" doc:"seconds; 0: as the rules say; -1: without end"`
}

// Action is what can be done to many torrents at once.
type Action string

// Actions.
const (
	Pause      Action = "pause"
	Resume     Action = "resume"
	Force      Action = "force" // resume regardless of the queue and of seed rules
	Recheck    Action = "recheck"
	Announce   Action = "announce"
	Top        Action = "top" // of the queue
	Up         Action = "up"
	Down       Action = "down"
	Bottom     Action = "bottom"
	Remove     Action = "remove"      // its files stay
	RemoveData Action = "remove_data" // its files go too
)

// Actions lists every action.
var Actions = []Action{Pause, Resume, Force, Recheck, Announce, Top, Up, Down, Bottom, Remove, RemoveData}

// SeedRule ends the seeding of torrents that it matches. The first that matches counts; a torrent's own goals and its category's come before.
type SeedRule struct {
	Category *string `json:"category,omitempty" doc:"nil: any; empty: without"`
	Tag      *string `json:"tag,omitempty"`
	Tracker  string  `json:"tracker,omitempty" doc:"host, with its subdomains; empty: any"`
	Ratio    float64 `json:"ratio" doc:"uploaded by size; 0: does not count"`
	Time     int64   `json:"time" doc:"seconds of seeding; 0: does not count"`
	MinSeeds int     `json:"min_seeds" doc:"go on while fewer other seeds than this are seen"`
	Then     string  `json:"then" enum:"pause,remove,remove_data"`
}

// ShareRequest says what to hash and, unless OnlyCreate, seed where it lies.
type ShareRequest struct {
	Path        string   `json:"path" doc:"file or folder on the node's machine"`
	Name        string   `json:"name,omitempty"`
	Format      string   `json:"format,omitempty" enum:"hybrid,v1,v2" default:"hybrid"`
	PieceLength int64    `json:"piece_length,omitempty" doc:"bytes, a power of two from 16 KiB; 0: by size"`
	Private     bool     `json:"private,omitempty"`
	Trackers    []string `json:"trackers,omitempty"`
	WebSeeds    []string `json:"web_seeds,omitempty"`
	Comment     string   `json:"comment,omitempty"`
	Source      string   `json:"source,omitempty"`
	Category    string   `json:"category,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	OnlyCreate  bool     `json:"only_create,omitempty" doc:"make the torrent and do not seed it"`
}

// Job is work that takes long: hashing what is to be shared.
type Job struct {
	ID      string `json:"id"`
	Path    string `json:"path"`
	State   string `json:"state" enum:"running,done,failed,cancelled"`
	Message string `json:"message,omitempty" doc:"what went wrong"`
	Done    int64  `json:"done" doc:"bytes hashed"`
	Total   int64  `json:"total"`
	Torrent string `json:"torrent,omitempty" doc:"id of what is seeded now"`
	Magnet  string `json:"magnet,omitempty"`
	Begun   int64  `json:"begun" doc:"Unix time"`
}

// History is columns for charts. Each has a value for each time.
type History struct {
	Step     int64   `json:"step" doc:"seconds between times"`
	Times    []int64 `json:"times" nullable:"false"`
	DownRate []int64 `json:"down_rate" nullable:"false"`
	UpRate   []int64 `json:"up_rate" nullable:"false"`
	Peers    []int64 `json:"peers" nullable:"false"`
	DHTNodes []int64 `json:"dht_nodes" nullable:"false"`
}
