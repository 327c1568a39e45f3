//go:build linux

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"shoal/internal/bencode"
	"shoal/internal/bt/create"
	"shoal/internal/bt/metainfo"
	"shoal/internal/netx"
)

//go:embed peer.py
var peerScript string

const (
	seeds    = 10
	filmName = "film.mkv"
	viewerIP = "10.79.0.1"
)

func seedIP(i int) string { return fmt.Sprintf("10.79.0.%d", 10+i) }

// stage is what all clients play on: seeds behind shaped lines, a tracker that names them, the film and its torrent.
type stage struct {
	o       *options
	dir     string // a tmpfs
	script  string
	film    *os.File
	torrent string
	peers   []*exec.Cmd
	tracker *http.Server
}

func newStage(o *options) (s *stage, err error) {
	s = &stage{o: o}
	if o.shoal, err = filepath.Abs(o.shoal); err != nil {
		return nil, err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "shoal-stream-"); err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", 0, ""); err != nil {
		return nil, err
	}
	for _, step := range []func() error{s.network, s.content, s.serve, s.seed} {
		if err := step(); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *stage) close() {
	for _, p := range s.peers {
		_ = p.Process.Kill() // by its handle; it is ours
		_ = p.Wait()
	}
	if s.tracker != nil {
		s.tracker.Close()
	}
	_ = syscall.Unmount(s.dir, syscall.MNT_DETACH)
	os.Remove(s.dir)
}

func command(line string) error {
	f := strings.Fields(line)
	if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

// network gives each seed an address.
func (s *stage) network() error {
	lines := []string{"ip link set lo up", "ip link set lo mtu 1500", "ip addr add " + viewerIP + "/32 dev lo", "tc qdisc add dev lo root handle 1: htb default 999 r2q 100",
		"tc class add dev lo parent 1: classid 1:999 htb rate 20gbit"}
	for i := range seeds {
		lines = append(lines, "ip addr add "+seedIP(i)+"/32 dev lo",
			fmt.Sprintf("tc class add dev lo parent 1: classid 1:%d htb rate 1gbit", 100+i),
			fmt.Sprintf("tc qdisc add dev lo parent 1:%d bfifo limit 96kb", 100+i),
			fmt.Sprintf("tc filter add dev lo parent 1: protocol ip u32 match ip src %s/32 flowid 1:%d", seedIP(i), 100+i))
	}
	for _, l := range lines {
		if err := command(l); err != nil {
			return err
		}
	}
	return nil
}

// shape sets the uplinks: unequal by up to four times, and together so many bitrates.
func (s *stage) shape(times float64) error {
	rng := rand.New(rand.NewPCG(5, 6))
	var shares [seeds]float64
	sum := 0.0
	for i := range shares {
		shares[i] = 1 + 3*rng.Float64()
		sum += shares[i]
	}
	for i, share := range shares {
		rate := int64(share / sum * times * float64(s.o.bitrate) * 8)
		if err := command(fmt.Sprintf("tc class change dev lo parent 1: classid 1:%d htb rate %d burst 15k cburst 15k", 100+i, rate)); err != nil {
			return err
		}
	}
	return nil
}

// content makes the film and its torrent.
func (s *stage) content() error {
	folder := filepath.Join(s.dir, "seed")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(folder, filmName)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{9}), int64(s.o.length.Seconds()*float64(s.o.bitrate))); err != nil {
		return err
	}
	s.film = f
	t, _, err := create.Torrent(context.Background(), path, metainfo.CreateOptions{
		Version: metainfo.V1, PieceLength: 1 << 20, Announce: [][]string{{"http://" + viewerIP + ":6969/announce"}},
	}, func(int64, int64) {})
	if err != nil {
		return err
	}
	s.torrent = filepath.Join(s.dir, "film.torrent")
	s.script = filepath.Join(s.dir, "peer.py")
	return errors.Join(os.WriteFile(s.torrent, t.Encode(), 0o644), os.WriteFile(s.script, []byte(peerScript), 0o644))
}

// serve runs the tracker, which names the seeds to everybody.
func (s *stage) serve() error {
	ln, err := netx.NewHost(netx.Options{}).Listen(context.Background(), "tcp", viewerIP+":6969")
	if err != nil {
		return err
	}
	var compact []byte
	for i := range seeds {
		ip := netip.MustParseAddr(seedIP(i)).As4()
		compact = append(append(compact, ip[:]...), 20000>>8, 20000&255)
	}
	answer := bencode.Append(nil, map[string]any{"interval": 1800, "complete": seeds, "incomplete": 1, "peers": compact})
	s.tracker = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) })}
	go func() { _ = s.tracker.Serve(ln) }() // until close
	return nil
}

// seed starts the seeds. The tracker names them to one another as well, but two seeds part at once.
func (s *stage) seed() error {
	for i := range seeds {
		c := exec.Command("/usr/bin/python3", s.script, seedIP(i)+":20000", s.torrent, filepath.Join(s.dir, "seed"), "seed")
		c.Stderr = os.Stderr
		if _, err := c.StdinPipe(); err != nil {
			return err
		}
		out, err := c.StdoutPipe()
		if err != nil {
			return err
		}
		if err := c.Start(); err != nil {
			return err
		}
		s.peers = append(s.peers, c)
		if _, err := out.Read(make([]byte, 5)); err != nil {
			return fmt.Errorf("a seed does not start (apt-get install python3-libtorrent): %w", err)
		}
	}
	return nil
}

// measure has one client play.
func (s *stage) measure(name string, scarce bool, seed uint64) (r result, err error) {
	times := s.o.plenty
	if scarce {
		times = s.o.scarce
	}
	if err := s.shape(times); err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp(s.dir, "out")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	begun := time.Now()
	v, err := viewers[name](s, dir)
	if err != nil {
		return r, err
	}
	defer v.stop()
	p := &player{s: s, v: v}
	if r.first, err = p.seek(0, begun); err != nil {
		return r, fmt.Errorf("the first byte: %w", err)
	}
	if scarce {
		if err = p.play(s.o.play); errors.Is(err, errSlow) { // it stands still for longer than anybody waits
			p.stalls, p.stood, err = p.stalls+1, p.stood+s.o.patience, nil
		}
		r.stalls, r.stood = p.stalls, p.stood
		return r, err
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	size := int64(s.o.length.Seconds() * float64(s.o.bitrate))
	for i, k := range rng.Perm(s.o.seeks) {
		if err := p.play(s.o.after); errors.Is(err, errSlow) {
			r.failed += s.o.seeks - i // who cannot even play on
			return r, nil
		} else if err != nil {
			return r, err
		}
		to := size * (10*int64(k) + 15 + rng.Int64N(5)) / (10*int64(s.o.seeks) + 20) // far from what has come
		took, err := p.seek(to, time.Now())
		if errors.Is(err, errSlow) {
			r.failed += s.o.seeks - i
			return r, nil
		}
		if err != nil {
			return r, err
		}
		r.seeks = append(r.seeks, took)
	}
	return r, nil
}

// player reads as a player does: it holds a second, begins when it has that, and reads on as it plays.
type player struct {
	s      *stage
	v      viewer
	pos    int64
	stalls int
	stood  time.Duration
}

var errSlow = errors.New("nothing came in time")

// seek goes to a place and returns how long, since begun, its first byte took.
func (p *player) seek(to int64, begun time.Time) (time.Duration, error) {
	p.pos = to
	if err := p.v.seek(to); err != nil {
		return 0, err
	}
	err := p.read(1 << 10)
	return time.Since(begun), err
}

// read reads n bytes and compares them.
func (p *player) read(n int) error {
	got, want := make([]byte, n), make([]byte, n)
	if _, err := p.s.film.ReadAt(want, p.pos); err != nil {
		return err
	}
	if err := p.v.read(got, want, p.pos); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("what was read at %d differs from the film", p.pos)
	}
	p.pos += int64(n)
	return nil
}

// play plays on.
func (p *player) play(length time.Duration) error {
	rate := float64(p.s.o.bitrate)
	shown := func(n int64) time.Duration { return time.Duration(float64(n) / rate * float64(time.Second)) }
	from := p.pos
	var clock time.Time
	for p.pos-from < int64(length.Seconds()*rate) {
		n := p.pos - from
		if held := n - p.s.o.bitrate; held >= 0 {
			if clock.IsZero() {
				clock = time.Now()
			}
			time.Sleep(time.Until(clock.Add(shown(held))))
		}
		if err := p.read(64 << 10); err != nil {
			return err
		}
		if late := time.Since(clock.Add(shown(n))); !clock.IsZero() && late > 0 {
			p.stalls++
			p.stood += late
			clock = clock.Add(late)
		}
	}
	return nil
}
