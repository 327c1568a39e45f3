package session

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/road"
	"shoal/internal/bt/torrent"
	"shoal/internal/bt/tracker"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/netx"
)

// Spec says which torrent to add and how to treat it. Torrent or InfoHash is needed.
type Spec struct {
	Torrent   *metainfo.Torrent
	InfoHash  ident.InfoHash // of a magnet link
	Trackers  [][]string     // beside those of Torrent
	WebSeeds  []string
	HTTPSeeds []string
	Peers     []netip.AddrPort

	Root        string                                 // the download folder
	Select      func(*metainfo.Info) []bool            // by file: wanted; nil: all
	Learned     func(*metainfo.Info, *metainfo.Hashes) // called once the info is known
	ReadOnly    bool                                   // never write or create files
	Preallocate bool
	Recheck     bool           // trust no journal
	Complete    bool           // all data was hashed this moment: check nothing, begin with everything
	ShareOnly   bool           // ask for nothing, only serve
	Paths       map[int]string // by file: its path below Root, where content lies under other names than the safe ones
	Sequential  bool
	Offline     bool // no peers: to check, move or remove what is on disk
	Adjustable  bool // its limits and trackers may be changed later
	Transient   bool // the store gives pieces up to make room (storage.Cache): nothing is wanted but what is read

	Network     netx.Network // its own way out, over TCP alone: nobody reaches it at the session's port; nil: that of the session
	NoTrackers  bool         // ask no tracker
	AllTrackers bool         // announce to all at once, not tier by tier
	Down, Up    int64        // bytes/s for this torrent; 0: unlimited
	MaxPeers    int          // 0: 200
	Slots       int          // unchoked peers; 0: by upload rate
	NoSuper     bool         // do not super-seed while we are the only seed
}

// apart reports whether the torrent is not to be found at the session's port.
func (spec *Spec) apart() bool { return spec.Network != nil || spec.Offline }

func (spec *Spec) private() bool { return spec.Torrent != nil && spec.Torrent.Info.Private }

// configure turns a Spec into what a torrent needs. A magnet link whose metadata was fetched before finds it in the state folder.
func (s *Session) configure(spec *Spec) (*torrent.Config, *way, error) {
	if spec.Torrent == nil && spec.InfoHash.IsZero() {
		return nil, nil, errors.New("session: neither torrent nor infohash given")
	}
	if spec.Torrent == nil {
		spec.Torrent = s.Recall(spec.InfoHash)
	}
	hash := spec.InfoHash
	cfg := &torrent.Config{
		Shared: &s.shared, Start: &torrent.Start{Paths: spec.Paths, Select: spec.Select},
		Root: spec.Root, ReadOnly: spec.ReadOnly, Preallocate: spec.Preallocate, Recheck: spec.Recheck,
		Complete: spec.Complete, Sequential: spec.Sequential,
		WebSeeds: spec.WebSeeds, HTTPSeeds: spec.HTTPSeeds,
	}
	tiers := spec.Trackers
	if t := spec.Torrent; t != nil {
		hash = t.Info.Hash
		cfg.Info, cfg.Layers = t.Info, t.PieceLayers
		tiers = append(append([][]string{}, t.Announce...), tiers...)
		cfg.WebSeeds = append(append([]string{}, t.WebSeeds...), cfg.WebSeeds...)
		cfg.HTTPSeeds = append(append([]string{}, t.HTTPSeeds...), cfg.HTTPSeeds...)
	}
	cfg.InfoHash = hash
	cfg.Journal = s.statePath(hash.Key(), ".journal")
	cfg.Learned = s.learned(spec, tiers)
	for _, p := range spec.Peers {
		cfg.Peers = append(cfg.Peers, discovery.Peer{Addr: p, Source: discovery.Static})
	}
	cfg.PeerID = s.newID()
	cfg.Swarm = s.swarmConfig(spec, cfg.PeerID)
	w := s.wayOf(spec, hash)
	cfg.Dial, cfg.Client, cfg.Apart = w.Dial, w.client, spec.apart()
	s.addFinders(cfg, spec, w, tiers)
	return cfg, w, nil
}

// way is one way out: a network with what runs over it.
type way struct {
	road.Roads
	client *http.Client // for web seeds
	asks   *tracker.Client
}

// newWay returns the way out over a network, without uTP.
func (s *Session) newWay(n netx.Network) *way {
	return &way{
		Roads:  road.Roads{Policy: s.policy, Network: n},
		client: netx.HTTPClient(n, netx.HTTPOptions{UserAgent: s.cfg.Client, NoUserAgent: s.cfg.Anonymous, PublicOnly: s.cfg.Anonymous}),
		asks:   tracker.NewClient(n, tracker.ClientOptions{UserAgent: s.cfg.Client, Anonymous: s.cfg.Anonymous}),
	}
}

// wayOf returns a torrent's way out: its own if it has a network of its own, or if the network keeps what torrents do apart.
func (s *Session) wayOf(spec *Spec, h ident.InfoHash) *way {
	if spec.Network != nil {
		return s.newWay(spec.Network)
	}
	n := netx.Isolate(s.cfg.Network, h.String())
	if n == s.cfg.Network {
		return s.main
	}
	w := s.newWay(n)
	w.UTP = s.main.UTP
	return w
}

// addFinders gives a torrent its ways of finding peers.
func (s *Session) addFinders(cfg *torrent.Config, spec *Spec, w *way, tiers [][]string) {
	if spec.Offline {
		cfg.WebSeeds, cfg.HTTPSeeds, cfg.Peers = nil, nil, nil
		return
	}
	exchange := !spec.NoTrackers && !s.cfg.Anonymous && !s.cfg.Isolated
	if !spec.NoTrackers && (len(tiers) > 0 || exchange || spec.Adjustable) {
		a := tracker.New(w.asks, tiers, tracker.Options{AllTrackers: spec.AllTrackers, AllTiers: spec.AllTrackers})
		cfg.Finders = append(cfg.Finders, a)
		if exchange {
			cfg.Trackers = a
		}
	}
	if s.dht != nil && spec.Network == nil && !spec.private() {
		for _, p := range spec.Peers {
			s.addNode(p) // most have a node at the same port
		}
		cfg.Public = append(cfg.Public, s.dht.Finder())
	}
	if s.lsd != nil && spec.Network == nil {
		cfg.Public = append(cfg.Public, s.lsd.Finder())
	}
}

// learned returns what is to be done once a torrent's info is known: remember it, and tell whoever added it.
func (s *Session) learned(spec *Spec, tiers [][]string) func(torrent.Learned) {
	return func(l torrent.Learned) {
		if s.cfg.State != "" {
			t := spec.Torrent
			if t == nil {
				t = &metainfo.Torrent{Info: l.Info, Announce: tiers, WebSeeds: spec.WebSeeds, PieceLayers: l.Hashes.PieceLayers()}
			}
			_ = s.Remember(t) // a failure costs only that
		}
		if spec.Learned != nil {
			spec.Learned(l.Info, l.Hashes)
		}
	}
}

// Remember saves a torrent in the state folder under each of its names, so that Recall, and a magnet link of any form, finds it.
func (s *Session) Remember(t *metainfo.Torrent) error {
	if s.cfg.State == "" {
		return nil
	}
	if err := os.MkdirAll(s.cfg.State, 0o700); err != nil {
		return err
	}
	b := t.Encode()
	var errs []error
	for _, name := range t.Info.Hash.Swarms() {
		errs = append(errs, replace(s.statePath(name, ".torrent"), b))
	}
	return errors.Join(errs...)
}

// replace makes a file hold b, in one step.
func replace(path string, b []byte) error {
	if old, err := readBounded(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// Forget removes from the state folder what Remember saved, and the resume journal.
func (s *Session) Forget(h ident.InfoHash) {
	if s.cfg.State == "" {
		return
	}
	for _, name := range h.Swarms() {
		os.Remove(s.statePath(name, ".torrent"))
	}
	os.Remove(s.statePath(h.Key(), ".journal"))
}

// Recall returns a remembered torrent, or nil. What is not sound, or does not match the whole name, is as good as absent.
func (s *Session) Recall(h ident.InfoHash) *metainfo.Torrent {
	for _, name := range h.Swarms() {
		path := s.statePath(name, ".torrent")
		if path == "" {
			return nil
		}
		b, err := readBounded(path)
		if err != nil {
			continue
		}
		t, err := metainfo.Parse(b)
		if err != nil || h.HasV1() && t.Info.Hash.V1 != h.V1 || h.HasV2() && t.Info.Hash.V2 != h.V2 {
			continue
		}
		if hashes, err := metainfo.NewHashes(t.Info, t.PieceLayers); err != nil || len(hashes.MissingLayers()) > 0 && !t.Info.HasV1 {
			continue
		}
		return t
	}
	return nil
}

func readBounded(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Size() > metainfo.MaxTorrent {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, fi.Size(), int64(metainfo.MaxTorrent))
	}
	b := make([]byte, fi.Size()) // exactly: it may be kept for long
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, err = io.ReadFull(f, b)
	return b, err
}

// newSeed makes the choices by chance differ from run to run.
func newSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}
