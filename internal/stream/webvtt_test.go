package stream

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWebVTT(t *testing.T) {
	for _, c := range []struct{ name, srt, want string }{
		{"plain", "1\n00:00:01,500 --> 00:00:02,000\nHello\nthere\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n",
			"WEBVTT\n\n00:00:01.500 --> 00:00:02.000\nHello\nthere\n\n00:00:03.000 --> 00:00:04.000\nBye\n"},
		{"from Windows, with a mark, odd clocks and no blank line between cues",
			"\xef\xbb\xbf1\r\n0:0:1.5 --> 0:0:2,25 X1:1\r\n7\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nb",
			"WEBVTT\n\n00:00:01.500 --> 00:00:02.250\n7\n\n00:00:03.000 --> 00:00:04.000\nb\n"},
		{"markup", "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<I>a</I> <font color=\"red\">b</font> 1<3 & --> <script>x</script>\n",
			"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<i>a</i> b 1&lt;3 &amp; --&gt; x\n"},
		{"Windows-1252", "1\n00:00:01,000 --> 00:00:02,000\n\x84caf\xe9\x94\n", "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n„café”\n"},
		{"UTF-16", "\xff\xfe1\x00\n\x000\x00:\x000\x00:\x001\x00,\x000\x00 \x00-\x00-\x00>\x00 \x000\x00:\x000\x00:\x002\x00,\x000\x00\n\x00\xe9\x00",
			"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\né\n"},
		{"no subtitles", "<html>", "WEBVTT\n"},
		{"a cue that ends with a number", "00:00:01,000 --> 00:00:02,000\n42\n\nnot in a cue\n", "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n42\n"},
	} {
		if got := string(WebVTT([]byte(c.srt))); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzWebVTT(f *testing.F) {
	f.Add([]byte("1\n00:00:01,500 --> 00:00:02,000\n<i>Hello</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n"))
	f.Add([]byte("\xff\xfe1\x00\n\x000\x00:\x00"))
	f.Add([]byte("\x00\x00\x00\xff<b<i>\n9999:99:99,999 -->0:0:0,0 \n<>{\\}-->&"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out := string(WebVTT(b))
		if !strings.HasPrefix(out, "WEBVTT\n") || !utf8.ValidString(out) || len(out) > 8*len(b)+100 {
			t.Fatalf("%d bytes made of %d: %q", len(out), len(b), out)
		}
		for line := range strings.SplitSeq(out, "\n") {
			arrows := strings.Count(line, "-->")
			if arrows > 1 || arrows == 1 && !timing.MatchString(line) {
				t.Fatalf("%q", line)
			}
			for _, tag := range []string{"<b>", "<i>", "<u>", "</b>", "</i>", "</u>"} {
				line = strings.ReplaceAll(line, tag, "")
			}
			if strings.Contains(line, "<") {
				t.Fatalf("markup in %q", line)
			}
		}
	})
}
