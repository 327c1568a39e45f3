//go:build linux

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// insideEnv tells the test binary that it has been started again inside the namespace.
const insideEnv = "SHOAL_INTEROP_INSIDE"

// addresses is how many addresses 10.77.0.1 … the namespace has: one for each peer, because libtorrent takes two peers
// on one address for one, and none from 127/8, because Transmission refuses those.
const addresses = 200

func TestMain(m *testing.M) {
	var code int
	var err error
	if os.Getenv(insideEnv) == "" {
		code, err = runInside()
	} else if err = prepare(); err == nil {
		code = m.Run()
		os.RemoveAll(scratch)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		code = 1
	}
	os.Exit(code)
}

// runInside runs this test binary once more in a network namespace of its own, which ends with its last process.
func runInside() (int, error) {
	// Most of the time of most tests is Transmission's: it reconsiders whom to serve every ten seconds only.
	cmd := exec.Command("/proc/self/exe", append([]string{"-test.parallel=6"}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return 1, fmt.Errorf("cannot make a network namespace, which only root may: %w", err)
	}
	return cmd.ProcessState.ExitCode(), nil
}

// scratch is a folder for what all tests share.
var scratch string

// prepare sets up the loopback interface inside the namespace.
func prepare() (err error) {
	if scratch, err = os.MkdirTemp("", "shoal-interop-"); err != nil {
		return err
	}
	ip, err := exec.LookPath("ip")
	if err != nil {
		return fmt.Errorf("ip is missing: apt-get install iproute2")
	}
	var lines strings.Builder
	fmt.Fprintln(&lines, "link set lo up")
	for i := range addresses {
		fmt.Fprintf(&lines, "addr add 10.77.0.%d/32 dev lo\n", i+1)
	}
	cmd := exec.Command(ip, "-batch", "-")
	cmd.Stdin = strings.NewReader(lines.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	return nil
}

var lastAddress atomic.Int32

// newIP returns an address that no other client uses.
func newIP() string {
	return fmt.Sprintf("10.77.0.%d", (lastAddress.Add(1)-1)%addresses+1)
}

// lastNumber returns N of the address 10.77.0.N.
func lastNumber(ip string) int {
	n, err := strconv.Atoi(ip[strings.LastIndexByte(ip, '.')+1:])
	if err != nil {
		panic(err)
	}
	return n
}

// shoalBinary returns the path of the shoal under test, which the first caller builds.
var shoalBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "shoal")
	cmd := exec.Command("go", "build", "-o", path, "shoal/cmd/shoal")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})
