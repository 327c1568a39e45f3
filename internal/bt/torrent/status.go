package torrent

import (
	"fmt"
	"slices"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/swarm"
	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// Status is a look at a torrent for people and for --json. Rates are bytes/s, sizes bytes.
type Status struct {
	InfoHash  ident.InfoHash
	Name      string // empty until the info is known
	Phase     Phase
	Problem   error         // why it stands still; nil: it does not
	DiskFull  bool          // that is why
	Held      bool          // that is why: see Hold
	Total     int64         // of the wanted files; 0 until known
	Done      int64         // of those, what is there and hashed, or on its way into a piece
	Checked   float64       // 0 … 1 while Checking
	Down, Up  float64       // payload rates
	ETA       time.Duration // negative: unknown
	Swarm     swarm.Stats
	WebSeeds  []WebSeed
	Files     int
	PieceSize int64
	Port      uint16        // where peers reach us; 0: nowhere
	Age       time.Duration // since it was started
	Idle      time.Duration // since payload last came
	Seeding   time.Duration // since every wanted piece was there; 0 until then

	at time.Duration // when it was made, on the swarm's clock
}

// Status returns the latest look, at most about a second old; while the torrent rests, nothing but times changes.
func (t *Torrent) Status() Status {
	st := *t.status.Load()
	st.pass(t.now() - st.at)
	return st
}

// pass makes a look older.
func (st *Status) pass(d time.Duration) {
	st.Age += d
	st.Idle += d
	if st.Phase == Seeding {
		st.Seeding += d
	}
	st.WebSeeds = slices.Clone(st.WebSeeds)
	for i := range st.WebSeeds {
		st.WebSeeds[i].Retry = max(0, st.WebSeeds[i].Retry-d)
	}
}

// Info returns the content's description, nil until it is known.
func (t *Torrent) Info() *metainfo.Info {
	if !t.known.isSet() {
		return nil
	}
	return t.info
}

// Hashes returns the expected hashes, nil until the info is known.
func (t *Torrent) Hashes() *metainfo.Hashes {
	if !t.known.isSet() {
		return nil
	}
	return t.hashes
}

// Trackers returns what the places where peers are looked for say.
func (t *Torrent) Trackers() []discovery.Status {
	var out []discovery.Status
	for _, f := range *t.finders.Load() {
		out = append(out, f.Status()...)
	}
	return out
}

// Uploaded returns the payload bytes sent until now.
func (t *Torrent) Uploaded() int64 {
	n := t.progress[0].Load()
	_ = t.call(func() { // after the end the last count stands
		t.countAll(t.now())
		n = t.sw.Stats().UpTotal
	})
	return n
}

// Peers returns a look at every connection.
func (t *Torrent) Peers() []swarm.PeerStats {
	var out []swarm.PeerStats
	if t.call(func() { out = t.sw.PeerStats() }) != nil {
		return nil
	}
	return out
}

// Pieces returns which pieces are there.
func (t *Torrent) Pieces() []bool {
	var out []bool
	err := t.call(func() {
		if t.view == nil {
			return
		}
		out = make([]bool, t.view.Len())
		for i := range out {
			out[i] = t.view.Has(i)
		}
	})
	if err != nil {
		return nil
	}
	return out
}

// rates smooth the payload of all connections together.
type rates struct {
	at       time.Duration
	down, up int64
	downRate float64
	upRate   float64
	lastDown time.Duration // when payload last came
}

func (r *rates) update(now time.Duration, down, up int64) {
	passed := (now - r.at).Seconds()
	if passed < 0.5 {
		return
	}
	const weight = 0.4
	d, u := float64(down-r.down)/passed, float64(up-r.up)/passed
	if r.downRate == 0 && r.upRate == 0 {
		r.downRate, r.upRate = d, u
	}
	r.downRate += weight * (d - r.downRate)
	r.upRate += weight * (u - r.upRate)
	if down > r.down {
		r.lastDown = now
	}
	r.at, r.down, r.up = now, down, up
}

// publish makes the look anew.
func (t *Torrent) publish() {
	now := t.now()
	st := Status{InfoHash: *t.infoHash.Load(), Phase: t.phase, Problem: t.failure, DiskFull: t.full, ETA: -1, Port: t.cfg.Port, Age: now, Swarm: t.sw.Stats(),
		WebSeeds: t.webStatus(now), at: now}
	if st.Problem == nil && t.held != nil && t.phase == Downloading {
		st.Problem, st.Held = t.held, true
	}
	t.rates.update(now, st.Swarm.DownTotal, st.Swarm.UpTotal)
	st.Down, st.Up, st.Idle = t.rates.downRate, t.rates.upRate, now-t.rates.lastDown
	if t.phase == Seeding {
		st.Seeding = now - t.seedingSince
	}
	if t.info != nil {
		st.Name, st.Files, st.PieceSize = t.info.Name, len(t.info.Layout.Files), t.info.Layout.PieceLength
	}
	if t.store != nil {
		st.Total = t.wantedBytes
		st.Done = max(0, st.Total-st.Swarm.MissingBytes)
		for _, p := range t.sw.Partials() {
			st.Done += min(int64(p.Arrived)*blockSize, int64(t.info.Layout.DataLen(p.Piece)))
		}
		st.Done = min(st.Done, st.Total)
		if st.Swarm.Missing == 0 {
			st.Done = st.Total
		}
		if left := st.Total - st.Done; st.Down > 1 && left > 0 {
			st.ETA = time.Duration(float64(left) / st.Down * float64(time.Second))
		}
	}
	if t.phase == Checking && t.toCheck > 0 {
		st.Checked = 1 - float64(t.checking)/float64(t.toCheck)
	}
	t.publishProgress()
	t.status.Store(&st)
}

// publishProgress makes anew what finders ask for.
func (t *Torrent) publishProgress() {
	t.want.Store(int64(t.sw.WantPeers()))
	st := t.sw.Stats()
	t.progress[0].Store(st.UpTotal)
	t.progress[1].Store(st.DownTotal)
	left := int64(1) << 40 // unknown: a tracker must not take us for a seed
	if t.store != nil {
		left = st.MissingBytes
		if left == 0 && !t.sw.Complete() {
			left = t.sw.LeftBytes()
		}
	}
	t.progress[2].Store(left)
}

// unreached is after how long without an incoming connection the port is suspected, while trackers tell others of us.
const unreached = 2 * time.Minute

// Reason says in words why a torrent is slow or stands still, or "" if it does not.
func (st *Status) Reason(trackers []discovery.Status) string {
	why := st.slow(trackers)
	announced := slices.ContainsFunc(trackers, func(t discovery.Status) bool { return t.Working })
	idle := why != "" || st.Phase == Seeding && st.Swarm.Peers == 0
	if !idle || !announced || st.Port == 0 || st.Swarm.Incoming > 0 || st.Age < unreached {
		return why
	}
	hint := fmt.Sprintf("no peer has reached port %d yet: is it open?", st.Port)
	if why == "" {
		return hint
	}
	return why + "; " + hint
}

// slow is Reason without a look at the port.
func (st *Status) slow(trackers []discovery.Status) string {
	s := &st.Swarm
	sources := s.Peers + s.WebSeeds
	switch {
	case st.Problem != nil:
		return problem(st)
	case st.Phase == Metadata && sources == 0:
		return noPeers(s, trackers)
	case st.Phase == Metadata:
		return "asking " + peers(sources) + " what the content is"
	case st.Phase != Downloading || st.Down > 16<<10:
		return ""
	case sources == 0:
		return noPeers(s, trackers)
	case s.Interesting == 0:
		return "none of " + peers(sources) + " has the rest"
	case s.Seeds == 0 && s.Unavailable > 0:
		return fmt.Sprintf("no peer has %d of the %d missing pieces", s.Unavailable, s.Missing)
	case s.Choking == s.Interesting:
		return "waiting for a slot at " + peers(s.Choking)
	case st.Idle > 5*time.Second:
		return "nothing comes from " + peers(s.Interesting-s.Choking)
	}
	return ""
}

func peers(n int) string {
	if n == 1 {
		return "1 peer"
	}
	return fmt.Sprintf("%d peers", n)
}

func problem(st *Status) string {
	if st.DiskFull {
		return st.Problem.Error() + "; it goes on when there is room"
	}
	return st.Problem.Error()
}

func noPeers(s *swarm.Stats, trackers []discovery.Status) string {
	for _, tr := range trackers {
		if tr.URL == "dht" && tr.Message != "" && len(trackers) == 1 {
			return "no peers: " + tr.Message + "; name one with --dht-node, or a peer with --peer"
		}
		if !tr.Working && tr.Message != "" {
			return fmt.Sprintf("no peers: %s: %s", tr.URL, tr.Message)
		}
	}
	switch {
	case s.Known > 0:
		return "no connection yet to any of " + peers(s.Known)
	case len(trackers) == 0:
		return "no peers known, and no tracker to ask: name one with --peer or --tracker"
	}
	return "looking for peers"
}
