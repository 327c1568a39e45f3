// Package hashes exchanges the piece layers of v2 torrents with peers (BEP 52). It is pure: it is told what peers say
// and what time it is, and answers what to ask.
package hashes

import (
	"sync"

	"shoal/internal/bt/metainfo"
	"shoal/internal/merkle"
)

// Request is what the messages "hash request", "hashes" and "hash reject" begin with (BEP 52).
type Request struct {
	Root        merkle.Hash // of the file
	BaseLayer   uint32      // layer of the requested hashes; 0 is that of the 16 KiB blocks
	Index       uint32      // of the first hash in its layer, a multiple of Length
	Length      uint32      // hashes: a power of two, at least 2
	ProofLayers uint32      // layers above the base layer whose uncles are wanted where they do not follow from the hashes
}

// MaxServed is the most hashes that are sent for one request, uncles excepted.
const MaxServed = 8192

// Server answers requests for hashes. It is safe for concurrent use.
type Server struct {
	hashes *metainfo.Hashes
	files  map[merkle.Hash]int // by root, the files of more than one piece

	mu    sync.Mutex
	trees map[merkle.Hash]*merkle.Tree // made at the first request; as large as the layers that they are of
}

// NewServer returns a server of what h knows now and later.
func NewServer(h *metainfo.Hashes) *Server {
	s := &Server{hashes: h, files: map[merkle.Hash]int{}, trees: map[merkle.Hash]*merkle.Tree{}}
	info := h.Info()
	for f, root := range info.Roots {
		if info.Layout.Files[f].Length > info.Layout.PieceLength {
			s.files[root] = f
		}
	}
	return s
}

// Answer returns the hashes and uncles that r asks for, or nil if it must be rejected: the file or its layer is not
// known here, the base layer lies below the piece layer, or the request is not sound.
func (s *Server) Answer(r Request) []merkle.Hash {
	file, ok := s.files[r.Root]
	base := uint32(s.hashes.Info().PieceLayer())
	if !ok || r.BaseLayer < base || r.BaseLayer > merkle.MaxLayer || r.Length > MaxServed || r.ProofLayers > merkle.MaxLayer {
		return nil
	}
	tree := s.tree(r.Root, file)
	if tree == nil {
		return nil
	}
	return tree.Proof(int(r.BaseLayer-base), int(r.Index), int(r.Length), int(r.ProofLayers))
}

func (s *Server) tree(root merkle.Hash, file int) *merkle.Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trees[root]
	if t == nil {
		if layer := s.hashes.Layer(file); layer != nil {
			t = merkle.NewTree(layer, s.hashes.Info().PiecePad())
			s.trees[root] = t
		}
	}
	return t
}
