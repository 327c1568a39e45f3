package wire

import "encoding/binary"

// PieceHeaderLen is the length of what AppendPieceHeader appends.
const PieceHeaderLen = 13

var be = binary.BigEndian

// header appends the length prefix of a message with n bytes behind its id, and the id.
func header(dst []byte, id ID, n int) []byte {
	return append(be.AppendUint32(dst, uint32(1+n)), byte(id))
}

func appendPiece(dst []byte, id ID, piece uint32) []byte {
	return be.AppendUint32(header(dst, id, 4), piece)
}

func appendBlock(dst []byte, id ID, piece, begin, length uint32) []byte {
	dst = be.AppendUint32(header(dst, id, 12), piece)
	return be.AppendUint32(be.AppendUint32(dst, begin), length)
}

func appendHashRange(dst []byte, id ID, r HashRange, hashes []byte) []byte {
	dst = append(header(dst, id, hashRangeLen+len(hashes)), r.Root[:]...)
	dst = be.AppendUint32(be.AppendUint32(dst, r.BaseLayer), r.Index)
	dst = be.AppendUint32(be.AppendUint32(dst, r.Length), r.ProofLayers)
	return append(dst, hashes...)
}

// AppendKeepAlive appends the empty message, sent when there was nothing to say for two minutes (BEP 3).
func AppendKeepAlive(dst []byte) []byte { return be.AppendUint32(dst, 0) }

// AppendChoke appends a choke message (BEP 3).
func AppendChoke(dst []byte) []byte { return header(dst, Choke, 0) }

// AppendUnchoke appends an unchoke message (BEP 3).
func AppendUnchoke(dst []byte) []byte { return header(dst, Unchoke, 0) }

// AppendInterested appends an interested message (BEP 3).
func AppendInterested(dst []byte) []byte { return header(dst, Interested, 0) }

// AppendNotInterested appends a not interested message (BEP 3).
func AppendNotInterested(dst []byte) []byte { return header(dst, NotInterested, 0) }

// AppendHave appends a have message (BEP 3).
func AppendHave(dst []byte, piece uint32) []byte { return appendPiece(dst, Have, piece) }

// AppendBitfield appends a bitfield message (BEP 3). bits is the wire form of a bitfield.Set.
func AppendBitfield(dst, bits []byte) []byte {
	return append(header(dst, Bitfield, len(bits)), bits...)
}

// AppendRequest appends a request (BEP 3).
func AppendRequest(dst []byte, piece, begin, length uint32) []byte {
	return appendBlock(dst, Request, piece, begin, length)
}

// AppendCancel appends a cancel message, which takes back a request (BEP 3).
func AppendCancel(dst []byte, piece, begin, length uint32) []byte {
	return appendBlock(dst, Cancel, piece, begin, length)
}

// AppendReject appends a reject message, which answers a request that will not be served (BEP 6).
func AppendReject(dst []byte, piece, begin, length uint32) []byte {
	return appendBlock(dst, Reject, piece, begin, length)
}

// AppendPieceHeader appends the PieceHeaderLen bytes of a piece message that go before its n bytes of payload (BEP 3).
func AppendPieceHeader(dst []byte, piece, begin uint32, n int) []byte {
	dst = be.AppendUint32(header(dst, Piece, 8+n), piece)
	return be.AppendUint32(dst, begin)
}

// AppendPort appends a port message: the UDP port of our DHT node (BEP 5).
func AppendPort(dst []byte, port uint16) []byte {
	return be.AppendUint16(header(dst, Port, 2), port)
}

// AppendSuggest appends a suggest piece message (BEP 6).
func AppendSuggest(dst []byte, piece uint32) []byte { return appendPiece(dst, Suggest, piece) }

// AppendHaveAll appends a have all message, in place of a full bitfield (BEP 6).
func AppendHaveAll(dst []byte) []byte { return header(dst, HaveAll, 0) }

// AppendHaveNone appends a have none message, in place of an empty bitfield (BEP 6).
func AppendHaveNone(dst []byte) []byte { return header(dst, HaveNone, 0) }

// AppendAllowedFast appends an allowed fast message: the piece may be requested while choked (BEP 6).
func AppendAllowedFast(dst []byte, piece uint32) []byte { return appendPiece(dst, AllowedFast, piece) }

// AppendExtended appends an extension message under the id that the peer gave to the extension, or under 0, which is
// the extension handshake (BEP 10).
func AppendExtended(dst []byte, ext uint8, body []byte) []byte {
	return append(append(header(dst, Extended, 1+len(body)), ext), body...)
}

// AppendHashRequest appends a hash request (BEP 52).
func AppendHashRequest(dst []byte, r HashRange) []byte {
	return appendHashRange(dst, HashRequest, r, nil)
}

// AppendHashReject appends the refusal of a hash request (BEP 52).
func AppendHashReject(dst []byte, r HashRange) []byte {
	return appendHashRange(dst, HashReject, r, nil)
}

// AppendHashes appends the answer to a hash request: r.Length hashes of the base layer and then the uncle hashes that
// prove them, from the lowest up; 32 bytes each (BEP 52).
func AppendHashes(dst []byte, r HashRange, hashes []byte) []byte {
	return appendHashRange(dst, Hashes, r, hashes)
}
