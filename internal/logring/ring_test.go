package logring

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	r := New(4)
	if r.Lines(0, slog.LevelDebug, 10) == nil || len(r.Lines(0, slog.LevelDebug, 10)) != 0 || r.Last() != 0 {
		t.Fatal("an empty ring has lines")
	}
	var out bytes.Buffer
	log := slog.New(r.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	log.Debug("not shown")
	for n := range 6 {
		log.Info(fmt.Sprint("line ", n))
	}
	log.Warn("careful")
	text := func(lines []Line) (s string) {
		for _, l := range lines {
			s += fmt.Sprint(l.ID, l.Level[:1], l.Text, ";")
		}
		return s
	}
	for _, c := range []struct {
		after uint64
		level string
		max   int
		want  string
	}{
		{0, "debug", 10, "4iline 3;5iline 4;6iline 5;7wcareful;"},
		{5, "info", 10, "6iline 5;7wcareful;"},
		{0, "info", 2, "6iline 5;7wcareful;"},
		{0, "warn", 10, "7wcareful;"},
		{0, "error", 10, ""},
		{7, "info", 10, ""},
		{1 << 62, "info", 10, ""},
		{^uint64(0), "info", 10, ""},
	} {
		if got := text(r.Lines(c.after, ParseLevel(c.level), c.max)); got != c.want {
			t.Errorf("after %d, %s, %d: %q, want %q", c.after, c.level, c.max, got, c.want)
		}
	}
	if strings.Count(out.String(), "\n") != 7 {
		t.Errorf("passed on: %q", out.String())
	}
}

func TestAttrs(t *testing.T) {
	r := New(10)
	log := slog.New(r.Handler(slog.NewTextHandler(io.Discard, nil)))
	log.With("a", 1).WithGroup("g").With("b", true).Info("x", "c", "d", slog.Group("h", "e", 2.5))
	want := map[string]string{"a": "1", "g.b": "true", "g.c": "d", "g.h.e": "2.5"}
	if l := r.Lines(0, slog.LevelInfo, 1); len(l) != 1 || !maps.Equal(l[0].Attrs, want) {
		t.Fatalf("%+v", l)
	}
	many := []any{}
	for n := range 1000 {
		many = append(many, fmt.Sprint(n), strings.Repeat("\xff", 10000))
	}
	log.Info(strings.Repeat("x", 100000), many...)
	size := 0
	l := r.Lines(1, slog.LevelInfo, 1)[0]
	for k, v := range l.Attrs {
		size += len(k) + len(v)
	}
	if size += len(l.Text); size > 64<<10 {
		t.Fatalf("a line of %d bytes", size)
	}
}
