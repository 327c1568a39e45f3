//go:build linux

package interop

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// limit bounds every wait for a client.
const limit = 60 * time.Second

// process is a program that a test has started. It ends with the test at the latest.
type process struct {
	name   string
	cmd    *exec.Cmd
	home   string // its HOME and working folder
	stdin  io.WriteCloser
	stdout io.Reader // nil: it goes into the log
	done   chan struct{}
}

// needProgram returns the path of a program.
func needProgram(t *testing.T, name, apt string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, apt)
	}
	return path
}

// start runs a program in home with a minimal environment. Its output goes to a log, which is shown if the test fails;
// with pipe, the caller reads its standard output instead.
func start(t *testing.T, name, home string, pipe bool, path string, args ...string) *process {
	t.Helper()
	log, err := os.Create(filepath.Join(home, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, cmd: exec.Command(path, args...), home: home, done: make(chan struct{})}
	p.cmd.Dir = home
	p.cmd.Env = []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CACHE_HOME=" + home,
		"XDG_STATE_HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	var out *os.File
	if pipe {
		var in *os.File
		if in, out, err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
		p.cmd.Stdout, p.stdout = out, in
		t.Cleanup(func() { in.Close() })
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if out != nil {
		out.Close()
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		log.Close()
		if t.Failed() {
			showTail(t, name, log.Name())
		}
	})
	return p
}

// kill ends the process and waits until it has.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// terminate asks the process to end and waits for its exit code.
func (p *process) terminate(t *testing.T) int {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait(t)
}

// wait waits until the process ends by itself and returns its exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("%s has not ended after %v", p.name, limit)
		return -1
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func showTail(t *testing.T, name, path string) {
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return
	}
	if len(b) > 4000 {
		b = b[len(b)-4000:]
	}
	t.Logf("end of the log of %s:\n%s", name, b)
}

// waitFor polls until ready is true; an error from it, or the end of p (unless nil), fails the test.
func waitFor(t *testing.T, what string, p *process, ready func() (bool, error)) {
	t.Helper()
	var last error
	begin := time.Now()
	for time.Since(begin) < limit {
		ok, err := ready()
		if ok {
			t.Logf("%s: after %v", what, time.Since(begin).Round(10*time.Millisecond))
			return
		}
		last = err
		if p != nil && p.ended() {
			t.Fatalf("%s: %s has ended: %v", what, p.name, p.cmd.ProcessState)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: not after %v; last error: %v", what, limit, last)
}

// waitListening waits until somebody listens at a TCP address.
func waitListening(t *testing.T, p *process, addr string) {
	t.Helper()
	waitFor(t, p.name+" listens at "+addr, p, func() (bool, error) {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil, err
	})
}
