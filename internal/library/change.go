package library

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/torrent"
)

// Set changes a torrent. A new folder is moved to in the background; the row says so until it is done.
func (l *Library) Set(id string, c Change) error {
	if err := c.check(); err != nil {
		return err
	}
	l.mu.Lock()
	e, err := l.find(id)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	if err := l.change(e, &c); err != nil {
		l.mu.Unlock()
		return err
	}
	newTags := l.noteGroups(e)
	e.build(l)
	recs, t := encode(e), e.t
	down, up, sequential := e.rec.DownLimit, e.rec.UpLimit, e.rec.Sequential
	l.mu.Unlock()
	if t != nil {
		t.SetRates(down, up)
		if c.Sequential != nil {
			_ = t.SetSequential(sequential) // it ended, if this fails; the next start knows
		}
	}
	err = l.save(recs)
	if newTags {
		err = errors.Join(err, l.saveGroups())
	}
	if c.Dir != nil {
		l.wg.Go(func() { l.relocate(e, filepath.Clean(*c.Dir)) })
	}
	l.nudge()
	return err
}

// check refuses what makes no sense.
func (c *Change) check() error {
	if c.Category != nil {
		if err := checkText("category", *c.Category, true); err != nil {
			return err
		}
	}
	if c.Name != nil && (len(*c.Name) > 1000 || strings.ContainsFunc(*c.Name, func(r rune) bool { return r < 0x20 })) {
		return Bad("the name is too long or has control characters")
	}
	if c.DownLimit != nil && *c.DownLimit < 0 || c.UpLimit != nil && *c.UpLimit < 0 {
		return Bad("limits cannot be negative")
	}
	if c.Dir != nil && !filepath.IsAbs(*c.Dir) {
		return Bad("the folder %q is not an absolute path", *c.Dir)
	}
	return nil
}

// change applies a change to the record. It is called with mu held.
func (l *Library) change(e *entry, c *Change) error {
	r := &e.rec
	tags := r.Tags
	if c.Tags != nil {
		tags = *c.Tags
	}
	tags = slices.DeleteFunc(append(slices.Clone(tags), c.AddTags...), func(t string) bool { return slices.Contains(c.RemoveTags, t) })
	tags, err := cleanTags(tags)
	if err != nil {
		return err
	}
	r.Tags = tags
	set(&r.Name, c.Name)
	set(&r.Category, c.Category)
	set(&r.Sequential, c.Sequential)
	set(&r.Forced, c.Forced)
	set(&r.DownLimit, c.DownLimit)
	set(&r.UpLimit, c.UpLimit)
	set(&r.SeedRatio, c.SeedRatio)
	set(&r.SeedTime, c.SeedTime)
	return nil
}

func set[T any](into, from *T) {
	if from != nil {
		*into = *from
	}
}

// relocate moves a torrent's files below another folder. It is said in the row when that fails, and then they are where they were.
func (l *Library) relocate(e *entry, dir string) {
	if l.claim(l.ctx, e, "moving") != nil {
		return
	}
	l.mu.Lock()
	t, same := e.t, e.rec.Dir == dir
	readOnly := e.rec.ReadOnly
	l.mu.Unlock()
	var err error
	switch {
	case same:
	case readOnly:
		err = errors.New("it is shared where it lies: move it there and share it anew")
	case t != nil:
		err = t.Relocate(dir)
	default:
		err = l.offline(e, func(t *torrent.Torrent) error { return t.Relocate(dir) })
	}
	if errors.Is(err, ErrNoInfo) || err != nil && t != nil && t.Info() == nil {
		err = nil // there is nothing to move yet
		l.mu.Lock()
		e.restart = e.t != nil
		l.mu.Unlock()
	}
	if err != nil {
		l.log.Warn("files were not moved", "torrent", e.rec.name(), "to", dir, "error", err)
		l.release(e, fmt.Errorf("moving to %s: %w", dir, err))
		return
	}
	l.mu.Lock()
	e.rec.Dir = dir
	if e.rec.Target == dir || e.rec.Complete {
		e.rec.Target = ""
	}
	recs := encode(e)
	l.mu.Unlock()
	if err := l.save(recs); err != nil {
		l.log.Error("a torrent's new folder was not saved", "torrent", e.rec.name(), "folder", dir, "error", err)
	}
	l.release(e, nil)
}

// completed does what follows when a torrent has become complete: its files are moved, and whoever wants to know is told.
func (l *Library) completed(e *entry) {
	l.mu.Lock()
	target, readOnly := e.rec.Target, e.rec.ReadOnly
	row := e.row
	l.mu.Unlock()
	if readOnly {
		return
	}
	l.log.Info("complete", "torrent", row.Name, "id", row.ID, "size", row.Size)
	l.wg.Go(func() {
		if target != "" {
			l.relocate(e, target)
		}
		l.mu.Lock()
		row := e.row
		l.mu.Unlock()
		if l.cfg.Completed != nil {
			l.cfg.Completed(row)
		}
	})
}

// SetFiles changes how much files are wanted.
func (l *Library) SetFiles(id string, files []int, p Priority) error {
	if !slices.Contains([]Priority{Skip, Low, Normal, High}, p) {
		return Bad("there is no priority %q", p)
	}
	l.mu.Lock()
	e, err := l.find(id)
	if err == nil && e.rec.Pieces == 0 && e.rec.Files == 0 {
		err = ErrNoInfo
	}
	for _, i := range files {
		if err == nil && (i < 0 || i >= e.rec.Files) {
			err = Bad("there is no file %d: they go from 0 to %d", i, e.rec.Files-1)
		}
	}
	if err != nil {
		l.mu.Unlock()
		return err
	}
	if e.rec.Priorities == nil {
		e.rec.Priorities = map[int]Priority{}
	}
	for _, i := range files {
		if p == Normal {
			delete(e.rec.Priorities, i)
		} else {
			e.rec.Priorities[i] = p
		}
	}
	t := e.t
	l.mu.Unlock()
	if t != nil {
		if st := t.Look(); st.Held && errors.Is(st.Problem, errMissing) {
			t = nil // nothing is to be fetched before a person has looked
		} else if err := t.Hold(nil); err != nil {
			t = nil
		}
	}
	for _, i := range files {
		if t != nil {
			_ = t.SetFilePriority(i, enginePriority(p)) // before the files are open it fails: then the record counts
		}
	}
	l.resize(e)
	l.mu.Lock()
	e.build(l)
	recs := encode(e)
	l.mu.Unlock()
	l.nudge()
	return l.save(recs)
}

// resize counts the bytes of the wanted files anew.
func (l *Library) resize(e *entry) {
	info := l.info(e)
	if info == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	want := e.wanted(info)
	e.rec.Size = 0
	for i := range info.Layout.Files {
		if want == nil || want[i] {
			e.rec.Size += info.Layout.Files[i].Length
		}
	}
	if e.t == nil { // what is there of them is known when it is at work again
		e.rec.Complete = e.rec.Complete && e.rec.Done >= e.rec.Size
		e.rec.Done = min(e.rec.Done, e.rec.Size)
	}
}

// info returns the content's description, nil until it is known. It is called without mu.
func (l *Library) info(e *entry) *metainfo.Info {
	l.mu.Lock()
	t, hash := e.t, e.rec.hash()
	l.mu.Unlock()
	if t != nil {
		return t.Info()
	}
	if m := l.cfg.Session.Recall(hash); m != nil {
		return m.Info
	}
	return nil
}

// RenameFile gives a file another path below the torrent's folder.
func (l *Library) RenameFile(id string, file int, path string) error {
	l.mu.Lock()
	e, err := l.find(id)
	if err == nil && (file < 0 || file >= e.rec.Files) {
		err = Bad("there is no file %d: they go from 0 to %d", file, e.rec.Files-1)
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(l.ctx, stopTime)
	defer cancel()
	if err := l.claim(ctx, e, "renaming"); err != nil {
		return err
	}
	defer l.release(e, nil)
	l.mu.Lock()
	t, readOnly := e.t, e.rec.ReadOnly
	l.mu.Unlock()
	switch {
	case readOnly:
		return Bad("it is shared where it lies, and its files keep their names")
	case t != nil:
		err = t.Rename(file, path)
	default:
		err = l.offline(e, func(t *torrent.Torrent) error { return t.Rename(file, path) })
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBad, err)
	}
	l.mu.Lock()
	if e.rec.Paths == nil {
		e.rec.Paths = map[int]string{}
	}
	e.rec.Paths[file] = path
	if e.rec.Files == 1 {
		e.rec.Content = path
	}
	recs := encode(e)
	l.mu.Unlock()
	return l.save(recs)
}

// AddPeers tells a torrent of peers.
func (l *Library) AddPeers(id string, hostports []string) error {
	ctx, cancel := context.WithTimeout(l.ctx, stopTime)
	defer cancel()
	addrs, err := l.resolve(ctx, hostports, hostports)
	if err != nil {
		return err
	}
	return l.addPeers(id, addrs)
}

// maxKept bounds the peers remembered of those that a person named.
const maxKept = 50

func (l *Library) addPeers(id string, addrs []string) error {
	l.mu.Lock()
	e, err := l.find(id)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	e.rec.Peers = union(e.rec.Peers, addrs)
	e.rec.Peers = e.rec.Peers[max(0, len(e.rec.Peers)-maxKept):]
	t, recs := e.t, encode(e)
	l.mu.Unlock()
	if t != nil {
		var list []netip.AddrPort
		for _, a := range addrs {
			if p, err := netip.ParseAddrPort(a); err == nil {
				list = append(list, p)
			}
		}
		err = t.AddPeers(list)
	}
	return errors.Join(err, l.save(recs))
}

// AddTrackers adds trackers, each a tier of its own.
func (l *Library) AddTrackers(id string, urls []string) error {
	l.mu.Lock()
	e, err := l.find(id)
	var tiers [][]string
	if err == nil {
		tiers, err = addTiers(e.rec.Trackers, urls)
	}
	if err != nil {
		l.mu.Unlock()
		return err
	}
	e.rec.Trackers = tiers
	e.build(l)
	t, recs := e.t, encode(e)
	l.mu.Unlock()
	if t != nil && len(urls) > 0 {
		err = t.AddTrackers(urls)
	}
	return errors.Join(err, l.save(recs))
}

// RemoveTracker takes a tracker away.
func (l *Library) RemoveTracker(id, url string) error {
	l.mu.Lock()
	e, err := l.find(id)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	var tiers [][]string
	found := false
	for _, tier := range e.rec.Trackers {
		kept := slices.DeleteFunc(slices.Clone(tier), func(u string) bool { return u == url })
		found = found || len(kept) < len(tier)
		if len(kept) > 0 {
			tiers = append(tiers, kept)
		}
	}
	if !found {
		l.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrBad, torrent.ErrNoTracker)
	}
	e.rec.Trackers = tiers
	e.build(l)
	t, recs := e.t, encode(e)
	l.mu.Unlock()
	if t != nil {
		_ = t.RemoveTracker(url) // it has ended, or dropped it before
	}
	return l.save(recs)
}
