package stream

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/layout"
	"shoal/internal/simnet"
	"shoal/internal/storage"
)

// world is a simulated network with sessions on it, in a bubble of virtual time.
type world struct {
	*testing.T
	net   *simnet.Net
	nodes []*node
	hosts int
}

// node is a session on a host of its own.
type node struct {
	*session.Session
	host *simnet.Host
	disk *films
}

func simulate(t *testing.T, seed uint64, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: simnet.New(seed)}
		defer func() {
			for _, n := range w.nodes {
				n.leave(t)
			}
		}()
		test(w)
	})
}

func (n *node) leave(t *testing.T) {
	if n.Session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Errorf("closing %v: %v", n.host.Addr(), err)
	}
	synctest.Wait()
	if now, _, _ := n.Memory(); now != 0 {
		t.Errorf("%v still holds %d bytes of payload after its end", n.host.Addr(), now)
	}
	n.Session = nil
}

func (w *world) node(link simnet.Link, set ...func(*session.Config)) *node {
	w.Helper()
	w.hosts++
	h := w.net.Host(netip.AddrFrom4([4]byte{20, 0, byte(w.hosts), byte(7 + 11*w.hosts)}), link)
	n := &node{host: h, disk: &films{}}
	n.start(w.T, set...)
	w.nodes = append(w.nodes, n)
	return n
}

func (n *node) start(t *testing.T, set ...func(*session.Config)) {
	cfg := session.Config{Network: n.host, Listen: ":6881", NoUTP: true, Store: func(*block.Pool) storage.Store { return n.disk }}
	for _, f := range set {
		f(&cfg)
	}
	s, err := session.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.Session = s
}

func (n *node) at() netip.AddrPort { return netip.AddrPortFrom(n.host.Addr(), 6881) }

func (w *world) add(n *node, spec session.Spec) *torrent.Torrent {
	w.Helper()
	spec.Root, spec.NoTrackers = "/d", true
	t, err := n.Add(spec)
	if err != nil {
		w.Fatal(err)
	}
	return t
}

func (w *world) seed(n *node, f *metainfo.Torrent, slots int) *torrent.Torrent {
	return w.add(n, session.Spec{Torrent: f, Complete: true, NoSuper: true, Slots: slots})
}

// film makes the torrent of made-up files of so many bytes. The hashes of a large one are zero, for films does not ask for them.
func film(t testing.TB, pieceLength int64, lengths ...int64) *metainfo.Torrent {
	var size int64
	var files strings.Builder
	for i, n := range lengths {
		name := fmt.Sprintf("film%d.mkv", i)
		fmt.Fprintf(&files, "d6:lengthi%de4:pathl%d:%see", n, len(name), name)
		size += n
	}
	pieces := strings.Repeat("\x00", 20*int((size+pieceLength-1)/pieceLength))
	if size < 256<<20 {
		pieces = ""
		for off := int64(0); off < size; off += pieceLength {
			p := make([]byte, min(pieceLength, size-off))
			fill(p, off)
			h := sha1.Sum(p)
			pieces += string(h[:])
		}
	}
	tor, err := metainfo.Parse([]byte(fmt.Sprintf("d4:infod5:filesl%se4:name5:films12:piece lengthi%de6:pieces%d:%see", files.String(), pieceLength, len(pieces), pieces)))
	if err != nil {
		t.Fatal(err)
	}
	return tor
}

// films is a store of made-up content, which takes no memory: each block is its number and then always the same. It accepts what is right.
type films struct{}

func (*films) Close() error { return nil }

func (*films) Open(spec storage.Spec) (storage.Handle, error) {
	n := spec.Layout.Pieces()
	return &filmHandle{spec: spec, l: spec.Layout, sound: bitfield.New(n), got: map[int]int{}}, nil
}

type filmHandle struct {
	spec storage.Spec
	l    *layout.Layout

	mu     sync.Mutex
	sound  bitfield.Set
	got    map[int]int // by piece: bytes
	skip   map[int]bool
	wrong  error
	closed bool
}

// stuff is what every block is made of.
var stuff = func() (b [block.Size]byte) {
	rand.NewChaCha8([32]byte{1}).Read(b[:])
	return b
}()

// fill makes content from off.
func fill(p []byte, off int64) {
	for n := 0; n < len(p); {
		at := off + int64(n)
		in := int(at % block.Size)
		b := stuff
		binary.BigEndian.PutUint64(b[:], uint64(at/block.Size))
		n += copy(p[n:], b[in:])
	}
}

// right reports whether p is the content at off.
func right(p []byte, off int64) bool {
	want := make([]byte, len(p))
	fill(want, off)
	return string(p) == string(want)
}

func (h *filmHandle) Sound() bitfield.Set   { return h.sound.Clone() }
func (h *filmHandle) Present() bitfield.Set { return bitfield.New(h.l.Pieces()) }

func (h *filmHandle) Write(piece, begin int, b *block.Block) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := b.Bytes()
	if binary.BigEndian.Uint64(p) != uint64((h.l.PieceOffset(piece)+int64(begin))/block.Size) {
		h.wrong = fmt.Errorf("piece %d+%d is not what it should be", piece, begin)
	}
	h.got[piece] += len(p)
	b.Release()
}

func (h *filmHandle) Verify(piece int, _ bool) {
	h.mu.Lock()
	good := h.wrong == nil && h.got[piece] == h.l.PieceLen(piece)
	delete(h.got, piece)
	err := h.wrong
	h.mu.Unlock()
	h.spec.Done(storage.Result{Piece: piece, Good: good, Err: err})
}

func (h *filmHandle) ReadAt(p []byte, off int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return storage.ErrClosed
	}
	fill(p, off)
	return nil
}

func (h *filmHandle) SetSkip(file int, skip bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.skip == nil {
		h.skip = map[int]bool{}
	}
	h.skip[file] = skip
	return nil
}

func (h *filmHandle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return nil
}

func (h *filmHandle) Discard(piece int)            { h.mu.Lock(); delete(h.got, piece); h.mu.Unlock() }
func (h *filmHandle) Recheck([]int)                {}
func (h *filmHandle) Room() (int64, string, error) { return 1 << 50, "nowhere", nil }
func (h *filmHandle) Relocate(string) error        { return errors.ErrUnsupported }
func (h *filmHandle) Rename(int, string) error     { return errors.ErrUnsupported }
func (h *filmHandle) Flush() error                 { return nil }
func (h *filmHandle) Remove() error                { return nil }
