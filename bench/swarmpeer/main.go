// Command swarmpeer is shoal's engine behind the line protocol by which clients are compared: arguments --listen IP:PORT, --data DIR,
// and lines on standard input; see docs/performance.md. It uses the engine as `shoal get` and `shoal seed` do.
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/road"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/netx"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "swarmpeer:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "address and port for peers")
	data := flag.String("data", ".", "folder of the content")
	encrypt := flag.Bool("mse", false, "RC4 on every connection, both ways")
	utp := flag.Bool("utp", false, "uTP only")
	flag.Bool("seed", false, "all data is expected to be present; what is there is verified either way")
	state := flag.String("state", "", "folder where torrents and what is checked are remembered; empty: nowhere")
	maxPeers := flag.Int("max-peers", 0, "most connections of all torrents together; 0: as the engine chooses")
	memory := flag.String("memprofile", "", "write a heap profile to this file at the end")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	session.LimitGarbage()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	addr, err := netip.ParseAddrPort(*listen)
	if err != nil {
		return err
	}
	cfg := session.Config{
		Network: netx.NewHost(netx.Options{Bind: addr.Addr()}), Listen: *listen, State: *state, MaxPeers: *maxPeers, Client: "shoal", NoTCP: *utp,
	}
	if *encrypt {
		cfg.Encryption = road.RequireEncryption
	}
	s, err := session.New(cfg)
	if err != nil {
		return err
	}
	p := &peer{session: s, data: *data, maxPeers: *maxPeers, torrents: map[string]*torrent.Torrent{}}
	p.say("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := p.command(strings.Fields(in.Text())); err != nil {
			fmt.Fprintln(os.Stderr, "swarmpeer:", err)
		}
	}
	if *memory != "" {
		if err := writeHeap(*memory); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.Close(ctx)
}

func writeHeap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	runtime.GC()
	return pprof.Lookup("heap").WriteTo(f, 0)
}

type peer struct {
	session  *session.Session
	data     string
	maxPeers int // of each torrent
	torrents map[string]*torrent.Torrent

	mu sync.Mutex // of standard output
}

func (p *peer) say(words ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Println(words...)
}

func (p *peer) command(words []string) error {
	switch {
	case len(words) == 3 && words[0] == "add":
		return p.add(words[1], words[2])
	case len(words) == 2 && words[0] == "uploaded":
		t := p.torrents[words[1]]
		if t == nil {
			return fmt.Errorf("no torrent %s", words[1])
		}
		p.say("uploaded", t.Uploaded())
		return nil
	}
	return fmt.Errorf("unknown command %q", words)
}

func (p *peer) add(path, name string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	mi, err := metainfo.Parse(bytes.Clone(b)) // without the room to spare that ReadFile leaves
	if err != nil {
		return err
	}
	t, err := p.session.Add(session.Spec{Torrent: mi, Root: p.data, MaxPeers: p.maxPeers})
	if err != nil {
		return err
	}
	p.torrents[name] = t
	go func() {
		<-t.Finished()
		p.say("done", name)
	}()
	return nil
}
