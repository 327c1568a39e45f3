package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// Budgets beyond which something has to be split, or excused in exceptions.txt. What to aim at is less: see
// ARCHITECTURE.md.
const (
	maxFunc    = 80   // lines
	maxFile    = 600  // lines
	maxPackage = 3000 // lines
	maxImports = 10   // packages of the project, words (L0) not counted: they are vocabulary, not dependence
	maxMain    = 80   // lines of cmd/shoal
)

// exception allows one thing more than its budget.
type exception struct {
	limit int
	used  bool
}

// Exceptions is what exceptions.txt says: by kind and place.
type Exceptions map[string]*exception

// ParseExceptions reads exceptions.txt.
func ParseExceptions(text string) (Exceptions, error) {
	e := Exceptions{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		place := 2 // words of kind and place
		if words[0] == "func" {
			place = 3
		}
		if len(words) < place+2 {
			return nil, fmt.Errorf("exception without place, limit or reason: %q", line)
		}
		limit, err := strconv.Atoi(words[place])
		if err != nil {
			return nil, fmt.Errorf("exception %q: %w", line, err)
		}
		e[strings.Join(words[:place], " ")] = &exception{limit: limit}
	}
	return e, nil
}

// CheckBudgets returns what is larger than it may be, and the exceptions that are not needed.
func CheckBudgets(m *Module, l *Layers, e Exceptions) (problems []string) {
	check := func(key, unit string, size, limit int) {
		if x := e[key]; x != nil && size > limit {
			x.used = true
			limit = x.limit
		}
		if size > limit {
			problems = append(problems, fmt.Sprintf("%s has %d %s, more than %d", key, size, unit, limit))
		}
	}
	for _, p := range m.Packages {
		lines, budget := 0, maxPackage
		if p.Dir == "cmd/shoal" {
			budget = maxMain
		}
		for _, f := range p.Files {
			lines += f.Lines
			check("file "+f.Path, "lines", f.Lines, maxFile)
			for _, d := range f.AST.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					size := m.fset.Position(fn.End()).Line - m.fset.Position(fn.Pos()).Line + 1
					check("func "+p.Dir+" "+funcName(fn), "lines", size, maxFunc)
				}
			}
		}
		check("package "+p.Dir, "lines", lines, budget)
		if p.Name() != "node" { // the composition root imports what it composes
			imports := slices.DeleteFunc(m.projectImports(p), func(i string) bool { return l.in(i, wordsLayer) })
			check("imports "+p.Dir, "imports of the project", len(imports), maxImports)
		}
	}
	for key, x := range e {
		if !x.used {
			problems = append(problems, "exception not needed: "+key)
		}
	}
	return problems
}

// funcName returns a function's name, with its receiver's type.
func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}
