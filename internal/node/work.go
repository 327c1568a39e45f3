package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/api/qbittorrent"
	"shoal/internal/api/server"
	"shoal/internal/api/transmission"
	"shoal/internal/automation"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/config"
	"shoal/internal/database"
	"shoal/internal/doctor"
	"shoal/internal/geoip"
	"shoal/internal/history"
	"shoal/internal/library"
	"shoal/internal/metrics"
	"shoal/internal/netx"
	"shoal/internal/sharing"
	"shoal/internal/stream"
	"shoal/internal/webui"
)

// Times of a node's work.
const (
	goodbye      = 10 * time.Second // trackers are told, files and journals written
	sampleEvery  = 10 * time.Second
	historyEvery = 5 * time.Minute
	portEvery    = 5 * time.Second
	doctorTime   = 30 * time.Second
)

// work is a node between two new beginnings.
type work struct {
	*node
	settings    *settings
	db          *database.DB
	network     netx.Network
	session     *session.Session
	library     *library.Library
	sharing     *sharing.Sharing
	history     *history.History
	accounts    *accounts.Accounts
	server      *server.Server
	streams     *stream.Server
	countries   *geoip.Database // nil: none was given
	media       *mediaServer    // nil: it is off
	automation  *automation.Automation
	began       time.Time
	opened      chan struct{} // closed once all above is there, or the end has come
	ready       func()
	hours       atomic.Pointer[hours]
	certificate atomic.Pointer[tls.Certificate] // nil: the address speaks plain HTTP
	port        int                             // of the port file; 0: none
}

// work opens everything, serves, and closes everything when ctx is done or the node is to begin anew.
func (n *node) work(ctx context.Context, loaded *config.Loaded) (err error) {
	w := &work{node: n, began: time.Now(), opened: make(chan struct{})}
	w.ready = sync.OnceFunc(func() { close(w.opened) })
	w.hours.Store(&hours{})
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.open(ctx, loaded); err != nil {
		return err
	}
	n.greet(w.settings.current(), w.accounts.SetupCode(), w.library.Totals().Torrents)
	served := w.serve()
	n.notifier.Ready(w.status())
	return w.run(ctx, served)
}

// open opens everything, in order.
func (w *work) open(ctx context.Context, loaded *config.Loaded) error {
	var report database.Report
	var err error
	if w.db, report, err = database.Open(filepath.Join(loaded.Config.Folders.State, databaseName)); err != nil {
		return err
	}
	for _, text := range report.Messages {
		w.log.Warn(text)
	}
	if w.settings, err = openSettings(w.db, w.Config); err != nil {
		return err
	}
	c := w.settings.current()
	if err := w.openEngine(c); err != nil {
		return err
	}
	if err := w.openLibrary(c, len(report.SetAside) > 0); err != nil {
		return err
	}
	w.automation, err = automation.Open(automation.Config{
		Library: w.library, Database: w.db, Log: w.log, Hours: w.keepHours, Roots: func() []string { return roots(w.settings.current()) },
		Client: netx.HTTPClient(w.network, netx.HTTPOptions{UserAgent: "shoal/" + w.Version, NoUserAgent: c.Network.Anonymous}),
	})
	if err != nil {
		return err
	}
	if w.accounts, err = accounts.New(w.db); err != nil {
		return err
	}
	if c.Admin.Password != "" {
		if err := w.accounts.EnsureAdmin(ctx, c.Admin.Name, c.Admin.Password); err != nil {
			return fmt.Errorf("admin.name and admin.password: %w", err)
		}
	}
	if err := errors.Join(w.loadCertificate(c), w.openServer(c)); err != nil {
		return err
	}
	if c.Stream.DLNA {
		if err := w.openMedia(); err != nil {
			w.log.Warn("films and music are not offered to the local network", "error", err)
		}
	}
	w.settings.apply = w.apply
	w.ready()
	return nil
}

func (w *work) openEngine(c *config.Config) (err error) {
	if w.network, err = OpenNetwork(c.Network); err != nil {
		return err
	}
	if c.Network.PortFile != "" {
		if w.port, err = readPort(c.Network.PortFile); err != nil {
			return err
		}
	}
	w.session, err = OpenSession(Engine{
		Network: c.Network, Bandwidth: c.Bandwidth, Memory: c.Disk.Memory, State: c.Folders.Torrents(), Client: "shoal/" + w.Version, Routers: true,
		Warn: func(text string) { w.log.Warn(text) },
	}, w.network)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrListen, err)
	}
	w.log.Info("listening for peers", "address", fmt.Sprint(w.session.Addr()))
	return nil
}

func (w *work) openLibrary(c *config.Config, rebuild bool) (err error) {
	if w.history, err = history.Open(w.db); err != nil {
		return err
	}
	var country func(netip.Addr) string
	if c.Network.Countries != "" {
		if w.countries, err = geoip.Open(c.Network.Countries); err != nil {
			return err
		}
		country = w.countries.Country
	}
	w.library, err = library.Open(library.Config{
		Session: w.session, Database: w.db, State: c.Folders.Torrents(), Log: w.log, Settings: w.librarySettings(c), Rebuild: rebuild,
		Client:    netx.HTTPClient(w.network, netx.HTTPOptions{UserAgent: "shoal/" + w.Version, NoUserAgent: c.Network.Anonymous}),
		Completed: w.completed, Country: country,
	})
	if err == nil {
		w.sharing = sharing.New(w.library.Seed, w.log)
	}
	return err
}

// librarySettings are the settings as far as the library needs them.
func (w *work) librarySettings(c *config.Config) library.Settings {
	s := library.Settings{
		Suspended: w.hours.Load().suspended,
		Dir:       c.Folders.Downloads, Incomplete: c.Folders.Incomplete,
		ActiveDownloads: c.Queue.ActiveDownloads, ActiveSeeds: c.Queue.ActiveSeeds, Active: c.Queue.ActiveTotal,
		SeedRatio: c.Seeding.Ratio, SeedTime: c.Seeding.Time, SeedThen: library.Action(c.Seeding.Action),
		Floor: c.Disk.FreeSpaceFloor, Preallocate: c.Disk.Preallocate, MaxPeers: c.Network.MaxPeersTorrent,
	}
	if c.Seeding.Action == config.ActionNone {
		s.SeedRatio, s.SeedTime = 0, 0
	}
	return s
}

func (w *work) openServer(c *config.Config) error {
	secret, err := w.secret("stream")
	if err != nil {
		return err
	}
	w.streams = stream.NewServer(secret, w.play, stream.Options{Ahead: c.Stream.Ahead})
	books := shelf{w.library, w.sharing, w.history}
	mayUse := func(ctx context.Context, path string) error { return w.server.MayUse(ctx, path) }
	w.server, err = server.New(server.Config{
		Library: books, Accounts: w.accounts, Settings: w.settings, Doctor: w.doctor, Log: w.ring, Logger: w.log,
		Version: w.Version, Access: access(c), Stream: w.streams,
		StreamURL: func(id string, index int, path string) string {
			return w.streams.URL("", id, index, path)
		},
		Health: metrics.HealthHandler(w.health), Web: webui.FS(), Documents: w.automation, Metrics: w.metrics(c),
		QBittorrent:  qbittorrent.New(qbittorrent.Config{Library: books, Accounts: w.accounts, Settings: w.settings, MayUse: mayUse, Logger: w.log}),
		Transmission: transmission.New(transmission.Config{Library: books, Settings: w.settings, MayUse: mayUse, Logger: w.log}),
	})
	return err
}

func access(c *config.Config) server.Access {
	return server.Access{
		Names: c.API.Hosts, BasePath: c.API.BasePath, TrustedProxies: c.API.TrustedProxies, OpenMetrics: c.API.Metrics == config.MetricsPublic,
		NoQBittorrent: !c.API.QBittorrent, NoTransmission: !c.API.Transmission,
		Roots: roots(c),
	}
}

// roots are the folders that may be used through the API.
func roots(c *config.Config) []string {
	return append([]string{c.Folders.Downloads}, c.Folders.Browse...)
}

// secret returns 32 random bytes that stay the same from run to run.
func (w *work) secret(name string) ([]byte, error) {
	if err := w.db.Migrate("secrets", []string{"create table secrets (name text primary key, value blob not null) without rowid"}); err != nil {
		return nil, err
	}
	var value []byte
	err := w.db.Durable(context.Background(), func(tx *sql.Tx) error {
		err := tx.QueryRow("select value from secrets where name = ?", name).Scan(&value)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		value = make([]byte, 32)
		_, _ = rand.Read(value) // never fails
		_, err = tx.Exec("insert into secrets values (?, ?)", name, value)
		return err
	})
	return value, err
}

// engine returns a torrent at work, nil if it is not.
func (w *work) engine(id string) *torrent.Torrent {
	t, err := w.library.Engine(id)
	if err != nil {
		return nil
	}
	return t
}

// play returns a torrent that somebody wants to read.
func (w *work) play(id string) *torrent.Torrent {
	t, err := w.library.Use(context.Background(), id)
	if err != nil {
		return nil
	}
	return t
}

// healthTime bounds how long a look at the node's health may take.
const healthTime = 3 * time.Second

// health looks at what the node cannot do without. Everybody may see what it says.
func (w *work) health() map[string]error {
	ctx, cancel := context.WithTimeout(context.Background(), healthTime)
	defer cancel()
	checks := map[string]error{"state": nil, "database": nil}
	if _, err := os.Stat(w.settings.current().Folders.State); err != nil {
		checks["state"] = errors.New("the state folder cannot be reached")
	}
	if err := w.db.Read.PingContext(ctx); err != nil {
		checks["database"] = errors.New("the database does not answer")
	}
	return checks
}

// doctor looks at the machine and the network.
func (w *work) doctor(ctx context.Context) []api.Check {
	c := w.settings.current()
	e := doctor.Environment{
		Network: w.network, Facts: func() doctor.Facts { return doctor.FactsOf(w.session, w.began) }, Isolated: c.Network.Isolated,
		Downloads: c.Folders.Downloads, State: c.Folders.State, Floor: c.Disk.FreeSpaceFloor, MaxPeers: c.Network.MaxPeers, Running: true,
	}
	e.Device, e.Address, e.Proxy = c.Network.Binding()
	for _, f := range w.public {
		if a, ok := f.Addr().(*net.TCPAddr); ok {
			e.Serves = append(e.Serves, a.AddrPort().Port())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	var out []api.Check
	level := map[doctor.Status]string{doctor.OK: "ok", doctor.Skip: "note", doctor.Warn: "warning", doctor.Fail: "error"}
	for _, r := range doctor.Run(ctx, e) {
		out = append(out, api.Check{ID: r.ID, Title: r.Title, Level: level[r.Status], Text: r.Message, Remedy: r.Remedy})
	}
	return out
}

// serve serves the API at every listener. What the channel gives first ended it.
func (w *work) serve() <-chan error {
	served := make(chan error, len(w.local)+len(w.public))
	for _, f := range w.local {
		go func() { served <- w.server.ServeLocal(f.serving()) }()
	}
	for _, f := range w.public {
		go func() { served <- w.server.Serve(w.secured(f.serving())) }()
	}
	return served
}

// run does what is to be done now and then, until ctx is done or the node is to begin anew.
func (w *work) run(ctx context.Context, served <-chan error) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var sampled, saved, looked, alive time.Time
	saved = time.Now()
	for {
		select {
		case <-ctx.Done():
			w.notifier.Stopping("saying goodbye to trackers")
			w.log.Info("stopping")
			return nil
		case why := <-w.restart:
			w.log.Info("beginning anew", "because", why)
			w.notifier.Status("beginning anew: " + why)
			return nil
		case err := <-served:
			return fmt.Errorf("serving the API: %w", err)
		case <-w.hangup:
			w.reload()
		case <-w.asked:
			w.dump()
		case now := <-second.C:
			if now.Sub(sampled) >= sampleEvery {
				sampled = now
				w.sample(now)
			}
			if now.Sub(saved) >= historyEvery {
				saved = now
				w.saveHistory()
			}
			if w.port != 0 && now.Sub(looked) >= portEvery {
				looked = now
				w.followPort()
			}
			if d := w.notifier.Watchdog(); d > 0 && now.Sub(alive) >= d {
				alive = now
				w.notifier.Alive()
			}
		}
	}
}

func (w *work) sample(now time.Time) {
	t := w.library.Totals()
	w.history.Add(history.Sample{Time: now.Unix(), DownRate: t.DownRate, UpRate: t.UpRate, Peers: int64(t.Peers), DHTNodes: int64(t.DHTNodes)})
	w.notifier.Status(w.status())
}

func (w *work) status() string {
	t := w.library.Totals()
	return fmt.Sprintf("%d torrents, %d at work, %d peers, %d kB/s down, %d kB/s up", t.Torrents, t.Active, t.Peers, t.DownRate/1000, t.UpRate/1000)
}

func (w *work) saveHistory() {
	if err := w.history.Save(); err != nil {
		w.log.Warn("statistics were not saved; they will be tried again", "error", err)
	}
}

// followPort begins anew when the port to listen on has changed.
func (w *work) followPort() {
	file := w.settings.current().Network.PortFile
	port, err := readPort(file)
	switch {
	case err != nil:
		w.log.Debug("the port file cannot be read; the port stays", "error", err)
	case port != w.port:
		w.beginAnew(fmt.Sprintf("%s names port %d, not %d any more", file, port, w.port))
	}
}

func (n *node) beginAnew(why string) {
	select {
	case n.restart <- why:
	default: // it will
	}
}

// reload reads the settings again.
func (w *work) reload() {
	w.notifier.Reloading()
	if err := w.settings.reload(w.Config); err != nil {
		w.log.Error("the settings are wrong and stay as they were", "error", err)
	} else {
		w.log.Info("the settings were read again")
		if err := w.loadCertificate(w.settings.current()); err != nil {
			w.log.Error("the certificate stays as it was", "error", err)
		}
	}
	w.notifier.Ready(w.status())
}

// apply has changed settings take effect.
func (w *work) apply(before, after *config.Config) {
	w.session.SetRates(w.rates(after))
	w.library.SetSettings(w.librarySettings(after))
	if err := w.server.SetAccess(access(after)); err != nil {
		w.log.Error("who may use the API stays as it was", "error", err)
	}
	w.setLevel(after.Log.Level)
	if keys := restartNeeded(before, after); keys != "" {
		w.log.Warn("these settings count only when the node has been started again", "settings", keys)
	}
}

// completed is told of a torrent that has become complete.
func (w *work) completed(t library.Torrent) {
	<-w.opened // the library begins before automation does
	var more []automation.Hook
	if command := w.settings.current().Completion.Command; len(command) > 0 {
		more = append(more, automation.Hook{Event: automation.Completed, Command: command})
	}
	w.automation.Happened(automation.Completed, t, more...)
}

// keepHours is told by the schedule what holds now.
func (w *work) keepHours(alternative, suspended bool) {
	<-w.opened
	w.hours.Store(&hours{alternative, suspended})
	c := w.settings.current()
	w.session.SetRates(w.rates(c))
	w.library.SetSettings(w.librarySettings(c))
}

// hours is what the schedule says.
type hours struct{ alternative, suspended bool }

// rates returns the limits in force.
func (w *work) rates(c *config.Config) (down, up int64) {
	b := c.Bandwidth
	b.Alternative = b.Alternative || w.hours.Load().alternative
	return b.Rates()
}

// close closes what is open, in the opposite order.
func (w *work) close() error {
	var errs []error
	if w.server != nil {
		w.server.Stop()
	}
	if w.media != nil {
		errs = append(errs, w.media.close())
	}
	w.ready()
	if w.automation != nil {
		w.automation.Close()
	}
	if w.sharing != nil {
		w.sharing.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	switch {
	case w.library != nil:
		errs = append(errs, late(w.library.Close(ctx)))
		w.saveHistory()
	case w.session != nil:
		errs = append(errs, late(w.session.Close(ctx)))
	}
	if w.countries != nil {
		errs = append(errs, w.countries.Close())
	}
	if w.db != nil {
		errs = append(errs, w.db.Close())
	}
	return errors.Join(errs...)
}

// late passes over a tracker that did not answer the goodbye.
func late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
