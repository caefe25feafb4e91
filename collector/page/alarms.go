package page

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"ghostlight/internal/webui"
)

// comingShows is how many shows to come are listed.
const comingShows = 3

// alarmLook is one open incident, with the alert that tells how fast it burns.
type alarmLook struct {
	Incident
	Tone   string
	Says   string // "sales fail", in the words of its cause
	Since  int64
	Rate   string // such as "63×"; empty: no budget tells
	RateOf string // what the rate means
	Stages []stageLook
	Do     string // the first thing to do; empty: nothing but to wait
}

// stageLook is one stage of an incident's last spell.
type stageLook struct {
	Name string
	AtMS int64 // 0: not reached
	Tone string
}

// endedLook is one incident that has ended.
type endedLook struct {
	Incident
	Tone         string
	FailedMS, At int64
	Again        int // spells after the first
}

// showLook is one show and how it stands to now.
type showLook struct {
	Show
	Now bool
}

func lookAtIncidents(s Status) (open []alarmLook, ended []endedLook) {
	for _, i := range s.Incidents {
		if len(i.Spells) == 0 {
			continue
		}
		if i.Open {
			open = append(open, lookAtAlarm(s, i))
			continue
		}
		last := i.Spells[len(i.Spells)-1]
		ended = append(ended, endedLook{Incident: i, Tone: toneOf(i.Urgency), FailedMS: i.Spells[0].FailedMS, At: last.ParityMS, Again: len(i.Spells) - 1})
	}
	slices.SortStableFunc(open, func(a, b alarmLook) int { return rank(a) - rank(b) })
	return open, ended
}

// rank puts what costs sales first, then what wakes somebody.
func rank(a alarmLook) int {
	n := 0
	if !a.Sales {
		n += 2
	}
	if a.Urgency != "page" {
		n += 4
	}
	if a.Cause == "journey" {
		n++ // the objective tells more
	}
	return n
}

func toneOf(urgency string) string {
	if urgency == "page" {
		return "bad"
	}
	return "warn"
}

func lookAtAlarm(s Status, i Incident) alarmLook {
	spell := i.Spells[len(i.Spells)-1]
	l := alarmLook{Incident: i, Tone: toneOf(i.Urgency), Since: spell.FailedMS, Do: firstStep(s, i)}
	switch {
	case spell.MitigatedMS != 0:
		l.Tone, l.Says = "warn", "works again; not all is settled yet"
		l.Do = "Nothing: what was sold meanwhile is settled by itself once the hub can be reached."
	case i.Cause == "journey":
		l.Says = "fails again and again"
	default:
		l.Says = "burns its budget"
	}
	l.Stages = []stageLook{
		{"failed", spell.FailedMS, "bad"},
		{"seen", spell.DetectedMS, "bad"},
		{"works again", spell.MitigatedMS, "ok"},
		{"nothing left behind", spell.ParityMS, "ok"},
	}
	if a, ok := fastest(s.Alerts, i.ID); ok && a.Burn > 0 && spell.MitigatedMS == 0 {
		l.Rate = times(a.Burn)
		over := webui.Span(time.Duration(a.WindowMS) * time.Millisecond)
		l.RateOf = "too fast for its budget, over the last " + over
		switch {
		case a.Show != "":
			l.RateOf = "too fast for the budget of " + a.Show + ", over the last " + over
		case a.LastsMS > 0:
			l.RateOf += "; all of it would be gone in " + webui.Span(time.Duration(a.LastsMS)*time.Millisecond)
		}
	}
	return l
}

// fastest is the alert of an incident that burns fastest.
func fastest(alerts []Alert, id string) (a Alert, ok bool) {
	for _, b := range alerts {
		if b.Incident == id && (!ok || b.Burn > a.Burn) {
			a, ok = b, true
		}
	}
	return a, ok
}

// times is a burn rate in few digits.
func times(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f×", rate)
	}
	return fmt.Sprintf("%.0f×", math.Round(rate))
}

// settling lists the alerts that only look back on what is over, each objective once.
func settling(alerts []Alert) []Alert {
	var out []Alert
	for _, a := range alerts {
		if a.Over && !slices.ContainsFunc(out, func(b Alert) bool { return b.Objective == a.Objective }) {
			out = append(out, a)
		}
	}
	return out
}

// lookAtShows lists what goes on and the next few.
func lookAtShows(s Status) []showLook {
	var out []showLook
	coming := 0
	for _, show := range s.Shows {
		switch {
		case show.EndMS != 0 && show.EndMS <= s.NowMS:
		case show.StartMS <= s.NowMS:
			out = append(out, showLook{show, true})
		case coming < comingShows:
			coming++
			out = append(out, showLook{show, false})
		}
	}
	return out
}

// budgetLook is an objective's budget in words and as a meter.
type budgetLook struct {
	Tone  string
	Left  string        // such as "82 % left"
	Meter template.HTML // of what is left
}

func lookAtBudget(b *Budget) *budgetLook {
	if b == nil || !b.Known {
		return nil
	}
	l := budgetLook{Tone: "ok", Left: webui.Percent(b.Left) + " left"}
	switch {
	case b.Left < 0:
		l.Tone, l.Left = "bad", "overspent: "+times(1-b.Left)+" of it used"
	case b.Left < 0.25:
		l.Tone = "warn"
	}
	l.Meter = webui.Meter(max(0, b.Left), 1, l.Tone)
	return &l
}

// Words is how far the show's budget is used. What it allows is no whole number.
func (b ShowBudget) Words() string {
	return fmt.Sprintf("%s, %.1f allowed by its end", webui.Plural(int(b.Total-b.Good), "failure", "failures"), b.Allowed)
}

// Tone is how far the show's budget is used.
func (b ShowBudget) Tone() string {
	switch bad := float64(b.Total - b.Good); {
	case bad > b.Allowed:
		return "bad"
	case bad > 0.75*b.Allowed:
		return "warn"
	}
	return "ok"
}

// firstStep is the first thing to do about an incident.
func firstStep(s Status, i Incident) string {
	for _, a := range objectiveAdvice() {
		if i.Cause == "objective" && strings.Contains(i.Name, a.word) {
			return a.do[0]
		}
	}
	for _, j := range s.Journeys {
		if i.Cause == "journey" && j.Name == i.Name && !j.Pass {
			return adviceFor(j.FailedStep)[0]
		}
	}
	return ""
}
