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

// newStream returns the key stream of one direction, keyA from A to B and keyB from B to A.
func newStream(name string, secret []byte, key ident.V1) *stream {
	k := hash(name, secret, key[:])
	c, err := rc4.NewCipher(k[:])
	if err != nil {
		panic(err) // 20 bytes are a key
	}
	var drop [dropped]byte
	c.XORKeyStream(drop[:], drop[:])
	return &stream{c}
}

// readFull fills b and decrypts it.
func (s *stream) readFull(conn io.Reader, b []byte) error {
	if _, err := io.ReadFull(conn, b); err != nil {
		return err
	}
	s.XORKeyStream(b, b)
	return nil
}
