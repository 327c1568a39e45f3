package tracker

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/netx"
)

// blind is a network as a proxy's: it resolves no names, and knows them when it dials.
type blind struct{ *netx.Host }

func (blind) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: netx.ErrNoResolve.Error(), UnwrapErr: netx.ErrNoResolve, Name: host}
}

func (b blind) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return b.Host.Dial(ctx, network, strings.Replace(addr, "tracker.example", "127.0.0.1", 1))
}

// A UDP tracker is reached by its name where only the far end of the route can look it up.
func TestUDPTrackerByName(t *testing.T) {
	host := netx.NewHost(netx.Options{})
	socket, err := host.ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2000)
		for {
			n, from, err := socket.ReadFrom(b)
			if err != nil {
				return
			}
			answer := append(binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(b[8:])), b[12:16]...)
			if n == 16 {
				answer = append(answer, "12345678"...)
			} else {
				answer = append(answer, "\x00\x00\x07\x08\x00\x00\x00\x01\x00\x00\x00\x01\xc6\x33\x64\x02\x1a\xe1"...)
			}
			socket.WriteTo(answer, from)
		}
	}()
	defer func() { socket.Close(); <-done }()
	port := socket.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	u := &url.URL{Scheme: "udp", Host: fmt.Sprintf("tracker.example:%d", port)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []discovery.Peer
	a, err := NewClient(blind{host}, ClientOptions{}).announce(ctx, u, request{want: 50, port: 1}, []ident.V1{{1}}, func(p []discovery.Peer) { got = append(got, p...) })
	if err != nil || a.seeds != 1 || len(got) != 1 || got[0].Addr != netip.MustParseAddrPort("198.51.100.2:6881") {
		t.Errorf("%+v, %v, %v", a, got, err)
	}
}
