package mse

import (
	"crypto/sha1"
	"errors"
	"io"
	"net"

	"shoal/internal/ident"
)

// plainHandshake is how a BitTorrent handshake begins (BEP 3).
const plainHandshake = "\x13BitTorrent protocol"

// How many bytes are read at least and at most after a handshake that failed.
const (
	minDrain = 1 << 10
	maxDrain = 16 << 10
)

// AcceptOptions says what an incoming connection may be.
type AcceptOptions struct {
	// Keys returns the key that has a KeyHash, if that swarm is known here. It is called at most once.
	Keys func(hash [sha1.Size]byte) (ident.V1, bool)
	// Choose returns one of the methods that the other side provides, or 0 if it will have none of them.
	Choose func(provided Methods) Methods
	// AllowPlain lets a plain BitTorrent handshake in. Where it is not allowed it is answered like noise: not at all.
	AllowPlain bool
}

// Result is what an accepted connection turned out to be.
type Result struct {
	Handshake bool     // an MSE handshake was made; else the BitTorrent one came plain
	Method    Methods  // how the stream is sent: RC4 or Plain
	Key       ident.V1 // the swarm, if a handshake was made
}

// Accept answers an incoming connection, and returns the one to go on with: the first bytes that it reads are the initial payload,
// or the plain BitTorrent handshake from its beginning. It is a *Conn or has one within if the method is RC4. Else it is conn itself,
// or a wrapper while bytes are left that conn alone would not yield: see Bare.
//
// Accept neither sets deadlines nor closes conn: the caller does, also to end it early. A deadline is needed: after anything but a
// valid handshake Accept says nothing and reads on, up to a random number of bytes from 1 to 16 KiB, so that whoever probes the
// listener sees neither when nor why it failed.
func Accept(conn net.Conn, o AcceptOptions) (net.Conn, Result, error) {
	c, r, err := accept(conn, o)
	if errors.Is(err, ErrHandshake) {
		drain(conn)
	}
	if err != nil {
		return nil, Result{}, err
	}
	return c, r, nil
}

// drain reads until the end, a deadline, or a random number of bytes.
func drain(conn io.Reader) {
	_, _ = io.CopyN(io.Discard, conn, int64(minDrain+randomInt(maxDrain-minDrain+1)))
}

func accept(conn net.Conn, o AcceptOptions) (net.Conn, Result, error) {
	var theirs [keyLen]byte
	n := 0
	if o.AllowPlain {
		n = len(plainHandshake)
		if _, err := io.ReadFull(conn, theirs[:n]); err != nil {
			return nil, Result{}, err
		}
		if string(theirs[:n]) == plainHandshake {
			return &opening{Conn: conn, read: theirs[:n]}, Result{Method: Plain}, nil
		}
	}
	if _, err := io.ReadFull(conn, theirs[n:]); err != nil {
		return nil, Result{}, err
	}
	pair := newKeyPair()
	if _, err := conn.Write(appendRandomPad(pair.public[:])); err != nil {
		return nil, Result{}, err
	}
	secret, ok := pair.secret(&theirs)
	if !ok {
		return nil, Result{}, ErrHandshake
	}
	key, err := readKey(conn, secret, o.Keys)
	if err != nil {
		return nil, Result{}, err
	}
	in, out := newStream("keyA", secret, key), newStream("keyB", secret, key)
	provided, payload, err := readRequest(conn, in)
	if err != nil {
		return nil, Result{}, err
	}
	method := o.Choose(provided)
	if method != method&provided || method != Plain && method != RC4 {
		return nil, Result{}, ErrMethod
	}
	reply := appendHead(nil, method)
	out.XORKeyStream(reply, reply)
	if _, err := conn.Write(reply); err != nil {
		return nil, Result{}, err
	}
	r := Result{Handshake: true, Method: method, Key: key}
	switch {
	case method == RC4: // whose first bytes are the initial payload
		return newConn(conn, in, out), r, nil
	case payload > 0: // is encrypted even then
		return &opening{Conn: conn, sealed: payload, in: in}, r, nil
	}
	return conn, r, nil
}

// readKey reads the part of the second message of A that says for which swarm it is.
func readKey(conn io.Reader, secret []byte, keys func([sha1.Size]byte) (ident.V1, bool)) (ident.V1, error) {
	req1, req3 := hash("req1", secret), hash("req3", secret)
	if err := skipTo(conn, req1[:]); err != nil {
		return ident.V1{}, err
	}
	var req2 [sha1.Size]byte
	if _, err := io.ReadFull(conn, req2[:]); err != nil {
		return ident.V1{}, err
	}
	for i := range req2 {
		req2[i] ^= req3[i]
	}
	key, ok := keys(req2)
	if !ok {
		return ident.V1{}, ErrHandshake
	}
	return key, nil
}

// readRequest reads what follows it, up to the initial payload, and returns the methods provided and that payload's length.
func readRequest(conn io.Reader, in *stream) (Methods, int, error) {
	var head [headLen]byte
	if err := in.readFull(conn, head[:]); err != nil {
		return 0, 0, err
	}
	if [vcLen]byte(head[:]) != [vcLen]byte{} {
		return 0, 0, ErrHandshake
	}
	if err := skipPad(conn, in, be.Uint16(head[vcLen+4:])); err != nil {
		return 0, 0, err
	}
	var length [2]byte
	if err := in.readFull(conn, length[:]); err != nil {
		return 0, 0, err
	}
	return Methods(be.Uint32(head[vcLen:])) & (Plain | RC4), int(be.Uint16(length[:])), nil
}
