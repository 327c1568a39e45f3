package library

import (
	"context"
	"errors"
	"fmt"

	"shoal/internal/bt/torrent"
)

// Bounds of work on many torrents at once.
const (
	maxRemoved   = 64   // removed at once
	maxForgotten = 1000 // forgotten in one transaction
)

// outcome is what became of a torrent that is removed.
type outcome struct {
	e   *entry
	err error
}

// remove takes torrents out, with what is on disk if data is true. Those that are done while others are forgotten are forgotten together after
// them, so that thousands cost a few transactions and not thousands.
func (l *Library) remove(ctx context.Context, chosen []*entry, data bool) error {
	outcomes := make(chan outcome, len(chosen))
	go func() {
		slots := make(chan struct{}, maxRemoved)
		for _, e := range chosen {
			slots <- struct{}{}
			go func() {
				outcomes <- outcome{e, l.finish(ctx, e, data)}
				<-slots
			}()
		}
	}()
	var errs []error
	for left := len(chosen); left > 0; {
		var done []*entry
		for more := true; more && left > 0 && len(done) < maxForgotten; more = len(done) == 0 || len(outcomes) > 0 {
			o := <-outcomes
			left--
			switch {
			case o.err == nil:
				done = append(done, o.e)
			case !errors.Is(o.err, ErrNotFound): // somebody else removed it
				errs = append(errs, o.err)
			}
		}
		if len(done) == 0 {
			continue
		}
		if err := l.forget(done); err != nil {
			errs = append(errs, err)
		}
		for _, e := range done {
			l.log.Info("removed", "torrent", e.rec.name(), "id", e.rec.ID, "with_data", data)
		}
	}
	return errors.Join(errs...)
}

// finish claims a torrent, ends its work, and deletes its files if data is true. When they cannot be deleted it stays.
func (l *Library) finish(ctx context.Context, e *entry, data bool) error {
	if err := l.claim(ctx, e, "removing"); err != nil {
		return err
	}
	l.mu.Lock()
	t := e.t
	l.mu.Unlock()
	var err error
	switch {
	case !data:
		l.stop(e, "removing")
	case t == nil:
		err = l.offline(e, func(t *torrent.Torrent) error { return l.cfg.Session.Erase(ctx, t) })
		if errors.Is(err, ErrNoInfo) {
			err = nil // nothing was ever written
		}
	default:
		err = l.cfg.Session.Erase(ctx, t)
		l.stop(e, "removing")
	}
	if err != nil {
		l.release(e, err)
		return fmt.Errorf("%s: %w", e.rec.name(), err)
	}
	return nil
}

// forget takes torrents that are claimed and no more at work out of the records and the list. When the records cannot be written they all stay.
func (l *Library) forget(list []*entry) error {
	ids := make([]string, len(list))
	l.mu.Lock()
	lost := l.lost
	for i, e := range list {
		ids[i] = e.rec.ID
		lost.Down += e.rec.Downloaded
		lost.Up += e.rec.Uploaded
	}
	l.mu.Unlock()
	if err := l.erase(ids, lost); err != nil {
		for _, e := range list {
			l.release(e, fmt.Errorf("it could not be removed: %w", err))
		}
		return err
	}
	l.mu.Lock()
	l.lost = lost
	l.mu.Unlock()
	l.drop(list...)
	for _, e := range list {
		l.files.Remove(e.rec.ID)
		l.cfg.Session.Forget(e.rec.hash())
	}
	return nil
}

// drop takes entries out of the list. Their names are free again.
func (l *Library) drop(list ...*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range list {
		e.gone = true
		for _, n := range e.rec.names() {
			if l.names[n] == e {
				delete(l.names, n)
			}
		}
	}
	l.revision++
	kept := l.entries[:0]
	for _, e := range l.entries {
		if e.gone {
			continue
		}
		kept = append(kept, e)
		if e.row.Queue != len(kept) {
			e.row.Queue, e.revision = len(kept), l.revision
		}
	}
	clear(l.entries[len(kept):])
	l.entries = kept
}
