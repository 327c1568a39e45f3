package session

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"shoal/internal/dht"
	"shoal/internal/netx"
)

// DHT says how to take part in the DHT (BEP 5).
type DHT struct {
	State   string   // file where nodes are remembered from run to run; empty: none are
	Nodes   []string // HOST:PORT of nodes to begin with, beside those remembered
	Routers []string // HOST:PORT of public nodes, asked only if nobody else can be found; empty: there are none to ask
}

// PublicRouters are nodes that bring newcomers into the public DHT.
var PublicRouters = []string{"router.bittorrent.com:6881", "dht.transmissionbt.com:6881", "router.utorrent.com:6881", "dht.libtorrent.org:25401"}

// openDHT starts a node on the session's UDP socket.
func (s *Session) openDHT() error {
	cfg := dht.Config{
		Send: s.udp.mux.WriteTo, IPv4: true, IPv6: true, State: s.cfg.DHT.State,
		ReadOnly: s.ln == nil || s.cfg.Anonymous, RandomID: s.cfg.Anonymous, ImpliedPort: s.udp.utp != nil,
	}
	if len(s.cfg.DHT.Routers) > 0 {
		cfg.Bootstrap = func(ctx context.Context) []netip.AddrPort { return resolve(ctx, s.cfg.Network, s.cfg.DHT.Routers) }
	}
	if s.cfg.Anonymous {
		cfg.State = ""
	}
	if cfg.State != "" {
		_ = os.MkdirAll(filepath.Dir(cfg.State), 0o700) // else nothing is remembered, which Close tells
	}
	node, err := dht.New(cfg)
	if err != nil {
		return err
	}
	s.dht = node
	s.udp.mux.Handle(func(first []byte) bool { return len(first) > 0 && first[0] == 'd' }, func(packets []netx.Packet) {
		for i := range packets {
			for b := range packets[i].Datagrams {
				node.Receive(b, packets[i].Addr)
			}
		}
	})
	s.wg.Go(func() {
		for _, a := range resolve(s.ctx, s.cfg.Network, s.cfg.DHT.Nodes) {
			node.AddNode(a)
		}
	})
	return nil
}

// DHT returns the session's node, nil if it takes no part.
func (s *Session) DHT() *dht.Node { return s.dht }

// addNode hands on a node that a peer named.
func (s *Session) addNode(a netip.AddrPort) {
	if !s.policy.Blocked(a.Addr()) {
		s.dht.AddNode(a)
	}
}

// resolve returns the addresses of hosts, all asked at once. What is not found is left out.
func resolve(ctx context.Context, n netx.Network, hosts []string) []netip.AddrPort {
	found := make([][]netip.AddrPort, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		host, service, err := net.SplitHostPort(h)
		port, bad := strconv.ParseUint(service, 10, 16)
		if err != nil || bad != nil {
			continue
		}
		wg.Go(func() {
			addrs, err := n.Resolve(ctx, host)
			if err != nil {
				return
			}
			for _, a := range addrs {
				found[i] = append(found[i], netip.AddrPortFrom(a, uint16(port)))
			}
		})
	}
	wg.Wait()
	var all []netip.AddrPort
	for _, f := range found {
		all = append(all, f...)
	}
	return all
}
