package library

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/create"
	"shoal/internal/bt/magnet"
	"shoal/internal/bt/metainfo"
	"shoal/internal/link"
)

const (
	maxJobs    = 100 // remembered; the oldest that ended are forgotten
	maxRunning = 10
)

// job is the work of hashing what is to be shared.
type job struct {
	cancel      context.CancelFunc
	done, total atomic.Int64

	mu      sync.Mutex
	job     Job
	torrent []byte
}

func (j *job) look() Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.job
	out.Done, out.Total = j.done.Load(), j.total.Load()
	return out
}

// hashing is held by the one job that hashes: it takes every core.
var hashing = make(chan struct{}, 1)

// Share hashes a file or folder and seeds it where it lies. It returns at once; Jobs tells how it goes.
func (l *Library) Share(q ShareRequest) (Job, error) {
	if !filepath.IsAbs(q.Path) {
		return Job{}, bad("the path %q is not absolute", q.Path)
	}
	opts, err := q.options()
	if err != nil {
		return Job{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	running := 0
	for _, j := range l.jobs {
		if j.look().State == "running" {
			running++
		}
	}
	if running >= maxRunning || l.closed {
		return Job{}, bad("%d files or folders are being hashed; wait until one is done", running)
	}
	if len(l.jobs) >= maxJobs {
		at := slices.IndexFunc(l.jobs, func(j *job) bool { return j.look().State != "running" })
		l.jobs = slices.Delete(l.jobs, at, at+1)
	}
	l.jobCount++
	j := &job{job: Job{ID: strconv.Itoa(l.jobCount), Path: q.Path, State: "running", Begun: time.Now().Unix()}}
	ctx, cancel := context.WithCancel(l.ctx)
	j.cancel = cancel
	l.jobs = append(l.jobs, j)
	l.wg.Go(func() {
		defer cancel()
		l.hash(ctx, j, q, opts)
		l.tell()
	})
	return j.look(), nil
}

func (q *ShareRequest) options() (o metainfo.CreateOptions, err error) {
	o = metainfo.CreateOptions{Name: q.Name, PieceLength: q.PieceLength, Private: q.Private, Source: q.Source, Comment: q.Comment, WebSeeds: q.WebSeeds,
		CreatedBy: "shoal"}
	switch q.Format {
	case "", "hybrid":
		o.Version = metainfo.Hybrid
	case "v1":
		o.Version = metainfo.V1
	case "v2":
		o.Version = metainfo.V2
	default:
		return o, bad("there is no format %q: it is hybrid, v1 or v2", q.Format)
	}
	if n := q.PieceLength; n != 0 && (n < 16<<10 || n > 256<<20 || n&(n-1) != 0) {
		return o, bad("a piece length of %d bytes is not a power of two from 16 KiB to 256 MiB", n)
	}
	o.Announce, err = addTiers(nil, q.Trackers)
	return o, err
}

// hash does the work of a job.
func (l *Library) hash(ctx context.Context, j *job, q ShareRequest, opts metainfo.CreateOptions) {
	err := func() error {
		select {
		case hashing <- struct{}{}:
			defer func() { <-hashing }()
		case <-ctx.Done():
			return ctx.Err()
		}
		t, _, err := create.Torrent(ctx, q.Path, opts, func(done, total int64) {
			j.done.Store(done)
			j.total.Store(total)
		})
		if err != nil {
			return err
		}
		j.mu.Lock()
		j.torrent, j.job.Magnet = t.Encode(), magnetOf(t).String()
		j.mu.Unlock()
		if q.OnlyCreate {
			return nil
		}
		return l.seed(j, q, t)
	}()
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case err == nil:
		j.job.State = "done"
	case errors.Is(err, context.Canceled):
		j.job.State = "cancelled"
	default:
		j.job.State, j.job.Message = "failed", err.Error()
		l.log.Warn("sharing failed", "path", q.Path, "error", err)
	}
}

// seed adds what was hashed this moment.
func (l *Library) seed(j *job, q ShareRequest, t *metainfo.Torrent) error {
	tags, err := cleanTags(q.Tags)
	if err != nil {
		return err
	}
	if err := checkText("category", q.Category, true); err != nil {
		return err
	}
	now := time.Now().Unix()
	e := &entry{trust: true, rec: record{
		ID: t.Info.Hash.Key().String(), LinkName: t.Info.Name, Dir: filepath.Dir(q.Path), ReadOnly: true, Paths: t.Info.OnDisk(q.Path),
		Category: q.Category, Tags: tags, Trackers: t.Announce, Added: now, Completed: now, Complete: true,
	}}
	e.rec.setHash(t.Info.Hash)
	e.rec.Done = t.Info.Layout.DataSize()
	added, err := l.insert(e, &link.Link{Text: q.Path, Torrent: t}, false)
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.job.Torrent = added.ID
	j.mu.Unlock()
	return nil
}

func magnetOf(t *metainfo.Torrent) *magnet.Magnet {
	m := &magnet.Magnet{Hash: t.Info.Hash, Name: t.Info.Name, WebSeeds: t.WebSeeds}
	for _, tier := range t.Announce {
		m.Trackers = append(m.Trackers, tier...)
	}
	return m
}

// Jobs returns what is and was hashed, the newest last.
func (l *Library) Jobs() []Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Job, len(l.jobs))
	for i, j := range l.jobs {
		out[i] = j.look()
	}
	return out
}

func (l *Library) job(id string) (*job, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.jobs {
		if j.job.ID == id {
			return j, nil
		}
	}
	return nil, fmt.Errorf("%w: no job %q", ErrNotFound, short(id))
}

// CancelJob stops a job; what it has seeded stays.
func (l *Library) CancelJob(id string) error {
	j, err := l.job(id)
	if err == nil {
		j.cancel()
	}
	return err
}

// JobTorrent returns the .torrent file that a job has made.
func (l *Library) JobTorrent(id string) ([]byte, error) {
	j, err := l.job(id)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.torrent == nil {
		return nil, ErrNoInfo
	}
	return j.torrent, nil
}
