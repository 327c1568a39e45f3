package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/bt/create"
	"shoal/internal/bt/magnet"
	"shoal/internal/bt/metainfo"
)

// createFlags say what goes into a new torrent.
type createFlags struct {
	v1, v2, hybrid bool
	pieceSize      bytesFlag
	private        bool
	trackers       []string
	webSeeds       []string
	comment        string
	source         string
	name           string
}

func (f *createFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.BoolVar(&f.v1, "v1", false, "make a v1 torrent (BEP 3)")
	fl.BoolVar(&f.v2, "v2", false, "make a v2 torrent (BEP 52)")
	fl.BoolVar(&f.hybrid, "hybrid", false, "make a torrent that is both (default)")
	fl.Var(&f.pieceSize, "piece-size", "bytes in a piece, such as 1MiB; default: by size, for 1,000 to 2,000 pieces")
	fl.BoolVar(&f.private, "private", false, "peers are to come from the trackers only (BEP 27)")
	fl.StringArrayVar(&f.trackers, "tracker", nil, "a tracker's announce URL; may be repeated, each is a tier; 'a,b' puts two into one tier")
	fl.StringArrayVar(&f.webSeeds, "webseed", nil, "a URL where the content lies (BEP 19); may be repeated")
	fl.StringVar(&f.comment, "comment", "", "a comment")
	fl.StringVar(&f.source, "source", "", "a text that changes the infohash, as some trackers ask for")
	fl.StringVar(&f.name, "name", "", "what to call the content; default: as on disk")
}

func (f *createFlags) options() (metainfo.CreateOptions, error) {
	o := metainfo.CreateOptions{
		Name: f.name, PieceLength: int64(f.pieceSize), Private: f.private, Source: f.source, Comment: f.comment,
		CreatedBy: client(), WebSeeds: f.webSeeds,
	}
	switch {
	case f.v1 && f.v2, f.v1 && f.hybrid, f.v2 && f.hybrid:
		return o, usage(errors.New("--v1, --v2 and --hybrid exclude each other"))
	case f.v1:
		o.Version = metainfo.V1
	case f.v2:
		o.Version = metainfo.V2
	}
	for _, t := range f.trackers {
		tier := strings.Split(t, ",")
		for _, u := range tier {
			if !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "udp://") {
				return o, usage(fmt.Errorf("--tracker %q is not an http, https or udp URL", u))
			}
		}
		o.Announce = append(o.Announce, tier)
	}
	for _, u := range f.webSeeds {
		if !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") {
			return o, usage(fmt.Errorf("--webseed %q is not an http or https URL", u))
		}
	}
	return o, nil
}

func (a *app) create() *cobra.Command {
	var f createFlags
	var out string
	c := &cobra.Command{
		Use:   "create PATH -o FILE.torrent",
		Short: "Make a .torrent of a file or folder",
		Example: `  shoal create ./album -o album.torrent --tracker udp://tracker.example.org:6969
  shoal create disk.img -o disk.torrent --v1 --piece-size 4MiB --webseed https://example.org/disk.img`,
		Args: one("a file or folder"),
		RunE: func(c *cobra.Command, args []string) error { return a.runCreate(c.Context(), &f, args[0], out) },
	}
	f.add(c)
	c.Flags().StringVarP(&out, "output", "o", "", "file to write; default: the name of the content with .torrent, here")
	return c
}

func (a *app) runCreate(ctx context.Context, f *createFlags, path, out string) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	t, err := a.makeTorrent(ctx, path, o)
	if err != nil {
		return err
	}
	if out == "" {
		out = filepath.Base(t.Info.Name) + ".torrent"
	}
	if err := writeFile(out, t.Encode()); err != nil {
		return err
	}
	a.emit(map[string]any{"event": "created", "file": out, "name": t.Info.Name, "infohash_v1": v1(t.Info), "infohash_v2": v2(t.Info),
		"total": t.Info.Layout.DataSize(), "pieces": t.Info.Layout.Pieces(), "piece_length": t.Info.Layout.PieceLength, "magnet": magnetOf(t, nil).String()})
	a.say("%s: %s in %s, %s of %s", out, size(t.Info.Layout.DataSize()), files(len(t.Info.Layout.Files)), pieces(t.Info.Layout.Pieces()), size(t.Info.Layout.PieceLength))
	if !a.json {
		a.result("%s", magnetOf(t, nil))
	}
	return nil
}

// makeTorrent hashes a path, showing progress.
func (a *app) makeTorrent(ctx context.Context, path string, o metainfo.CreateOptions) (*metainfo.Torrent, error) {
	h := a.hashing("hashing")
	t, notices, err := create.Torrent(ctx, path, o, h.progress)
	h.end()
	for _, n := range notices {
		a.warn("%s", printable(n))
	}
	if errors.Is(err, context.Canceled) {
		return nil, withCode(exitInterrupted, errors.New("interrupted while hashing; nothing was written"))
	}
	return t, err
}

// hashing shows a bar while something is hashed.
type hashing struct {
	d     *display
	what  string
	began time.Time

	mu   sync.Mutex
	last time.Time
}

func (a *app) hashing(what string) *hashing {
	return &hashing{d: a.display(), what: what, began: time.Now()}
}

// progress takes the bytes done, from any goroutine.
func (h *hashing) progress(done, total int64) {
	h.mu.Lock()
	now := time.Now()
	show := now.Sub(h.last) >= h.d.interval()/2
	if show {
		h.last = now
	}
	h.mu.Unlock()
	if !show || h.d.a.quiet && !h.d.a.json {
		return
	}
	rate := float64(done) / now.Sub(h.began).Seconds()
	switch {
	case h.d.a.json:
		h.d.a.emit(map[string]any{"event": h.what, "done": done, "total": total, "rate": int64(rate)})
	case h.d.tty:
		const width = 30
		n := int(float64(done) / float64(max(total, 1)) * width)
		h.d.draw([]string{fmt.Sprintf("%s [%s%s] %d%% %s %s", h.what, strings.Repeat("#", n), strings.Repeat(".", width-n), percent(done, total), fraction(done, total), speed(rate))})
	}
}

func (h *hashing) end() {
	if h.d.tty {
		h.d.draw(nil)
	}
}

// writeFile puts a file in place whole or not at all.
func writeFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".shoal-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

func v1(i *metainfo.Info) string {
	if !i.HasV1 {
		return ""
	}
	return i.Hash.V1.String()
}

func v2(i *metainfo.Info) string {
	if !i.HasV2 {
		return ""
	}
	return i.Hash.V2.String()
}

// magnetOf returns the link to a torrent, with peers to begin with.
func magnetOf(t *metainfo.Torrent, peers []string) *magnet.Magnet {
	m := &magnet.Magnet{Hash: t.Info.Hash, Name: t.Info.Name, WebSeeds: t.WebSeeds, Peers: peers}
	for _, tier := range t.Announce {
		m.Trackers = append(m.Trackers, tier...)
	}
	return m
}
