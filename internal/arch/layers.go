package arch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Layer is a line of layers.txt.
type Layer struct {
	Name     string
	Packages []string
}

// Layers is what layers.txt says.
type Layers struct {
	Lines    []Layer
	Siblings map[string][]string // what a package may import of its own layer
	layer    map[string]int      // index into Lines
}

// The layers with rules of their own, by the first word of their names.
const (
	wordsLayer   = "L0"
	codecsLayer  = "L1"
	brainsLayer  = "L3"
	surfaceLayer = "L6"
	mainLayer    = "main"
	testsLayer   = "tests"
)

// ParseLayers reads layers.txt.
func ParseLayers(text string) (*Layers, error) {
	l := &Layers{Siblings: map[string][]string{}, layer: map[string]int{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if from, to, ok := strings.Cut(line, "→"); ok {
			if err := l.arrow(strings.TrimSpace(from), strings.Fields(to)); err != nil {
				return nil, err
			}
			continue
		}
		name, packages, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("neither a layer nor an arrow: %q", line)
		}
		for _, p := range strings.Fields(packages) {
			if _, twice := l.layer[p]; twice {
				return nil, fmt.Errorf("%s is listed twice", p)
			}
			l.layer[p] = len(l.Lines)
		}
		l.Lines = append(l.Lines, Layer{name, strings.Fields(packages)})
	}
	return l, nil
}

func (l *Layers) arrow(from string, to []string) error {
	layer, known := l.layer[from]
	for _, p := range to {
		if other, ok := l.layer[p]; !known || !ok || other != layer || p == from {
			return fmt.Errorf("%s → %s: not two packages of one layer", from, p)
		}
	}
	l.Siblings[from] = append(l.Siblings[from], to...)
	return nil
}

// in reports whether a package is in the layer whose name begins with the given word.
func (l *Layers) in(pkg, word string) bool {
	i, ok := l.layer[pkg]
	return ok && strings.Fields(l.Lines[i].Name)[0] == word
}

// Check returns what breaks the layers.
func (l *Layers) Check(m *Module) (problems []string) {
	for _, p := range m.Packages {
		name := p.Name()
		layer, ok := l.layer[name]
		if !ok {
			problems = append(problems, fmt.Sprintf("package %s is not listed in layers.txt", name))
			continue
		}
		if l.in(name, wordsLayer) || l.in(name, codecsLayer) || l.in(name, brainsLayer) {
			for _, i := range p.Imports() {
				if first, _, _ := strings.Cut(i, "/"); strings.Contains(first, ".") {
					problems = append(problems, fmt.Sprintf("%s imports %s, which is not of the standard library", name, i))
				}
			}
		}
		if l.in(name, testsLayer) {
			continue
		}
		for _, i := range m.projectImports(p) {
			below, ok := l.layer[i]
			if !ok || below > layer || below == layer && !slices.Contains(l.Siblings[name], i) {
				problems = append(problems, fmt.Sprintf("%s may not import %s", name, i))
			}
		}
	}
	return problems
}

// Draw returns the drawing for ARCHITECTURE.md: the packages that exist, highest layer first, and the arrows among them.
func (l *Layers) Draw(m *Module) string {
	exists := map[string]bool{}
	for _, p := range m.Packages {
		exists[p.Name()] = true
	}
	var b strings.Builder
	draw := func(layer Layer) {
		here := slices.DeleteFunc(slices.Clone(layer.Packages), func(p string) bool { return !exists[p] })
		if len(here) > 0 {
			fmt.Fprintf(&b, "%-12s %s\n", layer.Name, strings.Join(here, " · "))
		}
	}
	for _, layer := range slices.Backward(l.Lines) {
		draw(layer)
	}
	for _, from := range slices.Sorted(maps.Keys(l.Siblings)) {
		to := slices.DeleteFunc(slices.Clone(l.Siblings[from]), func(p string) bool { return !exists[p] })
		if exists[from] && len(to) > 0 {
			fmt.Fprintf(&b, "             %s → %s\n", from, strings.Join(to, ", "))
		}
	}
	return b.String()
}
