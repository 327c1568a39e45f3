//go:build linux

package interop

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shoal/internal/netx"
	"shoal/internal/netx/proxytest"
)

// The leak matrix: whole runs of shoal with a route, each led into temptation by one thing that a link, a tracker, a web server, a peer or a
// DHT node says. No packet may leave by any way but the route's, no name server may be asked, nothing may be multicast. How often each case
// is run can be set with LEAK_RUNS.

// leakRuns is how often each case is run by default; `make leak-matrix` runs each 20 times.
const leakRuns = 1

// leakTime is how long a run lasts: what is said has been acted on by then, as the runs without a route show.
const (
	leakTime    = 900 * time.Millisecond
	routersTime = 4 * time.Second // a DHT node asks for routers only when nobody else is found
)

// temptation is one thing that could make shoal go its own way.
type temptation struct {
	name string
	args []string      // of shoal; "MAGNET" begins one, with a hash of its own; "TORRENT" is a file that another field describes
	make []string      // flags of `shoal create` for TORRENT
	with []string      // flags with which it shows even without a route; nil: those that leave nothing else to do
	long time.Duration // how long it takes to show; 0: leakTime
}

// temptations are what is said. Each names other addresses.
var temptations = []temptation{
	{name: "x.pe with an address", args: []string{"get", "MAGNET&x.pe=10.79.1.1:6881"}},
	{name: "x.pe with an IPv6 address", args: []string{"get", "MAGNET&x.pe=[2001:db8:79:1::1]:6881"}},
	{name: "x.pe with a name", args: []string{"get", "MAGNET&x.pe=peer.leak.test:6881"}},
	{name: "--peer", args: []string{"get", "MAGNET", "--peer", "10.79.2.1:6881"}},
	{name: "HTTP tracker by name", args: []string{"get", "MAGNET&tr=http://tracker.leak.test/announce"}},
	{name: "HTTPS tracker by name", args: []string{"get", "MAGNET&tr=https://tracker.leak.test/announce"}},
	{name: "UDP tracker by name", args: []string{"get", "MAGNET&tr=udp://tracker.leak.test:80"}},
	{name: "HTTP tracker by address", args: []string{"get", "MAGNET&tr=http://10.79.3.1/announce"}},
	{name: "UDP tracker by address", args: []string{"get", "MAGNET&tr=udp://10.79.4.1:80"}},
	{name: "HTTP tracker by IPv6 address", args: []string{"get", "MAGNET&tr=http://[2001:db8:79:2::1]/announce"}},
	{name: "UDP tracker by IPv6 address", args: []string{"get", "MAGNET&tr=udp://[2001:db8:79:3::1]:80"}},
	{name: "tracker that redirects to an address", args: []string{"get", "MAGNET&tr=http://10.78.9.9:8000/to/10.79.5.1/announce"}},
	{name: "tracker that redirects to a name", args: []string{"get", "MAGNET&tr=http://10.78.9.9:8000/to/else.leak.test/announce"}},
	{name: "peers of a tracker", args: []string{"get", "MAGNET&tr=http://10.78.9.9:8000/peers/announce"}},
	{name: "IPv6 peers of a tracker", args: []string{"get", "MAGNET&tr=http://10.78.9.9:8000/peers6/announce"}},
	{name: "peers of a tracker by name", args: []string{"get", "MAGNET&tr=http://10.78.9.9:8000/names/announce"}},
	{name: "peers of a UDP tracker", args: []string{"get", "MAGNET&tr=udp://10.78.9.9:8001"}},
	{name: "web seed by name", args: []string{"get", "TORRENT"}, make: []string{"--webseed", "http://web.leak.test/f"}},
	{name: "web seed by address", args: []string{"get", "TORRENT"}, make: []string{"--webseed", "http://10.79.7.1/f"}},
	{name: "web seed that redirects to an address", args: []string{"get", "TORRENT"}, make: []string{"--webseed", "http://10.78.9.9:8000/to/10.79.8.1/f"}},
	{name: "web seed that redirects to a name", args: []string{"get", "TORRENT"}, make: []string{"--webseed", "http://10.78.9.9:8000/to/else.leak.test/f"}},
	{name: "a peer's PEX, addresses, DHT node and hole punching", args: []string{"get", "MAGNET", "--peer", "10.78.9.9:8002"}},
	{name: "DHT node by address", args: []string{"get", "MAGNET", "--dht-node", "10.78.9.9:8003"}, with: []string{"--no-port-map", "--no-lsd"}},
	{name: "DHT node by name", args: []string{"get", "MAGNET", "--dht-node", "node.leak.test:6881"}, with: []string{"--no-port-map", "--no-lsd"}},
	{name: "URL of a torrent by name", args: []string{"get", "http://web.leak.test/t.torrent"}},
	{name: "URL of a torrent that redirects", args: []string{"get", "http://10.78.9.9:8000/to/10.79.9.1/t.torrent"}},
	{name: "nothing but a hash", args: []string{"get", "MAGNET"}, with: []string{"--no-dht"}},
	{name: "public routers of the DHT", args: []string{"get", "MAGNET"}, with: []string{"--no-port-map", "--no-lsd"}, long: routersTime},
	{name: "a seed and its tracker", args: []string{"seed", "TORRENT", "--dir", "CONTENT"}, make: []string{"--tracker", "http://seeds.leak.test/announce"}},
	{name: "a publisher", args: []string{"share", "CONTENT/file", "--update-key", "key"}, with: []string{"--no-port-map", "--no-lsd"}, long: routersTime},
}

// matrix is the test's state.
type matrix struct {
	*testing.T
	far     *namespace
	shoal   string
	content string
	plain   *capture
	tunnel  *capture
	self    *capture
	next    int // number of the next run
	asked   int // packets to proxies
}

// run is one run of shoal, which ends after leakTime, by Ctrl-C or by a crash in turn. wait, if not nil, is called while it runs.
func (m *matrix) run(dir string, t temptation, flags []string, crash bool, meanwhile func()) {
	args := append([]string{}, t.args...)
	for i, a := range args {
		hash := fmt.Sprintf("%040x", 0x1000+len(dir)*7+i) // any
		a = strings.Replace(a, "MAGNET", "magnet:?xt=urn:btih:"+hash, 1)
		a = strings.Replace(a, "CONTENT", m.content, 1)
		args[i] = strings.Replace(a, "TORRENT", filepath.Join(dir, "t.torrent"), 1)
	}
	if t.make != nil {
		out, err := exec.Command(m.shoal, append([]string{"create", filepath.Join(m.content, "file"), "-q", "--v1", "-o", filepath.Join(dir, "t.torrent")}, t.make...)...).CombinedOutput()
		if err != nil {
			m.Errorf("%s: shoal create: %v: %s", t.name, err, out)
			return
		}
	}
	if args[0] == "get" {
		args = append(args, "-o", filepath.Join(dir, "out"))
	}
	cmd := exec.Command(m.shoal, append(args, flags...)...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "XDG_STATE_HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		m.Error(err)
		return
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	if meanwhile != nil {
		meanwhile()
	}
	select {
	case <-done: // it could not begin, or had nothing to do
		return
	case <-time.After(max(leakTime, t.long)):
	}
	if crash {
		cmd.Process.Kill()
	} else {
		cmd.Process.Signal(syscall.SIGINT)
		time.AfterFunc(3*time.Second, func() { cmd.Process.Kill() })
	}
	<-done
}

// strays returns what has left by a way that is not the tunnel, in words.
func (m *matrix) strays() (list []string) {
	for name, c := range map[string]*capture{plain: m.plain, "lo": m.self} {
		packets, _ := c.left()
		for _, p := range packets {
			list = append(list, name+": "+describePacket(p))
		}
	}
	return list
}

// TestLeakMatrix runs every temptation over every route that works, and some over each that does not.
func TestLeakMatrix(t *testing.T) {
	if !alone(t) {
		return
	}
	m := newMatrix(t)
	m.control()
	runs := leakRuns
	if s := os.Getenv("LEAK_RUNS"); s != "" {
		var err error
		runs, err = strconv.Atoi(s)
		must(t, err)
	}
	cases := m.cases()
	for range runs {
		m.all(cases)
	}
	t.Logf("%d cases, %d runs each; %d packets, all to the proxies", len(cases), runs, m.asked)
	if m.asked < runs*len(cases) {
		t.Errorf("only %d packets went to the proxies", m.asked)
	}
}

// leakCase is a temptation on a route.
type leakCase struct {
	name string
	do   func(dir string, crash bool)
}

// all runs every case once, some at a time. What leaves names its case by its address.
func (m *matrix) all(cases []leakCase) {
	const atOnce = 16
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, c := range cases {
		slots <- struct{}{}
		m.next++
		dir := filepath.Join(m.TempDir(), strconv.Itoa(m.next))
		crash := (m.next+i)%2 == 0
		must(m.T, os.Mkdir(dir, 0o755))
		wg.Go(func() {
			defer func() { <-slots }()
			c.do(dir, crash)
			os.RemoveAll(dir)
		})
	}
	wg.Wait()
	if s := m.strays(); len(s) > 0 {
		m.Errorf("%d packets have gone round the routes: %s", len(s), strings.Join(s[:min(len(s), 20)], "\n"))
	}
	packets, _ := m.tunnel.left()
	m.asked += len(packets)
	for _, p := range packets {
		if d := describePacket(p); !strings.Contains(d, "> 10.78.1.2") {
			m.Errorf("by the tunnel, and not to the proxy: %s", d)
		}
	}
}

// control runs each temptation without a route, and looks for the packet that it brings about: else the matrix would prove nothing.
func (m *matrix) control() {
	for i, t := range temptations {
		flags := t.with
		if flags == nil {
			flags = []string{"--isolated", "--no-dht"}
		}
		m.strays()
		dir := filepath.Join(m.TempDir(), fmt.Sprint("control", i))
		must(m.T, os.Mkdir(dir, 0o755))
		m.run(dir, t, flags, true, nil)
		if len(m.strays()) == 0 {
			m.Errorf("%s: nothing left even without a route", t.name)
		}
	}
	m.tunnel.left()
}

// cases are the temptations on the routes.
func (m *matrix) cases() (list []leakCase) {
	add := func(route string, t temptation, flags []string, meanwhile func()) {
		list = append(list, leakCase{route + ": " + t.name, func(dir string, crash bool) { m.run(dir, t, flags, crash, meanwhile) }})
	}
	names := map[string][]netip.AddrPort{}
	for _, n := range []string{"peer", "tracker", "else", "web", "node", "seeds"} {
		names[n+".leak.test"] = []netip.AddrPort{netip.MustParseAddrPort(farAddr + ":8000")}
	}
	socks := m.proxy(proxytest.SOCKS5, proxytest.Options{Names: names})
	tcpOnly := m.proxy(proxytest.SOCKS5, proxytest.Options{Names: names, NoUDP: true})
	http := m.proxy(proxytest.HTTP, proxytest.Options{Names: names})
	for route, flags := range map[string][]string{
		"SOCKS5":             {"--route", "socks5://" + socks},
		"SOCKS5, anonymous":  {"--route", "socks5://" + socks, "--anonymous"},
		"SOCKS5 without UDP": {"--route", "socks5://" + tcpOnly},
		"Tor":                {"--route", "tor://" + tcpOnly},
		"HTTP":               {"--route", "http://" + http},
		"SOCKS5 by a device": {"--route", "socks5://" + socks, "--bind", tunnel},
		"RC4 over SOCKS5":    {"--route", "socks5://" + socks, "--encryption", "require"},
	} {
		for _, t := range temptations {
			add(route, t, flags, nil)
		}
	}
	few := []temptation{temptations[0], temptations[2], temptations[4], temptations[6], temptations[26]}
	for i, f := range proxyFaults { // of TestProxyLeaks
		start := proxytest.SOCKS5
		if strings.HasPrefix(f.scheme, "http") {
			start = proxytest.HTTP
		}
		p := m.proxy(start, proxytest.Options{Faults: map[proxytest.Step]proxytest.Fault{f.step: {Send: []byte(f.send), Hold: f.hold}}})
		add(fmt.Sprint("fault ", i), few[i%len(few)], []string{"--route", f.scheme + p}, nil)
	}
	for i, relay := range relayFaults {
		p := m.proxy(proxytest.SOCKS5, proxytest.Options{Relay: netip.MustParseAddrPort(relay)})
		add("relay "+relay, few[i%len(few)], []string{"--route", "socks5://" + p}, nil)
	}
	for _, t := range few {
		add("no proxy there", t, []string{"--route", "socks5://10.78.1.2:9"}, nil)
		add("a proxy by a name", t, []string{"--route", "socks5://10.78.1.2:9", "--anonymous"}, nil)
		add("no such interface", t, []string{"--bind", "gone0"}, nil)
		list = append(list, leakCase{"a proxy that dies: " + t.name, func(dir string, crash bool) {
			p := proxytest.SOCKS5(m.T, m.far.host(), proxytest.Options{Addr: "10.78.1.2:0", Names: names})
			m.run(dir, t, []string{"--route", "socks5://" + p.Addr()}, crash, func() {
				time.Sleep(leakTime / 3)
				p.Hangup()
			})
		}}, leakCase{"a crash and a second start: " + t.name, func(dir string, _ bool) {
			flags := []string{"--route", "socks5://" + socks, "--dht-node", farAddr + ":8003"}
			m.run(dir, t, flags, true, nil)
			m.run(dir, t, append(flags[:2:2], "--seed"), false, nil)
		}})
	}
	return list
}

// proxy starts a proxy on the far host, which is reached by the tunnel.
func (m *matrix) proxy(start func(testing.TB, netx.Network, proxytest.Options) *proxytest.Proxy, o proxytest.Options) string {
	o.Addr = "10.78.1.2:0"
	return start(m.T, m.far.host(), o).Addr()
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	far := twoWays(t)
	for _, which := range []string{"all", "default", plain, "lo"} {
		must(t, os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", which, "disable_ipv6"), []byte("0"), 0))
	}
	ip(t, "link set lo up", "addr add 2001:db8:78:2::1/64 dev "+plain+" nodad", "route add default via 2001:db8:78:2::2 dev "+plain,
		"neigh add 2001:db8:78:2::2 lladdr 02:00:00:00:00:02 dev "+plain)
	path, err := shoalBinary()
	must(t, err)
	m := &matrix{T: t, far: far, shoal: path, content: t.TempDir()}
	must(t, os.WriteFile(filepath.Join(m.content, "file"), make([]byte, 100_000), 0o644))
	tempters(t, far)
	m.plain, m.tunnel, m.self = watch(t, plain), watch(t, tunnel), watch(t, "lo")
	return m
}
