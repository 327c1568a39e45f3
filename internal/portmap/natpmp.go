package portmap

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// NAT-PMP (RFC 6886): version 0 of what PCP is version 2 of.
const (
	serverPort   = 5351 // of NAT-PMP and PCP at the gateway
	announcePort = 5350 // of hosts, where gateways tell that they have begun anew

	natpmpVersion = 0
	opExternal    = 0
	opMapUDP      = 1
	opMapTCP      = 2
	response      = 128 // is added to the opcode
)

// pmpReply is what a gateway answers. External is valid in an answer to opExternal; the ports and the lifetime are in the others.
type pmpReply struct {
	op                         uint8
	result                     pmpResult
	epoch                      uint32 // seconds since the gateway began to keep mappings
	external                   netip.Addr
	internalPort, externalPort uint16
	lifetime                   uint32 // seconds
}

// pmpResult is a result code of RFC 6886 §3.5.
type pmpResult uint16

// Error implements error.
func (r pmpResult) Error() string {
	names := []string{"success", "unsupported version", "not allowed", "no external network", "out of resources", "unsupported operation"}
	if int(r) < len(names) {
		return "NAT-PMP: " + names[r]
	}
	return fmt.Sprintf("NAT-PMP: error %d", uint16(r))
}

func appendPMPExternal(b []byte) []byte { return append(b, natpmpVersion, opExternal) }

// appendPMPMap asks for a mapping; lifetime 0, with external port 0, gives it up.
func appendPMPMap(b []byte, op uint8, internal, external uint16, lifetime uint32) []byte {
	b = append(b, natpmpVersion, op, 0, 0)
	b = binary.BigEndian.AppendUint16(b, internal)
	b = binary.BigEndian.AppendUint16(b, external)
	return binary.BigEndian.AppendUint32(b, lifetime)
}

// parsePMP reads an answer. Answers that are refusals may be short.
func parsePMP(b []byte) (r pmpReply, ok bool) {
	if len(b) < 8 || b[0] != natpmpVersion || b[1] < response || b[1] > response+opMapTCP {
		return pmpReply{}, false
	}
	r = pmpReply{op: b[1] - response, result: pmpResult(binary.BigEndian.Uint16(b[2:])), epoch: binary.BigEndian.Uint32(b[4:])}
	switch {
	case r.op == opExternal && len(b) >= 12:
		r.external = netip.AddrFrom4([4]byte(b[8:]))
	case r.op != opExternal && len(b) >= 16:
		r.internalPort, r.externalPort = binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:])
		r.lifetime = binary.BigEndian.Uint32(b[12:])
	default:
		return r, r.result != 0
	}
	return r, true
}

// natpmp is the way of RFC 6886.
type natpmp struct {
	*place
	external netip.Addr
}

func (p *natpmp) name() string { return "NAT-PMP" }

func (p *natpmp) probe(ctx context.Context) error {
	return p.exchange(ctx, appendPMPExternal(nil), func(b []byte) (bool, error) {
		r, ok := parsePMP(b)
		if !ok || r.op != opExternal {
			return false, nil
		}
		if r.result != 0 {
			return true, r.result
		}
		p.external = r.external
		p.heardEpoch(r.epoch, time.Now())
		return true, nil
	})
}

func (p *natpmp) open(ctx context.Context, w want, old grant) (grant, error) {
	if old.valid() { // the address may have changed
		if err := p.probe(ctx); err != nil {
			return grant{}, err
		}
	}
	suggest := w.port
	if old.valid() {
		suggest = old.external.Port()
	}
	r, err := p.ask(ctx, w, suggest, lifetime)
	if err != nil {
		return grant{}, err
	}
	return newGrant(netip.AddrPortFrom(p.external, r.externalPort), time.Duration(r.lifetime)*time.Second)
}

func (p *natpmp) close(ctx context.Context, w want, _ grant) error {
	_, err := p.ask(ctx, w, 0, 0)
	return err
}

func (p *natpmp) ask(ctx context.Context, w want, external uint16, lifetime time.Duration) (reply pmpReply, err error) {
	op := uint8(opMapUDP)
	if w.protocol == tcp {
		op = opMapTCP
	}
	request := appendPMPMap(nil, op, w.port, external, uint32(lifetime/time.Second))
	err = p.exchange(ctx, request, func(b []byte) (bool, error) {
		r, ok := parsePMP(b)
		if !ok || r.op != op || r.result == 0 && r.internalPort != w.port {
			return false, nil
		}
		if r.result != 0 {
			return true, r.result
		}
		reply = r
		p.heardEpoch(r.epoch, time.Now())
		return true, nil
	})
	return reply, err
}
