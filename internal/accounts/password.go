package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of argon2id (RFC 9106), as OWASP's password storage sheet has them: 19 MiB and two passes. They are not read from what is stored,
// so no row can ask for more. maxHashes bounds the memory that logins take together.
const (
	hashTime    = 2
	hashMemory  = 19 << 10 // KiB
	hashThreads = 1
	hashLen     = 32
	saltLen     = 16
	maxHashes   = 2
	hashPrefix  = "argon2id$v=19$m=19456,t=2,p=1$"
)

// hash takes a place, hashes and gives it back.
func (a *Accounts) hash(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case a.hashes <- struct{}{}:
		defer func() { <-a.hashes }()
		return argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashThreads, hashLen), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// seal returns what is stored of a password.
func (a *Accounts) seal(ctx context.Context, password string) (string, error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return "", Mistake(fmt.Sprintf("a password has %d to %d bytes", minPassword, maxPassword))
	}
	salt := make([]byte, saltLen)
	rand.Read(salt) //nolint:errcheck // it never fails
	h, err := a.hash(ctx, password, salt)
	if err != nil {
		return "", err
	}
	return hashPrefix + encode(salt) + "$" + encode(h), nil
}

// opens reports whether password is the one of what is stored. Nothing stored takes as long as something wrong.
func (a *Accounts) opens(ctx context.Context, stored, password string) (bool, error) {
	rest, ok := strings.CutPrefix(stored, hashPrefix)
	text, sum, _ := strings.Cut(rest, "$")
	salt, err := base64.RawURLEncoding.DecodeString(text)
	want, err2 := base64.RawURLEncoding.DecodeString(sum)
	if !ok || err != nil || err2 != nil || len(salt) != saltLen || len(want) != hashLen {
		salt, want, ok = make([]byte, saltLen), make([]byte, hashLen), false
	}
	if len(password) > maxPassword {
		return false, nil
	}
	got, err := a.hash(ctx, password, salt)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && ok, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// random returns n random bytes as text.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // it never fails
	return encode(b)
}

// digest is what is stored of a random secret.
func digest(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return encode(h[:])
}
