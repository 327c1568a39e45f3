package stream

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// Player is a program that plays.
type Player struct {
	Name string // empty: there is none, and the person opens the address
	path string
	args func(url, title string, subtitles []string) []string
	asks bool // it hands the address on and ends at once
}

// players are the programs whose options are known.
var players = map[string]func(url, title string, subtitles []string) []string{
	"mpv": func(url, title string, subtitles []string) []string {
		args := []string{"--force-media-title=" + title}
		for _, s := range subtitles {
			args = append(args, "--sub-file="+s)
		}
		return append(args, "--", url)
	},
	"vlc": func(url, title string, subtitles []string) []string {
		args := []string{"--play-and-exit", "--meta-title=" + title}
		if len(subtitles) > 0 {
			args = append(args, "--input-slave="+subtitles[0])
		}
		return append(args, url)
	},
}

func only(url, _ string, _ []string) []string { return []string{url} }

// FindPlayer finds a player by what a person calls it: mpv, vlc, browser, none, or a program that takes a URL. Empty is mpv or vlc, whichever is there,
// or none.
func FindPlayer(name string) (*Player, error) {
	switch name {
	case "none":
		return &Player{}, nil
	case "":
		for _, name := range []string{"mpv", "vlc"} {
			if path, err := exec.LookPath(name); err == nil {
				return &Player{Name: name, path: path, args: players[name]}, nil
			}
		}
		return &Player{}, nil
	case "browser":
		opener := map[string]string{"darwin": "open", "windows": "explorer"}[runtime.GOOS]
		if opener == "" {
			opener = "xdg-open"
		}
		path, err := exec.LookPath(opener)
		if err != nil {
			return nil, fmt.Errorf("%w, which opens browsers; choose none, and open the address that is printed", err)
		}
		return &Player{Name: name, path: path, args: only, asks: true}, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%w; choose mpv, vlc, browser or none", err)
	}
	p := &Player{Name: filepath.Base(name), path: path, args: only}
	if args := players[p.Name]; args != nil {
		p.args = args
	}
	return p, nil
}

// Start starts the player. The channel tells its end; it is nil if there is none to wait for. When ctx is done the player is told to end.
func (p *Player) Start(ctx context.Context, url, title string, subtitles []string) (<-chan error, error) {
	if p.Name == "" {
		return nil, nil
	}
	c := exec.CommandContext(ctx, p.path, p.args(url, title, subtitles)...)
	if runtime.GOOS != "windows" {
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	}
	c.WaitDelay = 3 * time.Second
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	if p.asks {
		return nil, nil
	}
	return ended, nil
}
