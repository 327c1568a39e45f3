//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"shoal/internal/netx"
)

// viewer is a client that fetches what is read.
type viewer interface {
	seek(to int64) error
	// read reads len(got) bytes at off, on from where it read last or sought to. want is what they will be, for those who cannot tell otherwise
	// when they are there. After the patience of the options it fails with errSlow.
	read(got, want []byte, off int64) error
	stop()
}

var viewers = map[string]func(s *stage, dir string) (viewer, error){
	"shoal": startShoal, "aria2": startAria2,
	"libtorrent":       func(s *stage, dir string) (viewer, error) { return startLibtorrent(s, dir, "stream") },
	"libtorrent-brisk": func(s *stage, dir string) (viewer, error) { return startLibtorrent(s, dir, "brisk") },
}

// program is a client's process.
type program struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func startProgram(dir, path string, args ...string) (*program, error) {
	p := &program{cmd: exec.Command(path, args...), lines: make(chan string, 1000)}
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+dir)
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case p.lines <- s.Text():
			default: // nobody listens any more
			}
		}
	}()
	return p, nil
}

func (p *program) line(within time.Duration) (string, error) {
	select {
	case l, ok := <-p.lines:
		if !ok {
			return "", errors.New("the client has ended")
		}
		return l, nil
	case <-time.After(within):
		return "", errSlow
	}
}

func (p *program) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// shoalPlay is shoal play, read over HTTP.
type shoalPlay struct {
	*program
	s      *stage
	client *http.Client
	url    string
	body   io.ReadCloser
}

func startShoal(s *stage, dir string) (viewer, error) {
	p, err := startProgram(dir, s.o.shoal, "play", s.torrent, "-o", dir, "--player", "none", "--isolated", "--no-utp", "--no-dht", "--encryption", "off",
		"--listen", viewerIP+":0", "--json")
	if err != nil {
		return nil, err
	}
	v := &shoalPlay{program: p, s: s, client: netx.HTTPClient(netx.NewHost(netx.Options{}), netx.HTTPOptions{})}
	for {
		l, err := p.line(s.o.patience)
		if err != nil {
			p.stop()
			return nil, err
		}
		var e struct{ Event, URL string }
		if json.Unmarshal([]byte(l), &e) == nil && e.Event == "playing" {
			v.url = e.URL
			return v, nil
		}
	}
}

func (v *shoalPlay) seek(to int64) error {
	if v.body != nil {
		v.body.Close()
	}
	req, err := http.NewRequest("GET", v.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", to))
	resp, err := v.client.Do(req) //nolint:bodyclose // the next seek closes it, or the end of the process
	if err != nil {
		return err
	}
	v.body = resp.Body
	return nil
}

func (v *shoalPlay) read(got, _ []byte, _ int64) error {
	timer := time.AfterFunc(v.s.o.patience, func() { v.body.Close() })
	defer timer.Stop()
	if _, err := io.ReadFull(v.body, got); err != nil {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return nil
}

// deadlines is libtorrent with piece deadlines: it is asked piece by piece, and what it has is read from its file.
type deadlines struct {
	*program
	s     *stage
	path  string
	piece int64 // that was asked for and is had
}

func startLibtorrent(s *stage, dir, role string) (viewer, error) {
	p, err := startProgram(dir, "/usr/bin/python3", s.script, viewerIP+":20000", s.torrent, dir, role)
	if err != nil {
		return nil, err
	}
	if _, err := p.line(s.o.patience); err != nil {
		p.stop()
		return nil, err
	}
	return &deadlines{program: p, s: s, path: filepath.Join(dir, filmName), piece: -1}, nil
}

func (v *deadlines) seek(int64) error {
	v.piece = -1
	return nil
}

func (v *deadlines) read(got, want []byte, off int64) error {
	const length = 1 << 20
	for piece := off / length; piece <= (off+int64(len(got))-1)/length; piece++ {
		if piece <= v.piece {
			continue
		}
		fmt.Fprintln(v.in, piece*length)
		if _, err := v.line(v.s.o.patience); err != nil {
			return err
		}
		v.piece = piece
	}
	return appears(v.path, got, want, off, time.Second)
}

// inOrder is aria2: it fetches in order, and what has come is seen in its file.
type inOrder struct {
	*program
	s    *stage
	path string
}

func startAria2(s *stage, dir string) (viewer, error) {
	p, err := startProgram(dir, "aria2c", "--no-conf", "--interface="+viewerIP, "--listen-port=20001", "--enable-dht=false", "--bt-enable-lpd=false",
		"--enable-peer-exchange=false", "--disable-ipv6=true", "--async-dns=false", "--file-allocation=none", "--stream-piece-selector=inorder",
		"--bt-prioritize-piece=head", "--disk-cache=0", "--bt-max-peers=0", "--bt-request-peer-speed-limit=1000M", "--seed-time=0",
		"--summary-interval=0", "--quiet", "--dir="+dir, s.torrent)
	if err != nil {
		return nil, err
	}
	return &inOrder{p, s, filepath.Join(dir, filmName)}, nil
}

func (v *inOrder) seek(int64) error { return nil }

func (v *inOrder) read(got, want []byte, off int64) error {
	return appears(v.path, got, want, off, v.s.o.patience)
}

// appears waits until what is at off of a file is what it should be.
func appears(path string, got, want []byte, off int64, within time.Duration) error {
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if f, err := os.Open(path); err == nil {
			n, _ := f.ReadAt(got, off)
			f.Close()
			if n == len(got) && bytes.Equal(got, want) {
				return nil
			}
		}
		if time.Since(begun) > within {
			return errSlow
		}
	}
}
