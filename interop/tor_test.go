//go:build linux

package interop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/netx"
)

// torSocks is where the real Tor's SOCKS port is, at the far end of the tunnel.
const torSocks = "10.78.1.2:9050"

// torNet is a whole Tor network in the far namespace: three authorities, which are relays and exits too.
type torNet struct {
	far   *namespace
	home  string
	auths []string // the lines of a torrc that name them
}

// relayAddr returns the address of relay i, from 1.
func relayAddr(i int) string { return fmt.Sprintf("10.79.0.%d", i) }

// newTorNet makes the keys of a network.
func newTorNet(t *testing.T, far *namespace) *torNet {
	t.Helper()
	n := &torNet{far: far, home: t.TempDir()}
	gencert := needProgram(t, "tor-gencert", "tor")
	far.ip(t, "addr add "+relayAddr(1)+"/32 dev lo", "addr add "+relayAddr(2)+"/32 dev lo", "addr add "+relayAddr(3)+"/32 dev lo")
	must(t, os.WriteFile(filepath.Join(n.home, "resolv.conf"), []byte("nameserver "+farAddr+"\n"), 0o600))
	for i := 1; i <= 3; i++ {
		keys := filepath.Join(n.home, fmt.Sprintf("auth%d", i), "keys")
		must(t, os.MkdirAll(keys, 0o700))
		certificate := filepath.Join(keys, "authority_certificate")
		cmd := exec.Command(gencert, "--create-identity-key", "--passphrase-fd", "0", "-m", "3", "-a", relayAddr(i)+":7000",
			"-i", filepath.Join(keys, "authority_identity_key"), "-s", filepath.Join(keys, "authority_signing_key"), "-c", certificate)
		cmd.Stdin = strings.NewReader("secret\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("tor-gencert: %v: %s", err, out)
		}
		b, err := os.ReadFile(certificate)
		must(t, err)
		_, rest, _ := strings.Cut(string(b), "\nfingerprint ")
		v3, _, _ := strings.Cut(rest, "\n")
		self := fmt.Sprintf("DirAuthority auth%d orport=5000 v3ident=%s %s:7000 ", i, v3, relayAddr(i))
		list := exec.Command("tor", "-f", n.torrc(t, fmt.Sprintf("keys%d", i), n.relay(i)+self+strings.Repeat("0", 40)+"\n"), "--list-fingerprint", "--quiet")
		out, err := list.Output()
		if err != nil {
			t.Fatalf("tor --list-fingerprint: %v: %s", err, out)
		}
		_, print, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		n.auths = append(n.auths, self+strings.ReplaceAll(print, " ", ""))
	}
	return n
}

func (n *torNet) torrc(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(n.home, name+".torrc")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func (n *torNet) relay(i int) string {
	return fmt.Sprintf(`TestingTorNetwork 1
AssumeReachable 1
DataDirectory %[1]s/auth%[2]d
Nickname auth%[2]d
Address %[3]s
ORPort %[3]s:5000
DirPort %[3]s:7000
SocksPort 0
ContactInfo none
ShutdownWaitLength 0
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ExitRelay 1
ExitPolicy accept *:*
ExitPolicyRejectPrivate 0
ServerDNSResolvConfFile %[1]s/resolv.conf
ServerDNSDetectHijacking 0
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
TestingMinExitFlagThreshold 0
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
`, n.home, i, relayAddr(i))
}

func (n *torNet) start(t *testing.T, name, text string) *process {
	t.Helper()
	tor := needProgram(t, "tor", "tor")
	path := n.torrc(t, name, text+strings.Join(n.auths, "\n")+"\n")
	return start(t, name, n.home, false, "nsenter", "-t", fmt.Sprint(n.far.pid), "-n", tor, "-f", path)
}

func (n *torNet) startClient(t *testing.T, name string) *process {
	t.Helper()
	p := n.start(t, name, fmt.Sprintf(`TestingTorNetwork 1
DataDirectory %s/%s
SocksPort %s
ControlPort 127.0.0.1:9051
ClientRejectInternalAddresses 0
PathsNeededToBuildCircuits 0.25
ShutdownWaitLength 0
`, n.home, name, torSocks))
	waitListening(t, p, torSocks)
	return p
}

// control asks the client's control port.
func (n *torNet) control(t *testing.T, command string) (lines []string) {
	t.Helper()
	n.far.do(t, func() error {
		c, err := net.Dial("tcp", "127.0.0.1:9051")
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprintf(c, "AUTHENTICATE\r\n%s\r\nQUIT\r\n", command)
		for s := bufio.NewScanner(c); s.Scan(); {
			lines = append(lines, s.Text())
		}
		return nil
	})
	return lines
}

// circuits returns the circuit of each open stream, by the target.
func (n *torNet) circuits(t *testing.T) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, line := range n.control(t, "GETINFO stream-status") {
		line = strings.TrimPrefix(strings.TrimPrefix(line, "250-stream-status="), "250+stream-status=")
		if f := strings.Fields(line); len(f) >= 4 && f[1] == "SUCCEEDED" {
			m[f[3]] = f[2]
		}
	}
	return m
}

// torOnly checks that what has left by the tunnel went to Tor's SOCKS port, and that nothing has by the plain interface.
func torOnly(t *testing.T, what string, toTor, out *capture) {
	t.Helper()
	if packets, answers := out.left(); len(packets) > 0 || answers > 0 {
		t.Errorf("%s: packets have left by the plain interface: %d answers, and %q", what, answers, packets)
	}
	packets, _ := toTor.left()
	for _, p := range packets {
		var b []byte
		_, err := fmt.Sscanf(strings.ReplaceAll(p, " ", ""), "%x", &b)
		if err != nil || len(b) < 24 || b[9] != 6 || !bytes.Equal(b[16:20], []byte{10, 78, 1, 2}) || !bytes.Equal(b[22:24], []byte{9050 >> 8, 9050 & 255}) {
			t.Errorf("%s: a packet for anyone but Tor: %s, %v", what, p, err)
		}
	}
	if len(packets) == 0 {
		t.Errorf("%s: Tor was not asked", what)
	}
}

// A real Tor carries streams, resolves names and keeps purposes apart; and while it has no network, or is dead, nothing goes any
// other way, though the system has one.
func TestTor(t *testing.T) {
	if !alone(t) {
		return
	}
	far := twoWays(t)
	far.serve(t)
	if from, err := read(t, openRoute(t, "direct"), "tcp", farAddr+":7000"); err != nil || from != "10.78.2.1" {
		t.Fatalf("the system's choice: seen as %q, %v", from, err) // otherwise nothing below would prove anything
	}
	network := newTorNet(t, far)
	n := openRoute(t, "tor://"+torSocks)
	tor := network.startClient(t, "offline")
	out, toTor := watch(t, plain), watch(t, tunnel)
	tr, err := netx.Probe(t.Context(), n)
	if err != nil || tr != (netx.Traits{Resolves: true, Anonymous: true}) {
		t.Errorf("probed: %+v, %v", tr, err)
	}
	torFails(t, "without a network", n, false)
	torOnly(t, "without a network", toTor, out)
	tor.kill()
	torFails(t, "dead", n, true)
	torOnly(t, "dead", toTor, out)

	for i := 1; i <= 3; i++ {
		network.start(t, fmt.Sprintf("auth%d", i), network.relay(i))
	}
	tor = network.startClient(t, "online")
	begin := time.Now()
	for !strings.Contains(strings.Join(network.control(t, "GETINFO status/bootstrap-phase"), "\n"), "PROGRESS=100") {
		if time.Since(begin) > 150*time.Second || tor.ended() {
			t.Fatalf("no Tor network after %v", time.Since(begin))
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Logf("a Tor network after %v", time.Since(begin).Round(100*time.Millisecond))
	torWorks(t, network, n)
	torOnly(t, "with a network", toTor, out)
	tor.kill()
	torFails(t, "dead again", n, true)
	torOnly(t, "dead again", toTor, out)
}

func torWorks(t *testing.T, network *torNet, n netx.Network) {
	t.Helper()
	for _, addr := range []string{farAddr + ":7000", "peer.example:7000"} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		c, err := n.Dial(ctx, "tcp", addr)
		cancel()
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		b := make([]byte, 100)
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if k, err := c.Read(b); err != nil || !strings.HasPrefix(string(b[:k]), "10.7") || strings.HasPrefix(string(b[:k]), "10.78.1.1") || strings.HasPrefix(string(b[:k]), "10.78.2.1") {
			t.Errorf("%s: seen as %q, %v", addr, b[:k], err)
		}
		c.Close()
	}
	if as, err := n.Resolve(t.Context(), "peer.example"); err != nil || len(as) != 1 || as[0].String() != farAddr {
		t.Errorf("resolved to %v, %v", as, err)
	}
	for _, err := range []error{second(n.Dial(t.Context(), "udp", farAddr+":7000")), second(n.ListenPacket(t.Context(), "udp", ":0"))} {
		if !errors.Is(err, netx.ErrNoPackets) {
			t.Error(err)
		}
	}
	// Streams of one key share a circuit, and those of two never do.
	hold(t, network.far, "7001", "7002", "7003", "7004")
	for port, key := range map[string]string{"7001": "one", "7002": "one", "7003": "two", "7004": ""} {
		view := n
		if key != "" {
			view = netx.Isolate(n, key)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		c, err := view.Dial(ctx, "tcp", net.JoinHostPort(farAddr, port))
		must(t, err)
		defer c.Close()
	}
	of := network.circuits(t)
	one, again, two, none := of[farAddr+":7001"], of[farAddr+":7002"], of[farAddr+":7003"], of[farAddr+":7004"]
	if len(of) != 4 || one != again || one == two || one == none || two == none {
		t.Errorf("the circuits are %v", of)
	}
}

func second[T any](_ T, err error) error { return err }

// hold listens at the far end and never answers.
func hold(t *testing.T, far *namespace, ports ...string) {
	t.Helper()
	for _, port := range ports {
		far.do(t, func() error {
			l, err := net.Listen("tcp4", net.JoinHostPort(farAddr, port))
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		})
	}
}

// torFails checks that nothing works and that it is said why.
func torFails(t *testing.T, what string, n netx.Network, down bool) {
	t.Helper()
	for _, c := range []struct{ network, addr string }{{"tcp", farAddr + ":7000"}, {"tcp", "peer.example:7000"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		conn, err := n.Dial(ctx, c.network, c.addr)
		cancel()
		if err == nil {
			conn.Close()
			t.Errorf("%s: %v: connected", what, c)
		} else if errors.Is(err, netx.ErrRouteDown) != down {
			t.Errorf("%s: %v: %v", what, c, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if as, err := n.Resolve(ctx, "peer.example"); err == nil || errors.Is(err, netx.ErrRouteDown) != down {
		t.Errorf("%s: resolved to %v, %v", what, as, err)
	}
	if _, err := n.Listen(ctx, "tcp", ":0"); !errors.Is(err, netx.ErrNoListen) {
		t.Errorf("%s: %v", what, err)
	}
}
