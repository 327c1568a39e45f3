package portmap

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/simnet"
)

var (
	public4 = netip.MustParseAddr("203.0.113.1")
	own4    = netip.MustParseAddr("192.168.1.20")
	public6 = netip.MustParseAddr("2001:db8:1::1")
	own6    = netip.MustParseAddr("2001:db8:7::20")
)

// home is a host behind a gateway, and one outside.
type home struct {
	t       *testing.T
	net     *simnet.Net
	nat     *simnet.NAT
	host    *simnet.Host
	outside *simnet.Host
}

func newHome(t *testing.T) *home {
	n := simnet.New(1)
	link := simnet.Link{Latency: 2 * time.Millisecond}
	h := &home{t: t, net: n, nat: n.NAT(public4, link, simnet.PortRestricted), outside: n.Host(netip.MustParseAddr("203.0.113.99"), link)}
	h.host = h.nat.Host(own4, link)
	return h
}

func newHome6(t *testing.T) *home {
	n := simnet.New(1)
	link := simnet.Link{Latency: 2 * time.Millisecond}
	h := &home{t: t, net: n, nat: n.Firewall(public6, link, simnet.NATKind{}), outside: n.Host(netip.MustParseAddr("2001:db8:2::1"), link)}
	h.host = h.nat.Host(own6, link)
	return h
}

// start starts a mapper of ports 5000 for a host, which listens there.
func (h *home) start() *Mapper {
	h.t.Helper()
	l, err := h.host.Listen(h.t.Context(), "tcp", ":5000")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	m, err := New(Config{Network: h.host, TCP: 5000, UDP: 5000, Gateways: func() []netip.Addr { return []netip.Addr{h.nat.Gateway().Addr()} }})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { m.Close() })
	return m
}

// open reports which ports to the host are open at the gateway.
func (h *home) open(port uint16) string {
	at := netip.AddrPortFrom(public4, port)
	if h.host.Addr().Is6() {
		at = netip.AddrPortFrom(h.host.Addr(), port)
	}
	s := ""
	for _, proto := range []string{"tcp", "udp"} {
		if inside, ok := h.nat.Mapped(proto, at); ok && inside == netip.AddrPortFrom(h.host.Addr(), 5000) {
			s += proto + " "
		}
	}
	return strings.TrimSpace(s)
}

// server is a gateway's NAT-PMP and PCP.
type server struct {
	*home
	pmp, pcp bool
	began    time.Time
	most     uint32                      // seconds that it grants
	change   func(reply []byte) [][]byte // what it sends instead; nil: what is right
	delay    time.Duration               // before it does
	conn     net.PacketConn

	mu       sync.Mutex // guards what follows, and change and began
	requests int
}

func (s *server) setChange(f func([]byte) [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change = f
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (h *home) serve(s *server) *server {
	h.t.Helper()
	s.home, s.began = h, time.Now()
	if s.most == 0 {
		s.most = 7200
	}
	var err error
	if s.conn, err = h.nat.Gateway().ListenPacket(h.t.Context(), "udp", ":5351"); err != nil {
		h.t.Fatal(err)
	}
	done := make(chan struct{})
	h.t.Cleanup(func() {
		s.conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		b := make([]byte, 2000)
		for {
			n, from, err := s.conn.ReadFrom(b)
			if err != nil {
				return
			}
			time.Sleep(s.delay)
			for _, r := range s.handle(b[:n], from.(*net.UDPAddr).AddrPort().Addr()) {
				if r != nil {
					s.conn.WriteTo(r, from)
				}
			}
		}
	}()
	return s
}

func (s *server) handle(b []byte, from netip.Addr) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	reply := s.answer(b, from)
	if s.change != nil {
		return s.change(reply)
	}
	return [][]byte{reply}
}

func (s *server) epoch() uint32 { return uint32(time.Since(s.began) / time.Second) }

// restart has the gateway forget everything. It tells everybody if it is asked to.
func (s *server) restart(tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nat.Reset()
	s.began = time.Now()
	if tell {
		b := binary.BigEndian.AppendUint32([]byte{0, 128, 0, 0}, s.epoch())
		b = append(b, 203, 0, 113, 1)
		s.conn.WriteTo(b, net.UDPAddrFromAddrPort(news4))
	}
}

func (s *server) answer(b []byte, from netip.Addr) []byte {
	switch {
	case b[0] == 0 && s.pmp && b[1] == 0:
		r := binary.BigEndian.AppendUint32([]byte{0, 128, 0, 0}, s.epoch())
		ip := s.nat.Public().As4()
		return append(r, ip[:]...)
	case b[0] == 0 && s.pmp:
		proto := map[byte]string{1: "udp", 2: "tcp"}[b[1]]
		end, seconds := s.set(proto, binary.BigEndian.Uint16(b[6:]), netip.AddrPortFrom(from, binary.BigEndian.Uint16(b[4:])), binary.BigEndian.Uint32(b[8:]))
		r := binary.BigEndian.AppendUint32([]byte{0, 128 + b[1], 0, 0}, s.epoch())
		r = append(r, b[4:6]...)
		r = binary.BigEndian.AppendUint16(r, end.Port())
		return binary.BigEndian.AppendUint32(r, seconds)
	case b[0] == 2 && s.pcp:
		r := append([]byte{2, 128 + b[1]}, make([]byte, 22)...)
		binary.BigEndian.PutUint32(r[8:], s.epoch())
		if [16]byte(b[8:]) != from.As16() {
			r[3] = 12 // ADDRESS_MISMATCH
		}
		if b[1] == opAnnounce || r[3] != 0 {
			return r
		}
		m := append([]byte(nil), b[24:60]...)
		proto := map[byte]string{6: "tcp", 17: "udp"}[m[12]]
		end, seconds := s.set(proto, binary.BigEndian.Uint16(m[18:]), netip.AddrPortFrom(from, binary.BigEndian.Uint16(m[16:])), binary.BigEndian.Uint32(b[4:]))
		binary.BigEndian.PutUint32(r[4:], seconds)
		binary.BigEndian.PutUint16(m[18:], end.Port())
		ip := end.Addr().As16()
		copy(m[20:], ip[:])
		return append(r, m...)
	case b[0] == 2 && s.pmp:
		return binary.BigEndian.AppendUint32([]byte{0, 128 + b[1], 0, 1}, s.epoch())
	}
	return nil
}

func (s *server) set(proto string, external uint16, inside netip.AddrPort, seconds uint32) (netip.AddrPort, uint32) {
	if seconds == 0 {
		s.nat.Unmap(proto, inside)
		return netip.AddrPort{}, 0
	}
	seconds = min(seconds, s.most)
	end, err := s.nat.Map(proto, external, inside, time.Duration(seconds)*time.Second)
	if err != nil {
		end, _ = s.nat.Map(proto, external+1, inside, time.Duration(seconds)*time.Second)
	}
	return end, seconds
}

// upnp is a gateway's UPnP.
type upnp struct {
	*home
	kind     string // of its service
	location string // if it is not its own
	describe http.HandlerFunc
	refuse   map[string]int // codes of faults, by action

	mu       sync.Mutex // guards what follows
	actions  []string
	pinholes map[string]bool // by "protocol address port seconds"
}

// seen returns the actions so far, and the pinholes that are open.
func (u *upnp) seen() (actions []string, pinholes map[string]bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.actions), maps.Clone(u.pinholes)
}

const devices = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/l3f</controlURL></service></serviceList>
<deviceList><device><deviceList><device><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:%s</serviceType><serviceId>x</serviceId><controlURL>%s</controlURL><eventSubURL>/e</eventSubURL></service>
</serviceList></device></deviceList></device></deviceList></device></root>`

func (h *home) serveUPnP(u *upnp) *upnp {
	h.t.Helper()
	u.home = h
	if u.pinholes == nil {
		u.pinholes = map[string]bool{}
	}
	gateway := h.nat.Gateway()
	l, err := gateway.Listen(h.t.Context(), "tcp", ":80")
	if err != nil {
		h.t.Fatal(err)
	}
	handler := http.NewServeMux()
	if u.describe == nil {
		u.describe = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, devices, u.kind, "/control?a=1") }
	}
	handler.HandleFunc("/root.xml", u.describe)
	handler.HandleFunc("/control", u.control)
	srv := &http.Server{Handler: handler}
	go srv.Serve(l)
	if u.location == "" {
		u.location = fmt.Sprintf("http://%v/root.xml", netip.AddrPortFrom(gateway.Addr(), 80))
	}
	var c net.PacketConn
	if gateway.Addr().Is4() {
		c, err = gateway.ListenMulticast(h.t.Context(), netip.AddrPortFrom(ssdpGroup4, ssdpPort))
	} else { // its address has no zone, by which the group could be reached: it is asked itself
		c, err = gateway.ListenPacket(h.t.Context(), "udp", ":1900")
	}
	if err != nil {
		h.t.Fatal(err)
	}
	go u.answerSearches(c)
	h.t.Cleanup(func() { srv.Close(); c.Close() })
	return u
}

func (u *upnp) answerSearches(c net.PacketConn) {
	b := make([]byte, 2000)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if strings.Contains(string(b[:n]), igdTypes[1]) {
			c.WriteTo([]byte("HTTP/1.1 200 OK\r\nST: "+igdTypes[1]+"\r\nLOCATION: "+u.location+"\r\nEXT:\r\n\r\n"), from)
		}
	}
}

func (u *upnp) control(w http.ResponseWriter, r *http.Request) {
	kind, action, _ := strings.Cut(strings.Trim(r.Header.Get("Soapaction"), `"`), "#")
	u.mu.Lock()
	defer u.mu.Unlock()
	u.actions = append(u.actions, action)
	args, err := parseAnswer(r.Body)
	code := u.refuse[action]
	out := ""
	if err != nil || kind != serviceURN+u.kind {
		code = 401
	}
	if code == 0 {
		out, code = u.do(action, args)
	}
	if code != 0 {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `<s:Envelope><s:Body><s:Fault><faultcode>s:Client</faultcode><detail><UPnPError><errorCode>%d</errorCode>
			<errorDescription>no</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>`, code)
		return
	}
	fmt.Fprintf(w, `<?xml version="1.0"?><s:Envelope><s:Body><u:%sResponse xmlns:u="x">%s</u:%sResponse></s:Body></s:Envelope>`, action, out, action)
}

func (u *upnp) do(action string, args map[string]string) (out string, code int) {
	port := func(name string) uint16 {
		n, _ := strconv.ParseUint(args[name], 10, 16)
		return uint16(n)
	}
	proto := strings.ToLower(args["NewProtocol"])
	switch action {
	case "GetExternalIPAddress":
		return "<NewExternalIPAddress>" + u.nat.Public().String() + "</NewExternalIPAddress>", 0
	case "AddPortMapping":
		seconds, _ := strconv.Atoi(args["NewLeaseDuration"])
		if seconds != 0 && u.refuse["lease"] != 0 {
			return "", u.refuse["lease"]
		}
		client, _ := netip.ParseAddr(args["NewInternalClient"])
		if _, err := u.nat.Map(proto, port("NewExternalPort"), netip.AddrPortFrom(client, port("NewInternalPort")), time.Duration(seconds)*time.Second); err != nil {
			return "", portTaken
		}
	case "DeletePortMapping":
		inside, ok := u.nat.Mapped(proto, netip.AddrPortFrom(u.nat.Public(), port("NewExternalPort")))
		if !ok || !u.nat.Unmap(proto, inside) {
			return "", noSuchEntry
		}
	case "GetFirewallStatus":
		return "<FirewallEnabled>1</FirewallEnabled><InboundPinholeAllowed>1</InboundPinholeAllowed>", 0
	case "AddPinhole":
		u.pinholes[args["Protocol"]+" "+args["InternalClient"]+" "+args["InternalPort"]+" "+args["LeaseTime"]] = true
		return "<UniqueID>" + strconv.Itoa(len(u.pinholes)) + "</UniqueID>", 0
	case "UpdatePinhole":
	case "DeletePinhole":
		clear(u.pinholes)
	default:
		return "", 401
	}
	return "", 0
}
