package portmap

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// PCP (RFC 6887).
const (
	pcpVersion  = 2
	opAnnounce  = 0
	opMap       = 1
	pcpHeader   = 24
	pcpMapSize  = 36
	pcpMaxReply = 1100

	unsupportedOpcode = 4
)

// pcpReply is an answer, or what a gateway tells unasked. All behind the epoch is there in answers to opMap alone.
type pcpReply struct {
	op                         uint8
	result                     pcpResult
	lifetime                   uint32 // seconds; of the error, if it is one
	epoch                      uint32
	nonce                      [12]byte
	protocol                   uint8
	internalPort, externalPort uint16
	external                   netip.Addr
}

// pcpResult is a result code of RFC 6887 §7.4.
type pcpResult uint8

// Error implements error.
func (r pcpResult) Error() string {
	names := []string{"success", "unsupported version", "not allowed", "malformed request", "unsupported operation", "unsupported option",
		"malformed option", "no external network", "out of resources", "unsupported protocol", "quota exceeded", "the port is not to be had",
		"our address is not what the gateway sees", "too many remote peers"}
	if int(r) < len(names) {
		return "PCP: " + names[r]
	}
	return fmt.Sprintf("PCP: error %d", uint8(r))
}

func appendPCPHeader(b []byte, op uint8, lifetime uint32, client netip.Addr) []byte {
	b = append(b, pcpVersion, op, 0, 0)
	b = binary.BigEndian.AppendUint32(b, lifetime)
	ip := client.As16()
	return append(b, ip[:]...)
}

// appendPCPMap asks for a mapping, a pinhole where the address is IPv6; lifetime 0 gives it up.
func appendPCPMap(b []byte, lifetime uint32, client netip.Addr, nonce [12]byte, protocol uint8, internal uint16, external netip.AddrPort) []byte {
	b = appendPCPHeader(b, opMap, lifetime, client)
	b = append(b, nonce[:]...)
	b = append(b, protocol, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, internal)
	b = binary.BigEndian.AppendUint16(b, external.Port())
	ip := external.Addr().As16()
	return append(b, ip[:]...)
}

// parsePCP reads an answer. Options are passed over.
func parsePCP(b []byte) (r pcpReply, ok bool) {
	if len(b) < pcpHeader || len(b) > pcpMaxReply || b[0] != pcpVersion || b[1] < response {
		return pcpReply{}, false
	}
	r = pcpReply{op: b[1] - response, result: pcpResult(b[3]), lifetime: binary.BigEndian.Uint32(b[4:]), epoch: binary.BigEndian.Uint32(b[8:])}
	if r.op != opMap {
		return r, r.op == opAnnounce
	}
	if len(b) < pcpHeader+pcpMapSize {
		return r, r.result != 0
	}
	m := b[pcpHeader:]
	r.nonce, r.protocol = [12]byte(m), m[12]
	r.internalPort, r.externalPort = binary.BigEndian.Uint16(m[16:]), binary.BigEndian.Uint16(m[18:])
	r.external = netip.AddrFrom16([16]byte(m[20:])).Unmap()
	return r, true
}

// pcp is the way of RFC 6887.
type pcp struct {
	*place
	nonces map[uint8][12]byte // by the protocol that is mapped: whoever does not know it cannot take a mapping away
}

func (p *pcp) name() string { return "PCP" }

func (p *pcp) probe(ctx context.Context) error {
	return p.exchange(ctx, appendPCPHeader(nil, opAnnounce, 0, p.local), func(b []byte) (bool, error) {
		if r, ok := parsePMP(b); ok && r.result == 1 { // version 0: it speaks NAT-PMP alone (RFC 6887 appendix A)
			return true, pcpResult(1)
		}
		r, ok := parsePCP(b)
		if !ok || r.op != opAnnounce {
			return false, nil
		}
		if r.result != 0 && r.result != unsupportedOpcode { // who does not know opAnnounce may know opMap
			return true, r.result
		}
		p.heardEpoch(r.epoch, time.Now())
		return true, nil
	})
}

func (p *pcp) open(ctx context.Context, w want, old grant) (grant, error) {
	suggest := netip.AddrPortFrom(netip.IPv6Unspecified(), w.port)
	if p.local.Is4() {
		suggest = netip.AddrPortFrom(netip.IPv4Unspecified(), w.port)
	}
	if old.valid() {
		suggest = old.external
	}
	if p.nonces == nil {
		p.nonces = map[uint8][12]byte{}
	}
	if _, ok := p.nonces[w.protocol]; !ok {
		var nonce [12]byte
		_, _ = rand.Read(nonce[:]) // it never fails
		p.nonces[w.protocol] = nonce
	}
	r, err := p.ask(ctx, w, suggest, lifetime)
	if err != nil {
		return grant{}, err
	}
	return newGrant(netip.AddrPortFrom(r.external, r.externalPort), time.Duration(r.lifetime)*time.Second)
}

func (p *pcp) close(ctx context.Context, w want, g grant) error {
	_, err := p.ask(ctx, w, g.external, 0)
	return err
}

func (p *pcp) ask(ctx context.Context, w want, external netip.AddrPort, lifetime time.Duration) (reply pcpReply, err error) {
	nonce := p.nonces[w.protocol]
	request := appendPCPMap(nil, uint32(lifetime/time.Second), p.local, nonce, w.protocol, w.port, external)
	err = p.exchange(ctx, request, func(b []byte) (bool, error) {
		r, ok := parsePCP(b)
		short := len(b) < pcpHeader+pcpMapSize // a refusal that does not say of what
		if !ok || r.op != opMap || !short && (r.nonce != nonce || r.protocol != w.protocol || r.internalPort != w.port) {
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
