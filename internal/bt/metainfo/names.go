package metainfo

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// maxComponent is the most bytes in a file's or folder's name that every common filesystem stores.
const maxComponent = 255

// SafeName makes a name that comes from elsewhere that of one file or folder, safe on every system, as the names in torrents are.
func SafeName(raw string) string { return safeComponent(raw) }

// safeComponent returns the name under which one component of a path is kept: one that means a plain file or folder,
// and nothing else, on Linux, macOS and Windows. It is never empty.
func safeComponent(raw string) string {
	s := strings.Map(func(r rune) rune { // turns each invalid byte into utf8.RuneError
		if r == utf8.RuneError || strings.ContainsRune(`/\:*?"<>|`, r) || unicode.IsControl(r) || reorders(r) {
			return '_'
		}
		return r
	}, raw)
	s = cut(trimTail(s), maxComponent-1) // leaves room for the underscore before a device's name
	if device(s) {
		s = "_" + s
	}
	if s == "" {
		return "_"
	}
	return s
}

// trimTail removes trailing dots and spaces, which Windows ignores in names; so "." and ".." become empty.
func trimTail(s string) string { return strings.TrimRight(s, ". ") }

// reorders reports whether r changes the direction of the text around it, which can show "fdp.exe" as "exe.pdf".
func reorders(r rune) bool {
	return r == 0x61c || r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// device reports whether Windows takes the name for a device, whatever its extension.
func device(s string) bool {
	stem, _, _ := strings.Cut(s, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	for _, port := range []string{"COM", "LPT"} {
		if digit, ok := strings.CutPrefix(stem, port); ok && len([]rune(digit)) == 1 && strings.Contains("0123456789¹²³", digit) {
			return true
		}
	}
	return false
}

// split cuts a name before its extension: the last dot and at most 16 bytes from there. A leading dot is no extension.
func split(s string) (stem, ext string) {
	if i := strings.LastIndexByte(s, '.'); i > 0 && len(s)-i <= 16 {
		return s[:i], s[i:]
	}
	return s, ""
}

// cut shortens a name to at most limit bytes. It keeps the extension and whole characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	stem, ext := split(s)
	n := limit - len(ext)
	for n > 0 && !utf8.RuneStart(stem[n]) {
		n--
	}
	return trimTail(stem[:n]) + ext
}

// numbered returns the n-th alternative to a name that is taken: "a (2).txt" for "a.txt".
func numbered(name string, n int) string {
	mark := " (" + strconv.Itoa(n) + ")"
	stem, ext := split(cut(name, maxComponent-len(mark)))
	return stem + mark + ext
}

//go:embed decomposition.txt
var decompositionText string

// decomposition maps characters to their canonical decomposition (Unicode 15, UAX #15), Hangul syllables excepted. The
// text has entries of the form "e9=65+301", in hexadecimal.
var decomposition = sync.OnceValue(func() map[rune]string {
	m := make(map[rune]string)
	for entry := range strings.FieldsSeq(decompositionText) {
		from, to, _ := strings.Cut(entry, "=")
		var s []rune
		for part := range strings.SplitSeq(to, "+") {
			s = append(s, parseRune(part))
		}
		m[parseRune(from)] = string(s)
	}
	return m
})

func parseRune(hex string) rune {
	n, err := strconv.ParseUint(hex, 16, 21)
	if err != nil {
		panic("metainfo: decomposition.txt: " + err.Error())
	}
	return rune(n)
}

// fold returns a key that is equal for names which some filesystem takes for one: names that differ in case, or in how
// their characters are composed.
func fold(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < utf8.RuneSelf
	}
	if ascii {
		return strings.ToLower(s)
	}
	var out []rune
	for _, r := range s {
		if d, ok := decomposition()[r]; ok {
			out = append(out, []rune(d)...)
		} else if r >= 0xac00 && r < 0xd7a4 { // a Hangul syllable: its parts follow from its number
			i := r - 0xac00
			out = append(out, 0x1100+i/588, 0x1161+i%588/28)
			if i%28 != 0 {
				out = append(out, 0x11a7+i%28)
			}
		} else {
			out = append(out, r)
		}
	}
	start := 0 // of a run of marks, whose order is not told apart
	for i, r := range out {
		if !unicode.Is(unicode.Mn, r) {
			out[i] = foldCase(r)
			slices.Sort(out[start:i])
			start = i + 1
		}
	}
	slices.Sort(out[start:])
	return string(out)
}

// foldCase returns the least of the characters that differ from r only in case.
func foldCase(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return unicode.ToLower(least)
}
