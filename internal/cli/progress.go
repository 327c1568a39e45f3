package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"shoal/internal/bt/torrent"
	"shoal/internal/link"
)

// display shows the progress of items: on a terminal one line for each, redrawn; in a pipe a plain line now and then; with
// --json an object.
type display struct {
	a     *app
	tty   bool
	width int

	mu     sync.Mutex
	drawn  int // lines of the last drawing
	last   map[string]string
	lastAt map[string]time.Time
}

func (a *app) display() *display {
	d := &display{a: a, last: map[string]string{}, lastAt: map[string]time.Time{}}
	if f, ok := a.out.(*os.File); ok && !a.json && !a.quiet && term.IsTerminal(int(f.Fd())) {
		d.tty = true
	}
	return d
}

// interval is how often to show.
func (d *display) interval() time.Duration {
	if d.tty {
		return 500 * time.Millisecond
	}
	return time.Second
}

// item is a torrent being shown.
type item struct {
	link  *link.Link
	t     *torrent.Torrent
	named bool // its content was announced to the person
	done  bool
	hush  bool // shown no more
}

// show draws every item anew.
func (d *display) show(items []*item) {
	if d.a.quiet && !d.a.json {
		return
	}
	var lines []string
	for _, it := range items {
		if it.hush {
			continue
		}
		st := it.t.Status()
		switch {
		case d.a.json:
			d.a.emit(progressEvent(it, &st))
		case d.tty:
			lines = append(lines, statusLine(it, &st))
		default:
			d.plain(it, &st)
		}
	}
	if d.tty {
		d.draw(lines)
	}
}

// plain prints a line when something has changed and ten seconds have passed, or at once when the reason is new.
func (d *display) plain(it *item, st *torrent.Status) {
	key := it.t.Status().InfoHash.String()
	line := statusLine(it, st)
	reason := string(st.Phase) + st.Reason(it.t.Trackers())
	if line == d.last[key+"line"] || time.Since(d.lastAt[key]) < 10*time.Second && reason == d.last[key] && !d.lastAt[key].IsZero() {
		return
	}
	d.last[key], d.last[key+"line"], d.lastAt[key] = reason, line, time.Now()
	d.a.result("%s", line)
}

func (d *display) draw(lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.a.mu.Lock()
	defer d.a.mu.Unlock()
	if w, _, err := term.GetSize(int(d.a.out.(*os.File).Fd())); err == nil {
		d.width = w
	}
	var b strings.Builder
	d.erase(&b)
	for _, l := range lines {
		b.WriteString(cut(l, d.width-1))
		b.WriteString("\n")
	}
	d.drawn = len(lines)
	io.WriteString(d.a.out, b.String())
}

// rows returns how many lines fit on the terminal.
func (d *display) rows() int {
	if _, h, err := term.GetSize(int(d.a.out.(*os.File).Fd())); err == nil && h > 2 {
		return h - 1
	}
	return 24
}

// erase moves to the top of the last drawing and clears it.
func (d *display) erase(b *strings.Builder) {
	if d.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", d.drawn)
	}
	d.drawn = 0
}

// say prints a line above the drawing.
func (d *display) say(format string, args ...any) { d.erased(func() { d.a.say(format, args...) }) }

// erased has something printed above the drawing.
func (d *display) erased(print func()) {
	if d.tty {
		d.mu.Lock()
		var b strings.Builder
		d.erase(&b)
		io.WriteString(d.a.out, b.String())
		d.mu.Unlock()
	}
	print()
}

func cut(s string, width int) string {
	if width < 10 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// statusLine is one line for people: `62% 1.3/2.1 GiB ↓48 MB/s ↑2 MB/s 41 peers ETA 17s`.
func statusLine(it *item, st *torrent.Status) string {
	var w []string
	name := st.Name
	if name == "" {
		name = nameOf(it.link)
	}
	switch st.Phase {
	case torrent.Metadata:
		w = append(w, "metadata")
	case torrent.Opening:
		w = append(w, "opening files")
	case torrent.Checking:
		w = append(w, fmt.Sprintf("checking %d%% of what is there", int(st.Checked*100)))
	case torrent.Failed:
		w = append(w, "failed")
	case torrent.Seeding:
		w = append(w, fmt.Sprintf("seeding %s ↑%s %s", size(st.Total), speed(st.Up), peers(st.Swarm.Peers)))
	case torrent.Downloading:
		if st.Total == 0 { // nothing is kept
			w = append(w, fmt.Sprintf("%s fetched ↓%s ↑%s %s", size(st.Swarm.DownTotal), speed(st.Down), speed(st.Up), peers(st.Swarm.Peers)))
			break
		}
		w = append(w, fmt.Sprintf("%d%% %s ↓%s ↑%s %s", percent(st.Done, st.Total), fraction(st.Done, st.Total), speed(st.Down), speed(st.Up), peers(st.Swarm.Peers)))
		if st.ETA >= 0 {
			w = append(w, "ETA "+duration(st.ETA))
		}
	}
	if why := st.Reason(it.t.Trackers()); why != "" {
		w = append(w, "("+why+")")
	}
	return strings.Join(w, " ") + "  " + printable(name)
}

func peers(n int) string {
	if n == 1 {
		return "1 peer"
	}
	return fmt.Sprintf("%d peers", n)
}

func percent(done, total int64) int {
	if total == 0 {
		return 100
	}
	return int(float64(done) / float64(total) * 100)
}

// fraction formats done of total with one unit: 1.3/2.1 GiB.
func fraction(done, total int64) string {
	whole := size(total)
	number, unit, _ := strings.Cut(whole, " ")
	scale := map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50, "EiB": 1 << 60}[unit]
	part := float64(done) / scale
	if unit == "B" {
		return fmt.Sprintf("%d/%s B", done, number)
	}
	return fmt.Sprintf("%s/%s %s", digits(part), number, unit)
}

// progressJSON is the progress of one item; names are stable.
type progressJSON struct {
	Event      string  `json:"event"` // progress
	InfoHash   string  `json:"infohash"`
	Name       string  `json:"name,omitempty"`
	Phase      string  `json:"phase"`
	Done       int64   `json:"done"`
	Total      int64   `json:"total"`
	Down       int64   `json:"down_rate"`
	Up         int64   `json:"up_rate"`
	Downloaded int64   `json:"downloaded"`
	Uploaded   int64   `json:"uploaded"`
	Peers      int     `json:"peers"`
	Seeds      int     `json:"seeds"`
	ETA        float64 `json:"eta,omitempty"`
	Checked    float64 `json:"checked,omitempty"`
	Reason     string  `json:"reason,omitempty"`
}

func progressEvent(it *item, st *torrent.Status) progressJSON {
	p := progressJSON{
		Event: "progress", InfoHash: st.InfoHash.String(), Name: st.Name, Phase: string(st.Phase), Done: st.Done, Total: st.Total,
		Down: int64(st.Down), Up: int64(st.Up), Downloaded: st.Swarm.DownTotal, Uploaded: st.Swarm.UpTotal,
		Peers: st.Swarm.Peers, Seeds: st.Swarm.Seeds, Checked: st.Checked, Reason: st.Reason(it.t.Trackers()),
	}
	if st.ETA > 0 {
		p.ETA = st.ETA.Seconds()
	}
	return p
}
