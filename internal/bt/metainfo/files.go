package metainfo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"shoal/internal/bencode"
	"shoal/internal/merkle"
)

// bitCometPad begins the names of BitComet's pad files, which are older than BEP 47 and have no attribute.
const bitCometPad = "_____padding_file_"

// entriesV1 lists the files of v1 (BEP 3), pads included, one behind another.
func (i *Info) entriesV1(d infoDict) ([]entry, error) {
	if i.Folder {
		return filesV1(d["files"])
	}
	e := entry{}
	err := e.read(func(key string) (bencode.Value, bool) { v, ok := d[key]; return v, ok })
	if err != nil {
		return nil, fmt.Errorf("info: %w", err)
	}
	if e.pad || e.link {
		return nil, errors.New("info: attr makes the only file a pad or a symlink")
	}
	return []entry{e}, nil
}

func filesV1(list bencode.Value) ([]entry, error) {
	if list.Kind() != bencode.List {
		return nil, fmt.Errorf("info: files is a %s, not a list", list.Kind())
	}
	var entries []entry
	var offset int64
	components := 0
	for v := range list.List() {
		if len(entries) == MaxFiles {
			return nil, fmt.Errorf("info: files lists more than %d", MaxFiles)
		}
		e := entry{offset: offset}
		if v.Kind() != bencode.Dict {
			return nil, fmt.Errorf("info: files[%d] is a %s, not a dictionary", len(entries), v.Kind())
		}
		err := e.read(v.Get)
		if err == nil {
			err = e.readPath(v)
		}
		if err == nil && e.length > maxSize-offset {
			err = fmt.Errorf("length %d makes the content longer than %d bytes", e.length, int64(maxSize))
		}
		if components += len(e.path); err == nil && components > maxComponents {
			err = fmt.Errorf("all paths together have more than %d components", maxComponents)
		}
		if err != nil {
			return nil, fmt.Errorf("info: files[%d]: %w", len(entries), err)
		}
		offset += e.length
		entries = append(entries, e)
	}
	return entries, nil
}

// read takes what v1 and v2 write alike: attr, length and symlink path (BEP 47).
func (e *entry) read(get func(string) (bencode.Value, bool)) error {
	if v, ok := get("attr"); ok {
		attr, is := v.Bytes()
		if !is {
			return fmt.Errorf("attr is a %s, not a string", v.Kind())
		}
		for _, c := range attr {
			switch c {
			case 'p':
				e.pad = true
			case 'l':
				e.link = true
			case 'x':
				e.exec = true
			case 'h':
				e.hidden = true
			}
		}
	}
	if e.link {
		v, ok := get("symlink path")
		if !ok {
			return errors.New("symlink path is missing")
		}
		var err error
		e.target, err = components(v, "symlink path")
		return err // whatever length says, a symlink has no bytes
	}
	v, ok := get("length")
	if !ok {
		return errors.New("length is missing")
	}
	n, is := v.Int()
	switch {
	case !is:
		return fmt.Errorf("length is a %s, not an integer", v.Kind())
	case n < 0:
		return fmt.Errorf("length %d is negative", n)
	case n > maxSize:
		return fmt.Errorf("length %d is more than %d", n, int64(maxSize))
	}
	e.length = n
	return nil
}

// readPath takes the path of a file of v1; path.utf-8 goes before path if it is valid.
func (e *entry) readPath(v bencode.Value) error {
	if p, ok := v.Get("path.utf-8"); ok {
		if path, err := components(p, "path.utf-8"); err == nil && len(path) > 0 && validUTF8(path) {
			e.path = path
		}
	}
	if e.path == nil {
		p, ok := v.Get("path")
		if !ok && !e.pad {
			return errors.New("path is missing")
		}
		var err error
		if e.path, err = components(p, "path"); err != nil && !e.pad {
			return err
		}
	}
	if len(e.path) == 0 && !e.pad {
		return errors.New("path is empty")
	}
	if n := len(e.path); n > 0 && strings.HasPrefix(e.path[n-1], bitCometPad) {
		e.pad = true
	}
	return nil
}

func validUTF8(path []string) bool {
	for _, c := range path {
		if !utf8.ValidString(c) {
			return false
		}
	}
	return true
}

// components reads a list of strings.
func components(v bencode.Value, field string) ([]string, error) {
	if v.Kind() != bencode.List {
		return nil, fmt.Errorf("%s is a %s, not a list", field, v.Kind())
	}
	var path []string
	for item := range v.List() {
		c, ok := item.Str()
		if !ok {
			return nil, fmt.Errorf("%s has a %s in it", field, item.Kind())
		}
		if len(path) == maxDepth {
			return nil, fmt.Errorf("%s has more than %d components", field, maxDepth)
		}
		path = append(path, c)
	}
	return path, nil
}

// tree walks a file tree of v2 (BEP 52).
type tree struct {
	entries    []entry
	offset     int64
	pieceLen   int64
	components int
}

// entriesV2 lists the files of v2, each with bytes at the beginning of a piece.
func (i *Info) entriesV2(v bencode.Value) ([]entry, error) {
	t := tree{pieceLen: i.Layout.PieceLength}
	if err := t.folder(v, nil); err != nil {
		return nil, fmt.Errorf("info: file tree: %w", err)
	}
	if !i.HasV1 { // a file alone, of the torrent's name, is no folder
		i.Folder = len(t.entries) != 1 || !slices.Equal(t.entries[0].path, []string{i.written})
	}
	if !i.Folder {
		if len(t.entries) != 1 || !slices.Equal(t.entries[0].path, []string{i.written}) {
			return nil, fmt.Errorf("info: file tree is not the one file %q that length describes", i.written)
		}
		if t.entries[0].link {
			return nil, errors.New("info: file tree is only a symlink")
		}
		t.entries[0].path = nil
	}
	return t.entries, nil
}

func (t *tree) folder(v bencode.Value, path []string) error {
	if v.Kind() != bencode.Dict {
		return fmt.Errorf("%s is a %s, not a dictionary", quote(path), v.Kind())
	}
	for name, item := range v.Dict() {
		if name == "" {
			return fmt.Errorf("%s is both a file and a folder, or has an empty name in it", quote(path))
		}
		inner := append(path[:len(path):len(path)], name)
		props, isFile := item.Get("")
		var err error
		if isFile && item.Len() == 1 {
			err = t.file(props, inner)
		} else {
			err = t.folder(item, inner)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) file(v bencode.Value, path []string) error {
	if v.Kind() != bencode.Dict {
		return fmt.Errorf("%s has a %s for its properties", quote(path), v.Kind())
	}
	if len(t.entries) == MaxFiles {
		return fmt.Errorf("more than %d files", MaxFiles)
	}
	if t.components += len(path); t.components > maxComponents {
		return fmt.Errorf("all paths together have more than %d components", maxComponents)
	}
	e := entry{path: path}
	if err := e.read(v.Get); err != nil {
		return fmt.Errorf("%s: %w", quote(path), err)
	}
	if e.pad {
		return fmt.Errorf("%s is a pad file, which v2 has not", quote(path))
	}
	if e.length > 0 {
		root, _ := v.Get("pieces root")
		e.root, _ = root.Bytes()
		if len(e.root) != len(merkle.Hash{}) || merkle.Hash(e.root).IsZero() {
			return fmt.Errorf("%s: pieces root is missing or not 32 bytes that are not zero", quote(path))
		}
		t.offset = (t.offset + t.pieceLen - 1) / t.pieceLen * t.pieceLen
	}
	if e.length > maxSize-t.offset {
		return fmt.Errorf("%s: length %d makes the content longer than %d bytes", quote(path), e.length, int64(maxSize))
	}
	e.offset = t.offset
	t.offset += e.length
	t.entries = append(t.entries, e)
	return nil
}
