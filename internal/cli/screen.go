package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"shoal/internal/api"
	"shoal/internal/bt/metainfo"
	"shoal/internal/library"
	"shoal/internal/stream"
)

// playable are the flags of play that a node can do as well.
var playable = []string{"player", "file", "output", "tracker", "peer", "timeout", "home", "config", "json", "quiet"}

// handOver returns a client of the node that is to fetch and serve what is played, and the address that players reach it at. It is nil if none runs
// or the flags ask for what only this process can do.
func (f *playFlags) handOver(a *app, c *cobra.Command) (*api.Client, string) {
	own := false
	c.Flags().Visit(func(fl *pflag.Flag) { own = own || !slices.Contains(playable, fl.Name) })
	if own {
		return nil, ""
	}
	cl := (&remote{placeFlags: f.placeFlags}).running(c.Context())
	if cl == nil {
		return nil, ""
	}
	base, err := address(c.Context(), cl)
	if err != nil {
		a.warn("a node runs, and no player reaches it: %v; it is played by this process", err)
		cl.Close()
		return nil, ""
	}
	return cl, base
}

// address returns where programs of this machine reach a node over HTTP.
func address(ctx context.Context, cl *api.Client) (string, error) {
	settings, err := cl.Settings(ctx)
	if err != nil {
		return "", err
	}
	value := map[string]string{}
	for _, s := range settings {
		value[s.Key] = strings.Trim(string(s.Value), `"`)
	}
	host, port, err := net.SplitHostPort(value["api.listen"])
	if err != nil || port == "0" {
		return "", errors.New("its API listens at no address that can be known; set api.listen")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if value["api.tls_cert"] != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// remotePlay is one run of `shoal play` with a node.
type remotePlay struct {
	*app
	f    *playFlags
	cl   *api.Client
	base string
	d    *display
	id   string
}

// playAt has the node fetch what is named, or takes what it has, and plays it from there.
func (a *app) playAt(ctx context.Context, cl *api.Client, base string, f *playFlags, text string) error {
	sel := selection{}
	if f.file != "" {
		sel.globs = []string{f.file}
	}
	if err := sel.check(); err != nil {
		return usage(err)
	}
	player, err := stream.FindPlayer(f.player)
	if err != nil {
		return withCode(exitNotFound, fmt.Errorf("--player: %w", err))
	}
	p := &remotePlay{app: a, f: f, cl: cl, base: base, d: a.display()}
	if err := p.give(ctx, text); err != nil {
		return err
	}
	info, err := p.await(ctx)
	if err != nil {
		return err
	}
	index := choose(info, &sel)
	switch {
	case index < 0 && f.file != "":
		return usage(fmt.Errorf("no file of %s matches --file; see them with 'shoal files %s'", printable(info.Name), p.id[:8]))
	case index < 0:
		return usage(fmt.Errorf("%s holds neither film nor music; name what to play with --file", printable(info.Name)))
	}
	return p.show(ctx, info, index, player)
}

// give adds what is named, unless it is the name of what the node has.
func (p *remotePlay) give(ctx context.Context, text string) error {
	add := addFlags{trackers: p.f.trackers, peers: p.f.peers}
	if p.f.dir != "." {
		add.dir = p.f.dir
	}
	q, err := add.request([]string{text})
	if err != nil { // no link: words of a name
		t, none := findOne(ctx, p.cl, text)
		if none != nil && codeOf(err) != exitNotFound {
			return err
		}
		p.id = t.ID
		return none
	}
	p.say("a node runs, fetches it and keeps it; --no-node plays it here")
	added, err := p.app.give(ctx, p.cl, q)
	if err != nil {
		return err
	}
	p.id = added[0].ID
	return nil
}

// await waits until it is known what the torrent holds.
func (p *remotePlay) await(ctx context.Context) (*metainfo.Info, error) {
	for begin := time.Now(); ; {
		b, err := p.cl.TorrentFile(ctx, p.id)
		var bad *api.Problem
		switch {
		case err == nil:
			t, err := metainfo.Parse(b)
			if err != nil {
				return nil, err
			}
			return t.Info, nil
		case ctx.Err() != nil:
			return nil, withCode(exitInterrupted, errors.New("interrupted before there was anything to play; the node goes on"))
		case !errors.As(err, &bad) || bad.Status == http.StatusNotFound:
			return nil, err
		}
		row, err := p.cl.Get(ctx, p.id)
		if err != nil {
			return nil, err
		}
		if row.State == library.Paused {
			if err := p.cl.Act(ctx, library.Resume, p.id); err != nil {
				return nil, err
			}
		}
		if p.f.timeout > 0 && time.Since(begin) > p.f.timeout {
			return nil, withCode(exitNotFound, fmt.Errorf("%s: no metadata after %v: %s", printable(row.Name), p.f.timeout, printable(row.Reason)))
		}
		p.progress(&row.Torrent)
		sleep(ctx, p.d.interval())
	}
}

func (p *remotePlay) progress(row *library.Torrent) {
	switch {
	case p.json:
		p.emit(torrentEvent{"progress", *row})
	case p.d.tty:
		p.d.draw([]string{rowLine(row)})
	}
}

// show has the player play a file, and goes on until that ends.
func (p *remotePlay) show(ctx context.Context, info *metainfo.Info, index int, player *stream.Player) error {
	list, err := p.cl.Files(ctx, p.id)
	if err != nil {
		return err
	}
	if index >= len(list) || list[index].StreamURL == "" {
		return errors.New("the node does not offer its files to players")
	}
	url := p.base + list[index].StreamURL
	var subs []string
	for _, s := range stream.Subtitles(info, index) {
		subs = append(subs, p.base+list[s.Index].StreamURL)
	}
	name := path.Base(list[index].Path)
	p.emit(map[string]any{"event": "playing", "infohash": p.id, "name": name, "size": list[index].Size, "index": index + 1,
		"url": url, "playlist": url[:strings.LastIndex(url, fmt.Sprintf("/%d/", index))] + "/playlist.m3u", "player": player.Name})
	p.d.say("%s, %s", printable(name), size(list[index].Size))
	if !p.json {
		p.d.erased(func() { p.result("%s", url) })
	}
	if player.Name == "" {
		p.d.say("open this address in a player, such as mpv or VLC; it is good for as long as the node has the torrent")
		return nil
	}
	ended, err := player.Start(ctx, url, printable(name), subs)
	if err != nil || ended == nil {
		return err
	}
	tick := time.NewTicker(p.d.interval())
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if p.d.tty {
				p.d.draw(nil)
			}
			if ctx.Err() != nil {
				return withCode(exitInterrupted, errors.New("interrupted while playing; the node goes on"))
			}
			p.emit(map[string]any{"event": "played", "infohash": p.id})
			if err != nil {
				return fmt.Errorf("%s: %w", player.Name, err)
			}
			return nil
		case <-tick.C:
			if row, err := p.cl.Get(ctx, p.id); err == nil {
				p.progress(&row.Torrent)
			}
		}
	}
}
