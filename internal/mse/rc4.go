package mse

import (
	"crypto/rc4"
	"io"

	"shoal/internal/ident"
)

// dropped is how many bytes at the beginning of a key stream are not used: they tell too much of the key.
const dropped = 1024

// stream is one direction of an encrypted connection.
type stream struct{ *rc4.Cipher }

// newRC4 returns the key stream of a key of 1 to 256 bytes, from its beginning.
func newRC4(key []byte) *stream {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err)
	}
	return &stream{c}
}

// newStream returns the key stream of one direction, keyA from A to B and keyB from B to A.
func newStream(name string, secret []byte, key ident.V1) *stream {
	k := hash(name, secret, key[:])
	s := newRC4(k[:])
	var drop [dropped]byte
	s.XORKeyStream(drop[:], drop[:])
	return s
}

// readFull fills b and decrypts it.
func (s *stream) readFull(conn io.Reader, b []byte) error {
	if _, err := io.ReadFull(conn, b); err != nil {
		return err
	}
	s.XORKeyStream(b, b)
	return nil
}
