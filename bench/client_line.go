//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// linePeer is a client behind the line protocol of docs/performance.md.
type linePeer struct {
	*process
	in    io.WriteCloser
	lines chan string
}

// lineProtocol starts peers of a command that speaks the line protocol.
func lineProtocol(command ...string) func(addr, data string, more ...string) (peer, error) {
	return func(addr, data string, more ...string) (peer, error) {
		args := append(append(command[1:len(command):len(command)], "--listen", addr, "--data", data), more...)
		cmd := exec.Command(command[0], args...)
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		p := &linePeer{in: in, lines: make(chan string, 64)}
		if p.process, err = launch(cmd); err != nil {
			return nil, err
		}
		go func() {
			defer close(p.lines)
			for s := bufio.NewScanner(out); s.Scan(); {
				p.lines <- s.Text()
			}
		}()
		if err := p.expect("ready", 30*time.Second); err != nil {
			p.stop()
			return nil, err
		}
		return p, nil
	}
}

func (p *linePeer) measured() *process { return p.process }

func (p *linePeer) say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.in, format+"\n", args...)
	return err
}

// line returns the next line that begins with a word, without the word.
func (p *linePeer) line(word string, timeout time.Duration) (string, error) {
	after := time.After(timeout)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return "", fmt.Errorf("%s ended", p.Path)
			}
			if w, rest, _ := strings.Cut(line, " "); w == word {
				return rest, nil
			}
		case <-after:
			return "", fmt.Errorf("%s: no %q within %v", p.Path, word, timeout)
		}
	}
}

func (p *linePeer) expect(word string, timeout time.Duration) error {
	_, err := p.line(word, timeout)
	return err
}

func (p *linePeer) add(torrent, hash string) error { return p.say("add %s %s", torrent, hash) }

func (p *linePeer) done(hash string, timeout time.Duration) error {
	for end := time.Now().Add(timeout); ; {
		if got, err := p.line("done", time.Until(end)); err != nil || got == hash {
			return err
		}
	}
}

func (p *linePeer) uploaded(hash string) (int64, error) {
	if err := p.say("uploaded %s", hash); err != nil {
		return 0, err
	}
	n, err := p.line("uploaded", 10*time.Second)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(n, 10, 64)
}

// stop ends the standard input, which ends the program.
func (p *linePeer) stop() {
	p.in.Close()
	go func() {
		for range p.lines { // until it has ended
		}
	}()
	p.end(5 * time.Second)
}
