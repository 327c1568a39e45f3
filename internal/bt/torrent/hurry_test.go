package torrent

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"shoal/internal/bt/swarm"
	"shoal/internal/discovery"
)

// hurried counts how often it was asked to look again.
type hurried struct{ n atomic.Int32 }

func (h *hurried) Next() (time.Time, bool)                                             { return time.Time{}, false }
func (h *hurried) Announce(context.Context, discovery.Torrent, func([]discovery.Peer)) {}
func (h *hurried) Hurry()                                                              { h.n.Add(1) }
func (h *hurried) Completed()                                                          {}
func (h *hurried) Withdraw(context.Context, discovery.Torrent)                         {}
func (h *hurried) Status() []discovery.Status                                          { return nil }

func TestFindersAreHurriedWhenNobodyIsLeft(t *testing.T) {
	h := &hurried{}
	tor := &Torrent{cfg: Config{Finders: []discovery.Finder{h}}, sw: swarm.New(swarm.Config{}), phase: Downloading, finding: true}
	tor.setFinders()
	tor.hurry()
	if h.n.Load() != 1 {
		t.Fatal("nobody is left, and the finder was not asked")
	}
	tor.sw.Step(0, swarm.Event{Kind: swarm.Found, Arg: []discovery.Peer{{Addr: netip.MustParseAddrPort("10.0.0.1:1")}}})
	tor.hurry()
	tor.phase = Seeding
	tor.hurry()
	if n := h.n.Load(); n != 1 {
		t.Fatalf("asked %d times, though there was somebody to dial or nothing to fetch", n)
	}
}
