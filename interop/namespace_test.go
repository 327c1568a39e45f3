//go:build linux

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// aloneEnv names the test for which the test binary has been started once more, in a namespace that no other test uses.
const aloneEnv = "SHOAL_INTEROP_ALONE"

// alone runs the calling test in a network namespace of its own, without IPv6: it reports true there. To the outer test, which then
// has nothing left to do, it reports false, and fails it if the inner one fails.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) == t.Name() {
		for _, which := range []string{"all", "default"} { // its housekeeping packets would be counted
			must(t, os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", which, "disable_ipv6"), []byte("1"), 0))
		}
		return true
	}
	t.Parallel()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), aloneEnv+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("alone:\n%s", out)
	if err != nil {
		t.Errorf("alone: %v", err)
	} else if !strings.Contains(string(out), "--- PASS: "+t.Name()+" ") {
		t.Error("alone: it has not run")
	}
	return false
}

// namespace is another network namespace, which ends with the test.
type namespace struct {
	pid  int
	file *os.File
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	must(t, err)
	t.Cleanup(func() { file.Close() })
	return &namespace{cmd.Process.Pid, file}
}

// do runs f inside the namespace. Sockets that f opens, by addresses and not names, stay there.
func (n *namespace) do(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	must(t, <-done)
}

// ip runs lines of ip's batch language inside the namespace.
func (n *namespace) ip(t *testing.T, lines ...string) {
	t.Helper()
	runIP(t, exec.Command("nsenter", "-t", fmt.Sprint(n.pid), "-n", "ip", "-batch", "-"), lines)
}

// ip runs lines of ip's batch language in the test's own namespace.
func ip(t *testing.T, lines ...string) {
	t.Helper()
	runIP(t, exec.Command("ip", "-batch", "-"), lines)
}

func runIP(t *testing.T, cmd *exec.Cmd, lines []string) {
	t.Helper()
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip: %v: %s\n%s", err, out, strings.Join(lines, "\n"))
	}
}

// sent returns how many packets an interface of the test's own namespace has sent.
func sent(t *testing.T, device string) (packets int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/dev")
	must(t, err)
	for line := range strings.Lines(string(b)) {
		name, counters, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(name) == device {
			_, err := fmt.Sscan(strings.Fields(counters)[9], &packets)
			must(t, err)
			return packets
		}
	}
	t.Fatalf("there is no interface %s", device)
	return 0
}
