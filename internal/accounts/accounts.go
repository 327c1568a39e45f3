// Package accounts keeps who may use a node: users with a role, their sessions, and tokens for programs.
//
// Secrets are never stored: of a password its argon2id hash, of a session's key and of a token their SHA-256, which is enough because those
// are random. Guessing is slowed by address and overall; see limit.go.
package accounts

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"shoal/internal/database"
)

// Role is what a user may do.
type Role string

// Roles.
const (
	Viewer Role = "viewer" // sees torrents, and plays them
	User   Role = "user"   // adds and controls torrents too, and removes them and their data
	Admin  Role = "admin"  // everything: settings, users, automation, folders of the machine
)

// Scope is one right. A role is a set of them, and a token has some of its owner's.
type Scope string

// Scopes.
const (
	Read    Scope = "read"
	Add     Scope = "add"
	Control Scope = "control"
	Manage  Scope = "admin"
)

// Scopes lists every scope.
var Scopes = []Scope{Read, Add, Control, Manage}

// Scopes returns the rights of a role.
func (r Role) Scopes() []Scope {
	switch r {
	case Viewer:
		return []Scope{Read}
	case User:
		return []Scope{Read, Add, Control}
	case Admin:
		return Scopes
	}
	return nil
}

// Identity is who asks. The zero value is nobody and may nothing.
type Identity struct {
	Name   string  // of the user; empty for the socket of the machine
	Role   Role    // the user's
	Scopes []Scope // what may be done here
	Token  string  // id of the token that was used, if one was
	key    string  // hash of the session's key, if there is a session
}

// May reports whether the identity has a right.
func (i Identity) May(s Scope) bool { return slices.Contains(i.Scopes, s) }

// Session reports whether it came by a session, as browsers do.
func (i Identity) Session() bool { return i.key != "" }

// Local is whoever can open the socket of the machine.
func Local() Identity { return Identity{Role: Admin, Scopes: Scopes} }

// Errors. What is wrong with a name or a password is told in a *Mistake.
var (
	ErrDenied   = errors.New("name or password is wrong")
	ErrNoUser   = errors.New("no such user")
	ErrExists   = errors.New("there is a user of this name")
	ErrNoToken  = errors.New("no such token")
	ErrLast     = errors.New("this is the last admin: make another one first")
	ErrSetup    = errors.New("the code is wrong or was used: the node prints one when it starts without users")
	ErrTooMany  = errors.New("there are too many: remove some first")
	ErrNobody   = errors.New("the session has ended, or the token is wrong or has expired")
	ErrNotNamed = errors.New("a user is needed: whoever uses the socket has no password and no tokens of its own")
)

// Mistake says what cannot be accepted, and why.
type Mistake string

func (m Mistake) Error() string { return string(m) }

// TooSoon says that somebody failed too often, and how long to wait.
type TooSoon struct{ Wait time.Duration }

func (t TooSoon) Error() string {
	return fmt.Sprintf("too many failed attempts: try again in %v", t.Wait.Round(time.Second))
}

// Bounds of what is kept.
const (
	maxUsers    = 1000
	maxTokens   = 200  // per user
	maxSessions = 50   // per user; the one unused for longest ends for a new one
	maxName     = 64   // bytes
	maxText     = 200  // bytes of a token's name or of a browser's
	minPassword = 8    // bytes
	maxPassword = 1024 // bytes
)

var names = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._@-]*$`)

// Accounts is safe for use by many goroutines.
type Accounts struct {
	db     *database.DB
	now    func() time.Time
	hashes chan struct{} // one place for each hash under way
	limit  *limiter
	basic  cache

	mu   sync.Mutex
	code string // of the setup, while there are no users
}

var schema = []string{`
	create table user (
		name     text primary key,
		role     text not null,
		password text not null,
		created  integer not null
	);
	create table session (
		hash    text primary key,
		user    text not null references user(name) on delete cascade,
		created integer not null,
		seen    integer not null,
		expires integer not null,
		address text not null,
		agent   text not null
	);
	create index session_user on session(user, seen);
	create table token (
		id      text primary key,
		hash    text not null unique,
		user    text not null references user(name) on delete cascade,
		name    text not null,
		scopes  text not null,
		created integer not null,
		expires integer not null,
		used    integer not null
	);
	create index token_user on token(user);`}

// New keeps accounts in db.
func New(db *database.DB) (*Accounts, error) { return open(db, time.Now) }

func open(db *database.DB, now func() time.Time) (*Accounts, error) {
	if err := db.Migrate("accounts", schema); err != nil {
		return nil, err
	}
	a := &Accounts{db: db, now: now, hashes: make(chan struct{}, maxHashes), limit: newLimiter(now), basic: newCache(now)}
	n, err := a.countUsers()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		a.code = random(15)
	}
	return a, nil
}

type contextKey struct{}

// NewContext returns a context that tells who asks.
func NewContext(ctx context.Context, who Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, who)
}

// FromContext returns who asks; nobody, unless NewContext has told.
func FromContext(ctx context.Context) Identity {
	who, _ := ctx.Value(contextKey{}).(Identity)
	return who
}
