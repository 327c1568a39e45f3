package stream

import (
	"path"
	"slices"
	"strings"

	"shoal/internal/bt/metainfo"
	"shoal/internal/natural"
)

// Beside names a file of subtitles for a video.
type Beside struct {
	Index int    // of the file
	Label string // what its name has beyond the video's, such as "en" or "en.forced"; may be empty
}

// Subtitles returns the subtitles of a video by their names: those that begin as the video's, beside it or in a folder below it, or in a folder
// that is called so; where there is only one video, all there are.
func Subtitles(info *metainfo.Info, video int) []Beside {
	files := info.Layout.Files
	if video < 0 || video >= len(files) || Media(files[video].Path) != Video {
		return nil
	}
	videos := 0
	for i := range files {
		if Media(files[i].Path) == Video {
			videos++
		}
	}
	var out []Beside
	for i := range files {
		if Media(files[i].Path) != Subtitle || files[i].Length == 0 {
			continue
		}
		label, ok := matches(files[video].Path, files[i].Path)
		if ok || videos == 1 {
			out = append(out, Beside{i, label})
		}
	}
	slices.SortStableFunc(out, func(a, b Beside) int { return natural.Compare(files[a.Index].Path, files[b.Index].Path) })
	return out
}

// matches reports whether the name of a file of subtitles says that it belongs to a video, and what it says beyond that.
func matches(video, sub string) (label string, ok bool) {
	dir, stem := path.Dir(video), strings.ToLower(strings.TrimSuffix(path.Base(video), path.Ext(video)))
	name := strings.TrimSuffix(path.Base(sub), path.Ext(sub))
	below := path.Dir(sub)
	if below != dir && !strings.HasPrefix(below, dir+"/") && dir != "." {
		return name, false
	}
	if strings.ToLower(path.Base(below)) == stem {
		return name, true
	}
	if !strings.HasPrefix(strings.ToLower(name), stem) || len(strings.ToLower(name)) != len(name) {
		return name, false
	}
	rest := name[len(stem):]
	if rest != "" && !strings.ContainsRune(". _-[(", rune(rest[0])) {
		return name, false
	}
	return strings.Trim(rest, ". _-[]()"), true
}
