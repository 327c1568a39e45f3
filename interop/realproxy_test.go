//go:build linux

package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/netx"
)

// startAtFar runs a program in the far namespace, where names are resolved by the far end's name server.
func startAtFar(t *testing.T, far *namespace, name, home, command string) *process {
	t.Helper()
	names := filepath.Join(home, "resolv.conf")
	must(t, os.WriteFile(names, []byte("nameserver "+farAddr+"\n"), 0o644))
	must(t, os.Chmod(home, 0o755))
	return start(t, name, home, false, "nsenter", "-t", fmt.Sprint(far.pid), "-n", "unshare", "-m", "sh", "-c",
		"mount --bind "+names+" /etc/resolv.conf && exec "+command)
}

// Dante's SOCKS5 server carries streams and packets to addresses and names, and tinyproxy streams, which it wants a password for.
func TestRealProxies(t *testing.T) {
	if !alone(t) {
		return
	}
	far := twoWays(t)
	far.serve(t)
	home := t.TempDir()
	danted := needProgram(t, "danted", "dante-server")
	config := filepath.Join(home, "danted.conf")
	must(t, os.WriteFile(config, []byte(`logoutput: stderr
internal: 10.78.1.2 port = 1080
external: 10.78.1.2
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 0/0 to: 0/0 }
socks pass { from: 0/0 to: 0/0 }
`), 0o644))
	waitListening(t, startAtFar(t, far, "danted", home, danted+" -f "+config), "10.78.1.2:1080")
	tinyproxy := needProgram(t, "tinyproxy", "tinyproxy")
	config = filepath.Join(home, "tinyproxy.conf")
	must(t, os.WriteFile(config, []byte("Listen 10.78.1.2\nPort 8080\nBasicAuth us secret\nConnectPort 7000\nTimeout 60\n"), 0o644))
	waitListening(t, startAtFar(t, far, "tinyproxy", home, tinyproxy+" -d -c "+config), "10.78.1.2:8080")

	out := watch(t, plain)
	socks, web := openRoute(t, "socks5://10.78.1.2:1080"), openRoute(t, "http://us:secret@10.78.1.2:8080")
	for _, c := range []struct {
		n             netx.Network
		network, host string
	}{
		{socks, "tcp", farAddr}, {socks, "tcp", "peer.example"}, {socks, "udp", farAddr}, {socks, "udp", "peer.example"}, {web, "tcp", farAddr}, {web, "tcp", "peer.example"},
	} {
		if from, err := read(t, c.n, c.network, c.host+":7000"); err != nil || !strings.HasPrefix(from, "10.78.") || from == "10.78.1.1" || from == "10.78.2.1" {
			t.Errorf("%+v %s %s: seen as %q, %v", netx.TraitsOf(c.n), c.network, c.host, from, err)
		}
	}
	for n, want := range map[netx.Network]netx.Traits{socks: {Packets: true}, web: {}} {
		if got, err := netx.Probe(t.Context(), n); err != nil || got != want {
			t.Errorf("probed: %+v, %v, want %+v", got, err, want)
		}
	}
	for _, c := range []struct {
		route, addr, want string
		down              bool
	}{
		{"http://10.78.1.2:8080", farAddr + ":7000", "wants a user", true},
		{"http://us:wrong@10.78.1.2:8080", farAddr + ":7000", "refuses our user", true},
		{"http://us:secret@10.78.1.2:8080", farAddr + ":7001", "the proxy says: ", false},
		{"socks5://10.78.1.2:1080", farAddr + ":7001", "the proxy says: connection refused", false},
		{"socks5://10.78.1.2:8080", farAddr + ":7000", "the route is down", true},
		{"http://10.78.1.2:1080", farAddr + ":7000", "", true},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_, err := openRoute(t, c.route).Dial(ctx, "tcp", c.addr)
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, netx.ErrRouteDown) != c.down {
			t.Errorf("%s to %s: %v", c.route, c.addr, err)
		}
	}
	if packets, answers := out.left(); len(packets) > 0 || answers > 0 {
		t.Errorf("packets have left by the plain interface: %d answers, and %q", answers, packets)
	}
}
