//go:build linux

package interop

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
)

// aria2 is aria2c behind its RPC. It finds peers through trackers only, and takes incoming connections.
type aria2 struct {
	*process
	ip, rpc string
}

func startAria2(t *testing.T, o options) client {
	t.Helper()
	path := needProgram(t, "aria2c", "aria2")
	ip := newIP()
	port := 21000 + lastNumber(ip) // aria2's RPC listens on all of the machine's addresses or on 127.0.0.1
	args := []string{"--no-conf", "--enable-rpc", fmt.Sprintf("--rpc-listen-port=%d", port), "--rpc-max-request-size=64M",
		"--interface=" + ip, fmt.Sprintf("--listen-port=%d", peerPort), fmt.Sprintf("--dht-listen-port=%d", peerPort), "--disable-ipv6=true",
		"--async-dns=false", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false",
		"--seed-ratio=0.0", "--bt-request-peer-speed-limit=2000M", "--file-allocation=none", "--check-integrity=true",
		"--allow-overwrite=true", "--console-log-level=notice", "--summary-interval=0", "--bt-tracker-interval=5"}
	if o.RC4 {
		args = append(args, "--bt-require-crypto=true", "--bt-min-crypto-level=arc4")
	}
	c := &aria2{ip: ip, rpc: fmt.Sprintf("http://127.0.0.1:%d/jsonrpc", port)}
	c.process = start(t, "aria2", t.TempDir(), false, path, args...)
	waitFor(t, "aria2's RPC", c.process, func() (bool, error) {
		err := c.call("aria2.getVersion", nil)
		return err == nil, err
	})
	return c
}

func (c *aria2) call(method string, result any, params ...any) error {
	var answer struct {
		Result json.RawMessage
		Error  struct{ Message string }
	}
	if params == nil {
		params = []any{}
	}
	if _, err := postJSON(c.rpc, nil, map[string]any{"jsonrpc": "2.0", "id": "x", "method": method, "params": params}, &answer); err != nil {
		return err
	}
	if answer.Error.Message != "" {
		return fmt.Errorf("aria2: %s: %s", method, answer.Error.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

func (c *aria2) addr() string { return listenAddr(c.ip) }

func (c *aria2) add(link, dir string) error {
	dirOption := map[string]any{"dir": dir}
	if isMagnet(link) {
		return c.call("aria2.addUri", nil, []string{link}, dirOption)
	}
	b, err := os.ReadFile(link)
	if err != nil {
		return err
	}
	return c.call("aria2.addTorrent", nil, base64.StdEncoding.EncodeToString(b), []string{}, dirOption)
}

// aria2Status is a download as aria2 lists it. A magnet link is two: its metadata, followed by its content.
type aria2Status struct {
	Status, ErrorMessage, Seeder, CompletedLength, TotalLength, VerifiedLength, NumSeeders, Connections string
	FollowedBy                                                                                          []string
}

func (c *aria2) complete() (bool, error) {
	var active, stopped []aria2Status
	if err := c.call("aria2.tellActive", &active); err != nil {
		return false, err
	}
	if err := c.call("aria2.tellStopped", &stopped, 0, 100); err != nil {
		return false, err
	}
	for _, s := range append(active, stopped...) {
		if s.Status == "error" {
			return false, fmt.Errorf("aria2: %s", s.ErrorMessage)
		}
		if s.FollowedBy == nil {
			whole := s.CompletedLength == s.TotalLength && s.VerifiedLength == "" && (s.Seeder == "true" || s.Status == "complete")
			return whole, fmt.Errorf("aria2: %+v", s)
		}
	}
	return false, errors.New("aria2 has no torrent")
}

func (c *aria2) addPeer(string) error { return errors.New("aria2 cannot be told of peers") }

func (c *aria2) stop() { c.kill() }
