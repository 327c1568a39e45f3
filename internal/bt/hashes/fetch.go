package hashes

import (
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/merkle"
)

// How requests are made.
const (
	Run      = 512              // hashes of one request: what other programs ask for, 16 KiB and a little
	Pipeline = 2                // requests to one peer at a time
	Timeout  = 15 * time.Second // until a request is given to another peer
	Refusal  = 60 * time.Second // until a peer that rejected or did not answer is asked for the same run again
)

// Fetch collects the piece layers that a Hashes lacks. Every run of hashes is proven against its file's root as it
// comes, so a peer that sends a wrong one is known at once. Memory for a layer is taken when the first of its runs has
// come; metainfo.MaxPieces bounds it.
//
// P names a peer. Times are since any fixed start. A Fetch has one owner.
type Fetch[P comparable] struct {
	hashes *metainfo.Hashes
	base   int // the piece layer
	files  []*file[P]
	byRoot map[merkle.Hash]*file[P]
	peers  map[P]*peer
}

// file is a layer that is missing.
type file[P comparable] struct {
	index  int // in the layout
	root   merkle.Hash
	pieces int
	height int // layers of the tree above the piece layer
	run    int // pieces of one request, the last excepted
	layer  []merkle.Hash
	have   []bool // by run
	asked  []asked[P]
	left   int
}

// asked is the request that is under way for a run.
type asked[P comparable] struct {
	peer P
	at   time.Duration
	live bool
}

type peer struct {
	live    int
	banned  bool
	refused map[refusal]time.Duration // until when
}

type refusal struct{ file, run int }

// NewFetch returns a fetch of the layers that h lacks, in the order of the files.
func NewFetch[P comparable](h *metainfo.Hashes) *Fetch[P] {
	f := &Fetch[P]{hashes: h, base: h.Info().PieceLayer(), byRoot: map[merkle.Hash]*file[P]{}, peers: map[P]*peer{}}
	info := h.Info()
	for _, i := range h.MissingLayers() {
		first, end := info.Layout.FilePieces(i)
		n := end - first
		x := &file[P]{index: i, root: info.Roots[i], pieces: n, height: merkle.Layers(int64(n))}
		x.run = min(Run, 1<<x.height)
		runs := (n + x.run - 1) / x.run
		x.have, x.asked, x.left = make([]bool, runs), make([]asked[P], runs), runs
		f.files = append(f.files, x)
		if f.byRoot[x.root] == nil {
			f.byRoot[x.root] = x
		}
	}
	return f
}

// Done reports whether no layer is missing any more.
func (f *Fetch[P]) Done() bool { return len(f.files) == 0 }

// Missing returns how many runs are still to come: a measure of progress.
func (f *Fetch[P]) Missing() int {
	n := 0
	for _, x := range f.files {
		n += x.left
	}
	return n
}

// request returns the request for a run, with every proof layer up to the root. The last run is as short as can be,
// since not every program sends hashes of padding only.
func (f *Fetch[P]) request(x *file[P], run int) Request {
	length := min(x.run, max(2, 1<<merkle.Layers(int64(x.pieces-run*x.run))))
	return Request{
		Root: x.root, BaseLayer: uint32(f.base), Index: uint32(run * x.run), Length: uint32(length), ProofLayers: uint32(x.height - 1),
	}
}

// Pick returns a request to send to a peer that speaks v2 now, and takes it as asked. has tells whether the peer has a
// piece of the torrent: only of files of which it has one is it asked for hashes, since others it may not know. Call it
// until it returns false.
func (f *Fetch[P]) Pick(now time.Duration, id P, has func(piece int) bool) (Request, bool) {
	p := f.peers[id]
	if p == nil {
		p = &peer{refused: map[refusal]time.Duration{}}
		f.peers[id] = p
	}
	if p.banned || p.live >= Pipeline {
		return Request{}, false
	}
	for _, x := range f.files {
		if f.byRoot[x.root] != x { // a file of the same bytes brings this layer too
			continue
		}
		if run := f.open(now, p, x); run >= 0 && f.hasAny(x, has) {
			x.asked[run] = asked[P]{id, now, true}
			p.live++
			return f.request(x, run), true
		}
	}
	return Request{}, false
}

// open returns a run of a file that a peer can be asked for, or -1.
func (f *Fetch[P]) open(now time.Duration, p *peer, x *file[P]) int {
	for run := range x.have {
		until, refused := p.refused[refusal{x.index, run}]
		if !x.have[run] && !x.asked[run].live && !(refused && now < until) {
			return run
		}
	}
	return -1
}

// hasAny reports whether a peer has a piece of a file.
func (f *Fetch[P]) hasAny(x *file[P], has func(int) bool) bool {
	first, end := f.hashes.Info().Layout.FilePieces(x.index)
	for i := first; i < end; i++ {
		if has(i) {
			return true
		}
	}
	return false
}

// find returns the run that r asks for, if r is a request of ours.
func (f *Fetch[P]) find(r Request) (x *file[P], run int, ok bool) {
	x = f.byRoot[r.Root]
	if x == nil || int(r.Index)%x.run != 0 || int(r.Index)/x.run >= len(x.have) {
		return nil, 0, false
	}
	run = int(r.Index) / x.run
	return x, run, r == f.request(x, run)
}

// Arrived takes the answer to a request. It reports false if the peer lied: then it gets no more requests. A layer
// that is complete goes to the Hashes.
func (f *Fetch[P]) Arrived(id P, r Request, hashes []merkle.Hash) (honest bool) {
	p := f.peers[id]
	x, run, ok := f.find(r)
	if p == nil || p.banned || !ok || x.have[run] {
		return true // another brought it meanwhile, or nobody asked
	}
	a := &x.asked[run]
	mine := a.live && a.peer == id
	if _, late := p.refused[refusal{x.index, run}]; !mine && !late {
		return true // nobody asked
	}
	if !merkle.VerifyProof(x.root, x.height, int(r.Index), int(r.Length), hashes) {
		f.Gone(id)
		f.peers[id] = &peer{banned: true}
		return false
	}
	if a.live {
		f.free(a)
	}
	if x.layer == nil {
		x.layer = make([]merkle.Hash, x.pieces)
	}
	copy(x.layer[r.Index:], hashes[:r.Length])
	x.have[run] = true
	if x.left--; x.left == 0 {
		f.complete(x)
	}
	return true
}

// free ends a request.
func (f *Fetch[P]) free(a *asked[P]) {
	a.live = false
	if p := f.peers[a.peer]; p != nil {
		p.live--
	}
}

// complete hands a layer over, to each file that has the same root.
func (f *Fetch[P]) complete(done *file[P]) {
	var rest []*file[P]
	delete(f.byRoot, done.root)
	for _, x := range f.files {
		if x.root != done.root {
			rest = append(rest, x)
			continue
		}
		// The runs were proven against this root, so only a file that claims another length for it can fail here, and
		// no peer could ever bring the layer of that one.
		_ = f.hashes.AddLayer(x.index, done.layer)
	}
	f.files = rest
}

// Rejected tells that a peer refused a request.
func (f *Fetch[P]) Rejected(now time.Duration, id P, r Request) {
	x, run, ok := f.find(r)
	if p := f.peers[id]; ok && p != nil && x.asked[run].live && x.asked[run].peer == id {
		f.free(&x.asked[run])
		p.refused[refusal{x.index, run}] = now + Refusal
	}
}

// Gone tells that a peer's connection ended.
func (f *Fetch[P]) Gone(id P) {
	for _, x := range f.files {
		for run := range x.asked {
			if a := &x.asked[run]; a.live && a.peer == id {
				f.free(a)
			}
		}
	}
	delete(f.peers, id)
}

// Tick gives requests that timed out to other peers. Their answers are still welcome.
func (f *Fetch[P]) Tick(now time.Duration) {
	for _, x := range f.files {
		for run := range x.asked {
			if a := &x.asked[run]; a.live && now-a.at >= Timeout {
				f.free(a)
				f.peers[a.peer].refused[refusal{x.index, run}] = now + Refusal
			}
		}
	}
}
