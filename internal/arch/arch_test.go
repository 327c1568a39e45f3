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

func TestRoutesAreGiven(t *testing.T) {
	m, l := house(t)
	report(t, CheckRoutes(m, l))
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

// violations are the ways past the seam, each alone in a file, with what is said of it.
var violations = []struct{ code, want string }{
	{`import "net"; var _, _ = net.Dial("tcp", "")`, "net.Dial outside netx"},
	{`import "net"; var _, _ = net.DialTimeout("tcp", "", 0)`, "net.DialTimeout outside netx"},
	{`import "net"; var _, _ = net.DialTCP("tcp", nil, nil)`, "net.DialTCP outside netx"},
	{`import "net"; var _, _ = net.DialUDP("udp", nil, nil)`, "net.DialUDP outside netx"},
	{`import "net"; var _, _ = net.DialUnix("unix", nil, nil)`, "net.DialUnix outside netx"},
	{`import n "net"; var _ = n.Dial`, "net.Dial outside netx"},
	{`import "net"; var _ = net.Dialer{}`, "net.Dialer outside netx"},
	{`import "net"; var _ = (&net.Dialer{}).Dial`, "net.Dialer outside netx"},
	{`import "net"; var _ net.Dialer`, "net.Dialer outside netx"},
	{`import "net"; type mine struct{ *net.Dialer }`, "net.Dialer outside netx"},
	{`import "net"; type D = net.Dialer`, "net.Dialer outside netx"},
	{`import "net"; var _, _ = net.Listen("tcp", "")`, "net.Listen outside netx"},
	{`import "net"; var _, _ = net.ListenPacket("udp", "")`, "net.ListenPacket outside netx"},
	{`import "net"; var _, _ = net.ListenTCP("tcp", nil)`, "net.ListenTCP outside netx"},
	{`import "net"; var _, _ = net.ListenUDP("udp", nil)`, "net.ListenUDP outside netx"},
	{`import "net"; var _, _ = net.ListenMulticastUDP("udp", nil, nil)`, "net.ListenMulticastUDP outside netx"},
	{`import "net"; var _ = net.ListenConfig{}`, "net.ListenConfig outside netx"},
	{`import "net"; var _, _ = net.LookupHost("")`, "net.LookupHost outside netx"},
	{`import "net"; var _, _ = net.LookupIP("")`, "net.LookupIP outside netx"},
	{`import "net"; var _, _ = net.LookupAddr("")`, "net.LookupAddr outside netx"},
	{`import "net"; var _, _ = net.LookupTXT("")`, "net.LookupTXT outside netx"},
	{`import "net"; var _, _ = net.ResolveTCPAddr("tcp", "")`, "net.ResolveTCPAddr outside netx"},
	{`import "net"; var _, _ = net.ResolveUDPAddr("udp", "")`, "net.ResolveUDPAddr outside netx"},
	{`import "net"; var _ = net.Resolver{PreferGo: true}`, "net.Resolver outside netx"},
	{`import "net"; var _ = net.DefaultResolver.LookupHost`, "net.DefaultResolver outside netx"},
	{`import "net"; var _, _ = net.FileConn(nil)`, "net.FileConn outside netx"},
	{`import "net"; var _, _ = net.FileListener(nil)`, "net.FileListener outside netx"},
	{`import "net"; var _, _ = net.FilePacketConn(nil)`, "net.FilePacketConn outside netx"},
	{`import "crypto/tls"; var _, _ = tls.Dial("tcp", "", nil)`, "tls.Dial outside netx"},
	{`import "crypto/tls"; var _, _ = tls.DialWithDialer(nil, "tcp", "", nil)`, "tls.DialWithDialer outside netx"},
	{`import "crypto/tls"; var _ = tls.Dialer{}`, "tls.Dialer outside netx"},
	{`import "crypto/tls"; var _, _ = tls.Listen("tcp", "", nil)`, "tls.Listen outside netx"},
	{`import "net/textproto"; var _, _ = textproto.Dial("tcp", "")`, "textproto.Dial outside netx"},
	{`import "net/http"; var _ = http.DefaultClient.Do`, "http.DefaultClient outside netx"},
	{`import "net/http"; var _ = http.DefaultTransport`, "http.DefaultTransport outside netx"},
	{`import "net/http"; var _, _ = http.Get("")`, "http.Get outside netx"},
	{`import "net/http"; var _, _ = http.Head("")`, "http.Head outside netx"},
	{`import "net/http"; var _, _ = http.Post("", "", nil)`, "http.Post outside netx"},
	{`import "net/http"; var _, _ = http.PostForm("", nil)`, "http.PostForm outside netx"},
	{`import web "net/http"; var _ = &web.Client{}`, "an http.Client made outside netx"},
	{`import "net/http"; var _ http.Client`, "an http.Client made outside netx"},
	{`import "net/http"; func f() { _ = new(http.Client) }`, "an http.Client made outside netx"},
	{`import "net/http"; type mine struct{ http.Client }`, "an http.Client made outside netx"},
	{`import "net/http"; var _ = []http.Client{{}}`, "an http.Client made outside netx"},
	{`import "net/http"; var _ = http.Transport{}`, "an http.Transport made outside netx"},
	{`import "net/http"; func f() { _ = new(http.Transport) }`, "an http.Transport made outside netx"},
	{`import "net/http"; var _ = http.ListenAndServe("", nil)`, "ListenAndServe outside netx"},
	{`import "net/http"; var _ = http.ListenAndServeTLS("", "", "", nil)`, "ListenAndServeTLS outside netx"},
	{`import "net/http"; var _ = (&http.Server{}).ListenAndServe()`, "ListenAndServe outside netx"},
	{`import "net/http"; func f(s *http.Server) { s.ListenAndServeTLS("", "") }`, "ListenAndServeTLS outside netx"},
	{`import "net/http/httputil"; var _ = &httputil.ReverseProxy{}`, "httputil.ReverseProxy outside netx"},
	{`import "net/http/httputil"; var _ = httputil.NewSingleHostReverseProxy(nil)`, "httputil.NewSingleHostReverseProxy outside netx"},
	{`import "net/http/httptest"; var _ = httptest.NewServer(nil)`, `import of "net/http/httptest"`},
	{`import "net/smtp"; var _, _ = smtp.Dial("")`, `import of "net/smtp"`},
	{`import "net/rpc"; var _, _ = rpc.Dial("tcp", "")`, `import of "net/rpc"`},
	{`import "net/rpc/jsonrpc"; var _, _ = jsonrpc.Dial("tcp", "")`, `import of "net/rpc/jsonrpc"`},
	{`import "log/syslog"; var _, _ = syslog.Dial("", "", 0, "")`, `import of "log/syslog"`},
	{`import "plugin"; var _, _ = plugin.Open("")`, `import of "plugin"`},
	{`import . "net"; var _, _ = Dial("tcp", "")`, `import of "net" by a dot`},
	{`import "C"`, `import of "C"`},
	{`import _ "unsafe"`, `import of "unsafe" for go:linkname`},
	{`import "syscall"; var _, _ = syscall.Socket(0, 0, 0)`, "syscall.Socket outside netx"},
	{`import "syscall"; var _ = syscall.Connect(0, nil)`, "syscall.Connect outside netx"},
	{`import "syscall"; var _ = syscall.Bind(0, nil)`, "syscall.Bind outside netx"},
	{`import "syscall"; var _ = syscall.Listen(0, 0)`, "syscall.Listen outside netx"},
	{`import "syscall"; var _ = syscall.Sendto(0, nil, 0, nil)`, "syscall.Sendto outside netx"},
	{`import "syscall"; var _, _, _ = syscall.RawSyscall(syscall.SYS_SOCKET, 0, 0, 0)`, "syscall.SYS_SOCKET outside netx"},
	{`import "syscall"; var _, _, _ = syscall.Syscall(syscall.SYS_CONNECT, 0, 0, 0)`, "syscall.SYS_CONNECT outside netx"},
	{`import "syscall"; var _ = syscall.ConnectEx`, "syscall.ConnectEx outside netx"},
	{`import "syscall"; var _ = syscall.GetAddrInfoW`, "syscall.GetAddrInfoW outside netx"},
	{`import "golang.org/x/sys/unix"; var _, _ = unix.Socket(0, 0, 0)`, "unix.Socket outside netx"},
	{`import "golang.org/x/sys/unix"; var _ = unix.Connect(0, nil)`, "unix.Connect outside netx"},
	{`import "golang.org/x/sys/unix"; var _ = unix.Bind(0, nil)`, "unix.Bind outside netx"},
	{`import "golang.org/x/sys/unix"; var _ = unix.Sendmsg`, "unix.Sendmsg outside netx"},
	{`import "golang.org/x/sys/unix"; const n = unix.SYS_SENDMMSG`, "unix.SYS_SENDMMSG outside netx"},
	{`import "golang.org/x/sys/unix"; const n = unix.SYS_IO_URING_SETUP`, "unix.SYS_IO_URING_SETUP outside netx"},
	{`import "golang.org/x/sys/windows"; var _ = windows.WSASocket`, "windows.WSASocket outside netx"},
	{`import "golang.org/x/sys/windows"; var _ = windows.DnsQuery`, "windows.DnsQuery outside netx"},
	{`import "golang.org/x/net/proxy"; var _ = proxy.Direct`, `import of "golang.org/x/net/proxy"`},
	{`import "golang.org/x/net/websocket"; var _ = websocket.Dial`, `import of "golang.org/x/net/websocket"`},
	{`import "github.com/huin/goupnp"; var _ = goupnp.HTTPClientDefault`, `import of "github.com/huin/goupnp"`},
	{`import "github.com/miekg/dns"; var _ = new(dns.Client)`, `import of "github.com/miekg/dns"`},
	{`import "github.com/cretz/bine/tor"; var _ = tor.Start`, `import of "github.com/cretz/bine/tor"`},
}

// allowed is what looks like a way out and is none.
const allowed = `package p
import (
	"crypto/tls"
	"net"
	"net/http"
	"syscall"
	"unsafe"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"planted/internal/netx"
)
var _ net.Listener
var _ net.Conn
var _ *http.Client
var _ *http.Transport
var _ http.Handler
var _ = &http.Server{}
var _ = http.Serve
var _ = tls.Client
var _ = tls.NewListener
var _ = net.JoinHostPort
var _ syscall.RawConn
var _ = syscall.SYS_READV
var _ = unix.Poll
var _ unsafe.Pointer
var _ cobra.Command
var _ = netx.Dial
`

// Each way past the seam is found by itself, in a file for any system; and nothing is found in netx, in tests, or where there is nothing.
func TestPlantedSockets(t *testing.T) {
	files := map[string]string{"internal/ok/ok.go": allowed}
	for i, v := range violations {
		code := "package p\n" + v.code + "\n"
		files[fmt.Sprintf("internal/p/%d/p_windows.go", i)] = code
		files[fmt.Sprintf("internal/p/%d/p_test.go", i)] = code
		files[fmt.Sprintf("internal/netx/p%d.go", i)] = code
		files[fmt.Sprintf("internal/netx/x/p%d.go", i)] = code
	}
	problems := CheckSeam(plant(t, files))
	for i, v := range violations {
		at := fmt.Sprintf("internal/p/%d/p_windows.go:2: ", i)
		var found []string
		problems = slices.DeleteFunc(problems, func(p string) bool {
			if strings.HasPrefix(p, at) {
				found = append(found, p)
			}
			return strings.HasPrefix(p, at)
		})
		if len(found) != 1 || !strings.Contains(found[0], v.want) {
			t.Errorf("%s\nis found as %q", v.code, found)
		}
	}
	if len(problems) > 0 {
		t.Errorf("found without reason: %q", problems)
	}
}

func TestPlantedRoutes(t *testing.T) {
	l, err := ParseLayers("L2 plumbing: netx\nL4 engines: e\nL5 products: p\nL6 surface: cli\nmain: cmd/x\ntests: sim")
	if err != nil {
		t.Fatal(err)
	}
	const code = `package x
import "planted/internal/netx"
var _ netx.Network
var _ = netx.TraitsOf
var _ = netx.NewHost(netx.Options{})
var _ = netx.NewDevice
var _, _ = netx.ParseRoute("tor")
var _ netx.Route
`
	m := plant(t, map[string]string{
		"internal/e/e.go": code, "internal/e/e_test.go": code, "internal/p/p.go": code, "internal/cli/c.go": code, "cmd/x/x.go": code,
		"internal/sim/s.go": code, "internal/netx/n.go": code, "internal/netx/y/y.go": code,
	})
	var want []string
	for _, file := range []string{"internal/e/e.go", "internal/p/p.go"} {
		for i, name := range []string{"NewHost", "NewDevice", "ParseRoute", "Route"} {
			want = append(want, fmt.Sprintf("%s:%d: netx.%s below the surface", file, i+5, name))
		}
	}
	expect(t, CheckRoutes(m, l), want...)
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
