package wire

import (
	"fmt"
	"math"

	"shoal/internal/bencode"
)

// MetadataPiece is the length in bytes of a piece of metadata; only the last may be shorter (BEP 9).
const MetadataPiece = 16 << 10

// Types of MetadataMessage (BEP 9). Others are to be ignored.
const (
	MetadataRequest = 0
	MetadataData    = 1
	MetadataReject  = 2
)

// MetadataMessage is the body of a ut_metadata message (BEP 9).
type MetadataMessage struct {
	Type      int
	Piece     int    // 0 … 2³¹-1
	TotalSize int64  // bytes of all the metadata; only with MetadataData
	Data      []byte // only with MetadataData; a parsed one shares memory with the body
}

// Append appends the body.
func (m *MetadataMessage) Append(dst []byte) []byte {
	d := map[string]any{"msg_type": m.Type, "piece": m.Piece}
	if m.Type != MetadataData {
		return bencode.Append(dst, d)
	}
	d["total_size"] = m.TotalSize
	return append(bencode.Append(dst, d), m.Data...)
}

// ParseMetadataMessage reads a body. Data is at most MetadataPiece bytes.
func ParseMetadataMessage(b []byte) (MetadataMessage, error) {
	bad := func(what string) (MetadataMessage, error) {
		return MetadataMessage{}, &ProtocolError{Extended, ExtMetadata + ": " + what, 9}
	}
	v, data, err := bencode.ParsePrefix(b)
	if err != nil {
		return bad(err.Error())
	}
	kind, _ := v.Get("msg_type")
	piece, _ := v.Get("piece")
	t, okType := kind.Int()
	p, okPiece := piece.Int()
	if !okType || t < 0 || t > math.MaxInt32 || !okPiece || p < 0 || p > math.MaxInt32 {
		return bad("it has no valid msg_type or piece")
	}
	m := MetadataMessage{Type: int(t), Piece: int(p)}
	if m.Type != MetadataData {
		return m, nil
	}
	if len(data) > MetadataPiece {
		return bad(fmt.Sprintf("%d bytes of data are more than %d", len(data), MetadataPiece))
	}
	m.TotalSize, m.Data = number(v, "total_size", math.MaxInt64), data
	return m, nil
}
