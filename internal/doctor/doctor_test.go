package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/database"
	"shoal/internal/dht"
	"shoal/internal/netx"
	"shoal/internal/netx/sockets"
	"shoal/internal/portmap"
)

// fake is a network of which tests say how it fails.
type fake struct {
	traits netx.Traits
	probe  error
	dial   func(network, addr string) (net.Conn, error)
	packet func() (net.PacketConn, error)
}

func (f *fake) Traits() netx.Traits                                   { return f.traits }
func (f *fake) Probe(context.Context) (netx.Traits, error)            { return f.traits, f.probe }
func (f *fake) Resolve(context.Context, string) ([]netip.Addr, error) { return nil, netx.ErrNoResolve }
func (f *fake) Listen(context.Context, string, string) (net.Listener, error) {
	return nil, netx.ErrNoListen
}

func (f *fake) Dial(_ context.Context, network, addr string) (net.Conn, error) {
	if f.dial == nil {
		return nil, errors.New("no way")
	}
	return f.dial(network, addr)
}

func (f *fake) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	if f.packet == nil {
		return nil, netx.ErrNoPackets
	}
	return f.packet()
}

// conn is a connection that has a local address and nothing else.
type conn struct {
	net.Conn
	local string
}

func (c conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(c.local)) }
func (c conn) Close() error        { return nil }

type packetConn struct {
	net.PacketConn
	local string
}

func (c packetConn) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(c.local))
}
func (c packetConn) Close() error { return nil }

var everything = netx.Traits{Listens: true, Packets: true, Resolves: true, Local: true}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// sound is an environment with nothing wrong, for tests to break.
func sound(t *testing.T) *Environment {
	t.Helper()
	m := thisMachine()
	m.addresses = func() []netip.Addr {
		return []netip.Addr{addr("127.0.0.1"), addr("::1"), addr("192.168.1.2"), addr("2001:db9::2")}
	}
	m.sockets = func() ([]sockets.Socket, error) {
		return []sockets.Socket{{Network: "udp", Local: netip.MustParseAddrPort("[::]:7000"), ReadBuffer: netx.SocketBuffer, WriteBuffer: netx.SocketBuffer}}, nil
	}
	m.files = func() (uint64, uint64, error) { return 65536, 65536, nil }
	m.free = func(string) (int64, string, error) { return 100 << 30, "/", nil }
	facts := Facts{
		Listen: netip.MustParseAddrPort("[::]:6881"), Four: 3, Six: 1, PortMapped: true, Age: time.Hour,
		PortMap: portmap.Status{IPv4: portmap.Side{Protocol: "PCP", External: addr("203.0.113.9"), TCP: 6881}},
		DHT:     &dht.Status{Families: []dht.Family{{Name: "ipv4", Nodes: 200, External: "203.0.113.9"}, {Name: "ipv6", Nodes: 20}}},
	}
	dir := t.TempDir()
	return &Environment{
		Network: &fake{
			traits: everything,
			dial:   func(string, string) (net.Conn, error) { return conn{local: "127.0.0.1:1"}, nil },
			packet: func() (net.PacketConn, error) { return packetConn{local: "[::]:7000"}, nil },
		},
		Facts: func() Facts { return facts }, Downloads: dir, State: dir, Floor: 1 << 30, MaxPeers: 500, machine: m,
	}
}

// change has the session know something else.
func (e *Environment) change(f func(*Facts)) {
	before := e.Facts()
	st := *before.DHT
	st.Families = append([]dht.Family{}, st.Families...)
	before.DHT = &st
	f(&before)
	e.Facts = func() Facts { return before }
}

// Where nothing is wrong, nothing is found; what cannot be looked at is skipped with a reason.
func TestSound(t *testing.T) {
	for _, r := range Run(t.Context(), *sound(t)) {
		want := OK
		if r.ID == "leak" {
			want = Skip // there is no route
		}
		if r.Status != want || r.Message == "" || r.Remedy != "" || r.Title == "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestNothingNamed(t *testing.T) {
	results := Run(t.Context(), Environment{})
	for _, r := range results {
		if r.Status != Skip && r.ID != "clock" && r.ID != "open_files" {
			t.Errorf("%+v", r)
		}
	}
	if failed(results) {
		t.Error("failed")
	}
}

// fault is one thing broken, and what is found then.
type fault struct {
	name   string
	break_ func(*Environment)
	id     string
	status Status
	say    string // in the message
	remedy string
}

func (f *fault) run(t *testing.T) {
	e := sound(t)
	f.break_(e)
	i := slices.IndexFunc(checks, func(c check) bool { return c.id == f.id })
	r := checks[i].look(t.Context(), e)
	if r.status != f.status || !strings.Contains(r.message, f.say) || !strings.Contains(r.remedy, f.remedy) {
		t.Errorf("%+v", r)
	}
	if (r.status == Fail || r.status == Warn) != (r.remedy != "") {
		t.Errorf("%s: remedy %q", r.status, r.remedy)
	}
}

var errDown = fmt.Errorf("%w: proxy: refused", netx.ErrRouteDown)

var networkFaults = []fault{
	{"no way in", func(e *Environment) {
		e.change(func(f *Facts) { f.Four, f.PortMap.IPv4 = 0, portmap.Side{Problem: "PCP: no\nno gateway answers"} })
	}, "port_ipv4", Warn, "the router does not open it: PCP: no, no gateway answers", "forward port 6881, TCP and UDP"},
	{"router not asked", func(e *Environment) {
		e.change(func(f *Facts) { f.Four, f.PortMapped, f.PortMap = 0, false, portmap.Status{} })
	}, "port_ipv4", Warn, "is not asked", "network.port_map = true"},
	{"router has opened", func(e *Environment) { e.change(func(f *Facts) { f.Four = 0 }) }, "port_ipv4", OK, "opened port 6881 by PCP", ""},
	{"public address", func(e *Environment) { e.change(func(f *Facts) { f.Six = 0 }) }, "port_ipv6", OK, "public address 2001:db9::2", ""},
	{"IPv6 firewall", func(e *Environment) {
		e.change(func(f *Facts) { f.Six = 0 })
		e.machine.addresses = func() []netip.Addr { return []netip.Addr{addr("fd00::1")} }
	}, "port_ipv6", Warn, "nobody has come in", "IPv6 firewall"},
	{"no IPv6", func(e *Environment) {
		e.machine.addresses = func() []netip.Addr { return []netip.Addr{addr("fe80::1")} }
	}, "port_ipv6", Skip, "no address of IPv6", ""},
	{"IPv4 only", func(e *Environment) { e.change(func(f *Facts) { f.Listen = netip.MustParseAddrPort("192.168.1.2:1") }) }, "port_ipv6", Skip, "192.168.1.2 alone", ""},
	{"loopback only", func(e *Environment) { e.change(func(f *Facts) { f.Listen = netip.MustParseAddrPort("127.0.0.1:1") }) }, "port_ipv4", Skip, "this machine alone", ""},
	{"deaf", func(e *Environment) { e.Network.(*fake).dial = nil }, "port_ipv4", Fail, "our own port does not answer: no way", "firewall"},
	{"no listener", func(e *Environment) { e.change(func(f *Facts) { f.Listen = netip.AddrPort{} }) }, "port_ipv4", Fail, "no port", "network.listen"},
	{"proxy takes nobody", func(e *Environment) { e.Network.(*fake).traits.Listens = false }, "port_ipv4", Skip, "takes no incoming", ""},
	{"no session", func(e *Environment) { e.Facts = nil }, "port_ipv4", Skip, "no session", ""},

	{"provider's NAT", func(e *Environment) { e.change(func(f *Facts) { f.PortMap.IPv4.External = addr("100.70.1.1") }) }, "nat", Warn, "100.70.1.1, which is no public", "port_file"},
	{"two NATs", func(e *Environment) { e.change(func(f *Facts) { f.PortMap.IPv4.External = addr("198.51.100.1") }) }, "nat", Warn, "others see us at 203.0.113.9", "provider"},
	{"no NAT", func(e *Environment) {
		e.machine.addresses = func() []netip.Addr { return []netip.Addr{addr("203.0.113.9")} }
	}, "nat", OK, "none", ""},
	{"router only", func(e *Environment) { e.change(func(f *Facts) { f.DHT = nil }) }, "nat", OK, "public address 203.0.113.9", ""},
	{"DHT only", func(e *Environment) { e.change(func(f *Facts) { f.PortMap = portmap.Status{} }) }, "nat", OK, "others see us", ""},
	{"nobody tells", func(e *Environment) { e.change(func(f *Facts) { f.DHT, f.PortMap = nil, portmap.Status{} }) }, "nat", Skip, "neither", ""},

	{"DHT alone", func(e *Environment) {
		e.change(func(f *Facts) { f.DHT.Families = f.DHT.Families[:1]; f.DHT.Families[0].Nodes = 0 })
	}, "dht", Fail, "no node answers, 0 over ipv4", "dht_nodes"},
	{"DHT small", func(e *Environment) {
		e.change(func(f *Facts) { f.DHT.Families = f.DHT.Families[:1]; f.DHT.Families[0].Nodes = 3 })
	}, "dht", Warn, "3 nodes", "wait"},
	{"DHT of one's own", func(e *Environment) {
		e.change(func(f *Facts) { f.DHT.Families = nil; f.Age = 0 })
		e.Isolated = true
	}, "dht", Skip, "isolated: 0 nodes", ""},
	{"DHT off", func(e *Environment) { e.change(func(f *Facts) { f.DHT = nil }) }, "dht", Skip, "network.dht", ""},
	{"DHT without UDP", func(e *Environment) {
		e.change(func(f *Facts) { f.DHT = nil })
		e.Network.(*fake).traits.Packets = false
	}, "dht", Skip, "no UDP", ""},

	{"proxy down", func(e *Environment) { e.Network.(*fake).probe = errDown }, "route", Fail, "the route is down", "network.route"},
	{"no interface", func(e *Environment) { e.Device = "shoal-none0" }, "route", Fail, "interface shoal-none0", "ip link"},
	{"interface down", func(e *Environment) {
		e.Device = "wg0"
		e.machine.device = func(string) (bool, []netip.Addr, error) { return false, nil, nil }
	}, "route", Fail, "is down", "ip link set wg0 up"},
	{"interface bare", func(e *Environment) {
		e.Device = "wg0"
		e.machine.device = func(string) (bool, []netip.Addr, error) { return true, nil, nil }
	}, "route", Fail, "no address", "ip addr show wg0"},
	{"names elsewhere", func(e *Environment) { e.Address = addr("10.0.0.2") }, "route", Warn, "names are resolved as the system", "interface:NAME"},
}

// vpn has everything bound to an interface, as new sockets are.
func vpn(e *Environment, local string) {
	e.Device = "wg0"
	e.machine.device = func(string) (bool, []netip.Addr, error) { return true, []netip.Addr{addr("10.8.0.2")}, nil }
	e.Network.(*fake).dial = func(network, _ string) (net.Conn, error) {
		if network == "udp6" {
			return nil, errors.New("no IPv6")
		}
		return conn{local: local}, nil
	}
}

// open has the process have these sockets open.
func open(e *Environment, list ...sockets.Socket) {
	e.machine.sockets = func() ([]sockets.Socket, error) { return list, nil }
}

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

var leakFaults = []fault{
	{"held", func(e *Environment) {
		vpn(e, "10.8.0.2:9")
		e.Serves = []uint16{7462}
		open(e, sockets.Socket{Network: "tcp", Local: at("0.0.0.0:6881"), Device: "wg0", Listening: true}, sockets.Socket{Network: "tcp", Local: at("127.0.0.1:1"), Remote: at("127.0.0.1:2")},
			sockets.Socket{Network: "tcp", Local: at("192.168.1.2:7462"), Remote: at("192.168.1.9:2")})
	}, "leak", OK, "all of the 1 open sockets", ""},
	{"another interface", func(e *Environment) { vpn(e, "192.168.1.2:9") }, "leak", Fail, "192.168.1.2, which is not of interface wg0", "report"},
	{"stray connection", func(e *Environment) {
		vpn(e, "10.8.0.2:9")
		open(e, sockets.Socket{Network: "tcp", Local: at("192.168.1.2:40000"), Remote: at("198.51.100.7:443")})
	}, "leak", Fail, "from 192.168.1.2:40000 to 198.51.100.7:443", "report"},
	{"stray packets", func(e *Environment) {
		vpn(e, "10.8.0.2:9")
		open(e, sockets.Socket{Network: "udp", Local: at("0.0.0.0:6881")})
	}, "leak", Fail, "a udp socket", "report"},
	{"another address", func(e *Environment) {
		e.Address = addr("10.8.0.2")
		e.Network.(*fake).dial = func(string, string) (net.Conn, error) { return conn{local: "192.168.1.2:9"}, nil }
	}, "leak", Fail, "not 10.8.0.2", "report"},
	{"groups of an address", func(e *Environment) {
		e.Address = addr("10.8.0.2")
		e.Network.(*fake).dial = nil
		open(e, sockets.Socket{Network: "udp", Local: at("[::]:6771")}, sockets.Socket{Network: "udp", Local: at("10.8.0.2:6881")})
	}, "leak", OK, "all of the 2", ""},
	{"packets beside the address", func(e *Environment) {
		e.Address = addr("10.8.0.2")
		e.Network.(*fake).dial = nil
		open(e, sockets.Socket{Network: "udp", Local: at("[::]:6881")})
	}, "leak", Fail, "bound to [::]:6881", "report"},
	{"round the proxy", func(e *Environment) {
		e.Proxy = "198.51.100.1:1080"
		open(e, sockets.Socket{Network: "tcp", Local: at("192.168.1.2:1"), Remote: at("198.51.100.1:1080")}, sockets.Socket{Network: "tcp", Local: at("192.168.1.2:2"), Remote: at("203.0.113.1:80")})
	}, "leak", Fail, "to 203.0.113.1:80", "report"},
	{"listening beside the proxy", func(e *Environment) {
		e.Proxy = "198.51.100.1:1080"
		open(e, sockets.Socket{Network: "tcp", Local: at("0.0.0.0:6881"), Listening: true})
	}, "leak", Fail, "0.0.0.0:6881", "report"},
	{"cannot be listed", func(e *Environment) {
		vpn(e, "10.8.0.2:9")
		e.machine.sockets = func() ([]sockets.Socket, error) { return nil, errors.ErrUnsupported }
	}, "leak", Skip, "cannot be listed", ""},
}

var machineFaults = []fault{
	{"clock of 1970", func(e *Environment) { e.machine.now = func() time.Time { return time.Unix(0, 0) } }, "clock", Fail, "1970", "timedatectl"},
	{"clock behind the files", func(e *Environment) {
		name := filepath.Join(e.State, "x")
		if os.WriteFile(name, nil, 0o600) == nil {
			_ = os.Chtimes(name, time.Time{}, time.Now().Add(48*time.Hour))
		}
	}, "clock", Warn, "yet to come", "timedatectl"},
	{"file server's clock", func(e *Environment) {
		e.State = ""
		e.machine.now = func() time.Time { return time.Now().Add(-10 * time.Minute) }
	}, "clock", Warn, "10m0s off", "file server"},

	{"slow disk", func(e *Environment) {
		began := time.Now()
		n := 0
		e.machine.now = func() time.Time { n++; return began.Add(time.Duration(n) * time.Second) }
	}, "disk_speed", Warn, "holds up downloads", "folders.incomplete"},
	{"no room to try", func(e *Environment) {
		e.machine.free = func(string) (int64, string, error) { return 1 << 30, "/", nil }
	}, "disk_speed", Skip, "too little", ""},
	{"disk that fails", func(e *Environment) {
		e.machine.temp = func(dir string) (*os.File, error) {
			name := filepath.Join(dir, "ro")
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				return nil, err
			}
			return os.Open(name) // which cannot be written
		}
	}, "disk_speed", Fail, "writing:", "dmesg"},
	{"not ours", func(e *Environment) { e.machine.temp = func(string) (*os.File, error) { return nil, os.ErrPermission } }, "disk_speed", Fail, "cannot write there: permission denied", "chown"},

	{"below the floor", func(e *Environment) {
		e.machine.free = func(string) (int64, string, error) { return 1 << 29, "/data", nil }
	}, "free_space", Fail, "0.5 GiB are free on /data", "free_space_floor"},
	{"near the floor", func(e *Environment) {
		e.machine.free = func(string) (int64, string, error) { return 3 << 29, "/data", nil }
	}, "free_space", Warn, "downloads wait below 1.0 GiB", "/data"},
	{"no disk", func(e *Environment) {
		e.machine.free = func(string) (int64, string, error) { return 0, "", os.ErrNotExist }
	}, "free_space", Fail, "not exist", "folders.downloads"},

	{"FAT", func(e *Environment) {
		e.machine.features = func(*os.File) (features, error) { return features{name: "FAT", small: true}, nil }
	}, "file_system", Warn, "is FAT, which holds no file larger than 4 GiB", "folders.downloads"},
	{"no holes", func(e *Environment) { e.machine.features = func(*os.File) (features, error) { return features{}, nil } }, "file_system", Warn, "no holes", "ext4"},
	{"cannot reserve", func(e *Environment) {
		e.machine.features = func(*os.File) (features, error) { return features{sparse: true}, nil }
	}, "file_system", OK, "disk.preallocate does nothing", ""},

	{"few files", func(e *Environment) { e.machine.files = func() (uint64, uint64, error) { return 1024, 1024, nil } }, "open_files", Warn, "1024 at once", "LimitNOFILE"},
	{"more can be had", func(e *Environment) {
		e.machine.files = func() (uint64, uint64, error) { return 1024, 9000, nil }
		e.machine.raise = func(uint64) error { return nil }
	}, "open_files", OK, "9000 at once", ""},
	{"more cannot be had", func(e *Environment) {
		e.machine.files = func() (uint64, uint64, error) { return 1024, 9000, nil }
		e.machine.raise = func(uint64) error { return os.ErrPermission }
	}, "open_files", Warn, "1024 at once", "ulimit"},

	{"small buffers", func(e *Environment) {
		open(e, sockets.Socket{Network: "udp", Local: at("[::]:7000"), ReadBuffer: 212992, WriteBuffer: 212992})
	}, "udp_buffers", Warn, "208 KiB to read", "net.core.rmem_max=4194304"},
	{"no UDP", func(e *Environment) { e.Network.(*fake).packet = nil }, "udp_buffers", Skip, "no UDP", ""},

	{"we run", func(e *Environment) { e.Running = true }, "single", OK, "this node", ""},
	{"nobody was here", func(e *Environment) { e.State = filepath.Join(e.State, "none") }, "single", OK, "not there yet", ""},
}

// Each fault is found, and its remedy is named.
func TestFaults(t *testing.T) {
	for _, list := range [][]fault{networkFaults, leakFaults, machineFaults} {
		for _, f := range list {
			t.Run(f.id+"/"+f.name, f.run)
		}
	}
}

func TestTwoNodes(t *testing.T) {
	e := sound(t)
	lock, err := database.Lock(e.State)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if f := single(t.Context(), e); f.status != Warn || !strings.Contains(f.message, fmt.Sprint("process ", os.Getpid())) || !strings.Contains(f.remedy, "--home DIR") {
		t.Errorf("%+v", f)
	}
}

// A session that has just begun is given time, as much as it takes and no more.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := sound(t)
		began := time.Now()
		e.Facts = func() Facts {
			age := time.Since(began)
			f := Facts{Age: age, DHT: &dht.Status{Families: []dht.Family{{Name: "ipv4"}}}}
			if age >= 3*time.Second {
				f.DHT.Families[0].Nodes = 50
			}
			return f
		}
		if f := lookDHT(t.Context(), e); f.status != OK || time.Since(began) > 4*time.Second {
			t.Errorf("%+v after %v", f, time.Since(began))
		}
		began = time.Now()
		e.Facts = func() Facts { return Facts{Age: time.Since(began), DHT: &dht.Status{}} }
		if f := lookDHT(t.Context(), e); f.status != Fail || time.Since(began) != dhtTime {
			t.Errorf("%+v after %v", f, time.Since(began))
		}
	})
}

// What hangs does not hold up the others, and has failed.
func TestHang(t *testing.T) {
	e := sound(t)
	release := make(chan struct{})
	defer close(release)
	e.machine.features = func(*os.File) (features, error) { <-release; return features{}, nil }
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	results := Run(ctx, *e)
	if time.Since(began) > 10*time.Second || !failed(results) {
		t.Errorf("%v: %+v", time.Since(began), results)
	}
	for _, r := range results {
		if r.Status == "" || (r.ID == "file_system") != (r.Message == "it did not end in time") && r.ID != "disk_speed" {
			t.Errorf("%+v", r)
		}
	}
}

// The real machine answers every question, and nothing is left behind.
func TestThisMachine(t *testing.T) {
	dir := t.TempDir()
	e := Environment{Network: netx.NewHost(netx.Options{}), Downloads: dir, Floor: 1, machine: thisMachine()}
	for _, r := range Run(t.Context(), e) {
		t.Logf("%-12s %-4s %s (%.2f s)", r.ID, r.Status, r.Message, r.Took)
		if r.Status == Fail {
			t.Errorf("%+v", r)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

// failed reports whether any check has failed.
func failed(results []Result) bool {
	return slices.ContainsFunc(results, func(r Result) bool { return r.Status == Fail })
}
