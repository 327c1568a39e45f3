package node

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"shoal/internal/bt/road"
	"shoal/internal/bt/session"
	"shoal/internal/config"
	"shoal/internal/ipfilter"
	"shoal/internal/netx"
)

// OpenNetwork returns the way out that the settings name. Without another choice it is bound to the address that peers are to find us at, so that they
// see the one they know.
func OpenNetwork(c config.Network) (netx.Network, error) {
	route, err := netx.ParseRoute(c.Route)
	if err != nil {
		return nil, err
	}
	var o netx.Options
	if host, _, err := net.SplitHostPort(c.Listen); err == nil {
		if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() && !a.IsLoopback() {
			o.Bind = a
		}
	}
	if c.Bind == "" {
		return route.Open(o)
	}
	text := c.Bind
	if _, err := netip.ParseAddr(text); err != nil {
		text = "interface:" + text
	}
	bind, err := netx.ParseRoute(text)
	if err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	under, err := bind.Open(o)
	if err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	n, err := route.Over(under)
	if err != nil {
		return nil, fmt.Errorf("route and bind both choose how sockets are bound: %w", err)
	}
	return n, nil
}

// Engine is what OpenSession needs beside the network.
type Engine struct {
	Network   config.Network
	Bandwidth config.Bandwidth
	Memory    int64  // bytes of payload held at most; 0: the session's default
	State     string // folder of metadata and journals; empty: nothing is remembered
	Client    string // name and version
	Routers   bool   // ask public DHT routers if nobody else is known
	Warn      func(text string)
	Tune      func(*session.Config) // changes what else is to be changed; nil: nothing
}

// FirstPort and LastPort bound the ports that are tried if none is named.
const (
	FirstPort = 6881
	LastPort  = 6889
)

// OpenSession starts the engine.
func OpenSession(e Engine, n netx.Network) (*session.Session, error) {
	c := &e.Network
	filter, err := openFilter(c.IPFilter, e.Warn)
	if err != nil {
		return nil, err
	}
	down, up := e.Bandwidth.Rates()
	cfg := session.Config{
		Network: n, State: e.State, Memory: e.Memory, Down: down, Up: up, LANFree: e.Bandwidth.LANFree,
		MaxPeers: max(c.MaxPeers, c.MaxPeersTorrent), Client: e.Client, Encryption: road.Encryption(c.Encryption), NoUTP: !c.UTP,
		DHT: dht(c, e.State, e.Routers), Filter: filter, Anonymous: c.Anonymous, Isolated: c.Isolated,
		LSD: c.LSD && !c.Isolated, PortMap: c.PortMap && !c.Isolated,
	}
	if e.Tune != nil {
		e.Tune(&cfg)
	}
	session.LimitGarbage()
	listens, err := addresses(c)
	if err != nil {
		return nil, err
	}
	for _, cfg.Listen = range listens {
		var s *session.Session
		if s, err = session.New(cfg); err == nil {
			for _, text := range s.Notices() {
				e.Warn(text)
			}
			return s, nil
		}
	}
	return nil, err
}

// addresses returns where to listen for peers, the first choice first.
func addresses(c *config.Network) ([]string, error) {
	if c.PortFile != "" {
		port, err := readPort(c.PortFile)
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(c.Listen)
		return []string{net.JoinHostPort(host, strconv.Itoa(port))}, nil
	}
	if c.Listen != "" {
		return []string{c.Listen}, nil
	}
	var list []string
	for port := FirstPort; port <= LastPort; port++ {
		list = append(list, fmt.Sprintf(":%d", port))
	}
	return append(list, ":0"), nil
}

// readPort reads the port that a VPN's client has written to a file.
func readPort(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(b[:min(len(b), 100)]))
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%s should hold a port, and holds %.20q", path, text)
	}
	return int(port), nil
}

// dht says how to take part in the DHT, nil: not.
func dht(c *config.Network, state string, routers bool) *session.DHT {
	if !c.DHT {
		return nil
	}
	d := &session.DHT{Nodes: c.DHTNodes}
	if state != "" {
		d.State = filepath.Join(state, "dht")
	}
	if routers && !c.Isolated {
		d.Routers = session.PublicRouters
	}
	return d
}

// openFilter reads an IP filter.
func openFilter(path string, warn func(string)) (*ipfilter.Filter, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, report, err := ipfilter.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if report.Bad > 0 {
		warn(fmt.Sprintf("%s: %d of %d lines are not understood and were left out; %v", path, report.Bad, report.Lines, report.First[0]))
	}
	return list, nil
}
