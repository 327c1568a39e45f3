package webui

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The build writes dist/.source: a line for each file of the source and of the output, with its SHA-256. So output that was not made from this source,
// or was edited by hand, is seen without Node; `make web-check` builds anew and compares.
func TestDistIsMadeFromTheSource(t *testing.T) {
	text, err := os.ReadFile("dist/.source")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		sum, name, ok := strings.Cut(line, "  ")
		if !ok {
			t.Fatalf("line of dist/.source: %q", line)
		}
		want[name] = sum
	}
	root := filepath.Join("..", "..", "web")
	found := map[string]string{}
	add := func(name, file string) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		found[name] = hex.EncodeToString(sum[:])
	}
	for _, name := range []string{"index.html", "package.json", "package-lock.json", "vite.config.ts", "sources.ts", "svelte.config.js"} {
		add(name, filepath.Join(root, name))
	}
	walk := func(prefix, dir string) {
		err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == ".source" {
				return err
			}
			rel, err := filepath.Rel(dir, file)
			add(prefix+"/"+filepath.ToSlash(rel), file)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	walk("src", filepath.Join(root, "src"))
	walk("public", filepath.Join(root, "public"))
	walk("dist", "dist")
	for name, sum := range found {
		if want[name] != sum {
			t.Errorf("%s is not what the UI was built from, or into: run `make web` and commit internal/webui/dist", name)
		}
	}
	for name := range want {
		if found[name] == "" {
			t.Errorf("%s is gone since the UI was built: run `make web` and commit internal/webui/dist", name)
		}
	}
}

// The page holds nothing inline, nothing from elsewhere and nothing that breaks below a path, and what it names is there.
func TestPage(t *testing.T) {
	page, err := fs.ReadFile(FS(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`<style|style=| on[a-z]+="|(src|href)="(https?:|/)`).Match(page) || strings.Contains(string(page), "<script>") {
		t.Errorf("the policy of the server does not allow what the page holds:\n%s", page)
	}
	links := regexp.MustCompile(`(?:src|href)="\./([^"]+)"`).FindAllSubmatch(page, -1)
	if len(links) < 4 {
		t.Fatalf("links of the page: %q", links)
	}
	for _, l := range links {
		if b, err := fs.ReadFile(FS(), string(l[1])); err != nil || len(b) == 0 {
			t.Errorf("%s: %d bytes, %v", l[1], len(b), err)
		}
	}
	if _, err := fs.Stat(FS(), ".source"); err == nil {
		t.Error("the list of what it was built from would be served")
	}
}
