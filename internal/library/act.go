package library

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"shoal/internal/bt/torrent"
)

// Do does the same to many torrents; "all" among ids means every one. It goes on after an error, and returns them joined. Remove and
// RemoveData wait until it is done, or ctx is.
func (l *Library) Do(ctx context.Context, a Action, ids []string) error {
	if !slices.Contains(Actions, a) {
		return Bad("there is no action %q", a)
	}
	l.mu.Lock()
	chosen, err := l.pick(ids)
	var recs []saved
	var running []*torrent.Torrent
	switch a {
	case Pause, Resume, Force:
		recs = l.setPaused(chosen, a)
	case Recheck:
		for _, e := range chosen {
			e.again()
			e.rec.Complete = false
			e.build(l)
		}
		recs = encode(chosen...)
	case Announce:
		for _, e := range chosen {
			if e.t != nil && !e.offline {
				running = append(running, e.t)
			}
		}
	case Top, Up, Down, Bottom:
		recs = l.move(chosen, a)
	}
	l.mu.Unlock()
	for _, t := range running {
		err = errors.Join(err, t.Announce())
	}
	switch a {
	case Top, Up, Down, Bottom: // files do not tell places
		err = errors.Join(err, l.write(updateRecord, recs))
	default:
		err = errors.Join(err, l.save(recs))
	}
	switch a {
	case Recheck:
		for _, e := range chosen {
			l.wg.Go(func() { l.recheck(e) })
		}
	case Remove, RemoveData:
		err = errors.Join(err, l.remove(ctx, chosen, a == RemoveData))
	}
	l.nudge()
	return err
}

// pick returns the entries that ids name. It is called with mu held.
func (l *Library) pick(ids []string) ([]*entry, error) {
	if slices.Contains(ids, "all") {
		return slices.Clone(l.entries), nil
	}
	var out []*entry
	var errs []error
	seen := map[*entry]bool{}
	for _, id := range ids {
		e, err := l.find(id)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", short(id), err))
		case !seen[e]:
			seen[e] = true
			out = append(out, e)
		}
	}
	return out, errors.Join(errs...)
}

func short(s string) string { return s[:min(len(s), 64)] }

// setPaused pauses or resumes. It is called with mu held.
func (l *Library) setPaused(chosen []*entry, a Action) []saved {
	for _, e := range chosen {
		e.rec.Paused, e.rec.Forced = a == Pause, a == Force
		if a != Pause {
			e.again()
		}
		e.build(l)
	}
	return encode(chosen...)
}

// again lets a torrent that failed be tried again.
func (e *entry) again() {
	e.failure = ""
	if e.t == nil || e.busy != "" {
		return
	}
	if st := e.t.Look(); st.Phase == torrent.Failed || st.Held {
		e.restart = true
	}
}

// claim waits until nothing else is done to a torrent, and marks what is done now.
func (l *Library) claim(ctx context.Context, e *entry, busy string) error {
	for {
		l.mu.Lock()
		if e.gone {
			l.mu.Unlock()
			return ErrNotFound
		}
		if e.busy == "" {
			e.busy = busy
			e.build(l)
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release ends what claim began.
func (l *Library) release(e *entry, failure error) {
	l.mu.Lock()
	e.busy = ""
	if failure != nil {
		e.failure = failure.Error()
	}
	e.build(l)
	l.mu.Unlock()
	l.nudge()
}

// recheck hashes what is on disk. A torrent that is not at work is put to work without peers for that.
func (l *Library) recheck(e *entry) {
	if err := l.claim(l.ctx, e, "checking"); err != nil {
		return
	}
	l.stop(e, "checking")
	l.mu.Lock()
	e.recheck = true
	paused := e.rec.Paused
	l.mu.Unlock()
	if !paused {
		l.release(e, nil) // the keeper starts it
		return
	}
	l.examine(e)
}

// maxExamined is how many torrents that are not at work are looked at at once.
const maxExamined = 16

// examine finds out how much of a torrent that is not at work is on disk already. It is busy with that.
func (l *Library) examine(e *entry) {
	select {
	case l.examining <- struct{}{}:
		defer func() { <-l.examining }()
	case <-l.ctx.Done():
		return
	}
	l.release(e, l.offline(e, func(t *torrent.Torrent) error { return l.found(e, t) }))
}

// found notes what is on disk.
func (l *Library) found(e *entry, t *torrent.Torrent) error {
	st := t.Status()
	l.mu.Lock()
	e.rec.Done, e.rec.Complete = st.Done, st.Phase == torrent.Seeding
	if e.rec.Complete && e.rec.Completed == 0 {
		e.rec.Completed = time.Now().Unix()
	}
	e.dirty = true
	l.mu.Unlock()
	return nil
}

// offline has a torrent that is not at work opened by the engine without peers, and calls f once it is known what is on disk. The torrent is
// claimed.
func (l *Library) offline(e *entry, f func(*torrent.Torrent) error) error {
	spec, _ := l.spec(e)
	if spec.Torrent == nil {
		return ErrNoInfo
	}
	spec.Offline = true
	t, err := l.cfg.Session.Add(spec)
	if err != nil {
		return err
	}
	l.mu.Lock()
	e.join(t)
	e.offline = true
	busy := e.busy
	l.mu.Unlock()
	select {
	case <-t.Settled():
	case <-l.ctx.Done():
	}
	if st := t.Status(); st.Phase == torrent.Failed {
		err = st.Problem
	} else if err = l.ctx.Err(); err == nil {
		err = f(t)
	}
	l.stop(e, busy)
	return err
}
