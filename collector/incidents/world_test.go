package incidents_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
	"ghostlight/collector/incidents"
	"ghostlight/collector/journeys"
	engine "ghostlight/healthscore/heal"
	"ghostlight/slo"
	"ghostlight/slo/incident"
	"ghostlight/synthetics"
)

var (
	source  = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}
	evening = time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
)

const traceID = "0af7651916cd43dd8448eb211c80319c"

var errDied = errors.New("the agent died")

func checkout() slo.Objective {
	return slo.Objective{
		Name: "checkout-success", Target: 0.99, PerEvent: true, Budgeting: slo.Occurrences, Hash: 7, Capacity: 600,
		Indicator: slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "payment"}}, Window: slo.Window{Count: 28, Unit: slo.Day, Rolling: true},
	}
}

// A world is a node around a room: its book, its store, its journey and its edgecore,
// in virtual time. The store and what happens outlive the room.
type world struct {
	t       testing.TB
	now     time.Time
	o       slo.Objective
	buckets map[int64]slo.Bucket
	epoch   uint32

	stored  map[string][]byte
	records []delta.Record
	commits int
	full    bool
	dies    int  // at which commit; 0: never
	after   bool // it dies once that commit is stored

	failures int // of the journey, in a row
	since    time.Time
	last     time.Time
	down     bool // checkout does not work
	oldest   time.Time
	audit    []engine.Audit // newest first

	past journeys.Stretch

	room  *incidents.Room
	fired map[string]int // alerts by scope and rule; nil: not counted
	ids   map[string]bool
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: evening, o: checkout(), buckets: map[int64]slo.Bucket{}, stored: map[string][]byte{}, ids: map[string]bool{}, since: evening, last: evening}
	w.start()
	return w
}

func (w *world) start() {
	w.t.Helper()
	var err error
	w.room, err = incidents.New(incidents.Options{
		Source: source, Book: w, Views: w.views, Edgecore: func() (bool, bool) { return !w.down, true },
		Backlog: func() (time.Time, bool) {
			if w.oldest.IsZero() {
				return w.now, true
			}
			return w.oldest, true
		},
		Heals: func() []engine.Audit { return w.audit }, Commit: w, Now: func() time.Time { return w.now },
		Load: func(prefix string) (map[string][]byte, error) {
			out := map[string][]byte{}
			for k, v := range w.stored {
				if strings.HasPrefix(k, prefix) {
					out[k] = v
				}
			}
			return out, nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) Objectives() []slo.Objective { return []slo.Objective{w.o} }

func (w *world) Buckets(_ int, from, to int64) ([]slo.Bucket, error) {
	var out []slo.Bucket
	for _, m := range slices.Sorted(maps.Keys(w.buckets)) {
		if m >= from && m < to {
			out = append(out, w.buckets[m])
		}
	}
	return out, nil
}

func (w *world) views() []journeys.View {
	v := journeys.View{
		Journey: synthetics.Journey{Name: "revenue-path"}, Runs: 1, Failures: w.failures, End: w.last, SinceMS: w.since.UnixMilli(),
		Last: synthetics.Result{Journey: "revenue-path", Pass: w.failures == 0, StartMS: w.last.UnixMilli()},
	}
	if w.failures > 0 {
		v.Last.FailedStep, v.Last.Error, v.Last.TraceID = "pay", "503", traceID
	}
	v.Past = w.past
	return []journeys.View{v}
}

func (w *world) Commit(_ context.Context, c queue.Commit) error {
	w.commits++
	if w.full {
		return queue.ErrFull
	}
	if w.commits == w.dies && !w.after {
		return errDied
	}
	for k, v := range c.State {
		if v == nil {
			delete(w.stored, k)
		} else {
			w.stored[k] = v
		}
	}
	for _, e := range c.Entries {
		if e.Lane != buffer.Revenue {
			w.t.Errorf("told in lane %v", e.Lane)
		}
		w.records = append(w.records, e.Batch.Records...)
	}
	if w.commits == w.dies {
		return errDied
	}
	return nil
}

// sell counts payments in the minute of now.
func (w *world) sell(good, bad int64) { w.put(slo.MinuteOf(w.now), good, bad) }

func (w *world) put(m, good, bad int64) {
	b := w.buckets[m]
	b.Objective, b.Hash, b.Minute, b.State, b.Epoch = w.o.Name, w.o.Hash, m, slo.Measured, w.epoch
	b.Observed, b.Passing, b.Revision = 60, true, b.Revision+1
	b.Good, b.Total = b.Good+good, b.Total+good+bad
	w.buckets[m] = b
	w.room.Told(w.o, []slo.Bucket{b})
}

// run lets time pass, a second at a time: a sale every 8 s and a journey every 10 s,
// which fail while checkout is down. An agent that dies starts again at once.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); {
		if w.now.Unix()%8 == 0 {
			if w.down {
				w.sell(0, 1)
			} else {
				w.sell(1, 0)
			}
		}
		if w.now.Unix()%10 == 0 {
			w.journey()
		}
		w.step()
		if w.fired != nil {
			w.count()
		}
		w.now = w.now.Add(time.Second)
	}
}

// count counts the alerts that fire, each once.
func (w *world) count() {
	for _, a := range w.room.View().Alerts {
		if !w.ids[a.ID] {
			w.ids[a.ID] = true
			w.fired[a.Scope+" "+a.Rule]++
		}
	}
}

func (w *world) journey() {
	w.last = w.now
	switch {
	case w.down && w.failures == 0, !w.down && w.failures > 0:
		w.since = w.now
	}
	if w.failures++; !w.down {
		w.failures = 0
	}
}

func (w *world) step() {
	w.t.Helper()
	switch err := w.room.Step(w.t.Context()); {
	case errors.Is(err, errDied):
		w.start()
		w.step()
	case err != nil && !w.full:
		w.t.Fatal(err)
	}
}

func (w *world) show(id string, start, end time.Time) wire.Show {
	s := wire.Show{ID: id, Name: "Hamlet", StartMS: start.UnixMilli(), OnMS: start.Add(-time.Hour).UnixMilli()}
	if !end.IsZero() {
		s.EndMS, s.OffMS = end.UnixMilli(), end.Add(time.Hour).UnixMilli()
	}
	return s
}

// heard is what the centre makes of the records: the incidents by the order of their
// failure.
func (w *world) heard() []incident.Incident {
	w.t.Helper()
	merged := map[string]incident.Incident{}
	for _, rec := range w.records {
		if rec.Kind != incident.Kind {
			w.t.Errorf("a record of kind %q", rec.Kind)
		}
		i, err := incident.Heard(rec.Key, rec.Body, source.Region, source.Venue, source.Node)
		if err != nil {
			w.t.Fatal(err)
		}
		if old, ok := merged[rec.Key]; ok {
			if i, err = incident.Merge(old, i); err != nil {
				w.t.Fatal(err)
			}
		}
		merged[rec.Key] = i
	}
	out := slices.Collect(maps.Values(merged))
	slices.SortFunc(out, func(a, b incident.Incident) int {
		return strings.Compare(string(a.Scope.Cause)+time.UnixMilli(a.StartMS).UTC().String(), string(b.Scope.Cause)+time.UnixMilli(b.StartMS).UTC().String())
	})
	return out
}

// woken says, for each time that somebody was, of what and by which alert; a journey
// has none.
func (w *world) woken() []string {
	w.t.Helper()
	var out []string
	for _, i := range w.heard() {
		for _, k := range i.Wakings() {
			out = append(out, i.Scope.Name+" "+k.Rule+" "+k.Event)
		}
	}
	return out
}

// story says what the centre knows, a line for each spell.
func (w *world) story() []string {
	w.t.Helper()
	clock := func(ms int64) string {
		if ms == 0 {
			return "-"
		}
		return time.UnixMilli(ms).UTC().Format("15:04:05")
	}
	var out []string
	for _, i := range w.heard() {
		for n, s := range i.Spells() {
			name := string(i.Scope.Cause) + " " + i.Scope.Name + " " + string(i.Urgency())
			if n > 0 {
				name = "again"
			}
			out = append(out, name+": failed "+clock(s.FailedMS)+", detected "+clock(s.DetectedMS)+", mitigated "+clock(s.MitigatedMS)+", parity "+clock(s.ParityMS))
		}
	}
	return out
}
