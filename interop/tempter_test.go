//go:build linux

package interop

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"shoal/internal/bencode"
	"shoal/internal/bt/wire"
)

// tempters are the servers of the leak matrix, at the far host: whoever asks them is sent elsewhere.
func tempters(t *testing.T, far *namespace) {
	t.Helper()
	n := far.host()
	web, err := n.Listen(t.Context(), "tcp4", farAddr+":8000")
	must(t, err)
	udp, err := n.ListenPacket(t.Context(), "udp4", farAddr+":8001")
	must(t, err)
	peers, err := n.Listen(t.Context(), "tcp4", farAddr+":8002")
	must(t, err)
	node, err := n.ListenPacket(t.Context(), "udp4", farAddr+":8003")
	must(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(temptingServer)}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(web) })
	wg.Go(func() { answerPackets(udp, temptingTracker) })
	wg.Go(func() { answerPackets(node, temptingNode) })
	wg.Go(func() {
		for {
			c, err := peers.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { temptingPeer(c) })
		}
	})
	t.Cleanup(func() {
		srv.Close()
		udp.Close()
		peers.Close()
		node.Close()
	})
}

// temptingServer redirects /to/HOST/REST to http://HOST/REST, and is a tracker that names peers.
func temptingServer(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/to/"); ok {
		http.Redirect(w, r, "http://"+rest+"?"+r.URL.RawQuery, http.StatusFound)
		return
	}
	answer := map[string]any{"interval": 1800, "peers": ""}
	switch {
	case strings.HasPrefix(r.URL.Path, "/peers/"):
		answer["peers"] = compactPeer("10.79.20.1:6881")
	case strings.HasPrefix(r.URL.Path, "/peers6/"):
		answer["peers6"] = compactPeer("[2001:db8:79:20::1]:6881")
	case strings.HasPrefix(r.URL.Path, "/names/"):
		answer["peers"] = []any{map[string]any{"ip": "named.leak.test", "port": 6881}, map[string]any{"ip": "10.79.21.1", "port": 6881}}
	}
	w.Write(bencode.Append(nil, answer))
}

func compactPeer(s string) string {
	a := netip.MustParseAddrPort(s)
	return string(binary.BigEndian.AppendUint16(a.Addr().AsSlice(), a.Port()))
}

func answerPackets(c net.PacketConn, reply func(b []byte) []byte) {
	b := make([]byte, 2000)
	for {
		n, from, err := c.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			if r := reply(b[:n]); r != nil {
				c.WriteTo(r, from)
			}
		}
	}
}

// temptingTracker is a UDP tracker that names a peer (BEP 15).
func temptingTracker(b []byte) []byte {
	if len(b) < 16 {
		return nil
	}
	r := append(append([]byte{}, b[8:12]...), b[12:16]...)
	if len(b) == 16 {
		return append(r, "connects"...)
	}
	return append(append(r, make([]byte, 12)...), compactPeer("10.79.22.1:6881")...)
}

// temptingNode is a DHT node that names another and a peer.
func temptingNode(b []byte) []byte {
	v, err := bencode.Parse(b)
	if err != nil {
		return nil
	}
	id, _ := v.Get("t")
	q, _ := v.Get("q")
	tx, _ := id.Bytes()
	r := map[string]any{"id": strings.Repeat("n", 20), "nodes": strings.Repeat("m", 20) + compactPeer("10.79.23.1:6881"), "token": "t"}
	if s, _ := q.Str(); s == "get_peers" {
		r["values"] = []any{compactPeer("10.79.24.1:6881")}
	}
	return bencode.Append(nil, map[string]any{"t": tx, "y": "r", "r": r})
}

// temptingPeer takes part in every swarm, and names others in every way that there is.
func temptingPeer(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	b := make([]byte, wire.HandshakeLen)
	if _, err := io.ReadFull(r, b); err != nil {
		return
	}
	theirs, err := wire.ParseHandshake(b)
	if err != nil {
		return // it begins with encryption: it will come again
	}
	ours := theirs
	ours.Reserved = wire.OurReserved(wire.BitExtended, wire.BitFast, wire.BitDHT)
	ours.PeerID[0] ^= 1
	ext := wire.ExtHandshake{
		M: map[string]uint8{wire.ExtPEX: 1, wire.ExtHolepunch: 4}, Port: 6881, ReqQ: 100, MetadataSize: 20_000,
		IPv4: netip.MustParseAddr("10.79.25.1"), IPv6: netip.MustParseAddr("2001:db8:79:25::1"), YourIP: netip.MustParseAddr("10.79.26.1"),
	}
	pex := wire.PEX{Added: []wire.PEXPeer{
		{Addr: netip.MustParseAddrPort("10.79.27.1:6881"), Flags: wire.PEXUTP | wire.PEXHolepunch},
		{Addr: netip.MustParseAddrPort("[2001:db8:79:27::1]:6881")},
	}}
	punch := wire.Holepunch{Type: wire.HolepunchConnect, Addr: netip.MustParseAddrPort("10.79.28.1:6881")}
	out := wire.AppendHandshake(nil, ours)
	out = wire.AppendExtended(out, 0, ext.Append(nil))
	out = wire.AppendPort(wire.AppendHaveNone(out), 6999)
	for id := uint8(1); id < 8; id++ { // we do not read which ids it has given them
		out = wire.AppendExtended(out, id, pex.Append(nil))
	}
	out = wire.AppendExtended(out, 5, punch.Append(nil))
	if _, err := c.Write(out); err != nil {
		return
	}
	io.Copy(io.Discard, r)
}

// describePacket tells whom a captured packet was for.
func describePacket(text string) string {
	var b []byte
	if _, err := fmt.Sscanf(strings.ReplaceAll(text, " ", ""), "%x", &b); err != nil || len(b) < 20 {
		return text
	}
	switch b[0] >> 4 {
	case 4:
		from, _ := netip.AddrFromSlice(b[12:16])
		to, _ := netip.AddrFromSlice(b[16:20])
		return fmt.Sprintf("%v > %v, protocol %d, %q", from, to, b[9], b[min(len(b), 28):min(len(b), 80)])
	case 6:
		if len(b) >= 40 {
			from, _ := netip.AddrFromSlice(b[8:24])
			to, _ := netip.AddrFromSlice(b[24:40])
			return fmt.Sprintf("%v > %v, protocol %d", from, to, b[6])
		}
	}
	return text
}
