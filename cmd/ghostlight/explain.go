package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	agentconfig "ghostlight/collector/config"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// sloExplainCmd says what the objectives of a file mean.
type sloExplainCmd struct {
	File  string `arg:"" optional:"" help:"An OpenSLO v1 file."`
	Agent string `type:"existingfile" placeholder:"AGENT.YAML" help:"Explain the objectives of this agent instead."`
	JSON  bool   `name:"json" help:"Print one JSON object for each objective, on a line of its own."`
}

// objectives reads what is to be explained.
func (c *sloExplainCmd) objectives() ([]slo.Objective, error) {
	switch {
	case (c.File == "") == (c.Agent == ""):
		return nil, errors.New("name either an OpenSLO file or, with --agent, an agent's configuration")
	case c.File != "":
		return openslo.Load(c.File)
	}
	agent, err := agentconfig.Load(c.Agent)
	if err != nil {
		return nil, err
	}
	if len(agent.AllObjectives()) == 0 {
		return nil, fmt.Errorf("%s has no objectives", c.Agent)
	}
	return agent.AllObjectives(), nil
}

func (c *sloExplainCmd) Run(out io.Writer) error {
	objectives, err := c.objectives()
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for i, o := range objectives {
		e := explain(o)
		switch {
		case c.JSON:
			err = enc.Encode(e)
		case i > 0:
			_, err = io.WriteString(out, "\n"+e.text(o))
		default:
			_, err = io.WriteString(out, e.text(o))
		}
		if err != nil {
			return fmt.Errorf("print the explanation: %w", err)
		}
	}
	return nil
}

// An explanation is one objective with what would come of it.
type explanation struct {
	Name          string   `json:"name"`
	Sentence      string   `json:"sentence"`
	Target        float64  `json:"target"`
	PeriodSeconds int64    `json:"period_seconds"` // nominal: a month is 30 days
	Tiers         []tier   `json:"tiers"`
	Outages       []outage `json:"outages"`
}

// A tier is one burn alert: it fires while both windows burn above burn.
type tier struct {
	Severity     slo.Urgency `json:"severity"`
	LongSeconds  int64       `json:"long_seconds"`
	ShortSeconds int64       `json:"short_seconds"`
	Burn         float64     `json:"burn"`
	CanFire      bool        `json:"can_fire"` // false: not even total failure burns so fast
}

// An outage is a constant share of failing events after a clean past, and every
// alert that it would raise, the first first.
type outage struct {
	Percent       float64  `json:"percent"`
	DetectSeconds *float64 `json:"detect_seconds"` // of the first alert; null: nothing would fire
	ResetSeconds  *float64 `json:"reset_seconds"`  // how long that alert goes on once the errors end
	Alerts        []alert  `json:"alerts"`
}

type alert struct {
	Severity      slo.Urgency `json:"severity"`
	LongSeconds   int64       `json:"long_seconds"`
	DetectSeconds float64     `json:"detect_seconds"`
	ResetSeconds  float64     `json:"reset_seconds"`
}

// outagePercents are the outages that are explained.
func outagePercents() []float64 { return []float64{100, 10, 1} }

func explain(o slo.Objective) explanation {
	period := o.Window.Period()
	e := explanation{Name: o.Name, Sentence: sentence(o), Target: o.Target, PeriodSeconds: int64(period / time.Second)}
	tiers := o.Alerts
	if len(tiers) == 0 {
		tiers = slo.Tiers(period)
	}
	for _, t := range tiers {
		e.Tiers = append(e.Tiers, tier{t.Urgency, int64(t.Long / time.Second), int64(t.Short / time.Second), t.Rate, t.CanFire(o.Target) == nil})
	}
	for _, p := range outagePercents() {
		e.Outages = append(e.Outages, explainOutage(o, p, tiers))
	}
	return e
}

// explainOutage finds the alerts that fire. The long window is the slower to fill
// and so decides when an alert fires; the short one is the faster to empty and
// decides when it ends.
func explainOutage(o slo.Objective, percent float64, tiers []slo.Tier) outage {
	out := outage{Percent: percent, Alerts: []alert{}}
	ratio := badShare(o, percent/100)
	for _, t := range tiers {
		if burn := ratio / (1 - o.Target); burn <= t.Rate || t.CanFire(o.Target) != nil {
			continue
		}
		detect := max(slo.DetectionTime(o.Target, ratio, t.Long, t.Rate), slo.DetectionTime(o.Target, ratio, t.Short, t.Rate))
		if slice := time.Duration(o.Slice.Minutes) * time.Minute; o.Budgeting.Sliced() {
			detect = (detect + slice - 1) / slice * slice // a slice counts when it is over
		}
		out.Alerts = append(out.Alerts, alert{
			Severity: t.Urgency, LongSeconds: int64(t.Long / time.Second), DetectSeconds: (detect + t.After).Seconds(),
			ResetSeconds: slo.ResetTime(o.Target, ratio, t.Short, t.Rate).Seconds(),
		})
	}
	for i := range out.Alerts {
		if a := &out.Alerts[i]; out.DetectSeconds == nil || a.DetectSeconds < *out.DetectSeconds {
			out.DetectSeconds, out.ResetSeconds = &a.DetectSeconds, &a.ResetSeconds
		}
	}
	return out
}

// badShare is how much of what is counted is bad while a share of the events
// fails: with slices all or none of them.
func badShare(o slo.Objective, failing float64) float64 {
	if o.Budgeting != slo.Timeslices {
		return failing
	}
	if 1-failing >= o.Slice.Target {
		return 0
	}
	return 1
}

// sentence is the promise in one sentence.
func sentence(o slo.Objective) string {
	var s string
	switch o.Budgeting {
	case slo.Timeslices:
		s = fmt.Sprintf("Of all slices of %s, at least %s are good, which they are if at least %s of the %s in them are good; judged over %s",
			span(float64(o.Slice.Minutes*60)), share(o.Target), share(o.Slice.Target), events(o.Indicator), windowWords(o.Window))
	case slo.RatioTimeslices:
		s = fmt.Sprintf("Over all slices of %s, on average at least %s of the %s in each are good, however many it holds; judged over %s",
			span(float64(o.Slice.Minutes*60)), share(o.Target), events(o.Indicator), windowWords(o.Window))
	default:
		s = fmt.Sprintf("Of all %s, at least %s are good, judged over %s", events(o.Indicator), share(o.Target), windowWords(o.Window))
	}
	if o.PerEvent {
		s += ", and over each event on its own"
	}
	return s + fmt.Sprintf(": %s of them may fail.", oneIn(1-o.Target))
}

// events says what an indicator counts.
func events(i slo.Indicator) string {
	switch {
	case i.Outcome != nil:
		return i.Outcome.Kind + " outcomes recorded at the venue"
	case i.Journey != nil:
		return "runs of the journey " + i.Journey.Name
	case i.Counter != nil:
		return "events that " + i.String() + " counts"
	case i.Gauge != nil, i.Velocity != nil, i.Baseline != nil, i.Contact != nil, i.Recovery != nil:
		return i.String()
	}
	return "events"
}

func windowWords(w slo.Window) string {
	unit := map[slo.Unit]string{slo.Minute: "minute", slo.Hour: "hour", slo.Day: "day", slo.Week: "week", slo.Month: "month", slo.Quarter: "quarter", slo.Year: "year"}[w.Unit]
	switch {
	case w.Rolling && w.Count == 1:
		return "the last " + unit
	case w.Rolling:
		return fmt.Sprintf("the last %d %ss", w.Count, unit)
	case w.Count == 1:
		return "each calendar " + unit
	}
	return fmt.Sprintf("each %d calendar %ss", w.Count, unit)
}

// share is a ratio in percent, without the noise of binary fractions.
func share(ratio float64) string {
	return strconv.FormatFloat(math.Round(ratio*1e10)/1e8, 'f', -1, 64) + " %"
}

// oneIn is a small ratio as people say it.
func oneIn(ratio float64) string {
	n := 1 / ratio
	if r := math.Round(n); r >= 2 && math.Abs(n-r) < 1e-6*n {
		return fmt.Sprintf("one in %.0f", r)
	}
	return share(ratio)
}

// text is the explanation for people.
func (e explanation) text(o slo.Objective) string {
	var b strings.Builder
	title := e.Name
	if o.DisplayName != "" && o.DisplayName != e.Name {
		title = o.DisplayName + " (" + e.Name + ")"
	}
	fmt.Fprintf(&b, "%s\n  %s\n", title, e.Sentence)
	for _, out := range e.Outages {
		fmt.Fprintf(&b, "  If %g %% fail from one moment on, %s\n", out.Percent, out.words())
	}
	b.WriteString(conditions(o))
	for _, t := range e.Tiers {
		if !t.CanFire {
			fmt.Fprintf(&b, "  The %s over %s can never fire: not even total failure burns %.3g times the budget.\n", t.Severity, span(float64(t.LongSeconds)), t.Burn)
		}
	}
	return b.String()
}

// conditions says what else decides: events, low traffic, and times that do not
// count.
func conditions(o slo.Objective) string {
	var b strings.Builder
	if o.PerEvent {
		var looks []string
		for _, t := range slo.EventTiers() {
			looks = append(looks, fmt.Sprintf("%s of its budget within %s", share(t.Share), span(t.Long.Seconds())))
		}
		fmt.Fprintf(&b, "  During an event somebody would be paged once failures that are no chance cost %s.\n", strings.Join(looks, ", or "))
	}
	if o.MinTraffic > 0 {
		fmt.Fprintf(&b, "  No alert fires while its long window holds fewer than %d events.\n", o.MinTraffic)
	}
	if o.Hours != "" {
		fmt.Fprintf(&b, "  Only opening hours count: %s.\n", o.Hours)
	}
	for _, x := range o.Exclusions {
		fmt.Fprintf(&b, "  Planned, and not counted: %s from each %s.\n", span(x.Length.Seconds()), x.Rule)
	}
	return b.String()
}

// words says who would hear of an outage, and when.
func (o outage) words() string {
	first := map[slo.Urgency]alert{}
	for _, a := range o.Alerts {
		if old, ok := first[a.Severity]; !ok || a.DetectSeconds < old.DetectSeconds {
			first[a.Severity] = a
		}
	}
	var parts []string
	page, paged := first[slo.Page]
	if paged {
		parts = append(parts, fmt.Sprintf("somebody would be paged after %s, and the page would end %s after the failures do", span(page.DetectSeconds), span(page.ResetSeconds)))
	}
	if t, ok := first[slo.Ticket]; ok && !paged {
		parts = append(parts, fmt.Sprintf("nobody would be paged, but a ticket would be opened after %s", span(t.DetectSeconds)))
	}
	if len(parts) == 0 {
		return "nobody would hear of it: the budget bears that."
	}
	return strings.Join(parts, "; ") + "."
}

// span is a length of time in at most two units.
func span(seconds float64) string {
	s := int64(math.Round(seconds))
	for _, u := range []struct {
		name, sub  string
		size, less int64
	}{{"d", "h", 86400, 3600}, {"h", "min", 3600, 60}, {"min", "s", 60, 1}} {
		if s < u.size {
			continue
		}
		whole, rest := s/u.size, s%u.size/u.less
		if rest == 0 {
			return fmt.Sprintf("%d %s", whole, u.name)
		}
		return fmt.Sprintf("%d %s %d %s", whole, u.name, rest, u.sub)
	}
	return fmt.Sprintf("%d s", s)
}
