package table

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"shoal/internal/dht/krpc"
)

const (
	maxToken    = 64 // bytes of a token of others that we keep
	tokenLength = 8
	tokenTurn   = 5 * time.Minute // a token is good for one to two turns (BEP 5)
)

// tokens makes and checks write tokens: a hash of a secret, of the address that asks, and of the key.
type tokens struct {
	rand    *rand.Rand
	turned  time.Duration
	secrets [2][16]byte // the newest first
	made    bool
}

func (t *tokens) init(r *rand.Rand) { t.rand = r }

func (t *tokens) turn(now time.Duration) {
	if t.made && now-t.turned < tokenTurn {
		return
	}
	fresh := func(s *[16]byte) {
		binary.LittleEndian.PutUint64(s[:], t.rand.Uint64())
		binary.LittleEndian.PutUint64(s[8:], t.rand.Uint64())
	}
	t.secrets[1] = t.secrets[0]
	fresh(&t.secrets[0])
	if !t.made || now-t.turned >= 2*tokenTurn {
		fresh(&t.secrets[1])
	}
	t.made, t.turned = true, now
}

func (t *tokens) hash(secret *[16]byte, from netip.Addr, key krpc.ID) [tokenLength]byte {
	var b [16 + 16 + 20]byte
	copy(b[:], secret[:])
	ip := from.As16()
	copy(b[16:], ip[:])
	copy(b[32:], key[:])
	h := sha1.Sum(b[:])
	return [tokenLength]byte(h[:tokenLength])
}

// issue returns a token for an address and a key.
func (t *tokens) issue(now time.Duration, from netip.Addr, key krpc.ID) [tokenLength]byte {
	t.turn(now)
	return t.hash(&t.secrets[0], from, key)
}

// check reports whether a token is one for the address and key that is not too old.
func (t *tokens) check(now time.Duration, token []byte, from netip.Addr, key krpc.ID) bool {
	t.turn(now)
	for i := range t.secrets {
		h := t.hash(&t.secrets[i], from, key)
		if subtle.ConstantTimeCompare(h[:], token) == 1 {
			return true
		}
	}
	return false
}
