package metainfo

import (
	"fmt"
	"strings"

	"shoal/internal/layout"
	"shoal/internal/merkle"
)

// Bounds on paths. Those of real torrents stay far below.
const (
	maxDepth      = 128       // components of a path
	maxPath       = 4096      // bytes of a path as it is kept: what Linux can open
	maxPathsTotal = 256 << 20 // bytes of all paths as they are kept
	maxComponents = 1 << 23   // components of all paths
	maxLinks      = 16        // symlinks that lead through one another
	maxNotices    = 100       // each adds a line
)

// entry is a file as a torrent lists it.
type entry struct {
	path    []string // as the publisher wrote it, below the torrent's name; empty for content that is one file
	target  []string // of a symlink, below the torrent's name
	length  int64
	offset  int64
	root    []byte // "pieces root" of BEP 52
	pad     bool
	link    bool
	exec    bool
	hidden  bool
	skipped bool // a symlink that is left out
}

// slot is a name in a folder.
type slot struct {
	folder int    // 0 is the download folder
	name   string // folded
}

// folder is where a path's components lead.
type folder struct {
	id   int
	path string // as it is kept
}

// namer gives every file a safe path of its own, in the order in which they are given.
type namer struct {
	taken   map[slot]string // the name that is kept, by files and folders
	folders map[slot]folder // the folders, whatever they are called now
	lastID  int
	next    map[slot]int // the number to try next for a name that is taken
	total   int          // bytes of all paths
	notices *[]string

	last   []string // components of the last path; most files lie beside the one before
	inside []folder // where they led
}

func newNamer(notices *[]string) *namer {
	return &namer{taken: map[slot]string{}, folders: map[slot]folder{}, next: map[slot]int{}, notices: notices}
}

// notice adds a line about something that was not taken as it was written.
func notice(to *[]string, format string, args ...any) {
	switch n := len(*to); {
	case n < maxNotices:
		*to = append(*to, fmt.Sprintf(format, args...))
	case n == maxNotices:
		*to = append(*to, "and more of the kind")
	}
}

// claim takes a name in a folder, another if it is taken.
func (n *namer) claim(parent int, name string) string {
	first := slot{parent, fold(name)}
	s, chosen := first, name
	for {
		if _, ok := n.taken[s]; !ok {
			n.taken[s] = chosen
			return chosen
		}
		n.next[first] = max(n.next[first], 1) + 1
		chosen = numbered(name, n.next[first])
		s = slot{parent, fold(chosen)}
	}
}

// enter returns the folder of a name, which it makes if there is none.
func (n *namer) enter(parent folder, raw string) folder {
	name := safeComponent(raw)
	key := slot{parent.id, fold(name)}
	f, ok := n.folders[key]
	if !ok {
		n.lastID++
		f = folder{id: n.lastID, path: join(parent.path, n.claim(parent.id, name))}
		n.folders[key] = f
	}
	return f
}

// file returns the path for a file, given the components that the publisher wrote.
func (n *namer) file(components []string) (string, error) {
	dirs := components[:len(components)-1]
	known := 0
	for known < min(len(dirs), len(n.inside)) && dirs[known] == n.last[known] {
		known++
	}
	n.last, n.inside = components, n.inside[:known]
	var in folder
	if known > 0 {
		in = n.inside[known-1]
	}
	for _, c := range dirs[known:] {
		if in = n.enter(in, c); len(in.path) > maxPath {
			return "", fmt.Errorf("path %s has more than %d bytes", quote(components), maxPath)
		}
		n.inside = append(n.inside, in)
	}
	path := join(in.path, n.claim(in.id, safeComponent(components[len(dirs)])))
	if len(path) > maxPath {
		return "", fmt.Errorf("path %s has more than %d bytes", quote(components), maxPath)
	}
	if n.total += len(path); n.total > maxPathsTotal {
		return "", fmt.Errorf("paths have more than %d bytes together", maxPathsTotal)
	}
	if !same(path, components) {
		notice(n.notices, "file %s is kept as %q", quote(components), path)
	}
	return path, nil
}

// find returns where a path leads that was given its place before: a folder, or a file, whose folder has no id.
func (n *namer) find(components []string) (folder, bool) {
	var in folder
	for k, c := range components {
		if c == "" || c == "." || c == ".." {
			return folder{}, false
		}
		s := slot{in.id, fold(safeComponent(c))}
		f, ok := n.folders[s]
		if !ok {
			name, ok := n.taken[s]
			return folder{path: join(in.path, name)}, ok && k == len(components)-1
		}
		in = f
	}
	return in, true
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// same reports whether path is the components joined.
func same(path string, components []string) bool {
	for i, c := range components {
		if i > 0 {
			if !strings.HasPrefix(path, "/") {
				return false
			}
			path = path[1:]
		}
		if !strings.HasPrefix(path, c) {
			return false
		}
		path = path[len(c):]
	}
	return path == ""
}

// quote shows a path that a publisher wrote, cut to a bearable length.
func quote(components []string) string {
	const most = 200
	var s []byte
	for i, c := range components {
		if i > 0 {
			s = append(s, '/')
		}
		if s = append(s, c[:min(len(c), most)]...); len(s) >= most {
			return fmt.Sprintf("%q…", s[:most])
		}
	}
	return fmt.Sprintf("%q", s)
}

// place turns the entries, pads excepted, into the files of the layout. Files and folders come first to their names; a
// symlink takes what is left, and is left out unless it leads to a file or folder of the content.
func (i *Info) place(name string, entries []entry) error {
	n := newNamer(&i.Notices)
	files := make([]layout.File, len(entries))
	for k := range entries {
		e := &entries[k]
		if e.pad || e.link {
			continue
		}
		path, err := n.file(withName(name, e.path))
		if err != nil {
			return err
		}
		files[k] = layout.File{Path: path, Offset: e.offset, Length: e.length, Executable: e.exec, Hidden: e.hidden}
	}
	if err := i.placeLinks(n, name, entries, files); err != nil {
		return err
	}
	for k := range entries {
		if e := &entries[k]; !e.pad && !e.skipped {
			i.keep(files[k], withName(name, e.path), e.root)
		}
	}
	return nil
}

// keep adds a file to the layout.
func (i *Info) keep(f layout.File, written []string, root []byte) {
	if !same(f.Path, written) {
		if i.renamed == nil {
			i.renamed = map[int][]string{}
		}
		i.renamed[len(i.Layout.Files)] = written
	}
	i.Layout.Files = append(i.Layout.Files, f)
	if i.HasV2 {
		var h merkle.Hash
		copy(h[:], root)
		i.Roots = append(i.Roots, h)
	}
}

// placeLinks names the symlinks and finds their targets (BEP 47).
func (i *Info) placeLinks(n *namer, name string, entries []entry, files []layout.File) error {
	targets := n.targets(name, entries)
	for k := range entries {
		e := &entries[k]
		if !e.link || e.pad {
			continue
		}
		written := withName(name, e.path)
		target, ok := targets[k]
		if !ok {
			e.skipped = true
			notice(&i.Notices, "symlink %s is left out: its target %s is not a file or folder of the content", quote(written), quote(e.target))
			continue
		}
		path, err := n.file(written)
		if err != nil {
			return err
		}
		if e.skipped = strings.HasPrefix(path, target+"/"); e.skipped {
			notice(&i.Notices, "symlink %s is left out: its target is a folder that it lies in", quote(written))
		}
		files[k] = layout.File{Path: path, Offset: e.offset, Executable: e.exec, Hidden: e.hidden, Symlink: target}
	}
	return nil
}

// targets returns where symlinks lead, by entry. A target that lies behind another symlink is followed to what is real.
// It is called before any link has a name, so that no link leads to a link.
func (n *namer) targets(name string, entries []entry) map[int]string {
	targets := map[int]string{}
	for range maxLinks {
		found := false
		for k := range entries {
			e := &entries[k]
			if _, ok := targets[k]; ok || !e.link || e.pad || len(e.target) == 0 {
				continue
			}
			to, ok := n.find(withName(name, e.target))
			if !ok {
				continue
			}
			targets[k], found = to.path, true
			last := len(e.path) - 1
			if in, ok := n.find(withName(name, e.path[:last])); ok && in.id > 0 && to.id > 0 {
				if s := (slot{in.id, fold(safeComponent(e.path[last]))}); n.folders[s].id == 0 {
					n.folders[s] = to
				}
			}
		}
		if !found {
			break
		}
	}
	return targets
}

// withName puts the torrent's name before a path.
func withName(name string, path []string) []string {
	return append(append(make([]string, 0, len(path)+1), name), path...)
}
