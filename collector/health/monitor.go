// Package health feeds the node's score from what the agent sees: scraped
// samples of edgecore, host metrics, journeys and outcomes.
//
// A signal without a fresh reading is unknown, never healthy. The package
// measures nothing that another room measures already, but for the data folder's
// disk and the battery, which no scrape knows.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/journeys"
	"ghostlight/collector/outcomes"
	"ghostlight/collector/scrape"
	"ghostlight/collector/self"
	"ghostlight/healthscore"
)

const (
	scoreEvery  = time.Second      // how often the score is computed
	tellChange  = 5 * time.Second  // how soon a score that says something else is recorded
	tellDrift   = 15 * time.Second // how often one is whose value moved
	tellAnyway  = time.Minute      // how often an unchanged one is
	errorWindow = 5 * time.Minute  // that the payment error ratio looks back
)

// A Committer stores records.
type Committer interface {
	Commit(ctx context.Context, c queue.Commit) error
}

// Options configure a [Monitor].
type Options struct {
	Edgecore         bool   // the node has an edgecore
	EdgecoreInstance string // label instance of edgecore's scrape target
	DataDir          string // whose file system must not fill up
	Commit           Committer
	Views            func() []journeys.View // one for each journey that is configured
	OutcomesSeen     func() bool            // the ledger is read to its end
	// Answers is when edgecore's admin listener last answered and whether it
	// still does; it stands in where edgecore is not scraped.
	Answers func() (up bool, at time.Time)
	// ClockOffset is how far our clock is from the fleet's, if that is known.
	ClockOffset func() (offset time.Duration, known bool)
	Now         func() time.Time // nil means time.Now
	Log         *slog.Logger     // nil: silent
	// PowerSupplies is where the system lists batteries, as Linux does in
	// /sys/class/power_supply; "" means nowhere.
	PowerSupplies string
	// Seed tells nodes apart. What is recorded at intervals comes with what else
	// this node reads at its own moments.
	Seed string
}

// A Monitor computes the score. It is safe for concurrent use.
type Monitor struct {
	o      Options
	log    *slog.Logger
	scorer *healthscore.Scorer // used by Run alone

	mu       sync.Mutex
	readings map[string]healthscore.Reading // from metrics, guarded by mu
	gauges   map[string]healthscore.Reading // edgecore's own, shown as they are; guarded by mu
	failures int                            // failed scrapes of edgecore in a row, guarded by mu
	cpu      cpuTimes                       // guarded by mu
	payments []minuteCount                  // guarded by mu
	score    healthscore.Score              // guarded by mu
}

// New returns a monitor.
func New(o Options) (*Monitor, error) {
	if o.Commit == nil || o.Views == nil {
		return nil, errors.New("health: somewhere to commit to and journeys are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OutcomesSeen == nil {
		o.OutcomesSeen = func() bool { return false }
	}
	if o.ClockOffset == nil {
		o.ClockOffset = func() (time.Duration, bool) { return 0, false }
	}
	model := healthscore.DefaultModel(o.Edgecore)
	if len(o.Views()) > 0 {
		// Where journeys are to run, a node on which none did is unknown, not healthy.
		model = model.Require(healthscore.JourneySuccess)
	}
	scorer, err := healthscore.NewScorer(model)
	if err != nil {
		return nil, err
	}
	return &Monitor{o: o, log: o.Log, scorer: scorer, readings: map[string]healthscore.Reading{}, gauges: map[string]healthscore.Reading{}}, nil
}

// Run computes and records the score until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	now := m.o.Now()
	every, rounds := scrape.After(m.o.Seed, scoreEvery, now), scrape.After(m.o.Seed, tellDrift, now)
	timer := time.NewTimer(every.Wait(now))
	defer timer.Stop()
	var told telling
	state := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		score := m.scorer.Update(m.o.Now(), m.Readings())
		m.mu.Lock()
		m.score = score
		m.mu.Unlock()
		if score.State != state && state != "" {
			m.log.Info("health changed", "state", score.State, "score", math.Round(score.Value), "before", state)
		}
		state = score.State
		now := m.o.Now()
		if told.due(score, now, rounds.Come(now)) {
			told.tried = now
			if m.record(ctx, score) == nil {
				told.score = score
			}
		}
		every.Advance(now)
		timer.Reset(every.Wait(m.o.Now()))
	}
}

// telling is what was recorded last, and when it was last tried.
type telling struct {
	score healthscore.Score
	tried time.Time
}

// due reports whether a score is recorded now; round says that what the node reads
// at intervals goes now.
func (t *telling) due(score healthscore.Score, now time.Time, round bool) bool {
	since := now.Sub(t.tried)
	switch {
	case t.tried.IsZero() || since < 0 || since >= tellAnyway+tellDrift:
		return true
	case differs(score, t.score):
		return since >= tellChange
	case round:
		// A round may come a little early.
		return since >= tellAnyway-scoreEvery || math.Abs(score.Value-t.score.Value) >= 0.5
	}
	return false
}

// differs reports whether b tells something that a did not, beyond its value.
func differs(a, b healthscore.Score) bool {
	return a.Known != b.Known || a.State != b.State ||
		len(a.Contributors) != len(b.Contributors) || len(a.Caps) != len(b.Caps) || len(a.Unknown) != len(b.Unknown)
}

// rounded is a score without the digits that nobody reads and the uplink would
// carry. What it says still adds up.
func rounded(s healthscore.Score) healthscore.Score {
	capped, left := s.Value != s.Uncapped, 100.0
	s.Contributors = slices.Clone(s.Contributors)
	for i := range s.Contributors {
		c := &s.Contributors[i]
		c.Penalty = hundredths(c.Penalty)
		c.Value, _ = strconv.ParseFloat(strconv.FormatFloat(c.Value, 'g', 4, 64), 64) // of any unit
		left -= c.Penalty
	}
	s.Uncapped, s.Value = hundredths(max(left, 0)), hundredths(s.Value)
	if !capped {
		s.Value = s.Uncapped
	}
	return s
}

func hundredths(points float64) float64 { return math.Round(points*100) / 100 }

func (m *Monitor) record(ctx context.Context, score healthscore.Score) error {
	body, err := json.Marshal(rounded(score))
	if err != nil {
		return fmt.Errorf("encode score: %w", err)
	}
	rec := delta.Record{Kind: "health.score", Key: fmt.Sprint(score.AtMS), Time: score.AtMS, Body: body}
	return m.o.Commit.Commit(ctx, queue.Commit{Entries: []queue.Entry{{Lane: buffer.Health, Batch: delta.Batch{Records: []delta.Record{rec}}}}})
}

// Score is the last score computed; its AtMS is 0 before the first.
func (m *Monitor) Score() healthscore.Score {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.score
}

// Gauge is the last value of one of edgecore's gauges, nil when it is not known
// or more than a minute old.
func (m *Monitor) Gauge(name string) *float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.gauges[name]
	if !ok || !r.Known || m.o.Now().Sub(r.At) > time.Minute {
		return nil
	}
	return &r.Value
}

// EdgecoreUp says whether edgecore answers, if that is known.
func (m *Monitor) EdgecoreUp() (up, known bool) {
	m.mu.Lock()
	r, scraped := m.readings[healthscore.EdgecoreUp]
	m.mu.Unlock()
	now := m.o.Now()
	if scraped {
		return r.Value == 1, r.Known && now.Sub(r.At).Abs() <= time.Minute
	}
	if m.o.Answers == nil {
		return false, false
	}
	up, at := m.o.Answers()
	return up, !at.IsZero() && (!up || now.Sub(at).Abs() <= time.Minute)
}

// Unsettled says since when edgecore's oldest sale waits for its settlement: the
// moment of the reading when none does. It is not known without a fresh reading.
func (m *Monitor) Unsettled() (oldest time.Time, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.readings[healthscore.SettlementOldest]
	if !ok || !r.Known || m.o.Now().Sub(r.At).Abs() > time.Minute {
		return time.Time{}, false
	}
	return r.At.Add(-time.Duration(r.Value * float64(time.Second))), true
}

// EdgecoreFailures is how many scrapes of edgecore failed in a row.
func (m *Monitor) EdgecoreFailures() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failures
}

// Battery is the charge of the emptiest battery, 0 to 1; nil on a machine without
// one.
func (m *Monitor) Battery() *float64 {
	charge, known := battery(m.o.PowerSupplies)
	if !known {
		return nil
	}
	return &charge
}

// Gather adds the score's metrics and the battery's; what is unknown has none.
func (m *Monitor) Gather(g *self.Gatherer) {
	if charge := m.Battery(); charge != nil {
		g.Gauge("ghostlight_battery_charge_ratio", "Charge of the emptiest battery, 0 to 1; absent without one.", *charge)
	}
	s := m.Score()
	if s.Known {
		g.Gauge("ghostlight_health_score", "Health of the node, 0 to 100; absent when unknown.", hundredths(s.Value))
	}
	for _, c := range s.Contributors {
		g.Gauge("ghostlight_health_penalty", "Points that the signal takes off the score.", hundredths(c.Penalty), "signal", c.Signal)
	}
}

// Readings is what is known now of every signal.
func (m *Monitor) Readings() map[string]healthscore.Reading {
	now := m.o.Now()
	out := map[string]healthscore.Reading{}
	m.mu.Lock()
	for name, r := range m.readings {
		out[name] = r
	}
	if m.o.OutcomesSeen() {
		out[healthscore.PaymentErrorRatio] = healthscore.Reading{Value: m.errorRatio(now), Known: true, At: now}
	}
	m.mu.Unlock()
	if _, scraped := out[healthscore.EdgecoreUp]; !scraped && m.o.Answers != nil {
		if up, at := m.o.Answers(); !at.IsZero() {
			r := healthscore.Reading{Known: true, At: now}
			if up {
				r.Value, r.At = 1, at
			}
			out[healthscore.EdgecoreUp] = r
		}
	}
	addJourneys(out, m.o.Views())
	if used, ok := diskUsed(m.o.DataDir); ok {
		out[healthscore.DiskUsedRatio] = healthscore.Reading{Value: used, Known: true, At: now}
	}
	if offset, ok := m.o.ClockOffset(); ok {
		out[healthscore.ClockSkewSeconds] = healthscore.Reading{Value: offset.Abs().Seconds(), Known: true, At: now}
	}
	if charge := m.Battery(); charge != nil {
		out[healthscore.BatteryRatio] = healthscore.Reading{Value: *charge, Known: true, At: now}
	}
	return out
}

// addJourneys reads the journeys' last runs. The oldest of those that passed
// dates the reading, so that one journey that stopped running makes it unknown.
func addJourneys(out map[string]healthscore.Reading, views []journeys.View) {
	var success, relay healthscore.Reading
	for _, v := range views {
		if v.Runs == 0 {
			continue
		}
		switch {
		case !v.Last.Pass && (!success.Known || success.Value == 1):
			success = healthscore.Reading{Known: true, At: v.End, Detail: fmt.Sprintf("journey %s fails at step %s", v.Last.Journey, v.Last.FailedStep)}
		case v.Last.Pass && (!success.Known || success.Value == 1 && v.End.Before(success.At)):
			success = healthscore.Reading{Value: 1, Known: true, At: v.End}
		}
		if v.RelayKnown {
			relay = healthscore.Reading{Known: true, At: v.End}
			if v.Relay {
				relay.Value = 1
			}
		}
	}
	if success.Known {
		out[healthscore.JourneySuccess] = success
	}
	if relay.Known {
		out[healthscore.RelayUp] = relay
	}
}

type minuteCount struct {
	minute    int64
	bad, good int64
}

// Outcomes takes in real outcomes for the payment error ratio.
func (m *Monitor) Outcomes(batch []outcomes.Outcome) {
	now := m.o.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range batch {
		if o.Kind != "payment" {
			continue
		}
		minute := o.TimeMS / 60_000
		if !recent(minute, now) {
			continue // read late, or from before the clock was set
		}
		i := slices.IndexFunc(m.payments, func(c minuteCount) bool { return c.minute == minute })
		if i < 0 {
			i, m.payments = len(m.payments), append(m.payments, minuteCount{minute: minute})
		}
		if c := &m.payments[i]; o.Good {
			c.good++
		} else {
			c.bad++
		}
	}
	m.payments = slices.DeleteFunc(m.payments, func(c minuteCount) bool { return !recent(c.minute, now) })
}

// recent reports whether a minute is within what the error ratio looks back on,
// and not in the future of a clock that was set back.
func recent(minute int64, now time.Time) bool {
	return minute > now.Add(-errorWindow).UnixMilli()/60_000 && minute <= now.UnixMilli()/60_000+1
}

// errorRatio is the share of the last minutes' payments that we failed; without
// payments nothing failed. The caller holds mu.
func (m *Monitor) errorRatio(now time.Time) float64 {
	var bad, total int64
	for _, c := range m.payments {
		if recent(c.minute, now) {
			bad, total = bad+c.bad, total+c.bad+c.good
		}
	}
	if total == 0 {
		return 0
	}
	return float64(bad) / float64(total)
}
