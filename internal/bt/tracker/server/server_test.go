package server

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/bt/tracker"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/netx"
	"shoal/internal/simnet"
)

// member is a torrent of one peer, which announces it and gathers what it is told.
type member struct {
	left int64
	port uint16
	id   ident.PeerID
	*tracker.Announcer

	mu    sync.Mutex
	found map[netip.AddrPort]bool
}

func (m *member) InfoHash() ident.InfoHash     { return ident.InfoHash{V1: nameA} }
func (m *member) PeerID() ident.PeerID         { return m.id }
func (m *member) Port() uint16                 { return m.port }
func (m *member) Progress() discovery.Progress { return discovery.Progress{Left: m.left} }
func (m *member) WantPeers() int               { return 50 }

func newMember(n netx.Network, url string, port uint16, left int64) *member {
	a := tracker.New(tracker.NewClient(n, tracker.ClientOptions{}), [][]string{{url}}, tracker.Options{})
	return &member{left: left, port: port, id: ident.NewPeerID("-SL0001-"), Announcer: a, found: map[netip.AddrPort]bool{}}
}

// live announces whenever that is due, until then.
func (m *member) live(t *testing.T, end time.Time) {
	for {
		next, ok := m.Next()
		if !ok || next.After(end) {
			time.Sleep(time.Until(end))
			return
		}
		time.Sleep(time.Until(next))
		m.Announce(t.Context(), m, func(p []discovery.Peer) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, p := range p {
				m.found[p.Addr] = true
			}
		})
	}
}

// take returns whom the member was told of since the last time.
func (m *member) take() []netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.SortedFunc(maps.Keys(m.found), netip.AddrPort.Compare)
	clear(m.found)
	return all
}

// A day of a swarm over lossy lines, by shoal's own client: all find all; who leaves is forgotten at once, who dies after a while; and
// nothing is left when the tracker ends.
func TestSwarmsDay(t *testing.T) {
	for _, scheme := range []string{"udp", "http"} {
		t.Run(scheme, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := simnet.New(1)
				link := simnet.Link{Latency: 20 * time.Millisecond, Loss: 0.05}
				s, err := New(t.Context(), Config{Network: world.Host(netip.MustParseAddr("8.0.0.1"), link), HTTP: ":6969", UDP: ":6969"})
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				var members []*member
				var all []netip.AddrPort
				var wg sync.WaitGroup
				for i := range 10 {
					addr := netip.AddrFrom4([4]byte{8, 0, 1, byte(i)})
					m := newMember(world.Host(addr, link), scheme+"://8.0.0.1:6969/announce", 7000+uint16(i), int64(i/2))
					members, all = append(members, m), append(all, netip.AddrPortFrom(addr, m.port))
					hours := 24
					if i >= 8 { // one leaves in the tenth hour, the other dies
						hours = 10
					}
					wg.Go(func() {
						m.live(t, begin.Add(time.Duration(hours)*time.Hour))
						if i == 8 {
							m.Withdraw(t.Context(), m)
						}
					})
				}
				expect := func(hours float64, peers int) {
					t.Helper()
					time.Sleep(time.Until(begin.Add(time.Duration(hours * float64(time.Hour)))))
					synctest.Wait()
					if st := s.Stats(); st.Torrents != 1 || st.Peers != peers || st.Seeds != 2 {
						t.Errorf("after %v hours %+v", hours, st)
					}
				}
				expect(4, 10)
				for i, m := range members {
					got := m.take()
					want := slices.Delete(slices.Clone(all), i, i+1)
					if i < 2 {
						want = all[2:] // seeds are told of leeches
					}
					if !slices.Equal(got, want) {
						t.Errorf("member %d knows %v, want %v", i, got, want)
					}
				}
				expect(10.01, 9)
				expect(13, 8)
				for _, m := range members {
					m.take()
				}
				expect(15, 8)
				if got := members[7].take(); !slices.Equal(got, all[:7]) {
					t.Errorf("at last one knows %v, want %v", got, all[:7])
				}
				wg.Wait()
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				if st := s.Stats(); st.Torrents != 0 || st.Peers != 0 || st.Rate != 0 || st.Announces < 200 {
					t.Errorf("when all are gone: %+v", st)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Over the machine's own sockets, of which the cores share the UDP port, over IPv4 and IPv6, both protocols know the same swarm.
func TestSockets(t *testing.T) {
	host := netx.NewHost(netx.Options{})
	for _, at := range []struct{ listen, dial string }{{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {":0", "127.0.0.1"}, {":0", "::1"}} {
		t.Run(at.listen+" "+at.dial, func(t *testing.T) {
			s := serving(t, Config{HTTP: at.listen, UDP: at.listen})
			url := func(scheme string, a net.Addr) string {
				return fmt.Sprintf("%s://%s/announce", scheme, netip.AddrPortFrom(netip.MustParseAddr(at.dial), netip.MustParseAddrPort(a.String()).Port()))
			}
			urls := []string{url("udp", s.UDPAddr()), url("http", s.HTTPAddr())}
			ask := func(i int) []netip.AddrPort {
				m := newMember(host, urls[i%2], 7000+uint16(i), 1)
				m.Announce(t.Context(), m, func(p []discovery.Peer) {
					for _, p := range p {
						m.found[p.Addr] = true
					}
				})
				return m.take()
			}
			for i := range 20 {
				var want []netip.AddrPort
				for n := range i {
					want = append(want, netip.AddrPortFrom(netip.MustParseAddr(at.dial), 7000+uint16(n)))
				}
				if got := ask(i); !slices.Equal(got, want) {
					t.Fatalf("peer %d is told of %v, want %v", i, got, want)
				}
			}
			for _, u := range urls {
				got, err := tracker.NewClient(host, tracker.ClientOptions{}).Scrape(t.Context(), u, nameA)
				if err != nil || got[nameA] != (tracker.Counts{Seeds: 0, Leeches: 20, Downloads: 0}) {
					t.Errorf("%s: %v, %v", u, got, err)
				}
			}
		})
	}
}

// Two trackers cannot have one address, though the sockets of one share it.
func TestAddressTaken(t *testing.T) {
	s := serving(t, Config{UDP: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	for _, c := range []Config{{UDP: s.UDPAddr().String()}, {HTTP: s.HTTPAddr().String()}, {HTTP: "127.0.0.1:0", UDP: s.UDPAddr().String()}} {
		c.Network = netx.NewHost(netx.Options{})
		if other, err := New(t.Context(), c); err == nil {
			other.Close()
			t.Errorf("%+v is taken twice", c)
		}
	}
	free := serving(t, Config{HTTP: "127.0.0.1:0"})
	at := free.HTTPAddr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the HTTP port of one that finds its UDP port taken is free again
		_, err := New(t.Context(), Config{Network: netx.NewHost(netx.Options{}), HTTP: at, UDP: s.UDPAddr().String()})
		var op *net.OpError
		if !errors.As(err, &op) || op.Net != "udp" {
			t.Error(err)
		}
	}
}
