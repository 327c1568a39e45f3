//go:build unix

package cli_test

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"shoal/internal/bencode"
	"shoal/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"shoal":  func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"player": player,
	})
}

// player is a program that plays: it reads all of a URL, its last argument, into the file "played".
func player() {
	resp, err := http.Get(os.Args[len(os.Args)-1])
	if err == nil && resp.StatusCode == http.StatusOK {
		var f *os.File
		if f, err = os.Create("played"); err == nil {
			_, err = io.Copy(f, resp.Body)
		}
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// patience bounds every wait of a script: far more than any takes.
const patience = time.Minute

// The scripts run shoal as people do. Beside what testscript has, they know:
//
//	code N VERB ARGS...      run shoal, which must end with exit code N
//	begin NAME VERB ARGS...  start shoal in the background
//	until NAME REGEXP [VAR]  wait until its output matches; the first group goes into VAR
//	interrupt NAME N         send SIGINT; it must end with exit code N
//	end NAME N               wait until it ends by itself, with exit code N
//	data FILE SIZE           make a file of random bytes, the same for the same name
//	httpd                    serve the folder over HTTP; its address goes into URL
//	fetch URL FILE           read a URL into a file, as a player would
//	escaping FILE DATA       make a torrent whose one file, DATA, wants to lie outside of the download folder
//
// Verbs that talk to peers are given a port on 127.0.0.1, and --isolated, unless they name their own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, ".state"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, ".home"))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each run of shoal lasts a second with -race
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Setenv("FREE", l.Addr().String()) // an address that nobody listens at
			l.Close()
			env.Values[programs{}] = map[string]*program{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "begin": begin, "until": until, "interrupt": interrupt, "end": end, "data": data, "httpd": httpd, "fetch": fetch, "escaping": escaping,
		},
	})
}

// local adds what keeps a verb on this machine.
func local(args []string) []string {
	if len(args) > 0 && slices.Contains([]string{"get", "play", "share", "seed"}, args[0]) && !slices.Contains(args, "--listen") {
		return append(slices.Clone(args), "--isolated", "--listen", "127.0.0.1:0")
	}
	if len(args) > 0 && args[0] == "daemon" {
		args = append(slices.Clone(args), "--isolated", "--listen", "127.0.0.1:0", "--no-dht")
		if !slices.Contains(args, "--api-listen") {
			args = append(args, "--api-listen", "127.0.0.1:0")
		}
		return args
	}
	return args
}

// command prepares a run of shoal.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	path := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "shoal") // where testscript puts it
	cmd := exec.Command(path, local(args)...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "XDG_STATE_HOME", "TMPDIR", "GOCOVERDIR", "GORACE", "SHOAL_HOME"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd
}

func need(ts *testscript.TestScript, neg bool, args []string, least int, use string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", use)
	}
}

func wantCode(ts *testscript.TestScript, text string, cmd *exec.Cmd, err error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != text {
		ts.Fatalf("exit code %s, want %s", got, text)
	}
}

func code(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "code N VERB ARGS...")
	cmd := command(ts, args[1:])
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	err := cmd.Run()
	timer.Stop()
	ts.Stdout().Write(out.Bytes())
	ts.Stderr().Write(errs.Bytes())
	ts.Logf("%s%s", out.Bytes(), errs.Bytes())
	wantCode(ts, args[0], cmd, err)
}

type programs struct{}

// program is shoal in the background.
type program struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // once done

	mu  sync.Mutex
	out bytes.Buffer // both streams
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *program) text() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.out.Bytes())
}

func running(ts *testscript.TestScript, name string) *program {
	p := ts.Value(programs{}).(map[string]*program)[name]
	if p == nil {
		ts.Fatalf("%s was not begun", name)
	}
	return p
}

func begin(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "begin NAME VERB ARGS...")
	p := &program{cmd: command(ts, args[1:]), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	ts.Check(p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	ts.Defer(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	ts.Value(programs{}).(map[string]*program)[args[0]] = p
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "until NAME REGEXP [VAR]")
	p, re := running(ts, args[0]), regexp.MustCompile(args[1])
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		ended := false
		select {
		case <-p.done:
			ended = true
		default:
		}
		if m := re.FindSubmatch(p.text()); m != nil {
			if len(args) > 2 {
				ts.Setenv(args[2], string(m[1]))
			}
			return
		}
		if ended || time.Since(began) > patience {
			ts.Fatalf("%s (ended: %v) has not said %s:\n%s", args[0], ended, re, p.text())
		}
	}
}

func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "interrupt NAME N")
	ts.Check(running(ts, args[0]).cmd.Process.Signal(syscall.SIGINT))
	end(ts, neg, args)
}

func end(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "end NAME N")
	p := running(ts, args[0])
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s does not end:\n%s", args[0], p.text())
	}
	ts.Stdout().Write(p.text())
	ts.Logf("%s", p.text())
	wantCode(ts, args[1], p.cmd, p.err)
}

func data(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "data FILE SIZE")
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	var seed [32]byte
	copy(seed[:], filepath.Base(args[0]))
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.Create(path)
	ts.Check(err)
	_, err = io.CopyN(f, rand.NewChaCha8(seed), size)
	ts.Check(errors.Join(err, f.Close()))
}

func httpd(ts *testscript.TestScript, neg bool, args []string) {
	s := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs("."))))
	ts.Defer(s.Close)
	ts.Setenv("URL", s.URL)
}

func fetch(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "fetch URL FILE")
	resp, err := http.Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	_, err = io.Copy(f, resp.Body)
	ts.Check(errors.Join(err, f.Close()))
}

func escaping(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "escaping FILE DATA")
	b := ts.ReadFile(args[1])
	var pieces strings.Builder
	for piece := range slices.Chunk([]byte(b), 16384) {
		h := sha1.Sum(piece)
		pieces.Write(h[:])
	}
	info := map[string]any{"name": "..", "piece length": 16384, "pieces": pieces.String(),
		"files": []any{map[string]any{"length": len(b), "path": []any{"..", "..", filepath.Base(args[1])}}}}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bencode.Append(nil, map[string]any{"info": info}), 0o644))
}

// A script that nobody reads would pass for want of one.
func TestScriptsExist(t *testing.T) {
	list, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(list) < 10 {
		t.Error(fmt.Sprint(len(list), " scripts"), err)
	}
}
