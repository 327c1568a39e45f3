package krpc

import (
	"errors"
	"net/netip"
)

// MaxMessage is how long a datagram may be that we send (BEP 32).
const MaxMessage = 1024

// Kind is what a message is.
type Kind byte

// The kinds of message, by what stands under "y".
const (
	Query    Kind = 'q'
	Response Kind = 'r'
	Error    Kind = 'e'
)

// Method is what a query asks for.
type Method uint8

// The methods of BEP 5, 44 and 51.
const (
	Unknown Method = iota // named by Message.Name
	Ping
	FindNode
	GetPeers
	AnnouncePeer
	Get
	Put
	SampleInfohashes
)

var methodNames = [...]string{"", "ping", "find_node", "get_peers", "announce_peer", "get", "put", "sample_infohashes"}

// String returns the method's name on the wire.
func (m Method) String() string { return methodNames[m] }

// Codes of errors (BEP 5, BEP 44).
const (
	GenericError    = 201
	ServerError     = 202
	ProtocolError   = 203
	MethodUnknown   = 204
	ValueTooBig     = 205
	InvalidSig      = 206
	SaltTooBig      = 207
	CASMismatch     = 301
	SeqLessThanHeld = 302
)

// Message is one KRPC message. Slices that Decode has set are views into the datagram. What is absent is zero or nil; where zero
// means something, a Has field tells.
type Message struct {
	Kind     Kind
	TID      []byte         // "t": the asker's number of the query
	Version  []byte         // "v" beside "t": the client
	ReadOnly bool           // "ro" (BEP 43)
	IP       netip.AddrPort // "ip": the asker's address as the responder sees it (BEP 42)

	Method Method
	Name   []byte // of a method that we do not know

	// Arguments and results.
	ID          ID     // of the sender
	Target      ID     // "target" or "info_hash"
	HasTarget   bool   // set by Decode; Append knows by the method
	Token       []byte // BEP 5
	Port        uint16 // BEP 5
	ImpliedPort bool   // BEP 5
	Seed        bool   // BEP 33
	NoSeed      bool   // BEP 33
	Scrape      bool   // BEP 33
	HasWant     bool   // BEP 32
	Want4       bool
	Want6       bool
	Nodes       []byte // compact, 26 bytes each (BEP 5)
	Nodes6      []byte // compact, 38 bytes each (BEP 32)
	HasValues   bool
	Values      []byte  // the encoded strings of the list "values", one after another
	SeedFilter  *Filter // "BFsd" (BEP 33)
	PeerFilter  *Filter // "BFpe" (BEP 33)
	Value       []byte  // "v", encoded (BEP 44)
	Key         []byte  // "k": 32 bytes (BEP 44)
	Sig         []byte  // 64 bytes (BEP 44)
	Salt        []byte  // BEP 44
	HasSeq      bool
	Seq         int64 // BEP 44
	HasCAS      bool
	CAS         int64 // BEP 44
	HasSamples  bool  // BEP 51
	Samples     []byte
	Interval    int64 // seconds (BEP 51)
	Num         int64 // BEP 51

	// Of an error.
	Code int64
	Text []byte
}

// Reasons why Decode refuses.
var (
	ErrSyntax = errors.New("krpc: not a message")
	ErrTID    = errors.New("krpc: no usable transaction id")
	ErrID     = errors.New("krpc: no node id")
)

// maxTID is how long a transaction id may be that we give back.
const maxTID = 32
