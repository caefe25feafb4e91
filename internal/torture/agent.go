package torture

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/incidents"
	"ghostlight/collector/sli"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

const (
	cursorKey    = "outcomes/cursor"
	pageRows     = 250
	slowRows     = 3 // a page when the ledger is read slowly
	journeyEvery = time.Minute
	// staleAfter is how long a run vouches for the venue.
	staleAfter = 3 * journeyEvery
)

// An agent is one life of the process that watches a node: the real book, and a
// reader and journeys that do what those of the product do.
type agent struct {
	*node
	disk    *opening
	book    *sli.Book
	room    *incidents.Room
	cursor  int
	seen    bool  // the ledger was read to its end
	asked   int64 // true time at which edgecore answered last
	nextRun int64 // true time
	lastRun int64 // 0: none yet
	passes  bool
	showing *slo.Counts // what counters show that are being stored
	held    []run       // runs that no commit has stored yet
	ran     slo.Counts  // since it started, as its counters show it
	telling bool        // a commit that stores runs is under way
}

// A run is one run of the journey: when in truth, and by the node's clock.
type run struct {
	at, stamp int64
	pass      bool
}

// startAgent starts an agent from what is on disk.
func startAgent(n *node) (*agent, error) {
	a := &agent{node: n, nextRun: n.f.now + n.rng.Int64N(journeyEvery.Milliseconds())}
	a.disk = &opening{disk: n.disk, now: func() int64 { return n.f.now }, stored: a.stored, bug: n.f.bug}
	if raw := n.disk.state[cursorKey]; raw != nil {
		var err error
		if a.cursor, err = strconv.Atoi(string(raw)); err != nil {
			return nil, fmt.Errorf("the cursor on disk: %w", err)
		}
	}
	born := n.f.now
	var err error
	a.book, err = sli.New(sli.Options{
		Objectives: n.f.objectives, Commit: a.disk, Load: a.disk.load,
		OutcomesSeen: a.outcomesSeen, Evidence: a.evidence, Told: func(o slo.Objective, buckets []slo.Bucket) { a.room.Told(o, buckets) },

		Now: n.clock, Elapsed: func() time.Duration { return time.Duration(n.f.now-born) * time.Millisecond },
	})
	if err != nil {
		return nil, err
	}
	a.room, err = incidents.New(incidents.Options{
		Source: n.source, Book: a.book, Edgecore: func() (up, known bool) { return a.answers(), true },
		Commit: a.disk, Load: a.disk.loadAll, Now: n.clock,
	})
	if err != nil {
		return nil, err
	}
	// With an end at once, Run does no more than to announce the objectives.
	n.shown = 0
	ended, end := context.WithCancel(context.Background())
	end()
	return a, a.book.Run(ended)
}

func (a *agent) evidence(string) slo.Evidence {
	switch {
	case a.lastRun == 0 || a.f.now-a.lastRun > staleAfter.Milliseconds():
		return slo.NoEvidence
	case a.passes:
		return slo.JourneyPassing
	}
	return slo.JourneyFailing
}

// stored is called by the disk when a commit is durable.
func (a *agent) stored(records []delta.Record) {
	for _, r := range records {
		switch r.Kind {
		case incident.Kind:
			a.f.hear(a.f.paged, a.node, r)
			if a.f.seen != nil {
				a.f.seen.paged(a.f.paged[r.Key], a.f.now)
			}
		case ledger.KindObjective:
			a.f.truth.answers(a.number, r.Key, r.Time/60_000)
		case ledger.KindBucket:
			b, err := slo.DecodeBucket(r.Body)
			if err != nil {
				a.f.problem("%s told a bucket that cannot be: %v", a.source, err)
				continue
			}
			a.f.truth.answers(a.number, b.Objective, b.Minute)
		}
	}
	if a.showing != nil {
		a.show(*a.showing)
	}
	if !a.telling {
		return
	}
	for _, r := range a.held {
		a.happen(visit, r.at, r.stamp, r.pass)
	}
	a.held = nil
}

// answers reports whether edgecore does.
func (a *agent) answers() bool { return !a.is(Edgecore) && !a.is(Power) && !a.is(Hang) }

// outcomesSeen trusts in the last answer for two steps.
func (a *agent) outcomesSeen() (time.Duration, bool) {
	ago := a.f.now - a.asked
	return time.Duration(ago) * time.Millisecond, a.seen && ago <= 2*a.f.step
}

// read takes what is new in edgecore's ledger, a page at a time.
func (a *agent) read() {
	if !a.answers() {
		return
	}
	a.asked = a.f.now
	size := pageRows
	if a.is(Slow) {
		size = slowRows
	}
	for a.seen = a.cursor == len(a.rows); a.cursor < len(a.rows); {
		end := min(len(a.rows), a.cursor+size)
		page := make([]sli.Outcome, 0, end-a.cursor)
		for _, r := range a.rows[a.cursor:end] {
			page = append(page, sli.Outcome{At: time.UnixMilli(r.at), Kind: string(r.kind), Good: r.good})
		}
		a.seen = end == len(a.rows)
		extra := queue.Commit{State: map[string][]byte{cursorKey: strconv.AppendInt(nil, int64(end), 10)}}
		if err := a.book.Outcomes(context.Background(), page, extra); err != nil {
			a.seen = false
			return
		}
		if a.cursor = end; size == slowRows {
			return
		}
	}
}

// journey runs the journey when it is due.
func (a *agent) journey() {
	if a.f.now < a.nextRun || a.f.ended() || a.disk.dead {
		return
	}
	for a.nextRun <= a.f.now {
		a.nextRun += journeyEvery.Milliseconds()
	}
	a.passes = !a.is(Edgecore) && a.rng.Float64() >= a.plan.failing(a.f.now)
	if a.ran.Total, a.lastRun = a.ran.Total+1, a.f.now; a.passes {
		a.ran.Good++
	}
	a.held = append(a.held, run{a.f.now, a.wall(), a.passes})
	a.telling = true
	extra := queue.Commit{Entries: []queue.Entry{{Lane: buffer.Health, Batch: delta.Batch{Records: []delta.Record{{Kind: "journey.run"}}}}}}
	a.book.Journey(context.Background(), string(visit), a.clock(), a.passes, extra) //nolint:errcheck // the run waits in memory
	a.telling = false
}

// watch lets time pass for the node's alerts and incidents.
func (a *agent) watch() {
	a.room.Step(context.Background()) //nolint:errcheck // it is tried again in the next step
}

// tick lets time pass for the book.
func (a *agent) tick() {
	a.telling = true
	a.book.Tick(context.Background()) //nolint:errcheck // it is tried again in the next step
	a.telling = false
}
