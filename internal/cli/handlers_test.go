//go:build unix && !darwin

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPreferAndDrop(t *testing.T) {
	const mime = "x-scheme-handler/magnet"
	for _, test := range []struct{ before, after, dropped string }{
		{"", "[Default Applications]\nx-scheme-handler/magnet=shoal.desktop;", "[Default Applications]"},
		{"# mine\n[Default Applications]\ntext/html=browser.desktop\n\n[Removed Associations]\na=b;", "# mine\n[Default Applications]\ntext/html=browser.desktop\n" + mime + "=shoal.desktop;\n\n[Removed Associations]\na=b;",
			"# mine\n[Default Applications]\ntext/html=browser.desktop\n\n[Removed Associations]\na=b;"},
		{"[Default Applications]\n" + mime + " = other.desktop", "[Default Applications]\n" + mime + "=shoal.desktop;other.desktop;", "[Default Applications]\n" + mime + "=other.desktop;"},
		{"[Default Applications]\n" + mime + "=other.desktop;shoal.desktop;", "[Default Applications]\n" + mime + "=shoal.desktop;other.desktop;", "[Default Applications]\n" + mime + "=other.desktop;"},
		{"[Added Associations]\n" + mime + "=other.desktop", "[Added Associations]\n" + mime + "=other.desktop\n\n[Default Applications]\n" + mime + "=shoal.desktop;", "[Added Associations]\n" + mime + "=other.desktop\n\n[Default Applications]"},
	} {
		var lines []string
		if test.before != "" {
			lines = strings.Split(test.before, "\n")
		}
		got := preferUs(lines, "Default Applications", mime)
		if strings.Join(got, "\n") != test.after {
			t.Errorf("%q:\n%q, want\n%q", test.before, strings.Join(got, "\n"), test.after)
		}
		if again := preferUs(strings.Split(test.after, "\n"), "Default Applications", mime); strings.Join(again, "\n") != test.after {
			t.Errorf("a second time: %q", again)
		}
		if got := strings.Join(dropUs(got), "\n"); got != test.dropped {
			t.Errorf("dropped: %q, want %q", got, test.dropped)
		}
	}
}

func TestExecQuote(t *testing.T) {
	for path, want := range map[string]string{
		"/usr/bin/shoal":     `"/usr/bin/shoal"`,
		`/a b/$x/"y"/100%`:   `"/a b/\\$x/\\"y\\"/100%%"`,
		"/back\\slash/`tick": "\"/back\\\\\\\\slash/\\\\`tick\"",
	} {
		if got := execQuote(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// mimeapps.list stays a link to where its owner keeps it, with the mode that it has.
func TestLinkedMimeApps(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	real := filepath.Join(dir, "dotfiles")
	if err := os.WriteFile(real, []byte("[Default Applications]\nimage/png=viewer.desktop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, filepath.Join(dir, "mimeapps.list")); err != nil {
		t.Fatal(err)
	}
	if err := addHandlers("/usr/bin/shoal"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(real)
	if err != nil || !strings.Contains(string(b), "image/png=viewer.desktop\n") || !strings.Contains(string(b), "application/x-bittorrent=shoal.desktop;\n") {
		t.Errorf("%v: %s", err, b)
	}
	if fi, err := os.Stat(real); err != nil || fi.Mode().Perm() != 0o600 {
		t.Error(fi.Mode(), err)
	}
	if fi, err := os.Lstat(filepath.Join(dir, "mimeapps.list")); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Error("it is no link any more")
	}
	if err := addHandlers("/a=b/shoal"); err == nil {
		t.Error("a path that a desktop entry cannot have")
	}
}

// The entry that packages install is the one that install-handlers writes, for the program on the path.
func TestPackagedEntry(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "packaging", "shoal.desktop"))
	if want := strings.Replace(entryText("shoal"), `"shoal"`, "shoal", 1); err != nil || string(b) != want {
		t.Errorf("%v:\n%s\nwant\n%s", err, b, want)
	}
}
