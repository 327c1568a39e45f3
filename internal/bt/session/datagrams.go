package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"shoal/internal/netx"
	"shoal/internal/utp"
)

// datagrams is the one UDP socket of a session: uTP and the DHT share it, at the port where peers reach us over TCP.
type datagrams struct {
	mux *netx.Mux
	utp *utp.Socket // nil: it is off
}

// openDatagrams opens the socket at the port that the listener has, or at any if there is none. A route without UDP leaves it out, which
// is worth a notice.
func (s *Session) openDatagrams() error {
	if s.cfg.NoUTP && s.cfg.DHT == nil {
		return nil
	}
	at := ":0"
	switch {
	case s.ln != nil:
		at = s.ln.Addr().String()
	case s.cfg.NoTCP && s.cfg.Listen != "":
		at = s.cfg.Listen
	}
	pc, err := s.listenPacket(at)
	switch {
	case errors.Is(err, netx.ErrNoPackets):
		s.notice("the route carries no UDP: DHT, uTP and UDP trackers are off")
		return nil
	case err != nil:
		return fmt.Errorf("opening a UDP socket: %w", err)
	}
	d := &datagrams{mux: netx.NewMux(pc)}
	if !s.cfg.NoUTP {
		d.utp = utp.New(utp.Config{Write: d.mux.WritePackets, Local: pc.LocalAddr()})
		d.mux.Handle(utp.Match, d.utp.Receive)
		s.main.UTP = utpRoad{d.utp}
	}
	s.udp = d
	if s.cfg.DHT != nil {
		if err := s.openDHT(); err != nil {
			return err
		}
	}
	return nil
}

// listenPacket opens a packet socket, which a proxy may lose.
func (s *Session) listenPacket(at string) (net.PacketConn, error) {
	open := func(ctx context.Context) (net.PacketConn, error) { return s.cfg.Network.ListenPacket(ctx, "udp", at) }
	if netx.TraitsOf(s.cfg.Network).Listens {
		return open(s.ctx)
	}
	return newLasting(s.ctx, open)
}

// startDatagrams begins to read the socket, once it is known what to do with what comes.
func (s *Session) startDatagrams() {
	s.udp.mux.Start()
	if s.udp.utp != nil {
		s.wg.Go(func() { s.accept(s.udp.utp) })
	}
}

// utpRoad dials over uTP.
type utpRoad struct{ socket *utp.Socket }

// DialPeer implements road.Dialler.
func (r utpRoad) DialPeer(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	c, err := r.socket.Dial(ctx, to)
	if err != nil {
		return nil, err // not a nil *utp.Conn in an interface
	}
	return c, nil
}

// closeDatagrams ends what runs over the socket, and the socket.
func (s *Session) closeDatagrams() error {
	if s.udp == nil {
		return nil
	}
	var errs []error
	if s.dht != nil {
		errs = append(errs, s.dht.Close())
	}
	if s.udp.utp != nil {
		errs = append(errs, s.udp.utp.Close())
	}
	if err := s.udp.mux.Close(); !errors.Is(err, net.ErrClosed) { // which the system may have done before
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
