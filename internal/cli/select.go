package cli

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"shoal/internal/bt/magnet"
	"shoal/internal/bt/metainfo"
)

// selection says which files of a torrent are wanted.
type selection struct {
	globs  []string
	ranges []magnet.Range // of a magnet link (BEP 53), unless globs say otherwise
}

// check finds patterns that can match nothing.
func (s *selection) check() error {
	for _, g := range s.globs {
		if _, err := path.Match(g, ""); err != nil {
			return usage(fmt.Errorf("--select %q is not a pattern: %w", g, err))
		}
	}
	return nil
}

// files returns by file whether it is wanted; nil: all.
func (s *selection) files(info *metainfo.Info) []bool {
	if len(s.globs) == 0 && len(s.ranges) == 0 {
		return nil
	}
	want := make([]bool, len(info.Layout.Files))
	m := magnet.Magnet{Select: s.ranges}
	for i := range want {
		if len(s.globs) > 0 {
			want[i] = s.matches(info, i)
		} else {
			want[i] = m.Selects(i)
		}
	}
	return want
}

// matches reports whether a pattern names file i: by its number in --list, from 1; by its path below the torrent's name or any
// folder of it; or by its last component.
func (s *selection) matches(info *metainfo.Info, i int) bool {
	p := info.Layout.Files[i].Path
	rest := strings.TrimPrefix(p, info.Name+"/")
	for _, g := range s.globs {
		if n, err := strconv.Atoi(g); err == nil && n == i+1 {
			return true
		}
		g = strings.TrimSuffix(g, "/")
		for _, candidate := range append(parents(rest), p, path.Base(p)) {
			if ok, _ := path.Match(g, candidate); ok {
				return true
			}
		}
	}
	return false
}

// parents returns a path and every folder that it lies in.
func parents(p string) []string {
	var out []string
	for p != "." && p != "/" && p != "" {
		out = append(out, p)
		p = path.Dir(p)
	}
	return out
}

func none(want []bool) bool {
	for _, w := range want {
		if w {
			return false
		}
	}
	return want != nil
}
