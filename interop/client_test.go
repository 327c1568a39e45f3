//go:build linux

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client is a BitTorrent client at work, with one torrent.
type client interface {
	// addr is where it listens, as IP:PORT.
	addr() string
	// add adds a torrent file or magnet link whose data is, or shall be, in dir.
	add(link, dir string) error
	// complete reports whether all data is there and verified, and what is wrong if anything is.
	complete() (bool, error)
	// addPeer connects it to another client. Not every client can be told to.
	addPeer(addr string) error
	// stop ends it.
	stop()
}

// peerPort is the port at which every client listens, on an address of its own.
const peerPort = 20000

func listenAddr(ip string) string { return fmt.Sprintf("%s:%d", ip, peerPort) }

// waitComplete waits until a client has everything.
func waitComplete(t *testing.T, what string, c client, p *process) {
	t.Helper()
	waitFor(t, what, p, c.complete)
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// httpClient has a deadline: a client that hangs must not hang the tests.
var httpClient = &http.Client{Timeout: 20 * time.Second}

// postJSON sends v and decodes the answer into result.
func postJSON(url string, header http.Header, v, result any) (*http.Response, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := httpClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusConflict {
		return resp, err
	}
	if err := json.Unmarshal(body, result); err != nil {
		return resp, fmt.Errorf("%s: %s: %.200s", url, resp.Status, body)
	}
	return resp, nil
}

// isMagnet reports whether a link is a magnet link, not the path of a torrent file.
func isMagnet(link string) bool { return strings.HasPrefix(link, "magnet:") }
