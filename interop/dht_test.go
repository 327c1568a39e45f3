//go:build linux

package interop

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"shoal/internal/dht"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/netx"
)

// dhtNodes is how many nodes of ours make a network: Transmission announces nothing before it knows nine.
const dhtNodes = 14

// startNodes runs nodes at one address, at ports above that of peers. They know only one another.
func startNodes(t *testing.T, ip string) (nodes []*dht.Node, addrs []string) {
	t.Helper()
	host := netx.NewHost(netx.Options{Bind: netip.MustParseAddr(ip)})
	for i := range dhtNodes {
		conn, err := host.ListenPacket(t.Context(), "udp4", fmt.Sprintf("%s:%d", ip, peerPort+1+i))
		must(t, err)
		mux := netx.NewMux(conn)
		n, err := dht.New(dht.Config{IPv4: true, Send: mux.WriteTo})
		must(t, err)
		mux.Handle(func([]byte) bool { return true }, func(packets []netx.Packet) {
			for i := range packets {
				for b := range packets[i].Datagrams {
					n.Receive(b, packets[i].Addr)
				}
			}
		})
		mux.Start()
		t.Cleanup(func() {
			n.Close()
			mux.Close()
		})
		if i > 0 {
			n.AddNode(netip.MustParseAddrPort(addrs[0]))
		}
		nodes, addrs = append(nodes, n), append(addrs, mux.LocalAddr().String())
	}
	return nodes, addrs
}

// shared is a torrent as our finder sees it: one that listens at peerPort.
type shared struct{ hash ident.InfoHash }

func (s shared) InfoHash() ident.InfoHash     { return s.hash }
func (s shared) PeerID() ident.PeerID         { return ident.PeerID{} }
func (s shared) Port() uint16                 { return peerPort }
func (s shared) Progress() discovery.Progress { return discovery.Progress{} }
func (s shared) WantPeers() int               { return 50 }

// network runs nodes of ours, each of which knows nearly all others.
func network(t *testing.T, ip string) (nodes []*dht.Node, addrs []string) {
	t.Helper()
	nodes, addrs = startNodes(t, ip)
	waitFor(t, "our nodes know one another", nil, func() (bool, error) {
		s := nodes[dhtNodes-1].Status()
		return s.Families[0].Nodes >= dhtNodes-3, fmt.Errorf("%+v", s)
	})
	return nodes, addrs
}

// A client that has only a magnet link and the addresses of our nodes finds a peer that one of them has announced.
func TestClientsFindOurPeers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"libtorrent", "transmission"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), t.TempDir()
			path := edges.make(t, from)
			seeder := newLibtorrent(t, options{}) // of the address of our nodes; it takes no part in the DHT
			made := seeder.create(t, path, "v1", nil, nil)
			must(t, seeder.add(made.file, from))
			waitComplete(t, "the seeder has checked its data", seeder, seeder.process)
			nodes, addrs := network(t, seeder.ip)
			hash, err := ident.ParseV1(made.V1)
			must(t, err)
			nodes[1].Finder().Announce(t.Context(), shared{ident.InfoHash{V1: hash}}, func([]discovery.Peer) {})

			leecher := starters[name](t, options{DHT: addrs})
			must(t, leecher.add(made.Magnet, to))
			waitComplete(t, "the leecher has found and fetched everything", leecher, running(leecher))
			leecher.stop()
			sameFrom(t, name, path, filepath.Join(to, edges.name))
		})
	}
}

// A node of ours finds a client that knows only our nodes.
func TestWeFindClients(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"libtorrent", "transmission"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := t.TempDir()
			made := newLibtorrent(t, options{}).create(t, edges.make(t, from), "v1", nil, nil)
			nodes, addrs := network(t, newIP())
			seeder := starters[name](t, options{DHT: addrs})
			must(t, seeder.add(made.file, from))
			waitComplete(t, "the seeder has checked its data", seeder, running(seeder))
			hash, err := ident.ParseV1(made.V1)
			must(t, err)
			client := netip.MustParseAddrPort(seeder.addr())
			waitFor(t, "our node finds the client", running(seeder), func() (found bool, err error) {
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				err = nodes[dhtNodes-1].Peers(ctx, hash, func(p []netip.AddrPort) { found = found || slices.Contains(p, client) })
				return found, err
			})
		})
	}
}

// Items that libtorrent has stored we read, and the other way round (BEP 44).
func TestRealItems(t *testing.T) {
	t.Parallel()
	nodes, addrs := network(t, newIP())
	lt := newLibtorrent(t, options{DHT: addrs})
	ctx := t.Context()

	target, copies, err := nodes[2].PutImmutable(ctx, []byte("9:from here"))
	if err != nil || copies < 8 {
		t.Fatalf("%d copies, %v", copies, err)
	}
	reads := func(want, verb string, arguments map[string]any) {
		t.Helper()
		waitFor(t, "libtorrent reads "+want, lt.process, func() (bool, error) {
			var got struct{ Value string }
			err := lt.do(verb, arguments, &got)
			return got.Value == want, fmt.Errorf("%q, %v", got.Value, err)
		})
	}
	reads("from here", "get", map[string]any{"target": target.String()})
	var put struct{ Target string }
	must(t, lt.do("put", map[string]any{"value": "from there"}, &put))
	target, err = ident.ParseV1(put.Target)
	must(t, err)
	waitFor(t, "libtorrent's item", lt.process, func() (bool, error) {
		b, err := nodes[9].GetImmutable(ctx, target)
		return string(b) == "10:from there", err
	})

	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	item, err := dht.NewItem(private, []byte("salt"), 3, []byte("1:a"))
	must(t, err)
	_, err = nodes[4].PutMutable(ctx, item, -1)
	must(t, err)
	reads("a", "get_mutable", map[string]any{"public": hex.EncodeToString(public), "salt": "salt"})
	// libtorrent wants the key as RFC 8032 has it expanded, and puts the number after the highest that it finds.
	expanded := sha512.Sum512(seed)
	expanded[0] &= 248
	expanded[31] = expanded[31]&63 | 64
	must(t, lt.do("put_mutable", map[string]any{"private": hex.EncodeToString(expanded[:]), "public": hex.EncodeToString(public),
		"value": "b", "salt": "salt"}, &struct{}{}))
	waitFor(t, "libtorrent's mutable item", lt.process, func() (bool, error) {
		i, err := nodes[11].GetMutable(ctx, public, []byte("salt"))
		return string(i.Value) == "1:b" && i.Seq == 4, fmt.Errorf("%q, %d, %v", i.Value, i.Seq, err)
	})
}
