package torrent

import (
	"errors"
	"time"

	"shoal/internal/bt/hashes"
	"shoal/internal/bt/peer"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
	"shoal/internal/merkle"
)

var (
	// errBadHashes is why a peer that sent false hashes is dropped.
	errBadHashes = errors.New("sent hashes that do not lead to the file's root (BEP 52)")
	errBadRoots  = errors.New("two files of different lengths claim the same root, so one of them cannot be checked (BEP 52)")
)

// maxHashBacklog bounds what waits for a peer that asks for hashes and does not read, in bytes. One answer more may follow.
const maxHashBacklog = 256 << 10

// startLayers begins to fetch missing piece layers (BEP 52). A v2 torrent needs them before anything else; a hybrid goes on
// meanwhile, and needs them to serve peers of its v2 swarm.
func (t *Torrent) startLayers(now time.Duration) {
	t.layers = hashes.NewFetch[ident.Peer](t.hashes)
	t.askHashes(now)
}

// everything stands for a peer's pieces: those of the torrent whose hashes are missing are not counted yet, and whoever lacks a
// file rejects.
func everything(int) bool { return true }

// askHashes asks whoever can be asked.
func (t *Torrent) askHashes(now time.Duration) {
	if t.layers == nil {
		return
	}
	t.conns(func(id ident.Peer, c *peer.Conn) {
		for c.V2() {
			r, ok := t.layers.Pick(now, id, everything)
			if !ok {
				break
			}
			c.Queue(func(b []byte) []byte { return wire.AppendHashRequest(b, rangeOf(r)) })
			c.Flush()
		}
	})
}

func (t *Torrent) tickLayers(now time.Duration) {
	if t.layers != nil {
		t.layers.Tick(now)
		t.askHashes(now)
	}
}

// hashMessage handles the exchange of hashes, both ways (BEP 52).
func (t *Torrent) hashMessage(now time.Duration, id ident.Peer, m *peer.Message) {
	switch {
	case m.ID == wire.HashRequest:
		t.serveHashes(m.From, *m.Hash)
	case t.layers == nil:
	case m.ID == wire.HashReject:
		t.layers.Rejected(now, id, requestOf(*m.Hash))
		t.askHashes(now)
	case m.ID == wire.Hashes:
		if !t.layers.Arrived(id, requestOf(*m.Hash), split(m.Bytes)) {
			m.From.Close(errBadHashes)
		}
		t.layersArrived(now)
	}
}

// layersArrived goes on once every layer is there.
func (t *Torrent) layersArrived(now time.Duration) {
	switch {
	case !t.layers.Done():
		t.askHashes(now)
	case t.phase != Metadata:
		t.layers = nil
	case len(t.hashes.MissingLayers()) > 0:
		t.layers = nil
		t.fail(errBadRoots)
	default:
		t.layers = nil
		t.open()
	}
}

func requestOf(r wire.HashRange) hashes.Request {
	return hashes.Request{Root: r.Root, BaseLayer: r.BaseLayer, Index: r.Index, Length: r.Length, ProofLayers: r.ProofLayers}
}

func rangeOf(r hashes.Request) wire.HashRange {
	return wire.HashRange{Root: r.Root, BaseLayer: r.BaseLayer, Index: r.Index, Length: r.Length, ProofLayers: r.ProofLayers}
}

func split(b []byte) []merkle.Hash {
	out := make([]merkle.Hash, len(b)/len(merkle.Hash{}))
	for i := range out {
		out[i] = merkle.Hash(b[i*len(merkle.Hash{}):])
	}
	return out
}

// serveHashes answers a request for hashes, or rejects it.
func (t *Torrent) serveHashes(c *peer.Conn, r wire.HashRange) {
	if c.Backlog() > maxHashBacklog {
		return // it asks and does not read
	}
	var answer []merkle.Hash
	if t.hashServer != nil {
		answer = t.hashServer.Answer(requestOf(r))
	}
	c.Queue(func(b []byte) []byte {
		if answer == nil {
			return wire.AppendHashReject(b, r)
		}
		raw := make([]byte, 0, len(answer)*len(merkle.Hash{}))
		for _, h := range answer {
			raw = append(raw, h[:]...)
		}
		return wire.AppendHashes(b, r, raw)
	})
	c.Flush()
}
