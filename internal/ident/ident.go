// Package ident holds the names that peers use for content and for themselves.
package ident

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// V1 is a BitTorrent v1 infohash (BEP 3): SHA-1 of the info dictionary. It is also the shape of
// every 20-byte swarm name: a v2 infohash appears in handshakes and announces cut to 20 bytes (BEP 52).
type V1 [20]byte

// V2 is a BitTorrent v2 infohash (BEP 52): SHA-256 of the info dictionary.
type V2 [32]byte

// IsZero reports whether the hash is absent.
func (h V1) IsZero() bool { return h == V1{} }

// String returns 40 lower-case hexadecimal digits.
func (h V1) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether the hash is absent.
func (h V2) IsZero() bool { return h == V2{} }

// String returns 64 lower-case hexadecimal digits.
func (h V2) String() string { return hex.EncodeToString(h[:]) }

// Short returns the first 20 bytes: the name of the v2 swarm on the wire (BEP 52).
func (h V2) Short() V1 { return V1(h[:20]) }

// InfoHash names one torrent: by its v1 hash, its v2 hash, or, for a hybrid, both. Zero means absent.
type InfoHash struct {
	V1 V1
	V2 V2
}

// HasV1 reports whether the v1 name is known.
func (h InfoHash) HasV1() bool { return !h.V1.IsZero() }

// HasV2 reports whether the v2 name is known.
func (h InfoHash) HasV2() bool { return !h.V2.IsZero() }

// IsZero reports whether neither name is known.
func (h InfoHash) IsZero() bool { return h == InfoHash{} }

// Swarms returns the 20-byte names under which peers meet: one, or two for a hybrid. v1 comes first.
func (h InfoHash) Swarms() []V1 {
	var s []V1
	if h.HasV1() {
		s = append(s, h.V1)
	}
	if h.HasV2() {
		s = append(s, h.V2.Short())
	}
	return s
}

// Has reports whether name is one of the torrent's swarm names.
func (h InfoHash) Has(name V1) bool {
	return h.HasV1() && name == h.V1 || h.HasV2() && name == h.V2.Short()
}

// Key returns a stable 20-byte key for maps and file names: the v1 hash if known, else the short v2 hash.
func (h InfoHash) Key() V1 {
	if h.HasV1() {
		return h.V1
	}
	return h.V2.Short()
}

// String returns the v1 hash in hexadecimal if known, else the v2 hash.
func (h InfoHash) String() string {
	if h.HasV1() {
		return h.V1.String()
	}
	return h.V2.String()
}

// ParseV1 reads 40 hexadecimal digits.
func ParseV1(s string) (V1, error) {
	var h V1
	return h, parseHex(h[:], s)
}

// ParseV2 reads 64 hexadecimal digits.
func ParseV2(s string) (V2, error) {
	var h V2
	return h, parseHex(h[:], s)
}

func parseHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("infohash %q has %d characters, want %d", s, len(s), 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		return fmt.Errorf("infohash %q: %w", s, err)
	}
	return nil
}

// PeerID is the 20-byte name that a peer gives itself in a swarm (BEP 3, BEP 20).
type PeerID [20]byte

// NewPeerID returns prefix followed by random bytes. A prefix longer than 20 bytes is cut.
func NewPeerID(prefix string) PeerID {
	var id PeerID
	_, _ = rand.Read(id[copy(id[:], prefix):]) // never fails
	return id
}

// Peer numbers a connection within one torrent. 0 is nobody. A number may be used again once its peer has left.
type Peer uint32
