//go:build linux

package interop

import (
	"context"
	"fmt"
	"math/bits"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shoal/internal/netx"
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
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=40m")
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
	must(t, n.try(f))
}

// try is do for other goroutines than the test's.
func (n *namespace) try(f func() error) error {
	done := make(chan error)
	go func() {
		// The thread goes back rather than end: processes that were started on it would end with it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer own.Close()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		err = f()
		if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
			panic(back)
		}
		done <- err
	}()
	return <-done
}

// farHost is the network of the machine as which another namespace acts. It takes addresses only.
type farHost struct {
	*netx.Host
	n *namespace
}

func (n *namespace) host() netx.Network { return &farHost{netx.NewHost(netx.Options{}), n} }

func (h *farHost) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = h.n.try(func() (err error) {
		c, err = h.Host.Dial(ctx, network, addr)
		return err
	})
	return c, err
}

func (h *farHost) Listen(ctx context.Context, network, addr string) (l net.Listener, err error) {
	err = h.n.try(func() (err error) {
		l, err = h.Host.Listen(ctx, network, addr)
		return err
	})
	return l, err
}

func (h *farHost) ListenPacket(ctx context.Context, network, addr string) (c net.PacketConn, err error) {
	err = h.n.try(func() (err error) {
		c, err = h.Host.ListenPacket(ctx, network, addr)
		return err
	})
	return c, err
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

// capture counts what leaves by an interface of the test's own namespace, but for ARP, by which the kernel keeps its neighbours known.
type capture struct {
	socket int

	mu      sync.Mutex
	packets []string // what is no answer of the kernel's
	answers int      // of the kernel's to packets for sockets that are closed: resets, unreachable ports
}

// watch starts a capture, which ends with the test.
func watch(t *testing.T, device string) *capture {
	t.Helper()
	i, err := net.InterfaceByName(device)
	must(t, err)
	all := bits.ReverseBytes16(unix.ETH_P_ALL)
	c := &capture{}
	c.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all))
	must(t, err)
	must(t, unix.Bind(c.socket, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}))
	must(t, unix.SetsockoptTimeval(c.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}))
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		b := make([]byte, 2000)
		for {
			n, from, err := unix.Recvfrom(c.socket, b, 0)
			l, ok := from.(*unix.SockaddrLinklayer)
			if err == nil && ok && l.Pkttype == unix.PACKET_OUTGOING && l.Protocol != bits.ReverseBytes16(unix.ETH_P_ARP) {
				c.note(b[:n])
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		wg.Wait()
		unix.Close(c.socket)
	})
	return c
}

func (c *capture) note(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(b) >= 20 && b[0]>>4 == 4 {
		rest := b[min(len(b), int(b[0]&15)*4):]
		unreachable := b[9] == unix.IPPROTO_ICMP && len(rest) > 0 && rest[0] == 3
		reset := b[9] == unix.IPPROTO_TCP && len(rest) > 13 && rest[13]&4 != 0
		if unreachable || reset {
			c.answers++
			return
		}
	}
	if len(b) >= 40 && b[0]>>4 == 6 && (b[6] == unix.IPPROTO_ICMPV6 || b[6] == 0) {
		c.answers++ // looking for neighbours and routers
		return
	}
	c.packets = append(c.packets, fmt.Sprintf("% x", b))
}

// left returns what has left since the last call, but for the kernel's answers, and how many of those there were. It leaves
// the kernel a moment for what is under way.
func (c *capture) left() (packets []string, answers int) {
	time.Sleep(50 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	packets, answers = c.packets, c.answers
	c.packets, c.answers = nil, 0
	return packets, answers
}
