package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/database"
)

var here = netip.MustParseAddr("127.0.0.1")

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	c.t = c.t.Add(d)
	c.mu.Unlock()
}

func start(t *testing.T) (*Accounts, *clock, *database.DB) {
	t.Helper()
	db, _, err := database.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := &clock{t: time.Unix(1_800_000_000, 0)}
	a, err := open(db, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return a, c, db
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func TestSetupOnce(t *testing.T) {
	a, c, db := start(t)
	ctx := t.Context()
	code := a.SetupCode()
	if len(code) < 20 {
		t.Fatalf("code %q", code)
	}
	wants(t, a.Setup(ctx, here, "x"+code, "ann", "correct horse"), ErrSetup)
	wants(t, a.Setup(ctx, here, "", "ann", "correct horse"), ErrSetup)
	var m Mistake
	if err := a.Setup(ctx, here, code, "ann", "short"); !errors.As(err, &m) {
		t.Fatal(err)
	}
	if err := a.Setup(ctx, here, code, "an n", "correct horse"); !errors.As(err, &m) {
		t.Fatal(err)
	}
	must(t, a.Setup(ctx, here, code, "ann", "correct horse"))
	if a.SetupCode() != "" {
		t.Fatal("the code is still there")
	}
	wants(t, a.Setup(ctx, here, code, "eve", "correct horse"), ErrSetup)
	wants(t, a.Setup(ctx, here, "", "eve", "correct horse"), ErrSetup)
	b, err := open(db, c.now)
	if err != nil || b.SetupCode() != "" {
		t.Fatalf("a code although there is a user: %v", err)
	}
}

// Whoever makes the first user by the socket of the machine has set the node up.
func TestSetupEndsWithTheFirstUser(t *testing.T) {
	a, _, _ := start(t)
	code := a.SetupCode()
	must(t, a.AddUser(t.Context(), "ann", "correct horse", Viewer))
	if a.SetupCode() != "" {
		t.Fatal("the code is still there")
	}
	wants(t, a.Setup(t.Context(), here, code, "eve", "correct horse"), ErrSetup)
}

func TestSetupCodeCannotBeGuessed(t *testing.T) {
	a, _, _ := start(t)
	var slow TooSoon
	for n := range 100 {
		if err := a.Setup(t.Context(), here, fmt.Sprint(n), "eve", "correct horse"); errors.As(err, &slow) {
			return
		}
	}
	t.Fatal("a hundred guesses were answered")
}

func TestSessions(t *testing.T) {
	a, c, db := start(t)
	ctx := t.Context()
	must(t, a.AddUser(ctx, "ann", "correct horse", User))
	_, _, err := a.Login(ctx, here, "ann", "wrong", "x")
	wants(t, err, ErrDenied)
	_, _, err = a.Login(ctx, here, "bob", "correct horse", "x")
	wants(t, err, ErrDenied)
	key, who, err := a.Login(ctx, here, "ann", "correct horse", "x")
	must(t, err)
	if !who.May(Control) || who.May(Manage) || !who.Session() {
		t.Fatalf("%+v", who)
	}
	var n int
	must(t, db.Read.QueryRow("select count(*) from session where hash = ? or instr(hash, ?) > 0", key, key).Scan(&n))
	if n > 0 {
		t.Fatal("the key is stored as it is")
	}
	for range 5 { // it lasts while it is used
		c.add(SessionLife - time.Hour)
		if _, err := a.BySession(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	must(t, a.SetRole(ctx, "ann", Viewer))
	if who, err := a.BySession(ctx, key); err != nil || who.May(Add) {
		t.Fatalf("%+v, %v", who, err)
	}
	c.add(SessionLife + time.Second)
	_, err = a.BySession(ctx, key)
	wants(t, err, ErrNobody)

	key, who, err = a.Login(ctx, here, "ann", "correct horse", "x")
	must(t, err)
	other, _, err := a.Login(ctx, here, "ann", "correct horse", "x")
	must(t, err)
	must(t, a.SetPassword(ctx, "ann", "battery staple", who))
	if _, err := a.BySession(ctx, key); err != nil {
		t.Fatal("the session that changed the password ended")
	}
	_, err = a.BySession(ctx, other)
	wants(t, err, ErrNobody)
	must(t, a.Logout(ctx, who))
	_, err = a.BySession(ctx, key)
	wants(t, err, ErrNobody)
}

func TestSessionsAreBounded(t *testing.T) {
	a, c, db := start(t)
	must(t, a.AddUser(t.Context(), "ann", "correct horse", Viewer))
	must(t, db.Update(t.Context(), func(tx *sql.Tx) error {
		for n := range maxSessions {
			seen := c.now().Unix() + int64(n)
			if _, err := tx.Exec("insert into session values (?, 'ann', ?, ?, ?, '', '')", digest(fmt.Sprint("key ", n)), seen, seen, seen+1e6); err != nil {
				return err
			}
		}
		return nil
	}))
	c.add(time.Hour)
	last, _, err := a.Login(t.Context(), here, "ann", "correct horse", strings.Repeat("é", 500))
	must(t, err)
	var n int
	must(t, db.Read.QueryRow("select count(*) from session").Scan(&n))
	_, err = a.BySession(t.Context(), "key 0") // unused for longest
	if n != maxSessions || !errors.Is(err, ErrNobody) {
		t.Fatalf("%d sessions, the first: %v", n, err)
	}
	for _, key := range []string{"key 1", last} {
		_, err = a.BySession(t.Context(), key)
		must(t, err)
	}
}

func TestTokens(t *testing.T) {
	a, c, db := start(t)
	ctx := t.Context()
	must(t, a.AddUser(ctx, "ann", "correct horse", User))
	must(t, a.AddUser(ctx, "bob", "correct horse", Admin))
	var m Mistake
	if _, _, err := a.AddToken(ctx, "ann", "x", []Scope{Read, Manage}, 0); !errors.As(err, &m) {
		t.Fatalf("more than the owner may: %v", err)
	}
	if _, _, err := a.AddToken(ctx, "ann", "x", nil, 0); !errors.As(err, &m) {
		t.Fatalf("without scopes: %v", err)
	}
	_, _, err := a.AddToken(ctx, "", "x", []Scope{Read}, 0)
	wants(t, err, ErrNotNamed)
	secret, tok, err := a.AddToken(ctx, "ann", "sonarr", []Scope{Read, Add, Control, Read}, c.now().Unix()+3600)
	must(t, err)
	if !strings.HasPrefix(secret, "shoal_") || len(secret) < 48 || len(tok.Scopes) != 3 {
		t.Fatal(secret, tok)
	}
	var n int
	must(t, db.Read.QueryRow("select count(*) from token where hash = ? or id = ?", secret, secret).Scan(&n))
	if n > 0 {
		t.Fatal("the secret is stored")
	}
	who, err := a.ByToken(ctx, secret)
	must(t, err)
	if who.Name != "ann" || who.Token != tok.ID || !who.May(Add) || who.Session() {
		t.Fatalf("%+v", who)
	}
	if list, err := a.Tokens(ctx, "ann"); err != nil || len(list) != 1 || list[0].LastUsed != c.now().Unix() {
		t.Fatalf("%+v, %v", list, err)
	}
	if who, err := a.Basic(ctx, here, "any", secret); err != nil || who.Name != "ann" {
		t.Fatalf("%+v, %v", who, err)
	}
	must(t, a.SetRole(ctx, "ann", Viewer)) // takes rights from her tokens as well
	if who, _ := a.ByToken(ctx, secret); who.May(Add) || !who.May(Read) {
		t.Fatalf("%+v", who)
	}
	wants(t, a.RemoveToken(ctx, "bob", tok.ID), ErrNoToken)
	for _, bad := range []string{"", "shoal_", secret[6:], secret + "x", secret[:20]} {
		_, err := a.ByToken(ctx, bad)
		wants(t, err, ErrNobody)
	}
	c.add(time.Hour)
	_, err = a.ByToken(ctx, secret)
	wants(t, err, ErrNobody)
	secret, tok, err = a.AddToken(ctx, "ann", "again", []Scope{Read}, 0)
	must(t, err)
	must(t, a.RemoveToken(ctx, "", tok.ID))
	_, err = a.ByToken(ctx, secret)
	wants(t, err, ErrNobody)
	secret, _, err = a.AddToken(ctx, "ann", "last", []Scope{Read}, 0)
	must(t, err)
	must(t, a.RemoveUser(ctx, "ann"))
	_, err = a.ByToken(ctx, secret)
	wants(t, err, ErrNobody)
}

func TestLastAdminStays(t *testing.T) {
	a, _, _ := start(t)
	ctx := t.Context()
	must(t, a.EnsureAdmin(ctx, "ann", "correct horse"))
	must(t, a.AddUser(ctx, "bob", "correct horse", User))
	wants(t, a.RemoveUser(ctx, "ann"), ErrLast)
	wants(t, a.SetRole(ctx, "ann", User), ErrLast)
	wants(t, a.RemoveUser(ctx, "eve"), ErrNoUser)
	wants(t, a.SetRole(ctx, "eve", User), ErrNoUser)
	wants(t, a.AddUser(ctx, "bob", "correct horse", User), ErrExists)
	must(t, a.SetRole(ctx, "bob", Admin))
	must(t, a.RemoveUser(ctx, "ann"))
	if list, err := a.Users(ctx); err != nil || len(list) != 1 || list[0].Role != Admin {
		t.Fatal(list, err)
	}
}

func TestEnsureAdmin(t *testing.T) {
	a, _, _ := start(t)
	ctx := t.Context()
	must(t, a.EnsureAdmin(ctx, "admin", "from a secret"))
	if a.SetupCode() != "" {
		t.Fatal("there is a setup code as well")
	}
	key, _, err := a.Login(ctx, here, "admin", "from a secret", "")
	must(t, err)
	must(t, a.EnsureAdmin(ctx, "admin", "from a secret"))
	_, err = a.BySession(ctx, key)
	must(t, err)
	must(t, a.EnsureAdmin(ctx, "admin", "another secret"))
	_, err = a.BySession(ctx, key)
	wants(t, err, ErrNobody)
	_, _, err = a.Login(ctx, here, "admin", "another secret", "")
	must(t, err)
	var m Mistake
	if err := a.EnsureAdmin(ctx, "admin", "x"); !errors.As(err, &m) {
		t.Fatal(err)
	}
}

func TestGuessingIsSlowed(t *testing.T) {
	a, c, _ := start(t)
	ctx := t.Context()
	must(t, a.AddUser(ctx, "ann", "correct horse", User))
	far := netip.MustParseAddr("2001:db8::1")
	var slow TooSoon
	var waits []time.Duration
	for range 16 {
		_, _, err := a.Login(ctx, far, "ann", "guess", "")
		if errors.As(err, &slow) {
			waits = append(waits, slow.Wait)
			c.add(slow.Wait)
		}
	}
	if len(waits) < 5 || !slices.IsSorted(waits) || waits[len(waits)-1] < 16*time.Second {
		t.Fatalf("waits %v", waits)
	}
	a.Login(ctx, far, "ann", "guess", "")
	_, _, err := a.Login(ctx, netip.MustParseAddr("2001:db8::2"), "ann", "correct horse", "") // the same network
	if !errors.As(err, &slow) {
		t.Fatalf("an address beside: %v", err)
	}
	if _, _, err := a.Login(ctx, here, "ann", "correct horse", ""); err != nil {
		t.Fatalf("another address has to wait: %v", err)
	}
	c.add(forgetAfter + longestWait)
	_, _, err = a.Login(ctx, far, "ann", "correct horse", "")
	must(t, err)
}

func TestGuessingFromEverywhere(t *testing.T) {
	c := &clock{t: time.Unix(1_800_000_000, 0)}
	l := newLimiter(c.now)
	refused := 0
	addr := netip.MustParseAddr("10.0.0.0")
	for range 20000 {
		addr = addr.Next()
		if l.begin(addr) != nil {
			refused++
		}
		c.add(time.Millisecond)
	}
	if refused < 19000 || len(l.of) > maxAddresses {
		t.Fatalf("%d of 20000 refused, %d addresses kept", refused, len(l.of))
	}
	c.add(allLongest)
	must(t, l.begin(here)) // who knows the password waits ten seconds at most
}

func TestLimiterMemory(t *testing.T) {
	c := &clock{t: time.Unix(1_800_000_000, 0)}
	l := newLimiter(c.now)
	addr := netip.MustParseAddr("10.0.0.0")
	for range 2 * maxAddresses {
		addr = addr.Next()
		l.begin(addr)
		c.add(11 * time.Second)
	}
	if len(l.of) > maxAddresses {
		t.Fatalf("%d addresses", len(l.of))
	}
}

func TestBasicIsRemembered(t *testing.T) {
	a, c, _ := start(t)
	ctx := t.Context()
	must(t, a.AddUser(ctx, "ann", "correct horse", User))
	_, err := a.Basic(ctx, here, "ann", "correct horse")
	must(t, err)
	a.hashes <- struct{}{}
	a.hashes <- struct{}{} // whoever hashes now waits for ever
	quick, cancel := context.WithCancel(ctx)
	who, err := a.Basic(quick, here, "ann", "correct horse")
	if err != nil || who.Name != "ann" {
		t.Fatal(err)
	}
	cancel()
	_, err = a.Basic(quick, here, "ann", "wrong")
	wants(t, err, context.Canceled)
	<-a.hashes
	<-a.hashes
	must(t, a.SetPassword(ctx, "ann", "battery staple", Identity{}))
	_, err = a.Basic(ctx, here, "ann", "correct horse")
	wants(t, err, ErrDenied)
	_, err = a.Basic(ctx, here, "ann", "battery staple")
	must(t, err)
	c.add(cacheLife + time.Second)
	if _, ok := a.basic.get(a.basic.key("ann", "battery staple")); ok {
		t.Fatal("remembered for ever")
	}
}

func TestStoredHashesAreChecked(t *testing.T) {
	a, _, _ := start(t)
	sealed, err := a.seal(t.Context(), "correct horse")
	must(t, err)
	if ok, err := a.opens(t.Context(), sealed, "correct horse"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, bad := range []string{"", "x", hashPrefix, hashPrefix + "$", strings.Replace(sealed, "m=19456", "m=9999999", 1), sealed[:len(sealed)-4], sealed + "AAAA"} {
		if ok, err := a.opens(t.Context(), bad, "correct horse"); ok || err != nil {
			t.Errorf("%q opens: %v", bad, err)
		}
	}
	if ok, _ := a.opens(t.Context(), sealed, strings.Repeat("x", maxPassword+1)); ok {
		t.Error("a long one opens")
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"ann", "", "a b", "ann@example.org", "Ünal", "..", "-x", strings.Repeat("a", 100), "a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) <= maxName && names.MatchString(s) && strings.ContainsAny(s, " /\\\x00\n\"'<>&:;") {
			t.Fatalf("%q is taken", s)
		}
	})
}
