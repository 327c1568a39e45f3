package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/netx"
	"shoal/internal/simnet"
)

// reaches reports whether the host can be reached from outside.
func (h *home) reaches(port uint16) bool {
	ctx, cancel := context.WithTimeout(h.t.Context(), 3*time.Second)
	defer cancel()
	at := netip.AddrPortFrom(public4, port)
	if h.host.Addr().Is6() {
		at = netip.AddrPortFrom(h.host.Addr(), port)
	}
	c, err := h.outside.Dial(ctx, "tcp", at.String())
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func TestProtocols(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve func(*home)
	}{
		{"PCP", func(h *home) { h.serve(&server{pcp: true}) }},
		{"NAT-PMP", func(h *home) { h.serve(&server{pmp: true}) }},
		{"UPnP", func(h *home) { h.serveUPnP(&upnp{kind: "WANIPConnection:1"}) }},
		{"UPnP", func(h *home) { h.serveUPnP(&upnp{kind: "WANIPConnection:2"}) }},
		{"UPnP", func(h *home) { h.serveUPnP(&upnp{kind: "WANPPPConnection:1"}) }},
		{"PCP", func(h *home) { h.serve(&server{pcp: true, pmp: true}); h.serveUPnP(&upnp{kind: "WANIPConnection:1"}) }},
		{"NAT-PMP", func(h *home) { h.serve(&server{pmp: true, most: 60}) }},
		{"PCP", func(h *home) { h.serve(&server{pcp: true, change: withoutAnnounce}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				c.serve(h)
				m := h.start()
				time.Sleep(5 * time.Second)
				s := m.Status().IPv4
				if s.Protocol != c.name || s.External != public4 || s.Local != own4 || s.TCP != 5000 || s.UDP != 5000 || s.Problem != "" || !s.Open() {
					t.Fatalf("%+v", s)
				}
				if left := time.Until(s.Expires); left <= 0 || left > 2*time.Hour {
					t.Errorf("it ends in %v", left)
				}
				for range 5 {
					if h.open(5000) != "tcp udp" || !h.reaches(5000) {
						t.Fatalf("open: %q", h.open(5000))
					}
					time.Sleep(time.Hour)
				}
				start := time.Now()
				m.Close()
				if took := time.Since(start); took > time.Second {
					t.Errorf("Close took %v", took)
				}
				if s := h.open(5000); s != "" {
					t.Errorf("still open: %s", s)
				}
				if m.Status().IPv4.Open() {
					t.Error("the status says that it is open")
				}
			})
		})
	}
}

// withoutAnnounce makes a server one that does not know PCP's opcode ANNOUNCE.
func withoutAnnounce(reply []byte) [][]byte {
	if len(reply) == pcpHeader && reply[1] == response+opAnnounce {
		reply[3] = unsupportedOpcode
	}
	return [][]byte{reply}
}

// TestPolite: of several protocols one is asked for mappings.
func TestPolite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		s, u := h.serve(&server{pcp: true, pmp: true}), h.serveUPnP(&upnp{kind: "WANIPConnection:1"})
		h.start()
		time.Sleep(24 * time.Hour)
		if actions, _ := u.seen(); slices.Contains(actions, "AddPortMapping") {
			t.Error("UPnP was asked too:", actions)
		}
		if n := s.count(); n > 2*6*24+50 {
			t.Errorf("%d requests in a day", n)
		}
	})
}

// TestTaken: where the port is taken, another is opened.
func TestTaken(t *testing.T) {
	for name, serve := range map[string]func(*home){
		"PCP":     func(h *home) { h.serve(&server{pcp: true}) },
		"NAT-PMP": func(h *home) { h.serve(&server{pmp: true}) },
		"UPnP":    func(h *home) { h.serveUPnP(&upnp{kind: "WANIPConnection:1"}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHome(t)
			serve(h)
			for _, proto := range []string{"tcp", "udp"} {
				if _, err := h.nat.Map(proto, 5000, netip.AddrPortFrom(own4.Next(), 5000), 0); err != nil {
					t.Fatal(err)
				}
			}
			m := h.start()
			time.Sleep(5 * time.Second)
			s := m.Status().IPv4
			if s.TCP == 0 || s.TCP == 5000 || !h.reaches(s.TCP) || !strings.Contains(h.open(s.UDP), "udp") {
				t.Errorf("%s: %+v", name, s)
			}
			time.Sleep(3 * time.Hour)
			if again := m.Status().IPv4; again.TCP != s.TCP || again.UDP != s.UDP {
				t.Errorf("%s: %+v, then %+v", name, s, again)
			}
		})
	}
}

// TestReset: what a gateway has forgotten it is asked for again: at once if it tells, else at the next check.
func TestReset(t *testing.T) {
	for _, c := range []struct {
		server *server
		tell   bool
		within time.Duration
	}{
		{&server{pmp: true}, true, 3 * time.Second},
		{&server{pcp: true}, true, 3 * time.Second},
		{&server{pmp: true}, false, checkPause},
		{&server{pcp: true}, false, checkPause},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHome(t)
			s := h.serve(c.server)
			h.start()
			time.Sleep(time.Hour)
			s.restart(c.tell)
			if h.open(5000) != "" {
				t.Fatal("it has not forgotten")
			}
			time.Sleep(c.within + time.Second)
			if got := h.open(5000); got != "tcp udp" {
				t.Errorf("pmp %v, told %v: open is %q", c.server.pmp, c.tell, got)
			}
		})
	}
}

// TestNewsFlood: who shouts that the gateway has begun anew makes us ask now and then, no more.
func TestNewsFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		s := h.serve(&server{pmp: true})
		h.start()
		time.Sleep(time.Minute)
		before := s.count()
		for range 6000 {
			s.conn.WriteTo([]byte{0, 128, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, net.UDPAddrFromAddrPort(news4))
			time.Sleep(10 * time.Millisecond)
		}
		if got := s.count() - before; got > 4*10 {
			t.Errorf("%d requests in a minute of shouting", got)
		}
	})
}

// TestNobody: without a gateway that answers nothing is open, the person is told why, and one that comes later is found.
func TestNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		m := h.start()
		time.Sleep(10 * time.Second)
		s := m.Status()
		for _, name := range []string{"PCP", "NAT-PMP", "UPnP"} {
			if !strings.Contains(s.IPv4.Problem, name) {
				t.Errorf("%q does not tell of %s", s.IPv4.Problem, name)
			}
		}
		if s.IPv4.Open() || s.IPv6.Problem != errNoGateway.Error() {
			t.Errorf("%+v", s)
		}
		h.serve(&server{pmp: true})
		time.Sleep(time.Minute)
		if !h.reaches(5000) {
			t.Errorf("%+v", m.Status().IPv4)
		}
	})
}

// TestSlow: a gateway that takes its time is waited for, one that takes too long is given up, and neither keeps Close.
func TestSlow(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		open  bool
	}{{300 * time.Millisecond, true}, {time.Second, true}, {10 * time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			h := newHome(t)
			h.serve(&server{pmp: true, delay: c.delay})
			m := h.start()
			time.Sleep(2 * time.Minute)
			if s := m.Status().IPv4; s.Open() != c.open || !c.open && s.Problem == "" {
				t.Errorf("%v: %+v", c.delay, s)
			}
			start := time.Now()
			m.Close()
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("%v: Close took %v", c.delay, took)
			}
		})
	}
}

// TestSilentAtClose: a gateway that has gone does not keep Close.
func TestSilentAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		s := h.serve(&server{pcp: true})
		m := h.start()
		time.Sleep(5 * time.Second)
		s.setChange(func([]byte) [][]byte { return nil })
		start := time.Now()
		m.Close()
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("Close took %v", took)
		}
		h2 := newHome(t)
		m2 := h2.start() // nobody there
		time.Sleep(time.Second)
		start = time.Now()
		m2.Close()
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("Close in the middle of a try took %v", took)
		}
	})
}

// TestCloseWhileOpening: what is granted while the mapper is closed is given back.
func TestCloseWhileOpening(t *testing.T) {
	for i := range 12 {
		synctest.Test(t, func(t *testing.T) {
			h := newHome(t)
			h.serve(&server{pcp: true})
			m := h.start()
			time.Sleep(time.Duration(i*2)*time.Millisecond + time.Microsecond)
			m.Close()
			time.Sleep(time.Second)
			if got := h.open(5000); got != "" {
				t.Errorf("after %d: %s is open", i, got)
			}
		})
	}
}

// TestLiars: a gateway's nonsense opens nothing, and breaks nothing.
func TestLiars(t *testing.T) {
	edit := func(f func(b []byte)) func([]byte) [][]byte {
		return func(reply []byte) [][]byte {
			if reply != nil {
				f(reply)
			}
			return [][]byte{reply}
		}
	}
	for name, s := range map[string]*server{
		"short":               {pmp: true, change: func(b []byte) [][]byte { return [][]byte{b[:min(len(b), 5)]} }},
		"empty":               {pcp: true, change: func([]byte) [][]byte { return [][]byte{{}} }},
		"echo of a request":   {pmp: true, change: edit(func(b []byte) { b[1] &^= 128 })},
		"another version":     {pcp: true, change: edit(func(b []byte) { b[0] = 3 })},
		"PCP, wrong nonce":    {pcp: true, change: edit(func(b []byte) { last(b, 36) })},
		"PCP, port 0":         {pcp: true, change: edit(func(b []byte) { zero(b, 42, 44) })},
		"PCP, no time":        {pcp: true, change: edit(func(b []byte) { zero(b, 4, 8) })},
		"PCP, refused":        {pcp: true, change: edit(func(b []byte) { b[3] = 2 })},
		"NAT-PMP, refused":    {pmp: true, change: edit(func(b []byte) { b[3] = 3 })},
		"NAT-PMP, port 0":     {pmp: true, change: edit(func(b []byte) { zero(b, 10, 12) })},
		"NAT-PMP, other port": {pmp: true, change: edit(func(b []byte) { zero(b, 8, 10) })},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHome(t)
			h.serve(s)
			m := h.start()
			time.Sleep(time.Hour)
			if st := m.Status().IPv4; st.Open() || st.Problem == "" {
				t.Errorf("%s: %+v", name, st)
			}
			if n := s.count(); n > 400 {
				t.Errorf("%s: %d requests in an hour", name, n)
			}
		})
	}
}

func zero(b []byte, from, to int) {
	if len(b) >= to {
		clear(b[from:to])
	}
}

func last(b []byte, n int) {
	if len(b) > n {
		b[n-12] ^= 1
	}
}

// TestForeigner: what others than the gateway send is not taken for its answer.
func TestForeigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		other := h.nat.Host(own4.Next(), simnet.Link{})
		p := &place{network: h.host, gateway: h.nat.Gateway().Addr(), local: own4}
		var taken atomic.Int32
		go func() {
			c, _ := other.ListenPacket(t.Context(), "udp", ":5351")
			for port := 32768; port < 32800; port++ {
				c.WriteTo([]byte{0, 128, 0, 0, 0, 0, 0, 1, 6, 6, 6, 6}, net.UDPAddrFromAddrPort(netip.AddrPortFrom(own4, uint16(port))))
			}
			c.Close()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := p.exchange(ctx, []byte{0, 0}, func([]byte) (bool, error) { taken.Add(1); return true, nil })
		if err != errNoAnswer || taken.Load() != 0 {
			t.Error(err, taken.Load())
		}
	})
}

func TestPermanentLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.serveUPnP(&upnp{kind: "WANIPConnection:1", refuse: map[string]int{"lease": onlyForever}})
		m := h.start()
		time.Sleep(5 * time.Second)
		if s := m.Status().IPv4; !s.Open() || !s.Expires.IsZero() || h.open(5000) != "tcp udp" {
			t.Errorf("%+v", s)
		}
		h.nat.Reset()
		time.Sleep(checkPause + time.Second)
		if h.open(5000) != "tcp udp" {
			t.Error("a mapping for ever was lost for ever")
		}
		m.Close()
		if got := h.open(5000); got != "" {
			t.Error("still open:", got)
		}
	})
}

// TestHostileUPnP: what a device says of itself leads nowhere else and costs little.
func TestHostileUPnP(t *testing.T) {
	const trap = "203.0.113.99" // home.outside
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	}
	for name, u := range map[string]*upnp{
		"location elsewhere":    {location: "http://" + trap + "/root.xml"},
		"location by name":      {location: "http://router/root.xml"},
		"location of https":     {location: "https://192.168.1.1/root.xml"},
		"location of this host": {location: "http://127.0.0.1/root.xml"},
		"control elsewhere":     {describe: say(fmt.Sprintf(devices, "WANIPConnection:1", "http://"+trap+"/control"))},
		"base elsewhere":        {describe: say("<a><URLBase>http://" + trap + "/</URLBase><serviceType>" + serviceURN + "WANIPConnection:1</serviceType><controlURL>//" + trap + "/c</controlURL></a>")},
		"redirect": {describe: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+trap+"/", http.StatusFound)
		}},
		"endless":                 {describe: func(w http.ResponseWriter, r *http.Request) { endless(w, r, "<a>") }},
		"endless text":            {describe: func(w http.ResponseWriter, r *http.Request) { endless(w, r, "aaaaaaaaaaaaaaaa") }},
		"silent":                  {describe: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"no XML":                  {describe: say("\x00\xff<<<>>>")},
		"entities":                {describe: say(`<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>`)},
		"no such service":         {describe: say("<a><serviceType>x</serviceType><controlURL>/control</controlURL></a>")},
		"refuses":                 {kind: "WANIPConnection:1", refuse: map[string]int{"AddPortMapping": 606}},
		"always taken":            {kind: "WANIPConnection:1", refuse: map[string]int{"AddPortMapping": portTaken}},
		"always permanent leases": {kind: "WANIPConnection:1", refuse: map[string]int{"AddPortMapping": onlyForever}},
		"no address":              {kind: "WANIPConnection:1", refuse: map[string]int{"GetExternalIPAddress": 501}},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHome(t)
			l, err := h.outside.Listen(t.Context(), "tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				if c, err := l.Accept(); err == nil {
					t.Errorf("%s: we were sent elsewhere", name)
					c.Close()
				}
			}()
			h.serveUPnP(u)
			m := h.start()
			time.Sleep(time.Minute)
			if s := m.Status().IPv4; s.Open() || !strings.Contains(s.Problem, "UPnP") {
				t.Errorf("%s: %+v", name, s)
			}
			if actions, _ := u.seen(); len(actions) > 40 {
				t.Errorf("%s: %d actions", name, len(actions))
			}
			m.Close()
		})
	}
}

// endless writes until nobody reads.
func endless(w http.ResponseWriter, r *http.Request, text string) {
	for r.Context().Err() == nil {
		if _, err := fmt.Fprint(w, strings.Repeat(text, 1000)); err != nil {
			return
		}
	}
}

// TestPinhole: IPv6 by PCP.
func TestPinhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome6(t)
		h.serve(&server{pcp: true})
		m := h.start()
		time.Sleep(5 * time.Second)
		if s := m.Status().IPv6; s.Protocol != "PCP" || s.External != own6 || s.TCP != 5000 || s.UDP != 5000 || s.Problem != "" {
			t.Fatalf("%+v", s)
		}
		time.Sleep(5 * time.Hour)
		if !h.reaches(5000) || h.open(5000) != "tcp udp" {
			t.Error("the pinhole is closed")
		}
		m.Close()
		if h.open(5000) != "" {
			t.Error("the pinhole is left open")
		}
	})
}

// TestUPnPPinhole: IPv6 by UPnP.
func TestUPnPPinhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome6(t)
		u := h.serveUPnP(&upnp{kind: "WANIPv6FirewallControl:1"})
		m := h.start()
		time.Sleep(8 * time.Second)
		if s := m.Status().IPv6; s.Protocol != "UPnP" || s.External != own6 || s.TCP != 5000 || s.UDP != 5000 || s.Problem != "" {
			t.Fatalf("%+v", s)
		}
		if _, open := u.seen(); !open["6 "+own6.String()+" 5000 7200"] || !open["17 "+own6.String()+" 5000 7200"] {
			t.Error(open)
		}
		time.Sleep(time.Hour)
		if actions, open := u.seen(); len(open) != 2 || !slices.Contains(actions, "UpdatePinhole") {
			t.Error(open, actions)
		}
		m.Close()
		if _, open := u.seen(); len(open) != 0 {
			t.Error("left open:", open)
		}
	})
}

// TestChanged: who wants to know is told of a new address, and not of each renewal.
func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		s := h.serve(&server{pmp: true})
		var told []Side
		m, err := New(Config{Network: h.host, TCP: 5000, Gateways: func() []netip.Addr { return []netip.Addr{h.nat.Gateway().Addr()} },
			Changed: func(s Status) {
				if s.IPv6 != (Side{Problem: errNoGateway.Error()}) && s.IPv6 != (Side{}) {
					t.Errorf("%+v", s.IPv6)
				}
				if len(told) == 0 || told[len(told)-1] != s.IPv4 {
					told = append(told, s.IPv4)
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		time.Sleep(24 * time.Hour)
		s.setChange(func(b []byte) [][]byte {
			if b[1] == response+opExternal {
				b[8], b[9] = 10, 9
			}
			return [][]byte{b}
		})
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := len(told); n < 2 || n > 3 || told[n-1].External != netip.MustParseAddr("10.9.113.1") || !strings.Contains(told[n-1].Problem, "another NAT") {
			t.Errorf("%+v", told)
		}
	})
}

func TestNotLocal(t *testing.T) {
	if _, err := New(Config{Network: remote{}}); !errors.Is(err, ErrNotLocal) {
		t.Error(err)
	}
}

type remote struct{ netx.Network }

func (remote) Traits() netx.Traits { return netx.Traits{Packets: true} }
