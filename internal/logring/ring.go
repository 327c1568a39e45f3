// Package logring keeps the last lines of the log in memory, for people who look at them from afar.
package logring

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Line is a line of the log.
type Line struct {
	ID    uint64            `json:"id" doc:"grows by one from line to line"`
	Time  int64             `json:"time" doc:"Unix time in milliseconds"`
	Level string            `json:"level" enum:"debug,info,warn,error"`
	Text  string            `json:"text"`
	Attrs map[string]string `json:"attrs,omitempty"`

	level slog.Level
}

// Bounds of a line, so that the ring's memory has one.
const (
	maxText  = 2048 // bytes
	maxAttrs = 24
	maxAttr  = 512 // bytes of a key or a value
)

// Ring is safe for use by many goroutines.
type Ring struct {
	mu    sync.Mutex
	lines []Line // line n is at n modulo their number
	next  uint64 // id of the next line; the first is 1
}

// New keeps the last n lines.
func New(n int) *Ring { return &Ring{lines: make([]Line, n), next: 1} }

// Lines returns the newest lines after the one with the id given, oldest first, that are at least of a level; max at most.
func (r *Ring) Lines(after uint64, level slog.Level, max int) []Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []Line{}
	for id := r.next; id-1 > after && r.next-id < uint64(len(r.lines)) && len(list) < max; {
		id--
		if l := r.lines[id%uint64(len(r.lines))]; l.level >= level {
			list = append(list, l)
		}
	}
	slices.Reverse(list)
	return list
}

// Last returns the id of the newest line, 0 if there is none.
func (r *Ring) Last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next - 1
}

func (r *Ring) add(l Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.ID = r.next
	r.lines[l.ID%uint64(len(r.lines))] = l
	r.next++
}

// Handler returns a handler that keeps each line in the ring and passes it on. What next leaves out by its level, the ring leaves out too.
func (r *Ring) Handler(next slog.Handler) slog.Handler { return &handler{ring: r, next: next} }

type handler struct {
	ring   *Ring
	next   slog.Handler
	attrs  []slog.Attr // with their groups in their keys
	prefix string      // of groups, each with a dot
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *handler) Handle(ctx context.Context, rec slog.Record) error {
	l := Line{Time: rec.Time.UnixMilli(), Level: levelName(rec.Level), Text: cut(rec.Message, maxText), level: rec.Level}
	for _, a := range h.attrs {
		l.put("", a)
	}
	rec.Attrs(func(a slog.Attr) bool {
		l.put(h.prefix, a)
		return true
	})
	h.ring.add(l)
	return h.next.Handle(ctx, rec)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.next = h.next.WithAttrs(attrs)
	c.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		c.attrs = append(c.attrs, a)
	}
	return &c
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.next = h.next.WithGroup(name)
	c.prefix = h.prefix + name + "."
	return &c
}

func (l *Line) put(prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, a := range v.Group() {
			l.put(prefix, a)
		}
		return
	}
	if len(l.Attrs) >= maxAttrs || a.Equal(slog.Attr{}) {
		return
	}
	if l.Attrs == nil {
		l.Attrs = map[string]string{}
	}
	l.Attrs[cut(prefix+a.Key, maxAttr)] = cut(v.String(), maxAttr)
}

func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}

// ParseLevel returns the level of a name that a Line has. Any other is info.
func ParseLevel(name string) slog.Level {
	switch name {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}
