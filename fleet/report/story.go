package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
)

// An outage is one stretch in which every run of a journey on a node failed.
type outage struct {
	buffer.Source
	journey string
	fromMS  int64 // start of the first failed run
	toMS    int64 // start of the first run that passed; 0: none did
	step    string
	err     string
	trace   string // of the first failed run; may be empty
	runs    int
}

func (o outage) lasted(endMS int64) int64 {
	if o.toMS == 0 {
		return endMS - o.fromMS
	}
	return o.toMS - o.fromMS
}

type track struct {
	buffer.Source
	journey string
}

// findOutages reads runs, the oldest first; outages are by their beginning.
func findOutages(runs []registry.Run) []outage {
	var out []outage
	open := map[track]int{} // index into out, plus one
	for _, r := range runs {
		t := track{r.Source, r.Journey}
		i := open[t] - 1
		switch {
		case !r.Pass && i < 0:
			out = append(out, outage{Source: r.Source, journey: r.Journey, fromMS: r.StartMS, step: r.FailedStep, err: r.Error, trace: r.TraceID, runs: 1})
			open[t] = len(out)
		case !r.Pass:
			out[i].runs++
		case i >= 0:
			out[i].toMS = r.StartMS
			delete(open, t)
		}
	}
	return out
}

// countJourneys sums runs by venue and journey.
func countJourneys(f facts, outages []outage) []Journey {
	type key struct{ venue, name string }
	sums := map[key]*Journey{}
	durations, steps := map[key][]float64{}, map[key]map[string]int{}
	for _, r := range f.runs {
		k := key{r.Venue, r.Journey}
		if sums[k] == nil {
			sums[k], steps[k] = &Journey{Venue: r.Venue, Name: r.Journey}, map[string]int{}
		}
		sums[k].Runs++
		if r.Pass {
			sums[k].Passed++
			durations[k] = append(durations[k], r.DurationMS)
		} else {
			steps[k][r.FailedStep]++
		}
	}
	for _, o := range outages {
		j := sums[key{o.Venue, o.journey}]
		lasted := o.lasted(f.to.UnixMilli())
		j.FailingMS += lasted
		j.Longest = max(j.Longest, lasted)
		if o.toMS == 0 && (j.OpenMS == 0 || o.fromMS < j.OpenMS) {
			j.OpenMS = o.fromMS
		}
	}
	out := []Journey{}
	for k, j := range sums {
		if d := durations[k]; len(d) > 0 {
			slices.Sort(d)
			j.MedianMS = d[len(d)/2]
		}
		for step, n := range steps[k] {
			if worst := steps[k][j.WorstStep]; n > worst || (n == worst && step < j.WorstStep) {
				j.WorstStep = step
			}
		}
		out = append(out, *j)
	}
	slices.SortFunc(out, func(a, b Journey) int { return cmp.Or(cmp.Compare(a.Venue, b.Venue), cmp.Compare(a.Name, b.Name)) })
	return out
}

// answer joins each heal with the outage it answers and the first passing run
// after it; the oldest first.
func answer(f facts, outages []outage) []Heal {
	out := []Heal{}
	for _, h := range status.Settled(f.heals, "", len(f.heals)) {
		x := Heal{Heal: h}
		src := buffer.Source{Region: h.Region, Venue: h.Venue, Node: h.Node}
		for _, o := range outages {
			if o.Source == src && o.fromMS <= h.AtMS && (o.toMS == 0 || o.toMS+h.DurationMS >= h.AtMS) {
				x.FailedMS, x.RecoveredMS = o.fromMS, o.toMS
			}
		}
		if x.FailedMS == 0 {
			for _, r := range f.runs {
				if r.Source == src && r.Pass && r.StartMS >= h.AtMS {
					x.RecoveredMS = r.StartMS
					break
				}
			}
		}
		out = append(out, x)
	}
	slices.Reverse(out)
	return out
}

func byVenue(f facts, r Report, outages []outage) []Venue {
	out := []Venue{}
	for _, venue := range f.event.Venues {
		v := Venue{Venue: venue, Totals: status.Sum(f.totals[venue]), Conversion: conversion(f.totals[venue])}
		dark := map[string]int64{}
		for _, d := range f.dark {
			if d.Venue == venue {
				dark[d.Node] += d.Duration.Milliseconds()
				v.DarkMS = max(v.DarkMS, dark[d.Node])
				v.DarkNow = v.DarkNow || d.End.IsZero()
			}
		}
		for _, o := range outages {
			if o.Venue == venue {
				v.FailingMS += o.lasted(r.ToMS)
			}
		}
		for _, h := range r.Heals {
			switch {
			case h.Venue != venue:
			case h.Result == "succeeded":
				v.Heals++
			case h.Result == "failed":
				v.HealsFailed++
			}
		}
		out = append(out, v)
	}
	return out
}

// lanesOf draws each venue's time: well as far as runs reach, failing, dark.
func lanesOf(f facts, r Report, outages []outage) []Lane {
	out := []Lane{}
	for _, venue := range f.event.Venues {
		l := Lane{Venue: venue, Ranges: []status.Range{}, Marks: []Mark{}}
		var first, last int64
		for _, run := range f.runs {
			if run.Venue != venue {
				continue
			}
			if first == 0 {
				first = run.StartMS
			}
			last = run.StartMS + int64(run.DurationMS)
		}
		if last > first {
			l.Ranges = append(l.Ranges, status.Range{FromMS: first, ToMS: min(last, r.ToMS), Kind: "ok", Label: "journeys ran"})
		}
		for _, d := range r.Dark {
			if d.Venue == venue {
				to := d.ToMS
				if to == 0 {
					to = r.ToMS
				}
				l.Ranges = append(l.Ranges, status.Range{FromMS: d.FromMS, ToMS: to, Kind: "dark", Label: "dark"})
			}
		}
		for _, o := range outages {
			if o.Venue == venue {
				l.Ranges = append(l.Ranges, status.Range{FromMS: o.fromMS, ToMS: o.fromMS + o.lasted(r.ToMS), Kind: "bad", Label: o.journey + " fails"})
			}
		}
		for _, h := range r.Heals {
			if h.Venue == venue {
				l.Marks = append(l.Marks, Mark{MS: h.AtMS, Tone: markTone(h.Result), Label: h.Title() + ", " + h.Says()})
			}
		}
		out = append(out, l)
	}
	return out
}

func markTone(result string) string {
	switch result {
	case "succeeded":
		return "accent"
	case "failed":
		return "bad"
	}
	return "warn"
}

// timeline is everything that broke or was done, by time.
func timeline(f facts, r Report, outages []outage) []Entry {
	out := []Entry{{AtMS: r.FromMS, Tone: "none", Icon: "event", Text: f.event.Name + " began"}}
	for _, o := range outages {
		out = append(out, Entry{AtMS: o.fromMS, Tone: "bad", Icon: "bad", Venue: o.Venue, Text: fmt.Sprintf("journey %s fails at step %s", o.journey, o.step), Detail: o.err, TraceID: o.trace})
		if o.toMS > 0 {
			out = append(out, Entry{AtMS: o.toMS, Tone: "ok", Icon: "ok", Venue: o.Venue, Text: fmt.Sprintf("journey %s passes again", o.journey), Detail: "after " + span(o.toMS-o.fromMS)})
		}
	}
	for _, h := range r.Heals {
		out = append(out, Entry{AtMS: h.AtMS, Tone: h.Tone(), Icon: "heal", Venue: h.Venue, Text: h.Title() + ": " + h.Says(), Detail: h.Reason})
	}
	for _, d := range r.Dark {
		out = append(out, Entry{AtMS: d.FromMS, Tone: "dark", Icon: "dark", Venue: d.Venue, Text: "is dark: nothing is heard of it"})
		if d.ToMS > 0 {
			e := Entry{AtMS: d.ToMS, Tone: "ok", Icon: "land", Venue: d.Venue, Text: "is heard again after " + span(d.ToMS-d.FromMS)}
			if d.Sales > 0 {
				e.Detail = webui.Plural(int(d.Sales), "sale", "sales") + " made meanwhile landed: " + moneys(d.AmountMinor)
			}
			out = append(out, e)
		}
	}
	if !r.Ongoing {
		out = append(out, Entry{AtMS: r.ToMS, Tone: "none", Icon: "event", Text: f.event.Name + " ended"})
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return cmp.Compare(a.AtMS, b.AtMS) })
	return out
}

func span(ms int64) string { return webui.Span(time.Duration(ms) * time.Millisecond) }
