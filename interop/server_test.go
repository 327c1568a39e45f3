//go:build linux

package interop

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// opentracker is a tracker over HTTP and UDP.
type opentracker struct {
	*process
	ip string
}

const trackerPort = 6969

// startTracker starts opentracker, whose address must be known before torrents can be made. Debian builds it so that it
// serves listed torrents only: allow lists them.
func startTracker(t *testing.T) *opentracker {
	t.Helper()
	return &opentracker{ip: newIP()}
}

func (o *opentracker) http() string { return fmt.Sprintf("http://%s:%d/announce", o.ip, trackerPort) }
func (o *opentracker) udp() string  { return fmt.Sprintf("udp://%s:%d/announce", o.ip, trackerPort) }

// allow starts the tracker for torrents with the given infohashes.
func (o *opentracker) allow(t *testing.T, made torrent) {
	t.Helper()
	path := needProgram(t, "opentracker", "opentracker")
	home := t.TempDir()
	var list strings.Builder
	for _, hash := range []string{made.V1, made.V2} {
		if hash != "" {
			fmt.Fprintln(&list, hash[:40])
		}
	}
	must(t, os.WriteFile(filepath.Join(home, "allowed"), []byte(list.String()), 0o644))
	o.process = start(t, "opentracker", home, false, path, "-i", o.ip, "-p", fmt.Sprint(trackerPort), "-P", fmt.Sprint(trackerPort),
		"-d", ".", "-w", "allowed") // as root it locks itself into the folder and becomes nobody
	waitListening(t, o.process, fmt.Sprintf("%s:%d", o.ip, trackerPort))
}

// waitSeeds waits until the tracker knows a complete peer of a torrent, in either of a hybrid's swarms.
func (o *opentracker) waitSeeds(t *testing.T, made torrent) {
	t.Helper()
	waitFor(t, "the tracker knows a seed", o.process, func() (bool, error) {
		for _, hash := range []string{made.V1, made.V2} {
			if hash == "" {
				continue
			}
			if n, err := o.seeds(hash); n > 0 || err != nil {
				return n > 0, err
			}
		}
		return false, nil
	})
}

// seeds returns how many complete peers of a torrent the tracker knows.
func (o *opentracker) seeds(hash string) (n int, err error) {
	raw, err := hex.DecodeString(hash[:40])
	if err != nil {
		return 0, err
	}
	resp, err := httpClient.Get(fmt.Sprintf("http://%s:%d/scrape?info_hash=%s", o.ip, trackerPort, url.QueryEscape(string(raw))))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if _, count, ok := strings.Cut(string(body), "8:completei"); ok {
		_, err = fmt.Sscanf(count, "%de", &n)
	}
	if err != nil {
		return 0, fmt.Errorf("scrape: %q: %w", body, err)
	}
	return n, nil
}

// startNginx serves a folder over HTTP and returns its URL, which ends in a slash.
func startNginx(t *testing.T, root string) string {
	t.Helper()
	path := needProgram(t, "nginx", "nginx")
	home, ip := t.TempDir(), newIP()
	config := fmt.Sprintf(`daemon off; master_process off; pid nginx.pid; error_log stderr;
events { worker_connections 256; }
http {
	access_log access.log;
	client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	server { listen %s:8080; root %q; }
}
`, ip, root)
	must(t, os.WriteFile(filepath.Join(home, "nginx.conf"), []byte(config), 0o644))
	p := start(t, "nginx", home, false, path, "-p", home, "-c", "nginx.conf", "-e", "stderr")
	waitListening(t, p, ip+":8080")
	return "http://" + ip + ":8080/"
}
