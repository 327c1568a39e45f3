package cli_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/bencode"
	"shoal/internal/cli"
)

type dict = map[string]any

// torrentOf returns a .torrent with one sound file of v1, after change.
func torrentOf(change func(torrent, info dict)) []byte {
	info := dict{"name": "name", "piece length": 16384, "length": 5, "pieces": strings.Repeat("x", sha1.Size)}
	torrent := dict{"info": info}
	change(torrent, info)
	return bencode.Append(nil, torrent)
}

// field returns a torrent whose info has one field changed; nil takes it away.
func field(key string, value any) []byte {
	return torrentOf(func(_, info dict) {
		info[key] = value
		if value == nil {
			delete(info, key)
		}
	})
}

// folder returns a torrent of v1 with the given files.
func folder(name string, files ...any) []byte {
	return torrentOf(func(_, info dict) {
		delete(info, "length")
		info["name"], info["files"] = name, files
	})
}

// at is a file of one byte at a path.
func at(path ...any) dict { return dict{"length": 1, "path": path} }

// tree returns a torrent of v2 with the given file tree.
func tree(change func(info, tree dict)) []byte {
	files := dict{"name": dict{"": dict{"length": 5, "pieces root": strings.Repeat("r", 32)}}}
	info := dict{"name": "name", "piece length": 16384, "file tree": files, "meta version": 2}
	change(info, files)
	return bencode.Append(nil, dict{"info": info, "piece layers": dict{}})
}

func leaf(f dict) []byte {
	return tree(func(_, tree dict) { tree["name"] = dict{"": f} })
}

// run runs a command line and returns what it printed.
func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Main(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// A broken .torrent is refused with one line that names the file and what is wrong with it.
func TestBrokenTorrents(t *testing.T) {
	root := strings.Repeat("r", 32)
	dir := t.TempDir()
	for i, c := range []struct {
		raw  []byte
		want string
	}{
		{nil, "unexpected end"},
		{[]byte("<!DOCTYPE html><html>404</html>"), "'<'"},
		{[]byte("hello"), "'h'"},
		{[]byte("d"), "unexpected end"},
		{[]byte("de"), "info is missing"},
		{[]byte("i1e"), "torrent is a integer, not a dictionary"},
		{[]byte("le"), "torrent is a list, not a dictionary"},
		{[]byte("4:spam"), "torrent is a string, not a dictionary"},
		{[]byte("d4:info"), "unexpected end"},
		{[]byte("d4:infoi1ee"), "info is a integer, not a dictionary"},
		{[]byte("d4:info99999999999999999999:xe"), "number too large at byte 7"},
		{[]byte("d4:info-1:xe"), "'-'"},
		{[]byte("d4:infoi--1ee"), "unexpected byte '-' in a number"},
		{[]byte("d4:infoi99999999999999999999999ee"), "number too large"},
		{[]byte("di1ei2ee"), "key"},
		{append(bytes.Repeat([]byte("l"), 100000), bytes.Repeat([]byte("e"), 100000)...), "levels"},
		{field("name", nil), "name is missing"},
		{field("name", 5), "name is a integer, not a string"},
		{field("piece length", nil), "piece length is missing"},
		{field("piece length", 0), "piece length 0 is not within"},
		{field("piece length", -1), "piece length -1 is not within"},
		{field("piece length", int64(1)<<62), "piece length 4611686018427387904 is not within"},
		{field("piece length", "big"), "piece length is a string, not an integer"},
		{field("pieces", nil), "pieces is missing"},
		{field("pieces", "short"), "pieces has 5 bytes, not 20 for 1 pieces"},
		{field("pieces", strings.Repeat("x", 40)), "pieces has 40 bytes, not 20"},
		{field("pieces", []any{}), "pieces is a list, not a string"},
		{field("length", nil), "length and files are missing"},
		{field("length", -1), "length -1 is negative"},
		{field("length", 0), "all files are empty"},
		{field("length", "5"), "length is a string, not an integer"},
		{field("length", int64(1)<<62), "is more than"},
		{field("length", int64(1)<<55), "pieces, more than"},
		{field("files", []any{}), "both length and files"},
		{field("private", "yes"), "private is a string, not an integer"},
		{field("meta version", 9), "meta version 9 is not known"},
		{field("meta version", 2), "file tree is missing"},
		{folder("name"), "lists no files"},
		{folder("name", 7), "files[0] is a integer, not a dictionary"},
		{folder("name", dict{"length": 1}), "files[0]: path is missing"},
		{folder("name", dict{"path": []any{"a"}}), "files[0]: length is missing"},
		{folder("name", at()), "files[0]: path is empty"},
		{folder("name", at("a", 1)), "path has a integer in it"},
		{folder("name", dict{"length": 1, "path": "a/b"}), "path is a string, not a list"},
		{folder("name", dict{"length": -1, "path": []any{"a"}}), "files[0]: length -1 is negative"},
		{folder("name", at(make129()...)), "more than 128 components"},
		{folder("name", dict{"attr": "l", "path": []any{"a"}}), "symlink path is missing"},
		{folder("name", dict{"attr": "p", "length": 5, "path": []any{"pad"}}), "all files are empty"},
		{tree(func(info, _ dict) { info["piece length"] = 20000 }), "not a power of two"},
		{tree(func(info, _ dict) { info["file tree"] = "x" }), "file tree"},
		{tree(func(_, tree dict) { delete(tree, "name") }), "lists no files"},
		{tree(func(_, tree dict) { tree["name"] = dict{"": dict{"length": 5, "pieces root": root}, "x": dict{}} }), "both a file and a folder"},
		{leaf(dict{"length": 5}), "pieces root is missing"},
		{leaf(dict{"length": 5, "pieces root": "short"}), "pieces root is missing or not 32 bytes"},
		{leaf(dict{"length": -5, "pieces root": root}), "length -5 is negative"},
		{bencode.Append(nil, dict{"info": bencode.Raw("d4:name1:xe"), "piece layers": "x"}), "length and files are missing"},
	} {
		path := filepath.Join(dir, fmt.Sprintf("%02d.torrent", i))
		if err := os.WriteFile(path, c.raw, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"show", "get", "verify", "seed"} {
			code, stdout, stderr := run(verb, path)
			if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 ||
				!strings.HasPrefix(stderr, "shoal: "+path+": ") || !strings.Contains(stderr, c.want) {
				t.Errorf("%s %.80q: exit code %d, %q%q, want %q", verb, c.raw, code, stdout, stderr, c.want)
			}
		}
	}
}

func make129() []any {
	path := make([]any, 129)
	for i := range path {
		path[i] = "d"
	}
	return path
}

// Names that mean something else than a file in the download folder are kept under names that do not.
func TestHostileNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hostile.torrent")
	two := func(a, b dict) []byte { return folder("name", a, b) }
	for _, c := range []struct {
		raw  []byte
		want string // the paths
	}{
		{field("name", "../../etc/passwd"), ".._.._etc_passwd"},
		{field("name", ".."), "_"},
		{field("name", "/"), "_"},
		{field("name", ""), "_"},
		{field("name", `C:\autoexec.bat`), "C__autoexec.bat"},
		{field("name", "con"), "_con"},
		{field("name", "AUX.txt"), "_AUX.txt"},
		{field("name", "a\x00b"), "a_b"},
		{field("name", "a\x1b[2Jb"), "a_[2Jb"},
		{field("name", "photo\u202egpj.exe"), "photo_gpj.exe"},
		{field("name", "bad\xff\xfeutf"), "bad__utf"},
		{field("name", "trailing. . "), "trailing"},
		{field("name", strings.Repeat("n", 300)), strings.Repeat("n", 254)},
		{folder("..", at("..", "..", "x")), "_/_/_/x"},
		{folder("name", at("", "x")), "name/_/x"},
		{folder("name", at("/etc/passwd")), "name/_etc_passwd"},
		{folder("name", at(`..\..\x`)), `name/.._.._x`},
		{folder("name", at("nul")), "name/_nul"},
		{folder("name", at("com1.log")), "name/_com1.log"},
		{folder("name", at("x:stream")), "name/x_stream"},
		{two(at("a"), at("a")), "name/a name/a (2)"},
		{two(at("A"), at("a")), "name/A name/a (2)"},
		{two(at("\u00e9"), at("e\u0301")), "name/\u00e9 name/e\u0301 (2)"},
		{two(at("a"), at("a", "b")), "name/a name/a (2)/b"},
	} {
		if err := os.WriteFile(path, c.raw, 0o644); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := run("show", path, "--json")
		var shown struct {
			Files   []struct{ Path string }
			Notices []string
		}
		if err := json.Unmarshal([]byte(stdout), &shown); err != nil {
			t.Errorf("%.80q: %d %s%s: %v", c.raw, code, stdout, stderr, err)
			continue
		}
		var got []string
		for _, f := range shown.Files {
			got = append(got, f.Path)
		}
		if code != 0 || strings.Join(got, " ") != c.want || len(shown.Notices) == 0 {
			t.Errorf("%.80q: exit code %d, %q, want %q; notices %q", c.raw, code, got, c.want, shown.Notices)
		}
		if _, stdout, _ := run("show", path); strings.ContainsAny(stdout, "\x1b\x00\u202e") {
			t.Errorf("%.80q shows as %q", c.raw, stdout)
		}
	}
}

// A link that cannot be one says why, before anything is contacted.
func TestBrokenLinks(t *testing.T) {
	hex := strings.Repeat("0123456789", 4)
	for _, c := range []struct {
		link string
		code int
		want string
	}{
		{"magnet:", 2, "no parameters"},
		{"magnet:?", 2, "no infohash"},
		{"magnet:?dn=only+a+name", 2, "no infohash"},
		{"magnet:?xt=urn:sha1:" + hex, 2, "no infohash"},
		{"magnet:?xt=urn:btih:", 2, "infohash"},
		{"magnet:?xt=urn:btih:" + hex[1:], 2, hex[1:]},
		{"magnet:?xt=urn:btih:" + hex + "0", 2, hex},
		{"magnet:?xt=urn:btih:" + strings.Repeat("g", 40), 2, "ggg"},
		{"magnet:?xt=urn:btih:" + strings.Repeat("1", 32), 2, "111"},
		{"magnet:?xt=urn:btih:" + strings.Repeat("0", 40), 2, "infohash"},
		{"magnet:?xt=urn:btmh:" + strings.Repeat("a", 64), 2, "aaa"},
		{"magnet:?xt=urn:btmh:1114" + hex, 2, "1114"},
		{"magnet:?xt=urn:btmh:1220" + hex, 2, "1220"},
		{"magnet:?xt=urn:btmh:1220" + strings.Repeat("z", 64), 2, "zzz"},
		{"magnet:?xt=urn:btih:" + hex + "&xt=urn:btih:" + strings.Repeat("f", 40), 2, "two torrents of v1"},
		{"magnet:?xt=urn:btih:" + hex + "&dn=" + strings.Repeat("n", 70000), 2, "more than 65536"},
		{"MAGNET:?XT=urn:btih:xyz", 2, "xyz"},
		{hex[1:], 3, "no such file, and not a magnet link or infohash"},
		{"", 3, "no such file, and not a magnet link or infohash"},
		{"ftp://127.0.0.1/x.torrent", 3, "no such file"},
		{"http://", 4, "http://"},
		{"http://127.0.0.1:99999/x", 4, "99999"},
		{"http://127.0.0.1:1/%zz", 2, "%zz"},
		{"http://bad host/", 2, "bad host"},
	} {
		for _, verb := range []string{"get", "show"} {
			code, stdout, stderr := run(verb, c.link)
			if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s %.80q: exit code %d, %q, %.200q, want %d and %q", verb, c.link, code, stdout, stderr, c.code, c.want)
			}
			if len(stderr) > 500 {
				t.Errorf("%s %.80q: %d bytes of error", verb, c.link, len(stderr))
			}
		}
	}
}
