package wire

import (
	"crypto/sha1"
	"fmt"
	"net/netip"
	"slices"

	"shoal/internal/ident"
)

// AppendDontHave appends the body of an lt_donthave message: the sender has the piece no more (BEP 54).
func AppendDontHave(dst []byte, piece uint32) []byte { return be.AppendUint32(dst, piece) }

// ParseDontHave reads the body of an lt_donthave message.
func ParseDontHave(b []byte) (piece uint32, err error) {
	if len(b) != 4 {
		return 0, &ProtocolError{Extended, fmt.Sprintf("%s of %d bytes, not 4", ExtDontHave, len(b)), 54}
	}
	return be.Uint32(b), nil
}

// AppendUploadOnly appends the body of an upload_only message, which changes what the extension handshake said (BEP 21).
func AppendUploadOnly(dst []byte, on bool) []byte {
	if on {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// ParseUploadOnly reads the body of an upload_only message.
func ParseUploadOnly(b []byte) (on bool, err error) {
	if len(b) != 1 {
		return false, &ProtocolError{Extended, fmt.Sprintf("%s of %d bytes, not 1", ExtUploadOnly, len(b)), 21}
	}
	return b[0] != 0, nil
}

// AllowedFastSet returns the k pieces (or all, if there are fewer) that a peer at addr may request while choked. Every
// peer of its /24 gets the same, so that reconnecting brings no others. BEP 6 defines the set for IPv4 only: for
// another address it is empty.
func AllowedFastSet(h ident.V1, addr netip.Addr, pieces, k int) []uint32 {
	addr = addr.Unmap()
	if !addr.Is4() || pieces <= 0 {
		return nil
	}
	ip := addr.As4()
	ip[3] = 0
	x := append(ip[:], h[:]...)
	k = min(k, pieces)
	var set []uint32
	for len(set) < k {
		sum := sha1.Sum(x)
		x = append(x[:0], sum[:]...)
		for i := 0; i < len(sum) && len(set) < k; i += 4 {
			if piece := be.Uint32(sum[i:]) % uint32(pieces); !slices.Contains(set, piece) {
				set = append(set, piece)
			}
		}
	}
	return set
}
