// Package webseed fetches blocks from web servers: from plain ones that hold the files (url-list, BEP 19), and from those
// with a script that knows the torrent (httpseeds, BEP 17).
//
// A Seed acts as a peer that has everything and never chokes: it is asked for blocks, and answers with blocks.
package webseed

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/metainfo"
)

// Kind is how a web server is asked.
type Kind uint8

// The kinds of web seed.
const (
	URLList   Kind = iota // BEP 19: the server has the files
	HTTPSeeds             // BEP 17: the server has the torrent
)

// Request names a block: its bounds are those of a request to a peer, and at most block.Size long.
type Request struct {
	Piece, Begin, Length int
}

// Sink takes what a seed has to say. It is called from the seed's goroutine, may wait, and may still be called once while
// Close is called.
type Sink interface {
	// Block takes the content of a block, unchecked, and owns b.
	Block(r Request, b *block.Block)
	// Reject says that a block will not come. It can be asked for again, here or elsewhere.
	Reject(r Request)
	// Down says why the seed is unusable, and for how long: all that is asked of it until then is rejected. It follows the
	// Reject of all that was asked for.
	Down(err error, retry time.Duration)
}

const (
	maxRun     = 8 << 20 // bytes of adjacent blocks that are fetched with one request
	stall      = 20 * time.Second
	minBackoff = 10 * time.Second
	maxBackoff = time.Hour
	gone       = 6 * time.Hour // how long a seed is left alone that will hardly mend itself
	maxRetry   = 24 * time.Hour
)

// Seed is one web server that is used for one torrent. Its methods are safe for concurrent use and never wait. It has a
// goroutine, and at most one connection at work, while something is asked of it.
type Seed struct {
	client *http.Client
	url    string
	kind   Kind
	info   *metainfo.Info
	pool   *block.Pool
	sink   Sink
	ctx    context.Context // ends with Close
	close  context.CancelFunc

	mu       sync.Mutex
	queue    []Request
	run      []Request // what is being fetched, the next block first
	dropped  map[Request]bool
	abort    context.CancelCauseFunc // ends the run
	working  bool
	failures int // since the last block
	until    time.Time
}

// New returns a seed for a torrent whose metainfo is known. client has to bound redirects and headers, as
// netx.HTTPClient does. A URL that can never work is found out, and told to the sink, with the first request.
func New(client *http.Client, url string, kind Kind, info *metainfo.Info, pool *block.Pool, sink Sink) *Seed {
	s := &Seed{client: client, url: url, kind: kind, info: info, pool: pool, sink: sink, dropped: map[Request]bool{}}
	s.ctx, s.close = context.WithCancel(context.Background())
	return s
}

// URL returns what the seed was made with.
func (s *Seed) URL() string { return s.url }

// Request asks for blocks. Blocks that follow one another, in rs and in the torrent, are fetched together; so it is worth
// asking for as much as 8 MiB at once.
func (s *Seed) Request(rs []Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || len(rs) == 0 {
		return
	}
	s.queue = append(s.queue, rs...)
	if !s.working {
		s.working = true
		go s.work()
	}
}

// Cancel takes requests back; the sink hears no more of them, except of one whose block arrives at this moment.
func (s *Seed) Cancel(rs ...Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		if i := slices.Index(s.queue, r); i >= 0 {
			s.queue = slices.Delete(s.queue, i, i+1)
		} else if slices.Contains(s.run, r) {
			s.dropped[r] = true
		}
	}
	if len(s.run) > 0 && len(s.dropped) == len(s.run) {
		s.abort(errCancelled)
	}
}

// Close ends the seed and its connection. It does not wait for the goroutine, which ends as soon as the sink lets it. What
// was asked for is not rejected.
func (s *Seed) Close() { s.close() }

var errCancelled = errors.New("cancelled")

func (s *Seed) work() {
	for {
		ctx, run, refused := s.next()
		for _, r := range refused {
			s.sink.Reject(r)
		}
		if run == nil && refused == nil {
			return
		}
		if run != nil {
			s.end(s.fetch(ctx, run))
		}
	}
}

// next takes a run from the queue, or everything if the seed is down. Without either the goroutine is to end.
func (s *Seed) next() (ctx context.Context, run, refused []Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || len(s.queue) == 0 {
		s.queue, s.working = nil, false
		return nil, nil, nil
	}
	if time.Now().Before(s.until) {
		refused, s.queue = s.queue, nil
		return nil, nil, refused
	}
	n := 1
	for start, end := s.span(s.queue[0]); n < len(s.queue); n++ {
		r := s.queue[n]
		next, nextEnd := s.span(r)
		if next != end || nextEnd-start > maxRun || s.kind == HTTPSeeds && r.Piece != s.queue[0].Piece {
			break
		}
		end = nextEnd
	}
	run = slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	s.run = run
	ctx, s.abort = context.WithCancelCause(s.ctx)
	return ctx, run, nil
}

// span returns where a request begins in the torrent's address space, and one past its end.
func (s *Seed) span(r Request) (start, end int64) {
	start = s.info.Layout.PieceOffset(r.Piece) + int64(r.Begin)
	return start, start + int64(r.Length)
}

// fetch gets the blocks of a run, one after the other.
func (s *Seed) fetch(ctx context.Context, run []Request) error {
	start, _ := s.span(run[0])
	_, end := s.span(run[len(run)-1])
	in := &stream{seed: s, ctx: ctx, off: start, end: end, watch: newWatch(s.abort)}
	defer in.close()
	for _, r := range run {
		b := s.pool.Get(ctx.Done())
		if b == nil {
			return context.Cause(ctx)
		}
		b.SetLen(r.Length)
		if _, err := io.ReadFull(in, b.Bytes()); err != nil {
			b.Release()
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return err
		}
		if s.arrived(r) {
			s.sink.Block(r, b)
		} else {
			b.Release()
		}
	}
	return nil
}

// arrived takes the block from the run and reports whether it is still wanted.
func (s *Seed) arrived(r Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = 0
	s.run = s.run[1:]
	wanted := !s.dropped[r] && s.ctx.Err() == nil
	delete(s.dropped, r)
	return wanted
}

// end settles what is left of a run that has ended with err.
func (s *Seed) end(err error) {
	s.mu.Lock()
	s.abort(nil)
	left := slices.DeleteFunc(s.run, func(r Request) bool { return s.dropped[r] })
	s.run = nil
	clear(s.dropped)
	if err == nil || errors.Is(err, errCancelled) || s.ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	left = append(left, s.queue...)
	s.queue = nil
	retry := min(minBackoff<<min(s.failures, 20), maxBackoff)
	var f *failure
	if errors.As(err, &f) && f.retry > 0 {
		retry = f.retry
	}
	s.failures++
	s.until = time.Now().Add(retry)
	s.mu.Unlock()
	for _, r := range left {
		s.sink.Reject(r)
	}
	s.sink.Down(err, retry)
}
