package torrent

import (
	"errors"
	"time"

	"shoal/internal/bt/metadata"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peer"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
)

// errBadMetadata is why a peer that sent false metadata is dropped.
var errBadMetadata = errors.New("sent metadata that does not match the infohash (BEP 9)")

// metadataMessage handles the exchange of info dictionaries, both ways (BEP 9).
func (t *Torrent) metadataMessage(now time.Duration, id ident.Peer, c *peer.Conn, m *wire.MetadataMessage) {
	switch m.Type {
	case wire.MetadataRequest:
		t.serveMetadata(c, m.Piece)
	case wire.MetadataData:
		if t.fetch == nil {
			return
		}
		for _, liar := range t.fetch.Arrived(now, id, m.Piece, m.Data) {
			if l := t.link(liar); l != nil {
				l.Close(errBadMetadata)
			}
		}
		t.askMetadata(now)
	case wire.MetadataReject:
		if t.fetch != nil {
			t.fetch.Rejected(now, id, m.Piece)
			t.askMetadata(now)
		}
	}
}

func (t *Torrent) serveMetadata(c *peer.Conn, piece int) {
	ext := c.Extension(wire.ExtMetadata)
	if ext == 0 {
		return
	}
	answer := wire.MetadataMessage{Type: wire.MetadataReject, Piece: piece}
	if t.info != nil {
		if data, ok := metadata.Piece(t.info.Raw, piece); ok {
			answer = wire.MetadataMessage{Type: wire.MetadataData, Piece: piece, TotalSize: int64(len(t.info.Raw)), Data: data}
		}
	}
	body := answer.Append(nil)
	if c.Backlog() > maxMetadataBacklog {
		return // it asks and does not read
	}
	c.Queue(func(b []byte) []byte { return wire.AppendExtended(b, ext, body) })
	c.Flush()
}

// maxMetadataBacklog bounds what waits for a peer that asks for metadata, in bytes.
const maxMetadataBacklog = 1 << 20

// askMetadata asks whoever can be asked, and goes on once the metadata is there.
func (t *Torrent) askMetadata(now time.Duration) {
	if t.fetch == nil {
		return
	}
	t.conns(func(id ident.Peer, c *peer.Conn) {
		ext := c.Extension(wire.ExtMetadata)
		for ext != 0 {
			piece, ok := t.fetch.Pick(now, id)
			if !ok {
				break
			}
			body := (&wire.MetadataMessage{Type: wire.MetadataRequest, Piece: piece}).Append(nil)
			c.Queue(func(b []byte) []byte { return wire.AppendExtended(b, ext, body) })
			c.Flush()
		}
	})
	raw, ok := t.fetch.Done()
	if !ok {
		return
	}
	info, err := metainfo.ParseInfo(raw)
	if err != nil {
		t.fetch = nil
		t.fail(err) // what the infohash names is not a torrent: no peer can have another
		return
	}
	t.learned(info)
	t.announceMetadata()
}

// announceMetadata tells peers that we have the metadata now: those that joined before saw no metadata_size (BEP 9).
func (t *Torrent) announceMetadata() {
	t.conns(func(_ ident.Peer, c *peer.Conn) {
		if c.Extension(wire.ExtMetadata) != 0 {
			t.greetExtended(c, addrPort(c.RemoteAddr()))
			c.Flush()
		}
	})
}

func (t *Torrent) tickMetadata(now time.Duration) {
	if t.fetch != nil {
		t.fetch.Tick(now)
		t.askMetadata(now)
	}
}
