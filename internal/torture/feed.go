package torture

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

//go:embed objectives.yaml
var objectivesFile []byte

// Options of one feed.
type Options struct {
	Seed uint64
	Dir  string  // an empty folder for the centre
	Only []Fault // that may happen; empty: all
	// Log is told what happens; nil: nobody is.
	Log func(format string, args ...any)

	bug     bug
	contest bool // a node to a venue, and what a Prometheus would see of it is kept
}

// A bug breaks a rule on purpose.
type bug int

const (
	noBug        bug = iota
	bugCursor        // the cursor is not stored with what was counted
	bugAckEarly      // a block counts as held before the centre has committed it
	bugLate          // the centre passes over what is an hour late
	bugGuess         // an answer takes what is pending for as good as the rest
	bugWatch         // what a watch knows is not stored with its page
	bugRevision      // what is told again of a minute has the revision of before
	bugUnplanned     // planned minutes count
	bugShows         // the centre has each show an hour late
	bugRule          // a page is heard of with another rule than it has
	bugUnheard       // a page of a node never reaches who audits it
	bugKeys          // the keys that people were told are not stored
	bugEnd           // the book does not hear that an incident is over
	bugWithin        // the book takes each failure of a venue for a cause of its own
	bugExpected      // the book expects no node to be on
)

// Happenings count what a feed went through.
type Happenings struct {
	Events, Blocks, Repeats         int
	Malformed                       int // records that the ledger refused
	DeathsBefore, DeathsBehind      int // of agents, by whether the commit was durable
	Restarts                        int // of the centre
	Probes, Open, Bounded, Exempted int // looks on the way; with something pending; of them bounded; not judged
	GivenUp                         int // looks behind a deadline that something was not told by
	Settled, Restated               int // verdicts that were final when looked at; of them changed
	AsOf, Exactly                   int // looks back at what was known; of them at settled minutes alone
	Pages                           int // incidents of nodes
	ScopePages                      int // alerts of scopes of many nodes
	Growths                         int // nodes whose counters were compared
	Standings                       int // running windows compared with sums made anew
	Audited, ShowPages, MissedPages int // pages whose mark was compared; of them of shows, and missed
	Unaudited                       int // pages that wait for data which never comes
	Held                            int // stretches in which a rule held, compared with the pages there are
	Causes, Keys                    int // what people were told of, and under how many keys
	Dark, Outages                   int // how often nodes were dark; what the time to restore rests on
}

// Add adds up happenings.
func (h *Happenings) Add(o Happenings) {
	h.Events, h.Blocks, h.Repeats = h.Events+o.Events, h.Blocks+o.Blocks, h.Repeats+o.Repeats
	h.Malformed += o.Malformed
	h.DeathsBefore, h.DeathsBehind, h.Restarts = h.DeathsBefore+o.DeathsBefore, h.DeathsBehind+o.DeathsBehind, h.Restarts+o.Restarts
	h.Probes, h.Open, h.Bounded, h.Exempted = h.Probes+o.Probes, h.Open+o.Open, h.Bounded+o.Bounded, h.Exempted+o.Exempted
	h.Growths += o.Growths
	h.Audited, h.ShowPages, h.MissedPages = h.Audited+o.Audited, h.ShowPages+o.ShowPages, h.MissedPages+o.MissedPages
	h.Unaudited, h.Held = h.Unaudited+o.Unaudited, h.Held+o.Held
	h.Causes, h.Keys, h.Dark, h.Outages = h.Causes+o.Causes, h.Keys+o.Keys, h.Dark+o.Dark, h.Outages+o.Outages
	h.ScopePages, h.Standings = h.ScopePages+o.ScopePages, h.Standings+o.Standings
	h.GivenUp, h.AsOf, h.Exactly = h.GivenUp+o.GivenUp, h.AsOf+o.AsOf, h.Exactly+o.Exactly
	h.Settled, h.Restated, h.Pages = h.Settled+o.Settled, h.Restated+o.Restated, h.Pages+o.Pages
}

// Sources of chance: each has its own, so that what one draws changes nothing for
// the others.
const (
	streamFeed = iota
	streamPlan
	streamNode
	streamCentre
	streamProbe
	streamShows
)

func (f *feed) rng(stream, number int) *rand.Rand {
	return rand.New(rand.NewPCG(f.Seed, uint64(stream)<<32|uint64(number)))
}

// A feed is a fleet's days in virtual time.
type feed struct {
	Options
	Happenings
	start, end, now int64 // true time, Unix milliseconds
	step            int64
	healed          bool // nothing breaks any more
	still           bool // nodes do nothing any more but send
	objectives      []slo.Objective
	sheets          []sheet
	truth           *truth
	nodes           []*node
	centre          *centre
	paged           pages                // that nodes have on disk
	shows           map[string][]billing // by venue
	probes          []probe
	seen            *sight // nil: nobody scrapes
	problems        []string
}

const (
	// maxProblems of a feed are told.
	maxProblems = 10
	// drainMost is how long all may take to arrive once nothing breaks any more.
	drainMost = 3 * time.Hour
	// longEvery feeds one lasts for more than a day.
	longEvery = 20
)

// newFeed draws a feed. It begins on the day before the clocks of London change, or
// on another.
func newFeed(ctx context.Context, o Options) (*feed, error) {
	f := &feed{Options: o, truth: newTruth(), paged: pages{}, shows: map[string][]billing{}}
	rng := f.rng(streamFeed, 0)
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		return nil, err
	}
	f.sheets = sheets(zone)
	for i := range f.sheets {
		f.sheets[i].all = o.bug == bugUnplanned
	}
	if f.objectives, err = openslo.Decode("objectives.yaml", objectivesFile); err != nil {
		return nil, err
	}
	hours := 5 + rng.IntN(5)
	if f.step = 20_000; o.contest {
		f.step = 15_000 // as often as Prometheus scrapes
	}
	if o.Seed%longEvery == 0 {
		hours, f.step = 24+rng.IntN(7), 30_000
	}
	day := []time.Time{time.Date(2026, 3, 28, 0, 0, 0, 0, zone), time.Date(2026, 10, 24, 0, 0, 0, 0, zone), time.Date(2026, 7, 4, 0, 0, 0, 0, zone)}[rng.IntN(3)]
	f.start = day.Add(time.Duration(rng.IntN(24*60)) * time.Minute).UnixMilli()
	f.end = f.start + int64(hours)*3_600_000
	f.now = f.start
	if f.centre, err = openCentre(ctx, f, o.Dir); err != nil {
		return nil, err
	}
	return f, f.build(ctx, rng)
}

// build registers the venues.
func (f *feed) build(ctx context.Context, rng *rand.Rand) error {
	most := 2
	if f.contest {
		most, f.seen = 1, newSight()
	}
	for v := range 2 + rng.IntN(2) {
		if !f.contest { // rules that are generated know of no shows
			f.shows[fmt.Sprintf("venue-%d", v)] = f.drawShows(v)
		}
		for n := range 1 + rng.IntN(most) {
			region := []string{"north", "south"}[v%2]
			src := buffer.Source{Region: region, Venue: fmt.Sprintf("venue-%d", v), Node: fmt.Sprintf("node-%d", n)}
			if _, err := f.centre.store.Register(ctx, src); err != nil {
				return err
			}
			f.truth.since = append(f.truth.since, map[string]int64{})
			f.nodes = append(f.nodes, newNode(f, len(f.nodes), src))
		}
	}
	return nil
}

// has reports whether a fault may happen.
func (f *feed) has(x Fault) bool { return len(f.Only) == 0 || slices.Contains(f.Only, x) }

// ended reports whether the venues have closed.
func (f *feed) ended() bool { return f.now >= f.end }

// Run lives through a feed and returns what it went through, and what should not
// have been.
func Run(ctx context.Context, o Options) (_ Happenings, problems []string, err error) {
	f, err := newFeed(ctx, o)
	if err != nil {
		return Happenings{}, nil, fmt.Errorf("feed %d: %w", o.Seed, err)
	}
	defer func() { err = errors.Join(err, f.centre.store.Close()) }()
	if err := errors.Join(f.live(ctx), f.drain(ctx)); err != nil {
		return Happenings{}, nil, fmt.Errorf("feed %d at %s: %w", o.Seed, f.clock(f.now), err)
	}
	if err := f.judge(ctx); err != nil {
		return Happenings{}, nil, fmt.Errorf("feed %d in the end: %w", o.Seed, err)
	}
	return f.Happenings, f.problems, nil
}

// live lives through it until the venues close.
func (f *feed) live(ctx context.Context) error {
	for f.now < f.end {
		if err := f.forth(ctx); err != nil {
			return err
		}
		if err := f.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// drain lives on until all has arrived.
func (f *feed) drain(ctx context.Context) error {
	f.logf("the venues have closed, nothing breaks any more")
	f.healed = true
	for healed := f.now; ; {
		if err := f.forth(ctx); err != nil {
			return err
		}
		if f.now > healed+120_000 && f.read() {
			f.still = true
		}
		if f.still && f.delivered() {
			return nil
		}
		if f.now-healed > drainMost.Milliseconds() {
			f.problem("not all has arrived %s after nothing broke any more", drainMost)
			return nil
		}
	}
}

// forth moves time on by a step.
func (f *feed) forth(ctx context.Context) error {
	last := f.now
	f.now += f.step
	for _, n := range f.nodes {
		if err := n.step(last); err != nil {
			return err
		}
		n.send()
		if f.seen != nil {
			f.seen.scrape(n)
		}
	}
	return f.centre.step(ctx)
}

// read reports whether all that happened is on the nodes' disks.
func (f *feed) read() bool {
	return !slices.ContainsFunc(f.nodes, func(n *node) bool {
		return n.agent == nil || n.agent.cursor < len(n.rows) || len(n.agent.held) > 0
	})
}

// delivered reports whether the centre has answered for all of it.
func (f *feed) delivered() bool {
	return !slices.ContainsFunc(f.nodes, func(n *node) bool {
		return slices.ContainsFunc(n.disk.waiting, func(b *block) bool { return !b.acked })
	})
}

// died counts an agent's death.
func (f *feed) died(how int) {
	if how == diesBehind {
		f.DeathsBehind++
	} else {
		f.DeathsBefore++
	}
}

// time is the centre's clock, which is right.
func (f *feed) time() time.Time { return time.UnixMilli(f.now).UTC() }

// clock tells a time of the feed.
func (f *feed) clock(t int64) string {
	return (time.Duration(t-f.start) * time.Millisecond).Round(time.Millisecond).String()
}

func (f *feed) logf(format string, args ...any) {
	if f.Log != nil {
		f.Log("%s: %s", f.clock(f.now), fmt.Sprintf(format, args...))
	}
}

// problem notes what must not be.
func (f *feed) problem(format string, args ...any) {
	if len(f.problems) < maxProblems {
		f.problems = append(f.problems, f.clock(f.now)+": "+fmt.Sprintf(format, args...))
	}
	f.logf("PROBLEM "+format, args...)
}
