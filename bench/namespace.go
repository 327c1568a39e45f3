//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// inside marks the process that runs in the namespace.
const inside = "SHOAL_BENCH_INSIDE"

// peerAddr is the address of the n-th peer: one each, because some clients refuse 127.0.0.0/8 and two peers at one address.
func peerAddr(n int) string { return fmt.Sprintf("10.77.0.%d", n) }

// enter runs the program again in a network and a mount namespace of its own and exits with its status; in there it sets up lo.
func enter() error {
	if os.Getenv(inside) != "" {
		return setup()
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err == nil {
		os.Exit(0)
	}
	return err
}

func setup() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	for n := 1; n <= 40; n++ {
		if out, err := exec.Command("ip", "addr", "add", peerAddr(n)+"/32", "dev", "lo").CombinedOutput(); err != nil {
			return fmt.Errorf("ip addr add: %w: %s", err, out)
		}
	}
	// An address in a local network of lo is local, too: this gives the crowd all it needs.
	if out, err := exec.Command("ip", "addr", "add", "10.78.0.1/16", "dev", "lo").CombinedOutput(); err != nil {
		return fmt.Errorf("ip addr add: %w: %s", err, out)
	}
	return moreFiles()
}

// moreFiles raises the limit of open files as far as the system allows; programs that are started inherit it.
func moreFiles() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1 << 18, Max: max(l.Max, 1<<18)}); err == nil {
		return nil
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
}

// mountTmpfs makes a tmpfs for content and results: no disk is measured.
func mountTmpfs(bytes int64) (string, error) {
	dir, err := os.MkdirTemp("", "shoal-bench-")
	if err != nil {
		return "", err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		return "", fmt.Errorf("mounting a tmpfs: %w", err)
	}
	return dir, nil
}

// seedAddr is where the seed listens.
var seedAddr = peerAddr(2) + ":20002"

// leechAddr is where the i-th leecher listens.
func leechAddr(i int) string { return fmt.Sprintf("%s:%d", peerAddr(3+i), 20003+i) }
