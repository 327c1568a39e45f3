package tracker

import (
	"net/netip"

	"shoal/internal/netx"
)

// ClientOptions are what a Client can be told beyond its network.
type ClientOptions struct {
	UserAgent string // for HTTP trackers

	// External, if not nil, is called with our own address as a tracker sees it (BEP 24), from any goroutine.
	External func(netip.Addr)

	// Anonymous leaves out the key by which a tracker knows a client again when its address has changed.
	Anonymous bool
}

// Client is what all announcers of a session share: the way out, and one UDP socket for each address family with the
// connection ids that trackers gave it.
type Client struct {
	n         netx.Network
	agent     string
	external  func(netip.Addr)
	anonymous bool
	sockets   [2]udpSocket // IPv4, IPv6
}

// NewClient returns a client that reaches trackers through n alone. It holds nothing that needs closing while nobody is asked.
func NewClient(n netx.Network, o ClientOptions) *Client {
	return &Client{n: n, agent: o.UserAgent, external: o.External, anonymous: o.Anonymous, sockets: [2]udpSocket{{n: n}, {n: n, v6: true}}}
}
