package doctor

import (
	"context"
	"errors"
	"fmt"

	"shoal/internal/netx"
)

// reserve is how many descriptors are wanted beside connections: files of torrents, the database, the API.
const reserve = 1024

func openFiles(_ context.Context, e *Environment) finding {
	soft, hard, err := e.machine.files()
	if err != nil {
		return skip("this system has no such limit")
	}
	want := uint64(max(e.MaxPeers, 500) + reserve)
	if soft < hard && e.machine.raise(hard) == nil {
		soft = hard
	}
	if soft < want {
		return finding{Warn, fmt.Sprintf("%d at once, and %d connections with their files may need %d", soft, max(e.MaxPeers, 500), want),
			"LimitNOFILE=65536 in the service (systemctl edit shoal), or ulimit -n 65536 in the shell; or lower network.max_peers"}
	}
	return ok("%d at once", soft)
}

func udpBuffers(ctx context.Context, e *Environment) finding {
	if e.Network == nil {
		return skip("no network was named")
	}
	c, err := e.Network.ListenPacket(ctx, "udp", ":0")
	if errors.Is(err, netx.ErrNoPackets) {
		return skip("the route carries no UDP")
	}
	if err != nil {
		return skip("no packet socket can be opened: %v", err)
	}
	defer c.Close()
	all, err := e.machine.sockets()
	if err != nil {
		return skip("not known on this system")
	}
	for _, s := range all {
		if s.Network != "udp" || s.Local.String() != c.LocalAddr().String() && s.Local.Port() != portOf(c.LocalAddr()) {
			continue
		}
		if least := min(s.ReadBuffer, s.WriteBuffer); least < netx.SocketBuffer/4 {
			return finding{Warn, fmt.Sprintf("the system gives %d KiB to read and %d KiB to write of the %d that are asked for: a burst of uTP or DHT packets is lost",
				s.ReadBuffer>>10, s.WriteBuffer>>10, netx.SocketBuffer>>10),
				fmt.Sprintf("sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d (to keep it: a file in /etc/sysctl.d)", netx.SocketBuffer, netx.SocketBuffer)}
		}
		return ok("%d KiB to read and %d KiB to write", s.ReadBuffer>>10, s.WriteBuffer>>10)
	}
	return skip("a packet socket leads through a proxy")
}
