// Package sharing hashes what a person wants to share, one file or folder at a time, and has it seeded where it lies.
package sharing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bt/create"
	"shoal/internal/bt/magnet"
	"shoal/internal/bt/metainfo"
	"shoal/internal/library"
)

const (
	maxJobs    = 100 // remembered; the oldest that ended are forgotten
	maxRunning = 10
)

// job is the work of hashing what is to be shared.
type job struct {
	cancel      context.CancelFunc
	done, total atomic.Int64

	job     library.Job // guarded by Sharing.mu, as what follows
	torrent []byte
}

// look is called with Sharing.mu held.
func (j *job) look() library.Job {
	out := j.job
	out.Done, out.Total = j.done.Load(), j.total.Load()
	return out
}

// Seed seeds what was hashed this moment at path.
type Seed func(t *metainfo.Torrent, path, category string, tags []string) (library.Added, error)

// Sharing is the jobs. Its methods are safe for concurrent use.
type Sharing struct {
	seed Seed
	log  *slog.Logger
	ctx  context.Context
	end  context.CancelFunc
	wg   sync.WaitGroup
	turn chan struct{} // is held by the one job that hashes: it takes every core

	mu       sync.Mutex
	jobs     []*job
	jobCount int
	closed   bool
}

// New returns what hashes, and has it seeded by seed.
func New(seed Seed, log *slog.Logger) *Sharing {
	s := &Sharing{seed: seed, log: log, turn: make(chan struct{}, 1)}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// Close cancels what is being hashed, and waits for that.
func (s *Sharing) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.wg.Wait()
}

// Share hashes a file or folder and seeds it where it lies. It returns at once; Jobs tells how it goes.
func (s *Sharing) Share(q library.ShareRequest) (library.Job, error) {
	if !filepath.IsAbs(q.Path) {
		return library.Job{}, library.Bad("the path %q is not absolute", q.Path)
	}
	opts, err := options(&q)
	if err != nil {
		return library.Job{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	running := 0
	for _, j := range s.jobs {
		if j.look().State == "running" {
			running++
		}
	}
	if running >= maxRunning || s.closed {
		return library.Job{}, library.Bad("%d files or folders are being hashed; wait until one is done", running)
	}
	if len(s.jobs) >= maxJobs {
		at := slices.IndexFunc(s.jobs, func(j *job) bool { return j.look().State != "running" })
		s.jobs = slices.Delete(s.jobs, at, at+1)
	}
	s.jobCount++
	j := &job{job: library.Job{ID: strconv.Itoa(s.jobCount), Path: q.Path, State: "running", Begun: time.Now().Unix()}}
	ctx, cancel := context.WithCancel(s.ctx)
	j.cancel = cancel
	s.jobs = append(s.jobs, j)
	s.wg.Go(func() {
		defer cancel()
		s.hash(ctx, j, q, opts)
	})
	return j.look(), nil
}

func options(q *library.ShareRequest) (o metainfo.CreateOptions, err error) {
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
		return o, library.Bad("there is no format %q: it is hybrid, v1 or v2", q.Format)
	}
	if n := q.PieceLength; n != 0 && (n < 16<<10 || n > 256<<20 || n&(n-1) != 0) {
		return o, library.Bad("a piece length of %d bytes is not a power of two from 16 KiB to 256 MiB", n)
	}
	o.Announce, err = library.Tiers(q.Trackers)
	return o, err
}

// hash does the work of a job.
func (s *Sharing) hash(ctx context.Context, j *job, q library.ShareRequest, opts metainfo.CreateOptions) {
	err := func() error {
		select {
		case s.turn <- struct{}{}:
			defer func() { <-s.turn }()
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
		s.mu.Lock()
		j.torrent, j.job.Magnet = t.Encode(), magnetOf(t).String()
		s.mu.Unlock()
		if q.OnlyCreate {
			return nil
		}
		added, err := s.seed(t, q.Path, q.Category, q.Tags)
		if err == nil {
			s.mu.Lock()
			j.job.Torrent = added.ID
			s.mu.Unlock()
		}
		return err
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		j.job.State = "done"
	case errors.Is(err, context.Canceled):
		j.job.State = "cancelled"
	default:
		j.job.State, j.job.Message = "failed", err.Error()
		s.log.Warn("sharing failed", "path", q.Path, "error", err)
	}
}

func magnetOf(t *metainfo.Torrent) *magnet.Magnet {
	m := &magnet.Magnet{Hash: t.Info.Hash, Name: t.Info.Name, WebSeeds: t.WebSeeds}
	for _, tier := range t.Announce {
		m.Trackers = append(m.Trackers, tier...)
	}
	return m
}

// Jobs returns what is and was hashed, the newest last.
func (s *Sharing) Jobs() []library.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]library.Job, len(s.jobs))
	for i, j := range s.jobs {
		out[i] = j.look()
	}
	return out
}

func (s *Sharing) job(id string) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.job.ID == id {
			return j, nil
		}
	}
	return nil, fmt.Errorf("%w: no job %.40q", library.ErrNotFound, id)
}

// Job returns one of them. The error wraps library.ErrNotFound.
func (s *Sharing) Job(id string) (library.Job, error) {
	j, err := s.job(id)
	if err != nil {
		return library.Job{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return j.look(), nil
}

// CancelJob stops a job; what it has seeded stays.
func (s *Sharing) CancelJob(id string) error {
	j, err := s.job(id)
	if err == nil {
		j.cancel()
	}
	return err
}

// JobTorrent returns the .torrent file that a job has made.
func (s *Sharing) JobTorrent(id string) ([]byte, error) {
	j, err := s.job(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.torrent == nil {
		return nil, library.ErrNoInfo
	}
	return j.torrent, nil
}
