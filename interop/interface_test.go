//go:build linux

package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/netx"
)

// The two ways out of the test's namespace: the tunnel, which shoal is told to use, and the plain way, which is the system's choice
// whenever it has one. Both lead to the far namespace, which has an address of its own behind them.
const (
	tunnel, plain = "tunnel", "plain"
	farAddr       = "10.78.9.9"
)

var raise = []string{
	"addr replace 10.78.1.1/24 dev " + tunnel,
	"link set " + tunnel + " up",
	"route replace default via 10.78.1.2 dev " + tunnel + " metric 500",
}

func twoWays(t *testing.T) *namespace {
	t.Helper()
	far := newNamespace(t)
	far.ip(t, "link set lo up", "addr add "+farAddr+"/32 dev lo")
	addTunnel(t, far)
	ip(t, fmt.Sprintf("link add %s type veth peer name %s netns %d", plain, plain, far.pid), "addr add 10.78.2.1/24 dev "+plain,
		"link set "+plain+" up")
	far.ip(t, "addr add 10.78.2.2/24 dev "+plain, "link set "+plain+" up")
	ip(t, "route add default via 10.78.2.2 dev "+plain+" metric 100")
	return far
}

func addTunnel(t *testing.T, far *namespace) {
	t.Helper()
	ip(t, fmt.Sprintf("link add %s type veth peer name %s netns %d", tunnel, tunnel, far.pid))
	far.ip(t, "addr add 10.78.1.2/24 dev "+tunnel, "link set "+tunnel+" up")
	ip(t, raise...)
}

// farServers are what listens at the far end.
type farServers struct {
	tcp  net.Listener   // says where a connection comes from
	udp  net.PacketConn // says the same of a packet
	dns  net.PacketConn // knows peer.example
	ends sync.WaitGroup
}

func (n *namespace) serve(t *testing.T) *farServers {
	t.Helper()
	s := &farServers{}
	n.do(t, func() (err error) {
		if s.tcp, err = net.Listen("tcp4", farAddr+":7000"); err != nil {
			return err
		}
		if s.udp, err = net.ListenPacket("udp4", farAddr+":7000"); err != nil {
			return err
		}
		s.dns, err = net.ListenPacket("udp4", farAddr+":53")
		return err
	})
	s.ends.Go(func() {
		for {
			c, err := s.tcp.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, c.RemoteAddr().(*net.TCPAddr).IP.String())
			c.Close()
		}
	})
	answer := func(pc net.PacketConn, reply func(query []byte, from net.Addr) []byte) {
		s.ends.Go(func() {
			b := make([]byte, 2000)
			for {
				n, from, err := pc.ReadFrom(b)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil {
					pc.WriteTo(reply(b[:n], from), from)
				}
			}
		})
	}
	answer(s.udp, func(_ []byte, from net.Addr) []byte { return []byte(from.(*net.UDPAddr).IP.String()) })
	answer(s.dns, nameReply)
	t.Cleanup(func() {
		s.tcp.Close()
		s.udp.Close()
		s.dns.Close()
		s.ends.Wait()
	})
	return s
}

// nameReply answers every question for an IPv4 address with the far end's, and all others with nothing (RFC 1035).
func nameReply(query []byte, _ net.Addr) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5
	if len(query) < end {
		return nil
	}
	r := append([]byte(nil), query[:end]...)
	copy(r[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0})
	if query[end-3] == 1 {
		r[7] = 1
		ip := netip.MustParseAddr(farAddr).As4()
		r = append(r, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4)
		r = append(r, ip[:]...)
	}
	return r
}

// read returns what comes over a connection to the far servers.
func read(t *testing.T, n netx.Network, network, addr string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	c, err := n.Dial(ctx, network, addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	if network == "udp" {
		if _, err := io.WriteString(c, "x"); err != nil {
			return "", err
		}
	}
	b := make([]byte, 100)
	k, err := c.Read(b)
	return string(b[:k]), err
}

func openRoute(t *testing.T, text string) netx.Network {
	t.Helper()
	r, err := netx.ParseRoute(text)
	must(t, err)
	n, err := r.Open(netx.Options{})
	must(t, err)
	return n
}

// works checks every way of using the network of the tunnel.
func works(t *testing.T, n netx.Network, far *namespace) {
	t.Helper()
	for _, c := range [][2]string{{"tcp", farAddr + ":7000"}, {"udp", farAddr + ":7000"}, {"tcp", "peer.example.:7000"}, {"udp", "peer.example.:7000"}} {
		if from, err := read(t, n, c[0], c[1]); err != nil || from != "10.78.1.1" {
			t.Errorf("%v: seen as %q, %v", c, from, err)
		}
	}
	if as, err := n.Resolve(t.Context(), "peer.example."); err != nil || len(as) != 1 || as[0].String() != farAddr {
		t.Errorf("resolved to %v, %v", as, err)
	}
	if tr, err := netx.Probe(t.Context(), n); err != nil || !tr.Listens || !tr.Packets || !tr.Resolves {
		t.Errorf("probed: %+v, %v", tr, err)
	}
	l, err := n.Listen(t.Context(), "tcp", ":7100")
	must(t, err)
	defer l.Close()
	pc, err := n.ListenPacket(t.Context(), "udp4", ":7100")
	must(t, err)
	defer pc.Close()
	var in net.Conn
	far.do(t, func() (err error) {
		if in, err = net.DialTimeout("tcp", "10.78.1.1:7100", 3*time.Second); err != nil {
			return err
		}
		if c, err := net.DialTimeout("tcp", "10.78.2.1:7100", time.Second); err == nil {
			c.Close()
			return errors.New("it listens on the plain interface as well")
		}
		for _, to := range []string{"10.78.2.1:7100", "10.78.1.1:7100"} {
			c, err := net.Dial("udp", to)
			if err != nil {
				return err
			}
			io.WriteString(c, to)
			c.Close()
		}
		return nil
	})
	in.Close()
	b := make([]byte, 100)
	pc.SetReadDeadline(time.Now().Add(3 * time.Second))
	if k, _, err := pc.ReadFrom(b); err != nil || string(b[:k]) != "10.78.1.1:7100" {
		t.Errorf("a packet for %q, %v", b[:k], err)
	}
}

// fails checks that no way of using the network works.
func fails(t *testing.T, what string, n netx.Network) {
	t.Helper()
	wantDown := func(call string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), netx.ErrRouteDown.Error()) {
			t.Errorf("%s: %s: %v", what, call, err)
		}
	}
	for _, c := range [][2]string{{"tcp", farAddr + ":7000"}, {"udp", farAddr + ":7000"}, {"tcp", "10.78.2.2:7000"}, {"tcp", "peer.example.:7000"}, {"udp", "peer.example.:7000"}} {
		from, err := read(t, n, c[0], c[1])
		wantDown(fmt.Sprintf("dial %v, seen as %q", c, from), err)
	}
	_, err := n.Resolve(t.Context(), "peer.example.")
	wantDown("resolve", err)
	_, err = n.Listen(t.Context(), "tcp", ":0")
	wantDown("listen", err)
	_, err = n.ListenPacket(t.Context(), "udp4", ":0")
	wantDown("packets", err)
}

// What is bound to an interface uses it for everything, names too, and nothing leaves by another when it is down, without an address,
// renamed or gone: not even from sockets that are open by then.
func TestInterface(t *testing.T) {
	if !alone(t) {
		return
	}
	far := twoWays(t)
	far.serve(t)
	if from, err := read(t, openRoute(t, "direct"), "tcp", farAddr+":7000"); err != nil || from != "10.78.2.1" {
		t.Fatalf("the system's choice: seen as %q, %v", from, err) // otherwise nothing below would prove anything
	}
	out := watch(t, plain)
	n := openRoute(t, "interface:"+tunnel+"?dns="+farAddr)
	works(t, n, far)
	if packets, answers := out.left(); len(packets) > 0 || answers == 0 { // the far end's attempts at the plain address were answered
		t.Errorf("up: packets have left by the plain interface: %d answers, and %q", answers, packets)
	}
	_, err := read(t, openRoute(t, "interface:"+tunnel+"?dns=127.0.0.53"), "tcp", "peer.example.:7000")
	if err == nil || !strings.Contains(err.Error(), "127.0.0.53 is on this machine") {
		t.Errorf("a name server of this machine: %v", err)
	}
	pc, err := n.ListenPacket(t.Context(), "udp4", ":7200")
	must(t, err)
	defer pc.Close()
	c, err := n.Dial(t.Context(), "udp", farAddr+":7000")
	must(t, err)
	defer c.Close()
	for _, event := range []struct{ what, do, undo string }{
		{"down", "link set tunnel down", ""},
		{"without an address", "addr flush dev tunnel", ""},
		{"renamed", "link set tunnel name other", "link set other name tunnel"},
		{"gone", "link del tunnel", "-"},
	} {
		ip(t, event.do)
		fails(t, event.what, n)
		for range 5 {
			pc.WriteTo([]byte("late"), &net.UDPAddr{IP: net.ParseIP(farAddr), Port: 7000})
			io.WriteString(c, "late")
		}
		if packets, answers := out.left(); len(packets) > 0 || answers > 0 {
			t.Errorf("%s: packets have left by the plain interface: %d answers, and %q", event.what, answers, packets)
		}
		if event.undo == "-" {
			addTunnel(t, far)
		} else if event.undo != "" {
			ip(t, event.undo)
		}
		ip(t, raise...)
		works(t, n, far)
		out.left()
	}
}

// ruled are the lines that have the kernel's own answers to packets for sockets that are closed follow the tunnel as well.
var ruled = []string{
	"rule add from 10.78.1.1 lookup 100",
	"route add unreachable default metric 1000 table 100",
	"route replace default via 10.78.1.2 dev " + tunnel + " table 100",
}

// A storm of events while everything is tried all the time. None of our packets takes the other way. When the system's routes lead
// there, the kernel's answers to packets that come too late do, which no program can prevent; a rule for the tunnel's address can.
func TestInterfaceFlaps(t *testing.T) {
	if !alone(t) {
		return
	}
	far := twoWays(t)
	far.serve(t)
	n := openRoute(t, "interface:"+tunnel+"?dns="+farAddr)
	works(t, n, far)
	out := watch(t, plain)
	flap(t, n, raise)
	packets, answers := out.left()
	if len(packets) > 0 {
		t.Errorf("packets have left by the plain interface: %q", packets)
	}
	t.Logf("without a rule: %d answers of the kernel's have left by the plain interface", answers)
	ip(t, raise...)
	ip(t, ruled...)
	flap(t, n, append(raise[:len(raise):len(raise)], ruled[2]))
	if packets, answers := out.left(); len(packets) > 0 || answers > 0 {
		t.Errorf("with a rule, packets have left by the plain interface: %d answers, and %q", answers, packets)
	}
}

func flap(t *testing.T, n netx.Network, raise []string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	tries, successes := 0, 0
	for _, c := range [][2]string{{"tcp", farAddr + ":7000"}, {"udp", farAddr + ":7000"}, {"tcp", "peer.example.:7000"}, {"udp4", "listen"}} {
		wg.Go(func() {
			for ctx.Err() == nil {
				short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
				conn, err := flapTry(short, n, c[0], c[1])
				cancel()
				mu.Lock()
				tries++
				if err == nil {
					successes++
					conn.Close()
				}
				mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	const events = 500
	for range events {
		switch random.IntN(4) {
		case 0:
			ip(t, "link set "+tunnel+" down")
		case 1:
			ip(t, "addr flush dev "+tunnel)
		case 2:
			ip(t, "link set "+tunnel+" down", "link set "+tunnel+" name other", "link set other name "+tunnel)
		default:
			ip(t, raise...)
		}
	}
	stop()
	wg.Wait()
	if successes == 0 || successes == tries {
		t.Errorf("of %d tries %d succeeded: the events changed nothing", tries, successes)
	}
	t.Logf("%d events, %d tries, of which %d succeeded", events, tries, successes)
}

// flapTry connects and sends a packet, or opens a packet socket and sends one.
func flapTry(ctx context.Context, n netx.Network, network, addr string) (io.Closer, error) {
	if addr == "listen" {
		pc, err := n.ListenPacket(ctx, network, ":0")
		if err == nil {
			pc.WriteTo([]byte("x"), &net.UDPAddr{IP: net.ParseIP(farAddr), Port: 7000})
		}
		return pc, err
	}
	c, err := n.Dial(ctx, network, addr)
	if err == nil {
		io.WriteString(c, "x")
	}
	return c, err
}
