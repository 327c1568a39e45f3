//go:build linux

package interop

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"shoal/internal/bencode"
)

// transmission is Transmission's daemon. It finds peers through trackers and the DHT only, and takes incoming connections.
type transmission struct {
	*process
	ip, rpc, session string
}

func startTransmission(t *testing.T, o options) client {
	t.Helper()
	path := needProgram(t, "transmission-daemon", "transmission-daemon")
	home, ip := t.TempDir(), newIP()
	const port = 9091
	encryption := 0 // as little as the other side allows
	if o.RC4 {
		encryption = 2 // required
	}
	settings, err := json.Marshal(map[string]any{
		"bind-address-ipv4": ip, "peer-port": peerPort, "port-forwarding-enabled": false, "encryption": encryption,
		"dht-enabled": len(o.DHT) > 0, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": o.UTP, "preallocation": 0,
		"rpc-enabled": true, "rpc-bind-address": ip, "rpc-port": port, "rpc-authentication-required": false,
		"rpc-whitelist-enabled": false, "rpc-host-whitelist-enabled": false, "rename-partial-files": false,
		"download-queue-enabled": false, "seed-queue-enabled": false, "start-added-torrents": true, "trash-original-torrent-files": false,
	})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(home, "settings.json"), settings, 0o644))
	if len(o.DHT) > 0 {
		must(t, os.WriteFile(filepath.Join(home, "dht.dat"), knownNodes(t, o.DHT), 0o644))
	}
	c := &transmission{ip: ip, rpc: fmt.Sprintf("http://%s:%d/transmission/rpc", ip, port)}
	c.process = start(t, "transmission", home, false, path, "-f", "-g", home, "--log-error")
	waitFor(t, "Transmission's RPC", c.process, func() (bool, error) {
		err := c.call("session-get", nil, nil)
		return err == nil, err
	})
	return c
}

// knownNodes returns the file in which Transmission keeps the nodes that it knew when it ended.
func knownNodes(t *testing.T, addrs []string) []byte {
	t.Helper()
	var compact []byte
	for _, a := range addrs {
		addr, err := netip.ParseAddrPort(a)
		must(t, err)
		compact = binary.BigEndian.AppendUint16(append(compact, addr.Addr().AsSlice()...), addr.Port())
	}
	return bencode.Append(nil, map[string]any{"id": "transmission's id 20", "nodes": compact})
}

// call makes one RPC. The first answer of a session only tells the session's id.
func (c *transmission) call(method string, arguments, result any) error {
	for range 2 {
		var answer struct {
			Result    string
			Arguments json.RawMessage
		}
		header := http.Header{"X-Transmission-Session-Id": {c.session}}
		resp, err := postJSON(c.rpc, header, map[string]any{"method": method, "arguments": arguments}, &answer)
		if err != nil {
			return err
		}
		if resp.StatusCode == http.StatusConflict {
			c.session = resp.Header.Get("X-Transmission-Session-Id")
			continue
		}
		if answer.Result != "success" {
			return fmt.Errorf("Transmission: %s: %s", method, answer.Result)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(answer.Arguments, result)
	}
	return errors.New("Transmission: no session")
}

func (c *transmission) addr() string { return listenAddr(c.ip) }

func (c *transmission) add(link, dir string) error {
	return c.call("torrent-add", map[string]any{"filename": link, "download-dir": dir, "paused": false}, nil)
}

func (c *transmission) complete() (bool, error) {
	var list struct {
		Torrents []struct {
			Status                  int
			LeftUntilDone           int64
			MetadataPercentComplete float64
			ErrorString             string
			PeersConnected          int
		}
	}
	fields := []string{"status", "leftUntilDone", "metadataPercentComplete", "errorString", "peersConnected"}
	if err := c.call("torrent-get", map[string]any{"fields": fields}, &list); err != nil {
		return false, err
	}
	if len(list.Torrents) == 0 {
		return false, errors.New("Transmission has no torrent")
	}
	const seeding = 6
	if s := list.Torrents[0]; s.MetadataPercentComplete != 1 || s.LeftUntilDone != 0 || s.Status != seeding {
		return false, fmt.Errorf("Transmission: %+v", s)
	}
	return true, nil
}

func (c *transmission) addPeer(string) error {
	return errors.New("Transmission cannot be told of peers")
}

func (c *transmission) stop() { c.kill() }
