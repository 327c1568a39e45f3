package database

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	switch os.Getenv("DATABASE_TEST_CHILD") {
	case "write":
		writeForever(os.Getenv("DATABASE_TEST_PATH"))
	case "open":
		_, r, err := Open(os.Getenv("DATABASE_TEST_PATH"))
		fmt.Println(len(r.SetAside), errors.Is(err, ErrDenied), err)
		os.Exit(0)
	case "lock":
		_, err := Lock(os.Getenv("DATABASE_TEST_PATH"))
		fmt.Println(err)
		bufio.NewReader(os.Stdin).ReadByte() // until it is told to end
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, what, path string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "DATABASE_TEST_CHILD="+what, "DATABASE_TEST_PATH="+path)
	c.Stderr = os.Stderr
	return c
}

func mustOpen(t *testing.T, path string) *DB {
	t.Helper()
	db, r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if r.SetAside != nil || r.Messages != nil {
		t.Fatalf("a sound file was reported: %+v", r)
	}
	return db
}

var notes = []string{"create table note (n integer primary key, text text not null)"}

func add(db *DB, write func(context.Context, func(*sql.Tx) error) error, n int) error {
	return write(context.Background(), func(tx *sql.Tx) error {
		_, err := tx.Exec("insert into note values (?, ?)", n, fmt.Sprint("note ", n))
		return err
	})
}

func count(t *testing.T, db *DB) (n int) {
	t.Helper()
	if err := db.Read.QueryRow("select count(*) from note").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// The names that are special in a URI are ordinary in a path.
func TestOpenReadWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?b#c%41'd.db")
	db := mustOpen(t, path)
	if err := db.Migrate("notes", notes); err != nil {
		t.Fatal(err)
	}
	if err := add(db, db.Update, 1); err != nil {
		t.Fatal(err)
	}
	if err := add(db, db.Durable, 2); err != nil {
		t.Fatal(err)
	}
	if err := add(db, db.Update, 2); err == nil {
		t.Fatal("a second note 2 was taken")
	}
	if n := count(t, db); n != 2 {
		t.Fatalf("%d notes", n)
	}
	if _, err := db.Read.Exec("delete from note"); !errors.Is(explain(err), ErrDenied) {
		t.Fatalf("Read wrote: %v", err)
	}
	for pragma, want := range map[string]string{"synchronous": "1", "foreign_keys": "1", "journal_mode": "wal", "busy_timeout": "10000"} {
		var got string
		if err := db.conn.QueryRowContext(t.Context(), "pragma "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", pragma, got, err, want)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := add(db, db.Update, 3); err == nil {
		t.Fatal("written after Close")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if n := count(t, mustOpen(t, path)); n != 2 {
		t.Fatalf("%d notes after a restart", n)
	}
}

func TestDurableSyncs(t *testing.T) {
	db := mustOpen(t, filepath.Join(t.TempDir(), "db"))
	level := func(tx *sql.Tx) (n int) {
		if err := tx.QueryRow("pragma synchronous").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var durable, update int
	db.Durable(t.Context(), func(tx *sql.Tx) error { durable = level(tx); return errors.New("no") })
	db.Update(t.Context(), func(tx *sql.Tx) error { update = level(tx); return nil })
	if durable != 2 || update != 1 {
		t.Fatalf("synchronous is %d in Durable, %d in Update", durable, update)
	}
}

func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := mustOpen(t, path)
	steps := append(notes, "alter table note add column colour text; create index colours on note(colour)")
	for _, s := range [][]string{notes, notes, steps, steps} {
		if err := db.Migrate("notes", s); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Migrate("notes", notes); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "version 2") {
		t.Fatalf("a newer file was taken: %v", err)
	}
	// A step that fails leaves nothing of itself.
	bad := []string{"create table half (n); insert into nowhere values (1)"}
	if err := db.Migrate("half", bad); err == nil {
		t.Fatal("a bad step went through")
	}
	if err := db.Migrate("half", []string{"create table half (n)"}); err != nil {
		t.Fatal(err)
	}
}

func TestCorruptIsSetAside(t *testing.T) {
	damage := map[string]func(path string) error{
		"noise": func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("noise ", 5000)), 0o600) },
		"short": func(p string) error { return os.WriteFile(p, []byte("SQLite format 3\x00 and no more"), 0o600) },
		"page": func(p string) error { // a page in the middle
			f, err := os.OpenFile(p, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			b := make([]byte, 8192)
			rand.Read(b)
			_, err = f.WriteAt(b, 8192)
			return err
		},
		"cut": func(p string) error { return os.Truncate(p, 5000) },
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "shoal.db")
			db := mustOpen(t, path)
			db.Migrate("notes", notes)
			for n := range 300 {
				if err := add(db, db.Update, n); err != nil {
					t.Fatal(err)
				}
			}
			db.Close()
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			was, _ := os.ReadFile(path)
			db, r, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if len(r.SetAside) != 1 || len(r.Messages) != 1 || !strings.Contains(r.Messages[0], r.SetAside[0]) ||
				!strings.HasPrefix(r.SetAside[0], path+".corrupt-") {
				t.Fatalf("report %+v", r)
			}
			if kept, _ := os.ReadFile(r.SetAside[0]); !bytes.Equal(kept, was) {
				t.Fatal("what was set aside is not what was there")
			}
			if err := db.Migrate("notes", notes); err != nil || count(t, db) != 0 {
				t.Fatalf("the new file is not new: %v", err)
			}
		})
	}
}

func TestCorruptLogAndIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shoal.db")
	db := mustOpen(t, path)
	db.Migrate("notes", notes)
	add(db, db.Update, 1)
	db.Close()
	noise := []byte(strings.Repeat("noise ", 9000))
	os.WriteFile(path+"-wal", noise, 0o600)
	os.WriteFile(path+"-shm", noise, 0o600)
	db, r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if len(r.SetAside) != 1 || !strings.HasSuffix(r.SetAside[0], "-wal") || len(r.Messages) != 1 {
		t.Fatalf("report %+v", r)
	}
	if kept, _ := os.ReadFile(r.SetAside[0]); !bytes.Equal(kept, noise) {
		t.Fatal("the log is not kept")
	}
	if count(t, db) != 1 {
		t.Fatal("the note is lost")
	}
}

// What is wrong with the place is no fault of the file.
func TestFaultsThatAreNoCorruption(t *testing.T) {
	dir := t.TempDir()
	if _, r, err := Open(dir); err == nil || r.SetAside != nil {
		t.Errorf("a folder was opened: %+v", r)
	}
	if _, r, err := Open(filepath.Join(dir, "missing", "db")); err == nil || r.SetAside != nil {
		t.Errorf("in a missing folder: %+v", r)
	}
	other := filepath.Join(dir, "other.db")
	s, err := sql.Open("sqlite", other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exec("pragma application_id = 12345; create table t (n)"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, r, err := Open(other); !errors.Is(err, ErrOther) || r.SetAside != nil {
		t.Errorf("another program's file: %+v, %v", r, err)
	}
}

func TestFullIsTold(t *testing.T) {
	db := mustOpen(t, filepath.Join(t.TempDir(), "db"))
	db.Migrate("notes", notes)
	if _, err := db.conn.ExecContext(t.Context(), "pragma max_page_count = 20"); err != nil { // where SQLite says that the disk is full
		t.Fatal(err)
	}
	var err error
	for n := 0; n < 10000 && err == nil; n++ {
		err = add(db, db.Durable, n)
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	before := count(t, db)
	if _, err := db.conn.ExecContext(t.Context(), "pragma max_page_count = 10000"); err != nil {
		t.Fatal(err)
	}
	if err := add(db, db.Durable, 100000); err != nil || count(t, db) != before+1 {
		t.Fatalf("after space was freed: %v", err)
	}
}

func TestKilledWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	acknowledged := 0
	for round := range 12 {
		c := child(t, "write", path)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if acknowledged, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(lines.Text())
			}
			if n == 20+13*round {
				c.Process.Kill()
			}
		}
		c.Wait()
		db := mustOpen(t, path)
		if n := count(t, db); n < acknowledged {
			t.Fatalf("round %d: %d notes of %d that were acknowledged", round, n, acknowledged)
		}
		var odd int
		if err := db.Read.QueryRow("select count(*) from note a where not exists (select 1 from pair where n = a.n)").Scan(&odd); err != nil || odd > 0 {
			t.Fatalf("round %d: %d halves of transactions, %v", round, odd, err)
		}
		db.Close()
	}
	if acknowledged < 100 {
		t.Fatalf("only %d were written", acknowledged)
	}
}

// writeForever adds notes, each with its pair in one transaction, and says which are there.
func writeForever(path string) {
	db, r, err := Open(path)
	if err == nil && r.SetAside == nil {
		err = db.Migrate("notes", append(notes, "create table pair (n integer primary key)"))
	}
	var n int
	if err == nil {
		err = db.Read.QueryRow("select count(*) from note").Scan(&n)
	}
	for n++; err == nil; n++ {
		write := db.Update
		if n%10 == 0 {
			write = db.Durable
		}
		err = write(context.Background(), func(tx *sql.Tx) error {
			if _, err := tx.Exec("insert into note values (?, 'x')", n); err != nil {
				return err
			}
			_, err := tx.Exec("insert into pair values (?)", n)
			return err
		})
		if err == nil {
			fmt.Println(n)
		}
	}
	fmt.Fprintln(os.Stderr, r, err)
	os.Exit(1)
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	c := child(t, "lock", dir)
	in, _ := c.StdinPipe()
	out, _ := c.StdoutPipe()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if said, _ := bufio.NewReader(out).ReadString('\n'); said != "<nil>\n" {
		t.Fatalf("the first was refused: %s", said)
	}
	_, err := Lock(dir)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d)", c.Process.Pid)) {
		t.Fatalf("the second: %v", err)
	}
	in.Close()
	c.Wait()
	l, err := Lock(dir)
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
