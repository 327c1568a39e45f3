package api

import (
	"shoal/internal/library"
	"shoal/internal/logring"
)

// Delta is what changed in the window of the list since the event before. Event "delta"; the first is "list", a library.Page.
type Delta struct {
	Revision uint64          `json:"revision"`
	Total    int             `json:"total" doc:"rows that match"`
	Order    []string        `json:"order,omitzero" doc:"ids of the window in order, if it changed; rows that it leaves out are gone from the window"`
	Changed  []Fields        `json:"changed" nullable:"false" doc:"of each row its id and the fields that changed; of a row that is new in the window, all"`
	Counts   *library.Counts `json:"counts,omitempty" doc:"if they changed"`
}

// DetailEvent is all about one torrent, in the first event, and then what changed of it. Event "detail".
type DetailEvent struct {
	ID       string            `json:"id"`
	Full     bool              `json:"full" doc:"this is everything: forget what was told before"`
	Gone     bool              `json:"gone,omitempty" doc:"the torrent is no longer there"`
	Torrent  Fields            `json:"torrent,omitempty" doc:"fields of Detail"`
	Files    []Fields          `json:"files,omitempty" doc:"index, and fields of TorrentFile; the first 5,000 files"`
	Peers    []Fields          `json:"peers,omitempty" doc:"address, and fields of Peer"`
	PeersOut []string          `json:"peers_gone,omitempty" doc:"addresses"`
	Trackers []library.Tracker `json:"trackers,omitempty" doc:"all of them, if any changed"`
	Pieces   []PieceRun        `json:"pieces,omitempty" doc:"states of pieces in a row"`
}

// PieceRun is the states of pieces in a row.
type PieceRun struct {
	At     int    `json:"at" doc:"index of the first"`
	States []byte `json:"states" doc:"in base64, a byte each: 0 missing, 1 under way, 2 there; bit 7: not wanted"`
}

// LogEvent is lines of the log. Event "log".
type LogEvent struct {
	Lines  []logring.Line `json:"lines" nullable:"false"`
	Missed int            `json:"missed,omitempty" doc:"lines that came too fast for this stream"`
}
