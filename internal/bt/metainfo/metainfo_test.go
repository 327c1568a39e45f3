package metainfo

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/internal/bencode"
)

type dict = map[string]any

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var fixtures = []string{"tree-v1.torrent", "tree-v2.torrent", "tree-hybrid.torrent", "one-v1.torrent", "one-v2.torrent", "one-hybrid.torrent"}

// The infohashes are those that libtorrent finds, and encoding gives the file again.
func TestFixtures(t *testing.T) {
	want := map[string][]string{}
	for line := range strings.Lines(string(fixture(t, "infohashes.txt"))) {
		f := strings.Fields(line)
		want[f[0]] = f[1:]
	}
	for _, name := range fixtures {
		b := fixture(t, name)
		tor, err := Parse(b)
		if err != nil {
			t.Fatal(name, err)
		}
		i := tor.Info
		if got := []string{i.Hash.V1.String(), i.Hash.V2.String()}; !slices.Equal(got, want[name]) {
			t.Errorf("%s: %v, want %v", name, got, want[name])
		}
		if !bytes.Equal(tor.Encode(), b) || len(i.Notices)+len(tor.Notices) > 0 {
			t.Error(name, "does not encode to itself, or has notices", i.Notices, tor.Notices)
		}
		if fmt.Sprintf("%v %v %s %s %d", tor.Announce, tor.WebSeeds, tor.Comment, tor.CreatedBy, tor.Created.Unix()) !=
			"[[http://one.example/announce] [udp://two.example:80]] [http://seed.example/] fixture test 1500000000" {
			t.Error(name, tor)
		}
		l := &i.Layout
		single := strings.HasPrefix(name, "one")
		if i.Private == single || i.Folder == single || i.HasV1 == strings.Contains(name, "v2") || i.HasV2 == strings.Contains(name, "v1") {
			t.Error(name, i.Private, i.Folder, i.HasV1, i.HasV2)
		}
		if l.CutTail != !i.HasV1 || i.HasV2 && len(i.Roots) != len(l.Files) {
			t.Error(name, l.CutTail, len(i.Roots))
		}
		var got string
		for _, f := range l.Files {
			got += fmt.Sprintf("%s %d+%d %v\n", f.Path, f.Offset, f.Length, f.Executable)
		}
		size, listing := int64(200000), "one.bin 0+200000 false\n"
		switch {
		case name == "tree-v1.torrent":
			size, listing = 205541, "tree/a.bin 0+100000 false\ntree/empty 100000+0 false\ntree/sub/b.bin 100000+65536 false\ntree/sub/deep/c.sh 165536+5 true\ntree/z.bin 165541+40000 false\n"
		case !single:
			size, listing = 269376, "tree/a.bin 0+100000 false\ntree/empty 100000+0 false\ntree/sub/b.bin 131072+65536 false\ntree/sub/deep/c.sh 196608+5 true\ntree/z.bin 229376+40000 false\n"
			if i.HasV1 {
				size = 294912 // padded to the end of a piece
			}
		}
		if got != listing || l.Size != size {
			t.Errorf("%s: %d bytes:\n%swant %d:\n%s", name, l.Size, got, size, listing)
		}
	}
}

// info returns a sound info dictionary of v1 with one file.
func info(change func(dict)) []byte {
	d := dict{"name": "a", "piece length": 16384, "length": 5, "pieces": strings.Repeat("x", 20)}
	change(d)
	return bencode.Append(nil, d)
}

// folder returns a v1 info dictionary with files of one byte at the paths, which are slash-separated.
func folderOf(name string, paths ...string) []byte {
	return info(func(d dict) {
		delete(d, "length")
		d["name"] = name
		var files []any
		for _, p := range paths {
			files = append(files, dict{"length": 1, "path": list(strings.Split(p, "\x01"))})
		}
		d["files"] = files
	})
}

func v2(change func(info, tree dict)) []byte {
	tree := dict{"a": dict{"": dict{"length": 5, "pieces root": strings.Repeat("r", 32)}}}
	d := dict{"name": "a", "piece length": 16384, "file tree": tree, "meta version": 2}
	change(d, tree)
	return bencode.Append(nil, d)
}

func nested(depth int) any {
	var v any = dict{"": dict{"length": 1, "pieces root": strings.Repeat("r", 32)}}
	for range depth {
		v = dict{"d": v}
	}
	return v
}

func TestRefusedInfo(t *testing.T) {
	set := func(key string, v any) []byte { return info(func(d dict) { d[key] = v }) }
	unset := func(key string) []byte { return info(func(d dict) { delete(d, key) }) }
	files := func(v any) []byte {
		return info(func(d dict) { delete(d, "length"); d["files"] = v })
	}
	file := func(f dict) []byte { return files([]any{f}) }
	leaf := func(f dict) []byte { return v2(func(_, tree dict) { tree["a"] = dict{"": f} }) }
	hybrid := func(change func(d dict)) []byte {
		return v2(func(d, tree dict) { d["pieces"] = strings.Repeat("x", 20); d["length"] = 5; change(d) })
	}
	root := strings.Repeat("r", 32)
	for _, c := range []struct {
		raw  []byte
		want string
	}{
		{[]byte("i1e"), "info is a integer, not a dictionary"},
		{[]byte("de"), "length and files are missing"},
		{[]byte("d"), "unexpected end"},
		{make([]byte, MaxInfo+1), "info has 33554433 bytes, more than"},
		{unset("name"), "name is missing"},
		{set("name", 1), "name is a integer, not a string"},
		{unset("piece length"), "piece length is missing"},
		{set("piece length", "x"), "piece length is a string, not an integer"},
		{set("piece length", 0), "piece length 0 is not within 1"},
		{set("piece length", -16384), "piece length -16384 is not within"},
		{set("piece length", MaxPieceLength+1), "is not within"},
		{unset("pieces"), "pieces is missing"},
		{set("pieces", 1), "pieces is a integer, not a string"},
		{set("pieces", ""), "pieces has 0 bytes, not 20 for 1 pieces"},
		{set("pieces", "short"), "pieces has 5 bytes"},
		{set("length", -5), "length -5 is negative"},
		{set("length", "5"), "length is a string, not an integer"},
		{set("length", 0), "all files are empty"},
		{set("length", int64(1)<<61), "length 2305843009213693952 is more than"},
		{set("length", int64(1)<<50), "pieces, more than 2097152"},
		{set("private", "yes"), "private is a string, not an integer"},
		{set("files", []any{}), "both length and files"},
		{set("attr", "p"), "attr makes the only file a pad or a symlink"},
		{set("attr", 7), "attr is a integer, not a string"},
		{set("meta version", 3), "meta version 3 is not known"},
		{set("meta version", 2), "file tree is missing"},
		{set("file tree", dict{}), "meta version is not 2"},
		{files("x"), "files is a string, not a list"},
		{files([]any{}), "lists no files"},
		{files([]any{1}), "files[0] is a integer, not a dictionary"},
		{file(dict{"length": 1}), "files[0]: path is missing"},
		{file(dict{"length": 1, "path": "a"}), "files[0]: path is a string, not a list"},
		{file(dict{"length": 1, "path": []any{}}), "files[0]: path is empty"},
		{file(dict{"length": 1, "path": []any{"a", 1}}), "path has a integer in it"},
		{file(dict{"length": 1, "path": list(make([]string, maxDepth+1))}), "path has more than 128 components"},
		{file(dict{"path": []any{"a"}}), "files[0]: length is missing"},
		{file(dict{"attr": "l", "path": []any{"a"}}), "symlink path is missing"},
		{files([]any{dict{"length": maxSize, "path": []any{"a"}}, dict{"length": 1, "path": []any{"b"}}}), "files[1]: length 1 makes the content longer"},
		{file(dict{"length": 1, "path": list(slices.Repeat([]string{strings.Repeat("n", 200)}, 30))}), "has more than 4096 bytes"},
		{file(dict{"attr": "p", "length": 5, "path": []any{"pad"}}), "all files are empty"},
		{v2(func(d, _ dict) { d["piece length"] = 16385 }), "piece length 16385 of a v2 torrent is not a power of two"},
		{v2(func(d, _ dict) { d["piece length"] = 8192 }), "piece length 8192 of a v2 torrent"},
		{v2(func(d, _ dict) { d["file tree"] = 1 }), "file tree: \"\" is a integer, not a dictionary"},
		{v2(func(d, _ dict) { d["file tree"] = dict{} }), "lists no files"},
		{v2(func(d, tree dict) { tree["a"] = 1 }), `"a" is a integer, not a dictionary`},
		{v2(func(d, tree dict) { tree["a"] = dict{"": dict{"length": 1}, "b": dict{}} }), `"a" is both a file and a folder`},
		{v2(func(d, tree dict) { tree["a"] = nested(61) }), "more than 64 levels"},
		{leaf(dict{"length": 5}), "pieces root is missing"},
		{leaf(dict{"length": 5, "pieces root": "short"}), "pieces root is missing or not 32 bytes"},
		{leaf(dict{"length": 5, "pieces root": strings.Repeat("\x00", 32)}), "not 32 bytes that are not zero"},
		{leaf(dict{"length": -1, "pieces root": root}), "length -1 is negative"},
		{leaf(dict{"length": int64(1) << 50, "pieces root": root}), "pieces, more than"},
		{leaf(dict{"attr": "p", "length": 5, "pieces root": root}), "is a pad file, which v2 has not"},
		{[]byte("d9:file treede4:name1:a12:meta versioni2e12:piece lengthi16384ee"), "keys of a v2 torrent are not sorted"},
		{hybrid(func(d dict) { delete(d, "length") }), "a hybrid needs pieces and one of length and files"},
		{hybrid(func(d dict) { delete(d, "pieces") }), "a hybrid needs pieces"},
		{hybrid(func(d dict) { d["length"] = 6 }), "has length 6 in files and 5 in file tree"},
		{hybrid(func(d dict) { d["name"] = "b" }), `file tree is not the one file "b"`},
		{hybrid(func(d dict) { delete(d, "length"); d["files"] = []any{dict{"length": 5, "path": []any{"b"}}} }), `files lists "b" where file tree has "a"`},
		{hybrid(func(d dict) {
			delete(d, "length")
			d["files"] = []any{dict{"length": 5, "path": []any{"a"}}, dict{"length": 0, "path": []any{"b"}}}
		}), `files lists "b", which file tree does not`},
		{hybrid(func(d dict) {
			delete(d, "length")
			d["files"] = []any{dict{"attr": "p", "length": 3, "path": []any{"p"}}, dict{"length": 5, "path": []any{"a"}}}
		}), `"a" begins at 3 in files and at 0 in file tree`},
		{hybrid(func(d dict) {
			delete(d, "length")
			d["files"] = []any{dict{"length": 5, "path": []any{"a"}}, dict{"attr": "p", "length": 1 << 20, "path": []any{"p"}}}
		}), "pads beyond the last piece"},
		{hybrid(func(d dict) {
			delete(d, "length")
			d["files"] = []any{dict{"attr": "p", "length": 5, "path": []any{"p"}}}
		}), `file tree lists "a", which files does not`},
	} {
		i, err := ParseInfo(c.raw)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.150q: %v, want %q (%v)", c.raw, err, c.want, i != nil)
		}
	}
}

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

// Pads are gaps, by their attribute or by BitComet's name.
func TestPads(t *testing.T) {
	raw := info(func(d dict) {
		delete(d, "length")
		d["files"] = []any{
			dict{"length": 10, "path": []any{"x"}},
			dict{"attr": "p", "length": 90},
			dict{"length": 10, "path": []any{"y"}},
			dict{"length": 90, "path": []any{"_____padding_file_0_"}},
		}
	})
	i, err := ParseInfo(raw)
	if err != nil {
		t.Fatal(err)
	}
	l := &i.Layout
	if len(l.Files) != 2 || l.Files[1].Offset != 100 || l.Size != 200 || l.DataLen(0) != 110 {
		t.Error(l)
	}
}

func torrent(raw []byte, change func(dict)) []byte {
	d := dict{"info": bencode.Raw(raw)}
	change(d)
	return bencode.Append(nil, d)
}

func TestTorrentFields(t *testing.T) {
	raw := info(func(dict) {})
	b := torrent(raw, func(d dict) {
		d["announce"] = "http://other/"
		d["announce-list"] = []any{[]any{" http://a/ ", "http://b/", "http://a/", 3, ""}, []any{}, "http://c/", []any{"http://b/", "http://x/\x00"}, 7}
		d["nodes"] = []any{[]any{"h", 1}, []any{"::1", 65535}, []any{"h", 0}, []any{"h"}, 4}
		d["url-list"] = []any{"http://w/ ", "http://w/", 1}
		d["httpseeds"] = "http://s/"
		d["comment"], d["created by"], d["creation date"] = "c\xff", 3, "today"
		d["custom"], d["piece layers"] = []any{1, dict{"k": "v"}}, dict{}
	})
	tor, err := Parse(append(b, "\r\n"...))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%q %q %q %q %q", tor.Announce, tor.Nodes, tor.WebSeeds, tor.HTTPSeeds, tor.Comment); got !=
		`[["http://a/" "http://b/"] ["http://c/"]] ["h:1" "[::1]:65535"] ["http://w/"] ["http://s/"] "c`+"\ufffd"+`"` {
		t.Error(got)
	}
	all := strings.Join(tor.Notices, "\n")
	for _, part := range []string{"2 bytes behind", "created by is a integer", "creation date is not a time", "piece layers is ignored", "nodes has", "announce-list is a integer", "cannot be one", "url-list is a integer"} {
		if !strings.Contains(all, part) {
			t.Errorf("no notice %q in %q", part, all)
		}
	}
	again, err := Parse(tor.Encode())
	if err != nil || len(again.Notices) != 0 {
		t.Fatal(err, again.Notices)
	}
	if !bytes.Contains(again.Encode(), []byte("6:customli1ed1:k1:vee")) || again.Info.Hash != tor.Info.Hash {
		t.Error("an unknown key or the info dictionary was lost")
	}
	many := torrent(raw, func(d dict) {
		var l []any
		for i := range maxURLs + 5 {
			l = append(l, []any{fmt.Sprint("http://t/", i)})
		}
		d["announce-list"] = l
	})
	if tor, err = Parse(many); err != nil || len(tor.Announce) != maxURLs {
		t.Error(err, len(tor.Announce))
	}
	if tor, err = Parse(torrent(raw, func(d dict) { d["announce"] = "udp://t" })); err != nil || fmt.Sprint(tor.Announce) != "[[udp://t]]" {
		t.Error(err, tor.Announce)
	}
}

func TestRefusedTorrent(t *testing.T) {
	two := fixture(t, "one-v2.torrent")
	good, err := Parse(two)
	if err != nil {
		t.Fatal(err)
	}
	root := good.Info.Roots[0]
	layer := good.PieceLayers[root]
	bad := slices.Clone(layer)
	bad[5] ^= 1
	layers := func(v any) []byte { return torrent(good.Info.Raw, func(d dict) { d["piece layers"] = v }) }
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{nil, "unexpected end"},
		{[]byte("le"), "torrent is a list"},
		{[]byte("de"), "info is missing"},
		{[]byte("d4:infoi1ee"), "info is a integer"},
		{make([]byte, MaxTorrent+1), "torrent has 67108865 bytes"},
		{[]byte("d4:infode4:infodee"), `repeated key "info"`},
		{layers(1), "piece layers is a integer"},
		{layers(dict{"short": "x"}), "key of 5 bytes, not 32"},
		{layers(dict{string(root[:]): 1}), "is a integer, not a string"},
		{layers(dict{string(root[:]): layer[32:]}), `layer of "one.bin" has 192 bytes, not 224 for 7 pieces`},
		{layers(dict{string(root[:]): bad}), `layer of "one.bin" does not match its root`},
	} {
		if _, err := Parse(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %q", c.b, err, c.want)
		}
	}
	tor, err := Parse(layers(dict{strings.Repeat("u", 32): layer}))
	if err != nil || len(tor.Notices) != 1 || len(tor.PieceLayers) != 0 {
		t.Error(err, tor)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range fixtures {
		f.Add(fixture(f, name))
	}
	f.Add(torrent(folderOf("n", "a", "A", "..\x01b"), func(d dict) { d["announce-list"] = []any{[]any{"u"}} }))
	f.Fuzz(func(t *testing.T, b []byte) {
		tor, err := Parse(b)
		if err != nil {
			return
		}
		i := tor.Info
		checkSafe(t, i)
		h, err := NewHashes(i, tor.PieceLayers)
		if err != nil {
			t.Fatal(err)
		}
		s := h.NewSum()
		for p := range min(i.Layout.Pieces(), 3) {
			h.Known(p)
			s.Reset(p)
			s.Good()
		}
		enc := tor.Encode()
		again, err := Parse(enc)
		if err != nil {
			t.Fatalf("%q: %v", enc, err)
		}
		if !bytes.Equal(again.Encode(), enc) || again.Info.Hash != i.Hash {
			t.Fatalf("%q encodes to %q", enc, again.Encode())
		}
	})
}

// checkSafe checks what storage relies on.
func checkSafe(t *testing.T, i *Info) {
	t.Helper()
	if err := i.Layout.Valid(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for k := range i.Layout.Files {
		f := &i.Layout.Files[k]
		for j, c := range strings.Split(f.Path, "/") {
			if c != safeComponent(c) {
				t.Fatalf("unsafe path %q", f.Path)
			}
			if j == 0 && c != i.Name {
				t.Fatalf("path %q is not below %q", f.Path, i.Name)
			}
		}
		if key := fold(f.Path); seen[key] {
			t.Fatalf("path %q is twice there", f.Path)
		} else {
			seen[key] = true
		}
		if f.Symlink != "" && f.Symlink != i.Name && !strings.HasPrefix(f.Symlink, i.Name+"/") {
			t.Fatalf("symlink to %q", f.Symlink)
		}
		if len(i.Written(k)) == 0 {
			t.Fatal("no written path")
		}
	}
	if i.HasV1 && len(i.Pieces) != i.Layout.Pieces()*sha1.Size || i.HasV2 && len(i.Roots) != len(i.Layout.Files) {
		t.Fatal("hashes do not fit the layout")
	}
}
