package session_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/layout"
	"shoal/internal/simnet"
	"shoal/internal/storage"
)

const root = "/d" // where everybody keeps content

// world is a simulated network with sessions on it. Everything in it ends with the test.
type world struct {
	*testing.T
	net   *simnet.Net
	nodes []*node
	hosts int
}

// node is a session on a host of its own.
type node struct {
	w    *world
	host *simnet.Host
	*session.Session
	disk *storage.Memory
}

// simulate runs a test in a bubble of virtual time, with a new world.
func simulate(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: simnet.New(1)}
		defer w.close()
		test(w)
	})
}

// close ends every session and checks that nothing is left of it.
func (w *world) close() {
	for _, n := range w.nodes {
		n.close()
	}
}

func (n *node) close() {
	if n.Session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		n.w.Errorf("closing %v: %v", n.host.Addr(), err)
	}
	synctest.Wait()
	if now, _, _ := n.Memory(); now != 0 {
		n.w.Errorf("%v still holds %d bytes of payload after its end", n.host.Addr(), now)
	}
	n.Session = nil
}

// addr returns the address of the i-th host, one that looks public.
func addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), byte(7 + 11*i)})
}

func (w *world) host(link simnet.Link) *simnet.Host {
	w.hosts++
	return w.net.Host(addr(w.hosts), link)
}

// node starts a session on a new host.
func (w *world) node(link simnet.Link, set ...func(*session.Config)) *node {
	w.Helper()
	n := &node{w: w, host: w.host(link)}
	n.start(set...)
	w.nodes = append(w.nodes, n)
	return n
}

// start starts a session on the node's host and disk.
func (n *node) start(set ...func(*session.Config)) {
	n.w.Helper()
	cfg := session.Config{Network: n.host, Listen: ":6881", Client: "shoal test", Store: func(p *block.Pool) storage.Store {
		if n.disk == nil {
			n.disk = storage.NewMemory(p)
		} else {
			n.disk = n.disk.Restart(p)
		}
		return n.disk
	}}
	for _, f := range set {
		f(&cfg)
	}
	s, err := session.New(cfg)
	if err != nil {
		n.w.Fatal(err)
	}
	n.Session = s
}

// at is where a node listens.
func (n *node) at() netip.AddrPort { return netip.AddrPortFrom(n.host.Addr(), 6881) }

func (n *node) add(spec session.Spec) *torrent.Torrent {
	n.w.Helper()
	if spec.Root == "" {
		spec.Root = root
	}
	t, err := n.Add(spec)
	if err != nil {
		n.w.Fatal(err)
	}
	return t
}

// seed has a node share content that lies on its disk.
func (n *node) seed(c *content, spec ...session.Spec) *torrent.Torrent {
	n.w.Helper()
	n.store(c)
	s := session.Spec{NoSuper: true}
	if len(spec) > 0 {
		s = spec[0]
	}
	s.Torrent, s.Complete = c.torrent, true
	return n.add(s)
}

// store puts content on a node's disk.
func (n *node) store(c *content) {
	for i, b := range c.data {
		n.disk.Put(filepath.Join(root, c.torrent.Info.Layout.Files[i].Path), b)
	}
}

// leech has a node fetch content from others.
func (n *node) leech(c *content, from ...*node) *torrent.Torrent {
	n.w.Helper()
	return n.add(session.Spec{Torrent: c.torrent, Peers: addrs(from...)})
}

func addrs(nodes ...*node) (out []netip.AddrPort) {
	for _, n := range nodes {
		out = append(out, n.at())
	}
	return out
}

// finish waits until a torrent is finished, for at most so long in virtual time, and checks what is on disk.
func (n *node) finish(t *torrent.Torrent, c *content, limit time.Duration) {
	n.w.Helper()
	select {
	case <-t.Finished():
	case <-time.After(limit):
		st := t.Status()
		n.w.Fatalf("%v is not finished after %v: %s, %d of %d bytes, %+v, reason %q", n.host.Addr(), limit, st.Phase, st.Done, st.Total, st.Swarm, st.Reason(nil))
	}
	n.check(c)
}

// check compares what is on a node's disk with the content.
func (n *node) check(c *content) {
	n.w.Helper()
	for i, want := range c.data {
		name := c.torrent.Info.Layout.Files[i].Path
		if got, _ := n.disk.Get(filepath.Join(root, name)); !bytes.Equal(got, want) {
			n.w.Errorf("%v: %s differs: it has %d bytes, of %d", n.host.Addr(), name, len(got), len(want))
		}
	}
}

// until waits for a condition, for at most so long in virtual time.
func (w *world) until(what string, limit time.Duration, ok func() bool) {
	w.Helper()
	for begun := time.Now(); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > limit {
			w.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// content is a torrent and its bytes, by file of its layout.
type content struct {
	torrent *metainfo.Torrent
	data    [][]byte
}

// makeContent makes files of the given lengths, a single one or a folder.
func makeContent(t testing.TB, opts metainfo.CreateOptions, lengths ...int) *content {
	t.Helper()
	rng := rand.NewChaCha8([32]byte{byte(len(lengths)), byte(opts.Version)})
	var files []layout.File
	bytesOf := map[string][]byte{}
	opts.Name = "content"
	for i, n := range lengths {
		b := make([]byte, n)
		rng.Read(b)
		path := ""
		if len(lengths) > 1 {
			path = fmt.Sprintf("file%02d", i)
		}
		files = append(files, layout.File{Path: path, Length: int64(n)})
		bytesOf[path] = b
	}
	if opts.PieceLength == 0 {
		opts.PieceLength = 32 << 10
	}
	b, err := metainfo.NewBuilder(files, opts)
	if err != nil {
		t.Fatal(err)
	}
	lay, sum := b.Layout(), b.NewSum()
	for p := range lay.Pieces() {
		sum.Reset(p, -1)
		lay.Spans(lay.PieceOffset(p), int64(lay.DataLen(p)), func(s layout.Span) bool {
			if s.File < 0 {
				sum.Write(make([]byte, s.Length), nil)
			} else {
				sum.Write(bytesOf[lay.Files[s.File].Path][s.Offset:][:s.Length], nil)
			}
			return true
		})
		if err := sum.Done(); err != nil {
			t.Fatal(err)
		}
	}
	tor, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	c := &content{torrent: tor}
	for _, f := range tor.Info.Layout.Files {
		path := ""
		if len(lengths) > 1 {
			path = filepath.Base(f.Path)
		}
		c.data = append(c.data, bytesOf[path])
	}
	return c
}

// dsl is a link of 1 MB/s, 50 ms from the core.
var dsl = simnet.Link{Up: 1 << 20, Down: 1 << 20, Latency: 25 * time.Millisecond}
