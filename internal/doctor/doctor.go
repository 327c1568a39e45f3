// Package doctor looks at the machine and the network that a node runs on, and says what is wrong and how to mend it.
//
// Nobody is asked to connect to us, for there is no centre that could: whether we are reached shows in who has connected, in what the router
// says and in what DHT nodes see.
package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"shoal/internal/dht"
	"shoal/internal/netx"
	"shoal/internal/portmap"
)

// Status is the outcome of a check.
type Status string

// The outcomes.
const (
	OK   Status = "ok"
	Warn Status = "warn" // it works, and could be better
	Fail Status = "fail"
	Skip Status = "skip" // it could not be looked at; the message says why
)

// Result is what a check found.
type Result struct {
	ID      string  `json:"id"`
	Title   string  `json:"title"`
	Status  Status  `json:"status"`
	Message string  `json:"message"`
	Remedy  string  `json:"remedy"` // a command or a setting; empty where nothing is wrong
	Took    float64 `json:"took"`   // seconds
}

// Environment is what is looked at. What is left empty is not.
type Environment struct {
	Network netx.Network // the way out
	// How the sockets of Network are held, as netx.Route.Binding tells: bound to an interface, to a local address, or leading to a proxy.
	Device  string
	Address netip.Addr
	Proxy   string
	// Serves are the ports of listeners that are not for peers, such as the API's: they may be elsewhere.
	Serves []uint16

	Facts    func() Facts // of the session; nil: there is none
	Isolated bool         // it asks no public DHT router

	Downloads string // folder
	State     string // folder
	Floor     int64  // bytes that downloads leave free
	MaxPeers  int    // connections at once
	Running   bool   // we are the node on State, and hold its lock

	machine *machine // nil: this one
}

// Facts are what a session knows.
type Facts struct {
	Listen     netip.AddrPort // where peers reach us; not valid: nowhere
	Four, Six  int64          // connections that came in from other networks, by family
	PortMap    portmap.Status
	PortMapped bool        // the router is asked
	DHT        *dht.Status // nil: no part is taken
	Age        time.Duration
}

// finding is a result without what all have in common.
type finding struct {
	status          Status
	message, remedy string
}

func ok(format string, args ...any) finding   { return finding{OK, fmt.Sprintf(format, args...), ""} }
func skip(format string, args ...any) finding { return finding{Skip, fmt.Sprintf(format, args...), ""} }

// check is one thing that is looked at. It ends soon after its context.
type check struct {
	id, title string
	look      func(context.Context, *Environment) finding
}

var checks = []check{
	{"port_ipv4", "Peers reach us over IPv4", portIPv4},
	{"port_ipv6", "Peers reach us over IPv6", portIPv6},
	{"nat", "Kind of NAT", nat},
	{"dht", "DHT", lookDHT},
	{"route", "Route", route},
	{"leak", "Nothing goes round the route", leak},
	{"clock", "Clock", clock},
	{"disk_speed", "Speed of the disk", diskSpeed},
	{"free_space", "Free space", freeSpace},
	{"file_system", "File system", fileSystem},
	{"open_files", "Open files and sockets", openFiles},
	{"udp_buffers", "Buffers of UDP", udpBuffers},
	{"single", "One node on the folder", single},
}

// Run makes all checks at once and returns what they found, in an order that is always the same. It returns soon after ctx ends at the latest: a
// check that hangs, on a disk that does not answer for instance, has failed.
func Run(ctx context.Context, e Environment) []Result {
	if e.machine == nil {
		e.machine = thisMachine()
	}
	results := make([]Result, len(checks))
	type outcome struct {
		index int
		finding
		took time.Duration
	}
	done := make(chan outcome, len(checks))
	began := time.Now()
	for i, c := range checks {
		results[i] = Result{ID: c.id, Title: c.title}
		go func() {
			f := c.look(ctx, &e)
			done <- outcome{i, f, time.Since(began)}
		}()
	}
	late := make(chan struct{}) // what ends with the context has its say
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, func() { close(late) }) })
	defer stop()
	for range checks {
		select {
		case o := <-done:
			r := &results[o.index]
			r.Status, r.Message, r.Remedy, r.Took = o.status, o.message, o.remedy, o.took.Seconds()
			continue
		case <-late:
		}
		break
	}
	for i := range results {
		if r := &results[i]; r.Status == "" {
			r.Status, r.Took = Fail, time.Since(began).Seconds()
			r.Message, r.Remedy = "it did not end in time", "see whether the disk and the network answer at all"
		}
	}
	return results
}

// grace is how long checks may take to end once they have to.
const grace = time.Second
