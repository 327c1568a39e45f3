package stream

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"

	"shoal/internal/natural"
)

// playlist serves an M3U of all that can be played, in natural order. Subtitles are named in VLC's way; mpv and others find the first themselves.
func (s *Server) playlist(q *served) {
	files := q.info.Layout.Files
	var play []int
	for i := range files {
		if m := Media(files[i].Path); (m == Video || m == Audio) && files[i].Length > 0 {
			play = append(play, i)
		}
	}
	slices.SortStableFunc(play, func(a, b int) int { return natural.Compare(files[a].Path, files[b].Path) })
	h := q.Header()
	h.Set("Content-Type", "audio/x-mpegurl; charset=utf-8")
	h.Set("Content-Disposition", `inline; filename="playlist.m3u"`)
	var b strings.Builder
	b.WriteString("#EXTM3U\n")
	at := base(q.Request)
	for _, i := range play {
		fmt.Fprintf(&b, "#EXTINF:-1,%s\n", oneLine(path.Base(files[i].Path)))
		var subs []string
		for _, sub := range Subtitles(q.info, i) {
			subs = append(subs, s.URL(at, q.id, sub.Index, files[sub.Index].Path))
		}
		if len(subs) > 0 {
			fmt.Fprintf(&b, "#EXTVLCOPT:input-slave=%s\n", strings.Join(subs, "#"))
		}
		b.WriteString(s.URL(at, q.id, i, files[i].Path) + "\n")
	}
	io.WriteString(q, b.String())
}

// oneLine makes a name harmless in a file of lines.
func oneLine(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, name)
}
