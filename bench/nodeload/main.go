//go:build linux

// Command nodeload measures what a node with very many torrents costs: adding them, starting again, memory, processor time, answers of the API.
// It makes the torrents itself, of one small file each, and talks to the node over its Unix socket alone.
//
//	go run ./bench/nodeload [-torrents 20000] [-window 30s]
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"shoal/internal/bt/create"
	"shoal/internal/bt/metainfo"
	"shoal/internal/netx"
	"shoal/internal/netx/local"
)

func main() {
	n := flag.Int("torrents", 20_000, "how many torrents")
	window := flag.Duration("window", 30*time.Second, "how long idleness is watched")
	home := flag.String("home", "", "folder for the node, which is kept, and begun with as it is if it is there; empty: a new one")
	flag.Parse()
	if err := measure(*n, *window, *home); err != nil {
		fmt.Fprintln(os.Stderr, "nodeload:", err)
		os.Exit(1)
	}
}

// load is a run of the measurement.
type load struct {
	home   string
	bin    string
	client *http.Client
	node   *exec.Cmd
}

func measure(n int, window time.Duration, home string) (err error) {
	if home == "" {
		if home, err = os.MkdirTemp("", "nodeload"); err != nil {
			return err
		}
		defer os.RemoveAll(home)
	}
	l := &load{home: home, bin: filepath.Join(home, "shoal"), client: netx.HTTPClient(local.Socket(filepath.Join(home, "run", "api.sock")), netx.HTTPOptions{})}
	if out, err := exec.Command("go", "build", "-o", l.bin, "./cmd/shoal").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	defer l.kill()
	empty := 8.0 // MiB, if it is not measured
	if _, err := os.Stat(filepath.Join(home, "state")); err != nil {
		if empty, err = l.fill(n); err != nil {
			return err
		}
	}
	took, err := l.start(n)
	if err != nil {
		return err
	}
	fmt.Printf("start until all seed         %6.2f s, %.2f s of processor time\n", took.Seconds(), l.cpu())
	time.Sleep(window)
	cpu := l.cpu()
	time.Sleep(window)
	fmt.Printf("idle                         %6.2f %% of a core over %v\n", 100*(l.cpu()-cpu)/window.Seconds(), window)
	fmt.Printf("private memory               %6.0f MiB, %.1f KiB a torrent beyond the %.0f MiB of an empty node\n", l.anon(), (l.anon()-empty)*1024/float64(n), empty)
	if err := l.answers(); err != nil {
		return err
	}
	if err := l.events(window); err != nil {
		return err
	}
	return l.stop()
}

// fill makes torrents, adds them to a new node and stops it. It returns the private memory of the node without torrents.
func (l *load) fill(n int) (empty float64, err error) {
	torrents, err := generate(filepath.Join(l.home, "downloads"), n)
	if err != nil {
		return 0, err
	}
	took, err := l.start(0)
	if err != nil {
		return 0, err
	}
	fmt.Printf("start without torrents       %6.2f s\n", took.Seconds())
	empty = l.anon()
	began := time.Now()
	if err := l.add(torrents); err != nil {
		return 0, err
	}
	acknowledged := time.Since(began)
	if err := l.until(n, 5*time.Minute); err != nil {
		return 0, err
	}
	fmt.Printf("%d added, checked, seeding %6.2f s (answered after %.2f s)\n", n, time.Since(began).Seconds(), acknowledged.Seconds())
	began = time.Now()
	if err := l.stop(); err != nil {
		return 0, err
	}
	fmt.Printf("stop                         %6.2f s\n", time.Since(began).Seconds())
	return empty, nil
}

// generate makes content and its torrents.
func generate(dir string, n int) ([][]byte, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	rng := rand.NewChaCha8([32]byte{5})
	b := make([]byte, 16<<10)
	var out [][]byte
	for i := range n {
		_, _ = rng.Read(b)
		path := filepath.Join(dir, fmt.Sprintf("file-%05d.bin", i))
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return nil, err
		}
		m, _, err := create.Torrent(context.Background(), path, metainfo.CreateOptions{Version: metainfo.V1, PieceLength: 16 << 10}, func(int64, int64) {})
		if err != nil {
			return nil, err
		}
		out = append(out, m.Encode())
	}
	return out, nil
}

// start starts the node and waits until n torrents seed.
func (l *load) start(n int) (time.Duration, error) {
	began := time.Now()
	l.node = exec.Command(l.bin, "daemon", "--home", l.home, "--isolated", "--listen", "127.0.0.1:0", "--api-listen", "off", "--no-dht", "--quiet", "--log-level", "warn")
	l.node.Stderr = os.Stderr
	l.node.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.node.Start(); err != nil {
		return 0, err
	}
	err := l.until(n, time.Minute)
	return time.Since(began), err
}

func (l *load) until(n int, within time.Duration) error {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		var page struct {
			Counts struct {
				State map[string]int `json:"state"`
			} `json:"counts"`
		}
		if err := l.get("/torrents?limit=1", &page); err == nil && page.Counts.State["seeding"] >= n {
			return nil
		}
	}
	return fmt.Errorf("not all of %d torrents seed after %v", n, within)
}

func (l *load) stop() error {
	if err := l.node.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return l.node.Wait()
}

func (l *load) kill() {
	if l.node != nil && l.node.ProcessState == nil {
		_ = l.node.Process.Kill()
		_ = l.node.Wait()
	}
}

func (l *load) get(path string, into any) error {
	resp, err := l.client.Get("http://shoal/api/v1" + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// add adds the torrents, fifty with each request.
func (l *load) add(torrents [][]byte) error {
	for len(torrents) > 0 {
		some := torrents[:min(50, len(torrents))]
		torrents = torrents[len(some):]
		var list []string
		for _, b := range some {
			list = append(list, base64.StdEncoding.EncodeToString(b))
		}
		body, err := json.Marshal(map[string]any{"torrents": list})
		if err != nil {
			return err
		}
		resp, err := l.client.Post("http://shoal/api/v1/torrents", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			return fmt.Errorf("adding: %s: %s", resp.Status, answer)
		}
	}
	return nil
}

// answers times lists in several orders.
func (l *load) answers() error {
	for _, q := range []string{"sort=added&desc=true", "sort=name", "sort=up_rate&desc=true", "sort=name&q=file-01", "sort=size&offset=19000"} {
		best, sum, runs := time.Hour, time.Duration(0), 20
		for range runs {
			began := time.Now()
			if err := l.get("/torrents?limit=100&"+q, nil); err != nil {
				return err
			}
			d := time.Since(began)
			best, sum = min(best, d), sum+d
		}
		fmt.Printf("list of 100, %-24s %6.2f ms in the mean, %.2f ms at best\n", q, float64(sum.Microseconds())/1000/float64(runs), float64(best.Microseconds())/1000)
	}
	return nil
}

// events watches a window of fifty rows.
func (l *load) events(window time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), window)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://shoal/api/v1/events?limit=50&sort=name", nil)
	if err != nil {
		return err
	}
	cpu := l.cpu()
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, _ := io.Copy(io.Discard, bufio.NewReader(resp.Body))
	fmt.Printf("a viewer of 50 rows          %6.2f kB/s, %.2f %% of a core\n", float64(n)/window.Seconds()/1000, 100*(l.cpu()-cpu)/window.Seconds())
	return nil
}

// cpu returns the seconds of processor time that the node has taken.
func (l *load) cpu() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.node.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// anon returns the private memory of the node in MiB.
func (l *load) anon() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.node.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if kib, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(kib)[0], 64)
			return n / 1024
		}
	}
	return 0
}
