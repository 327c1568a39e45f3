package webui

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
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

func get(t *testing.T, url string, head map[string]string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest("GET", url, nil)
	for k, v := range head {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestHandler(t *testing.T) {
	res, page := get(t, "/", nil)
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") || res.Header.Get("Content-Security-Policy") != Policy {
		t.Fatalf("/: %d, %v", res.StatusCode, res.Header)
	}
	// Nothing inline, nothing from elsewhere, nothing that breaks below a path.
	if regexp.MustCompile(`<style|style=| on[a-z]+="|(src|href)="(https?:|/)`).MatchString(page) || strings.Contains(page, "<script>") {
		t.Errorf("the policy does not allow what the page holds:\n%s", page)
	}
	links := regexp.MustCompile(`(?:src|href)="\./([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 4 {
		t.Fatalf("links of the page: %v", links)
	}
	for _, l := range links {
		res, body := get(t, "/"+l[1], nil)
		if res.StatusCode != 200 || body == "" || res.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %d, type %q, %d bytes", l[1], res.StatusCode, res.Header.Get("Content-Type"), len(body))
		}
		if strings.HasPrefix(l[1], "assets/") != strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: Cache-Control is %q", l[1], res.Header.Get("Cache-Control"))
		}
	}
	res, body := get(t, "/", map[string]string{"Accept-Encoding": "br, gzip"})
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatalf("encoding %q: %v", res.Header.Get("Content-Encoding"), err)
	}
	if plain, err := io.ReadAll(z); err != nil || string(plain) != page {
		t.Errorf("compressed page differs: %v", err)
	}
	if res, body := get(t, "/", map[string]string{"If-None-Match": res.Header.Get("ETag")}); res.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("same page asked again: %d, %d bytes", res.StatusCode, len(body))
	}
	for _, bad := range []string{"/nothing", "/assets", "/assets/", "/.source", "/../webui.go", "/index.html/"} {
		if res, _ := get(t, bad, nil); res.StatusCode != 404 {
			t.Errorf("%s: %d", bad, res.StatusCode)
		}
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}
