package cli

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	qrcode "github.com/skip2/go-qrcode"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/link"
	"shoal/internal/netx"
)

func (a *app) share() *cobra.Command {
	var f networkFlags
	var cf createFlags
	var out, keyFile string
	c := &cobra.Command{
		Use:   "share PATH",
		Short: "Offer a file or folder to others, where it lies, until Ctrl-C",
		Example: `  shoal share ./talk.mp4
  shoal share ./album --tracker udp://tracker.example.org:6969 -o album.torrent
  shoal share ./news --update-key news.key          a link that stays while what it names changes`,
		Args: one("a file or folder"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runShare(c.Context(), &f, &cf, args[0], out, keyFile)
		},
	}
	f.add(c)
	cf.add(c)
	c.Flags().StringVar(&keyFile, "update-key", "", "file with the key of a link that names whatever was shared with it last (BEP 46); made if it is not there")
	c.Flags().StringVarP(&out, "output", "o", "", "also write a .torrent file")
	return c
}

func (a *app) runShare(ctx context.Context, f *networkFlags, cf *createFlags, path, out, keyFile string) error {
	o, err := cf.options()
	if err = errors.Join(err, f.check()); err != nil {
		return usage(err)
	}
	var key ed25519.PrivateKey
	if keyFile != "" {
		if o.Private || f.noDHT {
			return usage(errors.New("--update-key needs the DHT, which --private and --no-dht rule out"))
		}
		if key, err = publisherKey(keyFile); err != nil {
			return err
		}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	t, err := a.makeTorrent(ctx, abs, o)
	if err != nil {
		return err
	}
	if out != "" {
		if err := writeFile(out, t.Encode()); err != nil {
			return err
		}
	}
	spec := session.Spec{Torrent: t, Root: filepath.Dir(abs), ReadOnly: true, Complete: true, Paths: t.Info.OnDisk(filepath.Base(abs))}
	n, err := f.network()
	if err != nil {
		return usage(err)
	}
	publishing, stop := context.WithCancel(ctx)
	var publisher sync.WaitGroup
	defer publisher.Wait()
	defer stop()
	return a.offer(ctx, f, n, spec, 0, func(s *session.Session) {
		a.link(t, s, out)
		if key != nil {
			a.publisherLink(key)
			publisher.Go(func() { a.publish(publishing, s, key, t.Info.Hash) })
		}
	})
}

// link prints how others get what is shared.
func (a *app) link(t *metainfo.Torrent, s *session.Session, out string) {
	var peers []string
	if ap, err := netip.ParseAddrPort(s.Addr().String()); err == nil && !ap.Addr().IsUnspecified() {
		peers = append(peers, ap.String())
	}
	m := magnetOf(t, peers).String()
	a.emit(map[string]any{"event": "sharing", "name": t.Info.Name, "infohash": t.Info.Hash.String(), "infohash_v1": v1(t.Info), "infohash_v2": v2(t.Info),
		"total": t.Info.Layout.DataSize(), "magnet": m, "file": out, "port": s.Port()})
	a.say("%s: %s in %s, kept in place, nothing copied", printable(t.Info.Name), size(t.Info.Layout.DataSize()), files(len(t.Info.Layout.Files)))
	if out != "" {
		a.say("torrent file: %s", out)
	}
	if !a.json {
		a.result("%s", m)
	}
	if file, ok := a.out.(*os.File); ok && !a.json && !a.quiet && term.IsTerminal(int(file.Fd())) {
		if q, err := qrcode.New(m, qrcode.Low); err == nil {
			io.WriteString(a.out, q.ToSmallString(false))
		}
	}
	a.say("peers reach you at port %d; Ctrl-C stops", s.Port())
	if len(t.Announce) == 0 && len(peers) == 0 && (s.DHT() == nil || t.Info.Private) {
		a.say("no tracker is named: tell others your address, for: shoal get LINK --peer YOUR-ADDRESS:%d", s.Port())
	}
}

func (a *app) seed() *cobra.Command {
	var f networkFlags
	var dir string
	var recheck bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "seed FILE|MAGNET",
		Short: "Verify what is on disk and seed it until Ctrl-C",
		Example: `  shoal seed album.torrent --dir ~/music
  shoal seed 'magnet:?xt=urn:btih:…' --dir ~/music`,
		Args: one("a .torrent file or a magnet link"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runSeed(c.Context(), &f, args[0], dir, recheck, timeout)
		},
	}
	f.add(c)
	f.addTrackers(c)
	c.Flags().StringVar(&dir, "dir", ".", "folder that holds the content, as --output of get")
	c.Flags().BoolVar(&recheck, "recheck", false, "hash everything even if the journal vouches for it")
	c.Flags().DurationVar(&timeout, "timeout", 0, "give up if no metadata has come for so long")
	return c
}

func (a *app) runSeed(ctx context.Context, f *networkFlags, text, dir string, recheck bool, timeout time.Duration) error {
	if err := f.check(); err != nil {
		return err
	}
	n, err := f.network()
	if err != nil {
		return usage(err)
	}
	l, err := openLink(ctx, text, f.httpClient(n))
	if err != nil {
		return err
	}
	spec := l.Spec()
	spec.Root, spec.ReadOnly, spec.ShareOnly, spec.Recheck = dir, true, true, recheck
	var more []string
	if l.Magnet != nil {
		more = l.Magnet.Peers
	}
	if spec.Peers, err = f.addresses(ctx, a, n, more); err != nil {
		return err
	}
	return a.offer(ctx, f, n, spec, timeout, nil)
}

// offer seeds until Ctrl-C, or until no metadata has come within timeout, if that is not 0. begun is called once the
// engine listens.
func (a *app) offer(ctx context.Context, f *networkFlags, n netx.Network, spec session.Spec, timeout time.Duration, begun func(*session.Session)) error {
	f.apply(&spec)
	s, err := f.session(a, n)
	if err != nil {
		return err
	}
	t, err := s.Add(spec)
	if err == nil {
		if begun != nil {
			begun(s)
		}
		err = a.watch(ctx, s, &item{link: linkOf(&spec), t: t}, timeout)
	}
	return errors.Join(err, closeSession(s))
}

func linkOf(spec *session.Spec) *link.Link {
	l := &link.Link{Torrent: spec.Torrent}
	if l.Torrent == nil {
		l.Magnet = magnetOfHash(spec.InfoHash)
	}
	return l
}

// watch shows a seed's life until the person has enough.
func (a *app) watch(ctx context.Context, s *session.Session, it *item, timeout time.Duration) error {
	d := a.display()
	tick := time.NewTicker(d.interval())
	defer tick.Stop()
	settled := it.t.Settled()
	for {
		select {
		case <-ctx.Done():
			if d.tty {
				d.draw(nil)
			}
			a.say("stopped; %s were sent", size(it.t.Uploaded()))
			return nil
		case <-settled:
			settled = nil
			if err := a.settled(it, s); err != nil {
				return err
			}
		case <-tick.C:
			if err := overdue(it, timeout); err != nil {
				return err
			}
			d.show([]*item{it})
		}
	}
}

// settled says what was found on disk.
func (a *app) settled(it *item, s *session.Session) error {
	st := it.t.Status()
	info := it.t.Info()
	switch {
	case st.Phase == torrent.Failed:
		return fmt.Errorf("%s: %w", nameOf(it.link), st.Problem)
	case st.Swarm.Have == 0:
		return withCode(exitUnsound, fmt.Errorf("%s: nothing sound was found; name the folder that holds it with --dir", printable(info.Name)))
	case st.Swarm.Have < st.Swarm.Pieces:
		a.warn("%s: %d of %d pieces are sound and will be seeded; fetch the rest with: shoal get", printable(info.Name), st.Swarm.Have, st.Swarm.Pieces)
	}
	a.emit(map[string]any{"event": "seeding", "infohash": info.Hash.String(), "name": info.Name, "total": st.Total, "pieces": st.Swarm.Pieces,
		"sound_pieces": st.Swarm.Have, "port": s.Port(), "address": addressOf(s)})
	a.say("%s: verified, seeding %s at port %d; Ctrl-C stops", printable(info.Name), size(info.Layout.DataSize()), s.Port())
	return nil
}

func addressOf(s *session.Session) string {
	if a, ok := s.Addr().(*net.TCPAddr); ok {
		return a.String()
	}
	return ""
}
