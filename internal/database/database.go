// Package database opens the one SQLite file in which a node keeps its state.
//
// The file is in WAL mode. It is read through Read, by several connections at once, and written by one connection: Update and Durable queue for
// it. Whatever either has returned nil for survives the end of the process at any moment, kill -9 included. What Durable has written survives a
// power loss as well: its commit syncs the log, with all that was written before. Update's commit does not wait for the disk, so a power loss may
// take the last seconds of it, and never leaves half of a transaction. Use Durable for what a person did (added, removed, set, logged in) and
// Update for what the machine counts (totals, times, history).
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Errors that Open, Update, Durable and Migrate wrap.
var (
	ErrFull   = errors.New("no space is left on the disk: free some and try again")
	ErrDenied = errors.New("this user may not read and write it: check its owner and mode, and those of its folder")
	ErrNewer  = errors.New("it was written by a newer version of shoal: run that version, or use another --home")
	ErrOther  = errors.New("it belongs to another program")
	errBroken = errors.New("it is corrupt")
)

// applicationID marks our files, at offset 68 of their header: "shoa".
const applicationID = 0x73686f61

// readers is how many connections read at once.
const readers = 4

// DB is an open file. Its methods may be called from any goroutine.
type DB struct {
	// Read is for queries alone: what would write fails. A query sees the state as it was when it began.
	Read *sql.DB

	path   string
	writer *sql.DB
	mu     sync.Mutex // held while the one writing connection is used
	conn   *sql.Conn
}

// Open opens the file at path, or makes it. One that is corrupt is set aside with its log, a new one is begun, and the report says so. No other
// error touches the file: one that may not be read, or does not fit on the disk, is as good as it was.
func Open(path string) (*DB, Report, error) {
	var report Report
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, report, err
	}
	if err := accessible(path); err != nil {
		return nil, report, fmt.Errorf("database %s: %w", path, explain(err))
	}
	if err := report.checkLog(path); err != nil {
		return nil, report, fmt.Errorf("database %s: %w", path, explain(err))
	}
	db, err := open(path)
	if errors.Is(err, errBroken) {
		if err := report.setAside(path, err); err != nil {
			return nil, report, fmt.Errorf("database %s is corrupt and cannot be set aside: %w", path, explain(err))
		}
		db, err = open(path)
	}
	if err != nil {
		return nil, report, fmt.Errorf("database %s: %w", path, err)
	}
	return db, report, nil
}

// accessible reports whether the file can be made, or read and written, in the system's own words, which SQLite does not pass on.
func accessible(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// dataSource returns the name of a connection to the file, with the statements that begin it.
func dataSource(path string, pragmas ...string) string {
	path = filepath.ToSlash(path)
	if runtime.GOOS == "windows" {
		path = "/" + path
	}
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "foreign_keys(1)", "synchronous(NORMAL)"}, pragmas...), "_txlock": {"immediate"}}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func open(path string) (_ *DB, err error) {
	db := &DB{path: path}
	defer func() {
		if err != nil {
			err = explain(err)
			db.Close()
		}
	}()
	if db.writer, err = sql.Open("sqlite", dataSource(path, "journal_mode(WAL)", "journal_size_limit(16777216)")); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if db.conn, err = db.writer.Conn(ctx); err != nil {
		return nil, err
	}
	if err = db.check(ctx); err != nil {
		return nil, err
	}
	if db.Read, err = sql.Open("sqlite", dataSource(path, "query_only(1)")); err != nil {
		return nil, err
	}
	db.Read.SetMaxOpenConns(readers)
	db.Read.SetMaxIdleConns(readers)
	return db, nil
}

// check refuses a file that is not ours or not sound, and marks a new one.
func (db *DB) check(ctx context.Context) error {
	var id int64
	if err := db.conn.QueryRowContext(ctx, "pragma application_id").Scan(&id); err != nil {
		return err
	}
	if id != 0 && id != applicationID {
		return ErrOther
	}
	var found string
	if err := db.conn.QueryRowContext(ctx, "pragma quick_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errBroken, found)
	}
	_, err := db.conn.ExecContext(ctx, fmt.Sprintf(`pragma application_id = %d;
		create table if not exists migrations (owner text primary key, version integer not null) without rowid`, applicationID))
	return err
}

// Update runs f in a transaction, alone among writers. It is committed if f returns nil, and then survives the end of the process.
// f must use its transaction only: Read does not see what it wrote yet.
func (db *DB) Update(ctx context.Context, f func(*sql.Tx) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.update(ctx, f)
}

// Durable is Update whose outcome, and all before it, survives a power loss. It takes as long as the disk takes to sync.
func (db *DB) Durable(ctx context.Context, f func(*sql.Tx) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.conn == nil {
		return sql.ErrConnDone
	}
	if _, err := db.conn.ExecContext(ctx, "pragma synchronous = FULL"); err != nil {
		return explain(err)
	}
	err := db.update(ctx, f)
	if _, e := db.conn.ExecContext(context.WithoutCancel(ctx), "pragma synchronous = NORMAL"); err == nil && e != nil {
		return explain(e)
	}
	return err
}

func (db *DB) update(ctx context.Context, f func(*sql.Tx) error) error {
	if db.conn == nil {
		return sql.ErrConnDone
	}
	tx, err := db.conn.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing once it is committed
	if err := f(tx); err != nil {
		return explain(err)
	}
	return explain(tx.Commit())
}

// Close waits for the writer, merges the log into the file and closes it.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	var errs []error
	if db.Read != nil {
		errs = append(errs, db.Read.Close())
	}
	if db.conn != nil {
		errs = append(errs, db.conn.Close())
		db.conn = nil
	}
	if db.writer != nil {
		errs = append(errs, db.writer.Close())
	}
	return errors.Join(errs...)
}

// explain wraps what SQLite or the system says in one of our errors, where one fits.
func explain(err error) error {
	var s *sqlite.Error
	var kind error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &s):
		switch s.Code() & 0xff {
		case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
			kind = errBroken
		case lib.SQLITE_FULL:
			kind = ErrFull
		case lib.SQLITE_PERM, lib.SQLITE_READONLY:
			kind = ErrDenied
		}
	case errors.Is(err, fs.ErrPermission):
		kind = ErrDenied
	case noSpace(err):
		kind = ErrFull
	}
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w (%w)", kind, err)
}
