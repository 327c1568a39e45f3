package stream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxSubtitles is the largest file of subtitles that is converted, in bytes.
const maxSubtitles = 8 << 20

// WebVTT converts SubRip subtitles to WebVTT (W3C), which browsers show. The text may be in UTF-8, UTF-16 or Windows-1252. What is no cue is left out,
// and so is markup other than bold, italic and underlined.
func WebVTT(srt []byte) []byte {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "").Replace(decode(srt))
	var out bytes.Buffer
	out.WriteString("WEBVTT\n")
	open, cued := false, "" // within a cue; a line that may be text of it or the number of the next
	flush := func() {
		if cued != "" {
			out.WriteString(cued)
			cued = ""
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		m := timing.FindStringSubmatch(line)
		switch {
		case m != nil:
			if !number.MatchString(cued) {
				flush()
			}
			cued = ""
			fmt.Fprintf(&out, "\n%s --> %s\n", clock(m[1:5]), clock(m[5:9]))
			open = true
		case strings.TrimSpace(line) == "":
			flush()
			open = false
		case open:
			if t := cueText(line); t != "" {
				flush()
				cued = t + "\n"
			}
		}
	}
	flush()
	return out.Bytes()
}

var (
	timing = regexp.MustCompile(`^\s*(\d{1,4}):(\d{1,2}):(\d{1,2})[,.:](\d{1,3})\s*--+>\s*(\d{1,4}):(\d{1,2}):(\d{1,2})[,.:](\d{1,3})(?:\s.*)?$`)
	number = regexp.MustCompile(`^\s*\d+\s*$`)
	tag    = regexp.MustCompile(`(?i)</?[a-z][a-z0-9]*(?: [^<>]*)?>|\{\\[^{}]*\}`)
)

// clock formats hours, minutes, seconds and a fraction of digits as WebVTT has them.
func clock(d []string) string {
	return fmt.Sprintf("%02s:%02s:%02s.%s", d[0], d[1], d[2], (d[3] + "00")[:3])
}

// cueText makes one line of a cue: tags that WebVTT knows stay, others go, and what would be taken for markup is escaped.
func cueText(line string) string {
	var b strings.Builder
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	for {
		at := tag.FindStringIndex(line)
		if at == nil {
			break
		}
		b.WriteString(escape.Replace(line[:at[0]]))
		switch t := strings.ToLower(line[at[0]:at[1]]); t {
		case "<b>", "<i>", "<u>", "</b>", "</i>", "</u>":
			b.WriteString(t)
		}
		line = line[at[1]:]
	}
	b.WriteString(escape.Replace(line))
	return strings.TrimRight(b.String(), " \t")
}

// decode makes text of bytes whose encoding nobody says.
func decode(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		b = b[3:]
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		return wide(b[2:], binary.LittleEndian)
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		return wide(b[2:], binary.BigEndian)
	case len(b) >= 4 && b[1] == 0 && b[3] == 0:
		return wide(b, binary.LittleEndian)
	case len(b) >= 4 && b[0] == 0 && b[2] == 0:
		return wide(b, binary.BigEndian)
	}
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		if c >= 0x80 && c < 0xa0 {
			s.WriteRune(windows1252[c-0x80])
		} else {
			s.WriteRune(rune(c))
		}
	}
	return s.String()
}

func wide(b []byte, order binary.ByteOrder) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

// windows1252 is what 0x80 … 0x9f are in Windows-1252; all else is as in Latin-1.
var windows1252 = [32]rune{
	'€', 0x81, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0x8d, 'Ž', 0x8f,
	0x90, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0x9d, 'ž', 'Ÿ',
}
