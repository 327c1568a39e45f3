package arch

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed layers.txt
var layersText string

//go:embed exceptions.txt
var exceptionsText string

func house(t *testing.T) (*Module, *Layers) {
	t.Helper()
	m, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ParseLayers(layersText)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(m.Packages, func(p *Package) bool { return p.Name() == "netx" }) {
		t.Fatalf("found no netx among %d packages of %s", len(m.Packages), m.Path)
	}
	return m, l
}

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

func TestLayers(t *testing.T) {
	m, l := house(t)
	report(t, l.Check(m))
	t.Log("\n" + l.Draw(m))
}

func TestOneNetworkSeam(t *testing.T) {
	m, _ := house(t)
	report(t, CheckSeam(m))
}

func TestPurity(t *testing.T) {
	m, l := house(t)
	report(t, CheckPurity(m, l))
}

func TestBudgets(t *testing.T) {
	m, l := house(t)
	e, err := ParseExceptions(exceptionsText)
	if err != nil {
		t.Fatal(err)
	}
	report(t, CheckBudgets(m, l, e))
}

// plant writes a module of the given files and loads it.
func plant(t *testing.T, files map[string]string) *Module {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module planted\n\ngo 1.26\n"
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// expect checks that there is one problem for each of want, which holds it, and no other.
func expect(t *testing.T, problems []string, want ...string) {
	t.Helper()
	for _, w := range want {
		i := slices.IndexFunc(problems, func(p string) bool { return strings.Contains(p, w) })
		if i < 0 {
			t.Errorf("not found: %s", w)
			continue
		}
		problems = slices.Delete(problems, i, i+1)
	}
	for _, p := range problems {
		t.Errorf("found without reason: %s", p)
	}
}

const small = `
L0 words: a a2
L1 codecs: b
L2 plumbing: netx
L3 brains: d/e d
tests: sim
a2 → a
d → d/e
`

func TestPlantedImports(t *testing.T) {
	l, err := ParseLayers(small)
	if err != nil {
		t.Fatal(err)
	}
	m := plant(t, map[string]string{
		"internal/a/a.go":            `package a; import _ "planted/internal/b"`,
		"internal/a/a_test.go":       `package a; import _ "planted/internal/d"`,
		"internal/a2/a2.go":          `package a2; import _ "planted/internal/a"; import _ "golang.org/x/net"`,
		"internal/b/b.go":            `package b; import _ "planted/internal/a"`,
		"internal/b/testdata/x.go":   `package x; import _ "planted/internal/d"`,
		"internal/netx/n.go":         `package netx; import _ "golang.org/x/sys"`,
		"internal/netx/n_windows.go": `package netx; import _ "planted/internal/sim"`,
		"internal/d/e/e.go":          `package e; import _ "planted/internal/d"`,
		"internal/d/d.go":            `package d; import _ "planted/internal/d/e"`,
		"internal/sim/s.go":          `package sim; import _ "planted/internal/netx"`,
		"internal/lost/l.go":         `package lost`,
		"nested/go.mod":              `module nested`,
		"nested/x.go":                `package x; import _ "planted/internal/d"`,
	})
	expect(t, l.Check(m), "a may not import b", "a2 imports golang.org/x/net", "netx may not import sim", "d/e may not import d", "lost is not listed")
	if got := l.Draw(m); !strings.Contains(got, "L3 brains    d/e · d\n") || !strings.Contains(got, "d → d/e\n") {
		t.Errorf("drawing:\n%s", got)
	}
}

func TestBadLayers(t *testing.T) {
	for _, bad := range []string{"words", "L0 w: a\nL1 c: a", "L0 w: a b\nc → a", "L0 w: a\nL1 c: b\nb → a", "L0 w: a\na → a"} {
		if _, err := ParseLayers(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestPlantedSockets(t *testing.T) {
	const all = `package p
import (
	"crypto/tls"
	"net"
	web "net/http"
	"net/smtp"
	. "net/url"
)
var _ net.Listener
var _ net.Conn
var _ *web.Client
var _ *web.Transport
var _ = net.Dial
var _ = net.DialTimeout
var _ net.Dialer
var _ = net.Listen
var _ net.ListenConfig
var _ = net.LookupHost
var _ = net.ResolveTCPAddr
var _ net.Resolver
var _ = net.DefaultResolver
var _ = net.FileConn
var _ = tls.Dial
var _ = web.DefaultClient
var _ = web.DefaultTransport
var _ = web.Get
var _ = web.Post
var _ = web.Head
var _ = &web.Client{}
var _ web.Transport
func f() { _ = new(web.Client) }
`
	m := plant(t, map[string]string{
		"internal/p/p.go":      all,
		"internal/p/p_test.go": all,
		"internal/netx/n.go":   all,
		"internal/netx/x/x.go": all,
	})
	problems := CheckSeam(m)
	for _, p := range problems {
		if !strings.HasPrefix(p, "internal/p/p.go:") {
			t.Error("in the wrong place:", p)
		}
	}
	expect(t, problems, `import of "net/smtp"`, `import of "net/url"`, "net.DialTimeout ", "net.Dialer ", "net.Dial ", "net.ListenConfig", "net.Listen ",
		"net.LookupHost", "net.ResolveTCPAddr", "net.Resolver", "net.DefaultResolver", "net.FileConn", "tls.Dial", "http.DefaultClient",
		"http.DefaultTransport", "http.Get", "http.Post", "http.Head", "http.Client made", "http.Transport made", "http.Client made")
}

func TestPlantedImpurity(t *testing.T) {
	l, err := ParseLayers(small)
	if err != nil {
		t.Fatal(err)
	}
	const impure = `package p
import (
	"net"
	"net/netip"
	"os"
	"time"
)
var _ time.Time
var _ netip.Addr
var _ = net.JoinHostPort
var _ net.Conn
var _ = time.Now
var _ = time.Sleep
var _ = time.After
func f() { go f() }
`
	m := plant(t, map[string]string{"internal/b/p.go": impure, "internal/netx/p.go": impure, "internal/b/p_test.go": impure})
	expect(t, CheckPurity(m, l), `import of "os"`, "net.Conn", "time.Now", "time.Sleep", "time.After ", "a goroutine")
	m = plant(t, map[string]string{"internal/d/p.go": impure})
	if len(CheckPurity(m, l)) != 6 {
		t.Error("brains are not checked")
	}
}

func TestPlantedSize(t *testing.T) {
	long := "func f() {\n" + strings.Repeat("\n", 79) + "}\n"
	method := strings.ReplaceAll(long, "func f", "func (t *T[K]) f")
	var imports strings.Builder
	for i := range 11 {
		fmt.Fprintf(&imports, "import _ \"planted/internal/p%d\"\n", i)
	}
	files := map[string]string{
		"internal/a/a.go":   "package a\ntype T[K any] int\n" + long + method,
		"internal/b/b.go":   "package b\n" + strings.Repeat("\n", 600),
		"internal/c/c.go":   "package c\nimport _ \"planted/internal/w\"\n" + imports.String(),
		"cmd/shoal/main.go": "package main\n" + strings.Repeat("\n", 80),
	}
	for i := range 6 {
		files[fmt.Sprintf("internal/d/%d.go", i)] = "package d\n" + strings.Repeat("\n", 560)
	}
	m := plant(t, files)
	l, err := ParseLayers("L0 words: w\nL1 codecs: p0")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, CheckBudgets(m, l, nil), "func internal/a f has 81 lines", "func internal/a T.f has 81 lines", "file internal/b/b.go has 601 lines",
		"imports internal/c has 11", "package cmd/shoal has 81", "package internal/d has 3366")

	e, err := ParseExceptions("# why\n\nfunc internal/a f 90 a table\nfunc internal/a T.f 80 too tight\nfile internal/b/b.go 601 data\n" +
		"file internal/c/c.go 700 nothing\nimports internal/c 11 all of them\npackage cmd/shoal 81 flags\npackage internal/d 4000 large")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, CheckBudgets(m, l, e), "func internal/a T.f has 81 lines, more than 80", "exception not needed: file internal/c/c.go")
	for _, bad := range []string{"file x.go 700", "func x 700 reason", "file x.go many reason", "file"} {
		if _, err := ParseExceptions(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a folder without go.mod is loaded")
	}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n"), 0o644)
	os.WriteFile(filepath.Join(dir, "x.go"), []byte("package"), 0o644)
	if _, err := Load(dir); err == nil {
		t.Error("a broken file is loaded")
	}
}
