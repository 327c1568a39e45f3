//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"shoal/internal/netx"
)

// rtorrentConfig is tuned for speed as far as rtorrent can be; above all it does not read everything again at the end, as each piece was
// verified when it came. Finished torrents are written to a FIFO, so that no polling disturbs or delays.
const rtorrentConfig = `network.bind_address.set = %[1]s
network.port_range.set = %[2]s-%[2]s
network.port_random.set = no
network.scgi.open_port = %[1]s:5000
network.send_buffer.size.set = 4M
network.receive_buffer.size.set = 4M
network.max_open_files.set = 3000
network.max_open_sockets.set = 1000
network.xmlrpc.size_limit.set = 16M
directory.default.set = %[4]s
dht.mode.set = disable
protocol.pex.set = no
protocol.encryption.set = %[5]s
trackers.use_udp.set = no
pieces.memory.max.set = 8192M
pieces.hash.on_completion.set = no
throttle.max_uploads.set = 200
throttle.max_uploads.global.set = 500
throttle.max_peers.normal.set = 500
throttle.max_peers.seed.set = 500
system.daemon.set = true
method.set_key = event.download.hash_done,tell,"branch=d.complete=,\"execute.nothrow=sh,-c,\\\"echo $0 >$1\\\",$d.hash=,%[3]s/done\""
method.set_key = event.download.finished,tell,"execute.nothrow=sh,-c,\"echo $0 >$1\",$d.hash=,%[3]s/done"
`

// rtorrent is a running rtorrent, which is told what to do by XML-RPC over SCGI.
type rtorrent struct {
	*process
	home  string
	scgi  string // address of its control port
	fifo  *os.File
	lines chan string
}

func (b *bench) rtorrent(addr, data string, more ...string) (peer, error) {
	encryption := "none"
	if slices.Contains(more, "--mse") {
		encryption = "allow_incoming,try_outgoing,require,require_RC4"
	}
	home, err := os.MkdirTemp(b.dir, "rtorrent-")
	if err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(addr, ":")
	rc := filepath.Join(home, "rc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, rtorrentConfig, host, port, home, data, encryption), 0o644); err != nil {
		return nil, err
	}
	if err := syscall.Mkfifo(filepath.Join(home, "done"), 0o600); err != nil {
		return nil, err
	}
	p := &rtorrent{home: home, scgi: host + ":5000", lines: make(chan string, 64)}
	// Opened for both, so that neither opening waits for the other side and no writer's end is an end of file.
	if p.fifo, err = os.OpenFile(filepath.Join(home, "done"), os.O_RDWR, 0); err != nil {
		return nil, err
	}
	cmd := exec.Command("rtorrent", "-n", "-o", "import="+rc)
	cmd.Env = append(os.Environ(), "HOME="+home)
	if p.process, err = launch(cmd); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(p.fifo); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = p.call("system.client_version"); err == nil {
			return p, nil
		}
		if time.Now().After(end) {
			p.stop()
			return nil, fmt.Errorf("rtorrent does not answer: %w", err)
		}
	}
}

func (p *rtorrent) measured() *process { return p.process }

func (p *rtorrent) add(torrent, _ string) error {
	_, err := p.call("load.start", "", torrent)
	return err
}

func (p *rtorrent) done(hash string, timeout time.Duration) error {
	after := time.After(timeout)
	for {
		select {
		case line := <-p.lines:
			if strings.EqualFold(line, hash) {
				return nil
			}
		case <-after:
			return fmt.Errorf("rtorrent has not finished within %v", timeout)
		}
	}
}

func (p *rtorrent) uploaded(hash string) (int64, error) {
	v, err := p.call("d.up.total", strings.ToUpper(hash))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(v, 10, 64)
}

func (p *rtorrent) stop() {
	p.Process.Kill() // its pages of files are shared with the tmpfs: nothing is lost
	p.end(0)
	p.fifo.Close()
	os.RemoveAll(p.home)
}

// call is a method with string parameters; it returns the one scalar that comes back.
func (p *rtorrent) call(method string, params ...string) (string, error) {
	var body strings.Builder
	fmt.Fprintf(&body, "<?xml version=\"1.0\"?><methodCall><methodName>%s</methodName><params>", method)
	for _, v := range params {
		body.WriteString("<param><value><string>")
		_ = xml.EscapeText(&body, []byte(v)) // a Builder does not fail
		body.WriteString("</string></value></param>")
	}
	body.WriteString("</params></methodCall>")
	c, err := netx.NewHost(netx.Options{}).Dial(context.Background(), "tcp", p.scgi)
	if err != nil {
		return "", err
	}
	defer c.Close()
	head := fmt.Sprintf("CONTENT_LENGTH\x00%d\x00SCGI\x001\x00", body.Len())
	if _, err := fmt.Fprintf(c, "%d:%s,%s", len(head), head, body.String()); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	_, text, _ := strings.Cut(string(answer), "\r\n\r\n")
	return scalar(text)
}

// scalar returns the value of an XML-RPC response that holds one.
func scalar(text string) (string, error) {
	var r struct {
		Value struct {
			Inner string `xml:",innerxml"`
		} `xml:"params>param>value"`
		Fault struct {
			Inner string `xml:",innerxml"`
		} `xml:"fault"`
	}
	if err := xml.Unmarshal([]byte(text), &r); err != nil {
		return "", fmt.Errorf("answer %q: %w", text, err)
	}
	if r.Fault.Inner != "" {
		return "", fmt.Errorf("fault: %s", r.Fault.Inner)
	}
	v := strings.TrimSpace(r.Value.Inner)
	if i := strings.IndexByte(v, '>'); i >= 0 {
		v, _, _ = strings.Cut(v[i+1:], "</")
	}
	return v, nil
}
