package road

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/bt/peer"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
)

// way is a way to connect that takes a while and then stands, or fails.
func way(after time.Duration, fails error, began, closed *atomic.Int32) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		began.Add(1)
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if fails != nil {
			return nil, fails
		}
		a, b := net.Pipe()
		go func() {
			b.Read(make([]byte, 1))
			closed.Add(1)
			b.Close()
		}()
		return a, nil
	}
}

func TestRace(t *testing.T) {
	broken, worse := errors.New("broken"), errors.New("worse")
	for name, c := range map[string]struct {
		first, second  time.Duration
		fails, fails2  error
		took           time.Duration
		err            error
		triesTheSecond bool
	}{
		"the first in time":              {first: 100 * time.Millisecond, second: time.Hour, took: 100 * time.Millisecond},
		"the first, though late":         {first: 500 * time.Millisecond, second: time.Hour, took: 500 * time.Millisecond, triesTheSecond: true},
		"the second overtakes":           {first: time.Hour, second: 100 * time.Millisecond, took: headStart + 100*time.Millisecond, triesTheSecond: true},
		"the first fails at once":        {fails: broken, second: 100 * time.Millisecond, took: 100 * time.Millisecond, triesTheSecond: true},
		"both fail":                      {first: time.Second, fails: broken, second: time.Second, fails2: worse, took: headStart + time.Second, err: broken, triesTheSecond: true},
		"the second fails, then a first": {first: time.Second, second: 100 * time.Millisecond, fails2: worse, took: time.Second, triesTheSecond: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var began, closed atomic.Int32
				start := time.Now()
				conn, err := race(context.Background(), way(c.first, c.fails, &began, &closed), way(c.second, c.fails2, &began, &closed))
				if took := time.Since(start); took != c.took || !errors.Is(err, c.err) || (conn != nil) != (c.err == nil) {
					t.Errorf("%v, %v after %v", conn, err, took)
				}
				if (began.Load() == 2) != c.triesTheSecond {
					t.Errorf("%d ways were tried", began.Load())
				}
				if conn != nil {
					conn.Close()
				}
				synctest.Wait()
			})
		})
	}
}

// Of two connections that stand at the same moment one is closed.
func TestRaceClosesTheLoser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began, closed atomic.Int32
		conn, err := race(context.Background(), way(headStart+time.Second, nil, &began, &closed), way(time.Second, nil, &began, &closed))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		conn.Close()
		synctest.Wait()
		if began.Load() != 2 || closed.Load() == 0 {
			t.Errorf("%d tried, %d closed", began.Load(), closed.Load())
		}
	})
}

func TestDialHasLimits(t *testing.T) {
	full := false
	p := &Policy{Encryption: NoEncryption, Slots: make(chan struct{}, 1), Full: func() bool { return full }}
	r := &Roads{Policy: p}
	dial := func() error {
		_, _, err := r.Dial(t.Context(), swarm.Candidate{Addr: netip.MustParseAddrPort("192.0.2.1:1")}, wire.Handshake{}, ident.V1{})
		return err
	}
	p.Slots <- struct{}{}
	if err := dial(); !errors.Is(err, peer.ErrNoSlot) {
		t.Errorf("without a slot: %v", err)
	}
	<-p.Slots
	full = true
	if err := dial(); !errors.Is(err, peer.ErrNoSlot) {
		t.Errorf("with too many connections: %v", err)
	}
}

func TestManners(t *testing.T) {
	a := netip.MustParseAddrPort("192.0.2.1:1")
	for policy, want := range map[Encryption][]manner{NoEncryption: {plain}, RequireEncryption: {encrypted}, PreferEncryption: {encrypted, plain}} {
		p := &Policy{Encryption: policy}
		if got := p.manners(a); len(got) != len(want) || got[0] != want[0] {
			t.Errorf("%s: %v", policy, got)
		}
		p.met(a, plain)
		if got := p.manners(a); policy == PreferEncryption && got[0] != plain {
			t.Errorf("who did not know encryption is tried with it first: %v", got)
		}
		p.met(a, encrypted)
		if got := p.manners(a); got[0] != want[0] {
			t.Errorf("%s, later: %v", policy, got)
		}
	}
	p := &Policy{Encryption: PreferEncryption}
	for i := range 3 * maxAcquaintances {
		p.met(netip.AddrPortFrom(a.Addr(), uint16(i)), plain)
	}
	if n := len(p.plainOnly); n > maxAcquaintances {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestParseEncryption(t *testing.T) {
	for _, name := range []string{"off", "prefer", "require"} {
		if e, err := ParseEncryption(name); err != nil || string(e) != name {
			t.Errorf("%s: %q, %v", name, e, err)
		}
	}
	if e, err := ParseEncryption("on"); err == nil {
		t.Errorf("%q", e)
	}
}
