package peer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"shoal/internal/bt/wire"
	"shoal/internal/ident"
)

// handshakeTimeout bounds how long a stranger may take to say who it is.
const handshakeTimeout = 20 * time.Second

// ErrSelf says that the connection leads to ourselves.
var ErrSelf = errors.New("it is ourselves")

// Greet sends our handshake on an outgoing connection and reads the peer's (BEP 3). The peer must answer for the same swarm,
// or, where upgrade is set, for that one: a hybrid torrent's v2 swarm (BEP 52).
func Greet(c net.Conn, ours wire.Handshake, upgrade ident.V1) (wire.Handshake, error) {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return wire.Handshake{}, err
	}
	if _, err := c.Write(wire.AppendHandshake(nil, ours)); err != nil {
		return wire.Handshake{}, fmt.Errorf("sending the handshake: %w", err)
	}
	theirs, err := readHandshake(c)
	switch {
	case err != nil:
		return theirs, err
	case theirs.InfoHash != ours.InfoHash && (upgrade.IsZero() || theirs.InfoHash != upgrade):
		return theirs, fmt.Errorf("peer answered for another torrent, %v", theirs.InfoHash)
	case theirs.PeerID == ours.PeerID:
		return theirs, ErrSelf
	}
	return theirs, c.SetDeadline(time.Time{})
}

// Hear reads the handshake of an incoming connection; Answer goes on once the torrent is found.
func Hear(c net.Conn) (wire.Handshake, error) {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return wire.Handshake{}, err
	}
	return readHandshake(c)
}

// Answer sends our handshake in reply to theirs.
func Answer(c net.Conn, ours, theirs wire.Handshake) error {
	if theirs.PeerID == ours.PeerID {
		return ErrSelf
	}
	if _, err := c.Write(wire.AppendHandshake(nil, ours)); err != nil {
		return fmt.Errorf("sending the handshake: %w", err)
	}
	return c.SetDeadline(time.Time{})
}

func readHandshake(c net.Conn) (wire.Handshake, error) {
	var b [wire.HandshakeLen]byte
	done := 0
	for _, end := range []int{1, len(wire.Protocol), len(b)} { // in steps: another protocol may send less than a handshake
		if _, err := io.ReadFull(c, b[done:end]); err != nil {
			return wire.Handshake{}, fmt.Errorf("reading the handshake: %w", err)
		}
		done = end
		if n := min(end, len(wire.Protocol)); string(b[:n]) != wire.Protocol[:n] {
			return wire.Handshake{}, wire.ErrHandshake
		}
	}
	return wire.ParseHandshake(b[:])
}
