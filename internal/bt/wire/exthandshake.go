package wire

import (
	"crypto/sha1"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"shoal/internal/bencode"
)

// Names of extensions in ExtHandshake.M.
const (
	ExtMetadata   = "ut_metadata" // BEP 9
	ExtPEX        = "ut_pex"      // BEP 11
	ExtUploadOnly = "upload_only" // the message that goes with BEP 21
	ExtDontHave   = "lt_donthave" // BEP 54
)

// Bounds of what ParseExtHandshake keeps.
const (
	maxExtensions = 64
	maxString     = 256 // bytes of a name or of the version
)

// ExtHandshake is the body of extended message 0 (BEP 10). A zero field is absent.
type ExtHandshake struct {
	M            map[string]uint8 // the ids under which the sender wants each extension's messages; 0 turns one off
	Version      string           // client name and version, for people
	ReqQ         int              // requests that the sender queues
	MetadataSize int64            // bytes of the info dictionary (BEP 9)
	UploadOnly   bool             // the sender wants no data (BEP 21)
	Port         uint16           // TCP port where the sender listens
	YourIP       netip.Addr       // the receiver's address as the sender sees it
	IPv4, IPv6   netip.Addr       // other addresses of the sender
	TR           []byte           // TrackersHash of the sender's trackers (BEP 28): 20 bytes or none
}

// Append appends the body. Each connection begins with one, so it is written without the detour of a map.
func (h *ExtHandshake) Append(dst []byte) []byte {
	dst = appendAddrEntry(append(dst, 'd'), "ipv4", h.IPv4) // keys are sorted
	dst = appendAddrEntry(dst, "ipv6", h.IPv6)
	dst = append(bencode.AppendString(dst, "m"), 'd')
	for _, name := range slices.Sorted(maps.Keys(h.M)) {
		dst = bencode.AppendInt(bencode.AppendString(dst, name), int64(h.M[name]))
	}
	dst = append(dst, 'e')
	dst = appendNumber(dst, "metadata_size", h.MetadataSize)
	dst = appendNumber(dst, "p", int64(h.Port))
	dst = appendNumber(dst, "reqq", int64(h.ReqQ))
	if h.TR != nil {
		dst = bencode.AppendBytes(bencode.AppendString(dst, "tr"), h.TR)
	}
	if h.UploadOnly {
		dst = appendNumber(dst, "upload_only", 1)
	}
	if h.Version != "" {
		dst = bencode.AppendString(bencode.AppendString(dst, "v"), h.Version)
	}
	return append(appendAddrEntry(dst, "yourip", h.YourIP), 'e')
}

// appendNumber appends an entry of a dictionary unless it is 0.
func appendNumber(dst []byte, key string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return bencode.AppendInt(bencode.AppendString(dst, key), n)
}

// appendAddrEntry appends an entry of a dictionary if a is valid.
func appendAddrEntry(dst []byte, key string, a netip.Addr) []byte {
	if !a.IsValid() {
		return dst
	}
	return bencode.AppendBytes(bencode.AppendString(dst, key), a.Unmap().AsSlice())
}

// ParseExtHandshake reads a body. It fails only if the body is no dictionary: an entry of the wrong kind or out of range
// counts as absent. At most 64 extensions are kept; the version is cut to 256 bytes and has nothing unprintable in it.
func ParseExtHandshake(b []byte) (ExtHandshake, error) {
	var h ExtHandshake
	v, err := dict(b, 10)
	if err != nil {
		return h, err
	}
	m, _ := v.Get("m")
	h.M = make(map[string]uint8, min(m.Len(), maxExtensions))
	for name, id := range m.Dict() {
		n, ok := id.Int()
		if ok && n >= 0 && n <= math.MaxUint8 && len(name) <= maxString && len(h.M) < maxExtensions {
			h.M[name] = uint8(n)
		}
	}
	version, _ := v.Get("v")
	s, _ := version.Str()
	h.Version = printable(s[:min(len(s), maxString)])
	h.ReqQ = int(number(v, "reqq", math.MaxInt32))
	h.MetadataSize = number(v, "metadata_size", math.MaxInt64)
	h.UploadOnly = number(v, "upload_only", math.MaxInt64) != 0
	h.Port = uint16(number(v, "p", math.MaxUint16))
	tr, _ := v.Get("tr")
	if b, _ := tr.Bytes(); len(b) == sha1.Size {
		h.TR = slices.Clone(b)
	}
	h.YourIP = address(v, "yourip", 0)
	h.IPv4, h.IPv6 = address(v, "ipv4", 4), address(v, "ipv6", 16)
	return h, nil
}

// dict parses an extension body that must be one dictionary, with nothing behind it.
func dict(b []byte, bep int) (bencode.Value, error) {
	v, err := bencode.Parse(b)
	if err == nil && v.Kind() != bencode.Dict {
		err = fmt.Errorf("it is a %v, not a dictionary", v.Kind())
	}
	if err != nil {
		return v, &ProtocolError{Extended, err.Error(), bep}
	}
	return v, nil
}

// number returns the integer under key, or 0 if there is none between 0 and most.
func number(v bencode.Value, key string, most int64) int64 {
	e, _ := v.Get(key)
	if n, ok := e.Int(); ok && n >= 0 && n <= most {
		return n
	}
	return 0
}

// address returns the address under key. If size is not 0 it must have that many bytes.
func address(v bencode.Value, key string, size int) netip.Addr {
	e, _ := v.Get(key)
	b, _ := e.Bytes()
	if size != 0 && len(b) != size {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

// printable returns s with everything left out that could disturb a terminal or a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
