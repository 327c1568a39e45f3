package transmission

import (
	"encoding/base64"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"shoal/internal/library"
)

// act does an action to the torrents that are chosen.
func act(a library.Action) func(*call) (map[string]any, error) {
	return func(c *call) (map[string]any, error) { return nil, c.do(a) }
}

func (c *call) do(a library.Action) error {
	_, list, _, err := c.chosen()
	if err != nil || len(list) == 0 {
		return err
	}
	return c.Library.Act(c.ctx, a, each(list, func(t *library.Torrent) string { return t.ID }))
}

// torrentRemove needs ids: that the lack of them means all is too dear a slip here.
func (c *call) torrentRemove() (map[string]any, error) {
	if _, ok := c.args["ids"]; !ok {
		return nil, bad("ids are missing")
	}
	a := library.Remove
	if with, _, err := arg[bool](c, "delete_local_data"); err != nil {
		return nil, err
	} else if with {
		a = library.RemoveData
	}
	return nil, c.do(a)
}

// torrentAdd adds a link, or what metainfo holds. A file of the node's machine is not read.
func (c *call) torrentAdd() (map[string]any, error) {
	link, _, err := arg[string](c, "filename")
	if err != nil {
		return nil, err
	}
	info, _, err := arg[string](c, "metainfo")
	if err != nil {
		return nil, err
	}
	q := library.Request{Link: link}
	if info != "" {
		if q.Torrent, err = base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(info)); err != nil {
			return nil, bad("metainfo is not base64")
		}
		q.Link = ""
	}
	if q.Link == "" && q.Torrent == nil {
		return nil, bad("filename or metainfo is needed")
	}
	if q.Dir, _, err = arg[string](c, "download_dir"); err != nil {
		return nil, err
	}
	if q.Dir != "" && q.Dir != c.text("folders.downloads") {
		if err := c.mayUse(q.Dir); err != nil {
			return nil, err
		}
	}
	if q.Paused, _, err = arg[bool](c, "paused"); err != nil {
		return nil, err
	}
	if q.Sequential, _, err = arg[bool](c, "sequential_download"); err != nil {
		return nil, err
	}
	if q.Tags, _, err = arg[[]string](c, "labels"); err != nil {
		return nil, err
	}
	a, err := c.Library.Add(c.ctx, q)
	if err != nil {
		return nil, err
	}
	c.numbered = nil
	if !a.Existed {
		if err := c.setFiles(a.ID, false); err != nil {
			return nil, err
		}
	}
	l, err := c.list()
	if err != nil {
		return nil, err
	}
	name, hash := "torrent_added", "hash_string"
	if a.Existed {
		name = "torrent_duplicate"
	}
	if !c.modern {
		name, hash = kebab(name), camel(hash)
	}
	return map[string]any{name: map[string]any{"id": l.number[a.ID], "name": a.Name, hash: a.ID}}, nil
}

// filePriorities are the parameters that give files one, in the order in which they count.
var filePriorities = []struct {
	name string
	p    library.Priority
}{
	{"files_wanted", library.Normal}, {"priority_low", library.Low}, {"priority_normal", library.Normal}, {"priority_high", library.High}, {"files_unwanted", library.Skip},
}

// setFiles gives files the priorities that the parameters name. An empty list is all files, where a torrent is changed.
func (c *call) setFiles(id string, emptyIsAll bool) error {
	for _, x := range filePriorities {
		list, there, err := arg[[]int](c, x.name)
		if err != nil {
			return err
		}
		if !there || len(list) == 0 && !emptyIsAll {
			continue
		}
		have, err := c.Library.Files(id)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			list = each(have, func(f library.File) int { return f.Index })
		}
		if x.name == "files_wanted" { // those that are wanted keep their priority
			list = slices.DeleteFunc(slices.Clone(list), func(i int) bool { return i >= 0 && i < len(have) && have[i].Priority != library.Skip })
		}
		if len(list) == 0 {
			continue
		}
		if err := c.Library.SetPriority(c.ctx, id, list, x.p); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) torrentSet() (map[string]any, error) {
	_, list, _, err := c.chosen()
	if err != nil {
		return nil, err
	}
	if dir, there, err := arg[string](c, "location"); err != nil {
		return nil, err
	} else if there {
		if err := c.mayUse(dir); err != nil {
			return nil, err
		}
	}
	for _, t := range list {
		ch, err := c.changeOf(t)
		if err != nil {
			return nil, err
		}
		if err := c.Library.Change(c.ctx, t.ID, ch); err != nil {
			return nil, err
		}
		if err := c.setFiles(t.ID, true); err != nil {
			return nil, err
		}
		if err := c.setTrackers(t); err != nil {
			return nil, err
		}
		if err := c.setQueue(t); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// changeOf returns what the parameters change of a torrent.
func (c *call) changeOf(t *library.Torrent) (ch library.Change, err error) {
	if dir, there, err := arg[string](c, "location"); err != nil {
		return ch, err
	} else if there {
		ch.Dir = &dir
	}
	if labels, there, err := arg[[]string](c, "labels"); err != nil {
		return ch, err
	} else if there {
		ch.Tags = &labels
	}
	if on, there, err := arg[bool](c, "sequential_download"); err != nil {
		return ch, err
	} else if there {
		ch.Sequential = &on
	}
	if ch.DownLimit, err = c.limit("download", t.DownLimit); err != nil {
		return ch, err
	}
	if ch.UpLimit, err = c.limit("upload", t.UpLimit); err != nil {
		return ch, err
	}
	ratio, given, err := arg[float64](c, "seed_ratio_limit")
	if err != nil {
		return ch, err
	}
	mode, there, err := arg[int](c, "seed_ratio_mode")
	if err != nil {
		return ch, err
	}
	switch {
	case there && mode == 0:
		ratio = 0
	case there && mode == 2:
		ratio = -1
	case there && !given:
		ratio = max(t.SeedRatio, 0)
	case !there && (!given || t.SeedRatio <= 0): // it does not count unless the mode says so
		return ch, nil
	}
	ch.SeedRatio = &ratio
	return ch, nil
}

// limit returns the limit of a direction, which has a value and a switch; nil if it stays.
func (c *call) limit(direction string, is int64) (*int64, error) {
	value, given, err := arg[int64](c, direction+"_limit")
	if err != nil {
		return nil, err
	}
	on, switched, err := arg[bool](c, direction+"_limited")
	if err != nil {
		return nil, err
	}
	value = min(max(value, 0), 1<<40) * kilo
	none := int64(0)
	switch {
	case switched && !on:
		return &none, nil
	case given && (on || is > 0):
		return &value, nil
	}
	return nil, nil
}

// setTrackers makes the trackers those of tracker_list, or changes them by what is deprecated: tracker_add, tracker_remove, tracker_replace.
func (c *call) setTrackers(t *library.Torrent) error {
	have := each((&row{c: c, t: t}).getTrackers(), func(t library.Tracker) string { return t.URL })
	add, _, err := arg[[]string](c, "tracker_add")
	if err != nil {
		return err
	}
	gone, _, err := arg[[]int](c, "tracker_remove")
	if err != nil {
		return err
	}
	var remove []string
	for _, i := range gone {
		if i < 0 || i >= len(have) {
			return bad("tracker_remove: there is no tracker %d", i)
		}
		remove = append(remove, have[i])
	}
	replace, _, err := arg[[]any](c, "tracker_replace")
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(replace); i += 2 {
		n, ok := replace[i].(float64)
		u, ok2 := replace[i+1].(string)
		if !ok || !ok2 || n < 0 || int(n) >= len(have) {
			return bad("tracker_replace is pairs of a tracker's number and a URL")
		}
		add, remove = append(add, u), append(remove, have[int(n)])
	}
	if text, there, err := arg[string](c, "tracker_list"); err != nil {
		return err
	} else if there {
		wanted := strings.Fields(text)
		for _, u := range have {
			if !slices.Contains(wanted, u) {
				remove = append(remove, u)
			}
		}
		for _, u := range wanted {
			if !slices.Contains(have, u) {
				add = append(add, u)
			}
		}
	}
	if len(add) > 0 {
		if err := c.Library.AddTrackers(c.ctx, t.ID, add); err != nil {
			return err
		}
	}
	for _, u := range remove {
		if err := c.Library.RemoveTracker(c.ctx, t.ID, u); err != nil {
			return err
		}
	}
	return nil
}

// maxSteps is how far a place in the queue may be for a torrent to be moved there step by step.
const maxSteps = 200

// setQueue moves a torrent to a place in the queue, of which the first is 0.
func (c *call) setQueue(t *library.Torrent) error {
	to, there, err := arg[int](c, "queue_position")
	if err != nil || !there || to == t.Queue-1 {
		return err
	}
	one := []string{t.ID}
	switch {
	case to <= 0:
		return c.Library.Act(c.ctx, library.Top, one)
	case to >= c.Library.Totals().Torrents-1:
		return c.Library.Act(c.ctx, library.Bottom, one)
	}
	step, n := library.Down, to-(t.Queue-1)
	if n < 0 {
		step, n = library.Up, -n
	}
	if n > maxSteps {
		return bad("queue_position: at most %d places at once, or to an end", maxSteps)
	}
	for range n {
		if err := c.Library.Act(c.ctx, step, one); err != nil {
			return err
		}
	}
	return nil
}

// torrentSetLocation moves the files; without "move" the torrents are told where the files are, which is the same to us: what is there is found.
func (c *call) torrentSetLocation() (map[string]any, error) {
	dir, there, err := arg[string](c, "location")
	if err != nil {
		return nil, err
	}
	if !there || !filepath.IsAbs(dir) {
		return nil, bad("location is not an absolute path")
	}
	if err := c.mayUse(dir); err != nil {
		return nil, err
	}
	_, list, _, err := c.chosen()
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		if err := c.Library.Change(c.ctx, t.ID, library.Change{Dir: &dir}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// torrentRenamePath renames a file, or a folder with all that is in it.
func (c *call) torrentRenamePath() (map[string]any, error) {
	from, _, err := arg[string](c, "path")
	if err != nil {
		return nil, err
	}
	name, _, err := arg[string](c, "name")
	if err != nil {
		return nil, err
	}
	l, list, _, err := c.chosen()
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, bad("exactly one torrent is renamed at a time")
	}
	if from == "" || name == "" || strings.ContainsAny(name, "/\\\x00") || name == "." || name == ".." {
		return nil, bad("path and name are needed, and name is without slashes")
	}
	t := list[0]
	files, err := c.Library.Files(t.ID)
	if err != nil {
		return nil, err
	}
	to, found := path.Join(path.Dir(from), name), false
	for _, f := range files {
		rest, below := strings.CutPrefix(f.Path, from)
		if !below || rest != "" && rest[0] != '/' {
			continue
		}
		found = true
		if err := c.Library.RenameFile(c.ctx, t.ID, f.Index, to+rest); err != nil {
			return nil, err
		}
	}
	if !found && from != t.Name {
		return nil, bad("there is no %s in it", from)
	}
	if from == t.Name {
		if err := c.Library.Change(c.ctx, t.ID, library.Change{Name: &name}); err != nil {
			return nil, err
		}
	}
	return map[string]any{"path": from, "name": name, "id": l.number[t.ID]}, nil
}
