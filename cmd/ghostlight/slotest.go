package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"ghostlight/slo"
)

// sloTestCmd replays a data file.
type sloTestCmd struct {
	Objective string `arg:"" help:"An OpenSLO v1 file."`
	Data      string `arg:"" help:"A CSV file with lines unix_seconds,node,good,total[,arrival_unix_seconds]."`
	Name      string `help:"Which objective of the file."`
	JSON      bool   `name:"json" help:"Print one JSON object."`
}

func (c *sloTestCmd) Run(out io.Writer) error {
	o, err := oneObjective(c.Objective, c.Name)
	if err != nil {
		return err
	}
	f, err := os.Open(c.Data)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	data, err := readReplay(c.Data, f)
	if err != nil {
		return err
	}
	result, err := replay(o, data)
	if err != nil {
		return fmt.Errorf("replay %s: %w", c.Data, err)
	}
	if c.JSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		err = enc.Encode(result)
	} else {
		_, err = io.WriteString(out, result.text(o))
	}
	if err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// A replayed is how an objective was kept over a data file.
type replayed struct {
	Objective string  `json:"objective"`
	From      int64   `json:"from_unix"` // of the window that ends with the data
	To        int64   `json:"to_unix"`
	Nodes     int     `json:"nodes"`
	Good      int64   `json:"good"`
	Total     int64   `json:"total"`
	Unit      string  `json:"unit"` // of good and total
	Known     bool    `json:"known"`
	SLI       float64 `json:"sli"`
	Lower     float64 `json:"lower"`
	Upper     float64 `json:"upper"`
	// BudgetConsumed is the share of the error budget of the events so far that
	// is gone: 1 is all of it.
	BudgetConsumed float64        `json:"budget_consumed"`
	Verdict        slo.Verdict    `json:"verdict"`
	Final          bool           `json:"final"`
	Coverage       replayCoverage `json:"coverage"`
	Alerts         []replayAlert  `json:"alerts"`
	Refused        []refusedRow   `json:"refused"`          // lines that cannot be true
	FromFuture     int            `json:"from_future_rows"` // lines that arrived before they happened
}

type replayCoverage struct {
	Expected int     `json:"expected_minutes"` // of each node, from its first line on
	Told     int     `json:"told_minutes"`
	Pending  int     `json:"pending_minutes"`
	Excluded int     `json:"excluded_minutes"`
	Share    float64 `json:"share"` // told of those that count
}

// A replayAlert is one alert in both clocks: when it happened, and when whoever
// only saw what had arrived could know.
type replayAlert struct {
	ID           string      `json:"id"`
	Severity     slo.Urgency `json:"severity"`
	LongSeconds  int64       `json:"long_seconds"`
	ShortSeconds int64       `json:"short_seconds"`
	Burn         float64     `json:"burn"`
	Fired        int64       `json:"fired_unix"`
	Resolved     *int64      `json:"resolved_unix"` // null: it was firing when the data ended
	FiredKnown   int64       `json:"fired_known_unix"`
	ResolveKnown *int64      `json:"resolved_known_unix"`
}

// replay judges the window that ends with the data, and runs the burn alerts over
// all of it, every minute.
func replay(o slo.Objective, d *replayData) (replayed, error) {
	first, end := d.bounds()
	out := replayed{Objective: o.Name, Nodes: len(d.joined), Unit: o.Budgeting.Unit(), Alerts: []replayAlert{}, Refused: d.refused, FromFuture: d.future}
	from, to := end-int64(o.Window.Period()/time.Minute), end
	if !o.Window.Rolling {
		from, to = o.Window.Minutes(slo.MinuteStart(end - 1))
	}
	from, to = max(from, first), min(to, end)
	out.From, out.To = from*60, to*60
	st := slo.EvaluateSpans(o, d.spans(from, to), d.buckets(o, from, to, d.last()))
	out.Good, out.Total, out.Known, out.SLI, out.Lower, out.Upper = st.Good, st.Total, st.Known, st.SLI, st.Lower, st.Upper
	out.Verdict, out.Final = st.Verdict, st.Final
	if st.Known {
		out.BudgetConsumed = 1 - st.BudgetLeft
	}
	c := st.Coverage
	out.Coverage = replayCoverage{Told: c.Measured + c.Gap, Pending: c.Pending, Excluded: c.Excluded, Expected: c.Measured + c.Gap + c.Pending + c.Excluded}
	if counted := out.Coverage.Told + c.Pending; counted > 0 {
		out.Coverage.Share = float64(out.Coverage.Told) / float64(counted)
	}
	alerts, err := d.alerts(o, first, end)
	out.Alerts = append(out.Alerts, alerts...)
	return out, err
}

// alerts runs the burn alerts by event time; each minute is looked at when it
// ends.
func (d *replayData) alerts(o slo.Objective, first, end int64) ([]replayAlert, error) {
	w, err := slo.NewBurnWatch("replay", o, d.spans(first, end))
	if err != nil {
		return nil, err
	}
	w.Track.Advance(first)
	byMinute := map[int64][]slo.Bucket{}
	for _, b := range d.buckets(o, first, end, d.last()) {
		byMinute[b.Minute] = append(byMinute[b.Minute], b)
	}
	var out []replayAlert
	open := map[string]int{} // by rule
	tiers := map[string]slo.Tier{}
	for _, t := range w.Tiers() {
		tiers[t.Rule().Key] = t
	}
	for m := first; m < end; m++ {
		for _, b := range byMinute[m] {
			w.Track.Replace(m, slo.Sum{}, o.Sum(b))
		}
		w.Track.Advance(m + 1)
		for _, a := range w.Watch.Step(slo.MinuteStart(m+1), w.Holds) {
			t := tiers[a.Rule]
			if a.Phase == slo.Firing {
				open[a.Rule] = len(out)
				out = append(out, replayAlert{
					ID: a.ID, Severity: a.Urgency, LongSeconds: int64(t.Long / time.Second), ShortSeconds: int64(t.Short / time.Second),
					Burn: t.Rate, Fired: a.Fired.Unix(), FiredKnown: d.knownFiring(o, t, m+1),
				})
				continue
			}
			r := &out[open[a.Rule]]
			at := a.Resolved.Unix()
			known := max(at, r.FiredKnown, d.knownQuiet(t, m+1))
			r.Resolved, r.ResolveKnown = &at, &known
		}
	}
	return out, nil
}

// knownFiring is the arrival at which a tier, looking back from the end of a
// window, first fires on what had arrived by then.
func (d *replayData) knownFiring(o slo.Objective, t slo.Tier, end int64) int64 {
	arrivals := d.arrivals(end-minutesOf(t.Long)-60, end)
	fires := func(n int) bool {
		counts := func(window time.Duration) slo.Counts {
			to := end
			if window > 24*time.Hour {
				to = end / 60 * 60 // long windows end with the last whole hour
			}
			from := to - minutesOf(window)
			return slo.EvaluateSpans(o, d.spans(from, to), d.buckets(o, from, to, arrivals[n])).Counts
		}
		ok, err := t.Fires(o.Target, counts(t.Long), counts(t.Short))
		return err == nil && ok
	}
	// Not every prefix beyond the first that fires does; this finds one where
	// what had not fired before does.
	i, _ := slices.BinarySearchFunc(indices(len(arrivals)), true, func(n int, _ bool) int {
		if fires(n) {
			return 1
		}
		return -1
	})
	if i == len(arrivals) {
		i--
	}
	return max(end*60, arrivals[i])
}

// knownQuiet is when the last of what a tier's short window holds had arrived.
func (d *replayData) knownQuiet(t slo.Tier, end int64) int64 {
	arrivals := d.arrivals(end-minutesOf(t.Short), end)
	if len(arrivals) == 0 {
		return 0
	}
	return arrivals[len(arrivals)-1]
}

func minutesOf(d time.Duration) int64 { return int64(d / time.Minute) }

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
