package library

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/picker"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
)

// How often the keeper does what.
const (
	watchedEvery = time.Second // looks at the engine, while somebody watches
	watchedFor   = 5 * time.Second
	lookEvery    = 2 * time.Second
	ruleEvery    = 10 * time.Second
	diskEvery    = 5 * time.Second
	saveEvery    = time.Minute
)

// stopTime bounds how long a torrent's goodbye may take.
const stopTime = 10 * time.Second

// keep is the keeper: it looks at the engine, and has torrents work as the records and the queue say.
func (l *Library) keep() {
	tick := time.NewTicker(watchedEvery)
	defer tick.Stop()
	var looked, ruled, checked, saved time.Time
	l.schedule()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		case <-l.wake:
			looked = time.Time{}
		}
		now := time.Now()
		if now.Sub(looked) >= lookEvery || l.watched() {
			looked = now
			l.look(now)
			l.schedule()
		}
		if now.Sub(checked) >= diskEvery {
			checked = now
			l.checkDisks()
		}
		if now.Sub(ruled) >= ruleEvery {
			ruled = now
			l.applyRules()
		}
		if now.Sub(saved) >= saveEvery {
			saved = now
			if err := l.saveTotals(); err != nil {
				l.log.Warn("totals were not saved; they will be tried again", "error", err)
			}
		}
	}
}

func (l *Library) watched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.asked) < watchedFor
}

// seen is what the keeper has seen of a torrent at work.
type seen struct {
	e      *entry
	t      *torrent.Torrent
	look   *torrent.Status
	reason string
}

// look takes in what is new in the engine.
func (l *Library) look(now time.Time) {
	list := l.changed()
	for i := range list { // without mu: the finders that are asked have locks of their own
		list[i].reason = reasonOf(list[i].t)
	}
	l.mu.Lock()
	var learned, settled, completed []*entry
	for _, s := range list {
		e, look := s.e, s.look
		if e.t != s.t {
			continue
		}
		e.look, e.reason = look, s.reason
		if look.Swarm.Incoming > 0 {
			l.reached = true
		}
		if e.rec.Pieces == 0 && e.t.Info() != nil {
			learned = append(learned, e)
			e.learn(e.t.Info(), l)
		}
		if !e.settled && isSettled(e.t) {
			e.settled = true
			settled = append(settled, e)
		}
		if e.settled && !e.offline && e.busy == "" {
			if l.finished(e, look, now) {
				completed = append(completed, e)
			}
		}
		e.build(l)
	}
	recs := encode(append(append([]*entry{}, learned...), completed...)...)
	l.mu.Unlock()
	if err := l.save(recs); err != nil {
		l.log.Error("what became of torrents was not saved", "error", err)
	}
	for _, e := range settled {
		l.prioritise(e)
	}
	for _, e := range completed {
		l.completed(e)
	}
}

// changed returns the torrents at work of which there is a new look.
func (l *Library) changed() (list []seen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.t == nil {
			continue
		}
		if look := e.t.Look(); look != e.look {
			list = append(list, seen{e: e, t: e.t, look: look})
		}
	}
	return list
}

// reasonOf says why a torrent is slow or stands still. It is called without mu.
func reasonOf(t *torrent.Torrent) string {
	st := t.Status()
	if st.Problem == nil && st.Phase == torrent.Seeding {
		return ""
	}
	return st.Reason(t.Trackers())
}

func isSettled(t *torrent.Torrent) bool {
	select {
	case <-t.Settled():
		return true
	default:
		return false
	}
}

// finished notes whether a torrent is complete, and reports whether it has become so. It is called with mu held.
func (l *Library) finished(e *entry, st *torrent.Status, now time.Time) bool {
	done := st.Phase == torrent.Seeding
	if st.Total > 0 && e.rec.Size != st.Total {
		e.rec.Size, e.dirty = st.Total, true
	}
	switch {
	case done == e.rec.Complete:
	case done:
		e.rec.Complete, e.dirty = true, true
		if e.rec.Completed == 0 {
			e.rec.Completed = now.Unix()
			return true
		}
	case st.Held && errors.Is(st.Problem, errMissing):
	default: // a file more is wanted, or it was checked again
		e.rec.Complete, e.dirty = false, true
	}
	return false
}

// learn takes over what the metadata tells. It is called with mu held.
func (e *entry) learn(info *metainfo.Info, l *Library) {
	r, lay := &e.rec, &info.Layout
	r.setHash(info.Hash)
	for _, n := range r.names() {
		if l.names[n] == nil {
			l.names[n] = e
		}
	}
	r.LinkName, r.Private, r.Files, r.Pieces, r.PieceLength = info.Name, info.Private, len(lay.Files), lay.Pieces(), lay.PieceLength
	r.TotalSize, r.Size = 0, 0
	want := e.wanted(info)
	for i := range lay.Files {
		r.TotalSize += lay.Files[i].Length
		if want == nil || want[i] {
			r.Size += lay.Files[i].Length
		}
	}
	r.Content = contentPath(info)
	if r.Only != nil {
		e.skipOthers(info)
	}
	e.dirty = true
}

// wanted returns which files are wanted, nil: all.
func (e *entry) wanted(info *metainfo.Info) []bool {
	if len(e.rec.Priorities) == 0 && e.rec.Only == nil {
		return nil
	}
	want := make([]bool, len(info.Layout.Files))
	for i := range want {
		want[i] = e.rec.Only == nil && e.rec.Priorities[i] != Skip
	}
	for _, i := range e.rec.Only {
		if i >= 0 && i < len(want) {
			want[i] = true
		}
	}
	return want
}

// skipOthers turns the files that were chosen before the content was known into priorities.
func (e *entry) skipOthers(info *metainfo.Info) {
	want := e.wanted(info)
	e.rec.Only = nil
	if e.rec.Priorities == nil {
		e.rec.Priorities = map[int]Priority{}
	}
	for i, w := range want {
		if !w {
			e.rec.Priorities[i] = Skip
		}
	}
}

// prioritise tells the engine which files are wanted more or less than others, once it can take that.
func (l *Library) prioritise(e *entry) {
	l.mu.Lock()
	t := e.t
	graded := map[int]picker.Priority{}
	for i, p := range e.rec.Priorities {
		if p == Low || p == High {
			graded[i] = enginePriority(p)
		}
	}
	l.mu.Unlock()
	if t == nil {
		return
	}
	for i, p := range graded {
		_ = t.SetFilePriority(i, p) // it ended, if this fails
	}
}

func enginePriority(p Priority) picker.Priority {
	switch p {
	case Skip:
		return picker.Skip
	case Low:
		return picker.Low
	case High:
		return picker.High
	}
	return picker.Normal
}

// schedule starts and stops torrents as the records and the queue say.
func (l *Library) schedule() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	var start, stop []*entry
	work := l.chosen(time.Now())
	for i, e := range l.entries {
		switch {
		case e.busy != "" || e.gone:
		case work[i] && e.t == nil && e.failure == "":
			e.busy = "starting"
			start = append(start, e)
		case e.t != nil && (e.restart || !work[i]):
			e.busy, e.restart = "stopping", false
			e.build(l)
			stop = append(stop, e)
		}
	}
	l.mu.Unlock()
	for _, e := range stop {
		l.wg.Go(func() { l.stop(e, "") })
	}
	l.startAll(start)
}

// startAll starts torrents, on every core.
func (l *Library) startAll(list []*entry) {
	next := make(chan *entry)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(list)) {
		wg.Go(func() {
			for e := range next {
				l.start(e)
			}
		})
	}
	for _, e := range list {
		next <- e
	}
	close(next)
	wg.Wait()
}

// start puts a torrent to work. Its busy is "starting" before and "" after.
func (l *Library) start(e *entry) {
	spec, r := l.spec(e)
	err := present(&r, &spec)
	var t *torrent.Torrent
	if err == nil {
		t, err = l.cfg.Session.Add(spec)
	}
	if err == nil && r.Complete && !spec.Recheck {
		_ = t.Hold(errMissing)
	}
	l.mu.Lock()
	e.busy = ""
	if err != nil {
		e.failure = err.Error()
		l.log.Warn("a torrent could not be started", "torrent", r.name(), "error", err)
	} else {
		e.join(t)
	}
	e.build(l)
	l.mu.Unlock()
}

// join notes that a torrent is at work. It is called with mu held.
func (e *entry) join(t *torrent.Torrent) {
	e.restart, e.reason = false, ""
	e.t, e.look, e.settled, e.recheck, e.trust, e.failure = t, nil, false, false, false, ""
	e.base, e.began, e.slowAt = totals{e.rec.Downloaded, e.rec.Uploaded}, time.Now(), time.Time{}
}

// leave takes over the last counters of a torrent that has ended. It is called with mu held.
func (l *Library) leave(e *entry) {
	now, st := time.Now(), e.t.Status()
	e.counters(now, &st)
	if !e.offline {
		e.rec.ActiveTime, e.rec.SeedingTime, e.dirty = e.activeTime(now), e.seedingTime(), true
	}
	l.session.Down += st.Swarm.DownTotal
	l.session.Up += st.Swarm.UpTotal
	l.wasted += st.Swarm.Wasted
	l.failed += st.Swarm.FailedBytes
	e.t, e.look, e.offline = nil, nil, false
}

// stop ends a torrent's work, and then is busy with next.
func (l *Library) stop(e *entry, next string) {
	l.mu.Lock()
	t := e.t
	l.mu.Unlock()
	if t != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		_ = l.cfg.Session.Remove(ctx, t) // late only if a tracker does not take the goodbye
		cancel()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.t != nil {
		l.leave(e)
	}
	e.busy = next
	e.build(l)
	l.nudge()
}

// spec says how the engine is to treat a torrent, and returns the record as it is now. It is called without mu, for it reads the metadata.
func (l *Library) spec(e *entry) (session.Spec, record) {
	l.mu.Lock()
	r, set, recheck, trust := e.rec, l.set, e.recheck, e.trust
	r.Paths = maps.Clone(r.Paths)
	l.mu.Unlock()
	spec := session.Spec{
		InfoHash: r.hash(), Root: r.Dir, Paths: r.Paths, ReadOnly: r.ReadOnly, Preallocate: set.Preallocate, Sequential: r.Sequential,
		Down: r.DownLimit, Up: r.UpLimit, MaxPeers: set.MaxPeers, Adjustable: true, Recheck: recheck, Complete: trust && !recheck,
		Select: func(info *metainfo.Info) []bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return e.wanted(info)
		},
	}
	for _, p := range r.Peers {
		if a, err := netip.ParseAddrPort(p); err == nil {
			spec.Peers = append(spec.Peers, a)
		}
	}
	if t := l.cfg.Session.Recall(spec.InfoHash); t != nil {
		t.Announce = r.Trackers
		t.WebSeeds = union(t.WebSeeds, r.WebSeeds)
		spec.Torrent = t
	} else {
		spec.Trackers, spec.WebSeeds = r.Trackers, r.WebSeeds
	}
	asks := spec.Torrent == nil
	if asks && r.Pieces > 0 {
		l.log.Warn("the metadata of a torrent is missing or corrupt; peers are asked for it", "torrent", r.name(), "id", r.ID)
	}
	l.mu.Lock()
	e.asks = asks
	l.mu.Unlock()
	return spec, r
}

// present fails if content that was there is not to be found, as when its disk is not attached: nothing is to be fetched to where the disk
// would be.
func present(r *record, spec *session.Spec) error {
	if spec.Recheck || r.Done == 0 {
		return nil
	}
	if err := exists(spec.Root); err != nil {
		return err
	}
	if r.Complete || len(r.Paths) > 0 || r.Content == "" {
		return nil // the engine looks at each file, and is held if one is missing
	}
	if _, err := os.Lstat(filepath.Join(spec.Root, filepath.FromSlash(r.Content))); errors.Is(err, fs.ErrNotExist) {
		return errMissing
	}
	return nil
}
