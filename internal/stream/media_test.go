package stream

import (
	"slices"
	"testing"

	"shoal/internal/bt/metainfo"
	"shoal/internal/layout"
)

func TestMedia(t *testing.T) {
	for name, want := range map[string]string{
		"a/b.MKV": Video, "x.webm": Video, "x.ts": Video, "x.mp3": Audio, "x.opus": Audio, "x.flac": Audio, "x.ogg": Audio, "x.srt": Subtitle,
		"x.ass": Subtitle, "x.vtt": Subtitle, "x.jpg": Image, "x.svg": "", "x.html": "", "x.js": "", "x": "", "mkv": "", "x.mkv.exe": "", "": "",
	} {
		if got := Media(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	for name := range types {
		if m := Media("x." + name); m == "" || m == "text" || m == "application" {
			t.Errorf(".%s is served as %q", name, m)
		}
	}
}

func folder(paths ...string) *metainfo.Info {
	info := &metainfo.Info{}
	for _, p := range paths {
		info.Layout.Files = append(info.Layout.Files, layout.File{Path: p, Length: 1})
	}
	return info
}

func TestSubtitles(t *testing.T) {
	info := folder("s/E1.mkv", "s/E2.mkv", "s/e1.en.srt", "s/E1.srt", "s/E10.srt", "s/Subs/E1/2_German.ass", "s/Subs/E2-fr.srt", "E1.de.srt", "s/x.txt")
	for video, want := range map[int][]Beside{
		0: {{2, "en"}, {3, ""}, {5, "2_German"}},
		1: {{6, "fr"}},
		2: nil, -1: nil, 99: nil,
	} {
		if got := Subtitles(info, video); !slices.Equal(got, want) {
			t.Errorf("%d: %+v, want %+v", video, got, want)
		}
	}
	if got := Subtitles(folder("film.mp4", "other.srt"), 0); !slices.Equal(got, []Beside{{1, "other"}}) {
		t.Errorf("the only video's: %+v", got)
	}
}
