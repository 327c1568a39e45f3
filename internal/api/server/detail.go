package server

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"shoal/internal/api"
	"shoal/internal/library"
)

// Bounds of what is told of one torrent.
const (
	maxDetailFiles = 5000
	maxRuns        = 500 // of changed pieces; beyond, all are told
)

// detail is what a stream has told of one torrent.
type detail struct {
	id    string
	parts []string

	gone     bool
	torrent  library.Detail // without an id: nothing was told
	files    []api.TorrentFile
	peers    map[string]library.Peer
	trackers []library.Tracker
	pieces   []byte
}

// look returns what is new; false if nothing is.
func (d *detail) look(ctx context.Context, s *Server) (api.DetailEvent, bool) {
	e := api.DetailEvent{ID: d.id}
	t, err := s.Library.Get(d.id)
	if errors.Is(err, library.ErrNotFound) {
		news := !d.gone
		*d = detail{id: d.id, parts: d.parts, gone: true}
		return api.DetailEvent{ID: d.id, Gone: true}, news
	}
	if err != nil {
		return e, false
	}
	t.Torrent = rounded(t.Torrent)
	if d.torrent.ID == "" {
		e.Full = true
		e.Torrent = api.Whole(&t)
	} else {
		e.Torrent = api.Changes(&d.torrent, &t, "id")
	}
	d.gone, d.torrent = false, t
	if d.has("files") {
		d.lookAtFiles(ctx, s, &e)
	}
	if d.has("peers") {
		d.lookAtPeers(s, &e)
	}
	if d.has("trackers") {
		if list, err := s.Library.Trackers(d.id); err == nil && !slices.Equal(list, d.trackers) {
			d.trackers = list
			e.Trackers = list
		}
	}
	if d.has("pieces") {
		d.lookAtPieces(s, &e)
	}
	return e, e.Full || e.Torrent != nil || e.Files != nil || e.Peers != nil || e.PeersOut != nil || e.Trackers != nil || e.Pieces != nil
}

func (d *detail) lookAtFiles(ctx context.Context, s *Server, e *api.DetailEvent) {
	p, err := s.files(ctx, d.id, 0, maxDetailFiles)
	if err != nil {
		return
	}
	for i := range p.Files {
		f := &p.Files[i]
		if i >= len(d.files) {
			e.Files = append(e.Files, api.Whole(f))
		} else if c := api.Changes(&d.files[i], f, "index"); c != nil {
			e.Files = append(e.Files, c)
		}
	}
	d.files = p.Files
}

func (d *detail) lookAtPeers(s *Server, e *api.DetailEvent) {
	list, err := s.Library.Peers(d.id)
	if err != nil {
		return
	}
	seen := make(map[string]library.Peer, len(list))
	for _, p := range list {
		p.Progress = round(p.Progress)
		seen[p.Address] = p
		if was, ok := d.peers[p.Address]; !ok {
			e.Peers = append(e.Peers, api.Whole(&p))
		} else if c := api.Changes(&was, &p, "address"); c != nil {
			e.Peers = append(e.Peers, c)
		}
	}
	for a := range d.peers {
		if _, ok := seen[a]; !ok {
			e.PeersOut = append(e.PeersOut, a)
		}
	}
	slices.Sort(e.PeersOut)
	d.peers = seen
}

func (d *detail) lookAtPieces(s *Server, e *api.DetailEvent) {
	is, err := s.Library.Pieces(d.id)
	if err != nil {
		return
	}
	e.Pieces = pieceRuns(d.pieces, is)
	d.pieces = is
}

// pieceRuns returns the states that changed, in runs: gaps of a few pieces are cheaper told than left out.
func pieceRuns(was, is []byte) (runs []api.PieceRun) {
	if bytes.Equal(was, is) {
		return nil
	}
	all := []api.PieceRun{{At: 0, States: is}}
	if len(was) != len(is) {
		return all
	}
	const gap = 16
	last := -gap - 1 // of the changed ones
	for i := range is {
		if was[i] == is[i] {
			continue
		}
		if i-last > gap {
			if len(runs) == maxRuns {
				return all
			}
			runs = append(runs, api.PieceRun{At: i})
		}
		r := &runs[len(runs)-1]
		r.States = is[r.At : i+1]
		last = i
	}
	return runs
}
