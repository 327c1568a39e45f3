package metainfo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"shoal/internal/bencode"
)

// Whatever a torrent calls its files, they are kept under names of their own that are safe on every system.
func TestPaths(t *testing.T) {
	long := strings.Repeat("é", 200)
	for _, c := range []struct {
		name, path string // \x01 separates components
		want       string
	}{
		{"n", "plain.txt", "n/plain.txt"},
		{"n", "", "n/_"},
		{"n", ".", "n/_"},
		{"n", "..\x01..\x01etc\x01passwd", "n/_/_/etc/passwd"},
		{"..", "a", "_/a"},
		{"", "a", "_/a"},
		{"/etc", "passwd", "_etc/passwd"},
		{"n", "a/../../b", "n/a_.._.._b"},
		{"n", `..\..\b`, "n/.._.._b"},
		{"n", "C:\x01boot.ini", "n/C_/boot.ini"},
		{"n", "nul\x00byte\nline\x7f\u0085", "n/nul_byte_line__"},
		{"n", "CON", "n/_CON"},
		{"n", "nul.txt", "n/_nul.txt"},
		{"n", "com1 .a.b", "n/_com1 .a.b"},
		{"n", "LPT³", "n/_LPT³"},
		{"n", "COM10", "n/COM10"},
		{"n", "console", "n/console"},
		{"n", "dots... . ", "n/dots"},
		{"n", "...", "n/_"},
		{"n", "bad\xffutf8", "n/bad_utf8"},
		{"n", "gpj.\u202eexe", "n/gpj._exe"},
		{"n", `what?<>|"*`, "n/what______"},
		{"n", strings.Repeat("n", 300) + ".flac", "n/" + strings.Repeat("n", 249) + ".flac"},
		{"n", long, "n/" + strings.Repeat("é", 127)},
		{"n", "x" + long + ".é", "n/x" + strings.Repeat("é", 125) + ".é"},
		{"n", ".hidden", "n/.hidden"},
		{"n", "日本語\x01ファイル", "n/日本語/ファイル"},
	} {
		i, err := ParseInfo(folderOf(c.name, c.path, "other"))
		if err != nil {
			t.Errorf("%q: %v", c.path, err)
			continue
		}
		if got := i.Layout.Files[0].Path; got != c.want {
			t.Errorf("%q/%q is kept as %q, want %q", c.name, c.path, got, c.want)
		}
		written := append([]string{c.name}, strings.Split(c.path, "\x01")...)
		if !slices.Equal(i.Written(0), written) {
			t.Errorf("written %q, want %q", i.Written(0), written)
		}
		if changed := c.want != strings.Join(written, "/"); changed != (len(i.Notices) > 0) {
			t.Errorf("%q: notices %q", c.path, i.Notices)
		}
	}
}

func TestCollisions(t *testing.T) {
	for _, c := range []struct{ paths, want []string }{
		{[]string{"a", "a", "a"}, []string{"n/a", "n/a (2)", "n/a (3)"}},
		{[]string{"a.txt", "A.TXT"}, []string{"n/a.txt", "n/A (2).TXT"}},
		{[]string{"a (2)", "a", "A"}, []string{"n/a (2)", "n/a", "n/A (3)"}},
		{[]string{"é", "e\u0301", "É"}, []string{"n/é", "n/e\u0301 (2)", "n/É (3)"}},
		{[]string{"각", "\u1100\u1161\u11a8"}, []string{"n/각", "n/\u1100\u1161\u11a8 (2)"}},
		{[]string{"q\u0307\u0323", "q\u0323\u0307"}, []string{"n/q\u0307\u0323", "n/q\u0323\u0307 (2)"}},
		{[]string{"k", "\u212a"}, []string{"n/k", "n/\u212a (2)"}}, // the Kelvin sign
		{[]string{"d", "d\x01x", "D\x01y", "d\x01x"}, []string{"n/d", "n/d (2)/x", "n/d (2)/y", "n/d (2)/x (2)"}},
		{[]string{"d\x01x", "d"}, []string{"n/d/x", "n/d (2)"}},
		{[]string{"a:", "a?", "a_"}, []string{"n/a_", "n/a_ (2)", "n/a_ (3)"}},
		{[]string{strings.Repeat("l", 300), strings.Repeat("l", 301)}, []string{"n/" + strings.Repeat("l", 254), "n/" + strings.Repeat("l", 251) + " (2)"}},
	} {
		i, err := ParseInfo(folderOf("n", c.paths...))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range i.Layout.Files {
			got = append(got, f.Path)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q are kept as %q, want %q", c.paths, got, c.want)
		}
	}
	paths := slices.Repeat([]string{"same"}, 50000) // takes no quadratic time
	i, err := ParseInfo(bencode.Append(nil, dict{"name": "n", "piece length": 1 << 20, "pieces": strings.Repeat("x", 20), "files": func() (l []any) {
		for _, p := range paths {
			l = append(l, dict{"length": 1, "path": []any{p}})
		}
		return
	}()}))
	if err != nil || i.Layout.Files[49999].Path != "n/same (50000)" || len(i.Notices) != maxNotices+1 {
		t.Fatal(err, len(i.Notices))
	}
}

func TestUTF8Names(t *testing.T) {
	raw := info(func(d dict) {
		delete(d, "length")
		d["name"], d["name.utf-8"] = "\x93\xfa", "日"
		d["files"] = []any{
			dict{"length": 1, "path": []any{"\x96{"}, "path.utf-8": []any{"本"}},
			dict{"length": 1, "path": []any{"ok"}, "path.utf-8": []any{"\xff"}},
		}
	})
	i, err := ParseInfo(raw)
	if err != nil || i.Layout.Files[0].Path != "日/本" || i.Layout.Files[1].Path != "日/ok" || i.Name != "日" {
		t.Error(err, i)
	}
}

func TestSymlinks(t *testing.T) {
	link := func(path, target string) dict {
		return dict{"attr": "l", "length": 9, "path": list(strings.Split(path, "/")), "symlink path": list(strings.Split(target, "/"))}
	}
	raw := info(func(d dict) {
		delete(d, "length")
		d["files"] = []any{
			dict{"length": 5, "path": []any{"d", "file"}},
			link("ok", "d/file"), link("dir", "d"), link("CASE", "D/File"), link("through", "dir/file"),
			link("up", "../../etc/passwd"), link("abs", "/etc/passwd"), link("none", "nothing"), link("d/loop", "d"),
			link("loop1", "loop2"), link("loop2", "loop1"), link("empty", ""), link("d/file", "d/file"),
		}
	})
	i, err := ParseInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range i.Layout.Files {
		got = append(got, f.Path+">"+f.Symlink)
		if f.Symlink != "" && f.Length != 0 {
			t.Error("a symlink has bytes")
		}
	}
	want := []string{"a/d/file>", "a/ok>a/d/file", "a/dir>a/d", "a/CASE>a/d/file", "a/through>a/d/file", "a/d/file (2)>a/d/file"}
	if !slices.Equal(got, want) || i.Layout.Size != 5 {
		t.Errorf("%q, want %q", got, want)
	}
	for _, name := range []string{"up", "abs", "none", "d/loop", "loop1", "loop2", "empty"} {
		if !strings.Contains(strings.Join(i.Notices, "\n"), fmt.Sprintf("symlink %q is left out", "a/"+name)) {
			t.Errorf("no notice about %s: %q", name, i.Notices)
		}
	}
}
