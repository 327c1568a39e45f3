package create

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"shoal/internal/layout"
)

// walker lists the files below a path.
type walker struct {
	root    string // without symlinks
	files   []layout.File
	stamps  []stamp // by file
	notices []string
	filled  map[string]bool // folders with something in them
	folders []string        // all folders, in order
}

// walk lists what is at root. Hidden files are files. Symlinks below root are kept as symlinks (BEP 47) if they lead to
// something below root; other symlinks, empty folders, and what is no file are left out with a notice.
func walk(ctx context.Context, root string) (*walker, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	fi, err := os.Stat(real)
	if err != nil {
		return nil, err
	}
	w := &walker{root: real, filled: map[string]bool{}}
	if !fi.IsDir() {
		if !fi.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is neither a file nor a folder", root)
		}
		w.add("", fi)
		return w, nil
	}
	err = filepath.WalkDir(real, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(real, name)
		if err != nil || rel == "." {
			return err
		}
		return w.visit(name, filepath.ToSlash(rel), d)
	})
	if err != nil {
		return nil, err
	}
	for _, f := range w.folders {
		if !w.filled[f] {
			w.notices = append(w.notices, fmt.Sprintf("folder %q is empty and left out", f))
		}
	}
	return w, nil
}

func (w *walker) visit(name, rel string, d fs.DirEntry) error {
	switch {
	case d.IsDir():
		w.folders = append(w.folders, rel)
		return nil
	case d.Type()&fs.ModeSymlink != 0:
		w.fill(rel)
		return w.link(name, rel)
	case !d.Type().IsRegular():
		w.fill(rel)
		w.notices = append(w.notices, fmt.Sprintf("%q is not a file and left out", rel))
		return nil
	}
	fi, err := d.Info()
	if err != nil {
		return err
	}
	w.fill(rel)
	w.add(rel, fi)
	return nil
}

// fill marks the folders that rel lies in.
func (w *walker) fill(rel string) {
	for dir := path.Dir(rel); dir != "." && !w.filled[dir]; dir = path.Dir(dir) {
		w.filled[dir] = true
	}
}

func (w *walker) add(rel string, fi fs.FileInfo) {
	w.files = append(w.files, layout.File{Path: rel, Length: fi.Size(), Executable: fi.Mode()&0o100 != 0})
	w.stamps = append(w.stamps, stamp{fi.Size(), fi.ModTime()})
}

// link adds a symlink if what it leads to, all links followed, lies below the root and not above the link itself.
func (w *walker) link(name, rel string) error {
	to, err := filepath.EvalSymlinks(name)
	if err == nil {
		to, err = filepath.Rel(w.root, to)
	}
	target := filepath.ToSlash(to)
	if outside := err != nil || target == "." || target == ".." || strings.HasPrefix(target, "../") || strings.HasPrefix(rel, target+"/"); outside {
		w.notices = append(w.notices, fmt.Sprintf("symlink %q is left out: it leads to nothing inside the folder", rel))
		return nil
	}
	w.files = append(w.files, layout.File{Path: rel, Symlink: target})
	w.stamps = append(w.stamps, stamp{})
	return nil
}
