package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/library"
	"shoal/internal/logring"
)

type EventsInput struct {
	ListQuery
	Limit   int      `query:"limit" default:"100" minimum:"0" maximum:"500" doc:"rows of the window; 0: no list"`
	Torrent string   `query:"torrent" pattern:"^([0-9A-Fa-f]{40}([0-9A-Fa-f]{24})?)?$" doc:"id of the one to tell all about"`
	Parts   []string `query:"parts" enum:"files,peers,trackers,pieces" doc:"of that one"`
	Log     string   `query:"log" enum:"debug,info,warn,error," doc:"tell lines of the log from this level on; needs the scope admin"`
}

// Times of a stream.
const (
	heartbeat     = 15 * time.Second // a comment, when there is nothing to tell
	eventDeadline = 10 * time.Second // for the client to take what was written; then it is cut off
	askAgain      = time.Minute      // whether who opened it still may
	kickDelay     = 100 * time.Millisecond
	maxLines      = 200 // of the log at once
)

func (s *Server) eventRoutes() {
	op := handle(s, route{method: "GET", path: "/events", id: "events", tag: "Events", summary: "A stream of events", need: accounts.Read},
		func(ctx context.Context, in *EventsInput) (*huma.StreamResponse, error) {
			who := accounts.FromContext(ctx)
			if in.Log != "" && !who.May(accounts.Manage) {
				return nil, huma.Error403Forbidden("the log needs the scope admin")
			}
			release, err := s.streams.take(who)
			if err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(c huma.Context) {
				defer release()
				r, w := humago.Unwrap(c)
				newStream(s, in, r, w).run()
			}}, nil
		})
	op.Description += " Server-sent events, each with a name and JSON: list (a Page, the whole window, first), delta (Delta), stats (Totals, " +
		"when they change), detail (DetailEvent, of the torrent asked for), log (LogEvent), job (Job, when it changes). At most one of each a second."
	registry := s.api.OpenAPI().Components.Schemas
	var events []*huma.Schema
	for _, v := range []any{library.Page{}, api.Delta{}, library.Totals{}, api.DetailEvent{}, api.LogEvent{}, library.Job{}} {
		events = append(events, registry.Schema(reflect.TypeOf(v), true, ""))
	}
	op.Responses["200"].Content = map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{OneOf: events}}}
	op.Responses["503"] = &huma.Response{Description: "Too many streams: try again after the seconds of Retry-After."}
}

// stream tells one client what changes. It owns all of its state; nothing is queued for it: what a client has not taken is not yet looked up.
type stream struct {
	in    *EventsInput
	s     *Server
	r     *http.Request
	w     http.ResponseWriter
	rc    *http.ResponseController
	out   bytes.Buffer
	query library.Query
	key   string

	window  *window
	totals  library.Totals
	told    bool // totals were
	jobs    map[string]library.Job
	detail  *detail
	line    uint64 // of the log that was told last
	level   slog.Level
	written time.Time
	asked   time.Time
}

func newStream(s *Server, in *EventsInput, r *http.Request, w http.ResponseWriter) *stream {
	st := &stream{in: in, s: s, r: r, w: w, rc: http.NewResponseController(w), query: in.query(in.Limit), jobs: map[string]library.Job{}}
	key := st.query
	key.Category, key.Tag, key.Tracker = nil, nil, nil
	st.key = fmt.Sprintf("%+v %q %q %q", key, pointed(in.category), pointed(in.tag), pointed(in.tracker))
	if in.Torrent != "" {
		st.detail = &detail{id: in.Torrent, parts: in.Parts}
	}
	st.level = logring.ParseLevel(in.Log)
	st.line = s.Log.Last() // what was before is for GET /log
	return st
}

func pointed(s *string) []string {
	if s == nil {
		return nil
	}
	return []string{*s}
}

// run tells until the client or the server goes away.
func (st *stream) run() {
	h := st.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // for nginx
	_ = st.rc.SetReadDeadline(time.Time{})
	st.asked = time.Now()
	ticker := time.NewTicker(st.s.tick)
	defer ticker.Stop()
	st.out.WriteString("retry: 2000\n\n")
	news := st.s.streams.news()
	for st.look() {
		select {
		case <-ticker.C:
		case <-news:
			news = st.s.streams.news()
			select { // what follows at once is told with it
			case <-time.After(min(kickDelay, st.s.tick)):
			case <-st.r.Context().Done():
				return
			}
		case <-st.r.Context().Done():
			return
		case <-st.s.done:
			return
		}
	}
}

// look tells what is new; false when the stream is over.
func (st *stream) look() bool {
	now := time.Now()
	if now.Sub(st.asked) > askAgain {
		st.asked = now
		if who, err := st.s.identify(st.r); err != nil || !who.May(accounts.Read) || st.in.Log != "" && !who.May(accounts.Manage) {
			return false
		}
	}
	if st.in.Limit > 0 && !st.lookAtList() {
		return false
	}
	st.lookAtTotals()
	st.lookAtJobs()
	if st.detail != nil {
		if e, ok := st.detail.look(st.r.Context(), st.s); ok {
			st.event("detail", e)
		}
	}
	if st.in.Log != "" {
		st.lookAtLog()
	}
	if st.out.Len() == 0 && now.Sub(st.written) >= heartbeat {
		st.out.WriteString(":\n\n")
	}
	return st.flush()
}

func (st *stream) lookAtList() bool {
	if st.window != nil && st.s.Library.Revision() == st.window.revision {
		return true
	}
	p, err := st.s.lists.get(st.s, st.key, st.query)
	if err != nil {
		st.s.Logger.Error("listing for a stream of events", "error", err)
		return false
	}
	next := newWindow(p)
	if st.window == nil {
		st.event("list", p)
	} else if d, ok := st.window.delta(p, next); ok {
		st.event("delta", d)
	}
	st.window = &next
	return true
}

func (st *stream) lookAtTotals() {
	t := st.s.totals()
	was := st.totals
	was.Uptime = t.Uptime // alone it is no news
	if st.told && reflect.DeepEqual(t, was) {
		return
	}
	st.totals, st.told = t, true
	st.event("stats", t)
}

func (st *stream) lookAtJobs() {
	seen := map[string]library.Job{}
	for _, j := range st.s.Library.Jobs() {
		seen[j.ID] = j
		if was, ok := st.jobs[j.ID]; !ok || was != j {
			st.event("job", j)
		}
	}
	st.jobs = seen
}

func (st *stream) lookAtLog() {
	last := st.s.Log.Last()
	if last == st.line {
		return
	}
	lines := st.s.Log.Lines(st.line, st.level, maxLines)
	e := api.LogEvent{Lines: lines}
	if len(lines) == maxLines {
		e.Missed = int(lines[0].ID - st.line - 1)
	}
	st.line = last
	if len(lines) > 0 {
		st.line = max(last, lines[len(lines)-1].ID)
		st.event("log", e)
	}
}

func (st *stream) event(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		st.s.Logger.Error("an event cannot be told", "event", name, "error", err)
		return
	}
	st.out.WriteString("event: " + name + "\ndata: ")
	st.out.Write(b)
	st.out.WriteString("\n\n")
}

// flush writes what is to be told. A client that does not take it in time is cut off.
func (st *stream) flush() bool {
	if st.out.Len() == 0 {
		return true
	}
	st.written = time.Now()
	_ = st.rc.SetWriteDeadline(st.written.Add(st.s.eventDeadline))
	_, err := st.w.Write(st.out.Bytes())
	st.out.Reset()
	if st.out.Cap() > 1<<20 {
		st.out = bytes.Buffer{}
	}
	return err == nil && st.rc.Flush() == nil
}

// has reports whether a part of a detail was asked for.
func (d *detail) has(part string) bool { return slices.Contains(d.parts, part) }
