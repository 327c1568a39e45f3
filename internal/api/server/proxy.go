package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// access is Access, made ready.
type access struct {
	Access
	names map[string]bool
}

// SetAccess changes from where the server may be used.
func (s *Server) SetAccess(a Access) error {
	x := &access{Access: a, names: map[string]bool{}}
	for _, n := range a.Names {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if n == "" || strings.ContainsAny(n, "/: ") {
			return fmt.Errorf("%q is not a host name", n)
		}
		x.names[n] = true
	}
	base, err := cleanBase(a.BasePath)
	if err != nil {
		return err
	}
	x.BasePath = base
	s.access.Store(x)
	return nil
}

// cleanBase returns a path that URLs begin with: "" or "/a/b".
func cleanBase(p string) (string, error) {
	if p == "" || p == "/" {
		return "", nil
	}
	bad := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"'<>\?#%;,`, r) }
	if p[0] != '/' || len(p) > 200 || strings.ContainsFunc(p, bad) || strings.HasPrefix(p, "//") {
		return "", errors.New("a base path is like /shoal")
	}
	return strings.TrimSuffix(path.Clean(p), "/"), nil
}

// origin is how a request reached us, as the client sees it.
type origin struct {
	client netip.Addr // zero for the socket of the machine
	secure bool       // by https
	base   string     // path below which the client sees us
}

type originKey struct{}

func originOf(ctx context.Context) origin {
	o, _ := ctx.Value(originKey{}).(origin)
	return o
}

// proxied lets a trusted proxy say who the client is and what it asked for, and takes the base path away. What others say of that is dropped.
func (s *Server) proxied(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := s.access.Load()
		o := origin{client: addrOf(r.RemoteAddr), secure: r.TLS != nil}
		r = r.Clone(r.Context())
		if isTrusted(a, o.client) {
			o.client = forwardedFor(a, o.client, r.Header.Values("X-Forwarded-For"))
			o.secure = o.secure || strings.EqualFold(lastOf(r.Header.Get("X-Forwarded-Proto")), "https")
			if host := lastOf(r.Header.Get("X-Forwarded-Host")); host != "" {
				r.Host = host
			}
			if base, err := cleanBase(lastOf(r.Header.Get("X-Forwarded-Prefix"))); err == nil {
				o.base = base
			}
		}
		for _, name := range []string{"For", "Proto", "Host", "Prefix"} {
			r.Header.Del("X-Forwarded-" + name)
		}
		r.Header.Del("Forwarded")
		if o.client.IsValid() {
			r.RemoteAddr = netip.AddrPortFrom(o.client, 0).String()
		}
		if base := a.BasePath; base != "" {
			if r.URL.Path == base {
				http.Redirect(w, r, base+"/", http.StatusPermanentRedirect)
				return
			}
			if rest, ok := strings.CutPrefix(r.URL.Path, base+"/"); ok {
				r.URL.Path, o.base = "/"+rest, base
				if raw, ok := strings.CutPrefix(r.URL.RawPath, base+"/"); ok {
					r.URL.RawPath = "/" + raw
				} else {
					r.URL.RawPath = ""
				}
			} else if o.base == "" {
				o.base = base // the proxy has taken it away already
			}
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), originKey{}, o)))
	})
}

func addrOf(remote string) netip.Addr {
	if p, err := netip.ParseAddrPort(remote); err == nil {
		return p.Addr().Unmap()
	}
	return netip.Addr{}
}

func isTrusted(a *access, addr netip.Addr) bool {
	return addr.IsValid() && slices.ContainsFunc(a.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// forwardedFor returns the last address of the chain that is not a trusted proxy: what is before it anybody can have written.
func forwardedFor(a *access, client netip.Addr, headers []string) netip.Addr {
	hops := strings.Split(strings.Join(headers, ","), ",")
	for _, hop := range slices.Backward(hops) {
		hop = strings.TrimSpace(hop)
		addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
		if err != nil {
			if addr = addrOf(hop); !addr.IsValid() {
				return client
			}
		}
		client = addr.Unmap()
		if !isTrusted(a, client) {
			break
		}
	}
	return client
}

// lastOf returns the last of a list: what the nearest proxy said.
func lastOf(list string) string {
	return strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:])
}

// hostOnly returns a Host header without its port, in lower case.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
