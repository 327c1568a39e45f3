package session

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"shoal/internal/bencode"
	"shoal/internal/dht"
	"shoal/internal/ident"
)

// A publisher's link stays the same while what it names changes: a mutable item of the DHT, signed with the publisher's key, holds the
// infohash of the newest torrent (BEP 46).

// ErrNoDHT says that a publisher's link cannot be followed or kept without the DHT.
var ErrNoDHT = errors.New("the DHT is off, and a publisher's link needs it")

// Latest returns what a publisher's item names now, and the item's number, which grows with each change. The error is ErrNoDHT, one of
// dht's, or says that the item is none of a torrent.
func (s *Session) Latest(ctx context.Context, key ed25519.PublicKey, salt []byte) (ident.InfoHash, int64, error) {
	if s.dht == nil {
		return ident.InfoHash{}, 0, ErrNoDHT
	}
	item, err := s.dht.GetMutable(ctx, key, salt)
	if err != nil {
		return ident.InfoHash{}, 0, err
	}
	hash, err := parseUpdate(item.Value)
	return hash, item.Seq, err
}

// Publish makes a publisher's item name a torrent, and returns the item's number and at how many nodes it is. It is kept alive until the
// session ends: nodes forget items after two hours (BEP 44). If somebody else who has the key publishes a newer one, ours is given up.
func (s *Session) Publish(ctx context.Context, key ed25519.PrivateKey, salt []byte, h ident.InfoHash) (seq int64, copies int, err error) {
	if s.dht == nil {
		return 0, 0, ErrNoDHT
	}
	value := appendUpdate(nil, h)
	held, err := s.dht.GetMutable(ctx, key.Public().(ed25519.PublicKey), salt)
	cas := int64(-1)
	switch {
	case errors.Is(err, dht.ErrNotFound):
		seq = max(1, time.Now().Unix()) // greater than that of any earlier run that the DHT has forgotten
	case err != nil:
		return 0, 0, err
	case string(held.Value) == string(value):
		seq = held.Seq
	default:
		seq, cas = held.Seq+1, held.Seq
	}
	item, err := dht.NewItem(key, salt, seq, value)
	if err != nil {
		return 0, 0, err
	}
	if copies, err = s.dht.PutMutable(ctx, item, cas); err != nil {
		return 0, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, 0, ErrClosed
	}
	s.wg.Go(func() { _ = s.dht.Republish(s.ctx, item) })
	return seq, copies, nil
}

// appendUpdate appends the value of an item that names a torrent (BEP 46): by its v1 name, or by the whole v2 name if it has only that.
func appendUpdate(dst []byte, h ident.InfoHash) []byte {
	name := h.V1[:]
	if !h.HasV1() {
		name = h.V2[:]
	}
	return bencode.Append(dst, map[string]any{"ih": name})
}

func parseUpdate(value []byte) (ident.InfoHash, error) {
	v, err := bencode.Parse(value)
	if err != nil || v.Kind() != bencode.Dict {
		return ident.InfoHash{}, errors.New("the publisher's item is not of a torrent (BEP 46)")
	}
	e, _ := v.Get("ih")
	var h ident.InfoHash
	switch b, _ := e.Bytes(); len(b) {
	case len(h.V1):
		copy(h.V1[:], b)
	case len(h.V2):
		copy(h.V2[:], b)
	default:
		return h, fmt.Errorf("the publisher's item has an infohash of %d bytes, not 20 or 32 (BEP 46)", len(b))
	}
	if h.IsZero() {
		return h, errors.New("the publisher's item has an infohash of zeros")
	}
	return h, nil
}
