package lsd

import (
	"net"
	"net/netip"
	"time"
)

// subnets are the networks that this machine is on, beside the private ones.
type subnets struct {
	read    func() []netip.Prefix
	list    []netip.Prefix
	expires time.Time
}

// has reports whether an address may be that of a neighbour: private, link-local, loopback, or of a subnet that we are on. Announces from
// elsewhere were not sent to the group, but to us, by somebody who wants us to connect to a third.
func (s *subnets) has(a netip.Addr, now time.Time) bool {
	if a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() {
		return true
	}
	if !a.IsGlobalUnicast() {
		return false
	}
	if !now.Before(s.expires) {
		s.list, s.expires = s.read(), now.Add(readFor)
	}
	for _, p := range s.list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// machineSubnets returns the networks of the machine's interfaces that lead to more than one other host.
func machineSubnets() (list []netip.Prefix) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				ones, _ := n.Mask.Size()
				if p := netip.PrefixFrom(ip.Unmap(), ones); p.IsValid() && ones >= 8 {
					list = append(list, p.Masked())
				}
			}
		}
	}
	return list
}
