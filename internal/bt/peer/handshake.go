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

// ErrGreeting says that a connection stood and the peer did not answer as it should.
var ErrGreeting = errors.New("handshake failed")

// ErrNoSlot says that a dial was not tried because too many are under way.
var ErrNoSlot = errors.New("too many dials under way")

// ErrSelf says that the connection leads to ourselves.
var ErrSelf = errors.New("it is ourselves")

// Greeted reads the peer's handshake on an outgoing connection on which ours was sent (BEP 3). The peer must answer for the same swarm, or,
// where upgrade is set, for that one: a hybrid torrent's v2 swarm (BEP 52). How long that may take is the caller's to limit.
func Greeted(c net.Conn, ours wire.Handshake, upgrade ident.V1) (wire.Handshake, error) {
	theirs, err := Hear(c)
	switch {
	case err != nil:
		return theirs, err
	case theirs.InfoHash != ours.InfoHash && (upgrade.IsZero() || theirs.InfoHash != upgrade):
		return theirs, fmt.Errorf("peer answered for another torrent, %v", theirs.InfoHash)
	case theirs.PeerID == ours.PeerID:
		return theirs, ErrSelf
	}
	return theirs, nil
}

// Answer sends our handshake in reply to theirs, and ends the deadline that reading theirs had.
func Answer(c net.Conn, ours, theirs wire.Handshake) error {
	if theirs.PeerID == ours.PeerID {
		return ErrSelf
	}
	if _, err := c.Write(wire.AppendHandshake(nil, ours)); err != nil {
		return fmt.Errorf("sending the handshake: %w", err)
	}
	return c.SetDeadline(time.Time{})
}

// Hear reads a handshake. Of an incoming connection, Answer goes on once the torrent is found.
func Hear(c net.Conn) (wire.Handshake, error) {
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
