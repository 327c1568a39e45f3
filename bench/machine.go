//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is what the figures depend on besides the programs.
type machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	Memory     float64 `json:"memory_gib"`
	Kernel     string  `json:"kernel"`
	Congestion string  `json:"congestion_control"` // of TCP, in the namespace
	Go         string  `json:"go"`
}

func thisMachine() machine {
	var kb float64
	_, _ = fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kb)
	return machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: kb / (1 << 20), Kernel: firstLine("/proc/sys/kernel/osrelease"),
		Congestion: firstLine("/proc/sys/net/ipv4/tcp_congestion_control"), Go: runtime.Version(),
	}
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %.0f GiB, Linux %s, TCP %s, %s", m.CPU, m.Cores, m.Memory, m.Kernel, m.Congestion, m.Go)
}

// field returns what follows the first "name:" in a file of such lines.
func field(path, name string) string {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func firstLine(path string) string {
	b, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// output runs a command and returns the first line that it prints, "" if it fails.
func output(name string, args ...string) string {
	b, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}
