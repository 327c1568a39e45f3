//go:build unix

package node_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shoal/internal/api"
	"shoal/internal/config"
	"shoal/internal/database"
	"shoal/internal/library"
	"shoal/internal/node"
)

// patience bounds every wait: far more than any takes.
const patience = 30 * time.Second

// TestMain runs a node instead of the tests, if it is told to: one that can be killed.
func TestMain(m *testing.M) {
	if home := os.Getenv("NODE_TEST_HOME"); home != "" {
		if err := node.Run(context.Background(), options(home, os.Stdout)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func options(home string, out io.Writer, more ...string) node.Options {
	return node.Options{Version: "test", Out: out, Log: io.Discard, Config: config.Options{Home: home, Environ: append([]string{
		"SHOAL_NETWORK_LISTEN=127.0.0.1:0", "SHOAL_NETWORK_ISOLATED=true", "SHOAL_NETWORK_DHT=false", "SHOAL_API_LISTEN=127.0.0.1:0",
	}, more...)}}
}

// runner is a node in this process.
type runner struct {
	*testing.T
	*api.Client
	home string
	out  *output
	stop func() error
}

// output can be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, home string, more ...string) *runner {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{T: t, home: home, out: &output{}}
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx, options(home, r.out, more...)) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = r.stop() })
	r.reach(done)
	return r
}

// reach waits until the node answers.
func (r *runner) reach(done <-chan error) {
	r.Helper()
	r.Client = api.NewLocal(filepath.Join(r.home, "run", "api.sock"))
	r.Cleanup(r.Client.Close)
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := r.Stats(context.Background()); err == nil {
			return
		} else if time.Now().After(end) {
			r.Fatal(err)
		}
		select {
		case err := <-done:
			r.Fatalf("the node has ended: %v", err)
		default:
		}
	}
}

func (r *runner) add(hash string) string {
	r.Helper()
	got, err := r.Add(r.Context(), api.AddRequest{Links: []string{hash}})
	if err != nil || len(got.Added) != 1 {
		r.Fatalf("%+v, %v", got, err)
	}
	return got.Added[0].ID
}

func (r *runner) setting(key string) api.Setting {
	r.Helper()
	list, err := r.Settings(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	for _, s := range list {
		if s.Key == key {
			return s
		}
	}
	r.Fatalf("no setting %s", key)
	panic("unreachable")
}

func hash(i int) string { return fmt.Sprintf("%040x", i+1) }

// TestNode remembers from run to run what was added and set, and tells where it is to be found.
func TestNode(t *testing.T) {
	home := t.TempDir()
	r := start(t, home)
	if !strings.Contains(r.out.String(), "/#/setup?code=") {
		t.Errorf("no link to begin with: %q", r.out)
	}
	id := r.add(hash(1))
	if _, err := r.ChangeSettings(t.Context(), map[string]any{"bandwidth.down": "1MB"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ChangeSettings(t.Context(), map[string]any{"network.isolated": false}); err == nil {
		t.Error("what the environment sets was changed")
	}
	if err := r.AddUser(t.Context(), api.UserRequest{Name: "ann", Password: "correct horse battery", Role: "admin"}); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = start(t, home)
	if strings.Contains(r.out.String(), "setup") {
		t.Errorf("%q", r.out)
	}
	if _, err := r.Get(t.Context(), id); err != nil {
		t.Error(err)
	}
	if s := r.setting("bandwidth.down"); s.Source != "saved" || string(s.Value) != "1000000" && string(s.Value) != `"1MB"` {
		t.Errorf("%+v", s)
	}
}

// TestSecondNode is refused, and harms nothing.
func TestSecondNode(t *testing.T) {
	home := t.TempDir()
	r := start(t, home)
	err := node.Run(t.Context(), options(home, io.Discard))
	if !errors.Is(err, database.ErrLocked) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("%v", err)
	}
	if _, err := r.Stats(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestKilled kills a node again and again while it is told things. What it has answered to is there afterwards.
func TestKilled(t *testing.T) {
	home := t.TempDir()
	acknowledged := map[string]bool{}
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "NODE_TEST_HOME="+home)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		r := &runner{T: t, home: home}
		r.reach(done)
		page, err := r.List(t.Context(), library.Query{})
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, row := range page.Torrents {
			have[row.ID] = true
		}
		for id := range acknowledged {
			if !have[id] {
				t.Errorf("round %d: %s is lost", round, id)
			}
		}
		kill := time.AfterFunc(time.Duration(20+40*round)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for i := 0; ; i++ {
			got, err := r.Add(t.Context(), api.AddRequest{Links: []string{hash(round*10_000 + i)}, Tags: []string{"round" + strconv.Itoa(round)}})
			if err != nil {
				break
			}
			acknowledged[got.Added[0].ID] = true
		}
		kill.Stop()
		<-done
	}
	if len(acknowledged) < 20 {
		t.Errorf("only %d were added", len(acknowledged))
	}
}

// TestCorruptState sets a corrupt database aside, and makes the list anew from the torrents' files.
func TestCorruptState(t *testing.T) {
	home := t.TempDir()
	r := start(t, home)
	id := r.add(hash(7))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, "state", "shoal.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(b); i++ {
		b[i] ^= 0x5a
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r = start(t, home)
	if _, err := r.Get(t.Context(), id); err != nil {
		t.Error(err)
	}
	if aside, err := filepath.Glob(path + ".corrupt-*"); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v, %v", aside, err)
	}
	lines, err := r.Log(t.Context(), 0, "warn")
	if err != nil {
		t.Fatal(err)
	}
	said, err := json.Marshal(lines)
	if err != nil || !strings.Contains(string(said), "corrupt") || !strings.Contains(string(said), "made anew") {
		t.Errorf("%s, %v", said, err)
	}
}

// TestPortFile follows a port that a VPN's client writes down.
func TestPortFile(t *testing.T) {
	home := t.TempDir()
	ports := make([]string, 2)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
		l.Close()
	}
	file := filepath.Join(home, "port")
	if err := os.WriteFile(file, []byte(ports[0]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, home, "SHOAL_NETWORK_PORT_FILE="+file)
	id := r.add(hash(3))
	r.port(ports[0])
	if err := os.WriteFile(file, []byte(ports[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	r.port(ports[1])
	if _, err := r.Get(t.Context(), id); err != nil {
		t.Errorf("after a new beginning: %v", err)
	}
}

// port waits until peers reach the node at a port.
func (r *runner) port(want string) {
	r.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		st, err := r.Stats(context.Background())
		if err == nil && strconv.Itoa(st.Port) == want {
			return
		}
		if time.Now().After(end) {
			r.Fatalf("port %d, not %s: %v", st.Port, want, err)
		}
	}
}

// TestReload reads the file of settings again on SIGHUP; a wrong one changes nothing.
func TestReload(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, "config.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, home)
	until := func(want string) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if s := r.setting("queue.active_downloads"); string(s.Value) == want && s.Source == "file" {
				return
			} else if time.Now().After(end) {
				t.Fatalf("%+v", s)
			}
		}
	}
	write("[queue]\nactive_downloads = 17\n")
	until("17")
	write("[queue]\nactive_downloads = many\n")
	write("[queue]\nactive_downloads = 18\n")
	until("18")
}

// TestDump writes what it is doing to the log on SIGUSR1.
func TestDump(t *testing.T) {
	r := start(t, t.TempDir())
	r.add(hash(1))
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	r.says("info", "goroutines", "torrents.metadata", "state of a disk")
}

// says waits until the log holds all of some words.
func (r *runner) says(level string, words ...string) {
	r.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		lines, err := r.Log(r.Context(), 0, level)
		if err != nil {
			r.Fatal(err)
		}
		said, err := json.Marshal(lines)
		if err != nil {
			r.Fatal(err)
		}
		missing := ""
		for _, w := range words {
			if !strings.Contains(string(said), w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			r.Fatalf("no %q in %s", missing, said)
		}
	}
}

// share has the node hash and seed a new file, and returns all about it.
func (r *runner) share(path string) library.Detail {
	r.Helper()
	if err := os.WriteFile(path, bytes.Repeat([]byte(path), 2000), 0o600); err != nil {
		r.Fatal(err)
	}
	job, err := r.Share(r.Context(), library.ShareRequest{Path: path})
	for err == nil && job.State == "running" {
		time.Sleep(5 * time.Millisecond)
		job, err = r.Job(r.Context(), job.ID)
	}
	if err != nil || job.Torrent == "" {
		r.Fatalf("%+v, %v", job, err)
	}
	r.is(job.Torrent, library.Seeding)
	d, err := r.Get(r.Context(), job.Torrent)
	if err != nil {
		r.Fatal(err)
	}
	return d
}

// is waits until a torrent is in a state.
func (r *runner) is(id string, s library.State) {
	r.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		d, err := r.Get(r.Context(), id)
		if err == nil && d.State == s {
			return
		}
		if time.Now().After(end) {
			r.Fatalf("not %s: %+v, %v", s, d.Torrent, err)
		}
	}
}

// TestCorruptFiles passes over what is corrupt of the state, with warnings, and has the other torrents work.
func TestCorruptFiles(t *testing.T) {
	home, src := t.TempDir(), t.TempDir()
	browse := "SHOAL_FOLDERS_BROWSE=" + src
	r := start(t, home, browse)
	metadata, wanted, sound := r.share(filepath.Join(src, "metadata")), r.share(filepath.Join(src, "wanted")), r.share(filepath.Join(src, "sound"))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(home, "state")
	spoil := func(name string) {
		t.Helper()
		path := filepath.Join(state, name)
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Repeat([]byte("{corrupt"), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoil("shoal.db")
	spoil(filepath.Join("torrents", wanted.ID+".wanted.json"))
	for _, h := range []string{metadata.HashV1, metadata.HashV2} {
		if h != "" {
			spoil(filepath.Join("torrents", h[:40]+".torrent"))
		}
	}
	r = start(t, home, browse)
	r.is(sound.ID, library.Seeding)
	r.is(metadata.ID, library.Metadata)
	if _, err := r.Get(t.Context(), wanted.ID); err == nil {
		t.Error("a torrent was made of a corrupt file")
	}
	r.says("warn", "is corrupt", wanted.ID, "a torrent's file cannot be read and was left out", metadata.ID, "metadata of a torrent is missing or corrupt")
}

// TestLeftBehind replaces the socket that a killed node has left behind.
func TestLeftBehind(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "run", "api.sock")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	start(t, home)
}

// TestNoRoomForState tells what is wrong when the state cannot be kept.
func TestNoRoomForState(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "state"), []byte("a file, not a folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := node.Run(t.Context(), options(home, io.Discard)); err == nil || !strings.Contains(err.Error(), filepath.Join(home, "state")) {
		t.Errorf("%v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	err = node.Run(t.Context(), options(t.TempDir(), io.Discard, "SHOAL_API_LISTEN="+taken.Addr().String()))
	if !errors.Is(err, node.ErrListen) || !strings.Contains(err.Error(), "api.listen") {
		t.Errorf("%v", err)
	}
}

// TestTLS serves HTTPS with the certificate of the settings.
func TestTLS(t *testing.T) {
	home := t.TempDir()
	cert, key := filepath.Join(home, "cert.pem"), filepath.Join(home, "key.pem")
	pool := certify(t, cert, key)
	r := start(t, home, "SHOAL_API_TLS_CERT="+cert, "SHOAL_API_TLS_KEY="+key)
	found := regexp.MustCompile(`https://(127\.0\.0\.1:\d+)/`).FindStringSubmatch(r.out.String())
	if found == nil {
		t.Fatalf("%q", r.out)
	}
	c, err := tls.Dial("tcp", found[1], &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || !bytes.Contains(answer, []byte("200 OK")) {
		t.Errorf("%q, %v", answer, err)
	}
	_ = r.stop()
	if err := node.Run(t.Context(), options(home, io.Discard, "SHOAL_API_TLS_CERT="+key, "SHOAL_API_TLS_KEY="+key)); err == nil || !strings.Contains(err.Error(), "api.tls_cert") {
		t.Errorf("a key for a certificate: %v", err)
	}
}

// certify makes a certificate for 127.0.0.1.
func certify(t *testing.T, cert, key string) *x509.CertPool {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(os.WriteFile(cert, text, 0o600), os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}
