package session

import (
	"net/netip"
	"sync/atomic"

	"shoal/internal/bt/road"
)

// incoming counts connections that came from elsewhere than this machine and the local network: they show that our port is reached.
type incoming struct{ four, six atomic.Int64 }

func (n *incoming) note(from netip.Addr) {
	switch {
	case !from.IsValid() || road.IsLocal(from):
	case from.Is4():
		n.four.Add(1)
	default:
		n.six.Add(1)
	}
}

// Incoming returns how many connections, TCP and uTP, came in from other networks since the session began, over IPv4 and IPv6.
func (s *Session) Incoming() (four, six int64) { return s.came.four.Load(), s.came.six.Load() }
