package incidents

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ghostlight/collector/journeys"
	engine "ghostlight/healthscore/heal"
	"ghostlight/slo/incident"
	"ghostlight/synthetics"
)

// What is taken of the evidence of one incident: enough to begin a search with.
const (
	mostLinks = 8
	mostHeals = 100 // records of the audit
)

// answer is what is known of a question.
type answer uint8

const (
	unknown answer = iota
	no
	yes
)

func both(a, b answer) answer {
	switch {
	case a == no || b == no:
		return no
	case a == yes && b == yes:
		return yes
	}
	return unknown
}

// sight is what one look at the node's other rooms saw.
type sight struct {
	views   []journeys.View
	passing answer // every journey passes; yes without journeys
	up      answer // edgecore answers; yes without edgecore
	// oldest is since when edgecore's oldest sale waits for its settlement.
	oldest      time.Time
	oldestKnown bool
	heals       []engine.Audit
}

// look asks the other rooms. The caller does not hold mu.
func (r *Room) look() sight {
	s := sight{views: r.o.Views(), passing: yes, up: yes}
	for _, v := range s.views {
		switch {
		case v.Runs == 0:
			s.passing = both(s.passing, unknown)
		case !v.Last.Pass:
			s.passing = no
		}
	}
	if r.o.Edgecore != nil {
		switch up, known := r.o.Edgecore(); {
		case !known:
			s.up = unknown
		case !up:
			s.up = no
		}
	}
	if r.o.Backlog != nil {
		s.oldest, s.oldestKnown = r.o.Backlog()
	}
	if r.attentive() {
		s.heals = r.o.Heals()
	}
	return s
}

// reconciled reports whether what piled up until sales were possible again is
// settled: an edgecore that answers and tells of no backlog has none.
func (s sight) reconciled(sellMS int64) answer {
	switch {
	case sellMS == 0 || s.oldestKnown && s.oldest.UnixMilli() < sellMS:
		return no
	case s.oldestKnown, s.up == yes:
		return yes
	}
	return unknown
}

// attentive reports whether an incident goes on or ended so lately that healing may
// still have something to say about it.
func (r *Room) attentive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.entries, func(e *entry) bool { return r.warm(e) })
}

func (r *Room) warm(e *entry) bool {
	return e.open() || r.at.UnixMilli()-e.endedMS() < r.o.Flap.Milliseconds()
}

// evidence adds what healing tried, and the traces of journeys that failed. The
// caller holds mu.
func (r *Room) evidence(seen sight) {
	heals := tries(seen.heals)
	for _, e := range r.entries {
		if !r.warm(e) {
			continue
		}
		is := e.incident
		for _, h := range heals {
			if h.AtMS >= e.incident.StartMS && (e.open() || h.AtMS <= e.endedMS()) && len(is.Heals) < mostHeals {
				is = is.Try(h)
			}
		}
		for _, v := range seen.views {
			if e.open() && v.Failures > 0 && v.Last.StartMS >= e.incident.StartMS {
				is = link(is, v.Last)
			}
		}
		r.told(e, e.set(is))
	}
}

// link adds the trace of a journey's failed run, one of the first few.
func link(is incident.Incident, run synthetics.Result) incident.Incident {
	if len(run.TraceID) != 32 || len(is.Links) >= mostLinks {
		return is
	}
	text := fmt.Sprintf("%s stops at step %s: %s", run.Journey, run.FailedStep, run.Error)
	return is.Link(incident.Link{TraceID: strings.ToLower(run.TraceID), Text: clip(text, 300), AtMS: run.StartMS})
}

// tries are heals by what the audit, newest first, says of them: a record of the
// beginning and one of the result are one heal.
func tries(audit []engine.Audit) []incident.Heal {
	var out []incident.Heal
	begun := map[string]engine.Audit{} // by action
	for _, a := range slices.Backward(audit) {
		h := incident.Heal{ID: strconv.FormatInt(a.Seq, 10), Title: clip(words(a.Action), incident.MaxName), AtMS: a.AtMS, Result: a.Result}
		if a.Result == engine.Started {
			begun[a.Action] = a
			h.Result = "running"
			out = append(out, h)
			continue
		}
		if start, ok := begun[a.Action]; ok && a.Result != engine.Refused && a.Result != engine.DryRun {
			h.ID, h.AtMS, h.Revision = strconv.FormatInt(start.Seq, 10), start.AtMS, 1
			delete(begun, a.Action)
		}
		if a.Detail != "" {
			h.Result = clip(a.Result+": "+a.Detail, 300)
		}
		out = append(out, h)
	}
	return out
}

func words(s string) string { return strings.ReplaceAll(s, "_", " ") }

// clip is the beginning of s, at most n bytes of whole, valid characters.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
