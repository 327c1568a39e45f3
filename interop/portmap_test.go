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
	router6, mapper6, outside6        = "2001:db8:81::1", "2001:db8:81::2", "2001:db8:82::2"
	routerLink                        = "fe80::1" // as routers tell of themselves
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

// TestPortMapping: miniupnpd, which is in most routers at home, opens our ports by each of its protocols, and
// pinholes for IPv6, and closes them when we end.
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
	for _, which := range []string{"all", "lan"} {
		must(t, os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", which, "disable_ipv6"), []byte("0"), 0))
	}
	ip(t, "addr add "+mapper6+"/64 dev lan nodad", "route add default via "+routerLink+" dev lan")
	router.ip(t, "addr add "+router6+"/64 dev lan nodad", "addr add "+routerLink+"/64 dev lan nodad", "addr add 2001:db8:82::1/64 dev wan nodad")
	outside.ip(t, "addr add "+outside6+"/64 dev wan nodad", "route add default via 2001:db8:82::1")
	router.run(t, "", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

	home := t.TempDir()
	config := filepath.Join(home, "miniupnpd.conf")
	must(t, os.WriteFile(config, []byte(strings.Join([]string{
		"ext_ifname=wan", "listening_ip=lan", "http_port=5000", "enable_natpmp=yes", "enable_upnp=yes",
		"secure_mode=yes", "ipv6_disable=no", "uuid=00000000-0000-0000-0000-000000000001", "allow 1024-65535 0.0.0.0/0 1024-65535", "deny 0-65535 0.0.0.0/0 0-65535", "",
	}, "\n")), 0o644))
	needProgram(t, "nft", "nftables")
	router.run(t, routerRules, "nft", "-f", "-")
	startDaemon := func() *process {
		return start(t, "miniupnpd", home, false, needProgram(t, "nsenter", "util-linux"), "-t", fmt.Sprint(router.pid), "-n",
			needProgram(t, "miniupnpd", "miniupnpd-nftables"), "-d", "-f", config, "-P", filepath.Join(home, "pid"))
	}
	p := startDaemon()

	l, err := net.Listen("tcp", fmt.Sprintf(":%d", mappedPort))
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
	t.Run("restart", func(t *testing.T) {
		m, err := portmap.New(portmap.Config{Network: netx.NewHost(netx.Options{}), TCP: mappedPort})
		must(t, err)
		defer m.Close()
		open := func() (bool, error) {
			return outside.reaches(routerWAN, mappedPort) == nil, fmt.Errorf("%+v", m.Status())
		}
		waitFor(t, "the mapping", p, open)
		time.Sleep(4 * time.Second) // the router's clock has to say more than right after a start
		p.kill()
		router.run(t, "flush chain inet filter miniupnpd\nflush chain inet filter prerouting_miniupnpd\n", "nft", "-f", "-")
		if ok, _ := open(); ok {
			t.Error("the router has not forgotten the mapping")
		}
		p = startDaemon()
		waitFor(t, "the mapping after a restart", p, open)
	})
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
	waitFor(t, "the mappings", p, func() (bool, error) {
		s := m.Status()
		return s.IPv4.Open() && s.IPv6.Open(), fmt.Errorf("%+v", s)
	})
	six := m.Status().IPv6
	if protocol6 := strings.Replace(protocol, "NAT-PMP", "UPnP", 1); six.Protocol != protocol6 || six.External != netip.MustParseAddr(mapper6) ||
		six.TCP != mappedPort || six.UDP != mappedPort {
		t.Errorf("%+v", six)
	}
	s := m.Status().IPv4
	s.Expires = time.Time{}
	if want := (portmap.Side{Protocol: protocol, Gateway: netip.MustParseAddr(routerLAN), Local: netip.MustParseAddr(mapperAddr),
		External: netip.MustParseAddr(routerWAN), TCP: mappedPort, UDP: mappedPort}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	for _, addr := range []string{routerWAN, mapper6} {
		if err := outside.reaches(addr, mappedPort); err != nil {
			t.Errorf("from outside: %v", err)
		}
	}
	must(t, m.Close())
	for _, addr := range []string{routerWAN, mapper6} {
		if err := outside.reaches(addr, mappedPort); err == nil {
			t.Errorf("the port of %s is left open", addr)
		}
	}
}

// reaches tries to connect from inside the namespace, by a program of its own: do would end the thread that started the router, and the router
// with it.
func (n *namespace) reaches(addr string, port int) error {
	connect := fmt.Sprintf("exec 3<>/dev/tcp/%s/%d", addr, port)
	return exec.Command("nsenter", "-t", fmt.Sprint(n.pid), "-n", "timeout", "1", "bash", "-c", connect).Run()
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
