package netx

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"shoal/internal/socks"
)

// connect is a route through an HTTP proxy's CONNECT method (RFC 9110 §9.3.6): TCP only. Names are passed to the proxy.
type connect struct {
	proxy
	user, password string // Basic authentication (RFC 7617); without a user none is sent
}

// maxConnectHeader bounds a proxy's answer, in bytes.
const maxConnectHeader = 16 << 10

// Dial implements Network.
func (h *connect) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) { return nil, dialError(network, addr, err) }
	switch network {
	case "tcp", "tcp4", "tcp6":
	case "udp", "udp4", "udp6":
		return fail(ErrNoPackets)
	default:
		return fail(net.UnknownNetworkError(network))
	}
	t, err := parseTarget(network, addr)
	if err != nil {
		return fail(err)
	}
	c, err := h.open(ctx, func(c net.Conn) error { return h.ask(c, t) })
	if err != nil {
		return fail(err)
	}
	return asTunnel(c, t), nil
}

// ask has the proxy connect to t.
func (h *connect) ask(c net.Conn, t socks.Addr) error {
	var b strings.Builder
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", t, t)
	if h.user != "" {
		fmt.Fprintf(&b, "Proxy-Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(h.user+":"+h.password)))
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(c, b.String()); err != nil {
		return h.down(broken(err))
	}
	head, err := readHead(c)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err // it waits for the target, most likely
	case err != nil:
		return h.down(err)
	}
	answer, err := http.ReadResponse(head, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return h.down(fmt.Errorf("this is no HTTP proxy: %w", err))
	}
	answer.Body.Close() // an answer to CONNECT that is a success has none, and of others we read none
	code := answer.StatusCode
	login := code == http.StatusProxyAuthRequired || code == http.StatusUnauthorized // as tinyproxy says it
	switch {
	case code/100 == 2:
		return nil
	case login && h.user == "":
		return h.down(errors.New("it wants a user and a password"))
	case login:
		return h.down(errors.New("it refuses our user or password"))
	}
	return fmt.Errorf("the proxy says: %d %s", code, http.StatusText(code))
}

// readHead reads up to the empty line that ends an answer's header, byte by byte: what follows is the other end's.
func readHead(r io.Reader) (*bufio.Reader, error) {
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) && !bytes.HasSuffix(head, []byte("\n\n")) {
		var b [1]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil, broken(err)
		}
		head = append(head, b[0])
		if len(head) > maxConnectHeader || len(head) == 5 && string(head) != "HTTP/" {
			return nil, errors.New("this is no HTTP proxy")
		}
	}
	return bufio.NewReader(bytes.NewReader(head)), nil
}

// ListenPacket implements Network.
func (h *connect) ListenPacket(_ context.Context, network, addr string) (net.PacketConn, error) {
	return nil, &net.OpError{Op: "listen", Net: network, Addr: hostPort(addr), Err: ErrNoPackets}
}

// Resolve implements Network.
func (h *connect) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	return nil, fmt.Errorf("resolve %s: %w", host, ErrNoResolve)
}

// Traits implements the seam of TraitsOf.
func (h *connect) Traits() Traits { return Traits{} }

// Probe implements the seam of the function of this name. Whether the proxy takes our password shows only when it is asked
// for a connection, so all that is tried is whether it is there.
func (h *connect) Probe(ctx context.Context) (Traits, error) {
	c, err := h.open(ctx, func(net.Conn) error { return nil })
	if err == nil {
		err = c.Close()
	}
	return h.Traits(), err
}
