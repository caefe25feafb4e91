package page

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/internal/webui"
)

// staleAfter is the age from which a journey's last run vouches for nothing.
const staleAfter = 5 * time.Minute

// appearance is the status and what the page says about it.
type appearance struct {
	Status
	Tone, Says, Detail string
	Waiting, LostAll   int64
	Rows               []laneRow
	Runs               []journeyLook
	Promises           []objectiveLook
	Central            []string // titles of the objectives that only the centre counts
	Kept, Judged       int      // objectives whose budget is not spent, of those that count something
	Open               []alarmLook
	Ended              []endedLook
	Settling           []Alert
	Program            []showLook // what goes on and what comes
	Hints              []hint
	Healed             []Audit // without the beginnings whose end is there too
}

type laneRow struct {
	Name     string
	Withheld string // what of it waits for the next day's bandwidth
	Lane
}

type journeyLook struct {
	Journey
	Tone  string // ok, bad, blind or unknown
	Stale bool
}

type objectiveLook struct {
	Objective
	Tone, Verdict string
	Known60       string // how complete it is, in words
	Own           *budgetLook
	Burns         string // such as "63×"; empty: no faster than it may
	Strip         template.HTML
}

// fewestCells is what a strip of minutes shows at least.
const fewestCells = 15

// look derives what is said from what is known; it adds no facts.
func look(s Status) appearance {
	a := appearance{Status: s}
	for _, l := range buffer.Lanes() {
		row := laneRow{Name: l.String(), Lane: s.Lanes[l]}
		if b := s.Uplink.Bandwidth; b != nil {
			row.Withheld = b.Withheld[l]
		}
		a.Rows = append(a.Rows, row)
		a.Waiting += row.Waiting
		a.LostAll += row.Lost
	}
	for _, j := range s.Journeys {
		a.Runs = append(a.Runs, lookAtJourney(j, s.NowMS))
	}
	for _, o := range s.Objectives {
		if o.Central {
			a.Central = append(a.Central, o.DisplayName)
			continue
		}
		l := lookAtObjective(o)
		a.Promises = append(a.Promises, l)
		if l.Own != nil {
			if a.Judged++; o.Budget.Left >= 0 {
				a.Kept++
			}
		}
	}
	a.Open, a.Ended = lookAtIncidents(s)
	a.Settling, a.Program = settling(s.Alerts), lookAtShows(s)
	a.Tone, a.Says, a.Detail = checkout(s, a.Runs, a.Open)
	a.Hints = hints(s, a.Runs)
	a.Healed = settled(s.Heals.Recent)
	return a
}

// settled leaves out each "started" whose result follows; newest first.
func settled(recent []Audit) []Audit {
	var out []Audit
	ended := map[string]bool{}
	for _, h := range recent {
		if h.Result == "started" && ended[h.Action] {
			ended[h.Action] = false
			continue
		}
		ended[h.Action] = h.Result != "started"
		out = append(out, h)
	}
	return out
}

func lookAtJourney(j Journey, nowMS int64) journeyLook {
	l := journeyLook{Journey: j, Tone: "unknown"}
	switch {
	case j.LastMS == 0:
	case nowMS-j.LastMS > staleAfter.Milliseconds():
		l.Stale, l.Tone = true, "blind"
	case j.Pass:
		l.Tone = "ok"
	default:
		l.Tone = "bad"
	}
	return l
}

// checkout answers the page's question: can this venue sell now?
func checkout(s Status, runs []journeyLook, open []alarmLook) (tone, says, detail string) {
	var passed *journeyLook
	for i, j := range runs {
		switch j.Tone {
		case "bad":
			return "bad", fmt.Sprintf("Checkout fails here: %s stops at step %s", j.Name, j.FailedStep), j.Error
		case "ok":
			passed = &runs[i]
		}
	}
	if e := s.Edgecore; e != nil && !e.Up && e.LastMS > 0 {
		return "bad", "Checkout is down here: edgecore does not answer", e.Error
	}
	ago := ""
	if passed != nil {
		ago = fmt.Sprintf("%s passed %s ago.", passed.Name, webui.Span(max(time.Second, time.Duration(s.NowMS-passed.LastMS)*time.Millisecond).Truncate(time.Second)))
	}
	for _, i := range open {
		if i.Sales && i.Urgency == "page" && i.Tone == "bad" && (!i.Runs || passed == nil) {
			says, detail = "Sales fail here: "+i.Title+" "+i.Says, "More of it fails than may."
			if passed != nil {
				detail = "Visitors fail where the journey does not: " + ago
			}
			return "bad", says, detail
		}
	}
	switch {
	case passed == nil && len(runs) > 0:
		return "blind", "Nobody can tell whether checkout works here", "No journey has run in the last " + webui.Span(staleAfter) + "."
	case passed == nil && !s.Health.Known:
		return "unknown", "It is not known how this node is", "No journey is configured and the score is unknown."
	case s.Health.Known && s.Health.State == "degraded":
		return "warn", "Checkout works here, with something wrong", strings.TrimSpace(ago + " " + firstCause(s))
	case len(open) > 0 && open[0].Urgency == "page" && passed != nil:
		return "warn", "Checkout works here, with something wrong", strings.TrimSpace(ago + " " + open[0].Title + " " + open[0].Says + ".")
	case passed == nil:
		return "ok", "This node is well", "No journey is configured: only its signals vouch for it."
	}
	return "ok", "Checkout works here", ago
}

func firstCause(s Status) string {
	if len(s.Health.Contributors) == 0 {
		return ""
	}
	return "Worst signal: " + s.Health.Contributors[0].Text + "."
}

// lookAtObjective counts from the first minute that is told of: what lies before
// it is before the node's first start.
func lookAtObjective(o Objective) objectiveLook {
	if len(o.Minutes) > 0 {
		if first := o.Minutes[0].StartMS; first > o.FromMS {
			o.Pending = max(0, o.Pending-int((first-o.FromMS)/60_000))
			o.FromMS = min(first, max(o.FromMS, o.ToMS-fewestCells*60_000))
		}
	}
	l := objectiveLook{Objective: o, Tone: "unknown", Verdict: "nothing counted", Own: lookAtBudget(o.Budget)}
	if o.Burn > 1 {
		l.Burns = times(o.Burn)
	}
	switch {
	case o.Known && o.SLI >= o.Target && o.Pending == 0:
		l.Tone, l.Verdict = "ok", "above target"
	case o.Known && o.SLI >= o.Target:
		l.Verdict = "above target, as far as known"
	case o.Known:
		l.Tone, l.Verdict = "bad", "below target"
	}
	expected := o.Measured + o.Gap + o.Pending
	l.Known60 = fmt.Sprintf("%d of %d min known", o.Measured, expected)
	l.Strip = webui.Strip(o.Name+" by minute: "+l.Known60, cells(o), true)
	return l
}

// cells are the minutes of the window; one that is not told of is pending.
func cells(o Objective) []webui.Cell {
	told := make(map[int64]Minute, len(o.Minutes))
	for _, m := range o.Minutes {
		told[m.StartMS/60_000] = m
	}
	var out []webui.Cell
	for at := o.FromMS / 60_000; at < o.ToMS/60_000 && len(out) < 24*60; at++ {
		m, ok := told[at]
		c := webui.Cell{Kind: webui.CellPending}
		says := "nothing is known"
		switch {
		case ok:
			c, says = cell(m)
		case len(o.Minutes) > 0 && at*60_000 < o.Minutes[0].StartMS:
			c.Kind, says = webui.CellNone, "before this node's first minute"
		}
		c.Title = time.UnixMilli(at*60_000).UTC().Format("15:04") + " UTC: " + says
		out = append(out, c)
	}
	return out
}

func cell(m Minute) (webui.Cell, string) {
	counted := fmt.Sprintf("%d of %d good", m.Good, m.Total)
	switch {
	case m.Total > m.Good:
		return webui.Cell{Kind: webui.CellBad, Share: float64(m.Total-m.Good) / float64(m.Total)}, counted
	case m.Total > 0:
		return webui.Cell{Kind: webui.CellOK}, counted
	}
	switch m.State {
	case "quiet", "failing", "gap", "excluded":
		return webui.Cell{Kind: m.State}, m.State
	}
	return webui.Cell{Kind: webui.CellBlind}, "nobody can tell"
}
