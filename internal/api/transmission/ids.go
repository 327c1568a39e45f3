package transmission

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal/internal/library"
)

// recent is how long a change makes a torrent a recently active one.
const recent = time.Minute

// numbers gives torrents the numbers by which old programs know them: from 1, the same as long as the node runs.
type numbers struct {
	mu   sync.Mutex
	last int
	of   map[string]*numbered
	gone []departed
}

// numbered is what is remembered of a torrent.
type numbered struct {
	number  int
	mark    mark
	changed time.Time
	seen    bool
}

// departed is a torrent that was removed of late.
type departed struct {
	number int
	at     time.Time
}

// mark is what makes a torrent count as active when it changes.
type mark struct {
	state                             library.State
	name, category, dir               string
	done, uploaded, downLimit, upRate int64
	peers, queue, files, tags         int
}

func markOf(t *library.Torrent) mark {
	return mark{t.State, t.Name, t.Category, t.Dir, t.Done, t.Uploaded, t.DownLimit, t.UpRate, t.Peers, t.Queue, t.Files, len(t.Tags)}
}

// listing is all torrents with their numbers.
type listing struct {
	torrents []library.Torrent
	number   map[string]int
	recent   map[string]bool
	removed  []int // of late
}

// list returns all torrents by their numbers.
func (c *call) list() (*listing, error) {
	if c.numbered != nil {
		return c.numbered, nil
	}
	p, err := c.Library.List(library.Query{Sort: "added"})
	if err != nil {
		return nil, err
	}
	c.numbered = c.numbers.number(p.Torrents, time.Now())
	return c.numbered, nil
}

func (n *numbers) number(torrents []library.Torrent, now time.Time) *listing {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = map[string]*numbered{}
	}
	torrents = slices.Clone(torrents)
	slices.SortFunc(torrents, func(a, b library.Torrent) int { return cmp.Or(cmp.Compare(a.Added, b.Added), cmp.Compare(a.ID, b.ID)) })
	l := &listing{torrents: torrents, number: make(map[string]int, len(torrents)), recent: map[string]bool{}, removed: []int{}}
	for _, x := range n.of {
		x.seen = false
	}
	for i := range torrents {
		t := &torrents[i]
		x := n.of[t.ID]
		if x == nil {
			n.last++
			x = &numbered{number: n.last}
			n.of[t.ID] = x
		}
		x.seen = true
		if m := markOf(t); m != x.mark {
			x.mark, x.changed = m, now
		}
		l.number[t.ID] = x.number
		l.recent[t.ID] = now.Sub(x.changed) < recent
	}
	for id, x := range n.of {
		if !x.seen {
			delete(n.of, id)
			n.gone = append(n.gone, departed{x.number, now})
		}
	}
	n.gone = slices.DeleteFunc(n.gone, func(d departed) bool { return now.Sub(d.at) >= recent })
	for _, d := range n.gone {
		l.removed = append(l.removed, d.number)
	}
	slices.SortFunc(l.torrents, func(a, b library.Torrent) int { return cmp.Compare(l.number[a.ID], l.number[b.ID]) })
	return l
}

// chosen returns the torrents that the parameter ids names: a number, a hash, a list of either, or the word for those that changed of late. Without
// the parameter it is all of them; what is named and not there is passed over, as Transmission does.
func (c *call) chosen() (l *listing, list []*library.Torrent, recently bool, err error) {
	if l, err = c.list(); err != nil {
		return nil, nil, false, err
	}
	raw, ok := c.args["ids"]
	var keep func(t *library.Torrent) bool
	switch {
	case !ok || string(raw) == "null":
		keep = func(*library.Torrent) bool { return true }
	default:
		wanted, word, err := parseIDs(raw)
		if err != nil {
			return nil, nil, false, err
		}
		if recently = word; word {
			keep = func(t *library.Torrent) bool { return l.recent[t.ID] }
			break
		}
		keep = func(t *library.Torrent) bool {
			return wanted[l.number[t.ID]] || wanted[t.ID] || t.HashV1 != "" && wanted[t.HashV1] || t.HashV2 != "" && wanted[t.HashV2]
		}
	}
	for i := range l.torrents {
		if keep(&l.torrents[i]) {
			list = append(list, &l.torrents[i])
		}
	}
	return l, list, recently, nil
}

// parseIDs returns a set of numbers (int) and hashes (string), or that the word for recent ones was given.
func parseIDs(raw json.RawMessage) (wanted map[any]bool, recently bool, err error) {
	var one any
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, false, bad("ids: %v", err)
	}
	many, ok := one.([]any)
	if !ok {
		many = []any{one}
	}
	wanted = map[any]bool{}
	for _, x := range many {
		switch x := x.(type) {
		case float64:
			wanted[int(x)] = true
		case string:
			if !ok && snake(x) == "recently_active" {
				return nil, true, nil
			}
			wanted[strings.ToLower(x)] = true
		default:
			return nil, false, bad("ids are numbers or hashes")
		}
	}
	return wanted, false, nil
}
