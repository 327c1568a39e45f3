// Package mse is Message Stream Encryption, also called Protocol Encryption (MSE/PE, the specification in the Vuze wiki): it hides
// that a connection carries BitTorrent. Two peers who know a swarm's infohash agree on a key, and from then on send either RC4 or, if
// both will have it so, plain bytes.
//
// It is obfuscation, not security: nobody is authenticated, and whoever knows the infohash can take part. What it withstands is a
// middlebox that looks for BitTorrent, and one that talks to a listener to find out what it is.
//
//	A → B  Ya, PadA
//	B → A  Yb, PadB
//	A → B  HASH('req1', S), HASH('req2', SKEY) xor HASH('req3', S), ENCRYPT(VC, crypto_provide, len(PadC), PadC, len(IA)), ENCRYPT(IA)
//	B → A  ENCRYPT(VC, crypto_select, len(PadD), PadD), and from here on the stream
//
// Y are public keys of a Diffie-Hellman exchange, S its secret, SKEY the infohash, HASH is SHA-1, VC eight zeros, IA the first payload
// of A. Neither side reads a byte beyond the handshake, so a stream that is to be plain is the connection itself.
package mse

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"shoal/internal/ident"
)

// Methods is a set of ways to send the stream once the handshake is made: crypto_provide, and crypto_select with one member.
type Methods uint32

const (
	Plain Methods = 1 << iota // as it is
	RC4                       // encrypted, the first 1,024 bytes of the key stream dropped
)

const (
	keyLen  = 96  // of a public key and of the secret
	maxPad  = 512 // of each padding
	vcLen   = 8
	headLen = vcLen + 4 + 2 // VC, crypto_provide or crypto_select, and the length of a padding
	// MaxPayload is the most initial payload that Initiate takes, in bytes: its length is sent in 16 bits.
	MaxPayload = 1<<16 - 1
)

var (
	// ErrHandshake says that the other side did not make a handshake for a swarm that is known here. Why not is not told.
	ErrHandshake = errors.New("mse: no valid handshake")
	// ErrMethod says that the other side has no method in common with us.
	ErrMethod = errors.New("mse: no method in common")
)

var be = binary.BigEndian

// hash is HASH: the SHA-1 of a name and what follows it.
func hash(name string, parts ...[]byte) (sum [sha1.Size]byte) {
	h := sha1.New()
	io.WriteString(h, name)
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

// KeyHash is HASH('req2', SKEY): what an incoming handshake names its swarm by. AcceptOptions.Keys finds keys by it.
func KeyHash(key ident.V1) [sha1.Size]byte { return hash("req2", key[:]) }

// Initiate makes the handshake on an outgoing connection for the swarm that key names, and returns the connection to go on with and
// the method that the other side has chosen of those provided. Of Plain that is conn itself; of RC4 it is a *Conn or has one within.
//
// The initial payload ia, at most MaxPayload bytes, is sent along, so that it costs no round trip; it is not changed. Initiate
// neither sets deadlines nor closes conn: the caller does, also to end it early. conn has to take 2 KiB and ia without the other side
// reading, as sockets do.
func Initiate(conn net.Conn, key ident.V1, provide Methods, ia []byte) (net.Conn, Methods, error) {
	provide &= Plain | RC4
	if provide == 0 || len(ia) > MaxPayload {
		return nil, 0, fmt.Errorf("mse: %d bytes of payload with methods %b", len(ia), provide)
	}
	pair := newKeyPair()
	if _, err := conn.Write(appendRandomPad(pair.public[:])); err != nil {
		return nil, 0, err
	}
	var theirs [keyLen]byte
	if _, err := io.ReadFull(conn, theirs[:]); err != nil {
		return nil, 0, err
	}
	secret, ok := pair.secret(&theirs)
	if !ok {
		return nil, 0, ErrHandshake
	}
	out, in := newStream("keyA", secret, key), newStream("keyB", secret, key)
	if _, err := conn.Write(request(secret, key, out, provide, ia)); err != nil {
		return nil, 0, err
	}
	method, err := answer(conn, in)
	switch {
	case err != nil:
		return nil, 0, err
	case method == RC4 && provide&RC4 != 0:
		return newConn(conn, in, out), RC4, nil
	case method == Plain && provide&Plain != 0:
		return conn, Plain, nil
	}
	return nil, 0, ErrMethod
}

// request makes the second message of A.
func request(secret []byte, key ident.V1, out *stream, provide Methods, ia []byte) []byte {
	req1, req2, req3 := hash("req1", secret), KeyHash(key), hash("req3", secret)
	m := make([]byte, 0, len(req1)+len(req2)+headLen+maxPad+2+len(ia))
	m = append(m, req1[:]...)
	for i := range req2 {
		m = append(m, req2[i]^req3[i])
	}
	clear := len(m)
	m = appendHead(m, provide)
	m = be.AppendUint16(m, uint16(len(ia)))
	m = append(m, ia...)
	out.XORKeyStream(m[clear:], m[clear:])
	return m
}

// answer reads the second message of B, which begins where eight zeros are found after PadB.
func answer(conn io.Reader, in *stream) (Methods, error) {
	var vc [vcLen]byte
	in.XORKeyStream(vc[:], vc[:])
	if err := skipTo(conn, vc[:]); err != nil {
		return 0, err
	}
	var head [headLen - vcLen]byte
	if err := in.readFull(conn, head[:]); err != nil {
		return 0, err
	}
	return Methods(be.Uint32(head[:])), skipPad(conn, in, be.Uint16(head[4:]))
}

// appendHead appends VC, methods, and a padding of random length with that before it. Such paddings are for later versions of the
// protocol, and zeros until then.
func appendHead(m []byte, methods Methods) []byte {
	n := randomInt(maxPad + 1)
	m = append(m, make([]byte, vcLen)...)
	m = be.AppendUint32(m, uint32(methods))
	m = be.AppendUint16(m, uint16(n))
	return append(m, make([]byte, n)...)
}

// appendRandomPad returns a public key and after it a padding of random bytes and length.
func appendRandomPad(public []byte) []byte {
	m := make([]byte, len(public)+randomInt(maxPad+1))
	_, _ = rand.Read(m[copy(m, public):]) // never fails
	return m
}

// randomInt returns a random number from 0 to n-1; n is small.
func randomInt(n uint32) int {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return int(be.Uint32(b[:]) % n)
}

// skipTo reads up to the end of mark, which comes after a padding, and not a byte beyond.
func skipTo(conn io.Reader, mark []byte) error {
	var window [maxPad + 20]byte
	n := 0
	for {
		have := overlap(window[:n], mark)
		if have == len(mark) {
			return nil
		}
		next := n + len(mark) - have
		if next > maxPad+len(mark) {
			return ErrHandshake
		}
		if _, err := io.ReadFull(conn, window[n:next]); err != nil {
			return err
		}
		n = next
	}
}

// overlap returns how many bytes at the end of b are the first ones of mark.
func overlap(b, mark []byte) int {
	n := min(len(b), len(mark))
	for !bytes.HasPrefix(mark, b[len(b)-n:]) {
		n--
	}
	return n
}

// skipPad reads a padding of n bytes that is encrypted.
func skipPad(conn io.Reader, in *stream, n uint16) error {
	if n > maxPad {
		return ErrHandshake
	}
	var pad [maxPad]byte
	return in.readFull(conn, pad[:n])
}
