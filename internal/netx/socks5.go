package netx

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"shoal/internal/socks"
)

// socks5 is a route through a SOCKS5 proxy (RFC 1928; user and password: RFC 1929). Names are passed to the proxy.
type socks5 struct {
	proxy
	user, password string // without a user nobody logs in
	tor            bool   // the proxy is Tor
}

// Commands (RFC 1928 §4). Tor adds one that resolves a name (socks-extensions.txt).
const (
	cmdConnect   = 1
	cmdAssociate = 3
	cmdResolve   = 0xF0
)

// Methods of authentication (RFC 1928 §3).
const (
	methodNone     = 0
	methodPassword = 2
	methodRefused  = 0xFF
)

// socksReply is the proxy's refusal of a request (RFC 1928 §6).
type socksReply byte

// Error implements error.
func (r socksReply) Error() string {
	switch r {
	case 1:
		return "the proxy says: general failure"
	case 2:
		return "the proxy says: not allowed"
	case 3:
		return "the proxy says: network unreachable"
	case 4:
		return "the proxy says: host unreachable"
	case 5:
		return "the proxy says: connection refused"
	case 6:
		return "the proxy says: TTL expired"
	case 7:
		return "the proxy says: command not supported"
	case 8:
		return "the proxy says: address type not supported"
	}
	return fmt.Sprintf("the proxy says: failure %#02x", byte(r))
}

// Is lets a refusal count as what the system would have said.
func (r socksReply) Is(err error) bool {
	switch r {
	case 3:
		return err == syscall.ENETUNREACH
	case 4:
		return err == syscall.EHOSTUNREACH
	case 5:
		return err == syscall.ECONNREFUSED
	}
	return false
}

// Dial implements Network. "udp" makes an association of its own for each connection.
func (s *socks5) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) { return nil, dialError(network, addr, err) }
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
	default:
		return fail(net.UnknownNetworkError(network))
	}
	t, err := parseTarget(network, addr)
	if err != nil {
		return fail(err)
	}
	if network[0] == 'u' {
		a, err := s.associate(ctx, network)
		if err != nil {
			return fail(err)
		}
		return a.connect(t), nil
	}
	c, err := s.open(ctx, func(c net.Conn) error {
		_, err := s.ask(c, cmdConnect, t)
		return err
	})
	if err != nil {
		return fail(err)
	}
	return asTunnel(c, t), nil
}

// ListenPacket implements Network with a UDP association (RFC 1928 §7). The port that addr asks for is the proxy's to give.
// The proxy may refuse: errors.Is(err, ErrNoPackets).
func (s *socks5) ListenPacket(ctx context.Context, network, addr string) (net.PacketConn, error) {
	fail := func(err error) (net.PacketConn, error) {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: hostPort(addr), Err: err}
	}
	switch network {
	case "udp", "udp4", "udp6":
	default:
		return fail(net.UnknownNetworkError(network))
	}
	a, err := s.associate(ctx, network)
	if err != nil {
		return fail(err)
	}
	return a, nil
}

// Resolve implements Network. Names are resolved by Tor alone.
func (s *socks5) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	fail := func(err error) ([]netip.Addr, error) { return nil, fmt.Errorf("resolve %s: %w", host, err) }
	if !s.tor {
		return fail(ErrNoResolve)
	}
	if !passable(host) {
		return fail(errors.New("not a host name"))
	}
	var found socks.Addr
	c, err := s.open(ctx, func(c net.Conn) (err error) {
		found, err = s.ask(c, cmdResolve, socks.Addr{Name: host})
		return err
	})
	if err != nil {
		return fail(err)
	}
	c.Close()
	if !found.IP.IsValid() {
		return fail(errors.New("the proxy answered with another name"))
	}
	return []netip.Addr{found.IP}, nil
}

// Traits implements the seam of TraitsOf.
func (s *socks5) Traits() Traits { return Traits{Packets: !s.tor, Resolves: s.tor, Anonymous: s.tor} }

// Probe implements the seam of the function of this name: it logs in and asks for a UDP association, which it gives back.
func (s *socks5) Probe(ctx context.Context) (Traits, error) {
	t := s.Traits()
	if s.tor {
		c, err := s.open(ctx, s.greet)
		if err == nil {
			err = c.Close()
		}
		return t, err
	}
	a, err := s.associate(ctx, "udp")
	if errors.Is(err, ErrNoPackets) {
		t.Packets = false
		return t, nil
	}
	if err == nil {
		err = a.Close()
	}
	return t, err
}

// newTor returns a route through Tor's SOCKS port. Tor puts streams that came with different users or passwords on different
// circuits (IsolateSOCKSAuth, which is its default), so each has a user of its own that no other program can hit upon.
func newTor(under Network, addr string) *socks5 {
	return &socks5{proxy: proxy{under, addr}, tor: true, user: strings.ToLower(rand.Text()), password: "0"}
}

// Isolate implements the seam of the function of this name.
func (s *socks5) Isolate(key string) Network {
	if !s.tor {
		return s
	}
	view := *s
	sum := sha256.Sum256([]byte(s.user + "\x00" + s.password + "\x00" + key)) // Tor may log it: the key stays with us
	view.password = hex.EncodeToString(sum[:16])
	return &view
}

// greet chooses a method and logs in (RFC 1928 §3, RFC 1929).
func (s *socks5) greet(c net.Conn) error {
	hello := []byte{5, 1, methodNone}
	switch {
	case s.tor:
		hello = []byte{5, 1, methodPassword} // without it Tor would put us on shared circuits
	case s.user != "":
		hello = []byte{5, 2, methodNone, methodPassword}
	}
	answer, err := exchange(c, hello)
	switch {
	case err != nil:
		return s.down(err)
	case answer[0] != 5:
		return s.down(fmt.Errorf("this is no SOCKS5 proxy: it begins with %#02x", answer[0]))
	case answer[1] == methodRefused && s.user == "":
		return s.down(errors.New("it wants a user and a password"))
	case answer[1] == methodPassword && s.user != "":
		return s.logIn(c)
	case answer[1] != methodNone || s.tor:
		return s.down(fmt.Errorf("it accepts none of our ways to log in (answer %#02x)", answer[1]))
	}
	return nil
}

func (s *socks5) logIn(c net.Conn) error {
	b := append([]byte{1, byte(len(s.user))}, s.user...)
	b = append(b, byte(len(s.password)))
	answer, err := exchange(c, append(b, s.password...))
	switch {
	case err != nil:
		return s.down(fmt.Errorf("logging in: %w", err))
	case answer[0] != 1:
		return s.down(fmt.Errorf("logging in: an answer that begins with %#02x", answer[0]))
	case answer[1] != 0:
		return s.down(errors.New("it refuses our user or password"))
	}
	return nil
}

// exchange sends b and reads the two bytes that come back.
func exchange(c net.Conn, b []byte) (answer [2]byte, err error) {
	if _, err := c.Write(b); err != nil {
		return answer, broken(err)
	}
	_, err = io.ReadFull(c, answer[:])
	return answer, broken(err)
}

var errHungUp = errors.New("it hung up in the middle of the handshake")

// broken gives the end of a stream its name, so that no caller takes it for a proper end.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errHungUp
	}
	for _, e := range []error{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", errHungUp, err)
		}
	}
	return err
}

// ask greets the proxy, sends a request (RFC 1928 §4) and returns the address of the reply (§6).
func (s *socks5) ask(c net.Conn, command byte, t socks.Addr) (socks.Addr, error) {
	if err := s.greet(c); err != nil {
		return socks.Addr{}, err
	}
	if _, err := c.Write(t.Append([]byte{5, command, 0})); err != nil {
		return socks.Addr{}, s.down(broken(err))
	}
	var head [3]byte
	_, err := io.ReadFull(c, head[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return socks.Addr{}, err // it waits for the target, most likely
	case err != nil:
		return socks.Addr{}, s.down(broken(err))
	}
	if head[0] != 5 {
		return socks.Addr{}, s.down(fmt.Errorf("a reply that begins with %#02x", head[0]))
	}
	if head[1] != 0 {
		return socks.Addr{}, socksReply(head[1]) // the address behind it means nothing, and some proxies do not send it
	}
	bound, err := socks.ReadAddr(c)
	if err != nil {
		return socks.Addr{}, s.down(broken(err))
	}
	return bound, nil
}
