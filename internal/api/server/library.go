package server

import (
	"context"

	"shoal/internal/library"
)

// Library is what the API needs of the node's torrents. Errors wrap library.ErrNotFound, ErrExists, ErrBad, ErrNoInfo, or are the machine's.
// Calls are safe for concurrent use and return within milliseconds, unless they take a context.
type Library interface {
	List(library.Query) (library.Page, error)
	Get(id string) (library.Detail, error)
	Files(id string) ([]library.File, error)
	Peers(id string) ([]library.Peer, error)
	Trackers(id string) ([]library.Tracker, error)
	// Pieces returns a byte for each piece: 0 missing, 1 under way, 2 there; bit 7: not wanted.
	Pieces(id string) ([]byte, error)
	// Metainfo returns the .torrent file.
	Metainfo(id string) ([]byte, error)

	Add(context.Context, library.Request) (library.Added, error)
	Set(id string, c library.Change) error
	// Do does the same to many; "all" among ids means every torrent. It goes on after an error, and returns them joined.
	Do(ctx context.Context, a library.Action, ids []string) error
	SetFiles(id string, files []int, p library.Priority) error
	RenameFile(id string, file int, path string) error
	AddPeers(id string, hostports []string) error
	AddTrackers(id string, urls []string) error
	RemoveTracker(id, url string) error

	Categories() []library.Category
	PutCategory(library.Category) error
	DeleteCategory(name string) error
	Tags() []string
	PutTag(name string) error
	DeleteTag(name string) error
	SeedRules() []library.SeedRule
	SetSeedRules([]library.SeedRule) error

	Share(library.ShareRequest) (library.Job, error)
	Jobs() []library.Job
	CancelJob(id string) error
	// JobTorrent returns the .torrent file that a job has made.
	JobTorrent(id string) ([]byte, error)

	Totals() library.Totals
	// History returns what was, over "hour", "day" or "month".
	History(span string) (library.History, error)
	// Watch returns a channel that gets a value after each change of the list, about once a second at most, until stop is called.
	// Only while somebody watches are rates and the like kept up to date to the second.
	Watch() (news <-chan struct{}, stop func())
}
