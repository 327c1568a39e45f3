package proxytest

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"shoal/internal/netx"
)

// HTTP starts an HTTP proxy that knows CONNECT alone (RFC 9110 §9.3.6) on n, which is also its way out.
func HTTP(t testing.TB, n netx.Network, o Options) *Proxy {
	t.Helper()
	return start(t, n, o, (*Proxy).http)
}

func (p *Proxy) http(c net.Conn) {
	in := bufio.NewReader(c)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	r := Request{Command: 1, Target: req.Host}
	if basic, ok := strings.CutPrefix(req.Header.Get("Proxy-Authorization"), "Basic "); ok {
		login, err := base64.StdEncoding.DecodeString(basic)
		if err != nil {
			return
		}
		r.User, r.Password, _ = strings.Cut(string(login), ":")
	}
	p.note(r)
	switch {
	case p.fault(c, Requested):
	case req.Method != http.MethodConnect:
		answer(c, http.StatusMethodNotAllowed)
	case p.o.User != "" && (r.User != p.o.User || r.Password != p.o.Password):
		answer(c, http.StatusProxyAuthRequired)
	default:
		host, port, err := net.SplitHostPort(req.Host)
		n, bad := strconv.ParseUint(port, 10, 16)
		if err != nil || bad != nil {
			answer(c, http.StatusBadRequest)
			return
		}
		out, err := p.dial(host, uint16(n))
		switch {
		case errors.Is(err, errUnknownName):
			answer(c, http.StatusNotFound)
		case err != nil:
			answer(c, http.StatusBadGateway)
		default:
			io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
			p.splice(c, out)
		}
	}
}

func answer(c net.Conn, code int) {
	io.WriteString(c, "HTTP/1.1 "+strconv.Itoa(code)+" "+http.StatusText(code)+"\r\nContent-Length: 0\r\n\r\n")
}
