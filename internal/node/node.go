// Package node puts a node together: settings, state, engine, library, API, and runs it until it is told to stop.
//
//	Run: settings, lock, listeners ──▶ work: database ─ session ─ library ─ … ─ API server
//	                                    │
//	     it begins anew inside when a setting wants that, or when the port to listen on has changed
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"shoal/internal/config"
	"shoal/internal/database"
	"shoal/internal/logring"
	"shoal/internal/netx"
	"shoal/internal/netx/local"
	"shoal/internal/systemd"
)

// Options are what Run needs.
type Options struct {
	Config  config.Options
	Version string    // as peers and people are told
	Out     io.Writer // what a person at a terminal should read: where the web UI is
	Log     io.Writer
}

// logLines is how many lines of the log are kept for the web UI.
const logLines = 5000

// node is what outlives a new beginning inside.
type node struct {
	Options
	level    slog.LevelVar
	ring     *logring.Ring
	log      *slog.Logger
	notifier *systemd.Notifier
	local    []*front // whoever connects is admin
	public   []*front
	restart  chan string // why it is to begin anew
	hangup   chan os.Signal
	asked    chan os.Signal // what it is doing
	greeted  bool
}

// ErrListen wraps errors of listening, for the API or for peers.
var ErrListen = errors.New("cannot listen")

// Run runs a node until ctx is done. Errors name what is wrong with the settings or the state, or wrap ErrListen or database.ErrLocked.
func Run(ctx context.Context, o Options) error {
	loaded, err := config.Load(o.Config)
	if err != nil {
		return err
	}
	n := &node{Options: o, ring: logring.New(logLines), notifier: systemd.NewNotifier(), restart: make(chan string, 1), hangup: hangups(), asked: dumps()}
	n.openLog(&loaded.Config)
	for _, text := range loaded.Notices {
		n.log.Warn(text)
	}
	if loaded.Config.Folders.State == "" {
		return errors.New("there is no folder for state: name one with --home DIR")
	}
	if err := os.MkdirAll(loaded.Config.Folders.State, 0o700); err != nil {
		return err
	}
	lock, err := database.Lock(loaded.Config.Folders.State)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := n.listen(ctx, &loaded.Config); err != nil {
		return err
	}
	defer n.shut()
	for ctx.Err() == nil {
		if err := n.work(ctx, loaded); err != nil {
			n.notifier.Stopping(err.Error())
			return err
		}
		if ctx.Err() != nil {
			break
		}
		if loaded, err = config.Load(o.Config); err != nil {
			return err
		}
	}
	n.log.Info("stopped")
	return nil
}

func (n *node) openLog(c *config.Config) {
	n.setLevel(c.Log.Level)
	opts := &slog.HandlerOptions{Level: &n.level}
	var h slog.Handler = slog.NewTextHandler(n.Log, opts)
	if c.Log.Format == "json" {
		h = slog.NewJSONHandler(n.Log, opts)
	}
	n.log = slog.New(n.ring.Handler(h))
}

func (n *node) setLevel(name string) { n.level.Set(logring.ParseLevel(name)) }

// listen opens where the API is served: the sockets that systemd has opened, or those of the settings.
func (n *node) listen(ctx context.Context, c *config.Config) error {
	inherited, err := systemd.Listeners()
	if err != nil {
		return fmt.Errorf("%w: sockets from systemd: %w", ErrListen, err)
	}
	for _, l := range inherited {
		if l.Addr().Network() == "unix" {
			n.local = append(n.local, newFront(l))
		} else {
			n.public = append(n.public, newFront(l))
		}
	}
	if len(n.public) == 0 && c.API.Listen != "" {
		l, err := netx.NewHost(netx.Options{}).Listen(ctx, "tcp", c.API.Listen)
		if err != nil {
			return fmt.Errorf("%w for the web UI and API (api.listen): %w", ErrListen, err)
		}
		n.public = append(n.public, newFront(l))
	}
	if len(n.local) == 0 && c.API.Socket != "" {
		l, err := local.Socket(c.API.Socket).Listen(ctx, "", "")
		if err != nil {
			n.log.Warn("no Unix socket for the command line; it can use the address", "error", err)
			return nil
		}
		n.local = append(n.local, newFront(l))
	}
	return nil
}

func (n *node) shut() {
	for _, f := range append(n.local, n.public...) {
		f.Close()
	}
}

// baseURL is where a browser on this machine finds the web UI.
func (n *node) baseURL(c *config.Config) string {
	if len(n.public) == 0 {
		return ""
	}
	host, port, err := net.SplitHostPort(n.public[0].Addr().String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if c.API.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + c.API.BasePath + "/"
}

// greet tells a person where the node is to be found.
func (n *node) greet(c *config.Config, setupCode string, torrents int) {
	url := n.baseURL(c)
	say := func(format string, args ...any) { fmt.Fprintf(n.Out, format+"\n", args...) }
	first := !n.greeted
	n.greeted = true
	if first {
		say("shoal %s runs with %s; downloads go to %s", n.Version, count(torrents, "torrent"), c.Folders.Downloads)
	}
	switch {
	case url == "" && setupCode != "":
		n.log.Info("there is no user yet, and no address where a browser could make one: set api.listen, or use the command line")
	case setupCode != "":
		link := url + "#/setup?code=" + setupCode
		say("web UI: %s", link)
		say("        open it once to choose a name and a password; there is no default one")
		if n.Out == io.Discard {
			n.log.Info("there is no user yet: open the link once to make one", "link", link)
		}
	case first && url != "":
		say("web UI: %s", url)
	}
	if first && len(n.local) > 0 {
		say("command line: shoal add LINK, shoal ls, shoal --help; Ctrl-C here ends the node")
		n.log.Debug("the command line is served", "socket", n.local[0].Addr().String())
	}
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// databaseName is the file that holds the state, in the folder for it.
const databaseName = "shoal.db"
