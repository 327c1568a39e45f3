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

// wayOut reports whether a name of the standard library opens a socket, resolves a name, or is a client that would.
func wayOut(pkg, name string) bool {
	switch pkg {
	case "net":
		return name != "Listener" && hasPrefix(name, "Dial", "Listen", "Lookup", "Resolve") ||
			slices.Contains([]string{"DefaultResolver", "FileConn", "FileListener", "FilePacketConn"}, name)
	case "net/http":
		return slices.Contains([]string{"DefaultClient", "DefaultTransport", "Get", "Post", "PostForm", "Head", "ListenAndServe", "ListenAndServeTLS"}, name)
	case "crypto/tls":
		return hasPrefix(name, "Dial") || name == "Listen"
	case "syscall":
		return slices.Contains([]string{"Socket", "Connect", "Bind", "Listen"}, name)
	}
	return false
}

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
				at := importPath(i)
				outward := slices.Contains([]string{"net/smtp", "net/rpc", "net/rpc/jsonrpc", "log/syslog"}, at)
				if outward || i.Name != nil && i.Name.Name == "." {
					problems = append(problems, fmt.Sprintf("%s: import of %q", m.position(i), at))
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
			for _, n := range madeHere(f.AST, http) {
				problems = append(problems, fmt.Sprintf("%s: an http.%s made outside netx", m.position(n), http[n]))
			}
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
