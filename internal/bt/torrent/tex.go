package torrent

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"shoal/internal/bt/peer"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
)

// Exchange of trackers with peers (BEP 28). A tracker's URL may hold a person's key, and a stranger's URL may name a victim; so only URLs
// that say no more than where a tracker is are told and taken, and only those told that work for us.

// TrackerList takes trackers that peers name.
type TrackerList interface {
	// Add adds trackers to be asked when none of those that are there works, and only a few times if they do not answer. What is there
	// already, or too many, is left out.
	Add(urls []string)
}

const (
	texInterval = 2 * time.Minute // between messages to a peer, which BEP 28 recommends
	maxTEX      = wire.MaxTEX
)

// exchange is what a torrent knows of the exchange of trackers.
type exchange struct {
	told map[ident.Peer][]string // by peer: what it was told, or has by its own account
	next time.Duration
}

// plainTracker reports whether a URL says no more than where a tracker is.
func plainTracker(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" || u.Hostname() == "localhost" {
		return false
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && (!a.IsGlobalUnicast() || a.IsPrivate()) {
		return false
	}
	path := strings.TrimSuffix(u.Path, "/")
	switch u.Scheme {
	case "http", "https":
		return path == "/announce"
	case "udp":
		return u.Port() != "" && (path == "" || path == "/announce")
	}
	return false
}

// exchanges reports whether trackers are exchanged at all.
func (t *Torrent) exchanges() bool {
	return t.cfg.Trackers != nil && !t.cfg.Swarm.Private && !t.cfg.Anonymous
}

// verified returns the trackers that work for us and that may be told, sorted.
func (t *Torrent) verified() []string {
	var urls []string
	for _, st := range t.Trackers() {
		if st.Working && plainTracker(st.URL) && len(urls) < maxTEX {
			urls = append(urls, st.URL)
		}
	}
	slices.Sort(urls)
	return urls
}

// trackersHash is TR of our extension handshake: nothing where there is nothing to exchange.
func (t *Torrent) trackersHash() []byte {
	if !t.exchanges() {
		return nil
	}
	urls := t.verified()
	if len(urls) == 0 {
		return nil
	}
	h := wire.TrackersHash(urls)
	return h[:]
}

// sameTrackers notes that a peer has the same trackers, if the hash of its extension handshake says so.
func (t *Torrent) sameTrackers(id ident.Peer, hash []byte) {
	if len(hash) == 0 || !t.exchanges() {
		return
	}
	if urls := t.verified(); string(hash) == string(t.trackersHash()) {
		t.tell(id, urls)
	}
}

func (t *Torrent) tell(id ident.Peer, urls []string) {
	if t.exchange.told == nil {
		t.exchange.told = map[ident.Peer][]string{}
	}
	t.exchange.told[id] = urls
}

// takeTrackers adds what a peer names.
func (t *Torrent) takeTrackers(urls []string) {
	if !t.exchanges() {
		return
	}
	if urls = slices.DeleteFunc(urls, func(u string) bool { return !plainTracker(u) }); len(urls) > 0 {
		t.cfg.Trackers.Add(urls)
		t.tickFinders()
	}
}

// tickTrackers tells peers of trackers that they were not told of.
func (t *Torrent) tickTrackers(now time.Duration) {
	x := &t.exchange
	if now < x.next || !t.exchanges() {
		return
	}
	x.next = now + texInterval
	urls := t.verified()
	if len(urls) == 0 {
		return
	}
	t.conns(func(id ident.Peer, c *peer.Conn) {
		ext := c.Extension(wire.ExtTEX)
		if ext == 0 {
			return
		}
		news := slices.DeleteFunc(slices.Clone(urls), func(u string) bool { return slices.Contains(x.told[id], u) })
		if len(news) == 0 {
			return
		}
		t.tell(id, urls)
		c.Queue(func(b []byte) []byte { return wire.AppendExtended(b, ext, wire.AppendTEX(nil, news)) })
		c.Flush()
	})
}
