package tracker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/netx"
)

// A whole course over real sockets: an HTTP and a UDP tracker on loopback, IPv4.
func TestLoopback(t *testing.T) {
	host := netx.NewHost(netx.Options{Bind: netip.MustParseAddr("127.0.0.1")})
	events := make(chan string, 10)

	l, err := host.Listen(t.Context(), "tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events <- "http " + r.URL.Query().Get("event")
		io.WriteString(w, "d5:peers6:\x7f\x00\x00\x01\x00\x07e")
	})}
	go server.Serve(l)
	defer server.Close()

	c, err := host.ListenPacket(t.Context(), "udp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if buf[11] == byte(actAnnounce) {
				events <- "udp " + eventNames[buf[83]]
			}
			c.WriteTo(goodUDP(nil, memPacket{addrPort(from), buf[:n]}), from)
		}
	}()

	a := New(NewClient(host, ClientOptions{}), [][]string{{"http://" + l.Addr().String() + "/announce"}, {fmt.Sprintf("udp://%s/announce", c.LocalAddr())}}, Options{AllTiers: true})
	enough, found, ended := make(chan struct{}), make(chan discovery.Peer, 10), make(chan struct{})
	go func() {
		defer close(ended)
		a.Announce(t.Context(), &fakeTorrent{want: 50}, func(p []discovery.Peer) {
			for _, p := range p {
				found <- p
			}
		})
		<-enough
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		a.Withdraw(ctx, &fakeTorrent{})
	}()
	seen := map[string]bool{(<-found).Addr.String(): true, (<-found).Addr.String(): true}
	if !seen["127.0.0.1:7"] || !seen["10.0.0.2:6881"] {
		t.Errorf("found %v", seen)
	}
	for working := 0; working < 2; time.Sleep(time.Millisecond) {
		working = 0
		for _, s := range a.Status() {
			if s.Working {
				working++
			}
		}
	}
	close(enough)
	<-ended
	told := map[string]bool{}
	for range 4 {
		told[<-events] = true
	}
	for _, want := range []string{"http started", "http stopped", "udp started", "udp stopped"} {
		if !told[want] {
			t.Errorf("not told: %s", want)
		}
	}
}
