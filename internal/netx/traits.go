package netx

import (
	"context"
	"errors"
	"strings"
)

// What a route cannot do, and that it is down. All errors of a route can be told apart by errors.Is.
var (
	ErrNoListen  = errors.New("this route takes no incoming connections")
	ErrNoPackets = errors.New("this route carries no UDP")
	ErrNoResolve = errors.New("this route resolves no names: the proxy does when it connects")

	// ErrRouteDown is the route's own failure: the proxy does not answer, refuses our password or speaks nonsense, the
	// interface is gone. It says nothing about who was to be reached.
	ErrRouteDown = errors.New("the route is down")
)

// Traits are what a network can do and whom it may show. What a network cannot do fails at once with one of the errors
// above, so that nobody has to ask; who asks can say beforehand what will be off, and need not try.
type Traits struct {
	Listens   bool // Listen works: others can connect to us
	Packets   bool // Dial "udp" and ListenPacket work: DHT, uTP, UDP trackers
	Resolves  bool // Resolve answers names; without it names are given to Dial, and the far end of the route resolves them
	Local     bool // it reaches a local network with other machines: multicast and the mapping of ports make sense
	Anonymous bool // it hides who we are: what is sent must not tell either
}

// String says what is missing, for people; "everything" if nothing is.
func (t Traits) String() string {
	var s []string
	for _, m := range []struct {
		missing bool
		text    string
	}{
		{!t.Listens, "no incoming connections"}, {!t.Packets, "TCP only"}, {!t.Resolves, "names resolved at the far end"},
		{!t.Local, "no local network"}, {t.Anonymous, "anonymous"},
	} {
		if m.missing {
			s = append(s, m.text)
		}
	}
	if s == nil {
		return "everything"
	}
	return strings.Join(s, ", ")
}

// TraitsOf returns what is known of a network without trying. Whether a SOCKS5 proxy carries UDP is only known after
// Probe; until then it counts as if it did. A network that does not say, such as Host, can do everything.
func TraitsOf(n Network) Traits {
	if t, ok := n.(interface{ Traits() Traits }); ok {
		return t.Traits()
	}
	return Traits{Listens: true, Packets: true, Resolves: true, Local: true}
}

// Probe tries a network and returns what it can do. It talks to nobody but the proxy itself, where there is one. The
// error is that the route does not work at all, for which errors.Is(err, ErrRouteDown) holds.
func Probe(ctx context.Context, n Network) (Traits, error) {
	if p, ok := n.(interface {
		Probe(context.Context) (Traits, error)
	}); ok {
		return p.Probe(ctx)
	}
	return TraitsOf(n), nil
}

// Isolate returns a view of n for one purpose, such as one torrent: where the route is able to (Tor is), nothing done through
// views of different keys shares a circuit. Other networks are returned as they are. The key itself is told to nobody.
func Isolate(n Network, key string) Network {
	if i, ok := n.(interface{ Isolate(string) Network }); ok {
		return i.Isolate(key)
	}
	return n
}
