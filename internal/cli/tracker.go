package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/bt/tracker/server"
	"shoal/internal/netx"
)

// trackerFlags are the flags of `shoal tracker`.
type trackerFlags struct {
	listen, udp   string
	noHTTP, noUDP bool
	allow, deny   string
	interval      time.Duration
	torrents      int
	peers, rate   int
	trustAddress  bool
	fullScrape    bool
}

func (a *app) tracker() *cobra.Command {
	var f trackerFlags
	c := &cobra.Command{
		Use:   "tracker",
		Short: "Run a tracker, over HTTP and UDP, until Ctrl-C",
		Example: `  shoal tracker                                      for all torrents, at port 6969
  shoal tracker --allow ~/torrents                   only for the torrents in a folder
  shoal tracker --listen 192.0.2.7:6969 --allow list.txt --interval 10m
  shoal share ./album --tracker udp://192.0.2.7:6969/announce      and a torrent for it`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("%q: the tracker takes flags only; see '%s --help'", args[0], c.CommandPath()))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return a.runTracker(c.Context(), &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.listen, "listen", ":6969", "address and port for HTTP and UDP, such as 192.0.2.7:6969 or :0")
	fl.StringVar(&f.udp, "udp", "", "address and port for UDP, where it is another")
	fl.BoolVar(&f.noHTTP, "no-http", false, "serve UDP only")
	fl.BoolVar(&f.noUDP, "no-udp", false, "serve HTTP only")
	fl.StringVar(&f.allow, "allow", "", "serve only these: a file with an infohash a line, or a folder of .torrent files; read again when it changes or on SIGHUP")
	fl.StringVar(&f.deny, "deny", "", "never serve these: a file or folder as --allow")
	fl.DurationVar(&f.interval, "interval", server.DefaultInterval, "how long peers wait between announces")
	fl.IntVar(&f.torrents, "max-torrents", server.DefaultTorrents, "most torrents to remember")
	fl.IntVar(&f.peers, "max-peers", server.DefaultPeers, "most peers of a torrent to remember, of each address family")
	fl.IntVar(&f.rate, "max-rate", server.DefaultRate, "requests a second from one address, for long; 400 times as many at once; 0: no limit")
	fl.BoolVar(&f.trustAddress, "trust-address", false, "let peers on this machine or in private networks say what their address is")
	fl.BoolVar(&f.fullScrape, "full-scrape", false, "let an HTTP scrape list all torrents")
	return c
}

// config finds what is wrong with the flags.
func (f *trackerFlags) config() (server.Config, error) {
	c := server.Config{
		Network: netx.NewHost(netx.Options{}), HTTP: f.listen, UDP: f.udp, Interval: f.interval, Torrents: f.torrents, Peers: f.peers, Rate: f.rate,
		TrustAddress: f.trustAddress, FullScrape: f.fullScrape,
	}
	if c.UDP == "" {
		c.UDP = f.listen
	}
	if c.Rate == 0 {
		c.Rate = -1
	}
	if f.noHTTP {
		c.HTTP = ""
	}
	if f.noUDP {
		c.UDP = ""
	}
	for _, l := range []struct{ flag, addr string }{{"listen", f.listen}, {"udp", f.udp}} {
		_, port, err := net.SplitHostPort(l.addr)
		if _, bad := strconv.ParseUint(port, 10, 16); l.addr != "" && (err != nil || bad != nil) {
			return c, fmt.Errorf("--%s %q is not ADDRESS:PORT", l.flag, l.addr)
		}
	}
	switch {
	case f.noHTTP && f.noUDP:
		return c, errors.New("--no-http and --no-udp leave nothing to serve")
	case f.noUDP && f.udp != "":
		return c, errors.New("--udp and --no-udp exclude each other")
	case f.interval < server.MinInterval || f.interval > server.MaxInterval:
		return c, fmt.Errorf("--interval %v: it must be from %v to %v", f.interval, server.MinInterval, server.MaxInterval)
	case f.torrents < 1, f.peers < 1:
		return c, errors.New("--max-torrents and --max-peers: at least 1 is needed")
	case f.rate < 0:
		return c, fmt.Errorf("--max-rate %d cannot be negative", f.rate)
	}
	return c, nil
}

func (a *app) runTracker(ctx context.Context, f *trackerFlags) error {
	c, err := f.config()
	if err != nil {
		return usage(err)
	}
	lists := accessLists{allow: accessList{path: f.allow}, deny: accessList{path: f.deny}}
	access, notices, err := lists.read()
	if err != nil {
		return err
	}
	for _, n := range notices {
		a.warn("%s", n)
	}
	c.Access = access
	s, err := server.New(ctx, c)
	if err != nil {
		return withCode(exitNetwork, err)
	}
	a.trackerBegun(s, access)
	a.watchTracker(ctx, s, &lists)
	return s.Close()
}

// trackerBegun prints what torrents are to name.
func (a *app) trackerBegun(s *server.Server, access server.Access) {
	var urls []string
	if addr := s.UDPAddr(); addr != nil {
		urls = announceURLs("udp", addr)
	}
	if addr := s.HTTPAddr(); addr != nil {
		urls = append(urls, announceURLs("http", addr)...)
	}
	st := s.Stats()
	a.emit(map[string]any{"event": "tracking", "urls": urls, "interval": st.Interval, "open": st.Open, "allowed": len(access.Allow), "denied": len(access.Deny)})
	if !a.json {
		for _, u := range urls {
			a.result("%s", u)
		}
	}
	what := "all torrents"
	if !st.Open {
		what = torrents(len(access.Allow))
	}
	a.say("tracking %s; peers announce every %s; Ctrl-C stops", what, duration(time.Duration(st.Interval*float64(time.Second))))
}

func torrents(n int) string {
	if n == 1 {
		return "1 torrent"
	}
	return fmt.Sprintf("%d torrents", n)
}

// announceURLs returns the URLs at which others reach a listening address: one for each of the machine's where it is none in particular.
func announceURLs(scheme string, listening net.Addr) []string {
	ap, err := netip.ParseAddrPort(listening.String())
	if err != nil {
		return nil
	}
	hosts := []netip.Addr{ap.Addr()}
	if ap.Addr().IsUnspecified() {
		hosts = ownAddresses(ap.Addr().Is6())
	}
	var urls []string
	for _, h := range hosts {
		urls = append(urls, fmt.Sprintf("%s://%s/announce", scheme, netip.AddrPortFrom(h, ap.Port())))
	}
	return urls
}

// ownAddresses returns the addresses of this machine that others may reach, or else that of itself.
func ownAddresses(both bool) []netip.Addr {
	var list []netip.Addr
	all, err := net.InterfaceAddrs()
	if err != nil {
		all = nil // it is only what we would tell
	}
	for _, i := range all {
		p, err := netip.ParsePrefix(i.String())
		if a := p.Addr().Unmap(); err == nil && a.IsGlobalUnicast() && (both || a.Is4()) {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		list = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return list
}

const (
	plainStatus = time.Minute      // between two lines of a tracker's status in a pipe
	jsonStatus  = 10 * time.Second // between two objects
	listCheck   = 2 * time.Second  // between two looks at what the lists are read from
)

// watchTracker shows the tracker's life, and reads its lists again when they change, until the person has enough.
func (a *app) watchTracker(ctx context.Context, s *server.Server, lists *accessLists) {
	d := a.display()
	each := map[bool]time.Duration{true: jsonStatus, false: plainStatus}[a.json]
	if d.tty {
		each = time.Second
	}
	status, check := time.NewTicker(each), time.NewTicker(listCheck)
	defer status.Stop()
	defer check.Stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	var last string
	for {
		select {
		case <-ctx.Done():
			if d.tty {
				d.draw(nil)
			}
			a.trackerStatus(s)
			a.say("stopped; %s", trackerLine(s.Stats()))
			return
		case <-hangup:
			a.reload(d, s, lists)
		case <-check.C:
			if lists.changed() {
				a.reload(d, s, lists)
			}
		case <-status.C:
			a.trackerStatus(s)
			line := trackerLine(s.Stats())
			switch {
			case d.tty:
				d.draw([]string{line})
			case line != last:
				a.say("%s", line)
			}
			last = line
		}
	}
}

// trackerStatus emits the statistics.
func (a *app) trackerStatus(s *server.Server) {
	a.emit(struct {
		Event string `json:"event"`
		server.Stats
	}{"status", s.Stats()})
}

func trackerLine(st server.Stats) string {
	line := fmt.Sprintf("%s, %s (%d seeds), %d announces, %.0f a second", torrents(st.Torrents), peers(st.Peers), st.Seeds, st.Announces, st.Rate)
	if n := st.Refused + st.Limited; n > 0 {
		line += fmt.Sprintf(", %d refused", n)
	}
	return line
}

// reload reads the lists again. The old ones stay if they cannot be read.
func (a *app) reload(d *display, s *server.Server, lists *accessLists) {
	access, notices, err := lists.read()
	if err != nil {
		a.warn("%v; the lists stay as they were", err)
		return
	}
	for _, n := range notices {
		a.warn("%s", n)
	}
	s.SetAccess(access)
	a.emit(map[string]any{"event": "lists", "allowed": len(access.Allow), "denied": len(access.Deny)})
	d.say("lists read: %d allowed, %d denied", len(access.Allow), len(access.Deny))
}
