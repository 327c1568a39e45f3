package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"shoal/internal/ident"
)

// errNotAllowed refuses a torrent.
var errNotAllowed = errors.New("this torrent is not allowed here")

// List is a set of swarms.
type List map[ident.V1]struct{}

// Add adds all swarms of a torrent.
func (l List) Add(h ident.InfoHash) {
	for _, name := range h.Swarms() {
		l[name] = struct{}{}
	}
}

// MaxList is the most torrents of a list.
const MaxList = 10_000_000

// ReadList adds the infohashes of a text to the list: a line holds one, of v1 or v2, in hexadecimal. What follows a space or # is
// passed over, as empty lines are. The error says which line is wrong.
func (l List) ReadList(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		var h ident.InfoHash
		var err error
		if len(words[0]) == 2*len(h.V2) {
			h.V2, err = ident.ParseV2(words[0])
		} else {
			h.V1, err = ident.ParseV1(words[0])
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if l.Add(h); len(l) > MaxList {
			return fmt.Errorf("line %d: more than %d infohashes", n, MaxList)
		}
	}
	return lines.Err()
}

// Access says which torrents are served. Its lists must not change once it is in use.
type Access struct {
	Allow List // nil: all
	Deny  List // even if Allow has them
}

func (a *Access) allows(name ident.V1) bool {
	if a.Allow != nil {
		if _, ok := a.Allow[name]; !ok {
			return false
		}
	}
	_, denied := a.Deny[name]
	return !denied
}

// SetAccess changes which torrents are served, from the next announce on. Peers of those that are not served any more expire.
func (s *Server) SetAccess(a Access) { s.access.Store(&a) }
