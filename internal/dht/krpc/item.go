package krpc

import (
	"crypto/ed25519"
	"crypto/sha1"
	"strconv"

	"shoal/internal/bencode"
)

// Limits of items (BEP 44).
const (
	MaxValue = 1000 // bytes of the encoded value
	MaxSalt  = 64   // bytes
)

// Immutable returns the key of an immutable item: the SHA-1 of its encoded value (BEP 44).
func Immutable(value []byte) ID { return sha1.Sum(value) }

// Mutable returns the key of a mutable item: the SHA-1 of the public key and the salt (BEP 44).
func Mutable(key, salt []byte) ID {
	var b [ed25519.PublicKeySize + MaxSalt]byte
	return sha1.Sum(append(append(b[:0], key...), salt...))
}

// appendSigned appends what is signed of a mutable item.
func appendSigned(dst, salt []byte, seq int64, value []byte) []byte {
	if len(salt) > 0 {
		dst = bencode.AppendBytes(append(dst, "4:salt"...), salt)
	}
	dst = append(dst, "3:seqi"...)
	dst = strconv.AppendInt(dst, seq, 10)
	return append(append(dst, "e1:v"...), value...)
}

// Sign returns the signature of a mutable item.
func Sign(key ed25519.PrivateKey, salt []byte, seq int64, value []byte) []byte {
	return ed25519.Sign(key, appendSigned(nil, salt, seq, value))
}

// Verify reports whether sig is the signature of a mutable item. It takes about 50 µs.
func Verify(key, salt []byte, seq int64, value, sig []byte) bool {
	if len(key) != ed25519.PublicKeySize || len(sig) != ed25519.SignatureSize || len(salt) > MaxSalt {
		return false
	}
	var b [MaxValue + MaxSalt + 64]byte
	return ed25519.Verify(key, appendSigned(b[:0], salt, seq, value), sig)
}

// CheckValue reports whether value is one encoded value in its only form, and how BEP 44 calls what is wrong with it, or 0.
func CheckValue(value []byte) (code int64) {
	if len(value) > MaxValue {
		return ValueTooBig
	}
	v, err := bencode.Parse(value)
	if err != nil || !v.Canonical() {
		return ProtocolError
	}
	return 0
}
