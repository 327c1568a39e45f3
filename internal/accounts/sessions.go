package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// SessionLife is how long a session lasts after it was last used.
const SessionLife = 30 * 24 * time.Hour

// Uses are written down when the last one that was is older than this.
const usedStep = 5 * time.Minute

// verify returns who has the name and the password.
func (a *Accounts) verify(ctx context.Context, from netip.Addr, name, password string) (Identity, error) {
	if err := a.limit.begin(from); err != nil {
		return Identity{}, err
	}
	var stored string
	var role Role
	err := a.db.Read.QueryRowContext(ctx, "select password, role from user where name = ?", name).Scan(&stored, &role)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Identity{}, err
	}
	ok, err := a.opens(ctx, stored, password)
	if err != nil {
		return Identity{}, err
	}
	if !ok {
		return Identity{}, ErrDenied
	}
	a.limit.succeeded(from)
	return Identity{Name: name, Role: role, Scopes: role.Scopes()}, nil
}

// Login begins a session and returns its key, for a cookie. It fails with ErrDenied or TooSoon.
func (a *Accounts) Login(ctx context.Context, from netip.Addr, name, password, agent string) (key string, who Identity, err error) {
	if who, err = a.verify(ctx, from, name, password); err != nil {
		return "", Identity{}, err
	}
	key = random(32)
	who.key = digest(key)
	now := a.now()
	err = a.db.Durable(ctx, func(tx *sql.Tx) error {
		if _, err := tx.Exec("delete from session where expires < ?", now.Unix()); err != nil {
			return err
		}
		if _, err := tx.Exec(`delete from session where hash in
			(select hash from session where user = ? order by seen desc, created desc limit -1 offset ?)`, name, maxSessions-1); err != nil {
			return err
		}
		_, err := tx.Exec("insert into session values (?, ?, ?, ?, ?, ?, ?)",
			who.key, name, now.Unix(), now.Unix(), now.Add(SessionLife).Unix(), from.String(), cut(agent))
		return err
	})
	if err != nil {
		return "", Identity{}, err
	}
	return key, who, nil
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "") }

// BySession returns whose session a key is of, or ErrNobody.
func (a *Accounts) BySession(ctx context.Context, key string) (Identity, error) {
	who := Identity{key: digest(key)}
	var seen int64
	now := a.now()
	err := a.db.Read.QueryRowContext(ctx, "select user, role, seen from session join user on user.name = session.user where hash = ? and expires >= ?",
		who.key, now.Unix()).Scan(&who.Name, &who.Role, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return Identity{}, ErrNobody
	}
	if err != nil {
		return Identity{}, err
	}
	who.Scopes = who.Role.Scopes()
	if now.Sub(time.Unix(seen, 0)) > usedStep {
		err = a.db.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec("update session set seen = ?, expires = ? where hash = ?", now.Unix(), now.Add(SessionLife).Unix(), who.key)
			return err
		})
	}
	return who, err
}

// Logout ends the session of an identity that has one.
func (a *Accounts) Logout(ctx context.Context, who Identity) error {
	return a.db.Durable(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec("delete from session where hash = ?", who.key)
		return err
	})
}

// Basic returns who has the name and the password, of programs that send both with each request. A token as password is taken for any name.
func (a *Accounts) Basic(ctx context.Context, from netip.Addr, name, password string) (Identity, error) {
	if strings.HasPrefix(password, TokenPrefix) {
		return a.ByToken(ctx, password)
	}
	key := a.basic.key(name, password)
	if who, ok := a.basic.get(key); ok {
		return who, nil
	}
	who, err := a.verify(ctx, from, name, password)
	if err == nil {
		a.basic.put(key, who)
	}
	return who, err
}

// cache remembers passwords that were right, for hashing one with each request would take a core. It knows them by a keyed hash of this process.
type cache struct {
	now    func() time.Time
	secret []byte
	mu     *sync.Mutex
	known  map[[32]byte]remembered
}

type remembered struct {
	who   Identity
	until time.Time
}

const (
	cacheLife = 10 * time.Minute
	cacheMax  = 256
)

func newCache(now func() time.Time) cache {
	c := cache{now: now, secret: make([]byte, 32), mu: new(sync.Mutex), known: map[[32]byte]remembered{}}
	rand.Read(c.secret) //nolint:errcheck // it never fails
	return c
}

func (c *cache) key(name, password string) (k [32]byte) {
	h := hmac.New(sha256.New, c.secret)
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write([]byte(password))
	return [32]byte(h.Sum(k[:0]))
}

func (c *cache) get(k [32]byte) (Identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.known[k]
	return r.who, ok && c.now().Before(r.until)
}

func (c *cache) put(k [32]byte, who Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= cacheMax {
		clear(c.known)
	}
	c.known[k] = remembered{who, c.now().Add(cacheLife)}
}

func (c *cache) clear() {
	c.mu.Lock()
	clear(c.known)
	c.mu.Unlock()
}
