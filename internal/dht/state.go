package dht

import (
	"os"
	"path/filepath"
	"slices"

	"shoal/internal/bencode"
	"shoal/internal/dht/krpc"
)

const (
	stateVersion = 1
	maxState     = 64 << 10 // bytes of the file
	maxSaved     = 200      // nodes of a family
)

// state is what a node remembers: a bencoded dictionary with "version", and for each family its id and compact nodes.
type state struct{ ipv4, ipv6 family }

type family struct {
	id    krpc.ID
	nodes []krpc.Node
}

func (s state) of(ipv6 bool) family {
	if ipv6 {
		return s.ipv6
	}
	return s.ipv4
}

// load reads a state file. One that is absent or damaged is as if empty.
func load(name string) (s state) {
	if name == "" {
		return s
	}
	if info, err := os.Stat(name); err != nil || info.Size() > maxState {
		return s
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return s
	}
	return parseState(b)
}

func parseState(b []byte) (s state) {
	d, err := bencode.Parse(b)
	if err != nil {
		return s
	}
	version, _ := d.Get("version")
	if n, _ := version.Int(); n != stateVersion {
		return s
	}
	return state{parseFamily(d, "", false), parseFamily(d, "6", true)}
}

func parseFamily(d bencode.Value, suffix string, ipv6 bool) (f family) {
	v, _ := d.Get("id" + suffix)
	if id, _ := v.Bytes(); len(id) == len(f.id) {
		f.id = krpc.ID(id)
	}
	v, _ = d.Get("nodes" + suffix)
	compact, _ := v.Bytes()
	for n := range krpc.EachNode(compact, ipv6) {
		if f.nodes = append(f.nodes, n); len(f.nodes) == maxSaved {
			break
		}
	}
	return f
}

func (s state) encode() []byte {
	d := map[string]any{"version": stateVersion}
	for suffix, f := range map[string]family{"": s.ipv4, "6": s.ipv6} {
		if f.id == (krpc.ID{}) {
			continue
		}
		compact := []byte{}
		for _, n := range f.nodes[:min(len(f.nodes), maxSaved)] {
			compact = krpc.AppendNode(compact, n)
		}
		d["id"+suffix], d["nodes"+suffix] = f.id[:], compact
	}
	return bencode.Append(nil, d)
}

// save writes the state file, so that there is always an old or a new one. A node that has not met anybody keeps what there was.
func (n *Node) save() error {
	if n.cfg.State == "" {
		return nil
	}
	s := load(n.cfg.State)
	met := false
	for _, c := range n.cores {
		f := family{c.ID(), slices.Collect(c.Good(maxSaved))}
		if len(f.nodes) == 0 {
			continue
		}
		met = true
		if c.IPv6() {
			s.ipv6 = f
		} else {
			s.ipv4 = f
		}
	}
	if !met {
		return nil
	}
	return replace(n.cfg.State, s.encode())
}

// replace writes a file whole or not at all.
func replace(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
