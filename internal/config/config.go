// Package config holds every setting of the node, each declared once in a table (table.go). From that are made: reading the TOML file, the
// environment and flags, what the API shows and saves, the commented example file, and the errors.
//
// A value comes from the first of these that has one: a flag, the environment, the file, what was saved through the API, the default.
package config

import (
	"net/netip"
	"time"

	"shoal/internal/netx"
)

// Config is what the node is to do. Paths are absolute. A limit of 0 is none, unless it says otherwise.
type Config struct {
	Folders    Folders
	API        API
	Network    Network
	Bandwidth  Bandwidth
	Queue      Queue
	Seeding    Seeding
	Disk       Disk
	Stream     Stream
	Completion Completion
	Log        Log
	Admin      Admin
}

// Folders are where things lie.
type Folders struct {
	Downloads  string
	Incomplete string   // where downloads are until they are done; empty: where they will stay
	State      string   // the database, and below it "torrents": metadata and resume journals, as of the verbs that work without a node
	Browse     []string // what may be listed and shared through the API, beside Downloads
}

// Torrents is the folder of metadata and resume journals.
func (f Folders) Torrents() string { return torrents(f.State) }

// API is how programs and browsers reach the node.
type API struct {
	Listen         string   // address and port; empty: none
	Socket         string   // path of the Unix socket; empty: none
	Hosts          []string // names by which browsers may ask for us, beside localhost and addresses
	BasePath       string   // "" or "/path" without a slash at the end
	TrustedProxies []netip.Prefix
	TLSCert        string // files in PEM; empty: plain HTTP
	TLSKey         string
	Metrics        string // MetricsOff, MetricsPrivate or MetricsPublic
	QBittorrent    bool
	Transmission   bool
}

// Who may read /metrics.
const (
	MetricsOff     = "off"
	MetricsPrivate = "private" // who is logged in or has a token
	MetricsPublic  = "public"
)

// Network is how peers are found and reached.
type Network struct {
	Listen          string // empty: the first free port from 6881 to 6889
	PortFile        string // a file with the port to listen on, which is followed; empty: none
	Route           string // see netx.ParseRoute; may hold a password
	Bind            string // an interface or a local address
	Anonymous       bool
	Isolated        bool
	Encryption      string // see road.ParseEncryption
	UTP             bool
	DHT             bool
	DHTNodes        []string // HOST:PORT
	LSD             bool
	PortMap         bool
	Countries       string // a file; see package geoip
	IPFilter        string // a file
	MaxPeers        int
	MaxPeersTorrent int
}

// Binding tells how the sockets for peers are held, as netx.Route.Binding does: what Route and Bind come to together.
func (n *Network) Binding() (device string, local netip.Addr, proxy string) {
	if r, err := netx.ParseRoute(n.Route); err == nil {
		device, local, proxy = r.Binding()
	}
	if n.Bind == "" {
		return device, local, proxy
	}
	if a, err := netip.ParseAddr(n.Bind); err == nil {
		return device, a.Unmap(), proxy
	}
	return n.Bind, local, proxy
}

// Bandwidth is in bytes a second.
type Bandwidth struct {
	Down, Up       int64
	LANFree        bool
	AltDown, AltUp int64
	Alternative    bool // AltDown and AltUp are in force
}

// Rates returns the limits in force.
func (b Bandwidth) Rates() (down, up int64) {
	if b.Alternative {
		return b.AltDown, b.AltUp
	}
	return b.Down, b.Up
}

// Queue bounds how many torrents are active at once.
type Queue struct {
	ActiveDownloads int
	ActiveSeeds     int
	ActiveTotal     int
}

// Seeding says when a torrent has been seeded enough, and what then. Ratio and Time hold whichever comes first.
type Seeding struct {
	Ratio  float64
	Time   time.Duration
	Action string // one of the Action constants
}

// What is done with a torrent that has been seeded enough.
const (
	ActionPause      = "pause"
	ActionRemove     = "remove"
	ActionRemoveData = "remove_data"
	ActionNone       = "none"
)

// Disk is how content is written.
type Disk struct {
	FreeSpaceFloor int64 // bytes of each file system that downloads leave free
	Preallocate    bool
	Memory         int64 // bytes of payload held at most on its way to disk
}

// Stream is how content is played.
type Stream struct {
	DLNA  bool
	Ahead int64 // bytes fetched ahead of the place that a player reads at
}

// Completion is what is done when a download is.
type Completion struct {
	Command []string // a program and its arguments; empty: nothing
}

// Log is what is told of the work.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // text or json
}

// Admin is the first user, made when there is none yet.
type Admin struct {
	Name     string
	Password string // empty: a setup code is printed instead
}
