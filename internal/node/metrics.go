package node

import (
	"net/http"

	"shoal/internal/bt/session"
	"shoal/internal/config"
	"shoal/internal/library"
	"shoal/internal/metrics"
)

// metrics returns what answers Prometheus, nil if nobody may ask.
func (w *work) metrics(c *config.Config) http.Handler {
	if c.API.Metrics == config.MetricsOff {
		return nil
	}
	return metrics.Handler(w)
}

// maxListed bounds the torrents that have series of their own.
const maxListed = 5000

// Snapshot implements metrics.Source.
func (w *work) Snapshot(torrents bool) metrics.Snapshot {
	t, c := w.library.Totals(), w.settings.current()
	s := metrics.Snapshot{
		Version: w.Version, Started: w.began, Torrents: map[string]int{}, Down: float64(t.DownRate), Up: float64(t.UpRate),
		Downloaded: t.SessionDown, Uploaded: t.SessionUp, Peers: map[string]int{}, Queue: map[string]int{}, Failing: map[string]bool{},
	}
	for name, err := range w.health() {
		s.Failing[name] = err != nil
	}
	s.LimitDown, s.LimitUp = w.rates(c)
	s.Pool.Used, s.Pool.Peak, s.Pool.Limit = w.session.Memory()
	for _, d := range t.Disks {
		s.Disks = append(s.Disks, metrics.Disk{Mount: d.Mount, Free: d.Free, Floor: d.Floor})
	}
	w.countTorrents(&s, torrents)
	w.countEngine(&s)
	w.countServers(&s)
	return s
}

// countTorrents counts torrents by state, and lists them if that is wanted.
func (w *work) countTorrents(s *metrics.Snapshot, list bool) {
	page, err := w.library.List(library.Query{})
	if err != nil {
		return // the query is a constant
	}
	for state, n := range page.Counts.State {
		s.Torrents[string(state)] = n
	}
	for i := range page.Torrents {
		t := &page.Torrents[i]
		if t.State == library.Queued {
			what := "download"
			if t.Complete {
				what = "seed"
			}
			s.Queue[what]++
		}
		switch {
		case !list:
		case len(s.List) == maxListed:
			s.Unlisted++
		default:
			s.List = append(s.List, metrics.Torrent{ID: t.ID, Name: t.Name, Size: t.Size, Done: t.Done, Down: float64(t.DownRate), Up: float64(t.UpRate),
				Downloaded: t.Downloaded, Uploaded: t.Uploaded, Peers: t.Peers, Seeds: t.Seeds})
		}
	}
}

// countEngine counts what the engine does.
func (w *work) countEngine(s *metrics.Snapshot) {
	s.Wasted, s.BadBytes = w.library.Wasted()
	for _, t := range w.session.Torrents() {
		look := t.Look()
		s.Peers["webseed"] += look.Swarm.WebSeeds
		s.Peers["utp"] += look.Swarm.UTP
		s.Peers["tcp"] += look.Swarm.Peers - look.Swarm.UTP
	}
	four, six := w.session.Incoming()
	s.Incoming = map[string]int64{"ipv4": four, "ipv6": six}
	if node := w.session.DHT(); node != nil {
		for _, f := range node.Status().Families {
			s.DHT = append(s.DHT, metrics.DHT{Family: f.Name, Nodes: f.Nodes, Stored: f.Infohashes, Answered: f.Answered, Lost: f.Lost,
				BytesIn: f.In.Bytes, BytesOut: f.Out.Bytes})
		}
	}
	s.PortsOpen = openPorts(w.session)
}

// openPorts tells for which families a router has opened our port; nil if none was asked.
func openPorts(s *session.Session) map[string]bool {
	m, ok := s.PortMap()
	if !ok {
		return nil
	}
	return map[string]bool{"ipv4": m.IPv4.Open(), "ipv6": m.IPv6.Open()}
}

// countServers counts what the servers do.
func (w *work) countServers(s *metrics.Snapshot) {
	s.Clients = w.server.Streams()
	for _, c := range w.server.Counts() {
		s.Requests = append(s.Requests, metrics.Requests{API: c.API, Code: c.Code, N: c.N})
	}
	s.Streams, s.Streamed = w.streams.Serving()
}
