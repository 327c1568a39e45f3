package automation

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/library"
)

// Watch is a folder whose .torrent files, and .magnet files with a link a line, are added. One that was added gets .added at its end, one that
// cannot be gets .invalid.
type Watch struct {
	ID       string   `json:"id"`
	Path     string   `json:"path"`     // absolute
	Delete   bool     `json:"delete"`   // what was added is deleted instead
	Dir      string   `json:"dir"`      // where downloads go; empty: as the category or the settings say
	Category string   `json:"category"` //
	Tags     []string `json:"tags"`
	Paused   bool     `json:"paused"`
	Problem  string   `json:"problem,omitempty"` // why the folder cannot be looked at
}

func (w *Watch) check(roots func() []string) error {
	w.Problem = ""
	switch {
	case !filepath.IsAbs(w.Path):
		return library.Bad("the folder %q is not an absolute path", w.Path)
	case w.Dir != "" && !filepath.IsAbs(w.Dir):
		return library.Bad("the folder %q is not an absolute path", w.Dir)
	}
	w.Path = filepath.Clean(w.Path)
	if roots == nil {
		return nil
	}
	for _, r := range roots() {
		if rel, err := filepath.Rel(r, w.Path); err == nil && filepath.IsLocal(rel) {
			return nil
		}
	}
	return library.Bad("%s is not below a folder that may be used (folders.downloads, folders.browse)", w.Path)
}

// calm is how long a file must not have changed before it is read.
const calm = 2 * time.Second

const maxFiles = 10_000 // of one folder that are looked at

// lookAtWatches adds what is new.
func (a *Automation) lookAtWatches() {
	a.mu.Lock()
	var list []Watch
	for _, id := range sorted(a.watches) {
		list = append(list, *a.watches[id])
	}
	a.mu.Unlock()
	for _, w := range list {
		err := a.lookAt(&w)
		a.mu.Lock()
		if now := a.watches[w.ID]; now != nil {
			now.Problem = ""
			if err != nil {
				now.Problem = err.Error()
			}
		}
		a.mu.Unlock()
	}
}

func (a *Automation) lookAt(w *Watch) error {
	root, err := os.OpenRoot(w.Path)
	if err != nil {
		return err
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	files, err := dir.ReadDir(maxFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, f := range files {
		name := f.Name()
		ext := strings.ToLower(filepath.Ext(name))
		if !f.Type().IsRegular() || ext != ".torrent" && ext != ".magnet" || a.ctx.Err() != nil {
			continue
		}
		fi, err := f.Info()
		if err != nil || time.Since(fi.ModTime()) < calm {
			continue
		}
		a.take(root, w, name, ext)
	}
	return nil
}

// take adds what a file names, and marks the file.
func (a *Automation) take(root *os.Root, w *Watch, name, ext string) {
	q := library.Request{Dir: w.Dir, Category: w.Category, Tags: w.Tags, Paused: w.Paused}
	err := func() error {
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if ext == ".torrent" {
			if q.Torrent, err = io.ReadAll(io.LimitReader(f, metainfo.MaxTorrent+1)); err == nil {
				_, err = a.cfg.Library.Add(a.ctx, q)
			}
			return err
		}
		return a.addLines(f, q)
	}()
	mark := ".added"
	if err != nil {
		mark = ".invalid"
		a.cfg.Log.Warn("a file in a watched folder cannot be added", "file", filepath.Join(w.Path, name), "error", err)
	}
	if err == nil && w.Delete {
		err = root.Remove(name)
	} else {
		err = root.Rename(name, name+mark)
	}
	if err != nil {
		a.cfg.Log.Warn("a file in a watched folder cannot be marked, and will be taken again", "file", filepath.Join(w.Path, name), "error", err)
	}
}

const maxLines = 1000 // of a .magnet file

// addLines adds each link of a text.
func (a *Automation) addLines(r io.Reader, q library.Request) error {
	lines := bufio.NewScanner(io.LimitReader(r, 1<<20))
	lines.Buffer(nil, 64<<10)
	var errs []error
	for n := 0; n < maxLines && lines.Scan(); n++ {
		if q.Link = strings.TrimSpace(lines.Text()); q.Link == "" || strings.HasPrefix(q.Link, "#") {
			continue
		}
		if _, err := a.cfg.Library.Add(a.ctx, q); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, lines.Err())...)
}
