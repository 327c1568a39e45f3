// Package metainfo reads, checks and makes .torrent files: v1 (BEP 3), v2 (BEP 52) and hybrids of both.
//
// What it reads may be hostile. Every size is bounded before memory is taken for it, and the paths that come out are
// safe on any system, whatever was written; what had to be changed is said in Notices.
package metainfo

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"shoal/internal/bencode"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/merkle"
)

// Bounds of what is accepted.
const (
	MaxInfo        = 32 << 20  // bytes of an info dictionary
	MaxTorrent     = 64 << 20  // bytes of a .torrent file
	MaxPieceLength = 256 << 20 // bytes
	MaxPieces      = 1 << 21   // the most that MaxInfo bytes can list for v1 is 1.7 million
	MaxFiles       = 1 << 21
	maxSize        = 1 << 60 // bytes of the address space
)

// Info is an info dictionary: what a torrent's infohash names. It does not change once made.
type Info struct {
	Hash    ident.InfoHash
	Raw     []byte // the dictionary as it is hashed
	Name    string // of the file or folder, made safe; the first component of every path
	Folder  bool   // the content is a folder, which may hold one file only; else it is a file
	Layout  layout.Layout
	Private bool // peers come from the trackers only (BEP 27)
	Source  string
	HasV1   bool          // Pieces are there
	HasV2   bool          // Roots are there
	Pieces  []byte        // v1: SHA-1 of each piece, 20 bytes each
	Roots   []merkle.Hash // v2: by file of Layout, zero for empty files and symlinks
	Notices []string      // what was not taken as it was written, for people

	written string           // the name as it was written
	renamed map[int][]string // by file: the path as it was written, where Layout has another
}

// Written returns the components of a file's path as the publisher wrote them, the torrent's name first: what a web
// seed knows it by (BEP 19). They are not safe to use on disk.
func (i *Info) Written(file int) []string {
	if w, ok := i.renamed[file]; ok {
		return w
	}
	return strings.Split(i.Layout.Files[file].Path, "/")
}

// OnDisk returns the paths of files that lie under other names than the torrent has made safe, as when it was given another name: by file,
// below the folder that holds the content, which is called name there.
func (i *Info) OnDisk(name string) map[int]string {
	paths := map[int]string{}
	for k := range i.Layout.Files {
		w := i.Written(k)
		real := path.Join(append([]string{name}, w[1:]...)...)
		if real != i.Layout.Files[k].Path {
			paths[k] = real
		}
	}
	return paths
}

// ParseInfo reads an info dictionary, from a .torrent file or from peers (BEP 9). It keeps raw, which must not change.
// Errors name the field that is wrong.
func ParseInfo(raw []byte) (*Info, error) {
	if len(raw) > MaxInfo {
		return nil, fmt.Errorf("info has %d bytes, more than %d", len(raw), MaxInfo)
	}
	v, err := bencode.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("info: %w", err)
	}
	return parseInfo(v)
}

func parseInfo(v bencode.Value) (*Info, error) {
	if v.Kind() != bencode.Dict {
		return nil, fmt.Errorf("info is a %s, not a dictionary", v.Kind())
	}
	d := infoDict{}
	for key, item := range v.Dict() {
		switch key {
		case "attr", "file tree", "files", "length", "meta version", "name", "name.utf-8", "piece length", "pieces", "private",
			"source", "symlink path":
			d[key] = item
		}
	}
	i := &Info{Raw: v.Raw()}
	if err := i.versions(d, v); err != nil {
		return nil, err
	}
	if err := i.properties(d); err != nil {
		return nil, err
	}
	entries, err := i.entries(d)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("info lists no files")
	}
	if err := i.pieces(d, entries); err != nil {
		return nil, err
	}
	if err := i.place(i.written, entries); err != nil {
		return nil, fmt.Errorf("info: %w", err)
	}
	i.Name, _, _ = strings.Cut(i.Layout.Files[0].Path, "/")
	return i, i.Layout.Valid()
}

// infoDict holds the fields of an info dictionary that are read here.
type infoDict map[string]bencode.Value

// integer returns a field; ok is false if it is absent.
func (d infoDict) integer(key string) (n int64, ok bool, err error) {
	v, ok := d[key]
	if !ok {
		return 0, false, nil
	}
	n, isInt := v.Int()
	if !isInt {
		return 0, false, fmt.Errorf("info: %s is a %s, not an integer", key, v.Kind())
	}
	return n, true, nil
}

// versions finds out which versions the torrent has, and its hashes.
func (i *Info) versions(d infoDict, v bencode.Value) error {
	version, given, err := d.integer("meta version")
	if err != nil {
		return err
	}
	_, files := d["files"]
	_, length := d["length"]
	_, pieces := d["pieces"]
	_, tree := d["file tree"]
	switch {
	case given && (version < 1 || version > 2):
		return fmt.Errorf("info: meta version %d is not known", version)
	case version == 2 && !tree:
		return errors.New("info: meta version is 2 but file tree is missing")
	case version < 2 && tree:
		return errors.New("info: file tree is there but meta version is not 2")
	case version == 2 && !v.Canonical():
		return errors.New("info: keys of a v2 torrent are not sorted")
	case files && length:
		return errors.New("info: both length and files are there")
	case (files || length) != pieces && version == 2:
		return errors.New("info: a hybrid needs pieces and one of length and files")
	case version < 2 && !files && !length:
		return errors.New("info: length and files are missing")
	case version < 2 && !pieces:
		return errors.New("info: pieces is missing")
	}
	i.HasV2 = version == 2
	i.HasV1 = pieces
	i.Folder = files
	if i.HasV1 {
		i.Hash.V1 = sha1.Sum(i.Raw)
	}
	if i.HasV2 {
		i.Hash.V2 = sha256.Sum256(i.Raw)
	}
	return nil
}

// properties reads name, piece length, private and source.
func (i *Info) properties(d infoDict) error {
	v, ok := d["name.utf-8"]
	if b, is := v.Bytes(); !ok || !is || !utf8.Valid(b) || i.HasV2 { // v2 has only name, in UTF-8
		if v, ok = d["name"]; !ok {
			return errors.New("info: name is missing")
		}
	}
	if i.written, ok = v.Str(); !ok {
		return fmt.Errorf("info: name is a %s, not a string", v.Kind())
	}
	n, ok, err := d.integer("piece length")
	switch {
	case err != nil:
		return err
	case !ok:
		return errors.New("info: piece length is missing")
	case n < 1 || n > MaxPieceLength:
		return fmt.Errorf("info: piece length %d is not within 1 … %d", n, MaxPieceLength)
	case i.HasV2 && (n < merkle.BlockSize || n&(n-1) != 0):
		return fmt.Errorf("info: piece length %d of a v2 torrent is not a power of two from %d", n, merkle.BlockSize)
	}
	i.Layout.PieceLength = n
	if n, _, err = d.integer("private"); err != nil {
		return err
	}
	i.Private = n != 0
	if v, ok := d["source"]; ok {
		if i.Source, ok = v.Str(); !ok {
			notice(&i.Notices, "info: source is a %s, not a string", v.Kind())
		}
	}
	return nil
}

// entries lists the files, of a hybrid those of v2 once v1 was found to list the same.
func (i *Info) entries(d infoDict) ([]entry, error) {
	var one, two []entry
	var err error
	if i.HasV1 {
		if one, err = i.entriesV1(d); err != nil {
			return nil, err
		}
	}
	if !i.HasV2 {
		i.Layout.Size = end(one)
		return one, nil
	}
	if two, err = i.entriesV2(d["file tree"]); err != nil {
		return nil, err
	}
	i.Layout.Size = end(two)
	i.Layout.CutTail = !i.HasV1
	if i.HasV1 {
		if err := i.agree(one, two); err != nil {
			return nil, err
		}
		i.Layout.Size = end(one)
	}
	return two, nil
}

// end returns where the address space of the entries ends.
func end(entries []entry) int64 {
	var n int64
	for k := range entries {
		n = max(n, entries[k].offset+entries[k].length)
	}
	return n
}

// agree checks that both versions of a hybrid list the same files at the same places (BEP 52, upgrade path).
func (i *Info) agree(one, two []entry) error {
	k := 0
	for j := range one {
		a := &one[j]
		if a.pad {
			continue
		}
		if k == len(two) {
			return fmt.Errorf("info: files lists %s, which file tree does not", quote(a.path))
		}
		b := &two[k]
		switch {
		case !slices.Equal(a.path, b.path):
			return fmt.Errorf("info: files lists %s where file tree has %s", quote(a.path), quote(b.path))
		case a.length != b.length:
			return fmt.Errorf("info: %s has length %d in files and %d in file tree", quote(a.path), a.length, b.length)
		case a.length > 0 && a.offset != b.offset:
			return fmt.Errorf("info: %s begins at %d in files and at %d in file tree", quote(a.path), a.offset, b.offset)
		case a.link != b.link || a.link && !slices.Equal(a.target, b.target):
			return fmt.Errorf("info: %s is not the same symlink in files and file tree", quote(a.path))
		}
		k++
	}
	if k < len(two) {
		return fmt.Errorf("info: file tree lists %s, which files does not", quote(two[k].path))
	}
	if p := i.Layout.PieceLength; (end(one)+p-1)/p != (end(two)+p-1)/p {
		return errors.New("info: files pads beyond the last piece with data")
	}
	return nil
}

// pieces checks the number of pieces and takes the hashes of v1.
func (i *Info) pieces(d infoDict, entries []entry) error {
	var last int64 // end of the data so far
	for k := range entries {
		e := &entries[k]
		if e.length == 0 || e.pad {
			continue
		}
		if e.offset-last > i.Layout.PieceLength {
			return fmt.Errorf("info: the %d bytes of padding before %s are more than a piece", e.offset-last, quote(e.path))
		}
		last = e.offset + e.length
	}
	if last == 0 {
		return errors.New("info: all files are empty, so there is nothing to share")
	}
	if i.Layout.Size-last > i.Layout.PieceLength {
		return fmt.Errorf("info: the %d bytes of padding at the end are more than a piece", i.Layout.Size-last)
	}
	n := (i.Layout.Size + i.Layout.PieceLength - 1) / i.Layout.PieceLength
	if n > MaxPieces {
		return fmt.Errorf("info: %d bytes make %d pieces, more than %d", i.Layout.Size, n, MaxPieces)
	}
	if !i.HasV1 {
		return nil
	}
	b, ok := d["pieces"].Bytes()
	if !ok {
		return fmt.Errorf("info: pieces is a %s, not a string", d["pieces"].Kind())
	}
	if int64(len(b)) != n*sha1.Size {
		return fmt.Errorf("info: pieces has %d bytes, not %d for %d pieces", len(b), n*sha1.Size, n)
	}
	i.Pieces = b
	return nil
}
