package portmap

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"shoal/internal/netx"
)

// route is a default route of the system's.
type route struct {
	gateway netip.Addr
	metric  uint64
}

// maxRoutes bounds what is read of the system's tables.
const maxRoutes = 64

// parseRoutes4 returns the default routes in the text of Linux's /proc/net/route.
func parseRoutes4(text []byte) (list []route) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line)) // Iface Destination Gateway Flags RefCnt Use Metric Mask …, addresses as the machine keeps numbers
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" || len(list) == maxRoutes {
			continue
		}
		b, err := hex.DecodeString(f[2])
		metric, err2 := strconv.ParseUint(f[6], 10, 32)
		if err != nil || err2 != nil || len(b) != 4 {
			continue
		}
		slices.Reverse(b) // all Linux machines that we build for are little-endian
		if a := netip.AddrFrom4([4]byte(b)); !a.IsUnspecified() {
			list = append(list, route{a, metric})
		}
	}
	return list
}

// parseRoutes6 returns the default routes in the text of Linux's /proc/net/ipv6_route.
func parseRoutes6(text []byte) (list []route) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line)) // destination, its length, source, its length, next hop, metric, …, interface
		if len(f) < 10 || f[1] != "00" || f[3] != "00" || len(list) == maxRoutes {
			continue
		}
		b, err := hex.DecodeString(f[4])
		metric, err2 := strconv.ParseUint(f[5], 16, 32)
		if err != nil || err2 != nil || len(b) != 16 || strings.Trim(f[0], "0") != "" {
			continue
		}
		a := netip.AddrFrom16([16]byte(b))
		if a.IsLinkLocalUnicast() {
			a = a.WithZone(f[9])
		}
		if !a.IsUnspecified() {
			list = append(list, route{a, metric})
		}
	}
	return list
}

// best returns the gateways of routes, those with the least metric first.
func best(list []route) (gateways []netip.Addr) {
	slices.SortStableFunc(list, func(a, b route) int { return cmp.Compare(a.metric, b.metric) })
	for _, r := range list {
		if !slices.Contains(gateways, r.gateway) {
			gateways = append(gateways, r.gateway)
		}
	}
	return gateways[:min(len(gateways), maxGateways)]
}

// DefaultGateways returns the gateways of the machine's default routes, those of IPv4 first. Where the system does not tell, it is the first address
// of our /24, where we have a private one: most homes are built so.
func DefaultGateways(n netx.Network) []netip.Addr {
	if list := systemGateways(); len(list) > 0 {
		return list
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p := place{network: n, gateway: netip.AddrFrom4([4]byte{192, 0, 2, 1})} // which leads to nobody (RFC 5737), by the default route
	return guess(p.source(ctx))
}

func guess(own netip.Addr, err error) []netip.Addr {
	if err != nil || !own.Is4() || !own.IsPrivate() {
		return nil
	}
	b := own.As4()
	b[3] = 1
	if a := netip.AddrFrom4(b); a != own {
		return []netip.Addr{a}
	}
	return nil
}
