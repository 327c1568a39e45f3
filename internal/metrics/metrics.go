// Package metrics tells Prometheus how the node is: https://prometheus.io/docs/instrumenting/exposition_formats/.
//
// Everything is read from one Snapshot for each scrape, so that its numbers belong together. Names follow Prometheus' conventions: base units
// (bytes, seconds), "_total" for what only grows, and no label whose values strangers choose without bound.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Source has the numbers. Snapshot is called for each scrape, from any goroutine; with torrents it lists them too.
type Source interface {
	Snapshot(torrents bool) Snapshot
}

// Snapshot is a look at the node. Sizes are bytes, rates bytes a second. Counts since the start only grow until the node ends.
type Snapshot struct {
	Version string
	Started time.Time

	Torrents   map[string]int // by state
	Down, Up   float64        // rates of payload
	Downloaded int64          // payload since the start
	Uploaded   int64
	Wasted     int64 // payload that came twice or unasked, since the start
	BadBytes   int64 // of pieces that did not match their hashes, since the start
	LimitDown  int64 // in force; 0: none
	LimitUp    int64
	Peers      map[string]int   // connections, by transport: "tcp", "utp", "webseed"
	Incoming   map[string]int64 // connections that came in from other networks since the start, by family: "ipv4", "ipv6"
	DHT        []DHT
	Disks      []Disk
	Pool       Pool
	Queue      map[string]int  // torrents that wait for their turn, by what for: "download", "seed"
	PortsOpen  map[string]bool // opened by the router, by family
	Streams    int             // files being played
	Streamed   int64           // bytes sent to players since the start
	Clients    int             // that are told of changes as they happen
	Requests   []Requests      // to the API since the start
	Failing    map[string]bool // health by check: whether it fails
	List       []Torrent       // only if asked for
	Unlisted   int             // torrents that List leaves out
}

// DHT is the node's part in the DHT of a family.
type DHT struct {
	Family            string // "ipv4" or "ipv6"
	Nodes             int    // in the routing table
	Stored            int    // infohashes of which peers are kept for others
	Answered, Lost    int64  // own queries since the start
	BytesIn, BytesOut int64
}

// Disk is a file system that content lies on.
type Disk struct {
	Mount       string
	Free, Floor int64
}

// Pool is the memory for payload.
type Pool struct{ Used, Peak, Limit int64 }

// Requests counts requests to one of the APIs.
type Requests struct {
	API  string // "shoal", "qbittorrent", "transmission", "stream", "web"
	Code int    // of the answer
	N    int64
}

// Torrent is a torrent's own series.
type Torrent struct {
	ID, Name             string
	Size, Done           int64
	Down, Up             float64
	Downloaded, Uploaded int64 // since it was added
	Peers, Seeds         int
}

// maxTorrents bounds how many torrents have series of their own: each has eight.
const maxTorrents = 5000

// Handler answers scrapes. Torrents have series of their own only if the request asks for them, with ?torrents=true: a Prometheus keeps every
// series that it has ever seen, and torrents come and go.
func Handler(s Source) http.Handler {
	common := collectors.NewGoCollector()
	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	handler := func(torrents bool) http.Handler {
		r := prometheus.NewRegistry()
		r.MustRegister(common, process, &collector{source: s, torrents: torrents})
		return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 30 * time.Second})
	}
	few, all := handler(false), handler(true)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("torrents") == "true" {
			all.ServeHTTP(w, r)
			return
		}
		few.ServeHTTP(w, r)
	})
}
