package metrics

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// metric is one family of series.
type metric struct {
	name   string
	kind   prometheus.ValueType
	help   string
	labels []string
	values func(*Snapshot, func(v float64, labels ...string))
}

// desc makes the metric's description.
func (m *metric) desc() *prometheus.Desc { return prometheus.NewDesc(m.name, m.help, m.labels, nil) }

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// one is the values of a metric without labels.
func one[T int | int64 | float64](f func(*Snapshot) T) func(*Snapshot, func(float64, ...string)) {
	return func(s *Snapshot, emit func(float64, ...string)) { emit(float64(f(s))) }
}

// each is the values of a metric with one label.
func each[T int | int64](f func(*Snapshot) map[string]T) func(*Snapshot, func(float64, ...string)) {
	return func(s *Snapshot, emit func(float64, ...string)) {
		for label, v := range f(s) {
			emit(float64(v), label)
		}
	}
}

// flags is each for what is or is not.
func flags(f func(*Snapshot) map[string]bool) func(*Snapshot, func(float64, ...string)) {
	return func(s *Snapshot, emit func(float64, ...string)) {
		for label, is := range f(s) {
			v := 0.0
			if is {
				v = 1
			}
			emit(v, label)
		}
	}
}

// dht is the values of a metric of each family of the DHT.
func dht[T int | int64](f func(*DHT) T) func(*Snapshot, func(float64, ...string)) {
	return func(s *Snapshot, emit func(float64, ...string)) {
		for i := range s.DHT {
			emit(float64(f(&s.DHT[i])), s.DHT[i].Family)
		}
	}
}

// disk is the values of a metric of each file system.
func disk(f func(*Disk) int64) func(*Snapshot, func(float64, ...string)) {
	return func(s *Snapshot, emit func(float64, ...string)) {
		for i := range s.Disks {
			emit(float64(f(&s.Disks[i])), printable(s.Disks[i].Mount))
		}
	}
}

// torrent is the values of a metric of each torrent.
func torrent[T int | int64 | float64](f func(*Torrent) T) func(*Snapshot, func(float64, ...string)) {
	return func(s *Snapshot, emit func(float64, ...string)) {
		for i := range s.List[:min(len(s.List), maxTorrents)] {
			emit(float64(f(&s.List[i])), s.List[i].ID)
		}
	}
}

var nodeMetrics = []metric{
	{"shoal_build_info", gauge, "1, with the version as a label.", []string{"version"}, func(s *Snapshot, emit func(float64, ...string)) { emit(1, printable(s.Version)) }},
	{"shoal_start_time_seconds", gauge, "When the node was started, in Unix time.", nil, one(func(s *Snapshot) float64 { return float64(s.Started.UnixMilli()) / 1000 })},
	{"shoal_torrents", gauge, "Torrents, by state.", []string{"state"}, each(func(s *Snapshot) map[string]int { return s.Torrents })},
	{"shoal_queue_torrents", gauge, "Torrents that wait for their turn.", []string{"for"}, each(func(s *Snapshot) map[string]int { return s.Queue })},
	{"shoal_download_bytes_per_second", gauge, "Payload downloaded, bytes a second.", nil, one(func(s *Snapshot) float64 { return s.Down })},
	{"shoal_upload_bytes_per_second", gauge, "Payload uploaded, bytes a second.", nil, one(func(s *Snapshot) float64 { return s.Up })},
	{"shoal_downloaded_bytes_total", counter, "Payload downloaded.", nil, one(func(s *Snapshot) int64 { return s.Downloaded })},
	{"shoal_uploaded_bytes_total", counter, "Payload uploaded.", nil, one(func(s *Snapshot) int64 { return s.Uploaded })},
	{"shoal_wasted_bytes_total", counter, "Payload that came twice or unasked.", nil, one(func(s *Snapshot) int64 { return s.Wasted })},
	{"shoal_bad_bytes_total", counter, "Payload of pieces that did not match their hashes.", nil, one(func(s *Snapshot) int64 { return s.BadBytes })},
	{"shoal_download_limit_bytes_per_second", gauge, "Download limit in force, bytes a second; 0 is none.", nil, one(func(s *Snapshot) int64 { return s.LimitDown })},
	{"shoal_upload_limit_bytes_per_second", gauge, "Upload limit in force, bytes a second; 0 is none.", nil, one(func(s *Snapshot) int64 { return s.LimitUp })},
	{"shoal_peers", gauge, "Connections with peers.", []string{"transport"}, each(func(s *Snapshot) map[string]int { return s.Peers })},
	{"shoal_incoming_connections_total", counter, "Connections that came in from other networks.", []string{"family"}, each(func(s *Snapshot) map[string]int64 { return s.Incoming })},
	{"shoal_port_open", gauge, "1 if the router has opened our port.", []string{"family"}, flags(func(s *Snapshot) map[string]bool { return s.PortsOpen })},
	{"shoal_dht_nodes", gauge, "Nodes in the routing table of the DHT.", []string{"family"}, dht(func(d *DHT) int { return d.Nodes })},
	{"shoal_dht_stored_infohashes", gauge, "Infohashes of which peers are kept for others.", []string{"family"}, dht(func(d *DHT) int { return d.Stored })},
	{"shoal_dht_queries_answered_total", counter, "Queries to DHT nodes that were answered.", []string{"family"}, dht(func(d *DHT) int64 { return d.Answered })},
	{"shoal_dht_queries_lost_total", counter, "Queries to DHT nodes that were not answered.", []string{"family"}, dht(func(d *DHT) int64 { return d.Lost })},
	{"shoal_dht_received_bytes_total", counter, "Bytes of DHT messages that came in.", []string{"family"}, dht(func(d *DHT) int64 { return d.BytesIn })},
	{"shoal_dht_sent_bytes_total", counter, "Bytes of DHT messages that went out.", []string{"family"}, dht(func(d *DHT) int64 { return d.BytesOut })},
	{"shoal_disk_free_bytes", gauge, "Bytes free on a file system that content lies on.", []string{"mount"}, disk(func(d *Disk) int64 { return d.Free })},
	{"shoal_disk_floor_bytes", gauge, "Bytes that downloads leave free on it.", []string{"mount"}, disk(func(d *Disk) int64 { return d.Floor })},
	{"shoal_payload_memory_bytes", gauge, "Memory that payload takes on its way.", nil, one(func(s *Snapshot) int64 { return s.Pool.Used })},
	{"shoal_payload_memory_peak_bytes", gauge, "The most that it has been.", nil, one(func(s *Snapshot) int64 { return s.Pool.Peak })},
	{"shoal_payload_memory_limit_bytes", gauge, "The most that it may be.", nil, one(func(s *Snapshot) int64 { return s.Pool.Limit })},
	{"shoal_streams", gauge, "Files being played.", nil, one(func(s *Snapshot) int { return s.Streams })},
	{"shoal_streamed_bytes_total", counter, "Bytes sent to players.", nil, one(func(s *Snapshot) int64 { return s.Streamed })},
	{"shoal_event_clients", gauge, "Clients that are told of changes as they happen.", nil, one(func(s *Snapshot) int { return s.Clients })},
	{"shoal_api_requests_total", counter, "Requests to the API, by the API and the answer's code.", []string{"api", "code"}, func(s *Snapshot, emit func(float64, ...string)) {
		for _, r := range s.Requests {
			emit(float64(r.N), r.API, strconv.Itoa(r.Code))
		}
	}},
	{"shoal_check_failing", gauge, "1 if a check of the node's health fails.", []string{"check"}, flags(func(s *Snapshot) map[string]bool { return s.Failing })},
}

var torrentMetrics = []metric{
	{"shoal_torrent_info", gauge, "1, with the torrent's name as a label.", []string{"id", "name"}, func(s *Snapshot, emit func(float64, ...string)) {
		for _, t := range s.List[:min(len(s.List), maxTorrents)] {
			emit(1, t.ID, printable(t.Name))
		}
	}},
	{"shoal_torrent_size_bytes", gauge, "Size of the files wanted.", []string{"id"}, torrent(func(t *Torrent) int64 { return t.Size })},
	{"shoal_torrent_done_bytes", gauge, "What is there of them.", []string{"id"}, torrent(func(t *Torrent) int64 { return t.Done })},
	{"shoal_torrent_download_bytes_per_second", gauge, "Payload downloaded, bytes a second.", []string{"id"}, torrent(func(t *Torrent) float64 { return t.Down })},
	{"shoal_torrent_upload_bytes_per_second", gauge, "Payload uploaded, bytes a second.", []string{"id"}, torrent(func(t *Torrent) float64 { return t.Up })},
	{"shoal_torrent_downloaded_bytes_total", counter, "Payload downloaded since the torrent was added.", []string{"id"}, torrent(func(t *Torrent) int64 { return t.Downloaded })},
	{"shoal_torrent_uploaded_bytes_total", counter, "Payload uploaded since the torrent was added.", []string{"id"}, torrent(func(t *Torrent) int64 { return t.Uploaded })},
	{"shoal_torrent_peers", gauge, "Connections with peers that are no seeds.", []string{"id"}, torrent(func(t *Torrent) int { return t.Peers })},
	{"shoal_torrent_seeds", gauge, "Connections with seeds.", []string{"id"}, torrent(func(t *Torrent) int { return t.Seeds })},
	{"shoal_torrents_unlisted", gauge, "Torrents that have no series of their own, for there are too many.", nil, one(func(s *Snapshot) int { return s.Unlisted + max(0, len(s.List)-maxTorrents) })},
}

// maxLabel bounds a label's value, in bytes.
const maxLabel = 200

// printable makes a text of strangers fit for a label.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= maxLabel {
		return s
	}
	cut := maxLabel
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// collector implements prometheus.Collector.
type collector struct {
	source   Source
	torrents bool
}

func (c *collector) metrics() []metric {
	if c.torrents {
		return append(nodeMetrics[:len(nodeMetrics):len(nodeMetrics)], torrentMetrics...)
	}
	return nodeMetrics
}

func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics() {
		out <- m.desc()
	}
}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.source.Snapshot(c.torrents)
	for _, m := range c.metrics() {
		d := m.desc()
		m.values(&s, func(v float64, labels ...string) { out <- prometheus.MustNewConstMetric(d, m.kind, v, labels...) })
	}
}
