// Package wire is the peer wire protocol: the handshake, the messages, and the bodies of the extension messages that
// shoal speaks (BEP 3, 5, 6, 9, 10, 11, 21, 52, 54).
//
// Decoder reads messages from any io.Reader; the Append functions write them. Both check form only: whether a piece
// exists, a block was asked for or an extension was agreed upon is for the caller to judge.
package wire

import (
	"errors"
	"fmt"

	"shoal/internal/block"
	"shoal/internal/ident"
)

// ID tells what a message is: the byte that follows its length prefix.
type ID uint8

// The messages.
const (
	Choke         ID = 0   // BEP 3
	Unchoke       ID = 1   // BEP 3
	Interested    ID = 2   // BEP 3
	NotInterested ID = 3   // BEP 3
	Have          ID = 4   // BEP 3: Piece
	Bitfield      ID = 5   // BEP 3: Payload
	Request       ID = 6   // BEP 3: Piece, Begin, Length
	Piece         ID = 7   // BEP 3: Piece, Begin, Length, Block
	Cancel        ID = 8   // BEP 3: Piece, Begin, Length
	Port          ID = 9   // BEP 5: Port
	Suggest       ID = 13  // BEP 6: Piece
	HaveAll       ID = 14  // BEP 6
	HaveNone      ID = 15  // BEP 6
	Reject        ID = 16  // BEP 6: Piece, Begin, Length
	AllowedFast   ID = 17  // BEP 6: Piece
	Extended      ID = 20  // BEP 10: Ext, Payload
	HashRequest   ID = 21  // BEP 52: Hashes
	Hashes        ID = 22  // BEP 52: Hashes, Payload
	HashReject    ID = 23  // BEP 52: Hashes
	KeepAlive     ID = 255 // BEP 3: the empty message, which has no id on the wire
)

var idNames = map[ID]string{
	Choke: "choke", Unchoke: "unchoke", Interested: "interested", NotInterested: "not interested", Have: "have",
	Bitfield: "bitfield", Request: "request", Piece: "piece", Cancel: "cancel", Port: "port", Suggest: "suggest",
	HaveAll: "have all", HaveNone: "have none", Reject: "reject", AllowedFast: "allowed fast", Extended: "extended",
	HashRequest: "hash request", Hashes: "hashes", HashReject: "hash reject", KeepAlive: "keep-alive",
}

// String returns the message's name in its BEP.
func (id ID) String() string {
	if s, ok := idNames[id]; ok {
		return s
	}
	return fmt.Sprintf("message %d", uint8(id))
}

// Message is one message. Which fields have a meaning stands beside each ID; the others are zero.
type Message struct {
	ID                   ID
	Piece, Begin, Length uint32       // of a Piece message, Length is the length of its payload
	Block                *block.Block // payload of a Piece message: it belongs to the caller of Next, who must release it
	Payload              []byte       // bits, extension body or hashes: valid until the next call of Next or Idle
	Ext                  uint8        // extended message id: 0 is the extension handshake (BEP 10)
	Port                 uint16       // UDP port of the peer's DHT node (BEP 5)
	Hashes               HashRange
}

// HashRange names hashes of one file's Merkle tree (BEP 52).
type HashRange struct {
	Root        [32]byte // the file's pieces root
	BaseLayer   uint32   // the lowest layer asked for; 0 is the layer of the blocks
	Index       uint32   // of the first hash in the base layer
	Length      uint32   // number of hashes from the base layer
	ProofLayers uint32   // number of ancestor layers for which uncle hashes are asked
}

// MaxHashes is the most hashes of a base layer that one message may carry (BEP 52: a request should not ask for more).
const MaxHashes = 512

// ErrClosing is what Next returns when there is no block to read a payload into because the connection is closing.
var ErrClosing = errors.New("wire: the connection is closing")

// ProtocolError is a violation of the protocol by the peer. The connection cannot go on.
type ProtocolError struct {
	ID   ID     // of the message
	What string // what was wrong with it
	BEP  int    // where it is specified
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("peer sent a bad %v message: %s (BEP %d)", e.ID, e.What, e.BEP)
}

// Protocol is how a plain connection begins: the length of the protocol's name, and the name (BEP 3).
const Protocol = "\x13BitTorrent protocol"

// HandshakeLen is the length of a handshake in bytes.
const HandshakeLen = len(Protocol) + 8 + 20 + 20

// Reserved are the handshake's eight bytes of capability bits.
type Reserved [8]byte

// Bits of Reserved, for OurReserved: the byte's index times 256, plus the bit.
const (
	BitExtended = 5<<8 | 0x10 // BEP 10
	BitDHT      = 7<<8 | 0x01 // BEP 5
	BitFast     = 7<<8 | 0x04 // BEP 6
	BitV2       = 7<<8 | 0x10 // BEP 52: a hybrid torrent's v1 swarm may be left for v2
)

// OurReserved returns the reserved bytes in which the given bits are set.
func OurReserved(bits ...int) Reserved {
	var r Reserved
	for _, b := range bits {
		r[b>>8] |= byte(b)
	}
	return r
}

func (r Reserved) has(b int) bool { return r[b>>8]&byte(b) != 0 }

// Extended reports whether the peer understands extension messages (BEP 10).
func (r Reserved) Extended() bool { return r.has(BitExtended) }

// DHT reports whether the peer has a DHT node (BEP 5).
func (r Reserved) DHT() bool { return r.has(BitDHT) }

// Fast reports whether the peer understands the fast extension (BEP 6).
func (r Reserved) Fast() bool { return r.has(BitFast) }

// V2 reports whether the peer can be asked to go on under the v2 infohash of a hybrid torrent (BEP 52).
func (r Reserved) V2() bool { return r.has(BitV2) }

// Handshake is what either side sends first (BEP 3).
type Handshake struct {
	Reserved Reserved
	InfoHash ident.V1 // name of the swarm: a v2 infohash is cut to 20 bytes
	PeerID   ident.PeerID
}

// AppendHandshake appends the HandshakeLen bytes of h.
func AppendHandshake(dst []byte, h Handshake) []byte {
	dst = append(dst, Protocol...)
	dst = append(dst, h.Reserved[:]...)
	dst = append(dst, h.InfoHash[:]...)
	return append(dst, h.PeerID[:]...)
}

// ErrHandshake is what ParseHandshake returns for bytes that are no handshake.
var ErrHandshake = errors.New("peer does not speak the BitTorrent protocol (BEP 3)")

// ParseHandshake reads a handshake from exactly HandshakeLen bytes.
func ParseHandshake(b []byte) (Handshake, error) {
	if len(b) != HandshakeLen || string(b[:len(Protocol)]) != Protocol {
		return Handshake{}, ErrHandshake
	}
	b = b[len(Protocol):]
	return Handshake{Reserved: Reserved(b[:8]), InfoHash: ident.V1(b[8:28]), PeerID: ident.PeerID(b[28:48])}, nil
}
