// Package arch holds the rules of how the house is built, as tests: layers, the one network seam, purity and budgets.
// See layers.txt and exceptions.txt beside it.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Package is the code of one package that is no test, for all systems at once.
type Package struct {
	Dir   string // slash-separated, from the module's root
	Files []File
}

// File is one parsed source file.
type File struct {
	Path  string // slash-separated, from the module's root
	Lines int
	AST   *ast.File
}

// Name returns the package's name in layers.txt.
func (p *Package) Name() string { return strings.TrimPrefix(p.Dir, "internal/") }

// Imports returns the paths that the package's files import, sorted.
func (p *Package) Imports() []string {
	var all []string
	for _, f := range p.Files {
		for _, i := range f.AST.Imports {
			all = append(all, importPath(i))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func importPath(i *ast.ImportSpec) string {
	s, _ := strconv.Unquote(i.Path.Value)
	return s
}

// Module is the code of a module.
type Module struct {
	Path     string // as in go.mod
	Packages []*Package
	fset     *token.FileSet
}

// Load parses the module whose go.mod is in root.
func Load(root string) (*Module, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	m := &Module{fset: token.NewFileSet()}
	for line := range strings.Lines(string(mod)) {
		if rest, ok := strings.CutPrefix(line, "module "); ok {
			m.Path = strings.TrimSpace(rest)
		}
	}
	return m, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			return skip(root, rel, d.Name())
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		return m.add(rel, name)
	})
}

// skip tells the walk to pass over folders that hold no code of the module, as the go tool does.
func skip(root, rel, base string) error {
	if rel == "." {
		return nil
	}
	if base == "testdata" || base == "vendor" || base == "node_modules" || base[0] == '.' || base[0] == '_' {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(rel), "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (m *Module) add(rel, name string) error {
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(m.fset, rel, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	i := slices.IndexFunc(m.Packages, func(p *Package) bool { return p.Dir == dir })
	if i < 0 {
		i = len(m.Packages)
		m.Packages = append(m.Packages, &Package{Dir: dir})
	}
	p := m.Packages[i]
	p.Files = append(p.Files, File{rel, strings.Count(string(src), "\n"), f})
	return nil
}

// position says where a node is, for messages.
func (m *Module) position(n ast.Node) string {
	p := m.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// projectImports returns the packages of the module that p imports, by their names in layers.txt.
func (m *Module) projectImports(p *Package) []string {
	var names []string
	for _, i := range p.Imports() {
		if rest, ok := strings.CutPrefix(i, m.Path+"/"); ok {
			names = append(names, strings.TrimPrefix(rest, "internal/"))
		}
	}
	return names
}
