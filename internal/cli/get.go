package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"shoal/internal/api"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/link"
	"shoal/internal/netx"
)

// getFlags are the flags of `shoal get`.
type getFlags struct {
	networkFlags
	dir         string
	selected    []string
	list        bool
	seed        bool
	ratio       float64
	seedTime    time.Duration
	sequential  bool
	preallocate bool
	recheck     bool
	timeout     time.Duration
	wait        bool
	detach      bool
	alone       bool
	placeFlags
}

func (a *app) get() *cobra.Command {
	var f getFlags
	c := &cobra.Command{
		Use:   "get LINK...",
		Short: "Fetch what a magnet link, .torrent file or URL, or infohash names",
		Example: `  shoal get 'magnet:?xt=urn:btih:…'
  shoal get debian.torrent -o ~/isos --seed-ratio 1
  shoal get https://example.org/show.torrent --list
  shoal get show.torrent --select '*.mkv' --sequential
  shoal get 'magnet:?xs=urn:btpk:…'               the newest that a publisher names`,
		Args: some("what to fetch"),
		RunE: func(c *cobra.Command, args []string) error {
			if cl := f.handOver(c); cl != nil {
				defer cl.Close()
				return apiError(a.handOver(c.Context(), cl, &f, args))
			}
			return a.runGet(c.Context(), &f, args)
		},
	}
	f.networkFlags.add(c)
	f.addTrackers(c)
	fl := c.Flags()
	fl.StringVarP(&f.dir, "output", "o", ".", "folder to put the files into")
	fl.StringArrayVar(&f.selected, "select", nil, "only files that match this pattern or number; may be repeated")
	fl.BoolVar(&f.list, "list", false, "list the files and stop")
	fl.BoolVar(&f.seed, "seed", false, "go on seeding until Ctrl-C")
	fl.Float64Var(&f.ratio, "seed-ratio", 0, "go on seeding until this share of the size was sent, such as 1.5")
	fl.DurationVar(&f.seedTime, "seed-time", 0, "go on seeding for so long, such as 2h")
	fl.BoolVar(&f.sequential, "sequential", false, "fetch pieces in order")
	fl.BoolVar(&f.preallocate, "preallocate", false, "reserve the whole space on disk at once")
	fl.BoolVar(&f.recheck, "recheck", false, "hash what is on disk instead of trusting the journal")
	fl.DurationVar(&f.timeout, "timeout", 0, "give up if no metadata has come for so long")
	f.placeFlags.add(c)
	fl.BoolVar(&f.wait, "wait", false, "where a node runs and takes it over, show progress until it is complete (the default)")
	fl.BoolVar(&f.detach, "detach", false, "where a node runs and takes it over, do not wait")
	fl.BoolVar(&f.alone, "no-node", false, "fetch in this process even if a node runs")
	c.MarkFlagsMutuallyExclusive("wait", "detach", "no-node")
	return c
}

// handable are the flags of get that a node can do as well.
var handable = []string{"output", "seed", "seed-ratio", "seed-time", "sequential", "tracker", "peer", "limit-down", "limit-up", "wait", "detach", "home", "config", "json", "quiet"}

// handOver returns a client of the node that is to do the work, nil if none runs or the flags ask for what only this process can do.
func (f *getFlags) handOver(c *cobra.Command) *api.Client {
	own := false
	c.Flags().Visit(func(fl *pflag.Flag) { own = own || !slices.Contains(handable, fl.Name) })
	if own {
		return nil
	}
	return (&remote{placeFlags: f.placeFlags}).running(c.Context())
}

// handOver gives the work to the node.
func (a *app) handOver(ctx context.Context, cl *api.Client, f *getFlags, args []string) error {
	add := addFlags{dir: f.dir, sequential: f.sequential, down: f.down, up: f.up, trackers: f.trackers, peers: f.peers}
	if f.seed {
		add.ratio, add.seedTime = "forever", "forever"
	}
	if f.ratio > 0 {
		add.ratio = fmt.Sprint(f.ratio)
	}
	if f.seedTime > 0 {
		add.seedTime = f.seedTime.String()
	}
	q, err := add.request(args)
	if err != nil {
		return err
	}
	a.say("a node runs and takes it over; --no-node fetches here")
	added, err := a.give(ctx, cl, q)
	if err != nil || f.detach {
		return err
	}
	return a.await(ctx, cl, added)
}

// fetcher is one run of `shoal get`.
type fetcher struct {
	*app
	f     *getFlags
	net   netx.Network
	s     *session.Session
	d     *display
	items []*item
}

func (a *app) runGet(ctx context.Context, f *getFlags, args []string) error {
	sel := selection{globs: f.selected}
	if err := errors.Join(f.check(), sel.check()); err != nil {
		return usage(err)
	}
	if f.ratio < 0 || f.seedTime < 0 {
		return usage(errors.New("--seed-ratio and --seed-time cannot be negative"))
	}
	n, err := f.network()
	if err != nil {
		return usage(err)
	}
	g := &fetcher{app: a, f: f, net: n, d: a.display()}
	links, err := g.open(ctx, args)
	if err != nil {
		return err
	}
	if f.list && allKnown(links) {
		for _, l := range links {
			a.list(l.Torrent.Info)
		}
		return nil
	}
	if !f.list {
		if err := os.MkdirAll(f.dir, 0o755); err != nil {
			return err
		}
	}
	if g.s, err = f.networkFlags.session(a, g.net); err != nil {
		return err
	}
	for _, l := range links {
		if l.Magnet != nil {
			err = g.follow(ctx, l.Magnet)
		}
		if err == nil {
			err = g.add(ctx, l, sel)
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = g.run(ctx)
	}
	return errors.Join(err, closeSession(g.s))
}

func (g *fetcher) open(ctx context.Context, args []string) ([]*link.Link, error) {
	client := g.f.httpClient(g.net)
	var links []*link.Link
	for _, arg := range args {
		l, err := openLink(ctx, arg, client)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	return links, nil
}

func allKnown(links []*link.Link) bool {
	for _, l := range links {
		if l.Torrent == nil {
			return false
		}
	}
	return true
}

func (g *fetcher) add(ctx context.Context, l *link.Link, sel selection) error {
	spec := l.Spec()
	g.f.apply(&spec)
	spec.Root, spec.Sequential, spec.Preallocate, spec.Recheck = g.f.dir, g.f.sequential, g.f.preallocate, g.f.recheck
	var more []string
	if l.Magnet != nil {
		more, sel.ranges = l.Magnet.Peers, l.Magnet.Select
	}
	var err error
	if spec.Peers, err = g.f.addresses(ctx, g.app, g.net, more); err != nil {
		return err
	}
	spec.Select = sel.files
	if g.f.list {
		spec.Select = func(info *metainfo.Info) []bool { return make([]bool, len(info.Layout.Files)) }
	}
	if l.Torrent != nil && none(sel.files(l.Torrent.Info)) {
		return usage(fmt.Errorf("no file of %s matches --select; see them with --list", l.Text))
	}
	t, err := g.s.Add(spec)
	if errors.Is(err, session.ErrExists) {
		return nil // named twice
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.Text, err)
	}
	g.items = append(g.items, &item{link: l, t: t})
	return nil
}

// run shows progress until everything is done or the person has enough.
func (g *fetcher) run(ctx context.Context) error {
	tick := time.NewTicker(g.d.interval())
	defer tick.Stop()
	news := make(chan struct{}, 1)
	done := make(chan struct{})
	defer close(done)
	for _, it := range g.items {
		go tell(it.t, news, done)
	}
	for {
		busy, err := g.look()
		if err != nil || !busy {
			return err
		}
		select {
		case <-ctx.Done():
			return g.interrupted()
		case <-tick.C:
			g.d.show(g.items)
		case <-news:
		}
	}
}

// tell wakes the loop when a torrent gets further.
func tell(t *torrent.Torrent, news chan<- struct{}, done <-chan struct{}) {
	for _, c := range []<-chan struct{}{t.Known(), t.Settled(), t.Finished()} {
		select {
		case <-c:
		case <-done:
			return
		}
		select {
		case news <- struct{}{}:
		default:
		}
	}
}

// look handles what is new and reports whether anything is still to be done.
func (g *fetcher) look() (busy bool, err error) {
	for _, it := range g.items {
		st := it.t.Status()
		info := it.t.Info()
		switch {
		case st.Phase == torrent.Failed:
			return false, fmt.Errorf("%s: %w", nameOf(it.link), st.Problem)
		case info == nil:
			if err := overdue(it, g.f.timeout); err != nil {
				return false, err
			}
			busy = true
			continue
		}
		if !it.named {
			it.named = true
			if err := g.announce(it, info); err != nil {
				return false, err
			}
		}
		if g.f.list {
			continue
		}
		if !it.done && isClosed(it.t.Finished()) {
			it.done = true
			g.finished(it, info)
		}
		if !it.done || g.seeding(&st) {
			busy = true
		} else {
			it.hush = true
		}
	}
	return busy, nil
}

// overdue is an error once no metadata has come within timeout; 0 waits for ever.
func overdue(it *item, timeout time.Duration) error {
	st := it.t.Status()
	if it.t.Info() != nil || timeout == 0 || st.Age < timeout {
		return nil
	}
	return withCode(exitNotFound, fmt.Errorf("%s: no metadata after %v: %s", nameOf(it.link), timeout, st.Reason(it.t.Trackers())))
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// announce says what is about to be fetched.
func (g *fetcher) announce(it *item, info *metainfo.Info) error {
	if g.f.list {
		g.list(info)
		return nil
	}
	want := (&selection{globs: g.f.selected, ranges: rangesOf(it.link)}).files(info)
	if none(want) {
		return usage(fmt.Errorf("no file of %s matches --select; see them with --list", printable(info.Name)))
	}
	n, total := 0, int64(0)
	for i := range info.Layout.Files {
		if want == nil || want[i] {
			n++
			total += info.Layout.Files[i].Length
		}
	}
	for _, notice := range info.Notices {
		g.warn("%s", printable(notice))
	}
	g.emit(map[string]any{"event": "metadata", "infohash": info.Hash.String(), "name": info.Name, "files": n, "total": total, "dir": g.f.dir})
	g.d.say("%s: %s in %s to %s", printable(info.Name), size(total), files(n), filepath.Join(g.f.dir, filepath.FromSlash(info.Name)))
	return nil
}

func pieces(n int) string {
	if n == 1 {
		return "1 piece"
	}
	return fmt.Sprintf("%d pieces", n)
}

func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

func (g *fetcher) finished(it *item, info *metainfo.Info) {
	path := filepath.Join(g.f.dir, filepath.FromSlash(info.Name))
	st := it.t.Status()
	g.emit(map[string]any{"event": "done", "infohash": info.Hash.String(), "name": info.Name, "path": path, "total": st.Total,
		"downloaded": st.Swarm.DownTotal, "seconds": st.Age.Seconds()})
	how := ""
	switch {
	case g.f.seed:
		how = "; seeding until Ctrl-C"
	case g.f.ratio > 0 || g.f.seedTime > 0:
		how = "; seeding" + g.until()
	}
	g.d.say("%s: done, verified%s", path, how)
}

func (g *fetcher) until() string {
	var parts []string
	if g.f.ratio > 0 {
		parts = append(parts, fmt.Sprintf("until ratio %g", g.f.ratio))
	}
	if g.f.seedTime > 0 {
		parts = append(parts, "for "+duration(g.f.seedTime))
	}
	return " " + strings.Join(parts, " or ") + ", Ctrl-C stops"
}

// seeding reports whether a finished torrent should go on.
func (g *fetcher) seeding(st *torrent.Status) bool {
	switch {
	case g.f.seed:
		return true
	case g.f.ratio > 0 && float64(st.Swarm.UpTotal) >= g.f.ratio*float64(st.Total),
		g.f.seedTime > 0 && st.Seeding >= g.f.seedTime:
		return false
	}
	return g.f.ratio > 0 || g.f.seedTime > 0
}

// interrupted says what becomes of what is not done.
func (g *fetcher) interrupted() error {
	var open []string
	full := false
	for _, it := range g.items {
		if it.done {
			continue
		}
		st := it.t.Status()
		full = full || st.DiskFull
		name := st.Name
		if name == "" {
			name = nameOf(it.link)
		}
		open = append(open, fmt.Sprintf("%s at %d%%", printable(name), percent(st.Done, max(st.Total, 1))))
	}
	if len(open) == 0 {
		return nil
	}
	code := exitInterrupted
	if full {
		code = exitDiskFull
	}
	return withCode(code, fmt.Errorf("interrupted: %s; the same command goes on from there", strings.Join(open, ", ")))
}

// list prints the files of a torrent.
func (a *app) list(info *metainfo.Info) {
	for i := range info.Layout.Files {
		f := &info.Layout.Files[i]
		a.emit(fileJSON{Event: "file", Index: i + 1, Path: f.Path, Size: f.Length, Symlink: f.Symlink})
		if !a.json {
			a.result("%5d  %10s  %s", i+1, size(f.Length), printable(f.Path))
		}
	}
}

type fileJSON struct {
	Event   string `json:"event,omitempty"`
	Index   int    `json:"index"`
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	Symlink string `json:"symlink,omitempty"`
}
