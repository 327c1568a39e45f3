package library

import (
	"time"

	"shoal/internal/bt/magnet"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/torrent"
)

// Get returns all about a torrent.
func (l *Library) Get(id string) (Detail, error) {
	l.mu.Lock()
	e, err := l.find(id)
	if err != nil {
		l.mu.Unlock()
		return Detail{}, err
	}
	d := Detail{Torrent: e.row}
	d.ActiveTime, d.SeedingTime = e.activeTime(time.Now()), e.seedingTime()
	if e.t != nil {
		d.Wasted = e.t.Look().Swarm.Wasted
	}
	r := e.rec
	l.mu.Unlock()
	m := magnet.Magnet{Hash: r.hash(), Name: r.LinkName, WebSeeds: r.WebSeeds}
	for _, tier := range r.Trackers {
		m.Trackers = append(m.Trackers, tier...)
	}
	if t := l.cfg.Session.Recall(r.hash()); t != nil {
		d.Comment, d.CreatedBy = t.Comment, t.CreatedBy
		if !t.Created.IsZero() {
			d.CreatedAt = t.Created.Unix()
		}
		d.WebSeeds = union(t.WebSeeds, r.WebSeeds)
		m.WebSeeds = d.WebSeeds
		d.Notices = append(append([]string{}, t.Info.Notices...), t.Notices...)
	}
	d.Magnet = m.String()
	return d, nil
}

// known returns a torrent's entry and description.
func (l *Library) known(id string) (*entry, *metainfo.Info, error) {
	l.mu.Lock()
	e, err := l.find(id)
	l.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	info := l.info(e)
	if info == nil {
		return nil, nil, ErrNoInfo
	}
	return e, info, nil
}

// Files returns a torrent's files.
func (l *Library) Files(id string) ([]File, error) {
	e, info, err := l.known(id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	t := e.t
	want := e.wanted(info)
	complete := e.rec.Complete
	paths := make(map[int]string, len(e.rec.Paths))
	for i, p := range e.rec.Paths {
		paths[i] = p
	}
	graded := make(map[int]Priority, len(e.rec.Priorities))
	for i, p := range e.rec.Priorities {
		graded[i] = p
	}
	l.mu.Unlock()
	var have []torrent.Piece
	if t != nil {
		have = t.Map()
	}
	lay := &info.Layout
	out := make([]File, len(lay.Files))
	for i := range lay.Files {
		f := &lay.Files[i]
		p := Normal
		if g, ok := graded[i]; ok {
			p = g
		}
		if want != nil && !want[i] {
			p = Skip
		}
		first, end := lay.FilePieces(i)
		out[i] = File{Index: i, Path: f.Path, Size: f.Length, Priority: p, First: first, Last: end - 1}
		if path, ok := paths[i]; ok {
			out[i].Path = path
		}
		switch {
		case have != nil:
			for k := first; k < end; k++ {
				if have[k]&torrent.There != 0 {
					begin := max(f.Offset, lay.PieceOffset(k))
					out[i].Done += max(0, min(f.Offset+f.Length, lay.PieceOffset(k)+int64(lay.PieceLen(k)))-begin)
				}
			}
		case complete && p != Skip:
			out[i].Done = f.Length
		}
	}
	return out, nil
}

// Pieces returns a byte for each piece: 0 missing, 1 under way, 2 there; bit 7: not wanted.
func (l *Library) Pieces(id string) ([]byte, error) {
	e, info, err := l.known(id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	t, complete := e.t, e.rec.Complete
	l.mu.Unlock()
	if t != nil {
		if m := t.Map(); m != nil {
			for i, p := range m {
				if p&torrent.There != 0 {
					m[i] = p &^ torrent.Begun
				}
			}
			return m, nil
		}
	}
	out := make([]byte, info.Layout.Pieces())
	if complete {
		for i := range out {
			out[i] = torrent.There
		}
	}
	return out, nil
}

// Metainfo returns a torrent's .torrent file.
func (l *Library) Metainfo(id string) ([]byte, error) {
	e, _, err := l.known(id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	hash, trackers := e.rec.hash(), e.rec.Trackers
	l.mu.Unlock()
	t := l.cfg.Session.Recall(hash)
	if t == nil {
		return nil, ErrNoInfo
	}
	t.Announce = trackers
	return t.Encode(), nil
}

// Peers returns a torrent's connections.
func (l *Library) Peers(id string) ([]Peer, error) {
	l.mu.Lock()
	e, err := l.find(id)
	if err != nil {
		l.mu.Unlock()
		return nil, err
	}
	t := e.t
	l.mu.Unlock()
	out := []Peer{}
	if t == nil {
		return out, nil
	}
	pieces := t.Look().Swarm.Pieces
	for _, p := range t.Peers() {
		row := peerRow(&p, pieces)
		if l.cfg.Country != nil {
			row.Country = l.cfg.Country(p.Info.Addr.Addr())
		}
		out = append(out, row)
	}
	return out, nil
}

func peerRow(p *swarm.PeerStats, pieces int) Peer {
	row := Peer{
		Address: p.Info.Addr.String(), Client: p.Client, Source: p.Info.Source.String(), Flags: flags(p), DownRate: int64(p.DownRate), UpRate: int64(p.UpRate),
		Downloaded: p.Down, Uploaded: p.Up, UTP: p.Info.UTP, Encrypted: p.Info.Encrypted, Incoming: p.Info.Incoming,
	}
	if p.Info.WebSeed {
		row.Source, row.Progress = "web", 1
	}
	if p.Seed {
		row.Progress = 1
	} else if pieces > 0 {
		row.Progress = float64(p.Pieces) / float64(pieces)
	}
	return row
}

// flags tells in letters how we and a peer stand: D we download, d we would but are choked, U we upload, u it would have but is choked, O it was
// unchoked by chance, S it is snubbed, I it came to us, E encrypted, P over uTP.
func flags(p *swarm.PeerStats) string {
	var b []byte
	put := func(is bool, c byte) {
		if is {
			b = append(b, c)
		}
	}
	put(p.WeInterest && !p.TheyChoke, 'D')
	put(p.WeInterest && p.TheyChoke, 'd')
	put(p.TheyInterest && !p.WeChoke, 'U')
	put(p.TheyInterest && p.WeChoke, 'u')
	put(p.Optimistic, 'O')
	put(p.Snubbed, 'S')
	put(p.Info.Incoming, 'I')
	put(p.Info.Encrypted, 'E')
	put(p.Info.UTP, 'P')
	return string(b)
}

// Trackers returns the places where a torrent's peers are looked for.
func (l *Library) Trackers(id string) ([]Tracker, error) {
	l.mu.Lock()
	e, err := l.find(id)
	if err != nil {
		l.mu.Unlock()
		return nil, err
	}
	t, tiers := e.t, e.rec.Trackers
	l.mu.Unlock()
	out := []Tracker{}
	if t == nil {
		for i, tier := range tiers {
			for _, u := range tier {
				out = append(out, Tracker{URL: u, Tier: i, Seeds: -1, Leeches: -1, Next: -1})
			}
		}
		return out, nil
	}
	for _, s := range t.Trackers() {
		row := Tracker{URL: s.URL, Tier: s.Tier, Working: s.Working, Message: s.Message, Seeds: s.Seeds, Leeches: s.Leeches, Next: -1}
		if !s.Next.IsZero() {
			row.Next = int64(max(0, time.Until(s.Next).Seconds()))
		}
		out = append(out, row)
	}
	return out, nil
}
