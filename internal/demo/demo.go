package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ghostlight/internal/uplink"
)

// upTime is how long all venues may take until the fleet has heard of each; more
// venues get more.
const (
	upTime      = 60 * time.Second
	upTimeVenue = 2 * time.Second
)

// nextShow is the least time that must be left for another show to begin after
// a scenario ended the first.
const nextShow = 30 * time.Second

// demo is one run.
type demo struct {
	opts     Options
	scenario Scenario
	layout   layout
	programs programs
	units    *Supervisor
	uplinks  map[string]*uplink.Uplink // by venue; fixed once up
	fleet    fleetAPI
	log      *slog.Logger // the crowd's, into a file

	narrating atomic.Bool
	telling   sync.Mutex // keeps sentences whole

	mu       sync.Mutex // guards what follows
	shows    []*show
	current  *show                // nil between shows
	expected map[string]bool      // units whose next end was told already
	broken   map[string]time.Time // when the scenario broke a unit last
}

// Run runs a demo until its duration is over or ctx ends, and returns its proof.
// The error means that it could not start, or not come to a summary; what the
// summary says against itself is not an error. When Run returns, no process it
// started is left.
func Run(ctx context.Context, o Options) (Summary, error) {
	d, err := prepare(o)
	if err != nil {
		return Summary{}, err
	}
	dir, keep, err := o.dataDir()
	if err != nil {
		return Summary{}, err
	}
	d.layout.dir = dir
	summary, err := d.run(ctx)
	well := err == nil && summary.OK || errors.Is(err, context.Canceled)
	if started := d.units != nil; started && (keep || !well) {
		d.tell("The data folder %s is kept; the logs of all processes are in %s.", dir, d.layout.logs())
		return summary, err
	}
	if keep {
		return summary, err
	}
	if removed := os.RemoveAll(dir); removed != nil {
		d.tell("The data folder could not be removed: %v.", removed)
	}
	return summary, err
}

// prepare checks everything that can be checked before anything is made.
func prepare(o Options) (*demo, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	scenario, err := LoadScenario(o.Scenario)
	if err != nil {
		return nil, err
	}
	d := &demo{opts: o, scenario: scenario, layout: newLayout("", o.BasePort, o.Venues)}
	d.layout.alertmanager = o.Alertmanager
	if err := scenario.Fits(d.layout.venueNames(), o.Duration); err != nil {
		return nil, err
	}
	if d.programs, err = findPrograms(o.Bin); err != nil {
		return nil, err
	}
	d.fleet = fleetAPI{newAPI(d.layout.fleetPort(), d.layout.apiToken)}
	return d, d.layout.checkPorts()
}

// run owns every process and goroutine of the demo.
func (d *demo) run(ctx context.Context) (Summary, error) {
	if err := d.layout.writeConfigs(); err != nil {
		return Summary{}, err
	}
	crowdLog, err := os.Create(filepath.Join(d.layout.logs(), "crowd.log"))
	if err != nil {
		return Summary{}, folderError(err)
	}
	defer crowdLog.Close()
	d.log = slog.New(slog.NewTextHandler(crowdLog, &slog.HandlerOptions{Level: slog.LevelDebug}))

	if d.units, err = NewSupervisor(d.layout.logs(), d.unitEvent); err != nil {
		return Summary{}, err
	}
	// What the demo runs for its venues ends after them, not with ctx.
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { d.units.Run(base) }) //nolint:errcheck // it has none
	if err := d.openUplinks(base, &wg); err != nil {
		return Summary{}, err
	}
	pages, err := d.servePager(base)
	if err != nil {
		return Summary{}, err
	}
	failed := make(chan error, 1)
	for _, serve := range []func() error{
		func() error { return d.units.ServeSocket(base, d.layout.socket()) },
		func() error { return d.drainBatteries(base) },
		pages,
	} {
		wg.Go(func() {
			if err := serve(); err != nil {
				select {
				case failed <- err:
				default: // one is enough to end the start
				}
			}
		})
	}
	if err := d.up(ctx, failed); err != nil {
		return Summary{}, err
	}
	if err := d.perform(ctx); err != nil {
		return Summary{}, err
	}
	summary := d.finish(ctx)
	return summary, nil
}

// openUplinks opens the two ways out of each venue.
func (d *demo) openUplinks(ctx context.Context, wg *sync.WaitGroup) error {
	d.uplinks = make(map[string]*uplink.Uplink, len(d.layout.venues))
	for _, v := range d.layout.venues {
		var routes []uplink.Route
		for _, r := range []struct {
			name     string
			from, to int
		}{{routeFleet, v.toFleetPort(), d.layout.fleetPort()}, {routeHub, v.toHubPort(), d.layout.hubPort()}} {
			ln, err := net.Listen("tcp", addr(r.from))
			if err != nil {
				return fmt.Errorf("open %s's uplink to the %s: %w", v.name, r.name, err)
			}
			routes = append(routes, uplink.Route{Name: r.name, Listener: ln, Backend: addr(r.to)})
		}
		u, err := uplink.New(uplink.Options{Routes: routes})
		if err != nil {
			return err
		}
		d.uplinks[v.name] = u
		wg.Go(func() {
			if err := u.Run(ctx); err != nil {
				d.tell("%s's uplink failed: %v.", v.name, err)
			}
		})
	}
	return nil
}

// up starts the units in order and waits until the fleet hears every venue.
func (d *demo) up(ctx context.Context, failed <-chan error) error {
	begun := time.Now()
	d.tell("Starting the centre, a regional hub and %s, each with a checkout (edgecore) and an agent that watches it.", venueCount(len(d.layout.venues), "venue"))
	specs := []Spec{
		{Name: "hub", Path: d.programs.edgecore, Args: []string{"--config", d.layout.config("hub")}},
		{Name: "fleet", Path: d.programs.fleet, Args: []string{"--config", d.layout.config("fleet")}, Restart: Always},
	}
	for _, v := range d.layout.venues {
		specs = append(specs, Spec{Name: v.edgecore(), Path: d.programs.edgecore, Args: []string{"--config", d.layout.config(v.edgecore())}})
	}
	for _, v := range d.layout.venues {
		specs = append(specs, Spec{Name: v.agent(), Path: d.programs.agent, Args: []string{"--config", d.layout.config(v.agent())}, Restart: Always})
	}
	for _, s := range specs {
		if err := d.units.Start(s); err != nil {
			return err
		}
	}
	if err := d.awaitLive(ctx, failed); err != nil {
		d.stopUnits()
		return err
	}
	d.narrating.Store(true)
	live := venueCount(len(d.layout.venues), "live venue")
	d.tell("%s after %.1f s.", strings.ToUpper(live[:1])+live[1:], time.Since(begun).Seconds())
	d.addresses()
	return nil
}

// awaitLive polls the fleet until all nodes are live and their first journeys
// have passed. A unit that cannot stay up ends the wait.
func (d *demo) awaitLive(ctx context.Context, failed <-chan error) error {
	deadline := time.Now().Add(upTime + time.Duration(len(d.layout.venues))*upTimeVenue)
	var last error
	for {
		nodes, err := d.fleet.nodes(ctx)
		missing := d.missing(nodes)
		if err == nil && len(missing) == 0 {
			return nil
		}
		last = fmt.Errorf("the fleet has not heard all venues; missing: %s", strings.Join(missing, ", "))
		if err != nil {
			last = fmt.Errorf("the fleet does not answer: %w", err)
		}
		for _, u := range d.units.Units() {
			if u.State == Failed && u.Restarts >= 3 || u.State == Failed && !strings.HasPrefix(u.Name, "agent-") && u.Name != "fleet" {
				return fmt.Errorf("%s does not stay up; its log ends:\n%s", u.Name, d.logEnd(u.Name))
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the venues did not come up in time: %w", last)
		}
		select {
		case err := <-failed:
			return err
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("stopped before all venues were live: %w", ctx.Err())
		}
	}
}

// missing lists the venues whose node is not live or has a journey that has not
// passed yet.
func (d *demo) missing(nodes []fleetNode) []string {
	ok := map[string]bool{}
	for _, n := range nodes {
		ok[n.Venue] = n.Live && n.Journeys > 0 && n.Passing == n.Journeys
	}
	var out []string
	for _, v := range d.layout.venues {
		if !ok[v.name] {
			out = append(out, v.name)
		}
	}
	return out
}

// logEnd is the last lines of a unit's log.
func (d *demo) logEnd(unit string) string {
	text, err := os.ReadFile(filepath.Join(d.layout.logs(), unit+".log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// venueCount is a number of venues in words: three live venues.
func venueCount(n int, what string) string {
	words := []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}
	text := strconv.Itoa(n)
	if n < len(words) {
		text = words[n]
	}
	if n != 1 {
		what += "s"
	}
	return text + " " + what
}

// addresses says where to look, and how long it takes.
func (d *demo) addresses() {
	var b strings.Builder
	fleet := url(d.layout.fleetPort())
	line := func(what, address string) { fmt.Fprintf(&b, "    %-26s %s\n", what, address) }
	b.WriteString("Open these in a browser:\n\n")
	line("all venues", fleet+"/")
	line("events and their reports", fleet+"/events")
	for _, v := range d.layout.venues {
		line(v.name+"'s own page", url(v.pagePort())+"/")
	}
	fmt.Fprintf(&b, "\n    Grafana and promtool take %s as a Prometheus.\n", fleet)
	d.tell("%s", b.String())
	if n := len(d.scenario.Steps); n > 0 {
		d.tell("In the next %s things go wrong on purpose, and nobody mends them by hand. Ctrl-C ends the demo at any time.", lasted(d.scenario.End()))
	}
}

// perform runs the shows and the scenario until the time is over or ctx ends.
func (d *demo) perform(ctx context.Context) error {
	if d.opts.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.opts.Duration)
		defer cancel()
	}
	start := time.Now()
	if err := d.startShow(ctx, "Opening night"); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { d.narrate(ctx) })
	d.play(ctx, start)
	left := nextShow
	if d.opts.Duration > 0 {
		left = time.Until(start.Add(d.opts.Duration))
	}
	if d.between() && left >= nextShow && ctx.Err() == nil {
		if err := d.startShow(ctx, "Late show"); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if d.opts.Duration == 0 && ctx.Err() == nil {
		d.tell("The demo goes on until Ctrl-C.")
	}
	<-ctx.Done()
	return nil
}

// between reports whether no show is on.
func (d *demo) between() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current == nil
}
