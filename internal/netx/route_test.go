package netx_test

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"shoal/internal/netx"
	"shoal/internal/netx/proxytest"
)

func TestParseRoute(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "direct",
		" direct ":                         "direct",
		"192.0.2.7":                        "192.0.2.7",
		"::ffff:192.0.2.7":                 "192.0.2.7",
		"2001:db8::7":                      "2001:db8::7",
		"fe80::7%eth0":                     "fe80::7%eth0",
		"interface:tun0":                   "interface:tun0",
		"if:Ethernet 2":                    "interface:Ethernet 2",
		"if:wg-home.5":                     "interface:wg-home.5",
		"if:tun0?dns=10.64.0.1":            "interface:tun0?dns=10.64.0.1:53",
		"if:tun0?dns=[2001:db8::1]:5353":   "interface:tun0?dns=[2001:db8::1]:5353",
		"socks5://192.0.2.1:1080":          "socks5://192.0.2.1:1080",
		"SOCKS5H://proxy.example:1080/":    "socks5://proxy.example:1080",
		"socks5://[2001:db8::1]:1080":      "socks5://[2001:db8::1]:1080",
		"socks5://us:secret@h:1":           "socks5://us:…@h:1",
		"socks5://us%40x:se%3Acret@h:1":    "socks5://us%40x:…@h:1",
		"socks5://us:secret@secret2@h:1":   "socks5://us:…@h:1",
		"socks5://us@h:1":                  "socks5://us@h:1",
		"http://us:secret@proxy:3128":      "http://us:…@proxy:3128",
		"tor":                              "tor://127.0.0.1:9050",
		"tor://":                           "tor://127.0.0.1:9050",
		"socks5://us:secret@h:1/?via=tun0": "socks5://us:…@h:1?via=tun0",
		"tor://?via=tun0":                  "tor://127.0.0.1:9050?via=tun0",
		"http://h:1?via=Ethernet 2":        "http://h:1?via=Ethernet 2",
		"socks5://us:secret@h:1?via=":      "",
		"socks5://us:secret@h:1?via=a/b":   "",
		"socks5://us:secret@h:1?x=secret2": "",
		"tor://[::1]:9150":                 "tor://[::1]:9150",
		"0.0.0.0":                          "",
		"::":                               "",
		"224.0.0.1":                        "",
		"interface:":                       "",
		"if:a/b":                           "",
		"if:tun0?dns=":                     "",
		"if:tun0?dns=name":                 "",
		"if:tun0?dns=10.0.0.1:0":           "",
		"if:tun0?via=x":                    "",
		"socks5://":                        "",
		"socks5://h":                       "",
		"socks5://h:":                      "",
		"socks5://h:0":                     "",
		"socks5://h:65536":                 "",
		"socks5://h:http":                  "",
		"socks5://:1080":                   "",
		"socks5://[fe80::1:1080":           "",
		"socks5://a b:1080":                "",
		"socks5://h:1/path":                "",
		"socks5://:secret@h:1":             "",
		"socks5://us:secret%zz@h:1":        "",
		"socks5://us%zz:secret@h:1":        "",
		"socks5://us:secret@":              "",
		"socks5://us:secret@h:x":           "",
		"http://us%3ax:secret@h:1":         "",
		"tor://us:secret@h:1":              "",
		"socks4://us:secret@h:1":           "",
		"https://us:secret@h:1":            "",
		"sokcs5://us:secret@h:1":           "",
		"us:secret@socks5://h:1":           "",
		"us:secret@h:1080":                 "",
		"tun0":                             "",
		"socks5:h:1080":                    "",
		"socks5://" + strings.Repeat("u", 256) + ":secret@h:1": "",
		"socks5://u:" + strings.Repeat("secret", 50) + "@h:1":  "",
	} {
		r, err := netx.ParseRoute(text)
		if (err == nil) != (want != "") || err == nil && r.String() != want {
			t.Errorf("%q: %v, %v, want %q", text, r, err, want)
		}
		for _, said := range []string{fmt.Sprint(err), fmt.Sprintf("%v %+v %#v %s", r, r, &r, &r)} {
			if strings.Contains(said, "secret") {
				t.Errorf("%q: the password is told: %s", text, said)
			}
		}
		if err == nil && r.Direct() != (want == "direct") {
			t.Errorf("%q: Direct is %v", text, r.Direct())
		}
		if err == nil && !strings.Contains(want, "…") {
			if again, err := netx.ParseRoute(want); err != nil || again != r {
				t.Errorf("%q: read again: %v, %v", want, again, err)
			}
		}
	}
}

func TestRouteOpen(t *testing.T) {
	server := echoServer(t, host(), "127.0.0.1:0")
	p := proxytest.SOCKS5(t, host(), proxytest.Options{})
	h := proxytest.HTTP(t, host(), proxytest.Options{})
	for _, route := range []string{"", "127.0.0.1", "socks5://" + p.Addr(), "tor://" + p.Addr(), "http://" + h.Addr()} {
		r, err := netx.ParseRoute(route)
		if err != nil {
			t.Fatal(err)
		}
		n, err := r.Open(netx.Options{Bind: netip.MustParseAddr("127.0.0.1")})
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.Dial(t.Context(), "tcp", server.String())
		if err != nil {
			t.Fatalf("%s: %v", route, err)
		}
		talk(t, c)
		c.Close()
	}
	for _, route := range []string{"127.0.0.1", "interface:lo", "socks5://127.0.0.1:1?via=lo"} {
		r, err := netx.ParseRoute(route)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.Over(host()); err == nil {
			t.Errorf("%s over something: %v", route, n)
		}
	}
	direct, _ := netx.ParseRoute("direct")
	if under := host(); must(direct.Over(under)) != netx.Network(under) {
		t.Error("direct is not what is under it")
	}
}

func must(n netx.Network, err error) netx.Network {
	if err != nil {
		panic(err)
	}
	return n
}

// A proxy may itself be reached through another.
func TestRouteOverARoute(t *testing.T) {
	server := echoServer(t, host(), "127.0.0.1:0")
	first, second := proxytest.HTTP(t, host(), proxytest.Options{}), proxytest.SOCKS5(t, host(), proxytest.Options{})
	one, w := open(t, host(), "http://"+first.Addr())
	two, _ := open(t, one, "socks5://"+second.Addr())
	c, err := two.Dial(t.Context(), "tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	talk(t, c)
	c.Close()
	if c.RemoteAddr().String() != server.String() || first.Requests()[0].Target != second.Addr() || second.Requests()[0].Target != server.String() {
		t.Errorf("to %v by way of %v, %v", c.RemoteAddr(), first.Requests(), second.Requests())
	}
	if _, err := two.ListenPacket(t.Context(), "udp", ":0"); !errors.Is(err, netx.ErrNoPackets) {
		t.Errorf("packets over TCP: %v", err)
	}
	w.wantOnly(t, first.Addr())
}

// A device fails closed: without it nothing is sent anywhere. That what it sends goes out by it alone is tested in interop, with
// real interfaces.
func TestDeviceThatIsNotThere(t *testing.T) {
	r, err := netx.ParseRoute("interface:nosuch0?dns=127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Open(netx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantDown := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, netx.ErrRouteDown) || !strings.Contains(err.Error(), "nosuch0") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, network := range []string{"tcp", "udp"} {
		_, err := n.Dial(t.Context(), network, "192.0.2.1:9")
		wantDown("dial "+network, err)
	}
	_, err = n.Listen(t.Context(), "tcp", ":0")
	wantDown("listen", err)
	_, err = n.ListenPacket(t.Context(), "udp", ":0")
	wantDown("packets", err)
	_, err = n.(netx.PacketSharer).ListenPacketShared(t.Context(), "udp", ":0")
	if !errors.Is(err, errors.ErrUnsupported) {
		wantDown("shared packets", err)
	}
	_, err = netx.Probe(t.Context(), n)
	wantDown("probe", err)
	for what, f := range map[string]func() error{
		"dial a name":            func() error { _, err := n.Dial(t.Context(), "tcp", "name.example:80"); return err },
		"resolve":                func() error { _, err := n.Resolve(t.Context(), "name.example"); return err },
		"dial loopback":          func() error { _, err := n.Dial(t.Context(), "tcp", "127.0.0.1:80"); return err },
		"listen on loopback":     func() error { _, err := n.Listen(t.Context(), "tcp", "127.0.0.1:0"); return err },
		"listen on a name":       func() error { _, err := n.Listen(t.Context(), "tcp", "localhost:0"); return err },
		"packets without a port": func() error { _, err := n.ListenPacket(t.Context(), "udp", "127.0.0.1"); return err },
	} {
		if err := f(); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if as, err := n.Resolve(t.Context(), "192.0.2.1"); err != nil || len(as) != 1 {
		t.Errorf("an address: %v, %v", as, err)
	}
	if got := netx.TraitsOf(n); got != (netx.Traits{Listens: true, Packets: true, Resolves: true}) {
		t.Errorf("%+v", got)
	}
}

// The loopback interface is one like any other, and the only one that every machine has.
func TestDeviceLoopback(t *testing.T) {
	name := map[string]string{"linux": "lo", "darwin": "lo0", "windows": "Loopback Pseudo-Interface 1"}[runtime.GOOS]
	d := netx.NewDevice(name, netip.AddrPort{}, netx.Options{})
	if _, err := netx.Probe(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	server := echoServer(t, d, "127.0.0.1:0")
	c, err := d.Dial(t.Context(), "tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	talk(t, c)
	c.Close()
	packets := echoPackets(t, d, "127.0.0.1:0")
	c, err = d.Dial(t.Context(), "udp", packets.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("x"))
	if n, err := c.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Error(n, err)
	}
}
