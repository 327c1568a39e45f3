package library

import (
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fileSuffix ends the names of the torrents' files, from which a lost database is made anew.
const fileSuffix = ".wanted.json"

func (l *Library) file(id string) string { return filepath.Join(l.cfg.State, id+fileSuffix) }

// saveFiles has records written to their files soon, by one goroutine: thousands take seconds, and are needed only if the database is lost.
func (l *Library) saveFiles(recs []saved) {
	l.mu.Lock()
	for _, r := range recs {
		if l.names[r.id] != nil {
			l.unwritten[r.id] = r.doc
		}
	}
	l.mu.Unlock()
	l.wakeFiles()
}

// removeFiles has the files of torrents that were dropped removed soon.
func (l *Library) removeFiles(list []*entry) {
	l.mu.Lock()
	for _, e := range list {
		if l.names[e.rec.ID] == nil {
			l.unwritten[e.rec.ID] = nil
		}
	}
	l.mu.Unlock()
	l.wakeFiles()
}

func (l *Library) wakeFiles() {
	select {
	case l.filing <- struct{}{}:
	default:
	}
}

// keepFiles writes torrents' files until the library is closed.
func (l *Library) keepFiles() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.filing:
			l.writeFiles()
		}
	}
}

// writeFiles writes the files that are to be written, and removes those that are to be removed. Only one goroutine at a time calls it.
func (l *Library) writeFiles() {
	l.mu.Lock()
	list := l.unwritten
	l.unwritten = map[string][]byte{}
	l.mu.Unlock()
	if len(list) == 0 {
		return
	}
	failed, last := 0, os.MkdirAll(l.cfg.State, 0o700)
	for id, doc := range list {
		if doc == nil {
			os.Remove(l.file(id))
			continue
		}
		if err := writeFile(l.file(id), doc); err != nil {
			failed, last = failed+1, err
		}
	}
	if failed > 0 {
		l.log.Warn("torrents' files were not saved; they are needed only if the database is lost", "files", failed, "error", last)
	}
}

// writeFile replaces a file as a whole.
func writeFile(path string, doc []byte) error {
	tmp := path + ".new"
	err := os.WriteFile(tmp, doc, 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// maxFile bounds a torrent's file.
const maxFile = 4 << 20

// rebuild fills a lost database from the torrents' files.
func (l *Library) rebuild() error {
	files, err := os.ReadDir(l.cfg.State)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var found []*entry
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), fileSuffix) {
			continue
		}
		path := filepath.Join(l.cfg.State, f.Name())
		fi, err := os.Stat(path)
		if err != nil || fi.Size() > maxFile {
			continue
		}
		doc, err := os.ReadFile(path)
		r := new(record)
		if err == nil {
			err = json.Unmarshal(doc, r)
		}
		if err != nil || !r.valid() || l.names[r.ID] != nil {
			if err != nil {
				l.log.Warn("a torrent's file cannot be read and was left out", "file", path, "error", err)
			}
			continue
		}
		found = append(found, &entry{rec: *r})
	}
	slices.SortFunc(found, func(a, b *entry) int { return int(a.rec.Added - b.rec.Added) })
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
