// Package dlna shows films and music to televisions and other renderers of the local network: it announces a media server by SSDP (UPnP Device
// Architecture 1.1) and lists what there is by the services ContentDirectory:1 and ConnectionManager:1. What is listed is served by package stream.
//
// Whoever is on the local network can see and play what is offered, so it is off unless a person turns it on.
package dlna

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/netx"
)

// File is a film or piece of music.
type File struct {
	ID    string // unique in its folder; no slash
	Title string
	Type  string // media type
	Size  int64  // bytes
	URL   string // path on our HTTP server, from its first slash on
}

// Folder is what a torrent offers.
type Folder struct {
	ID    string // unique; no slash
	Title string
	Files []File
}

// Config is what a Service needs.
type Config struct {
	Network netx.Network          // one with multicast: netx.ListenMulticast
	Name    string                // as people see it
	ID      string                // a UUID, the same every time
	Version string                // of the program
	Port    func() uint16         // of the HTTP server that serves Handler's paths and those of files, on the local network; 0: there is none now
	List    func() []Folder       // in the order to be shown
	Local   func() []netip.Prefix // our addresses on local networks; nil: the machine's
}

// Service announces the media server until Close. Its Handler describes it.
type Service struct {
	cfg    Config
	conn   net.PacketConn
	cancel context.CancelFunc
	wg     sync.WaitGroup
	told   chan struct{} // closed when nothing is announced any more
	budget chan struct{} // a slot for each answer that waits
}

var group = netip.MustParseAddrPort("239.255.255.250:1900")

const (
	reannounce = 10 * time.Minute // well before what was announced expires
	maxAnswers = 32               // searches that are being answered; others go unheard, and are repeated by who searches
)

// New joins the group and begins to announce. The goroutines end with Close.
func New(cfg Config) (*Service, error) {
	if cfg.Local == nil {
		cfg.Local = machine
	}
	s := &Service{cfg: cfg, told: make(chan struct{}), budget: make(chan struct{}, maxAnswers)}
	ctx, cancel := context.WithCancel(context.Background())
	c, err := netx.ListenMulticast(ctx, cfg.Network, group)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("media server for the local network: %w", err)
	}
	s.conn, s.cancel = c, cancel
	s.wg.Go(func() { s.listen(ctx) })
	go func() {
		defer close(s.told)
		s.announce(ctx)
	}()
	return s, nil
}

// Close says goodbye and leaves the group.
func (s *Service) Close() error {
	s.cancel()
	<-s.told
	for _, n := range names(s.cfg.ID) {
		_, _ = s.conn.WriteTo(byebye(n, s.cfg.ID, group.String()), net.UDPAddrFromAddrPort(group))
	}
	err := s.conn.Close()
	s.wg.Wait()
	return err
}

// announce tells the local network of us, now and again until ctx is done. Datagrams are lost, so the first comes twice.
func (s *Service) announce(ctx context.Context) {
	for pause := time.Second; ; pause = reannounce {
		for _, own := range s.cfg.Local() {
			for _, n := range names(s.cfg.ID) {
				if at := s.location(own.Addr()); at != "" {
					_, _ = s.conn.WriteTo(alive(n, s.cfg.ID, at, s.server(), group.String()), net.UDPAddrFromAddrPort(group))
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// listen answers searches until ctx is done.
func (s *Service) listen(ctx context.Context) {
	b := make([]byte, maxSearch+1)
	for {
		n, from, err := s.conn.ReadFrom(b)
		switch {
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			return
		case err != nil:
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			continue
		}
		if q, ok := parseSearch(b[:n]); ok {
			s.heard(ctx, q, from)
		}
	}
}

// heard answers a search after a random delay, so that not all devices speak at once. Only neighbours are answered: others would use
// us to send to somebody else.
func (s *Service) heard(ctx context.Context, q search, from net.Addr) {
	a, ok := from.(*net.UDPAddr)
	if !ok {
		return
	}
	own := s.beside(a.AddrPort().Addr().Unmap())
	at := s.location(own)
	found := matching(q.target, s.cfg.ID)
	if at == "" || len(found) == 0 {
		return
	}
	select {
	case s.budget <- struct{}{}:
	default:
		return
	}
	s.wg.Go(func() {
		defer func() { <-s.budget }()
		select {
		case <-ctx.Done():
			return
		case <-time.After(rand.N(q.delay)):
		}
		for _, n := range found {
			_, _ = s.conn.WriteTo(answer(n, s.cfg.ID, at, s.server()), from)
		}
	})
}

// beside returns our address in a neighbour's network, or none.
func (s *Service) beside(a netip.Addr) netip.Addr {
	for _, own := range s.cfg.Local() {
		if own.Masked().Contains(a) {
			return own.Addr()
		}
	}
	return netip.Addr{}
}

// location returns where we are described, for those who reach us at own; empty if nowhere.
func (s *Service) location(own netip.Addr) string {
	port := s.cfg.Port()
	if !own.IsValid() || port == 0 {
		return ""
	}
	return "http://" + netip.AddrPortFrom(own, port).String() + describePath
}

func (s *Service) server() string {
	return "shoal/" + s.cfg.Version + " UPnP/1.1 shoal/" + s.cfg.Version
}

// machine returns the machine's private IPv4 addresses.
func machine() (out []netip.Prefix) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			ip, ok := netip.AddrFromSlice(n.IP)
			ones, _ := n.Mask.Size()
			if ip = ip.Unmap(); ok && ip.Is4() && (ip.IsPrivate() || ip.IsLinkLocalUnicast()) {
				out = append(out, netip.PrefixFrom(ip, ones))
			}
		}
	}
	return out
}
