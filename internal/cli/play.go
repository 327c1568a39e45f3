package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/link"
	"shoal/internal/netx"
	"shoal/internal/stream"
)

// playFlags are the flags of `shoal play`, beside those of `shoal get` that they share.
type playFlags struct {
	getFlags
	player string
	file   string
	noKeep bool
	cache  bytesFlag
	port   uint16
}

func (a *app) play() *cobra.Command {
	var f playFlags
	c := &cobra.Command{
		Use:   "play LINK|WORDS",
		Short: "Play a film or music while it is fetched",
		Long: "Play a film or music while it is fetched. Where a node runs it fetches and keeps it, and words of the name of what it has are enough. " +
			"With flags that are this process's own, such as --no-keep, or without a node, it is fetched here.",
		Example: `  shoal play 'magnet:?xt=urn:btih:…'
  shoal play film.torrent --player vlc
  shoal play series.torrent --file '*S01E02*'
  shoal play big buck bunny                      what the node has of that name
  shoal play film.torrent --no-keep              keeps nothing on disk
  shoal play film.torrent --player none          prints an address for players`,
		Args: some("what to play"),
		RunE: func(c *cobra.Command, args []string) error {
			text := strings.Join(args, " ")
			if cl, base := f.handOver(a, c); cl != nil {
				defer cl.Close()
				return apiError(a.playAt(c.Context(), cl, base, &f, text))
			}
			return a.runPlay(c.Context(), &f, []string{text})
		},
	}
	f.networkFlags.add(c)
	f.addTrackers(c)
	fl := c.Flags()
	fl.StringVar(&f.player, "player", "", "mpv, vlc, browser, none, or another program that takes a URL; default: mpv or vlc, whichever is there")
	fl.StringVar(&f.file, "file", "", "the file to play: a pattern or its number in --list of get; default: the largest film or piece of music")
	fl.BoolVar(&f.noKeep, "no-keep", false, "keep nothing: hold what is played in memory only as long as it is needed")
	fl.Var(&f.cache, "cache", "with --no-keep, most memory for that (default 256MiB)")
	fl.Uint16Var(&f.port, "port", 0, "port of the address for the player, on 127.0.0.1; default: any that is free")
	fl.StringVarP(&f.dir, "output", "o", ".", "folder to put the file into")
	fl.DurationVar(&f.timeout, "timeout", 0, "give up if no metadata has come for so long")
	f.placeFlags.add(c)
	fl.BoolVar(&f.alone, "no-node", false, "play in this process even if a node runs")
	return c
}

const (
	defaultCache = 256 << 20
	leastCache   = 32 << 20
)

// screening is one run of `shoal play`.
type screening struct {
	*fetcher
	f     *playFlags
	it    *item
	index int // of the file, once it is known
}

func (a *app) runPlay(ctx context.Context, f *playFlags, args []string) error {
	f.selected = nil
	if f.file != "" {
		f.selected = []string{f.file}
	}
	sel := selection{globs: f.selected}
	if err := errors.Join(f.check(), sel.check()); err != nil {
		return usage(err)
	}
	if f.cache == 0 {
		f.cache = defaultCache
	}
	if f.cache < leastCache {
		return usage(fmt.Errorf("--cache %s: at least %s is needed", size(int64(f.cache)), size(leastCache)))
	}
	player, err := stream.FindPlayer(f.player)
	if err != nil {
		return withCode(exitNotFound, fmt.Errorf("--player: %w", err))
	}
	n, err := f.network()
	if err != nil {
		return usage(err)
	}
	p := &screening{fetcher: &fetcher{app: a, f: &f.getFlags, net: n, d: a.display()}, f: f, index: -1}
	links, err := p.open(ctx, args)
	if err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	return errors.Join(p.run(ctx, links[0], player), closeSession(p.s))
}

// start starts the engine.
func (p *screening) start() (err error) {
	if p.f.noKeep {
		p.f.tune = func(c *session.Config) { c.Store = stream.Forgetful(int64(p.f.cache)) }
	} else if err := os.MkdirAll(p.f.dir, 0o755); err != nil {
		return err
	}
	p.s, err = p.f.session(p.app, p.net)
	return err
}

// run fetches, serves and plays.
func (p *screening) run(ctx context.Context, l *link.Link, player *stream.Player) error {
	if l.Magnet != nil {
		if err := p.follow(ctx, l.Magnet); err != nil {
			return err
		}
	}
	if err := p.begin(ctx, l); err != nil {
		return err
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	info := p.it.t.Info()
	if p.index = choose(info, p.selection(l)); p.index < 0 {
		if p.f.file != "" {
			return usage(fmt.Errorf("no file of %s matches --file; see them with 'shoal get --list'", printable(info.Name)))
		}
		return usage(fmt.Errorf("%s holds neither film nor music; name what to play with --file", printable(info.Name)))
	}
	return p.show(ctx, info, player)
}

func (p *screening) selection(l *link.Link) *selection {
	return &selection{globs: p.f.selected, ranges: rangesOf(l)}
}

// begin adds the torrent. Only what is played is wanted, and subtitles beside it.
func (p *screening) begin(ctx context.Context, l *link.Link) error {
	spec := l.Spec()
	p.f.apply(&spec)
	spec.Root, spec.Transient = p.f.dir, p.f.noKeep
	var more []string
	if l.Magnet != nil {
		more = l.Magnet.Peers
	}
	var err error
	if spec.Peers, err = p.f.addresses(ctx, p.app, p.net, more); err != nil {
		return err
	}
	spec.Select = func(info *metainfo.Info) []bool {
		want := make([]bool, len(info.Layout.Files))
		if i := choose(info, p.selection(l)); i >= 0 {
			want[i] = true
			for _, s := range stream.Subtitles(info, i) {
				want[s.Index] = true
			}
		}
		return want
	}
	t, err := p.s.Add(spec)
	if err != nil {
		return fmt.Errorf("%s: %w", l.Text, err)
	}
	p.it = &item{link: l, t: t}
	return nil
}

// choose returns the file to play: the largest film, or else piece of music, of those that the person named; if those are neither, the largest.
func choose(info *metainfo.Info, sel *selection) int {
	best, rank := -1, 0
	want := sel.files(info)
	for i := range info.Layout.Files {
		f := &info.Layout.Files[i]
		if want != nil && !want[i] || f.Length == 0 {
			continue
		}
		r := map[string]int{stream.Video: 3, stream.Audio: 2}[stream.Media(f.Path)]
		if r == 0 && len(sel.globs) > 0 {
			r = 1
		}
		if r > rank || r == rank && r > 0 && f.Length > info.Layout.Files[best].Length {
			best, rank = i, r
		}
	}
	return best
}

// settle waits until the content is known and what is there is checked.
func (p *screening) settle(ctx context.Context) error {
	tick := time.NewTicker(p.d.interval())
	defer tick.Stop()
	for {
		select {
		case <-p.it.t.Settled():
			if st := p.it.t.Status(); st.Phase == torrent.Failed {
				return fmt.Errorf("%s: %w", nameOf(p.it.link), st.Problem)
			}
			return nil
		case <-ctx.Done():
			return withCode(exitInterrupted, fmt.Errorf("interrupted before there was anything to play: %s", nameOf(p.it.link)))
		case <-tick.C:
			p.d.show([]*item{p.it})
			if err := overdue(p.it, p.f.timeout); err != nil {
				return err
			}
		}
	}
}

// show serves the file, has the player play it, and goes on until that ends.
func (p *screening) show(ctx context.Context, info *metainfo.Info, player *stream.Player) error {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	id := info.Hash.Key().String()
	o := stream.Options{}
	if p.f.noKeep {
		o.Ahead = stream.AheadOf(int64(p.f.cache))
	}
	s := stream.NewServer(secret[:], func(asked string) *torrent.Torrent {
		if asked != id {
			return nil
		}
		return p.it.t
	}, o)
	ln, err := netx.NewHost(netx.Options{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p.f.port))))
	if err != nil {
		return withCode(exitNetwork, fmt.Errorf("listening for the player: %w", err))
	}
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = h.Serve(ln) }() // until Close
	defer h.Close()

	base := "http://" + ln.Addr().String()
	f := &info.Layout.Files[p.index]
	url := s.URL(base, id, p.index, f.Path)
	var subs []string
	for _, sub := range stream.Subtitles(info, p.index) {
		subs = append(subs, s.URL(base, id, sub.Index, info.Layout.Files[sub.Index].Path))
	}
	p.emit(map[string]any{"event": "playing", "infohash": info.Hash.String(), "name": path.Base(f.Path), "size": f.Length, "index": p.index + 1,
		"url": url, "playlist": s.PlaylistURL(base, id), "player": player.Name})
	p.d.say("%s, %s", printable(path.Base(f.Path)), size(f.Length))
	if !p.json {
		p.d.erased(func() { p.result("%s", url) })
	}
	if player.Name == "" {
		p.d.say("open this address in a player, such as mpv or VLC; Ctrl-C ends")
	}
	ended, err := player.Start(ctx, url, printable(path.Base(f.Path)), subs)
	if err != nil {
		return err
	}
	return p.watch(ctx, player, ended)
}

// watch shows progress until the player ends, or the person has enough.
func (p *screening) watch(ctx context.Context, player *stream.Player, ended <-chan error) error {
	tick := time.NewTicker(p.d.interval())
	defer tick.Stop()
	for {
		st := p.it.t.Status()
		if st.DiskFull {
			return fmt.Errorf("%s: %w", nameOf(p.it.link), st.Problem)
		}
		select {
		case err := <-ended:
			p.emit(map[string]any{"event": "played", "infohash": st.InfoHash.String(), "downloaded": st.Swarm.DownTotal, "seconds": st.Age.Seconds()})
			if err != nil {
				return fmt.Errorf("%s: %w", player.Name, err)
			}
			return nil
		case <-ctx.Done():
			if ended != nil {
				<-ended // it was told
				return withCode(exitInterrupted, errors.New("interrupted while playing"))
			}
			return nil
		case <-tick.C:
			p.d.show([]*item{p.it})
		}
	}
}
