//go:build linux

package interop

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/netx"
	"shoal/internal/portmap"
)

// The router's addresses, and that of who is outside. miniupnpd does nothing where its own is a private one; nothing leaves the namespaces.
const (
	routerLAN, routerWAN, outsideAddr = "10.81.0.1", "11.82.0.1", "11.82.0.2"
	mapperAddr                        = "10.81.0.2"
	mappedPort                        = 20000
)

// routerRules are those of a home router, with the chains that miniupnpd fills. What a test blocks goes into input.
const routerRules = `
table inet filter {
	chain input { type filter hook input priority 0; policy accept; }
	chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname lan accept; jump miniupnpd; }
	chain miniupnpd {}
	chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
	chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
	chain prerouting_miniupnpd {}
	chain postrouting_miniupnpd {}
}
`

// TestPortMapping: miniupnpd, which is in most routers at home, opens our ports by each of its protocols, and closes them when we end.
func TestPortMapping(t *testing.T) {
	if !alone(t) {
		return
	}
	router, outside := newNamespace(t), newNamespace(t)
	ip(t, fmt.Sprintf("link add lan type veth peer name lan netns %d", router.pid), "addr add "+mapperAddr+"/24 dev lan", "link set lan up",
		"route add default via "+routerLAN)
	router.ip(t, "link set lo up", "addr add "+routerLAN+"/24 dev lan", "link set lan up",
		fmt.Sprintf("link add wan type veth peer name wan netns %d", outside.pid), "addr add "+routerWAN+"/24 dev wan", "link set wan up")
	outside.ip(t, "addr add "+outsideAddr+"/24 dev wan", "link set wan up")
	router.run(t, "", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")

	home := t.TempDir()
	config := filepath.Join(home, "miniupnpd.conf")
	must(t, os.WriteFile(config, []byte(strings.Join([]string{
		"ext_ifname=wan", "listening_ip=lan", "http_port=5000", "enable_natpmp=yes", "enable_upnp=yes",
		"secure_mode=yes", "uuid=00000000-0000-0000-0000-000000000001", "allow 1024-65535 0.0.0.0/0 1024-65535", "deny 0-65535 0.0.0.0/0 0-65535", "",
	}, "\n")), 0o644))
	needProgram(t, "nft", "nftables")
	router.run(t, routerRules, "nft", "-f", "-")
	p := start(t, "miniupnpd", home, false, needProgram(t, "nsenter", "util-linux"), "-t", fmt.Sprint(router.pid), "-n",
		needProgram(t, "miniupnpd", "miniupnpd-nftables"), "-d", "-f", config, "-P", filepath.Join(home, "pid"))

	l, err := net.Listen("tcp4", fmt.Sprintf(":%d", mappedPort))
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for _, c := range []struct{ protocol, block string }{
		{"PCP", ""},
		{"NAT-PMP", "udp dport 5351 @th,64,8 2 drop"}, // requests of version 2
		{"UPnP", "udp dport 5351 drop"},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			if c.block != "" {
				router.run(t, "", "nft", "add", "rule", "inet", "filter", "input", c.block)
			}
			mapping(t, p, outside, c.protocol)
		})
	}
}

// mapping has a mapper open the port, tries it from outside, and has it closed.
func mapping(t *testing.T, p *process, outside *namespace, protocol string) {
	m, err := portmap.New(portmap.Config{Network: netx.NewHost(netx.Options{}), TCP: mappedPort, UDP: mappedPort})
	must(t, err)
	defer m.Close()
	var s portmap.Side
	waitFor(t, "the mapping", p, func() (bool, error) {
		s = m.Status().IPv4
		return s.Open(), fmt.Errorf("%+v", s)
	})
	s.Expires = time.Time{}
	if want := (portmap.Side{Protocol: protocol, Gateway: netip.MustParseAddr(routerLAN), Local: netip.MustParseAddr(mapperAddr),
		External: netip.MustParseAddr(routerWAN), TCP: mappedPort, UDP: mappedPort}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	reach := func() (err error) {
		outside.do(t, func() error {
			var c net.Conn
			if c, err = net.DialTimeout("tcp4", fmt.Sprintf("%s:%d", routerWAN, mappedPort), time.Second); err == nil {
				c.Close()
			}
			return nil
		})
		return err
	}
	if err := reach(); err != nil {
		t.Errorf("from outside: %v", err)
	}
	must(t, m.Close())
	if err := reach(); err == nil {
		t.Error("the port is left open")
	}
}

// run runs a program inside the namespace.
func (n *namespace) run(t *testing.T, stdin, name string, args ...string) {
	t.Helper()
	cmd := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(n.pid), "-n", name}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}
