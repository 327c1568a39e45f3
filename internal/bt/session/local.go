package session

import (
	"errors"

	"shoal/internal/bt/lsd"
	"shoal/internal/netx"
	"shoal/internal/portmap"
)

// What concerns the local network: finding peers on it, and having its router open our port. Neither is done over a route that leads
// elsewhere, nor by who wants to be anonymous.

// openLocal starts both as far as they are wanted. That one cannot be had is no reason not to go on.
func (s *Session) openLocal() {
	if s.cfg.Anonymous || !netx.TraitsOf(s.cfg.Network).Local {
		return
	}
	if s.cfg.LSD {
		if service, err := lsd.New(lsd.Config{Network: s.cfg.Network, Port: s.Port}); err == nil {
			s.lsd = service
		} else if !errors.Is(err, netx.ErrNoMulticast) {
			s.notice("no peers are looked for on the local network: " + err.Error())
		}
	}
	if s.cfg.PortMap && s.Port() != 0 {
		cfg := portmap.Config{Network: s.cfg.Network, Gateways: s.cfg.Gateways, Changed: s.mapped}
		if s.ln != nil {
			cfg.TCP = s.Port()
		}
		if s.udp != nil {
			cfg.UDP = s.Port()
		}
		if m, err := portmap.New(cfg); err == nil {
			s.ports = m
		}
	}
}

// mapped takes note of the port at which the router has opened ours.
func (s *Session) mapped(st portmap.Status) {
	port := st.IPv4.TCP
	if port == 0 {
		port = st.IPv4.UDP
	}
	s.shared.External.Store(uint32(port))
}

// PortMap returns what came of having the router open our port; ok is false if it was not tried.
func (s *Session) PortMap() (st portmap.Status, ok bool) {
	if s.ports == nil {
		return st, false
	}
	return s.ports.Status(), true
}

// closeLocal ends both.
func (s *Session) closeLocal() error {
	var errs []error
	if s.lsd != nil {
		errs = append(errs, s.lsd.Close())
	}
	if s.ports != nil {
		errs = append(errs, s.ports.Close())
	}
	return errors.Join(errs...)
}
