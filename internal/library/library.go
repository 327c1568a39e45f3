// Package library keeps a node's torrents: what a person wants of each (paused, where, how long it seeds), remembered across runs, and who is
// at work now. The engine below, bt/session, knows only those at work.
//
//	person, API, automation ──▶ calls change what is wanted ──▶ record, saved at once
//	                                        │
//	               keeper, once a second ◀──┘──▶ looks at the engine, starts and stops torrents, applies rules, saves totals
//
// The database holds the records. Beside it, in the state folder, each torrent has a file with the same, from which the database is made
// anew if it is lost; and the engine keeps the metadata and a journal of sound pieces there.
package library

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/database"
	"shoal/internal/library/wanted"
)

// Settings are what may be changed while the library is open.
type Settings struct {
	Dir        string // the download folder
	Incomplete string // where files are until they are complete; empty: where they will stay

	ActiveDownloads int // most at work at once; 0: no limit. Torrents that stand still do not count
	ActiveSeeds     int
	Active          int // both together

	SeedRatio float64       // goal of torrents that no rule matches; 0: none
	SeedTime  time.Duration // the same
	SeedThen  Action        // Pause, Remove or RemoveData, when a goal is reached

	Floor       int64 // downloads stand still while less is free on their filesystem, in bytes
	Preallocate bool
	MaxPeers    int  // of one torrent; 0: 200
	Suspended   bool // nothing is at work but what is forced
}

// Config is what a library needs.
type Config struct {
	Session  *session.Session
	Database *database.DB
	State    string       // folder for the torrents' files, that of the session
	Client   *http.Client // fetches .torrent files that links name
	Log      *slog.Logger
	Settings Settings
	Rebuild  bool // the database was lost: fill it from the torrents' files

	Country func(netip.Addr) string // of a peer, ISO 3166-1; nil: nobody knows

	// Completed is called when a torrent became complete and its files are where they will stay, from a goroutine of its own.
	Completed func(Torrent)
}

// Library is the node's torrents. Its methods are safe for concurrent use.
type Library struct {
	cfg       Config
	log       *slog.Logger
	begun     time.Time
	ctx       context.Context // ends with Close
	end       context.CancelFunc
	wg        sync.WaitGroup
	wake      chan struct{} // has the keeper look at once
	files     *wanted.Files // one a torrent, from which the database is made anew if it is lost
	examining chan struct{} // a slot for each torrent that is looked at after it was added

	mu         sync.Mutex // of all below, but for what an entry says is not
	set        Settings
	entries    []*entry          // in the order of the queue
	names      map[string]*entry // by id and every hash, in hexadecimal
	categories map[string]Category
	tags       map[string]bool
	rules      []SeedRule
	lost       totals // of torrents that were removed
	session    totals // of this run, of torrents that are at work no more
	wasted     int64  // payload bytes of this run that came twice or unasked, to torrents that are at work no more
	failed     int64  // the same of pieces that failed their hash
	revision   uint64
	counts     Counts
	countsAt   uint64 // the revision that counts are of
	views      []*view
	asked      time.Time // when somebody last wanted to know the revision
	disks      []Disk
	reached    bool // a peer has reached our port
	closed     bool
}

// totals are payload bytes.
type totals struct {
	Down int64 `json:"downloaded"`
	Up   int64 `json:"uploaded"`
}

// Open opens the library and starts its torrents in the background.
func Open(cfg Config) (*Library, error) {
	l := &Library{
		cfg: cfg, log: cfg.Log, begun: time.Now(), set: cfg.Settings, wake: make(chan struct{}, 1), examining: make(chan struct{}, maxExamined),
		names: map[string]*entry{}, categories: map[string]Category{}, tags: map[string]bool{},
	}
	l.ctx, l.end = context.WithCancel(context.Background())
	if err := l.load(); err != nil {
		l.end()
		return nil, err
	}
	l.files = wanted.Open(cfg.State, cfg.Log)
	l.wg.Go(l.keep)
	return l, nil
}

// Close stops the torrents and the session, and saves what is not saved yet. After ctx is done it no longer waits for trackers.
func (l *Library) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.end()
	closed := l.cfg.Session.Close(ctx)
	l.wg.Wait()
	l.files.Close()
	l.mu.Lock()
	for _, e := range l.entries {
		if e.t != nil {
			l.leave(e)
		}
	}
	l.mu.Unlock()
	return errors.Join(closed, l.saveTotals())
}

// Settings returns what is set now.
func (l *Library) Settings() Settings {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.set
}

// SetSettings changes the settings. Torrents keep the folders that they have.
func (l *Library) SetSettings(s Settings) {
	l.mu.Lock()
	l.set = s
	l.mu.Unlock()
	l.nudge()
}

// nudge has the keeper look at once.
func (l *Library) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// find returns the entry that an id or hash names. It is called with mu held.
func (l *Library) find(id string) (*entry, error) {
	if e := l.names[lower(id)]; e != nil {
		return e, nil
	}
	return nil, ErrNotFound
}

// Engine returns a torrent at work.
func (l *Library) Engine(id string) (*torrent.Torrent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, err := l.find(id)
	if err != nil {
		return nil, err
	}
	if e.t == nil || e.offline || e.rec.Paused && !e.inUse(time.Now()) {
		return nil, ErrIdle
	}
	return e.t, nil
}

// useTime bounds how long Use waits for a torrent to begin.
const useTime = 10 * time.Second

// Use returns a torrent whose content somebody wants to read. One that is not at work is put to work for that, paused or not, and is so until a minute
// after it was last read.
func (l *Library) Use(ctx context.Context, id string) (*torrent.Torrent, error) {
	ctx, cancel := context.WithTimeout(ctx, useTime)
	defer cancel()
	for {
		l.mu.Lock()
		e, err := l.find(id)
		if err != nil {
			l.mu.Unlock()
			return nil, err
		}
		e.usedAt = time.Now()
		t, failure, ready := e.t, e.failure, e.t != nil && !e.offline && e.busy == ""
		complete := e.rec.Complete
		l.mu.Unlock()
		switch {
		case ready && complete && t.Look().Phase == torrent.Seeding:
			return t, t.Hold(nil) // a file that was not wanted may be read now
		case ready:
			return t, nil
		case failure != "" && t == nil:
			return nil, errors.New(failure)
		}
		l.nudge()
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, ErrIdle
		}
	}
}
