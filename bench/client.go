//go:build linux

package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed libtorrentpeer.py
var libtorrentPeer string

// client is a program that takes part.
type client struct {
	name   string
	tests  string                                        // what it can do
	peer   func(addr, data string) []string              // speaks the line protocol; nil for tools that only create
	create func(path, out string, pieceLog int) []string // makes a v1 torrent
}

func (c client) can(test string) bool { return strings.Contains(" "+c.tests+" ", " "+test+" ") }

// find returns the clients that are installed, shoal first.
func (b *bench) find() error {
	peer, shoal := filepath.Join(b.dir, "swarmpeer"), filepath.Join(b.dir, "shoal")
	for out, pkg := range map[string]string{peer: "./bench/swarmpeer", shoal: "./cmd/shoal"} {
		if msg, err := exec.Command("go", "build", "-o", out, pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("building %s (run this from the project's root): %w: %s", pkg, err, msg)
		}
	}
	b.shoal = shoal
	b.clients = []client{{
		name: "shoal", tests: "pair files v2 swarm check create",
		peer: func(addr, data string) []string { return []string{peer, "--listen", addr, "--data", data} },
		create: func(path, out string, pieceLog int) []string {
			return []string{shoal, "create", path, "-o", out, "--v1", "-q", "--piece-size", strconv.Itoa(1 << pieceLog)}
		},
	}}
	b.versions = []string{"shoal " + output("git", "describe", "--always", "--dirty")}
	if v := output("/usr/bin/python3", "-c", "import libtorrent; print(libtorrent.__version__)"); v != "" {
		script := filepath.Join(b.dir, "libtorrentpeer.py")
		if err := os.WriteFile(script, []byte(libtorrentPeer), 0o644); err != nil {
			return err
		}
		b.clients = append(b.clients, client{
			name: "libtorrent", tests: "pair files v2 swarm check",
			peer: func(addr, data string) []string {
				return []string{"/usr/bin/python3", script, "--listen", addr, "--data", data}
			},
		})
		b.versions = append(b.versions, "libtorrent "+v)
	}
	if v := output("mktorrent", "-h"); v != "" {
		b.clients = append(b.clients, client{
			name: "mktorrent", tests: "create",
			create: func(path, out string, pieceLog int) []string {
				return []string{"mktorrent", "-t", "2", "-l", strconv.Itoa(pieceLog), "-o", out, path}
			},
		})
		b.versions = append(b.versions, v)
	}
	return nil
}

// process is a running peer.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	addr   string
	lines  chan string
	mu     sync.Mutex
	anon   float64 // MiB, peak
	halted chan struct{}
}

func startPeer(c client, addr, data string) (*process, error) {
	args := c.peer(addr, data)
	p := &process{cmd: exec.Command(args[0], args[1:]...), addr: addr, lines: make(chan string, 64), halted: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
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
			p.lines <- s.Text()
		}
	}()
	go p.sample()
	return p, p.expect("ready", 30*time.Second)
}

// expect waits for a line.
func (p *process) expect(want string, timeout time.Duration) error {
	after := time.After(timeout)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return fmt.Errorf("%s ended", p.cmd.Path)
			}
			if line == want {
				return nil
			}
		case <-after:
			return fmt.Errorf("%s: no %q within %v", p.cmd.Path, want, timeout)
		}
	}
}

func (p *process) say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.in, format+"\n", args...)
	return err
}

// uploaded asks how many payload bytes were sent.
func (p *process) uploaded(hash string) (int64, error) {
	if err := p.say("uploaded %s", hash); err != nil {
		return 0, err
	}
	for line := range p.lines {
		if n, ok := strings.CutPrefix(line, "uploaded "); ok {
			return strconv.ParseInt(n, 10, 64)
		}
	}
	return 0, io.ErrUnexpectedEOF
}

func (p *process) stop() {
	close(p.halted)
	p.in.Close()
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// sample keeps the peak of private memory.
func (p *process) sample() {
	for {
		select {
		case <-p.halted:
			return
		case <-time.After(50 * time.Millisecond):
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err != nil {
			return
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" {
				kb, _ := strconv.ParseFloat(f[1], 64)
				p.mu.Lock()
				p.anon = max(p.anon, kb/1024)
				p.mu.Unlock()
			}
		}
	}
}

func (p *process) peakAnon() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.anon
}

// cpu returns the processor seconds used so far, in ticks of 10 ms.
func (p *process) cpu() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}
