package table

import (
	"net/netip"
	"slices"
	"time"

	"shoal/internal/dht/krpc"
)

const (
	maxVotes   = 16
	quorum     = 5
	renamePace = 10 * time.Minute // between changes of our id
)

// vote is what one node says our address is.
type vote struct{ voter, said netip.Addr }

// identity finds out our address as others see it, and with it the ids that we may have (BEP 42).
type identity struct {
	votes    []vote // oldest first, one of each subnet
	external netip.Addr
	renamed  time.Duration // 0: never
}

// vote counts what a node that answered us says. Most of the last voters have to agree.
func (c *Core) vote(now time.Duration, said netip.AddrPort, voter netip.Addr) {
	ip := said.Addr()
	if !ip.IsValid() || ip.Is4() == c.cfg.IPv6 || !usable(said) {
		return
	}
	d := &c.identity
	v := vote{voter, ip}
	if !krpc.Local(voter) {
		v.voter = subnet(voter)
	}
	d.votes = slices.DeleteFunc(d.votes, func(o vote) bool { return o.voter == v.voter })
	if len(d.votes) == maxVotes {
		d.votes = slices.Delete(d.votes, 0, 1)
	}
	d.votes = append(d.votes, v)
	same := 0
	for _, o := range d.votes {
		if o.said == ip {
			same++
		}
	}
	if same < quorum || 3*same < 2*len(d.votes) {
		return
	}
	d.external = ip
	if c.cfg.FixedID || c.self.Secure(ip) || d.renamed > 0 && now-d.renamed < renamePace {
		return
	}
	d.renamed = now
	c.self = krpc.SecureID(ip, c.cfg.Rand)
	c.table.rename(c.self)
	c.store.far.key, c.items.far.key = c.self, c.self
	c.join.self, c.join.next = 0, now
}
