package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/bt/session"
	"shoal/internal/netx"
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
}

func (f *networkFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.listen, "listen", "", "address and port for peers, such as 192.0.2.7:6881 or :0; default: the first free port from 6881 on every address")
	fl.StringArrayVar(&f.peers, "peer", nil, "a peer to connect to, HOST:PORT; may be repeated")
	fl.BoolVar(&f.isolated, "isolated", false, "contact nothing public: only the trackers and peers named")
	fl.BoolVar(&f.noTracker, "no-tracker", false, "ask no tracker")
	fl.BoolVar(&f.allTracker, "all-trackers", false, "announce to every tracker at once instead of tier by tier (BEP 12)")
	fl.Var(&f.down, "limit-down", "most to download a second, such as 500k or 2MB")
	fl.Var(&f.up, "limit-up", "most to upload a second")
	fl.BoolVar(&f.lanFree, "lan-free", false, "do not apply the limits to peers on the local network")
	fl.IntVar(&f.maxPeers, "max-peers", 200, "most connections for each torrent")
	fl.Var(&f.memory, "memory", "most memory for payload on its way to disk (default 32MiB)")
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
	for _, p := range f.peers {
		host, port, err := net.SplitHostPort(p)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
			return usage(fmt.Errorf("--peer %q is not HOST:PORT", p))
		}
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

// network returns the way out: bound to the address that --listen names, so that peers see the one they know.
func (f *networkFlags) network() netx.Network {
	var o netx.Options
	if host, _, err := net.SplitHostPort(f.listen); err == nil {
		if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() && !a.IsLoopback() {
			o.Bind = a
		}
	}
	return netx.NewHost(o)
}

// session starts the engine.
func (f *networkFlags) session(n netx.Network) (*session.Session, error) {
	state := f.state
	if state == "" {
		state = stateDir()
	}
	cfg := session.Config{
		Network: n, State: state, Memory: int64(f.memory), Down: int64(f.down), Up: int64(f.up), LANFree: f.lanFree,
		MaxPeers: max(session.DefaultMaxPeers, f.maxPeers), Client: client(),
	}
	listens := []string{f.listen}
	if f.listen == "" {
		listens = nil
		for port := 6881; port <= 6889; port++ {
			listens = append(listens, fmt.Sprintf(":%d", port))
		}
		listens = append(listens, ":0")
	}
	var s *session.Session
	var err error
	for _, cfg.Listen = range listens {
		session.LimitGarbage()
		if s, err = session.New(cfg); err == nil {
			return s, nil
		}
	}
	return nil, withCode(exitNetwork, err)
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
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "shoal", "torrents")
	}
	if runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, ".local", "state", "shoal", "torrents")
		}
	}
	if d, err := os.UserConfigDir(); err == nil {
		return filepath.Join(d, "shoal", "torrents")
	}
	return ""
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
