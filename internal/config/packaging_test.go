package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var variableName = regexp.MustCompile(`\bSHOAL_[A-Z0-9_]+`)

// What the image, the compose files and the documents set or name is there to be set.
func TestVariablesNamedElsewhere(t *testing.T) {
	known := slices.Clone(ours)
	for i := range table {
		known = append(known, table[i].variable())
		if table[i].secret {
			known = append(known, table[i].variable()+"_FILE")
		}
	}
	files := 0
	look := func(path string) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range variableName.FindAllString(string(b), -1) {
			files++
			if !slices.Contains(known, name) && !foreign(name) {
				t.Errorf("%s: %s is no variable of ours", path, name)
			}
		}
	}
	err := filepath.WalkDir(filepath.Join("..", "..", "packaging"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			look(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	look(filepath.Join("..", "..", "docs", "node.md"))
	if files < 10 {
		t.Errorf("%d names seen", files)
	}
}

// Keys that the documents name in backquotes are settings.
func TestKeysNamedElsewhere(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "node.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := "(" + strings.Join(groupNames(), "|") + ")"
	seen := regexp.MustCompile("`"+names+`\.[a-z_]+`).FindAllString(string(b), -1)
	for _, key := range seen {
		if key = strings.Trim(key, "`"); byKey[key] == nil && byKey[strings.TrimSuffix(key, "_file")] == nil && !strings.HasSuffix(key, ".toml") {
			t.Errorf("docs/node.md: no setting %s", key)
		}
	}
	if len(seen) < 5 {
		t.Errorf("%d keys seen", len(seen))
	}
}

func groupNames() (names []string) {
	for _, g := range groups {
		names = append(names, g.name)
	}
	return names
}
