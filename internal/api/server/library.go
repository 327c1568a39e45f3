package server

import (
	"context"
	"encoding/json"

	"shoal/internal/api"
	"shoal/internal/library"
)

// Library is what the server needs of the node's torrents. A torrent is named by its id or by any of its hashes. What is returned may be shared
// and is not changed here. Errors wrap those of package library.
type Library interface {
	List(library.Query) (library.Page, error)
	Revision() uint64 // of the list; grows with each change
	Get(id string) (library.Detail, error)
	Add(context.Context, library.Request) (library.Added, error)
	Act(ctx context.Context, a library.Action, ids []string) error // ids nil: all
	Change(ctx context.Context, id string, c library.Change) error

	Files(id string) ([]library.File, error)
	SetPriority(ctx context.Context, id string, files []int, p library.Priority) error
	RenameFile(ctx context.Context, id string, file int, path string) error
	Peers(id string) ([]library.Peer, error)
	AddPeers(ctx context.Context, id string, peers []string) error
	Trackers(id string) ([]library.Tracker, error)
	AddTrackers(ctx context.Context, id string, urls []string) error
	RemoveTracker(ctx context.Context, id, url string) error
	Pieces(id string) ([]byte, error)  // a byte each: 0 missing, 1 under way, 2 there; bit 7: not wanted
	Torrent(id string) ([]byte, error) // the .torrent file

	Totals() library.Totals
	History(span string) (library.History, error) // of an "hour", a "day", a "month"

	Categories() ([]library.Category, error)
	PutCategory(context.Context, library.Category) error
	RemoveCategory(ctx context.Context, name string) error
	Tags() ([]string, error)
	PutTag(ctx context.Context, name string) error
	RemoveTag(ctx context.Context, name string) error
	SeedRules() ([]library.SeedRule, error)
	SetSeedRules(context.Context, []library.SeedRule) error

	Share(context.Context, library.ShareRequest) (library.Job, error)
	Jobs() []library.Job
	Job(id string) (library.Job, error)
	CancelJob(id string) error
	JobTorrent(id string) ([]byte, error) // the .torrent file that it has made
}

// Settings are those of the node.
type Settings interface {
	List() []api.Setting
	// Save changes settings and remembers them. If one is not good, none is changed; the error says what is wrong.
	Save(map[string]any) error
}

// Documents are what people have written to automate the node, by kind: watch, feeds, schedules, hooks.
type Documents interface {
	List(kind string) ([]json.RawMessage, error)
	Put(ctx context.Context, kind, id string, doc json.RawMessage) error
	Delete(ctx context.Context, kind, id string) error
}
