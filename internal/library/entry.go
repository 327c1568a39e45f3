package library

import (
	"errors"
	"math"
	"path/filepath"
	"time"

	"shoal/internal/bt/torrent"
)

// ErrIdle says that a torrent is not at work, so that nothing can be asked of the engine.
var ErrIdle = errors.New("the torrent is not at work: resume it")

// errMissing holds a torrent that was complete and is no longer, as when its disk is not there: it must not be fetched anew unasked.
var errMissing = errors.New("files are missing or were changed since it was complete: bring them back and resume, or recheck to fetch what is missing")

// entry is a torrent of the library. All is guarded by Library.mu.
type entry struct {
	rec     record
	place   int64            // in the queue: a key to sort by
	t       *torrent.Torrent // at work; nil: it is not
	look    *torrent.Status  // what row was made from
	busy    string           // what is being done to it, so that nothing else is begun: "starting", "stopping", "moving", "checking", "removing"
	offline bool             // at work without peers, for what is being done
	failure string           // why it could not be started, or what was done to it failed
	recheck bool             // hash everything at the next start
	asks    bool             // the metadata is not here, so that peers are asked for it
	trust   bool             // take what is on disk for sound at the next start
	restart bool             // to be stopped, and started again
	gone    bool             // it was removed
	dirty   bool             // rec has counters that were not saved

	usedAt time.Time // when somebody last wanted to read the content

	settled bool // the engine knows what is on disk
	base    totals
	began   time.Time // when it was put to work
	slowAt  time.Time // since when hardly any payload moves; zero: it does

	reason   string // why it is slow, as the keeper saw it last
	row      Torrent
	revision uint64 // of the list, when row was changed last
}

// slow is what a torrent moves less than, in bytes/s, for slowAfter, to leave its place in the queue to others.
const (
	slow      = 2 << 10
	slowAfter = time.Minute
)

// useFor is for how long a torrent is at work after somebody has wanted to read its content, whatever else holds.
const useFor = time.Minute

// inUse reports whether somebody reads the content, or did so a moment ago.
func (e *entry) inUse(now time.Time) bool {
	return now.Sub(e.usedAt) < useFor || e.t != nil && e.t.Demanded()
}

// counters brings the counters of the record up to date with the engine.
func (e *entry) counters(now time.Time, st *torrent.Status) {
	r := &e.rec
	down, up := e.base.Down+st.Swarm.DownTotal, e.base.Up+st.Swarm.UpTotal
	if down != r.Downloaded || up != r.Uploaded {
		r.Downloaded, r.Uploaded, r.LastActive = down, up, now.Unix()
		e.dirty = true
	}
	if r.Done != st.Done && st.Total > 0 && st.Phase != torrent.Checking {
		r.Done, e.dirty = st.Done, true
	}
	if fast := st.Down >= slow || st.Up >= slow; fast {
		e.slowAt = time.Time{}
	} else if e.slowAt.IsZero() {
		e.slowAt = now
	}
}

// activeTime and seedingTime return seconds until now.
func (e *entry) activeTime(now time.Time) int64 {
	if e.t == nil || e.offline {
		return e.rec.ActiveTime
	}
	return e.rec.ActiveTime + int64(now.Sub(e.began).Seconds())
}

func (e *entry) seedingTime() int64 {
	if e.t == nil || e.offline {
		return e.rec.SeedingTime
	}
	return e.rec.SeedingTime + int64(e.t.Status().Seeding.Seconds())
}

// build makes the row anew. It is called with mu held.
func (e *entry) build(l *Library) {
	r, now := &e.rec, time.Now()
	row := Torrent{
		ID: r.ID, HashV1: r.HashV1, HashV2: r.HashV2, Name: r.name(), Category: r.Category, Tags: r.Tags, Added: r.Added, Completed: r.Completed,
		Forced: r.Forced, Sequential: r.Sequential, DownLimit: r.DownLimit, UpLimit: r.UpLimit, SeedRatio: r.SeedRatio, SeedTime: r.SeedTime,
		Dir: r.Dir, Size: r.Size, TotalSize: r.TotalSize, Files: r.Files, Pieces: r.Pieces, PieceLength: r.PieceLength, Private: r.Private,
		Done: r.Done, Complete: r.Complete, Queue: e.row.Queue, ETA: -1, Availability: -1, Tracker: firstHost(r.Trackers),
	}
	if row.Tags == nil {
		row.Tags = []string{}
	}
	if r.Content != "" {
		row.Path = filepath.Join(r.Dir, filepath.FromSlash(r.Content))
	}
	row.State = e.state()
	if e.t != nil {
		st := e.t.Status()
		e.counters(now, &st)
		e.engineRow(&row, &st)
	} else {
		row.Reason = e.failure
	}
	row.Downloaded, row.Uploaded, row.LastActive = r.Downloaded, r.Uploaded, r.LastActive
	row.ActiveTime, row.SeedingTime = e.activeTime(now), e.seedingTime()
	if row.Size > 0 {
		if row.State != Checking || e.t == nil {
			row.Progress = float64(row.Done) / float64(row.Size)
		}
		row.Ratio = math.Round(float64(row.Uploaded)/float64(row.Size)*1000) / 1000
	} else if row.Complete {
		row.Progress = 1
	}
	l.revision++
	e.row, e.revision = row, l.revision
}

// state returns what a torrent is doing that the engine does not tell.
func (e *entry) state() State {
	switch {
	case e.busy == "moving":
		return Moving
	case e.busy == "checking":
		return Checking
	case e.failure != "":
		return Failed
	case e.rec.Paused:
		return Paused
	case e.t == nil:
		return Queued
	}
	return Metadata
}

// engineRow fills in what the engine tells.
func (e *entry) engineRow(row *Torrent, st *torrent.Status) {
	if e.failure == "" && e.busy != "moving" {
		row.State = stateOf(st)
		if row.State == Metadata && e.rec.Pieces > 0 && !e.asks {
			row.State = Checking // its files are about to be opened
		}
	}
	if e.rec.Paused && e.busy != "checking" && e.busy != "moving" && !e.inUse(time.Now()) {
		row.State = Paused // it is being stopped
	}
	if st.Total > 0 {
		row.Done = st.Done
	}
	if row.State == Checking {
		row.Progress = st.Checked
	}
	row.DownRate, row.UpRate = int64(st.Down), int64(st.Up)
	row.Peers, row.Seeds, row.KnownPeers = st.Swarm.Peers, st.Swarm.Seeds, st.Swarm.Known
	if st.ETA >= 0 {
		row.ETA = int64(st.ETA.Seconds())
	}
	switch {
	case e.failure != "":
		row.Reason = e.failure
	case row.State == Paused || row.State == Checking:
	case st.Problem != nil:
		row.Reason = st.Reason(nil)
	case st.Phase != torrent.Seeding:
		row.Reason = e.reason
	}
	if st.Swarm.Pieces > 0 && row.State == Downloading {
		row.Availability = float64(st.Swarm.Seeds)
	}
}

func stateOf(st *torrent.Status) State {
	switch {
	case st.Problem != nil:
		return Failed
	case st.Phase == torrent.Metadata:
		return Metadata
	case st.Phase == torrent.Opening, st.Phase == torrent.Checking:
		return Checking
	case st.Phase == torrent.Seeding:
		return Seeding
	case st.Phase == torrent.Failed:
		return Failed
	}
	return Downloading
}
