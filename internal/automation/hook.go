package automation

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"shoal/internal/library"
)

// Hook is a program that is run when something happens to a torrent. There is no shell: the first word of Command is the program, the others its
// arguments as they are. What it is about is in the program's environment: SHOAL_TORRENT_EVENT, SHOAL_TORRENT_ID, _NAME, _PATH, _DIR, _CATEGORY, _TAGS
// (separated by commas), _SIZE, _INFOHASH_V1, _INFOHASH_V2.
type Hook struct {
	ID       string   `json:"id"`
	Event    string   `json:"event"` // completed
	Command  []string `json:"command"`
	Category *string  `json:"category"` // of which torrents; null: all
	Timeout  int      `json:"timeout"`  // seconds, after which the program is killed; 0: 60
}

// Completed is the event of a torrent that has become complete, its files where they will stay.
const Completed = "completed"

// Bounds of programs.
const (
	maxRunning  = 4 // at once
	maxWaiting  = 1000
	maxOutput   = 16 << 10
	hookTimeout = time.Minute
	maxTimeout  = 24 * 60 * 60
)

func (h *Hook) check() error {
	switch {
	case h.Event != Completed:
		return library.Bad("there is no event %.40q: it is completed", h.Event)
	case len(h.Command) == 0 || h.Command[0] == "":
		return library.Bad("a command is missing")
	case len(h.Command) > 100:
		return library.Bad("%d arguments are more than 100", len(h.Command))
	case h.Timeout < 0 || h.Timeout > maxTimeout:
		return library.Bad("a timeout of %d seconds is not from 0 to %d", h.Timeout, maxTimeout)
	}
	return nil
}

// run is a program that is to be run for a torrent.
type run struct {
	hook    Hook
	torrent library.Torrent
}

// Happened runs the programs that belong to an event, later ones after those that run.
func (a *Automation) Happened(event string, t library.Torrent, more ...Hook) {
	a.mu.Lock()
	list := slices.Clone(more)
	for _, id := range sorted(a.hooks) {
		list = append(list, *a.hooks[id])
	}
	a.mu.Unlock()
	for _, h := range list {
		if h.Event != event || h.Category != nil && *h.Category != t.Category {
			continue
		}
		select {
		case a.runs <- run{h, t}:
		default:
			a.cfg.Log.Error("a program was not run, because too many wait to be run", "program", h.Command[0], "torrent", t.Name)
		}
	}
}

// runHooks runs programs, one at a time.
func (a *Automation) runHooks() {
	for {
		select {
		case <-a.ctx.Done():
			return
		case r := <-a.runs:
			a.run(r)
		}
	}
}

// tail keeps the end of what is written.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 2*maxOutput {
		t.b = append(t.b[:0], t.b[len(t.b)-maxOutput:]...)
	}
	return len(p), nil
}

func (a *Automation) run(r run) {
	limit := hookTimeout
	if r.hook.Timeout > 0 {
		limit = time.Duration(r.hook.Timeout) * time.Second
	}
	ctx, cancel := context.WithTimeout(a.ctx, limit)
	defer cancel()
	t := &r.torrent
	c := exec.CommandContext(ctx, r.hook.Command[0], r.hook.Command[1:]...)
	c.Dir = t.Dir
	if _, err := os.Stat(c.Dir); err != nil {
		c.Dir = filepath.Dir(os.TempDir())
	}
	c.WaitDelay = time.Second
	c.Env = append(os.Environ(), "SHOAL_TORRENT_EVENT="+r.hook.Event, "SHOAL_TORRENT_ID="+t.ID, "SHOAL_TORRENT_NAME="+text(t.Name), "SHOAL_TORRENT_PATH="+text(t.Path),
		"SHOAL_TORRENT_DIR="+text(t.Dir), "SHOAL_TORRENT_CATEGORY="+text(t.Category), "SHOAL_TORRENT_TAGS="+text(strings.Join(t.Tags, ",")),
		"SHOAL_TORRENT_SIZE="+strconv.FormatInt(t.Size, 10), "SHOAL_TORRENT_INFOHASH_V1="+t.HashV1, "SHOAL_TORRENT_INFOHASH_V2="+t.HashV2)
	var out tail
	c.Stdout, c.Stderr = &out, &out
	began := time.Now()
	err := c.Run()
	said := string(bytes.TrimSpace(out.b[max(0, len(out.b)-maxOutput):]))
	if err != nil {
		a.cfg.Log.Error("a program has failed", "program", r.hook.Command[0], "torrent", t.Name, "error", err, "output", said)
		return
	}
	a.cfg.Log.Info("a program was run", "program", r.hook.Command[0], "torrent", t.Name, "seconds", time.Since(began).Seconds(), "output", said)
}

// text leaves out what an environment cannot hold.
func text(s string) string { return strings.ReplaceAll(s, "\x00", "") }
