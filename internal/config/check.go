package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"shoal/internal/netx"
)

// Checks of single texts. Their errors say what is needed.

func listenAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return errors.New("not ADDRESS:PORT, such as 127.0.0.1:7462 or :6881")
	}
	if _, err := netip.ParseAddr(host); host != "" && host != "localhost" && err != nil {
		return fmt.Errorf("%q is no address of this machine: name an address, or leave it empty for all", host)
	}
	return nil
}

func hostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
		return errors.New("not HOST:PORT, such as dht.example.net:6881")
	}
	return nil
}

func hostName(s string) error {
	if s == "*" {
		return nil // any; who runs behind a proxy that checks names may want that
	}
	if len(s) > 253 || strings.ContainsAny(s, "/:@ *?#%\\") {
		return errors.New("not a host name, such as shoal.example.net: it has no scheme, port or path")
	}
	return nil
}

func basePath(s string) error {
	if s == "/" || !strings.HasPrefix(s, "/") || path.Clean(s) != s || strings.ContainsAny(s, `?#%\ "<>;`) {
		return errors.New("not a path such as /shoal, which begins with a slash and ends without one")
	}
	return nil
}

func isPrefix(s string) error {
	_, err := parsePrefix(s)
	return err
}

// parsePrefix reads a network, or an address as a network of one.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, errors.New("not an address or a network, such as 10.0.0.1 or 172.16.0.0/12")
	}
	return p.Masked(), nil
}

func route(s string) error {
	r, err := netx.ParseRoute(s)
	if err != nil {
		return err
	}
	if s == r.String() && strings.Contains(s, ":…@") {
		return errors.New("it has … in place of the password, as it is shown: write the password")
	}
	return nil
}

// showRoute leaves the password out.
func showRoute(s string) string {
	r, err := netx.ParseRoute(s)
	if err != nil {
		return ""
	}
	return r.String()
}

func bind(s string) error {
	if _, err := netip.ParseAddr(s); err != nil {
		s = "interface:" + s
	}
	if _, err := netx.ParseRoute(s); err != nil {
		return errors.New("neither the name of an interface nor a local address")
	}
	return nil
}

func ratio(s string) error {
	if f, err := strconv.ParseFloat(s, 64); err != nil || f < 0 || f > 1e6 {
		return errors.New("not a ratio from 0 to 1000000")
	}
	return nil
}

func userName(s string) error {
	if len(s) > 64 || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("not a name of up to 64 bytes without spaces around it")
	}
	return nil
}

// minPassword is the least length of a password, in bytes.
const minPassword = 8

func password(s string) error {
	if len(s) < minPassword {
		return fmt.Errorf("shorter than %d characters", minPassword)
	}
	return nil
}

// validate checks a parsed value by itself.
func (s *setting) validate(v any) error {
	switch v := v.(type) {
	case int64:
		switch {
		case v < s.min && s.kind == Bytes:
			return fmt.Errorf("less than %s, the least that works", formatBytes(s.min))
		case v < s.min || s.max != 0 && v > s.max:
			return fmt.Errorf("not a number from %d to %d", s.min, s.max)
		}
	case float64:
		if s.check != nil {
			return s.check(strconv.FormatFloat(v, 'g', -1, 64))
		}
	case string:
		if s.kind == Enum && !slices.Contains(s.choices, v) {
			return fmt.Errorf("not one of %s%s", strings.Join(s.choices, ", "), didYouMean(v, s.choices))
		}
		if v != "" && s.check != nil {
			return s.check(v)
		}
	case []string:
		for _, e := range v {
			if err := s.checkElement(e); err != nil {
				return fmt.Errorf("%q: %w", e, err)
			}
		}
	}
	return nil
}

func (s *setting) checkElement(e string) error {
	if e == "" {
		return errors.New("an element is empty: leave it out")
	}
	if s.check == nil {
		return nil
	}
	return s.check(e)
}

// together finds what single settings do not show. Each problem is of the setting named.
func (c *Config) together(problem func(key string, err error)) {
	switch {
	case c.API.TLSCert != "" && c.API.TLSKey == "":
		problem("api.tls_cert", errors.New("a certificate needs its key: set api.tls_key too"))
	case c.API.TLSKey != "" && c.API.TLSCert == "":
		problem("api.tls_key", errors.New("a key needs its certificate: set api.tls_cert too"))
	}
	if c.API.Listen == "" && c.API.Socket == "" {
		problem("api.socket", errors.New("with api.listen off as well, nothing could reach the node: set one of them"))
	}
	if c.Folders.Downloads == "" {
		problem("folders.downloads", errors.New("no folder: there is no default here, so name one"))
	}
	if c.Folders.State == "" {
		problem("folders.state", errors.New("no folder: there is no default here, so name one, or give --home DIR"))
	}
	if c.Folders.Incomplete != "" && c.Folders.Incomplete == c.Folders.Downloads {
		problem("folders.incomplete", errors.New("it is the downloads folder: leave it empty"))
	}
	if c.Network.Route != "" && c.Network.Bind != "" {
		r, err := netx.ParseRoute(c.Network.Route)
		if device, _, proxy := r.Binding(); err == nil && !r.Direct() && (proxy == "" || device != "") {
			problem("network.bind", errors.New("network.route chooses how sockets are bound already: set one of them"))
		}
	}
	if c.Admin.Password != "" && c.Admin.Name == "" {
		problem("admin.name", errors.New("a password needs a name"))
	}
}
