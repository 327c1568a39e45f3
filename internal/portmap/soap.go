package portmap

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"shoal/internal/netx"
)

const (
	maxXML      = 128 << 10 // bytes of a document
	maxDepth    = 24        // of its elements
	maxElements = 2000
	maxServices = 16
)

var errXML = errors.New("the gateway's XML is too large or too deep")

// leaves calls leaf with the path of each element without children, by local names, and its text. The document is not trusted.
func leaves(doc io.Reader, leaf func(path []string, text string)) error {
	d := xml.NewDecoder(io.LimitReader(doc, maxXML))
	d.Strict = false
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // what we look for is ASCII
	var path []string
	var text []byte
	inner := false // the innermost element has no children so far
	for elements := 0; ; {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if elements++; elements > maxElements || len(path) == maxDepth {
				return errXML
			}
			path, text, inner = append(path, t.Name.Local), text[:0], true
		case xml.CharData:
			text = append(text, t...)
		case xml.EndElement:
			if len(path) == 0 {
				return errXML
			}
			if inner {
				leaf(path, string(bytes.TrimSpace(text)))
			}
			path, inner = path[:len(path)-1], false
		}
	}
}

// service is a service of a UPnP device.
type service struct {
	kind    string // urn:schemas-upnp-org:service:…
	control *url.URL
}

// parseDescription returns the services of a device and of those in it, as far as they are controlled at the device itself.
func parseDescription(doc io.Reader, from *url.URL) (list []service, err error) {
	host, err := netip.ParseAddr(from.Hostname())
	if err != nil {
		return nil, err
	}
	same := func(a netip.Addr) bool { return a == host }
	base, kind, control := from, "", ""
	add := func() {
		if kind != "" && control != "" && len(list) < maxServices {
			if u, err := base.Parse(control); err == nil {
				if u, err = parseURL(u.String(), same); err == nil {
					list = append(list, service{kind, u})
				}
			}
		}
		kind, control = "", ""
	}
	err = leaves(doc, func(path []string, text string) {
		switch path[len(path)-1] {
		case "URLBase":
			if u, err := parseURL(text, same); err == nil {
				base = u
			}
		case "serviceType":
			add()
			kind = text
		case "controlURL":
			control = text
		}
	})
	add()
	return list, err
}

// fault is an error of a UPnP action.
type fault struct {
	code int
	text string
}

// Error implements error.
func (f fault) Error() string {
	return strings.TrimSpace(fmt.Sprintf("UPnP error %d %s", f.code, f.text))
}

// argument is one of an action.
type argument struct{ name, value string }

func envelope(kind, action string, args []argument) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0"?>` + "\r\n" + `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ` +
		`s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:` + action + ` xmlns:u="`)
	_ = xml.EscapeText(&b, []byte(kind)) // a bytes.Buffer does not fail
	b.WriteString(`">`)
	for _, a := range args {
		b.WriteString("<" + a.name + ">")
		_ = xml.EscapeText(&b, []byte(a.value))
		b.WriteString("</" + a.name + ">")
	}
	b.WriteString("</u:" + action + "></s:Body></s:Envelope>\r\n")
	return b.Bytes()
}

// parseAnswer returns the values in the answer to an action, or the fault.
func parseAnswer(doc io.Reader) (map[string]string, error) {
	values := map[string]string{}
	err := leaves(doc, func(path []string, text string) { values[path[len(path)-1]] = text })
	if code, is := values["errorCode"]; is {
		n, _ := strconv.Atoi(code)
		return nil, fault{n, strings.Map(printable, values["errorDescription"])}
	}
	return values, err
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

// device speaks HTTP with a gateway, and with nobody else.
type device struct{ client *http.Client }

func newDevice(n netx.Network, host netip.Addr, zone string) *device {
	c := netx.HTTPClient(only{n, host, zone}, netx.HTTPOptions{HeaderTimeout: openTime, ConnsPerHost: 2})
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("the gateway sends us elsewhere") }
	return &device{c}
}

// only is a network that leads to one host.
type only struct {
	netx.Network
	host netip.Addr
	zone string // of link-local addresses, which URLs leave out
}

// Dial implements netx.Network.
func (o only) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil || a.Addr().Unmap() != o.host {
		return nil, fmt.Errorf("%s is not the gateway %s", addr, o.host)
	}
	if o.host.IsLinkLocalUnicast() && o.host.Is6() {
		addr = netip.AddrPortFrom(o.host.WithZone(o.zone), a.Port()).String()
	}
	return o.Network.Dial(ctx, network, addr)
}

func (d *device) describe(ctx context.Context, at *url.URL) ([]service, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the gateway's description: %s", resp.Status)
	}
	return parseDescription(resp.Body, at)
}

// call has a service do something.
func (d *device) call(ctx context.Context, s service, action string, args ...argument) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.control.String(), bytes.NewReader(envelope(s.kind, action, args)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", `text/xml; charset="utf-8"`)
	req.Header["SOAPACTION"] = []string{`"` + s.kind + "#" + action + `"`} // in this case, for gateways that compare letters
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	defer resp.Body.Close()
	values, err := parseAnswer(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %s", resp.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	return values, nil
}
