package torrent

import (
	"context"
	"time"

	"shoal/internal/bt/swarm"
	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// finder is a way of finding peers, as the torrent uses it.
type finder struct {
	discovery.Finder
	public bool // not for private torrents (BEP 27)
	asking bool // it is at work, or waits for its turn; the loop's own
	stop   context.CancelFunc

	dropped bool // it is not to be used any more; the loop's own
}

// withdrawTime bounds the goodbye to trackers.
const withdrawTime = 8 * time.Second

// setFinders takes those of the configuration.
func (t *Torrent) setFinders() {
	list := make([]*finder, 0, len(t.cfg.Finders)+len(t.cfg.Public))
	for _, f := range t.cfg.Finders {
		list = append(list, &finder{Finder: f})
	}
	if !t.cfg.Swarm.Private {
		for _, f := range t.cfg.Public {
			list = append(list, &finder{Finder: f, public: true})
		}
	}
	t.finders.Store(&list)
	t.cfg.Finders, t.cfg.Public = nil, nil
}

// dropPublic forgets the finders that a private torrent must not use, and has them forget the torrent.
func (t *Torrent) dropPublic() {
	var kept []*finder
	for _, f := range *t.finders.Load() {
		if !f.public {
			kept = append(kept, f)
			continue
		}
		f.dropped = true
		if f.stop != nil { // it is at work, and is withdrawn when it has ended
			f.stop()
		} else {
			f.Withdraw(t.context(), finderView{t})
		}
	}
	t.finders.Store(&kept)
}

// find has the finders look for peers from now on. It waits until it is known what is on disk, unless peers are needed to learn
// even what the content is: a tracker must not take a seed for a leecher until the next announce.
func (t *Torrent) find() {
	t.finding = true
	t.tickFinders()
}

// tickFinders has the finders that are due announce, as soon as the gate lets them.
func (t *Torrent) tickFinders() {
	now := time.Now()
	for _, f := range *t.finders.Load() {
		if at, ok := f.Next(); ok && t.finding && !f.asking && !at.After(now) {
			f.asking = true
			t.enter(t.announceGate(), func(leave func()) { t.announce(f, leave) })
		}
	}
}

// asking reports whether any finder is at work.
func (t *Torrent) asking() bool {
	for _, f := range *t.finders.Load() {
		if f.asking {
			return true
		}
	}
	return false
}

func (t *Torrent) announceGate() *Gate {
	if t.phase == Seeding {
		return t.cfg.Seeding
	}
	return t.cfg.Seeking
}

// announce has a finder ask, and leaves the gate when it is done.
func (t *Torrent) announce(f *finder, leave func()) {
	if f.dropped { // while it waited for its turn
		leave()
		f.asking = false
		return
	}
	var ctx context.Context
	ctx, f.stop = context.WithCancel(t.context())
	t.goes(func() {
		f.Announce(ctx, finderView{t}, func(p []discovery.Peer) {
			if ctx.Err() == nil {
				t.box.Post(swarm.Event{Kind: swarm.Found, Arg: p})
			}
		})
		leave()
		t.do(func() {
			f.stop()
			f.asking, f.stop = false, nil
			if f.dropped {
				f.Withdraw(t.context(), finderView{t})
			}
			t.tickFinders()
		})
	})
}

// withdraw says goodbye through every finder.
func (t *Torrent) withdraw() {
	ctx, cancel := context.WithTimeout(context.Background(), withdrawTime)
	defer cancel()
	for _, f := range *t.finders.Load() {
		t.goes(func() {
			if g := t.announceGate(); g.Wait(ctx) {
				defer g.Leave()
				f.Withdraw(ctx, finderView{t})
			}
		})
	}
	t.wg.Wait()
}

// port returns the port where others reach us, 0 if nowhere.
func (t *Torrent) port() uint16 {
	if t.cfg.Apart {
		return 0
	}
	if p := t.cfg.External.Load(); p != 0 {
		return uint16(p)
	}
	return t.cfg.Port
}

// finderView is the torrent as finders see it.
type finderView struct{ t *Torrent }

func (v finderView) InfoHash() ident.InfoHash { return *v.t.infoHash.Load() }
func (v finderView) PeerID() ident.PeerID     { return v.t.cfg.PeerID }
func (v finderView) Port() uint16             { return v.t.port() }
func (v finderView) WantPeers() int           { return int(v.t.want.Load()) }
func (v finderView) Progress() discovery.Progress {
	p := &v.t.progress
	return discovery.Progress{Uploaded: p[0].Load(), Downloaded: p[1].Load(), Left: p[2].Load()}
}
