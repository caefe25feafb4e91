package status

import (
	"fmt"
	"regexp"
	"time"

	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/internal/webui"
)

// evidence is what is known of one venue when its state is judged.
type evidence struct {
	now      time.Time
	nodes    []registry.View
	journeys []Journey
	minutes  []sales.Minute // of the last half hour, by minute; minutes without outcomes are absent
	sells    bool           // an outcome objective is kept here, or something was sold
}

// judgement is the state of a venue and why.
type judgement struct {
	state State
	since time.Time // zero: not known from the evidence
	why   string
}

// assess judges a venue. The order is that of urgency, and dark comes first:
// of a node that is not heard nothing else is known now.
func assess(e evidence) judgement {
	live, dark, away := 0, 0, 0
	var darkSince time.Time
	for _, n := range e.nodes {
		switch n.Presence {
		case registry.Live:
			live++
		case registry.Dark:
			dark++
			if darkSince.IsZero() || n.DarkSince.After(darkSince) {
				darkSince = n.DarkSince // the venue is dark since its last node fell silent
			}
		case registry.Away:
			away++
		}
	}
	switch {
	case live == 0 && dark > 0:
		return judgement{Dark, darkSince, "nothing is heard. " + lastKnown(e)}
	case live == 0 && away > 0:
		return judgement{state: Away, why: "said goodbye when it was packed up"}
	case live == 0:
		return judgement{state: Never, why: "no agent with this node's token has reported yet"}
	}
	if j, ok := failing(e); ok {
		return j
	}
	if j, ok := degraded(e, dark); ok {
		return j
	}
	return calm(e)
}

func lastKnown(e evidence) string {
	for _, n := range e.nodes {
		if n.Score != nil && n.Score.Known {
			return fmt.Sprintf("Its last score was %s.", webui.Number(float64(int(n.Score.Value+0.5))))
		}
	}
	return "It had not told its score."
}

// failing looks for journeys that fail now and for payments that fail.
func failing(e evidence) (judgement, bool) {
	for _, j := range e.journeys {
		if !j.Stale && !j.Pass {
			return judgement{state: Failing, why: fmt.Sprintf("journey %s fails at step %s: %s", j.Name, j.FailedStep, sentence(j.Error))}, true
		}
	}
	t := lastMinutes(e, 3)
	if tried := t.Sales + t.Declined + t.FailedPayments; t.FailedPayments > 0 && 2*t.FailedPayments >= tried {
		return judgement{state: Failing, why: fmt.Sprintf("%d of %d payments failed in the last 3 minutes", t.FailedPayments, tried)}, true
	}
	return judgement{}, false
}

func degraded(e evidence, dark int) (judgement, bool) {
	for _, n := range e.nodes {
		if n.Live && n.Score != nil && n.Score.Known && n.Score.State == "degraded" {
			why := "its score is low"
			if len(n.Score.Contributors) > 0 {
				why = bare(n.Score.Contributors[0].Text)
			}
			return judgement{state: Degraded, why: why}, true
		}
	}
	if t := lastMinutes(e, 3); t.FailedPayments > 0 {
		return judgement{state: Degraded, why: webui.Plural(int(t.FailedPayments), "payment", "payments") + " failed in the last 3 minutes"}, true
	}
	if dark > 0 {
		return judgement{state: Degraded, why: fmt.Sprintf("%d of its %d nodes are dark", dark, len(e.nodes))}, true
	}
	return judgement{}, false
}

// calm tells blind, quiet and healthy apart: only what vouches makes healthy.
func calm(e evidence) judgement {
	passing := false
	for _, j := range e.journeys {
		passing = passing || (j.Pass && !j.Stale)
	}
	scored := false
	for _, n := range e.nodes {
		scored = scored || (n.Live && n.Score != nil && n.Score.Known)
	}
	sold := lastMinutes(e, int(quietAfter/time.Minute)).Sales > 0
	switch {
	case !passing && !sold && !scored:
		return judgement{state: Blind, why: "it is heard, but no journey has run lately and its score is unknown: nobody can tell whether it can sell"}
	case !passing && !sold && len(e.journeys) > 0:
		return judgement{state: Blind, why: "it is heard, but no journey has run lately and nothing was sold: nobody can tell whether it can sell"}
	case e.sells && passing && !sold && e.heardFor() >= quietAfter:
		return judgement{state: Quiet, why: "its journeys pass, and nobody has bought for " + webui.Span(quietAfter)}
	case passing:
		return judgement{state: Healthy, why: "its journeys pass"}
	case sold:
		return judgement{state: Healthy, why: "it sells"}
	}
	return judgement{state: Healthy, why: "its score is known and good"}
}

// heardFor is how long a node of the venue has been known.
func (e evidence) heardFor() time.Duration {
	var longest time.Duration
	for _, n := range e.nodes {
		if !n.FirstSeen.IsZero() {
			longest = max(longest, e.now.Sub(n.FirstSeen))
		}
	}
	return longest
}

// lastMinutes sums the outcomes of the current minute and the n-1 before it.
func lastMinutes(e evidence, n int) sales.Totals {
	var sum sales.Totals
	first := e.now.Add(-time.Duration(n-1)*time.Minute).Unix() / 60
	for _, m := range e.minutes {
		if m.Minute >= first {
			sum.Add(m.Totals)
		}
	}
	return sum
}

// points is the cost that a contributor's text ends with; pages show it apart.
var points = regexp.MustCompile(` \(-[0-9.]+\)$`)

func bare(text string) string { return points.ReplaceAllString(text, "") }

// sentence shortens an error to what fits a line.
func sentence(s string) string {
	if s == "" {
		return "no reason was given"
	}
	if r := []rune(s); len(r) > 160 {
		return string(r[:159]) + "…"
	}
	return s
}
