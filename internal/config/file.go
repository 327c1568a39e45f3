package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFile bounds the file of settings, maxSecret a file that holds a secret, in bytes; maxDepth the tables within tables that are looked into.
const (
	maxDepth  = 4
	maxFile   = 256 << 10
	maxSecret = 64 << 10
)

// entry is one key of a file.
type entry struct {
	key   string // with the tables it is in, as in "bandwidth.down"
	value any
	line  int // 0: not known
}

// parseFile reads TOML into its keys, in the order of their lines. Errors begin with the line.
func parseFile(b []byte) ([]entry, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("more than %d bytes", maxFile)
	}
	var tree map[string]any
	if err := toml.Unmarshal(b, &tree); err != nil {
		if e, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ := e.Position()
			return nil, fmt.Errorf("%d: %s", line, strings.TrimPrefix(e.Error(), "toml: "))
		}
		return nil, fmt.Errorf("1: %w", err)
	}
	lines, err := keyLines(b)
	if err != nil {
		return nil, fmt.Errorf("1: %w", err)
	}
	list := flatten(nil, "", tree, lines)
	slices.SortStableFunc(list, func(a, b entry) int { return a.line - b.line })
	return list, nil
}

// flatten lists what is in a table. A table without keys, or too deep, is listed itself, so that its name is looked at.
func flatten(list []entry, prefix string, tree map[string]any, lines map[string]int) []entry {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key := prefix + name
		switch v := tree[name].(type) {
		case map[string]any:
			if len(v) == 0 || strings.Count(key, ".") >= maxDepth {
				list = append(list, entry{key, v, lines[key]})
				continue
			}
			list = flatten(list, key+".", v, lines)
		default:
			list = append(list, entry{key, v, lines[key]})
		}
	}
	return list
}

// keyLines returns the line of each key and table.
func keyLines(b []byte) (map[string]int, error) {
	lines := map[string]int{}
	var p unstable.Parser
	p.Reset(b)
	table := ""
	line, counted := 1, 0 // line is that of the byte at counted
	for p.NextExpression() {
		e := p.Expression()
		var name []string
		for keys := e.Key(); keys.Next(); {
			k := keys.Node()
			name = append(name, string(k.Data))
			if at := int(k.Raw.Offset); at > counted {
				line += bytes.Count(b[counted:at], []byte{'\n'})
				counted = at
			}
		}
		key := strings.Join(name, ".")
		if e.Kind == unstable.Table || e.Kind == unstable.ArrayTable {
			table = key + "."
			lines[key] = line
			continue
		}
		lines[table+key] = line
		if v := e.Value(); v.Kind == unstable.InlineTable {
			inline(lines, table+key, line, v)
		}
	}
	return lines, p.Error()
}

// inline notes the keys of an inline table, which is on one line.
func inline(lines map[string]int, prefix string, line int, table *unstable.Node) {
	for pairs := table.Children(); pairs.Next(); {
		key := prefix
		for keys := pairs.Node().Key(); keys.Next(); {
			key += "." + string(keys.Node().Data)
		}
		lines[key] = line
		if v := pairs.Node().Value(); v.Kind == unstable.InlineTable {
			inline(lines, key, line, v)
		}
	}
}

// fromFile returns what a file says. A file that is not there says nothing, unless it was asked for by name.
func fromFile(path string, named bool) ([]assignment, []error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, []error{fmt.Errorf("settings: %w", err)}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, []error{fmt.Errorf("settings: %w", err)}
	}
	entries, err := parseFile(b)
	if err != nil {
		return nil, []error{fmt.Errorf("%s:%w", path, err)}
	}
	var list []assignment
	var problems []error
	for _, e := range entries {
		o := origin{SourceFile, fmt.Sprintf("%s:%d", path, e.line)}
		a := assignment{raw: e.value, base: filepath.Dir(path), origin: o}
		if a.setting = byKey[e.key]; a.setting == nil {
			if s := byKey[strings.TrimSuffix(e.key, "_file")]; s != nil && s.secret {
				a.setting, a.fromFile = s, true
			}
		}
		if a.setting != nil {
			list = append(list, a)
		} else if _, empty := e.value.(map[string]any); !empty || !slices.ContainsFunc(groups, func(g group) bool { return g.name == e.key }) {
			problems = append(problems, fmt.Errorf("%s: unknown key %s%s", o.place, e.key, didYouMean(e.key, fileKeys())))
		}
	}
	return list, problems
}

// fileKeys are all keys that a file may have.
func fileKeys() []string {
	var keys []string
	for i := range table {
		keys = append(keys, table[i].key)
		if table[i].secret {
			keys = append(keys, table[i].key+"_file")
		}
	}
	return keys
}

// readSecret reads a file that holds one value, without the line break at its end.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(b) > maxSecret:
		return "", fmt.Errorf("%s has more than %d bytes", path, maxSecret)
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return s, nil
}
