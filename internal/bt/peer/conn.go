// Package peer runs one connection of the peer wire protocol (BEP 3): a reader that turns messages into events for the
// torrent's loop and serves requests, and a writer that exists while there is something to write.
//
//	download: socket → Decoder reads payload into a pooled block → batch of events → the loop's mailbox
//	upload:   request → choke flag and have-view, both atomic → queue → writer: storage read, writev
//
// The loop hears of uploads only by totals.
package peer

import (
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/rate"
)

// MaxRequests is how many requests we queue for a peer; the extension handshake says so as reqq (BEP 10).
const MaxRequests = 2000

// maxServed is the longest request that is served, in bytes. Clients ask for 16 KiB; some old ones for more.
const maxServed = 128 << 10

// Content is what requests are served from.
type Content struct {
	Layout *layout.Layout
	Have   *bitfield.Shared
	ReadAt func(p []byte, off int64) error
}

// Message is what a reader passes to the loop beside what the swarm takes: Arg of an event of kind swarm.Other.
type Message struct {
	From  *Conn
	Ext   *wire.ExtHandshake    // or
	Meta  *wire.MetadataMessage // (its Data is a copy), or
	Hash  *wire.HashRange       // with HashID
	Bytes []byte                // of HashID Hashes: a copy of the hashes
	ID    wire.ID               // HashRequest, Hashes or HashReject

	NodePort uint16   // UDP port of its DHT node (BEP 5), or
	Trackers []string // that it knows (BEP 28)
}

// Config is what a connection needs.
type Config struct {
	ID      ident.Peer
	Conn    net.Conn
	Fast    bool                      // both sides know BEP 6
	V2      bool                      // joined under the v2 name: it may be asked for hashes (BEP 52)
	Post    func(...swarm.Event) bool // waits while the loop is behind; false: the loop has ended
	Blocks  *block.Pool
	Down    *rate.Limiter // nil: unlimited
	Up      *rate.Limiter
	Content *Content // nil while the metadata is unknown
}

// Conn is one connection after its handshake. The loop calls its methods; they never wait.
type Conn struct {
	cfg     Config
	content atomic.Pointer[Content]
	done    chan struct{}
	once    sync.Once
	err     error // why it was closed; set before done closes

	unchoked atomic.Bool
	allowed  atomic.Pointer[map[uint32]bool] // pieces served while choked (BEP 6)
	down, up atomic.Int64                    // payload bytes
	heard    atomic.Int64                    // unix nanoseconds of the last read and write
	spoke    atomic.Int64

	mu      sync.Mutex
	out     []byte        // encoded messages to send
	uploads []upload      // requests to serve, oldest first
	room    chan struct{} // closed when a reader that waits for fewer uploads may go on; nil: none does
	writing bool          // a writer runs
	pacing  bool          // somebody waits for the upload limit
	paid    int           // bytes that the upload limit has let pass and that are not sent yet
	span    int           // bytes to serve at a time; follows the speed of the connection

	peerExt [len(extensions)]uint8 // ids under which the peer wants extension messages, by ours; of the loop
}

type upload struct {
	piece, begin, length uint32
}

// New returns a connection; Start begins reading.
func New(cfg Config) *Conn {
	c := &Conn{cfg: cfg, done: make(chan struct{}), span: block.Size}
	c.content.Store(cfg.Content)
	now := time.Now().UnixNano()
	c.heard.Store(now)
	c.spoke.Store(now)
	return c
}

// Start starts the reader, which posts a Left event as its last.
func (c *Conn) Start() {
	r := newReader(c)
	if r.idle != nil {
		go r.park()
	} else {
		go r.run()
	}
}

// SetContent tells what to serve, once the metadata is known.
func (c *Conn) SetContent(content *Content) { c.content.Store(content) }

// Close ends the connection with a reason. The reader notices and posts Left.
func (c *Conn) Close(why error) {
	c.once.Do(func() {
		c.err = why
		close(c.done)
		c.cfg.Conn.Close()
	})
}

// V2 reports whether the peer joined under the torrent's v2 name (BEP 52).
func (c *Conn) V2() bool { return c.cfg.V2 }

// Fast reports whether both sides know the fast extension (BEP 6).
func (c *Conn) Fast() bool { return c.cfg.Fast }

// Totals returns the payload bytes received and sent.
func (c *Conn) Totals() (down, up int64) { return c.down.Load(), c.up.Load() }

// Quiet returns how long nothing was received, and how long nothing was sent.
func (c *Conn) Quiet(now time.Time) (in, out time.Duration) {
	n := now.UnixNano()
	return time.Duration(n - c.heard.Load()), time.Duration(n - c.spoke.Load())
}

// RemoteAddr returns the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.cfg.Conn.RemoteAddr() }

// Queue appends to what is to be sent: encode is given the buffer and returns it longer. Flush starts the sending.
func (c *Conn) Queue(encode func(dst []byte) []byte) {
	c.mu.Lock()
	if c.out == nil {
		c.out = getBuffer()
	}
	c.out = encode(c.out)
	c.mu.Unlock()
}

// Backlog returns how many bytes of messages wait to be sent.
func (c *Conn) Backlog() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out)
}

// Flush starts a writer if there is something to write and none runs.
func (c *Conn) Flush() {
	c.mu.Lock()
	start := !c.writing && (len(c.out) > 0 || len(c.uploads) > 0)
	c.writing = c.writing || start
	c.mu.Unlock()
	if start {
		c.startWriter()
	}
}

// Choke stops serving, and rejects or forgets what was asked for, except allowed-fast pieces (BEP 6).
func (c *Conn) Choke() {
	c.unchoked.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = wire.AppendChoke(c.out)
	keep := c.uploads[:0]
	for _, u := range c.uploads {
		if c.isAllowed(u.piece) {
			keep = append(keep, u)
		} else if c.cfg.Fast {
			c.out = wire.AppendReject(c.out, u.piece, u.begin, u.length)
		}
	}
	c.uploads = keep
	c.makeRoom()
}

// Unchoke begins serving.
func (c *Conn) Unchoke() {
	c.unchoked.Store(true)
	c.Queue(wire.AppendUnchoke)
}

// AllowFast serves these pieces even while the peer is choked, and tells it (BEP 6).
func (c *Conn) AllowFast(pieces []uint32) {
	set := make(map[uint32]bool, len(pieces))
	for _, p := range pieces {
		set[p] = true
		c.Queue(func(b []byte) []byte { return wire.AppendAllowedFast(b, p) })
	}
	c.allowed.Store(&set)
}

func (c *Conn) isAllowed(piece uint32) bool {
	set := c.allowed.Load()
	return set != nil && (*set)[piece]
}

// SetExtensions remembers the ids that the peer's extension handshake gave; an id of 0 turns one off (BEP 10).
func (c *Conn) SetExtensions(m map[string]uint8) {
	for ours, name := range extensions {
		if id, ok := m[name]; ok {
			c.peerExt[ours] = id
		}
	}
}

// Extension returns the id under which the peer wants messages of an extension, 0 if it does not.
func (c *Conn) Extension(name string) uint8 {
	if i := slices.Index(extensions[:], name); i > 0 {
		return c.peerExt[i]
	}
	return 0
}

// errFlood is why a peer is dropped that goes on asking and reads nothing of our answers.
var errFlood = errors.New("peer asks for far more than it may (reqq, BEP 10) and reads no answers")
