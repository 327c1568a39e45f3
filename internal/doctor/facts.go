package doctor

import (
	"net/netip"
	"time"

	"shoal/internal/bt/session"
)

// FactsOf returns what a session that was begun at a time knows.
func FactsOf(s *session.Session, began time.Time) Facts {
	f := Facts{Age: time.Since(began)}
	if a := s.Addr(); a != nil {
		if at, err := netip.ParseAddrPort(a.String()); err == nil {
			f.Listen = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		}
	}
	f.Four, f.Six = s.Incoming()
	f.PortMap, f.PortMapped = s.PortMap()
	if d := s.DHT(); d != nil {
		st := d.Status()
		f.DHT = &st
	}
	return f
}
