package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// uses calls visit for each name of another package that a file mentions. Package names are taken from the imports.
func uses(f File, visit func(n ast.Node, pkg, name string)) {
	names := map[string]string{}
	for _, i := range f.AST.Imports {
		p := importPath(i)
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = p
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && names[x.Name] != "" {
				visit(s, names[x.Name], s.Sel.Name)
			}
		}
		return true
	})
}

// systemCalls are the names in syscall, x/sys/unix and x/sys/windows by which a socket is made or used, or a name resolved, without
// package net: functions, and numbers for a raw system call.
var systemCalls = []string{
	"Socket", "Connect", "Bind", "Listen", "Accept", "Accept4", "Sendto", "Sendmsg", "SendmsgN", "SendmsgBuffers",
	"WSASocket", "ConnectEx", "LoadConnectEx", "AcceptEx", "LoadGetAddrInfo", "WSASendto", "WSASendtoInet4", "WSASendtoInet6", "WSASendMsg",
	"GetAddrInfoW", "GetHostByName", "DnsQuery",
	"SYS_SOCKET", "SYS_SOCKETCALL", "SYS_CONNECT", "SYS_BIND", "SYS_LISTEN", "SYS_ACCEPT", "SYS_ACCEPT4", "SYS_SENDTO", "SYS_SENDMSG", "SYS_SENDMMSG",
	"SYS_IO_URING_SETUP",
}

// wayOut reports whether a name of another package opens a socket, resolves a name, or is a client that would.
func wayOut(pkg, name string) bool {
	switch pkg {
	case "net":
		return name != "Listener" && hasPrefix(name, "Dial", "Listen", "Lookup", "Resolve") ||
			slices.Contains([]string{"DefaultResolver", "FileConn", "FileListener", "FilePacketConn"}, name)
	case "net/http":
		return slices.Contains([]string{"DefaultClient", "DefaultTransport", "Get", "Post", "PostForm", "Head"}, name) // and listening
	case "net/http/httputil":
		return hasPrefix(name, "ReverseProxy", "NewSingleHostReverseProxy") // without a Transport they use the default one
	case "net/textproto":
		return name == "Dial"
	case "crypto/tls":
		return hasPrefix(name, "Dial") || name == "Listen"
	case "syscall", "golang.org/x/sys/unix", "golang.org/x/sys/windows":
		return slices.Contains(systemCalls, name)
	}
	return false
}

// outward are packages of the standard library that connect or listen by themselves.
var outward = []string{"net/smtp", "net/rpc", "net/rpc/jsonrpc", "net/http/httptest", "log/syslog", "plugin"}

// socketless are the packages from elsewhere that were looked at and found to open no socket, or to do so only by the names that
// systemCalls has. Any other may have a dialer of its own, as clients for UPnP, DNS or SOCKS do, and is for netx alone.
var socketless = []string{
	"github.com/danielgtaylor/huma/v2",
	"github.com/danielgtaylor/huma/v2/adapters/humago",
	"github.com/pelletier/go-toml/v2",
	"github.com/pelletier/go-toml/v2/unstable",
	"github.com/prometheus/client_golang/prometheus",
	"github.com/prometheus/client_golang/prometheus/collectors",
	"github.com/prometheus/client_golang/prometheus/promhttp",
	"github.com/oschwald/maxminddb-golang/v2",
	"github.com/mmcdole/gofeed", // its Parse: ParseURL has a client of its own
	"github.com/rogpeppe/go-internal/testscript",
	"github.com/skip2/go-qrcode",
	"github.com/spf13/cobra",
	"github.com/spf13/cobra/doc",
	"github.com/spf13/pflag",
	"golang.org/x/crypto/argon2",
	"golang.org/x/sys/cpu",
	"golang.org/x/sys/unix",
	"golang.org/x/sys/windows",
	"golang.org/x/sys/windows/registry",
	"golang.org/x/term",
	"modernc.org/sqlite",
	"modernc.org/sqlite/lib",
}

// badImport says what is wrong with an import outside netx, if anything.
func badImport(m *Module, i *ast.ImportSpec) string {
	at := importPath(i)
	first, _, _ := strings.Cut(at, "/")
	switch {
	case slices.Contains(outward, at):
		return fmt.Sprintf("import of %q, which connects by itself", at)
	case i.Name != nil && i.Name.Name == ".":
		return fmt.Sprintf("import of %q by a dot, which hides what is used", at)
	case at == "C":
		return `import of "C", which cannot be looked into`
	case at == "unsafe" && i.Name != nil && i.Name.Name == "_":
		return `import of "unsafe" for go:linkname, which reaches what packages hide`
	case strings.Contains(first, ".") && at != m.Path && !strings.HasPrefix(at, m.Path+"/") && !slices.Contains(socketless, at):
		return fmt.Sprintf("import of %q, which may have a dialer of its own: see socketless", at)
	}
	return ""
}

// listening are the functions and methods of net/http that open a listener by themselves. Nothing else has these names.
var listening = []string{"ListenAndServe", "ListenAndServeTLS"}

func hasPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// CheckSeam returns every way to the network beside netx: sockets, name resolution, and HTTP clients or transports,
// which dial by themselves unless netx has made them.
func CheckSeam(m *Module) (problems []string) {
	for _, p := range m.Packages {
		if n := p.Name(); n == "netx" || strings.HasPrefix(n, "netx/") {
			continue
		}
		for _, f := range p.Files {
			for _, i := range f.AST.Imports {
				if bad := badImport(m, i); bad != "" {
					problems = append(problems, m.position(i)+": "+bad)
				}
			}
			http := map[ast.Node]string{}
			uses(f, func(n ast.Node, pkg, name string) {
				if wayOut(pkg, name) {
					problems = append(problems, fmt.Sprintf("%s: %s.%s outside netx", m.position(n), path.Base(pkg), name))
				}
				if pkg == "net/http" && (name == "Client" || name == "Transport") {
					http[n] = name
				}
			})
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(listening, s.Sel.Name) {
					problems = append(problems, fmt.Sprintf("%s: %s outside netx", m.position(s), s.Sel.Name))
				}
				return true
			})
			for _, n := range madeHere(f.AST, http) {
				problems = append(problems, fmt.Sprintf("%s: an http.%s made outside netx", m.position(n), http[n]))
			}
		}
	}
	return problems
}

// routeMakers are the names of netx that make a network out of nothing.
var routeMakers = []string{"NewHost", "NewDevice", "ParseRoute", "Route"}

// CheckRoutes returns where a package below the surface makes a network for itself. It has to use the one that it was given: whose
// identity a socket is of is decided in one place.
func CheckRoutes(m *Module, l *Layers) (problems []string) {
	for _, p := range m.Packages {
		name := p.Name()
		if name == "netx" || strings.HasPrefix(name, "netx/") || l.in(name, surfaceLayer) || l.in(name, mainLayer) || l.in(name, testsLayer) {
			continue
		}
		for _, f := range p.Files {
			uses(f, func(n ast.Node, pkg, name string) {
				if pkg == m.Path+"/internal/netx" && slices.Contains(routeMakers, name) {
					problems = append(problems, fmt.Sprintf("%s: netx.%s below the surface", m.position(n), name))
				}
			})
		}
	}
	return problems
}

// madeHere returns the types among those given of which the file makes values: literals, new, variables that are no
// pointers, and fields and results likewise.
func madeHere(f *ast.File, types map[ast.Node]string) (made []ast.Node) {
	pointer := map[ast.Node]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.StarExpr); ok {
			pointer[s.X] = true
		}
		return true
	})
	for n := range types {
		if !pointer[n] {
			made = append(made, n)
		}
	}
	slices.SortFunc(made, func(a, b ast.Node) int { return int(a.Pos() - b.Pos()) })
	return made
}

// pureNet are the functions of package net that only work on text.
var pureNet = []string{"SplitHostPort", "JoinHostPort"}

// CheckPurity returns where a codec or a brain has a clock, a goroutine, a file or a socket.
func CheckPurity(m *Module, l *Layers) (problems []string) {
	for _, p := range m.Packages {
		if !l.in(p.Name(), codecsLayer) && !l.in(p.Name(), brainsLayer) {
			continue
		}
		for _, f := range p.Files {
			for _, i := range f.AST.Imports {
				switch at := importPath(i); at {
				case "os", "os/exec", "os/signal", "os/user", "net/http", "crypto/tls", "syscall", "path/filepath", "io/ioutil":
					problems = append(problems, fmt.Sprintf("%s: import of %q in a pure package", m.position(i), at))
				}
			}
			uses(f, func(n ast.Node, pkg, name string) {
				clock := pkg == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, name)
				if clock || pkg == "net" && !slices.Contains(pureNet, name) || pkg == "context" && hasPrefix(name, "WithTimeout", "WithDeadline", "AfterFunc") {
					problems = append(problems, fmt.Sprintf("%s: %s.%s in a pure package", m.position(n), path.Base(pkg), name))
				}
			})
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if g, ok := n.(*ast.GoStmt); ok {
					problems = append(problems, m.position(g)+": a goroutine in a pure package")
				}
				return true
			})
		}
	}
	return problems
}
