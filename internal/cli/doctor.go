package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"shoal/internal/config"
	"shoal/internal/doctor"
)

// doctorFlags are the flags of `shoal doctor`.
type doctorFlags struct {
	network networkFlags
	place   placeFlags
	offline bool
	timeout time.Duration
}

func (a *app) doctor() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at the machine and the network, and say how to mend what is wrong",
		Example: `  shoal doctor
  shoal doctor --offline                   the machine only: nobody is contacted
  shoal doctor --route interface:wg0       whether anything goes round the VPN
  shoal doctor --json                      one object a check`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.runDoctor(c, &f) },
	}
	f.network.add(c)
	f.place.add(c)
	c.Flags().BoolVar(&f.offline, "offline", false, "look at the machine only, and contact nobody")
	c.Flags().DurationVar(&f.timeout, "timeout", 30*time.Second, "how long the checks may take")
	return c
}

// ask has the node that runs look, since it knows what a new session cannot: who has reached it. It reports false if none runs, or if what is to be
// looked at is not the node's.
func (a *app) ask(c *cobra.Command, f *doctorFlags) (bool, error) {
	own := f.offline
	c.Flags().Visit(func(fl *pflag.Flag) {
		own = own || !slices.Contains([]string{"home", "config", "timeout", "json", "quiet"}, fl.Name)
	})
	if own {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(c.Context(), f.timeout)
	defer cancel()
	cl := (&remote{placeFlags: f.place}).running(ctx)
	if cl == nil {
		return false, nil
	}
	defer cl.Close()
	a.say("the node looks; this takes up to %s", duration(f.timeout))
	checks, err := cl.Doctor(ctx)
	if err != nil {
		return true, apiError(err)
	}
	status := map[string]doctor.Status{"ok": doctor.OK, "note": doctor.Skip, "warning": doctor.Warn, "error": doctor.Fail}
	results := make([]doctor.Result, len(checks))
	for i, k := range checks {
		results[i] = doctor.Result{ID: k.ID, Title: k.Title, Status: status[k.Level], Message: k.Text, Remedy: k.Remedy}
	}
	return true, a.report(results)
}

func (a *app) runDoctor(c *cobra.Command, f *doctorFlags) error {
	if asked, err := a.ask(c, f); asked {
		return err
	}
	set, err := f.place.settings()
	if err != nil {
		return err
	}
	f.network.preset(c, &set.Config)
	if err := f.network.check(); err != nil {
		return err
	}
	if f.timeout <= 0 {
		return usage(fmt.Errorf("--timeout %v: time is needed", f.timeout))
	}
	n, err := f.network.network()
	if err != nil {
		return usage(err)
	}
	e := doctor.Environment{
		Network: n, Downloads: set.Config.Folders.Downloads, State: set.Config.Folders.State, Floor: set.Config.Disk.FreeSpaceFloor,
		MaxPeers: set.Config.Network.MaxPeers, Isolated: f.network.isolated,
	}
	e.Device, e.Address, e.Proxy = (&config.Network{Route: f.network.route, Bind: f.network.bind}).Binding()
	ctx, cancel := context.WithTimeout(c.Context(), f.timeout)
	defer cancel()
	if !f.offline {
		began := time.Now()
		s, err := f.network.session(a, n)
		if err != nil {
			const remedy = "see what is said of the route; a port that is taken is another program's, or a node's that runs already"
			failed := doctor.Result{ID: "session", Title: "Session", Status: doctor.Fail, Message: err.Error(), Remedy: remedy}
			return a.report(append([]doctor.Result{failed}, doctor.Run(ctx, e)...))
		}
		defer func() { _ = closeSession(s) }()
		e.Facts = func() doctor.Facts { return doctor.FactsOf(s, began) }
		a.say("looking; this takes up to %s", duration(f.timeout))
	}
	return a.report(doctor.Run(ctx, e))
}

// report prints what checks have found.
func (a *app) report(results []doctor.Result) error {
	failed := 0
	for _, r := range results {
		a.emit(struct {
			Event string `json:"event"`
			doctor.Result
		}{"check", r})
		if r.Status == doctor.Fail {
			failed++
		}
		if a.json || a.quiet && r.Remedy == "" {
			continue
		}
		a.result("%-4s  %s: %s", r.Status, r.Title, r.Message)
		if r.Remedy != "" {
			a.result("      → %s", r.Remedy)
		}
	}
	switch failed {
	case 0:
		return nil
	case 1:
		return errors.New("a check has failed")
	}
	return fmt.Errorf("%d checks have failed", failed)
}

// preset takes from the settings what no flag says, so that what is looked at is what the node does.
func (f *networkFlags) preset(c *cobra.Command, s *config.Config) {
	n := &s.Network
	for _, p := range []struct {
		flag string
		set  func()
	}{
		{"listen", func() { f.listen = n.Listen }},
		{"route", func() { f.route = n.Route }},
		{"bind", func() { f.bind = n.Bind }},
		{"anonymous", func() { f.anonymous = n.Anonymous }},
		{"isolated", func() { f.isolated = n.Isolated }},
		{"encryption", func() { f.encryption = n.Encryption }},
		{"no-dht", func() { f.noDHT = !n.DHT }},
		{"dht-node", func() { f.nodes = n.DHTNodes }},
		{"no-utp", func() { f.noUTP = !n.UTP }},
		{"no-lsd", func() { f.noLocal = !n.LSD }},
		{"no-port-map", func() { f.noPortMap = !n.PortMap }},
		{"ip-filter", func() { f.filter = n.IPFilter }},
		{"state", func() { f.state = s.Folders.Torrents() }},
	} {
		if !c.Flags().Changed(p.flag) {
			p.set()
		}
	}
}
