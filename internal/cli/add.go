package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/api"
	"shoal/internal/library"
	"shoal/internal/link"
)

// absolute makes a folder's path one that the node understands, which runs elsewhere.
func absolute(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	return abs, nil
}

// addFlags say how something is added to the node.
type addFlags struct {
	dir, category       string
	tags                []string
	paused, top, forced bool
	sequential, noCheck bool
	down, up            bytesFlag
	wait, open          bool
	trackers, peers     []string
	ratio, seedTime     string
	name                string
}

func (a *app) add() *cobra.Command {
	var f addFlags
	c := &cobra.Command{Use: "add LINK...", Short: "Give links or .torrent files to the node", Args: some("what to add"),
		Example: `  shoal add 'magnet:?xt=urn:btih:…'
  shoal add *.torrent --category linux --dir ~/isos
  shoal add debian.torrent --wait          until it is complete`}
	fl := c.Flags()
	fl.StringVarP(&f.dir, "dir", "o", "", "folder on the node's machine to put the files into (default: as the category or the settings say)")
	fl.StringVar(&f.category, "category", "", "category to put it in")
	fl.StringArrayVar(&f.tags, "tag", nil, "a tag to give it; may be repeated")
	fl.StringVar(&f.name, "name", "", "what to call it")
	fl.BoolVar(&f.paused, "paused", false, "do not begin yet")
	fl.BoolVar(&f.top, "top", false, "first in the queue")
	fl.BoolVar(&f.forced, "force", false, "begin regardless of the queue")
	fl.BoolVar(&f.sequential, "sequential", false, "fetch pieces in order")
	fl.BoolVar(&f.noCheck, "skip-check", false, "all data is there and sound: do not hash it")
	fl.Var(&f.down, "limit-down", "most to download a second")
	fl.Var(&f.up, "limit-up", "most to upload a second")
	fl.StringArrayVar(&f.trackers, "tracker", nil, "a tracker beside those of the link; may be repeated")
	fl.StringArrayVar(&f.peers, "peer", nil, "a peer to connect to, HOST:PORT; may be repeated")
	fl.StringVar(&f.ratio, "seed-ratio", "", "seed until so many times its size was sent; forever")
	fl.StringVar(&f.seedTime, "seed-time", "", "seed for so long, such as 24h; forever")
	fl.BoolVar(&f.wait, "wait", false, "show progress until it is complete")
	fl.BoolVar(&f.open, "open", false, "then open the web UI, as the desktop does")
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error { return a.runAdd(ctx, cl, &f, args) })
}

func (a *app) runAdd(ctx context.Context, cl *api.Client, f *addFlags, args []string) error {
	q, err := f.request(args)
	if err != nil {
		return err
	}
	added, err := a.give(ctx, cl, q)
	if err != nil {
		return err
	}
	if f.open {
		a.openUI(ctx, cl)
	}
	if f.wait {
		return a.await(ctx, cl, added)
	}
	return nil
}

// request makes the request for what is named.
func (f *addFlags) request(args []string) (api.AddRequest, error) {
	q := api.AddRequest{Category: f.category, Tags: f.tags, Name: f.name, Paused: f.paused, Forced: f.forced, Top: f.top, Sequential: f.sequential, SkipCheck: f.noCheck,
		Trackers: f.trackers, Peers: f.peers, DownLimit: int64(f.down), UpLimit: int64(f.up)}
	var ch library.Change
	if err := goals(&ch, f.ratio, f.seedTime); err != nil {
		return q, err
	}
	set(&q.SeedRatio, ch.SeedRatio)
	set(&q.SeedTime, ch.SeedTime)
	if f.dir != "" {
		abs, err := absolute(f.dir)
		if err != nil {
			return q, err
		}
		q.Dir = abs
	}
	return q, name(&q, args)
}

func set[T any](into, from *T) {
	if from != nil {
		*into = *from
	}
}

// name puts links, and the content of files, into a request. What is wrong with a link is found here, before anything is added.
func name(q *api.AddRequest, args []string) error {
	for _, text := range args {
		if link.IsURL(text) || strings.HasPrefix(strings.ToLower(text), "magnet:") {
			q.Links = append(q.Links, text)
			continue
		}
		l, err := link.File(text)
		switch {
		case err == nil:
			q.Torrents = append(q.Torrents, l.Torrent.Encode())
		case !errors.Is(err, fs.ErrNotExist):
			return linkError(err)
		default:
			if _, err = link.OpenPath(context.Background(), text, nil); err != nil {
				return linkError(err)
			}
			q.Links = append(q.Links, text)
		}
	}
	return nil
}

// give adds to the node, and says what came of it.
func (a *app) give(ctx context.Context, cl *api.Client, q api.AddRequest) ([]library.Added, error) {
	result, err := cl.Add(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, t := range result.Added {
		a.emit(map[string]any{"event": "added", "id": t.ID, "name": t.Name, "existed": t.Existed})
		what := "added"
		if t.Existed {
			what = "is there already"
		}
		a.say("%s  %s: %s", t.ID[:8], printable(t.Name), what)
	}
	var errs []error
	for _, x := range result.Failed {
		errs = append(errs, fmt.Errorf("%s: %s", printable(x.Link), printable(x.Message)))
	}
	return result.Added, errors.Join(errs...)
}

// openUI opens the web UI in the person's browser. It is no failure if there is none.
func (a *app) openUI(ctx context.Context, cl *api.Client) {
	settings, err := cl.Settings(ctx)
	if err != nil {
		return
	}
	for _, s := range settings {
		if s.Key != "api.listen" {
			continue
		}
		url := "http://" + strings.Trim(string(s.Value), `"`) + "/"
		for _, opener := range [][]string{{"xdg-open"}, {"open"}, {"rundll32", "url.dll,FileProtocolHandler"}} {
			if p, err := exec.LookPath(opener[0]); err == nil {
				_ = exec.CommandContext(ctx, p, append(opener[1:], url)...).Run()
				return
			}
		}
	}
}

// await shows progress until torrents of the node are complete.
func (a *app) await(ctx context.Context, cl *api.Client, added []library.Added) error {
	d := a.display()
	last := map[string]string{}
	lastAt := map[string]time.Time{}
	for {
		busy := false
		var lines []string
		for _, t := range added {
			row, err := cl.Get(ctx, t.ID)
			if ctx.Err() != nil {
				return withCode(exitInterrupted, fmt.Errorf("no longer waiting; the node goes on: see it with shoal ls"))
			}
			if err != nil {
				return err
			}
			busy = busy || !row.Complete
			line := rowLine(&row.Torrent)
			lines = append(lines, line)
			switch {
			case a.json:
				a.emit(torrentEvent{"progress", row.Torrent})
			case !d.tty && !a.quiet && line != last[t.ID] && (time.Since(lastAt[t.ID]) > 10*time.Second || row.Complete):
				last[t.ID], lastAt[t.ID] = line, time.Now()
				a.result("%s", line)
			}
			if row.State == library.Paused && !row.Complete {
				return fmt.Errorf("%s is paused", printable(row.Name))
			}
		}
		if d.tty {
			d.draw(lines)
		}
		if !busy {
			return a.arrived(ctx, cl, d, added)
		}
		if !sleep(ctx, d.interval()) {
			continue // to say so
		}
	}
}

// arrived says where complete content is.
func (a *app) arrived(ctx context.Context, cl *api.Client, d *display, added []library.Added) error {
	if d.tty {
		d.draw(nil)
	}
	for _, t := range added {
		row, err := cl.Get(ctx, t.ID)
		if err != nil {
			return err
		}
		a.emit(map[string]any{"event": "done", "infohash": row.ID, "name": row.Name, "path": row.Path, "total": row.Size, "downloaded": row.Downloaded})
		a.say("%s: done, verified; the node seeds it", printable(row.Path))
	}
	return nil
}
