package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/bt/road"
	"shoal/internal/bt/session"
	"shoal/internal/config"
	"shoal/internal/netx"
	"shoal/internal/node"
)

// goodbye bounds how long the end may take: trackers are told, files and journal written.
const goodbye = 10 * time.Second

// networkFlags are the flags of verbs that talk to peers.
type networkFlags struct {
	listen     string
	peers      []string
	isolated   bool
	noTracker  bool
	trackers   []string
	allTracker bool
	down, up   bytesFlag
	lanFree    bool
	maxPeers   int
	memory     bytesFlag
	state      string
	tune       func(*session.Config) // what a verb has to say of the engine; nil: nothing

	route, bind string
	anonymous   bool
	encryption  string
	noDHT       bool
	nodes       []string
	noUTP       bool
	noLocal     bool
	noPortMap   bool
	filter      string
}

func (f *networkFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.listen, "listen", "", "address and port for peers, such as 192.0.2.7:6881 or :0; default: the first free port from 6881 on every address")
	fl.StringArrayVar(&f.peers, "peer", nil, "a peer to connect to, HOST:PORT; may be repeated")
	fl.BoolVar(&f.isolated, "isolated", false, "begin with nothing but the trackers, peers and DHT nodes named: ask no public DHT router, look for nobody on the local network, open no port at the router")
	fl.BoolVar(&f.noTracker, "no-tracker", false, "ask no tracker")
	fl.BoolVar(&f.allTracker, "all-trackers", false, "announce to every tracker at once instead of tier by tier (BEP 12)")
	fl.Var(&f.down, "limit-down", "most to download a second, such as 500k or 2MB")
	fl.Var(&f.up, "limit-up", "most to upload a second")
	fl.BoolVar(&f.lanFree, "lan-free", false, "do not apply the limits to peers on the local network")
	fl.IntVar(&f.maxPeers, "max-peers", 200, "most connections for each torrent")
	fl.Var(&f.memory, "memory", "most memory for payload on its way to disk (default 32MiB)")
	fl.StringVar(&f.route, "route", "", "the one way out: socks5://[USER:PASSWORD@]HOST:PORT, tor, http://HOST:PORT, interface:NAME or a local address; nothing goes round it")
	fl.StringVar(&f.bind, "bind", "", "use only this network interface, or this local address; with --route, to reach the proxy")
	fl.BoolVar(&f.anonymous, "anonymous", false, "tell nobody who we are: no client name, no port or address in handshakes, a new peer id for each torrent")
	fl.StringVar(&f.encryption, "encryption", string(road.PreferEncryption), "of connections with peers: prefer, require or off")
	fl.BoolVar(&f.noDHT, "no-dht", false, "take no part in the DHT")
	fl.StringArrayVar(&f.nodes, "dht-node", nil, "a DHT node to begin with, HOST:PORT; may be repeated")
	fl.BoolVar(&f.noUTP, "no-utp", false, "connect over TCP only")
	fl.BoolVar(&f.noLocal, "no-lsd", false, "do not look for peers on the local network")
	fl.BoolVar(&f.noPortMap, "no-port-map", false, "do not ask the router to open our port")
	fl.StringVar(&f.filter, "ip-filter", "", "file of addresses to have nothing to do with: P2P, DAT or CIDR lines, gzip or not")
	fl.StringVar(&f.state, "state", "", "folder that remembers what was fetched so far (default: below $XDG_STATE_HOME)")
}

// addTrackers adds --tracker for verbs where trackers beside the link's make sense.
func (f *networkFlags) addTrackers(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.trackers, "tracker", nil, "a tracker's announce URL; may be repeated, each is a tier of its own")
}

func tiers(urls []string) [][]string {
	var t [][]string
	for _, u := range urls {
		t = append(t, []string{u})
	}
	return t
}

// check finds what is wrong with the flags before anything is done.
func (f *networkFlags) check() error {
	for _, list := range []struct {
		flag  string
		hosts []string
	}{{"peer", f.peers}, {"dht-node", f.nodes}} {
		for _, p := range list.hosts {
			host, port, err := net.SplitHostPort(p)
			if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
				return usage(fmt.Errorf("--%s %q is not HOST:PORT", list.flag, p))
			}
		}
	}
	if _, err := road.ParseEncryption(f.encryption); err != nil {
		return usage(fmt.Errorf("--encryption: %w", err))
	}
	if _, err := f.network(); err != nil {
		return usage(err)
	}
	if f.listen != "" {
		_, port, err := net.SplitHostPort(f.listen)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
			return usage(fmt.Errorf("--listen %q is not ADDRESS:PORT", f.listen))
		}
	}
	if f.maxPeers < 1 {
		return usage(fmt.Errorf("--max-peers %d: at least 1 is needed", f.maxPeers))
	}
	return nil
}

// settings returns what the flags say of the network.
func (f *networkFlags) settings() config.Network {
	return config.Network{
		Listen: f.listen, Route: f.route, Bind: f.bind, Anonymous: f.anonymous, Isolated: f.isolated, Encryption: f.encryption, UTP: !f.noUTP,
		DHT: !f.noDHT, DHTNodes: f.nodes, LSD: !f.noLocal, PortMap: !f.noPortMap, IPFilter: f.filter,
		MaxPeers: session.DefaultMaxPeers, MaxPeersTorrent: f.maxPeers,
	}
}

// network returns the way out.
func (f *networkFlags) network() (netx.Network, error) {
	n, err := node.OpenNetwork(f.settings())
	if err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	return n, nil
}

// httpClient returns what fetches URLs over the same way out.
func (f *networkFlags) httpClient(n netx.Network) *http.Client {
	return netx.HTTPClient(n, netx.HTTPOptions{UserAgent: client(), NoUserAgent: f.anonymous || netx.TraitsOf(n).Anonymous})
}

// session starts the engine.
func (f *networkFlags) session(a *app, n netx.Network) (*session.Session, error) {
	state := f.state
	if state == "" {
		state = stateDir()
	}
	s, err := node.OpenSession(node.Engine{
		Network: f.settings(), Bandwidth: config.Bandwidth{Down: int64(f.down), Up: int64(f.up), LANFree: f.lanFree}, Memory: int64(f.memory),
		State: state, Client: client(), Routers: true, Warn: func(text string) { a.warn("%s", text) }, Tune: f.tune,
	}, n)
	return s, withCode(exitNetwork, err)
}

// addresses resolves the peers named by --peer and the link. A name that is not found is only worth a word if others are.
func (f *networkFlags) addresses(ctx context.Context, a *app, n netx.Network, more []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for i, p := range append(append([]string{}, f.peers...), more...) {
		host, port, err := net.SplitHostPort(p)
		if err != nil {
			continue // the magnet parser has checked its own
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			continue
		}
		ips, err := n.Resolve(ctx, host)
		if err != nil {
			if i < len(f.peers) {
				return nil, withCode(exitNetwork, fmt.Errorf("--peer %s: %w", p, err))
			}
			a.warn("peer %s of the link: %v", p, err)
			continue
		}
		for _, ip := range ips {
			out = append(out, netip.AddrPortFrom(ip, uint16(number)))
		}
	}
	return out, nil
}

// apply completes a spec with what the flags say.
func (f *networkFlags) apply(s *session.Spec) {
	s.Trackers = append(s.Trackers, tiers(f.trackers)...)
	s.NoTrackers = f.noTracker
	s.AllTrackers = f.allTracker
	s.MaxPeers = f.maxPeers
}

// stateDir is where unfinished downloads are remembered.
func stateDir() string {
	p, err := config.FindPaths("", os.Environ())
	if err != nil {
		return "" // nothing is remembered
	}
	return p.Torrents()
}

// closeSession ends the engine within the time that a person will wait.
func closeSession(s *session.Session) error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	err := s.Close(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // a tracker did not answer the goodbye
	}
	return err
}
