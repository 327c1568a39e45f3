package session_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/road"
	"shoal/internal/bt/session"
	"shoal/internal/netx"
)

// tap is a network that keeps what crosses the connections dialled through it.
type tap struct {
	netx.Network
	mu   sync.Mutex
	seen bytes.Buffer
}

type tapped struct {
	net.Conn
	t *tap
}

func (t *tap) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := t.Network.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &tapped{c, t}, nil
}

func (t *tap) keep(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen.Write(b)
}

// shows reports whether bytes crossed the network in the clear.
func (t *tap) shows(b []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.seen.Bytes(), b)
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.t.keep(b[:n])
	return n, err
}

func (c *tapped) Write(b []byte) (int, error) {
	c.t.keep(b)
	return c.Conn.Write(b)
}

// Peers of every policy meet, or do not, and what an eavesdropper sees is what the policy promises.
func TestEncryptionPolicies(t *testing.T) {
	const off, prefer, require = road.NoEncryption, road.PreferEncryption, road.RequireEncryption
	for _, c := range []struct {
		seed, leecher         road.Encryption
		private               bool // addresses of a local network
		meets, hello, payload bool // whether they do, and what can be seen
	}{
		{off, off, false, true, true, true},
		{off, prefer, false, true, true, true},
		{off, require, false, false, false, false},
		{prefer, off, false, true, true, true},
		{prefer, prefer, false, true, false, false},
		{prefer, prefer, true, true, true, true}, // the answer to the handshake is plain
		{prefer, require, true, true, false, false},
		{require, off, false, false, true, false},
		{require, prefer, true, true, false, false},
		{require, require, false, true, false, false},
	} {
		t.Run(fmt.Sprintf("%s to %s, private %v", c.leecher, c.seed, c.private), func(t *testing.T) {
			simulate(t, func(w *world) {
				data := makeContent(t, metainfo.CreateOptions{}, 1<<20)
				at := func(i int) netip.Addr {
					if c.private {
						return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
					}
					return addr(i)
				}
				seed, l := &node{w: w, host: w.net.Host(at(1), dsl)}, &node{w: w, host: w.net.Host(at(2), dsl)}
				w.nodes = append(w.nodes, seed, l)
				wire := &tap{Network: l.host}
				seed.start(func(cfg *session.Config) { cfg.Encryption, cfg.NoUTP = c.seed, true })
				l.start(func(cfg *session.Config) { cfg.Encryption, cfg.NoUTP, cfg.Network = c.leecher, true, wire })
				seed.seed(data)
				tor := l.leech(data, seed)
				if c.meets {
					l.finish(tor, data, time.Minute)
				} else {
					time.Sleep(time.Minute)
					synctest.Wait()
					if n := len(tor.Peers()); n != 0 {
						t.Errorf("%d peers", n)
					}
				}
				if got := wire.shows([]byte("BitTorrent protocol")); got != c.hello {
					t.Errorf("the handshake can be seen: %v", got)
				}
				if got := wire.shows(data.data[0][1000:1100]); got != c.payload {
					t.Errorf("the payload can be seen: %v", got)
				}
			})
		})
	}
}
