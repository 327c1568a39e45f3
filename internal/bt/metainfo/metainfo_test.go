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
		{files([]any{dict{"attr": "p", "length": 16385}, dict{"length": 1, "path": []any{"a"}}}), `16385 bytes of padding before "a" are more than a piece`},
		{files([]any{dict{"length": 1, "path": []any{"a"}}, dict{"attr": "p", "length": 9000}, dict{"attr": "p", "length": 9000}}), "18000 bytes of padding at the end are more than a piece"},
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
			s.Reset(p, -1)
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
