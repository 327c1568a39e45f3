package library

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"shoal/internal/ident"
	"shoal/internal/library/wanted"
)

// record is what is remembered of a torrent, in the database and in its file.
type record struct {
	ID       string `json:"id"`
	HashV1   string `json:"v1,omitempty"`
	HashV2   string `json:"v2,omitempty"`
	Name     string `json:"name,omitempty"`      // given by a person
	LinkName string `json:"link_name,omitempty"` // of the link or the metadata

	Dir      string         `json:"dir"`
	Target   string         `json:"target,omitempty"` // where it is moved when it is complete
	Paths    map[int]string `json:"paths,omitempty"`  // by file: where below Dir it lies, if under another name than the torrent's
	ReadOnly bool           `json:"read_only,omitempty"`

	Category   string           `json:"category,omitempty"`
	Tags       []string         `json:"tags,omitempty"`
	Paused     bool             `json:"paused,omitempty"`
	Forced     bool             `json:"forced,omitempty"`
	Sequential bool             `json:"sequential,omitempty"`
	DownLimit  int64            `json:"down_limit,omitempty"`
	UpLimit    int64            `json:"up_limit,omitempty"`
	SeedRatio  float64          `json:"seed_ratio,omitempty"`
	SeedTime   int64            `json:"seed_time,omitempty"`
	Priorities map[int]Priority `json:"priorities,omitempty"` // by file, where it is not normal
	Only       []int            `json:"only,omitempty"`       // files wanted, until the content is known
	Trackers   [][]string       `json:"trackers,omitempty"`   // all of them, tier by tier
	WebSeeds   []string         `json:"web_seeds,omitempty"`  // of the link
	Peers      []string         `json:"peers,omitempty"`      // that the person named

	Added       int64  `json:"added"`
	Completed   int64  `json:"completed,omitempty"`
	Complete    bool   `json:"complete,omitempty"` // every wanted piece was there
	Size        int64  `json:"size,omitempty"`
	TotalSize   int64  `json:"total_size,omitempty"`
	Files       int    `json:"files,omitempty"`
	Pieces      int    `json:"pieces,omitempty"`
	PieceLength int64  `json:"piece_length,omitempty"`
	Private     bool   `json:"private,omitempty"`
	Content     string `json:"content,omitempty"` // the file, or the folder of its files, below Dir

	Done        int64 `json:"done,omitempty"`
	Downloaded  int64 `json:"downloaded,omitempty"`
	Uploaded    int64 `json:"uploaded,omitempty"`
	ActiveTime  int64 `json:"active_time,omitempty"`
	SeedingTime int64 `json:"seeding_time,omitempty"`
	LastActive  int64 `json:"last_active,omitempty"`
}

// hash returns the torrent's hashes as far as they are known.
func (r *record) hash() (h ident.InfoHash) {
	h.V1, _ = ident.ParseV1(r.HashV1)
	h.V2, _ = ident.ParseV2(r.HashV2)
	return h
}

func (r *record) setHash(h ident.InfoHash) {
	if h.HasV1() {
		r.HashV1 = h.V1.String()
	}
	if h.HasV2() {
		r.HashV2 = h.V2.String()
	}
}

// names returns every name that finds the torrent.
func (r *record) names() []string {
	list := []string{r.ID}
	if r.HashV1 != "" {
		list = append(list, r.HashV1)
	}
	if r.HashV2 != "" {
		list = append(list, r.HashV2, r.HashV2[:40])
	}
	return list
}

func (r *record) name() string {
	if r.Name != "" {
		return r.Name
	}
	return r.LinkName
}

// valid reports whether a record that was read can be used.
func (r *record) valid() bool {
	_, err := ident.ParseV1(r.ID)
	return err == nil && !r.hash().IsZero() && filepath.IsAbs(r.Dir)
}

func lower(s string) string { return strings.ToLower(s) }

// migrations make our tables. Never change one that was released: append.
var migrations = []string{
	`create table torrents (id text primary key, place integer not null, record text not null) without rowid;
	 create table library (key text primary key, value text not null) without rowid`,
}

// load reads everything that is remembered.
func (l *Library) load() error {
	db := l.cfg.Database
	if err := db.Migrate("library", migrations); err != nil {
		return err
	}
	rows, err := db.Read.QueryContext(l.ctx, "select place, record from torrents order by place, id")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var doc []byte
		var place int64
		if err := rows.Scan(&place, &doc); err != nil {
			return err
		}
		r := new(record)
		if err := json.Unmarshal(doc, r); err != nil || !r.valid() {
			l.log.Warn("a torrent in the database cannot be read and was left out", "record", string(doc[:min(len(doc), 200)]))
			continue
		}
		l.enter(&entry{rec: *r, place: place})
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if l.cfg.Rebuild {
		if err := l.rebuild(); err != nil {
			return err
		}
	}
	return errors.Join(l.loadValue("categories", &l.categories), l.loadValue("tags", &l.tags), l.loadValue("seed_rules", &l.rules),
		l.loadValue("removed", &l.lost))
}

// enter takes an entry in, at the end of the queue. It is called with mu held, or before anybody else knows the library.
func (l *Library) enter(e *entry) {
	l.entries = append(l.entries, e)
	for _, n := range e.rec.names() {
		l.names[n] = e
	}
	if n := len(l.entries); n > 1 && e.place == 0 {
		e.place = l.entries[n-2].place + 1
	}
	e.row.Queue = len(l.entries)
	e.build(l)
}

func (l *Library) loadValue(key string, into any) error {
	var doc []byte
	err := l.cfg.Database.Read.QueryRowContext(l.ctx, "select value from library where key = ?", key).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(doc, into)
	}
	if err != nil {
		return fmt.Errorf("%s in the database: %w", key, err)
	}
	return nil
}

func (l *Library) saveValue(key string, value any) error {
	doc, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return l.cfg.Database.Durable(context.Background(), func(tx *sql.Tx) error { return putValue(tx, key, doc) })
}

func putValue(tx *sql.Tx, key string, doc []byte) error {
	_, err := tx.Exec("insert into library values (?, ?) on conflict do update set value = excluded.value", key, string(doc))
	return err
}

// Statements that write a record. A torrent that was removed meanwhile does not come back by an update.
const (
	insertRecord = "insert into torrents (place, record, id) values (?, ?, ?) on conflict do update set place = excluded.place, record = excluded.record"
	updateRecord = "update torrents set place = ?, record = ? where id = ?"
)

// put writes records by a statement.
func put(tx *sql.Tx, statement string, recs []saved) error {
	stmt, err := tx.Prepare(statement)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, r := range recs {
		if _, err := stmt.Exec(r.place, string(r.doc), r.id); err != nil {
			return err
		}
	}
	return nil
}

// saved is a record as it is written.
type saved struct {
	id    string
	place int64
	doc   []byte
}

// encode makes what is written of entries. It is called with mu held.
func encode(entries ...*entry) []saved {
	out := make([]saved, len(entries))
	for i, e := range entries {
		doc, err := json.Marshal(&e.rec)
		if err != nil {
			panic(err) // every value is of our own types
		}
		out[i] = saved{e.rec.ID, e.place, doc}
		e.dirty = false
	}
	return out
}

// save writes what a person did: to the database now, and to the torrents' files soon. What the database does not take now is tried again with
// the totals. It is called without mu.
func (l *Library) save(recs []saved) error {
	err := l.write(updateRecord, recs)
	if err == nil {
		l.saveFiles(recs)
	}
	return err
}

// saveFiles has the files of records written, unless their torrents were removed meanwhile.
func (l *Library) saveFiles(recs []saved) {
	for _, r := range recs {
		l.mu.Lock()
		here := l.names[r.id] != nil
		l.mu.Unlock()
		if here {
			l.files.Save(r.id, r.doc)
		}
	}
}

// write writes records to the database.
func (l *Library) write(statement string, recs []saved) error {
	if len(recs) == 0 {
		return nil
	}
	err := l.cfg.Database.Durable(context.Background(), func(tx *sql.Tx) error { return put(tx, statement, recs) })
	if err != nil {
		l.mu.Lock()
		for _, r := range recs {
			if e := l.names[r.id]; e != nil {
				e.dirty = true
			}
		}
		l.mu.Unlock()
	}
	return err
}

// saveTotals writes what the machine counts.
func (l *Library) saveTotals() error {
	l.mu.Lock()
	var dirty []*entry
	for _, e := range l.entries {
		if e.dirty {
			dirty = append(dirty, e)
		}
	}
	recs := encode(dirty...)
	l.mu.Unlock()
	if len(recs) == 0 {
		return nil
	}
	err := l.cfg.Database.Update(context.Background(), func(tx *sql.Tx) error { return put(tx, updateRecord, recs) })
	if err != nil {
		l.mu.Lock()
		for _, e := range dirty {
			e.dirty = true
		}
		l.mu.Unlock()
	}
	return err
}

// erase forgets records, and saves what the torrents that were removed have moved in all.
func (l *Library) erase(ids []string, lost totals) error {
	doc, err := json.Marshal(lost)
	if err != nil {
		return err
	}
	return l.cfg.Database.Durable(context.Background(), func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.Exec("delete from torrents where id = ?", id); err != nil {
				return err
			}
		}
		return putValue(tx, "removed", doc)
	})
}

// rebuild fills a lost database from the torrents' files.
func (l *Library) rebuild() error {
	var found []*entry
	seen := map[string]bool{}
	err := wanted.Read(l.cfg.State, l.log, func(doc []byte) error {
		r := new(record)
		if err := json.Unmarshal(doc, r); err != nil {
			return err
		}
		switch {
		case !r.valid():
			return errors.New("it names no torrent")
		case l.names[r.ID] == nil && !seen[r.ID]:
			seen[r.ID] = true
			found = append(found, &entry{rec: *r})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b *entry) int { return cmp.Compare(a.rec.Added, b.rec.Added) })
	for _, e := range found {
		l.enter(e)
		if e.rec.Category != "" {
			l.categories[e.rec.Category] = Category{Name: e.rec.Category}
		}
	}
	l.log.Warn("the list of torrents was made anew from their files", "torrents", len(found))
	if err := l.saveValue("categories", l.categories); err != nil {
		return err
	}
	return l.cfg.Database.Durable(l.ctx, func(tx *sql.Tx) error { return put(tx, insertRecord, encode(found...)) })
}
