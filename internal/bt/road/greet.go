package road

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"shoal/internal/bt/peer"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
	"shoal/internal/mse"
)

// Encryption says when connections with peers are encrypted (MSE).
type Encryption string

// The policies. Of connections that are encrypted, those to the other side of the internet go on in RC4, and those on a local network go on
// plain after an encrypted handshake if the other end lets them, because nobody there looks at what they are, and RC4 costs speed.
const (
	PreferEncryption  Encryption = "prefer"  // with everybody who can; the default
	NoEncryption      Encryption = "off"     // never
	RequireEncryption Encryption = "require" // always, and all of it in RC4: who cannot is no peer
)

// ParseEncryption reads a policy by its name.
func ParseEncryption(name string) (Encryption, error) {
	switch e := Encryption(name); e {
	case PreferEncryption, NoEncryption, RequireEncryption:
		return e, nil
	}
	return "", fmt.Errorf("%q is none of off, prefer, require", name)
}

// manner is a way of opening a connection.
type manner uint8

const (
	plain manner = iota
	encrypted
)

const (
	maxAcquaintances = 4096             // addresses of which is remembered that they do not know encryption
	triedEncryption  = 8 * time.Second  // for an encrypted handshake if a plain one may follow
	handshakeTime    = 20 * time.Second // for a handshake otherwise
)

// manners returns how to try to open a connection with an address, in order.
func (p *Policy) manners(a netip.AddrPort) []manner {
	switch p.Encryption {
	case NoEncryption:
		return []manner{plain}
	case RequireEncryption:
		return []manner{encrypted}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plainOnly[a] {
		return []manner{plain, encrypted}
	}
	return []manner{encrypted, plain}
}

// met remembers how a connection with an address could be opened.
func (p *Policy) met(a netip.AddrPort, m manner) {
	if p.Encryption != PreferEncryption {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m == encrypted {
		delete(p.plainOnly, a)
		return
	}
	if len(p.plainOnly) >= maxAcquaintances {
		clear(p.plainOnly)
	}
	if p.plainOnly == nil {
		p.plainOnly = map[netip.AddrPort]bool{}
	}
	p.plainOnly[a] = true
}

// greet exchanges handshakes on a new connection, which it closes if that fails.
func (p *Policy) greet(ctx context.Context, raw net.Conn, m manner, ours wire.Handshake, upgrade ident.V1) (net.Conn, wire.Handshake, error) {
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	patience := handshakeTime
	if m == encrypted && p.Encryption == PreferEncryption {
		patience = triedEncryption
	}
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		raw.Close()
		return nil, wire.Handshake{}, err
	}
	conn, err := p.hello(raw, m, ours)
	var theirs wire.Handshake
	if err == nil {
		theirs, err = peer.Greeted(conn, ours, upgrade)
	}
	if err == nil {
		err = raw.SetDeadline(time.Time{})
	}
	if err != nil {
		raw.Close()
		return nil, theirs, err
	}
	return mse.Bare(conn), theirs, nil
}

// hello sends our handshake, and returns the connection to go on with.
func (p *Policy) hello(raw net.Conn, m manner, ours wire.Handshake) (net.Conn, error) {
	b := wire.AppendHandshake(nil, ours)
	if m == plain {
		_, err := raw.Write(b)
		return raw, err
	}
	provide := mse.RC4 | mse.Plain
	if p.Encryption == RequireEncryption {
		provide = mse.RC4
	}
	conn, _, err := mse.Initiate(raw, ours.InfoHash, provide, b)
	return conn, err
}

// choose returns how an encrypted connection goes on, of what the other end provides.
func (p *Policy) choose(remote netip.Addr, provided mse.Methods) mse.Methods {
	preference := []mse.Methods{mse.RC4, mse.Plain}
	switch {
	case p.Encryption == RequireEncryption:
		preference = preference[:1]
	case IsLocal(remote):
		preference = []mse.Methods{mse.Plain, mse.RC4}
	}
	for _, m := range preference {
		if provided&m != 0 {
			return m
		}
	}
	return 0
}

// errOtherSwarm is a peer's fault: the handshake within an encrypted connection names another swarm than the one around it.
var errOtherSwarm = errors.New("handshake for another torrent than its encryption was for")

// Hear reads the handshake of an incoming connection, encrypted or plain as the policy has it. keys returns the swarm whose name has an
// mse.KeyHash. The connection goes on with a deadline, which peer.Answer ends; if it fails, closing it is the caller's.
func (p *Policy) Hear(raw net.Conn, keys func(hash [sha1.Size]byte) (ident.V1, bool)) (net.Conn, wire.Handshake, error) {
	if err := raw.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return nil, wire.Handshake{}, err
	}
	if p.Encryption == NoEncryption {
		theirs, err := peer.Hear(raw)
		return raw, theirs, err
	}
	remote := AddrOf(raw.RemoteAddr())
	conn, r, err := mse.Accept(raw, mse.AcceptOptions{
		Keys: keys, AllowPlain: p.Encryption != RequireEncryption,
		Choose: func(provided mse.Methods) mse.Methods { return p.choose(remote, provided) },
	})
	if err != nil {
		return nil, wire.Handshake{}, err
	}
	theirs, err := peer.Hear(conn)
	if err == nil && r.Handshake && theirs.InfoHash != r.Key {
		err = errOtherSwarm
	}
	return mse.Bare(conn), theirs, err
}

// AddrOf returns the IP address of either kind of connection.
func AddrOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap.Addr().Unmap()
}
