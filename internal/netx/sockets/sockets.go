// Package sockets lists what Internet sockets this process has open, whoever has opened them.
package sockets

import "net/netip"

// Socket is an Internet socket that this process has open.
type Socket struct {
	Network   string         // "tcp" or "udp"
	Local     netip.AddrPort // the unspecified address if it was not bound to one
	Remote    netip.AddrPort // not valid if it is not connected
	Device    string         // the interface that it is bound to, empty if none
	Listening bool

	ReadBuffer, WriteBuffer int // bytes that the system queues
}
