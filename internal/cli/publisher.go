package cli

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"shoal/internal/bt/magnet"
	"shoal/internal/bt/session"
	"shoal/internal/ident"
)

// Pauses between tries to reach the DHT for a publisher's link.
const (
	firstAgain = 2 * time.Second
	lastAgain  = time.Minute
)

// publisherKey reads the key that a publisher's link belongs to (BEP 46), or makes one if there is no such file: the 32 bytes of an ed25519
// seed in hexadecimal.
func publisherKey(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		_, err = f.WriteString(hex.EncodeToString(key.Seed()) + "\n")
		return key, errors.Join(err, f.Close())
	}
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, usage(fmt.Errorf("%s is not a key: it should hold %d hexadecimal digits; name a new file to make one", path, 2*ed25519.SeedSize))
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// publisherLink returns the link that goes with a key.
func publisherLink(key ed25519.PrivateKey) string {
	return (&magnet.Magnet{Publisher: (*[ed25519.PublicKeySize]byte)(key.Public().(ed25519.PublicKey))}).String()
}

// publisherLink prints a key's link.
func (a *app) publisherLink(key ed25519.PrivateKey) {
	link := publisherLink(key)
	a.emit(map[string]any{"event": "publisher", "magnet": link})
	if !a.json {
		a.result("%s", link)
	}
	a.say("the second link is the publisher's: it names what was shared last with this key")
}

// publish makes a publisher's link name a torrent, as soon as the DHT lets it.
func (a *app) publish(ctx context.Context, s *session.Session, key ed25519.PrivateKey, h ident.InfoHash) {
	said := ""
	for pause := firstAgain; ; pause = min(2*pause, lastAgain) {
		seq, copies, err := s.Publish(ctx, key, nil, h)
		if err == nil {
			a.emit(map[string]any{"event": "published", "infohash": h.String(), "magnet": publisherLink(key), "number": seq, "copies": copies})
			a.say("the publisher's link names this now, at %d DHT nodes", copies)
			return
		}
		if errors.Is(err, session.ErrNoDHT) || ctx.Err() != nil {
			return
		}
		if err.Error() != said {
			said = err.Error()
			a.warn("the publisher's link does not name this yet: %s; trying again", said)
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// follow finds out what a publisher's link names now.
func (g *fetcher) follow(ctx context.Context, m *magnet.Magnet) error {
	if m.Publisher == nil || !m.Hash.IsZero() {
		return nil
	}
	begun, said := time.Now(), ""
	for pause := firstAgain; ; pause = min(2*pause, lastAgain) {
		hash, seq, err := g.s.Latest(ctx, m.Publisher[:], m.Salt)
		if err == nil {
			m.Hash = hash
			g.emit(map[string]any{"event": "update", "publisher": hex.EncodeToString(m.Publisher[:]), "infohash": hash.String(), "number": seq})
			g.d.say("the publisher names %s", hash)
			return nil
		}
		switch {
		case errors.Is(err, session.ErrNoDHT):
			return withCode(exitNotFound, err)
		case ctx.Err() != nil:
			return withCode(exitInterrupted, errors.New("interrupted while looking for what the publisher's link names"))
		case g.f.timeout > 0 && time.Since(begun) > g.f.timeout:
			return withCode(exitNotFound, fmt.Errorf("the publisher's link names nothing after %v: %w", g.f.timeout, err))
		case err.Error() != said:
			said = err.Error()
			g.d.say("looking for what the publisher's link names: %s", said)
		}
		if g.f.timeout > 0 {
			pause = min(pause, g.f.timeout)
		}
		sleep(ctx, pause)
	}
}

// sleep reports whether the time has passed and ctx is not done.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
