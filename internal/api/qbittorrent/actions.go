package qbittorrent

import (
	"errors"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"shoal/internal/library"
)

// chosen returns the ids of the torrents that the parameter hashes names, without those that are not there; nil is all.
func (c *call) chosen() (ids []string, err error) {
	set := c.hashes("hashes")
	if set == nil {
		return nil, bad("hashes are missing")
	}
	if set["all"] {
		return nil, nil
	}
	ids = []string{}
	for _, h := range sorted(set) {
		d, err := c.Library.Get(h)
		if errors.Is(err, library.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, d.ID)
	}
	return ids, nil
}

// act does an action to the torrents that are chosen.
func act(a library.Action) func(*call) (any, error) {
	return func(c *call) (any, error) { return nil, c.do(a) }
}

func (c *call) do(a library.Action) error {
	ids, err := c.chosen()
	if err != nil || ids != nil && len(ids) == 0 {
		return err
	}
	return c.Library.Act(c.ctx, a, ids)
}

// change changes each torrent that is chosen, as of tells for it.
func (c *call) change(of func(library.Torrent) library.Change) (any, error) {
	ids, err := c.chosen()
	if err != nil {
		return nil, err
	}
	p, err := c.Library.List(library.Query{})
	if err != nil {
		return nil, err
	}
	for _, t := range p.Torrents {
		if ids != nil && !slices.Contains(ids, t.ID) {
			continue
		}
		if err := c.Library.Change(c.ctx, t.ID, of(t)); err != nil && !errors.Is(err, library.ErrNotFound) {
			return nil, err
		}
	}
	return nil, nil
}

func (c *call) delete() (any, error) {
	a := library.Remove
	if c.yes("deleteFiles") {
		a = library.RemoveData
	}
	return nil, c.do(a)
}

func (c *call) yes(name string) bool {
	v := strings.ToLower(c.values.Get(name))
	return v == "true" || v == "1" || v == "on" || v == "yes"
}

func (c *call) setForceStart() (any, error) {
	if c.yes("value") {
		return nil, c.do(library.Force)
	}
	no := false
	return c.change(func(library.Torrent) library.Change { return library.Change{Forced: &no} })
}

func (c *call) setCategory() (any, error) {
	name := c.values.Get("category")
	if name != "" {
		found, _, err := c.category(name)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, refusal{http.StatusConflict, "there is no category " + name}
		}
	}
	return c.change(func(library.Torrent) library.Change { return library.Change{Category: &name} })
}

func (c *call) category(name string) (found bool, x library.Category, err error) {
	list, err := c.Library.Categories()
	i := slices.IndexFunc(list, func(x library.Category) bool { return x.Name == name })
	if i < 0 {
		return false, library.Category{Name: name}, err
	}
	return true, list[i], err
}

func (c *call) createCategory() (any, error) { return nil, c.putCategory(false) }
func (c *call) editCategory() (any, error)   { return nil, c.putCategory(true) }

func (c *call) putCategory(there bool) error {
	name := c.values.Get("category")
	if name == "" {
		return bad("the category has no name")
	}
	found, x, err := c.category(name)
	if err != nil {
		return err
	}
	if found != there {
		return refusal{http.StatusConflict, "the category " + name + map[bool]string{true: " is there already", false: " is not there"}[found]}
	}
	x.Dir = c.values.Get("savePath")
	if err := c.mayUse(x.Dir); err != nil {
		return err
	}
	return c.Library.PutCategory(c.ctx, x)
}

func (c *call) removeCategories() (any, error) {
	for name := range strings.SplitSeq(c.values.Get("categories"), "\n") {
		found, _, err := c.category(name)
		if err == nil && found {
			err = c.Library.RemoveCategory(c.ctx, name)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// tagNames returns the tags that the parameter lists, parted by commas.
func (c *call) tagNames() (list []string) {
	for s := range strings.SplitSeq(c.values.Get("tags"), ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

func (c *call) addTags() (any, error) {
	tags := c.tagNames()
	if len(tags) == 0 {
		return nil, bad("tags are missing")
	}
	return c.change(func(library.Torrent) library.Change { return library.Change{AddTags: tags} })
}

func (c *call) setTags() (any, error) {
	tags := append([]string{}, c.tagNames()...)
	return c.change(func(library.Torrent) library.Change { return library.Change{Tags: &tags} })
}

func (c *call) removeTags() (any, error) {
	tags := c.tagNames()
	return c.change(func(t library.Torrent) library.Change {
		if len(tags) == 0 {
			return library.Change{RemoveTags: t.Tags}
		}
		return library.Change{RemoveTags: tags}
	})
}

func (c *call) createTags() (any, error) {
	for _, name := range c.tagNames() {
		if err := c.Library.PutTag(c.ctx, name); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (c *call) deleteTags() (any, error) {
	have, err := c.Library.Tags()
	if err != nil {
		return nil, err
	}
	for _, name := range c.tagNames() {
		if slices.Contains(have, name) {
			if err := c.Library.RemoveTag(c.ctx, name); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// Goals of zero end seeding at once for qBittorrent, and say nothing for us: so they become the least that ends it.
const (
	leastRatio   = 0.0001
	leastSeconds = 1
)

func ourRatio(text string) (float64, error) {
	r, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || r != r:
		return 0, bad("ratioLimit is not a number")
	case r <= -2:
		return 0, nil
	case r < 0:
		return -1, nil
	}
	return min(max(r, leastRatio), 1e9), nil
}

func ourSeconds(text string) (int64, error) {
	m, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || m != m:
		return 0, bad("seedingTimeLimit is not a number")
	case m <= -2:
		return 0, nil
	case m < 0:
		return -1, nil
	}
	return max(int64(min(m, 1e9)*60), leastSeconds), nil
}

func (c *call) setShareLimits() (any, error) {
	var ch library.Change
	if text := c.values.Get("ratioLimit"); text != "" {
		r, err := ourRatio(text)
		if err != nil {
			return nil, err
		}
		ch.SeedRatio = &r
	}
	if text := c.values.Get("seedingTimeLimit"); text != "" {
		s, err := ourSeconds(text)
		if err != nil {
			return nil, err
		}
		ch.SeedTime = &s
	}
	if ch.SeedRatio == nil && ch.SeedTime == nil {
		return nil, bad("ratioLimit or seedingTimeLimit is missing")
	}
	return c.change(func(library.Torrent) library.Change { return ch })
}

func (c *call) setDownloadLimit() (any, error) {
	n, err := c.number("limit")
	if err != nil {
		return nil, err
	}
	n = max(n, 0)
	return c.change(func(library.Torrent) library.Change { return library.Change{DownLimit: &n} })
}

func (c *call) setUploadLimit() (any, error) {
	n, err := c.number("limit")
	if err != nil {
		return nil, err
	}
	n = max(n, 0)
	return c.change(func(library.Torrent) library.Change { return library.Change{UpLimit: &n} })
}

func (c *call) setLocation() (any, error) {
	dir := c.values.Get("location")
	if dir == "" {
		return nil, bad("location is missing")
	}
	if err := c.mayUse(dir); err != nil {
		return nil, err
	}
	return c.change(func(library.Torrent) library.Change { return library.Change{Dir: &dir} })
}

func (c *call) rename() (any, error) {
	name := strings.TrimSpace(c.values.Get("name"))
	if name == "" {
		return nil, refusal{http.StatusConflict, "the name is empty"}
	}
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	return nil, c.Library.Change(c.ctx, d.ID, library.Change{Name: &name})
}

// renameFile takes the file by its path, or by its index as before 4.3.3.
func (c *call) renameFile() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	files, err := c.Library.Files(d.ID)
	if err != nil {
		return nil, err
	}
	to := c.values.Get("newPath")
	i := slices.IndexFunc(files, func(f library.File) bool { return f.Path == c.values.Get("oldPath") })
	if c.values.Has("id") {
		n, err := c.number("id")
		if err != nil {
			return nil, err
		}
		if i = slices.IndexFunc(files, func(f library.File) bool { return int64(f.Index) == n }); i >= 0 {
			to = path.Join(path.Dir(files[i].Path), path.Base(c.values.Get("name")))
		}
	}
	if i < 0 || to == "" {
		return nil, refusal{http.StatusConflict, "there is no such file, or no new name"}
	}
	return nil, c.Library.RenameFile(c.ctx, d.ID, files[i].Index, to)
}

// renameFolder renames what lies in a folder.
func (c *call) renameFolder() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	files, err := c.Library.Files(d.ID)
	if err != nil {
		return nil, err
	}
	from, to := strings.Trim(c.values.Get("oldPath"), "/"), strings.Trim(c.values.Get("newPath"), "/")
	found := false
	for _, f := range files {
		rest, below := strings.CutPrefix(f.Path, from+"/")
		if from == "" || to == "" || !below {
			continue
		}
		found = true
		if err := c.Library.RenameFile(c.ctx, d.ID, f.Index, to+"/"+rest); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, refusal{http.StatusConflict, "there is no such folder, or no new name"}
	}
	return nil, nil
}

func (c *call) filePrio() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	n, err := c.number("priority")
	if err != nil || n < 0 || n > 7 {
		return nil, bad("priority is 0, 1, 6 or 7")
	}
	p := library.Normal
	switch {
	case n == 0:
		p = library.Skip
	case n >= 6:
		p = library.High
	}
	var files []int
	for s := range strings.SplitSeq(c.values.Get("id"), "|") {
		i, err := strconv.Atoi(s)
		if err != nil {
			return nil, bad("id is a list of indexes")
		}
		files = append(files, i)
	}
	if err := c.Library.SetPriority(c.ctx, d.ID, files, p); errors.Is(err, library.ErrBad) {
		return nil, refusal{http.StatusConflict, err.Error()}
	} else if err != nil {
		return nil, err
	}
	return nil, nil
}

// lines returns what is on lines of its own, or parted by bars.
func (c *call) lines(parameter, separator string) (list []string) {
	for s := range strings.SplitSeq(c.values.Get(parameter), separator) {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

func (c *call) addTrackers() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	urls := c.lines("urls", "\n")
	if len(urls) == 0 {
		return nil, nil
	}
	return nil, c.Library.AddTrackers(c.ctx, d.ID, urls)
}

func (c *call) removeTrackers() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	for _, u := range c.lines("urls", "|") {
		if err := c.Library.RemoveTracker(c.ctx, d.ID, u); err != nil {
			return nil, refusal{http.StatusConflict, err.Error()}
		}
	}
	return nil, nil
}

func (c *call) editTracker() (any, error) {
	d, err := c.torrent()
	if err != nil {
		return nil, err
	}
	from, to := c.values.Get("origUrl"), c.values.Get("newUrl")
	if from == "" || to == "" {
		return nil, bad("origUrl or newUrl is missing")
	}
	if err := c.Library.AddTrackers(c.ctx, d.ID, []string{to}); err != nil {
		return nil, err
	}
	if err := c.Library.RemoveTracker(c.ctx, d.ID, from); err != nil {
		return nil, refusal{http.StatusConflict, err.Error()}
	}
	return nil, nil
}

func (c *call) addPeers() (any, error) {
	peers := c.lines("peers", "|")
	ids, err := c.chosen()
	if err != nil {
		return nil, err
	}
	if len(peers) == 0 {
		return nil, bad("peers are missing")
	}
	result := map[string]map[string]int{}
	for _, id := range ids {
		n := map[string]int{"added": 0, "failed": 0}
		for _, p := range peers {
			if c.Library.AddPeers(c.ctx, id, []string{p}) == nil {
				n["added"]++
			} else {
				n["failed"]++
			}
		}
		result[id] = n
	}
	return result, nil
}

func (c *call) toggleSequential() (any, error) {
	return c.change(func(t library.Torrent) library.Change {
		to := !t.Sequential
		return library.Change{Sequential: &to}
	})
}
