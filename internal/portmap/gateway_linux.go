package portmap

import (
	"io"
	"net/netip"
	"os"
)

// systemGateways returns the gateways of the default routes.
func systemGateways() []netip.Addr {
	return append(best(parseRoutes4(readTable("/proc/net/route"))), best(parseRoutes6(readTable("/proc/net/ipv6_route")))...)
}

// readTable reads the beginning of a table, where default routes are.
func readTable(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 1<<20))
	return b
}
