package peer

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/discovery"
)

// Ids that we give to extensions in our extension handshake (BEP 10).
const (
	idPEX = iota + 1
	idMetadata
	idUploadOnly
	idDontHave
	idHolepunch
	idTEX
)

// extensions are their names, by the ids that we give them.
var extensions = [...]string{
	idPEX: wire.ExtPEX, idMetadata: wire.ExtMetadata, idUploadOnly: wire.ExtUploadOnly, idDontHave: wire.ExtDontHave,
	idHolepunch: wire.ExtHolepunch, idTEX: wire.ExtTEX,
}

// OurExtensions is M of our extension handshake, not to be changed. What finds peers is left out for private torrents (BEP 27), and for
// who wants to be anonymous what has others send strangers to us or us to strangers.
func OurExtensions(private, anonymous bool) map[string]uint8 {
	switch {
	case private:
		return privateExtensions
	case anonymous:
		return anonymousExtensions
	}
	return publicExtensions
}

var publicExtensions, privateExtensions, anonymousExtensions = offer(), offer(idPEX, idTEX, idHolepunch), offer(idTEX, idHolepunch)

// offer returns the ids of all extensions but some.
func offer(but ...int) map[string]uint8 {
	m := map[string]uint8{}
	for id, name := range extensions {
		if name != "" && !slices.Contains(but, id) {
			m[name] = uint8(id)
		}
	}
	return m
}

// maxBatch is how many events are posted at once at the most.
const maxBatch = 64

// batches are short until somebody needs a longer one.
var batches = sync.Pool{New: func() any {
	b := make([]swarm.Event, 0, 4)
	return &b
}}

// reader is the state of the reading goroutine.
type reader struct {
	*Conn
	dec   *wire.Decoder
	batch *[]swarm.Event // nil while empty: most peers are idle
	asked bool           // requests or answers to them are queued: Flush is due
	idle  idler          // nil if the connection is none
	busy  bool           // payload or requests have come since the last wait
}

// idler is a connection on which a goroutine can wait with little stack.
type idler interface {
	// Wait returns when something can be read, or the connection has failed or is closed.
	Wait()
}

// errIdle ends the loop of a peer that has nothing to say for now.
var errIdle = errors.New("idle")

func newReader(c *Conn) *reader {
	r := &reader{Conn: c}
	r.idle, _ = c.cfg.Conn.(idler)
	r.dec = wire.NewDecoder(c.cfg.Conn, r.block, wire.DefaultLimits)
	if v, ok := c.cfg.Conn.(wire.VectorReader); ok {
		r.dec.ReadAhead(v, r.spare)
	}
	return r
}

// run reads until the connection ends or idles. Reading grows a stack that would never shrink, and most peers are idle: so another
// goroutine waits.
func (r *reader) run() {
	err := r.loop()
	if errors.Is(err, errIdle) {
		go r.park()
		return
	}
	r.dec.Close()
	r.Close(err)
	r.flush()
	r.cfg.Post(swarm.Event{Kind: swarm.Left, Peer: r.cfg.ID, Arg: r.err})
}

// park waits for an idle peer.
func (r *reader) park() {
	r.idle.Wait()
	r.run()
}

func (r *reader) loop() error {
	var m wire.Message
	waited := false
	for {
		if r.dec.Buffered() == 0 {
			r.dec.Idle()
			r.answer()
			if !r.flush() {
				return errLoopGone
			}
			if r.idle != nil && !r.busy && waited {
				return errIdle
			}
			r.busy, waited = false, true
		}
		if err := r.dec.Next(&m); err != nil {
			return err
		}
		if err := r.message(&m); err != nil {
			return err
		}
	}
}

// block lends a block for a payload. Before it waits it hands on what it holds, for others may wait for that.
func (r *reader) block() *block.Block {
	r.answer() // the payload may be long in coming
	if !r.cfg.Down.Unlimited() {
		r.flush()
		if !r.cfg.Down.Wait(r.done, block.Size) {
			return nil
		}
	}
	if b := r.cfg.Blocks.TryGet(); b != nil {
		return b
	}
	r.flush()
	return r.cfg.Blocks.Get(r.done)
}

// answer starts the writer if requests have come.
func (r *reader) answer() {
	if r.asked {
		r.asked = false
		r.Flush()
	}
}

// spare lends blocks for payload that may have come already: none under a download limit, which is paid before a block is read.
func (r *reader) spare(into []*block.Block) int {
	if !r.cfg.Down.Unlimited() {
		return 0
	}
	return r.cfg.Blocks.Spare(into)
}

// add puts an event into the batch.
func (r *reader) add(e swarm.Event) {
	e.Peer = r.cfg.ID
	if r.batch == nil {
		r.batch = batches.Get().(*[]swarm.Event)
	}
	*r.batch = append(*r.batch, e)
	if len(*r.batch) >= maxBatch {
		r.answer()
		r.flush()
	}
}

// flush posts the batch. If the loop has ended, it releases the blocks and reports false.
func (r *reader) flush() bool {
	if r.batch == nil {
		return true
	}
	events := *r.batch
	r.heard.Store(time.Now().UnixNano())
	ok := r.cfg.Post(events...)
	if !ok {
		for _, e := range events {
			e.Block.Release()
		}
	}
	clear(events)
	*r.batch = events[:0]
	batches.Put(r.batch)
	r.batch = nil
	return ok
}

var simple = map[wire.ID]swarm.EventKind{
	wire.Choke: swarm.Choked, wire.Unchoke: swarm.Unchoked, wire.Interested: swarm.Interested, wire.NotInterested: swarm.NotInterested,
	wire.HaveAll: swarm.HaveAll, wire.HaveNone: swarm.HaveNone,
}

func (r *reader) message(m *wire.Message) error {
	piece, begin := int32(m.Piece), int32(m.Begin)
	switch m.ID {
	case wire.Piece:
		r.busy = true
		r.down.Add(int64(m.Block.Len()))
		r.add(swarm.Event{Kind: swarm.Arrived, Piece: piece, Begin: begin, Block: m.Block})
	case wire.Have:
		r.add(swarm.Event{Kind: swarm.Have, Piece: piece})
	case wire.Request:
		r.busy = true
		return r.request(upload{m.Piece, m.Begin, m.Length})
	case wire.Cancel:
		r.cancel(upload{m.Piece, m.Begin, m.Length})
	case wire.Bitfield:
		r.add(swarm.Event{Kind: swarm.Bitfield, Arg: slices.Clone(m.Payload)})
	case wire.Suggest:
		r.add(swarm.Event{Kind: swarm.Suggested, Piece: piece})
	case wire.AllowedFast:
		r.add(swarm.Event{Kind: swarm.AllowedFast, Piece: piece})
	case wire.Reject:
		r.add(swarm.Event{Kind: swarm.Rejected, Piece: piece, Begin: begin})
	case wire.Extended:
		return r.extended(m)
	case wire.HashRequest, wire.Hashes, wire.HashReject:
		h := m.Hashes
		r.other(&Message{ID: m.ID, Hash: &h, Bytes: slices.Clone(m.Payload)})
	case wire.KeepAlive:
		r.heard.Store(time.Now().UnixNano())
	case wire.Port:
		r.other(&Message{NodePort: m.Port})
	default:
		r.add(swarm.Event{Kind: simple[m.ID]})
	}
	return nil
}

func (r *reader) other(m *Message) {
	m.From = r.Conn
	r.add(swarm.Event{Kind: swarm.Other, Arg: m})
}

func (r *reader) extended(m *wire.Message) error {
	switch m.Ext {
	case 0:
		h, err := wire.ParseExtHandshake(m.Payload)
		if err != nil {
			return err
		}
		r.other(&Message{Ext: &h})
		r.add(swarm.Event{Kind: swarm.Extensions, Arg: &swarm.PeerExtensions{
			ReqQ: h.ReqQ, ListenPort: h.Port, PEX: h.M[wire.ExtPEX] != 0, DontHave: h.M[wire.ExtDontHave] != 0,
			Holepunch: h.M[wire.ExtHolepunch] != 0, UploadOnly: h.UploadOnly, Client: h.Version,
		}})
		if h.YourIP.IsValid() {
			r.add(swarm.Event{Kind: swarm.SetSelf, Arg: netip.AddrPortFrom(h.YourIP, 0)})
		}
	case idPEX:
		p, err := wire.ParsePEX(m.Payload)
		if err != nil {
			return err
		}
		var found []discovery.Peer
		for _, a := range p.Added {
			found = append(found, discovery.Peer{Addr: a.Addr, Source: discovery.PEX})
		}
		r.add(swarm.Event{Kind: swarm.PEX, Arg: found})
	case idMetadata:
		meta, err := wire.ParseMetadataMessage(m.Payload)
		if err != nil {
			return err
		}
		meta.Data = slices.Clone(meta.Data)
		r.other(&Message{Meta: &meta})
	case idUploadOnly:
		on, err := wire.ParseUploadOnly(m.Payload)
		if err != nil {
			return err
		}
		r.add(swarm.Event{Kind: swarm.UploadOnly, OK: on})
	case idDontHave:
		piece, err := wire.ParseDontHave(m.Payload)
		if err != nil {
			return err
		}
		r.add(swarm.Event{Kind: swarm.DontHave, Piece: int32(piece)})
	case idHolepunch:
		h, err := wire.ParseHolepunch(m.Payload)
		if err != nil {
			return err
		}
		r.add(swarm.Event{Kind: swarm.Holepunch, Arg: &h})
	case idTEX:
		added, err := wire.ParseTEX(m.Payload)
		if err != nil {
			return err
		}
		r.other(&Message{Trackers: added})
	}
	return nil
}

// request queues what a peer asks for, or rejects it; the writer serves.
func (r *reader) request(u upload) error {
	r.waitForRoom()
	content := r.content.Load()
	ok := content != nil && u.valid(content) && (r.unchoked.Load() || r.isAllowed(u.piece))
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ok && len(r.uploads) < MaxRequests:
		r.uploads = append(r.uploads, u)
	case len(r.out) > maxRejects:
		return errFlood
	case r.cfg.Fast:
		r.out = wire.AppendReject(r.out, u.piece, u.begin, u.length)
	}
	r.asked = true
	return nil
}

// waitForRoom waits while as many requests are queued as we said to take, if the peer cannot be told that one more is rejected. What
// it sends meanwhile waits in its socket: rtorrent asks for as much as it gets in several seconds, whatever we say.
func (r *reader) waitForRoom() {
	r.mu.Lock()
	if r.cfg.Fast || len(r.uploads) < MaxRequests {
		r.mu.Unlock()
		return
	}
	room := make(chan struct{})
	r.room = room
	r.mu.Unlock()
	r.asked = true
	r.answer()
	r.flush()
	select {
	case <-room:
	case <-r.done:
	}
}

// maxRejects bounds the bytes that wait for a peer that asks and does not read.
const maxRejects = 256 << 10

// valid reports whether a request can be served. libtorrent takes a v2 torrent whose last file is empty to end with its last
// piece, and asks for the zeros up to there.
func (u upload) valid(c *Content) bool {
	end := c.Layout.PieceLength
	if !c.Layout.CutTail && u.piece < uint32(c.Layout.Pieces()) {
		end = int64(c.Layout.PieceLen(int(u.piece)))
	}
	return int64(u.piece) < int64(c.Layout.Pieces()) && c.Have.Has(int(u.piece)) && u.length > 0 && u.length <= maxServed &&
		int64(u.begin)+int64(u.length) <= end
}

// cancel takes a request back. With BEP 6 every request is answered, so a cancelled one is rejected.
func (r *reader) cancel(u upload) {
	r.mu.Lock()
	if i := slices.Index(r.uploads, u); i >= 0 {
		r.uploads = slices.Delete(r.uploads, i, i+1)
		if r.cfg.Fast {
			r.out = wire.AppendReject(r.out, u.piece, u.begin, u.length)
		}
	}
	r.mu.Unlock()
	r.asked = true
}
