//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// process is a program that is being measured.
type process struct {
	*exec.Cmd
	halted chan struct{}

	mu   sync.Mutex
	anon float64 // MiB, peak
}

// complaints passes on the first of what a program says on its standard error.
type complaints struct{ left int }

func (c *complaints) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	_, err := os.Stderr.Write(p[:n])
	return len(p), err
}

// launch starts a command and watches its memory.
func launch(cmd *exec.Cmd) (*process, error) {
	cmd.Stderr = &complaints{left: 1 << 10}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{Cmd: cmd, halted: make(chan struct{})}
	go p.sample()
	return p, nil
}

func (p *process) sample() {
	for {
		select {
		case <-p.halted:
			return
		case <-time.After(50 * time.Millisecond):
			now := p.anonNow()
			p.mu.Lock()
			p.anon = max(p.anon, now)
			p.mu.Unlock()
		}
	}
}

// anonNow returns the private memory in MiB.
func (p *process) anonNow() float64 {
	kb, _ := strconv.ParseFloat(strings.TrimSuffix(field(fmt.Sprintf("/proc/%d/status", p.Process.Pid), "RssAnon"), " kB"), 64)
	return kb / 1024
}

// anonPeak returns the most private memory that was seen, in MiB.
func (p *process) anonPeak() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.anon
}

// cpu returns the processor seconds used so far, in ticks of 10 ms.
func (p *process) cpu() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// busy returns the share of one core that is used during a time.
func (p *process) busy(d time.Duration) float64 {
	cpu, began := p.cpu(), time.Now()
	time.Sleep(d)
	return (p.cpu() - cpu) / time.Since(began).Seconds()
}

// end lets the program end by itself for a while, after which it is killed.
func (p *process) end(patience time.Duration) {
	close(p.halted)
	t := time.AfterFunc(patience, func() { p.Process.Kill() })
	defer t.Stop()
	p.Wait()
}
