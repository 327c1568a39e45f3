package library

// State is what a torrent of the library is doing, in the words that people and other programs read.
type State string

// States. Which of them a torrent is in follows from what a person wants (paused), the queue and the engine.
const (
	Paused      State = "paused"
	Queued      State = "queued"      // waits for a place among those at work
	Metadata    State = "metadata"    // asks peers what the content is
	Checking    State = "checking"    // hashes what is on disk
	Downloading State = "downloading" //
	Seeding     State = "seeding"     //
	Moving      State = "moving"      // its files are on their way to another folder
	Failed      State = "failed"      // stands still; Reason says why
)

// States lists every state.
var States = []State{Downloading, Seeding, Metadata, Checking, Moving, Queued, Paused, Failed}

// Torrent is a row of the list. Sizes are bytes, rates bytes/s, times Unix seconds (0: never), durations seconds.
type Torrent struct {
	ID           string   `json:"id" doc:"40 hexadecimal digits; never changes"`
	HashV1       string   `json:"infohash_v1,omitempty" doc:"SHA-1 of the info dictionary (BEP 3)"`
	HashV2       string   `json:"infohash_v2,omitempty" doc:"SHA-256 of the info dictionary (BEP 52)"`
	Name         string   `json:"name" doc:"what to call it; of the link until the metadata is known"`
	State        State    `json:"state" enum:"downloading,seeding,metadata,checking,moving,queued,paused,failed"`
	Reason       string   `json:"reason,omitempty" doc:"why it is slow or stands still, in words"`
	Size         int64    `json:"size" doc:"bytes of the wanted files; 0 until known"`
	TotalSize    int64    `json:"total_size" doc:"bytes of all files; 0 until known"`
	Done         int64    `json:"done" doc:"bytes of the wanted files that are there"`
	Progress     float64  `json:"progress" doc:"done/size, 0 to 1; while checking, the share that was checked"`
	Complete     bool     `json:"complete" doc:"every wanted piece is there"`
	DownRate     int64    `json:"down_rate"`
	UpRate       int64    `json:"up_rate"`
	Downloaded   int64    `json:"downloaded" doc:"payload bytes ever received"`
	Uploaded     int64    `json:"uploaded" doc:"payload bytes ever sent"`
	Ratio        float64  `json:"ratio" doc:"uploaded bytes by size of the wanted files"`
	ETA          int64    `json:"eta" doc:"seconds until it is complete; -1: unknown"`
	Peers        int      `json:"peers" doc:"connections"`
	Seeds        int      `json:"seeds" doc:"of those, seeds"`
	KnownPeers   int      `json:"known_peers" doc:"addresses of peers known"`
	Category     string   `json:"category"`
	Tags         []string `json:"tags" nullable:"false"`
	Tracker      string   `json:"tracker,omitempty" doc:"host of the first tracker"`
	Added        int64    `json:"added" doc:"Unix time"`
	Completed    int64    `json:"completed" doc:"Unix time; 0: not yet"`
	LastActive   int64    `json:"last_active" doc:"Unix time when payload was last received or sent; 0: never"`
	ActiveTime   int64    `json:"active_time" doc:"seconds at work"`
	SeedingTime  int64    `json:"seeding_time" doc:"seconds at work since it was complete"`
	Queue        int      `json:"queue" doc:"place in the queue, from 1"`
	Forced       bool     `json:"forced" doc:"at work regardless of the queue and of seed rules"`
	Sequential   bool     `json:"sequential"`
	Private      bool     `json:"private"`
	DownLimit    int64    `json:"down_limit" doc:"bytes/s; 0: none of its own"`
	UpLimit      int64    `json:"up_limit" doc:"bytes/s; 0: none of its own"`
	SeedRatio    float64  `json:"seed_ratio" doc:"goal of its own; 0: as the rules say; -1: without end"`
	SeedTime     int64    `json:"seed_time" doc:"seconds; goal of its own; 0: as the rules say; -1: without end"`
	Dir          string   `json:"dir" doc:"folder that its files lie below"`
	Path         string   `json:"path" doc:"the file, or the folder of its files; empty until known"`
	Files        int      `json:"files" doc:"how many; 0 until known"`
	Pieces       int      `json:"pieces" doc:"how many; 0 until known"`
	PieceLength  int64    `json:"piece_length"`
	Availability float64  `json:"availability" doc:"whole copies among the peers that we see; -1: unknown"`
}

// Detail is all about one torrent that a row leaves out.
type Detail struct {
	Torrent
	Magnet    string   `json:"magnet"`
	Comment   string   `json:"comment,omitempty"`
	CreatedBy string   `json:"created_by,omitempty"`
	CreatedAt int64    `json:"created_at,omitempty" doc:"Unix time"`
	Wasted    int64    `json:"wasted" doc:"payload bytes that failed their hash or came twice"`
	WebSeeds  []string `json:"web_seeds,omitempty"`
	Notices   []string `json:"notices,omitempty" doc:"what is odd about the torrent, in words"`
}

// Priority says how much a file is wanted.
type Priority string

// Priorities.
const (
	Skip   Priority = "skip"
	Low    Priority = "low"
	Normal Priority = "normal"
	High   Priority = "high"
)

// File is one file of a torrent.
type File struct {
	Index    int      `json:"index" doc:"place in the torrent, from 0"`
	Path     string   `json:"path" doc:"below the torrent's dir, with slashes"`
	Size     int64    `json:"size"`
	Done     int64    `json:"done" doc:"bytes of its pieces that are there"`
	Priority Priority `json:"priority" enum:"skip,low,normal,high"`
	First    int      `json:"first_piece"`
	Last     int      `json:"last_piece" doc:"first_piece-1 for an empty file"`
}

// Peer is one connection.
type Peer struct {
	Address    string  `json:"address"`
	Client     string  `json:"client"`
	Source     string  `json:"source" doc:"how it was found: tracker, dht, pex, lsd, incoming, static, web"`
	Flags      string  `json:"flags" doc:"letters; each is explained in docs/node.md"`
	Country    string  `json:"country,omitempty" doc:"ISO 3166-1, if a database was given"`
	Progress   float64 `json:"progress" doc:"0 to 1"`
	DownRate   int64   `json:"down_rate"`
	UpRate     int64   `json:"up_rate"`
	Downloaded int64   `json:"downloaded"`
	Uploaded   int64   `json:"uploaded"`
	Encrypted  bool    `json:"encrypted"`
	UTP        bool    `json:"utp"`
	Incoming   bool    `json:"incoming"`
}

// Tracker is one place where peers are looked for.
type Tracker struct {
	URL     string `json:"url" doc:"or dht, lsd, pex"`
	Tier    int    `json:"tier"`
	Working bool   `json:"working" doc:"the last announce was answered"`
	Message string `json:"message,omitempty" doc:"of the tracker, or what went wrong"`
	Seeds   int    `json:"seeds" doc:"-1: unknown"`
	Leeches int    `json:"leeches" doc:"-1: unknown"`
	Next    int64  `json:"next" doc:"seconds until the next announce; -1: none planned"`
}

// Category groups torrents: each is in one or none.
type Category struct {
	Name      string  `json:"name" maxLength:"200"`
	Dir       string  `json:"dir" doc:"where its torrents go; empty: a folder of its name in the download folder"`
	SeedRatio float64 `json:"seed_ratio" doc:"0: as the rules say; -1: without end"`
	SeedTime  int64   `json:"seed_time" doc:"seconds; 0: as the rules say; -1: without end"`
}

// Counts tells how many torrents there are of each kind.
type Counts struct {
	State    map[State]int  `json:"state"`
	Category map[string]int `json:"category" doc:"empty name: without"`
	Tag      map[string]int `json:"tag" doc:"empty name: without"`
	Tracker  map[string]int `json:"tracker" doc:"by host; empty name: without"`
	All      int            `json:"all"`
	Active   int            `json:"active" doc:"payload moves"`
	Complete int            `json:"complete"`
}

// Query chooses rows of the list. The zero value is everything, the newest first.
type Query struct {
	Text     string  // words that all occur in the name
	State    []State // any of these; and the words "active", "complete", "incomplete"
	Category *string // nil: any; "": without
	Tag      *string
	Tracker  *string
	Sort     string // a json name of Torrent's; empty: added
	Desc     bool
	Offset   int
	Limit    int // 0: no limit
}

// Page is the answer to a Query.
type Page struct {
	Revision uint64    `json:"revision" doc:"grows with each change of the list"`
	Total    int       `json:"total" doc:"rows that match"`
	Torrents []Torrent `json:"torrents" nullable:"false"`
	Counts   Counts    `json:"counts"`
}

// Totals is the node as a whole.
type Totals struct {
	DownRate    int64    `json:"down_rate"`
	UpRate      int64    `json:"up_rate"`
	Downloaded  int64    `json:"downloaded" doc:"ever"`
	Uploaded    int64    `json:"uploaded" doc:"ever"`
	SessionDown int64    `json:"session_downloaded" doc:"since the node was started"`
	SessionUp   int64    `json:"session_uploaded" doc:"since the node was started"`
	Peers       int      `json:"peers"`
	DHTNodes    int      `json:"dht_nodes"`
	Torrents    int      `json:"torrents"`
	Active      int      `json:"active"`
	Port        int      `json:"port" doc:"where peers reach us; 0: nowhere"`
	Reachable   bool     `json:"reachable" doc:"a peer has reached the port"`
	Uptime      int64    `json:"uptime" doc:"seconds"`
	Memory      int64    `json:"memory" doc:"bytes of payload held"`
	Disks       []Disk   `json:"disks" nullable:"false"`
	Notices     []string `json:"notices" nullable:"false"`
}

// Disk is a filesystem that torrents lie on.
type Disk struct {
	Mount string `json:"mount"`
	Free  int64  `json:"free"`
	Floor int64  `json:"floor" doc:"downloads stand still when less is free"`
	Full  bool   `json:"full" doc:"they do"`
}
