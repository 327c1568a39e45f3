//go:build !linux

package netx

import "net"

// plainTCP is what Host dials.
type plainTCP = net.TCPConn
