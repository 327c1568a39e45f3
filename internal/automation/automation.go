// Package automation does to a library what people have written down once: folders to take .torrent files from, feeds with rules, hours with other limits,
// programs to run. Each is a document (JSON) of a kind, kept in the database.
package automation

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"shoal/internal/accounts"
	"shoal/internal/database"
	"shoal/internal/library"
)

// Kinds of documents.
const (
	Watches   = "watch"
	Feeds     = "feeds"
	Schedules = "schedules"
	Hooks     = "hooks"
)

const maxDocuments = 500 // of a kind

// Library is what automation does things to.
type Library interface {
	Add(context.Context, library.Request) (library.Added, error)
}

// Config is what automation needs.
type Config struct {
	Library  Library
	Database *database.DB
	Client   *http.Client // fetches feeds
	Log      *slog.Logger
	// Hours is called when the limits that are in force by the time of day change: the alternative ones, or none at work at all.
	Hours func(alternative, suspended bool)
	Roots func() []string // folders that may be watched, with what is below them; nil: any
}

// Automation is safe for concurrent use.
type Automation struct {
	cfg  Config
	ctx  context.Context
	end  context.CancelFunc
	wg   sync.WaitGroup
	runs chan run
	wake chan struct{}

	mu        sync.Mutex
	watches   map[string]*Watch
	feeds     map[string]*feed
	schedules map[string]*Schedule
	hooks     map[string]*Hook
	hours     hours
}

var tables = []string{`create table documents (kind text not null, id text not null, document text not null, primary key (kind, id)) without rowid;
	create table feed_items (feed text not null, guid text not null, time integer not null, primary key (feed, guid)) without rowid`}

// Open begins with the documents that there are.
func Open(cfg Config) (*Automation, error) {
	a := &Automation{
		cfg: cfg, runs: make(chan run, maxWaiting), wake: make(chan struct{}, 1),
		watches: map[string]*Watch{}, feeds: map[string]*feed{}, schedules: map[string]*Schedule{}, hooks: map[string]*Hook{},
	}
	a.ctx, a.end = context.WithCancel(context.Background())
	if err := a.load(); err != nil {
		a.end()
		return nil, err
	}
	a.wg.Go(a.tend)
	for range maxRunning {
		a.wg.Go(a.runHooks)
	}
	return a, nil
}

// Close ends what is being done; programs that run are killed.
func (a *Automation) Close() {
	a.end()
	a.wg.Wait()
}

func (a *Automation) load() error {
	db := a.cfg.Database
	if err := db.Migrate("automation", tables); err != nil {
		return err
	}
	rows, err := db.Read.Query("select kind, id, document from documents")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, id string
		var doc []byte
		if err := rows.Scan(&kind, &id, &doc); err != nil {
			return err
		}
		if err := a.set(kind, id, doc); err != nil {
			a.cfg.Log.Warn("what was written down for automation is not understood and was left out", "kind", kind, "id", id, "error", err)
		}
	}
	return rows.Err()
}

// tend looks at everything now and then.
func (a *Automation) tend() {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		a.keepHours(now)
		a.lookAtWatches()
		a.fetchFeeds(now)
		select {
		case <-a.ctx.Done():
			return
		case <-tick.C:
		case <-a.wake:
		}
	}
}

const tendEvery = 5 * time.Second

// List returns the documents of a kind, each with its id, and for feeds and watched folders with how they fare.
func (a *Automation) List(kind string) ([]json.RawMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := []json.RawMessage{}
	add := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // every value is of our own types
		}
		out = append(out, b)
	}
	switch kind {
	case Watches:
		for _, id := range sorted(a.watches) {
			add(a.watches[id])
		}
	case Feeds:
		for _, id := range sorted(a.feeds) {
			add(a.feeds[id])
		}
	case Schedules:
		for _, id := range sorted(a.schedules) {
			add(a.schedules[id])
		}
	case Hooks:
		for _, id := range sorted(a.hooks) {
			add(a.hooks[id])
		}
	default:
		return nil, library.Bad("there is no kind %q of documents", kind)
	}
	return out, nil
}

func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys
}

// Put makes or replaces a document. Programs to run may be named only by who uses the socket of the machine: whoever got hold of a browser's
// session must not run programs by it.
func (a *Automation) Put(ctx context.Context, kind, id string, doc json.RawMessage) error {
	if kind == Hooks && accounts.FromContext(ctx).Name != "" {
		return library.Bad("programs to run are named on the node's machine: in the settings (completion.command), or by its Unix socket")
	}
	a.mu.Lock()
	n := map[string]int{Watches: len(a.watches), Feeds: len(a.feeds), Schedules: len(a.schedules), Hooks: len(a.hooks)}[kind]
	a.mu.Unlock()
	if n >= maxDocuments {
		return library.Bad("there are %d of these already, and no room for more", n)
	}
	if err := a.set(kind, id, doc); err != nil {
		return err
	}
	clean, err := a.clean(kind, id)
	if err != nil {
		return err
	}
	err = a.cfg.Database.Durable(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec("insert into documents values (?, ?, ?) on conflict do update set document = excluded.document", kind, id, string(clean))
		return err
	})
	a.nudge()
	return err
}

// clean returns a document as it is kept.
func (a *Automation) clean(kind, id string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch kind {
	case Watches:
		return json.Marshal(a.watches[id])
	case Feeds:
		return json.Marshal(&a.feeds[id].Feed)
	case Schedules:
		return json.Marshal(a.schedules[id])
	}
	return json.Marshal(a.hooks[id])
}

// Delete deletes a document.
func (a *Automation) Delete(ctx context.Context, kind, id string) error {
	a.mu.Lock()
	var was bool
	switch kind {
	case Watches:
		_, was = a.watches[id]
		delete(a.watches, id)
	case Feeds:
		_, was = a.feeds[id]
		delete(a.feeds, id)
	case Schedules:
		_, was = a.schedules[id]
		delete(a.schedules, id)
	case Hooks:
		_, was = a.hooks[id]
		delete(a.hooks, id)
	}
	a.mu.Unlock()
	if !was {
		return fmt.Errorf("%w: no document %q", library.ErrNotFound, id)
	}
	a.nudge()
	return a.cfg.Database.Durable(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec("delete from documents where kind = ? and id = ?", kind, id)
		_, err2 := tx.Exec("delete from feed_items where feed = ? and ? = 'feeds'", id, kind)
		return errors.Join(err, err2)
	})
}

func (a *Automation) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

var validID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// set takes a document in, if there is nothing wrong with it.
func (a *Automation) set(kind, id string, doc []byte) error {
	if !validID.MatchString(id) {
		return library.Bad("the id %.80q is not of 1 to 64 letters, digits, dots, dashes and underscores", id)
	}
	switch kind {
	case Watches:
		w := &Watch{}
		if err := errors.Join(strict(doc, w), w.check(a.cfg.Roots)); err != nil {
			return err
		}
		w.ID = id
		a.mu.Lock()
		a.watches[id] = w
		a.mu.Unlock()
	case Feeds:
		f := &feed{}
		if err := errors.Join(strict(doc, f), f.check()); err != nil { // with how it fares, as List has it
			return err
		}
		f.ID, f.Fetched, f.Problem, f.Items = id, 0, "", nil
		a.mu.Lock()
		a.feeds[id] = f
		a.mu.Unlock()
	case Schedules:
		s := &Schedule{}
		if err := errors.Join(strict(doc, s), s.check()); err != nil {
			return err
		}
		s.ID = id
		a.mu.Lock()
		a.schedules[id] = s
		a.mu.Unlock()
	case Hooks:
		h := &Hook{}
		if err := errors.Join(strict(doc, h), h.check()); err != nil {
			return err
		}
		h.ID = id
		a.mu.Lock()
		a.hooks[id] = h
		a.mu.Unlock()
	default:
		return library.Bad("there is no kind %.40q of documents", kind)
	}
	return nil
}

// strict reads a document whose every field must be known.
func strict(doc []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return library.Bad("%v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return library.Bad("there is something behind the document")
	}
	return nil
}
