package wire

import (
	"crypto/sha1"
	"slices"

	"shoal/internal/bencode"
)

// ExtTEX is the name of the tracker exchange extension in ExtHandshake.M (BEP 28).
const ExtTEX = "lt_tex"

// Bounds of what ParseTEX keeps.
const (
	MaxTEX    = 20  // URLs of a message
	maxTEXURL = 512 // bytes of a URL
)

// AppendTEX appends the body of an lt_tex message: trackers that were added to the sender's list (BEP 28).
func AppendTEX(dst []byte, added []string) []byte {
	list := make([]any, len(added))
	for i, u := range added {
		list[i] = u
	}
	return bencode.Append(dst, map[string]any{"added": list})
}

// ParseTEX reads a body. What is no string, is too long or has something unprintable in it is left out, as is what goes beyond MaxTEX.
func ParseTEX(b []byte) (added []string, err error) {
	v, err := dict(b, 28)
	if err != nil {
		return nil, err
	}
	list, _ := v.Get("added")
	for e := range list.List() {
		if len(added) == MaxTEX {
			break
		}
		if s, ok := e.Str(); ok && s != "" && len(s) <= maxTEXURL && printable(s) == s {
			added = append(added, s)
		}
	}
	return added, nil
}

// TrackersHash returns the hash of a list of trackers that an extension handshake carries as TR (BEP 28). Who has the same list need not
// be told it.
func TrackersHash(urls []string) [20]byte {
	h := sha1.New()
	for _, u := range slices.Sorted(slices.Values(urls)) {
		h.Write([]byte(u))
	}
	return [20]byte(h.Sum(nil))
}
