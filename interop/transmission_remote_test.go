//go:build linux

package interop

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"shoal/internal/accounts"
	"shoal/internal/api/apitest"
	"shoal/internal/api/server"
	rpc "shoal/internal/api/transmission"
	"shoal/internal/database"
	"shoal/internal/library"
	"shoal/internal/logring"
)

// remote is Transmission's own command line, set on a server of ours whose torrents are made up.
type remote struct {
	t       *testing.T
	address string
	login   string
	lib     *apitest.Library
}

func startRemote(t *testing.T) *remote {
	t.Helper()
	db, _, err := database.Open(filepath.Join(t.TempDir(), "db"))
	must(t, err)
	t.Cleanup(func() { db.Close() })
	a, err := accounts.New(db)
	must(t, err)
	must(t, a.AddUser(t.Context(), "ann", "correct horse", accounts.Admin))
	r := &remote{t: t, login: "ann:correct horse", lib: apitest.New(30)}
	s, err := server.New(server.Config{Library: r.lib, Accounts: a, Log: logring.New(100), Transmission: rpc.New(rpc.Config{Library: r.lib})})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		must(t, <-served)
	})
	return r
}

// fails runs it and returns what it prints, with whether it failed.
func (r *remote) fails(args ...string) (string, bool) {
	r.t.Helper()
	cmd := exec.Command("transmission-remote", append([]string{r.address, "-n", r.login}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err != nil
}

// run runs it and wants each of the expressions in what it prints.
func (r *remote) run(args []string, want ...string) string {
	r.t.Helper()
	out, failed := r.fails(args...)
	if failed {
		r.t.Fatalf("transmission-remote %q failed: %s", args, out)
	}
	for _, w := range want {
		if !regexp.MustCompile(w).MatchString(out) {
			r.t.Fatalf("transmission-remote %q: no %q in\n%s", args, w, out)
		}
	}
	return out
}

func words(s string) []string { return strings.Fields(s) }

func TestTransmissionRemote(t *testing.T) {
	t.Parallel()
	r := startRemote(t)
	r.lib.Step()

	r.login = "ann:wrong"
	if out, _ := r.fails("-l"); !strings.Contains(out, "401") {
		t.Fatalf("a wrong password was taken: %s", out)
	}
	r.login = "ann:correct horse"

	list := r.run(words("-l"), `(?m)^ +ID +Done +Have`, `Idle`, `Stopped`, `(?m)^Sum:`)
	if n := strings.Count(list, "\n"); n != 32 {
		t.Fatalf("%d lines:\n%s", n, list)
	}
	r.run(words("-si"), `Daemon version: 4\.1\.0`, `RPC version: 18`)
	r.run(words("-st"), `CURRENT SESSION`, `TOTAL`)

	file := filepath.Join(t.TempDir(), "a.torrent")
	must(t, os.WriteFile(file, []byte("d4:infod6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee"), 0o600))
	r.run([]string{"-a", file}, `success`)
	r.run([]string{"-a", "magnet:?xt=urn:btih:1111111111111111111111111111111111111111", "-w", "/srv/elsewhere"}, `success`)
	if len(r.lib.Requests) != 2 || r.lib.Requests[0].Torrent == nil || r.lib.Requests[1].Dir != "/srv/elsewhere" {
		t.Fatalf("added %+v", r.lib.Requests)
	}
	if out, _ := r.fails("-a", "nonsense"); !strings.Contains(out, "cannot be done") {
		t.Fatalf("nonsense was added: %s", out)
	}

	var id string
	for _, x := range r.lib.Order {
		if r.lib.Torrents[x].State == library.Downloading && r.lib.Torrents[x].Peers > 0 {
			id = x
		}
	}
	d := r.lib.Torrents[id]
	r.run([]string{"-t", id, "-i"}, regexp.QuoteMeta(d.Name), id, `State: Downloading`, `Location: /srv/downloads`, `Magnet: magnet:`)
	r.run([]string{"-t", "1", "-f"}, `files\)`, `100%|%: Normal`)
	r.run([]string{"-t", id, "-ip"}, `198\.51\.100\.1`, `Made Up 1\.0`)
	r.run([]string{"-t", id, "-it"}, `tracker\.example\.org`, `Tracker 0`)
	r.run([]string{"-t", id, "-ic"}, `[01]{8}`)

	r.run([]string{"-t", id, "-S"}, `success`)
	r.is(id, func(x *apitest.Torrent) bool { return x.State == library.Paused })
	r.run([]string{"-t", id, "-s"}, `success`)
	r.is(id, func(x *apitest.Torrent) bool { return x.State == library.Downloading })
	r.run([]string{"-t", id, "-v"}, `success`)
	r.run([]string{"-t", id, "--reannounce"}, `success`)
	r.run([]string{"-t", id, "-d", "250", "-sr", "1.5"}, `success`)
	r.is(id, func(x *apitest.Torrent) bool { return x.DownLimit == 250_000 && x.SeedRatio == 1.5 })
	r.run([]string{"-t", id, "-L", "a,b"}, `success`)
	r.is(id, func(x *apitest.Torrent) bool { return len(x.Tags) == 2 })
	r.run([]string{"-t", id, "-G", "0"}, `success`)
	if files, err := r.lib.Files(id); err != nil || files[0].Priority != library.Skip {
		t.Fatalf("%+v, %v", files, err)
	}
	r.run([]string{"-t", id, "-td", "http://new.example/announce"}, `success`)
	r.run([]string{"-t", id, "--move", "/srv/moved"}, `success`)
	r.is(id, func(x *apitest.Torrent) bool { return x.Dir == "/srv/moved" })
	r.run([]string{"-t", id, "-rad"}, `success`)
	if _, err := r.lib.Get(id); err == nil {
		t.Fatal("it is still there")
	}
	r.run([]string{"-t", "all", "-S"}, `success`)
	if out := r.run(words("-l")); strings.Contains(out, "Downloading") {
		t.Fatalf("not all stopped:\n%s", out)
	}
}

// is fails the test unless a torrent is as it should be.
func (r *remote) is(id string, so func(*apitest.Torrent) bool) {
	r.t.Helper()
	if x := r.lib.Torrents[id]; x == nil || !so(x) {
		r.t.Fatalf("it is %+v", x)
	}
}
