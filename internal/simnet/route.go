package simnet

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// hop returns the next host on the way from h to an address, or nil. It is h itself if the way ends there.
func (h *Host) hop(to netip.Addr) *Host {
	switch {
	case to.IsLoopback() || to == h.addr:
		return h
	case h.nat != nil:
		if o := h.nat.hosts[to]; o != nil {
			return o
		}
		return h.nat.inner
	}
	if o := h.net.hosts[to]; o != nil {
		return o
	}
	if a := h.net.walled[to]; a != nil {
		return a.outer
	}
	return nil
}

// ends reports whether a packet that has reached h goes no further.
func (h *Host) ends(to netip.Addr) bool {
	return h.gate == nil || h == h.gate.inner && (to == h.addr || to.IsLoopback())
}

// pass takes a packet through the NAT that h is a side of. It returns the other side, from which it travels on with the addresses that it
// has then, or nil if it does not.
func (h *Host) pass(proto string, from, to netip.AddrPort) (next *Host, m *mapping, newFrom, newTo netip.AddrPort) {
	a := h.gate
	if h == a.outer {
		if m = a.inbound(from, endpoint{proto, to}); m == nil {
			return nil, nil, from, to
		}
		return a.inner, m, from, m.key.inside.addr
	}
	if to.Addr() == a.outer.addr && !a.kind.Hairpin {
		return nil, nil, from, to
	}
	if m = a.outbound(endpoint{proto, from}, to); m == nil {
		return nil, nil, from, to
	}
	return a.outer, m, m.public.addr, to
}

// route is the way of a stream's segments from one of its ends to the other.
type route struct {
	legs     []leg
	mappings []*mapping // of NATs on the way, which live as long as segments pass
}

// leg is a part of a route: over the links of two hosts, or of a host and one side of a NAT.
type leg struct {
	from, to *Host // to is nil where the way ends in nothing
	out, in  *flow // its queues at the two links
}

// route finds the way for a stream. seen and reached are its addresses at the far end. NATs on the way take note.
func (h *Host) route(from, to netip.AddrPort) (r *route, seen, reached netip.AddrPort) {
	r = &route{}
	for at := h; len(r.legs) < maxHops; {
		next := at.hop(to.Addr())
		r.legs = append(r.legs, leg{at, next, &flow{}, &flow{}})
		if next == nil || next.ends(to.Addr()) {
			return r, from, to
		}
		var m *mapping
		if at, m, from, to = next.pass("tcp", from, to); at == nil {
			r.legs = append(r.legs, leg{from: next})
			return r, from, to
		}
		r.mappings = append(r.mappings, m)
	}
	r.legs[len(r.legs)-1].to = nil
	return r, from, to
}

// back returns the route from the far end.
func (r *route) back() *route {
	b := &route{mappings: r.mappings}
	for i := len(r.legs) - 1; i >= 0; i-- {
		b.legs = append(b.legs, leg{r.legs[i].to, r.legs[i].from, &flow{}, &flow{}})
	}
	return b
}

// end returns the host that the route leads to, or nil.
func (r *route) end() *Host { return r.legs[len(r.legs)-1].to }

// latency returns how long a packet takes beside its serialisation.
func (r *route) latency(random *rand.Rand) (d time.Duration) {
	for _, l := range r.legs {
		d += l.from.latency(l.to, random)
	}
	return d
}

// reaches reports whether packets get to the end now.
func (r *route) reaches() bool {
	for _, l := range r.legs {
		if !l.from.reaches(l.to) {
			return false
		}
	}
	return !r.cut()
}

// cut reports whether the ends are kept apart by a Partition.
func (r *route) cut() bool { return r.legs[0].from.net.cut[[2]*Host{r.legs[0].from, r.end()}] }

// loses reports whether a packet of the given size is lost by chance on the way.
func (r *route) loses(size int, random *rand.Rand) bool {
	for _, l := range r.legs {
		if l.from.loses(l.to, size, random) {
			return true
		}
	}
	return false
}

// rate returns the bytes a second that the links allow, 0 if any number.
func (r *route) rate() (rate int64) {
	for _, l := range r.legs {
		if l.from == l.to {
			continue
		}
		for _, x := range []int64{l.from.link.Up, l.to.link.Down} {
			if x > 0 && (rate == 0 || x < rate) {
				rate = x
			}
		}
	}
	return rate
}

// queue returns how many bytes the links' queues hold, 0 if they have none.
func (r *route) queue() (n int) {
	for _, l := range r.legs {
		if l.from.link.Up > 0 {
			n += l.from.link.Queue
		}
		if l.to.link.Down > 0 {
			n += l.to.link.Queue
		}
	}
	return n
}

// send puts a packet on its way over all legs. Its size, rand, and what happens to it are the caller's to fill in.
func (r *route) send(p packet) {
	for _, m := range r.mappings {
		m.refresh(r.legs[0].from.net.now() + natTCPTimeout)
	}
	r.sendFrom(0, p)
}

func (r *route) sendFrom(i int, p packet) {
	l := r.legs[i]
	p.from, p.to, p.out, p.in = l.from, l.to, l.out, l.in
	whole := p
	if i+1 < len(r.legs) {
		p.arrive = func(marked bool) {
			whole.left, whole.marked = nil, marked
			r.sendFrom(i+1, whole)
		}
	} else if i > 0 {
		p.arrive = func(marked bool) {
			if r.cut() {
				whole.lose()
				return
			}
			whole.arrive(marked)
		}
	}
	l.from.net.send(&p)
}
