// Package wanted keeps a file for each torrent that tells what a person wants of it, from which a lost database is made anew.
package wanted

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	suffix  = ".wanted.json"
	maxSize = 4 << 20 // of a file
)

// Files are the files of a folder. They are written by one goroutine, soon after it was told to: thousands take seconds, which nobody has to
// wait for, as they are needed only if the database is lost. Methods are safe for concurrent use.
type Files struct {
	dir  string
	log  *slog.Logger
	wake chan struct{}
	end  chan struct{}
	done chan struct{}

	mu   sync.Mutex
	todo map[string][]byte // what is to be written, by id; nil: the file is to be removed
}

// Open begins to keep the files of a folder.
func Open(dir string, log *slog.Logger) *Files {
	f := &Files{dir: dir, log: log, wake: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{}), todo: map[string][]byte{}}
	go f.keep()
	return f
}

// Close writes what is to be written.
func (f *Files) Close() {
	close(f.end)
	<-f.done
}

// Save has the file of a torrent written.
func (f *Files) Save(id string, doc []byte) { f.tell(id, doc) }

// Remove has the file of a torrent removed.
func (f *Files) Remove(id string) { f.tell(id, nil) }

func (f *Files) tell(id string, doc []byte) {
	f.mu.Lock()
	f.todo[id] = doc
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *Files) keep() {
	defer close(f.done)
	for {
		select {
		case <-f.wake:
			f.flush()
		case <-f.end:
			f.flush()
			return
		}
	}
}

func (f *Files) flush() {
	f.mu.Lock()
	list := f.todo
	f.todo = map[string][]byte{}
	f.mu.Unlock()
	failed, last := 0, os.MkdirAll(f.dir, 0o700)
	for id, doc := range list {
		path := filepath.Join(f.dir, id+suffix)
		if doc == nil {
			os.Remove(path)
		} else if err := replace(path, doc); err != nil {
			failed, last = failed+1, err
		}
	}
	if failed > 0 {
		f.log.Warn("torrents' files were not saved; they are needed only if the database is lost", "files", failed, "error", last)
	}
}

// replace writes a file as a whole.
func replace(path string, doc []byte) error {
	next := path + ".new"
	err := os.WriteFile(next, doc, 0o600)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		os.Remove(next)
	}
	return err
}

// Read calls take with each file of a folder. One that cannot be read, or that take does not take, is left out with a warning.
func Read(dir string, log *slog.Logger, take func(doc []byte) error) error {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range list {
		if !strings.HasSuffix(f.Name(), suffix) {
			continue
		}
		path := filepath.Join(dir, f.Name())
		doc, err := read(path)
		if err == nil {
			err = take(doc)
		}
		if err != nil {
			log.Warn("a torrent's file cannot be read and was left out", "file", path, "error", err)
		}
	}
	return nil
}

func read(path string) ([]byte, error) {
	fi, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !fi.Mode().IsRegular():
		return nil, errors.New("it is not a file")
	case fi.Size() > maxSize:
		return nil, errors.New("it is longer than any that was written")
	}
	return os.ReadFile(path)
}
