package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ghostlight/internal/webui"
	"ghostlight/slo"
)

// fleetHeadline says what somebody on call must know first.
func fleetHeadline(f Fleet) Headline {
	c := f.Counts
	switch {
	case c.Venues == 0:
		return Headline{Tone: "unknown", Says: "No venue is configured yet"}
	case c.Failing+c.Dark+c.Blind == 1:
		return oneVenue(f.Alarms[0], incidentsOf(f.Incidents, f.Alarms[0].Name), f.NowMS)
	case c.Failing+c.Dark+c.Blind > 1:
		return manyVenues(f)
	case paging(f.Incidents) > 0:
		return oneIncident(f.Incidents, f.NowMS)
	case c.Degraded > 0:
		return Headline{Tone: "warn", Says: fmt.Sprintf("%s, and sales go on", join(number(c.Degraded, "venue is", "venues are")+" degraded")), Detail: f.Alarms[0].Name + ": " + f.Alarms[0].Why}
	case c.Live == 0 && c.Never == c.Venues:
		return Headline{Tone: "unknown", Says: "No venue has been heard yet", Detail: "They show here with their agents' first heartbeat."}
	case c.Live == 0:
		return Headline{Tone: "none", Says: "All venues are packed up"}
	}
	detail := ""
	if c.Quiet > 0 {
		detail = number(c.Quiet, "is", "are") + " quiet: able to sell, and nobody buys."
	}
	if c.Never > 0 {
		detail = strings.TrimSpace(detail + " " + number(c.Never, "has", "have") + " never been heard.")
	}
	if c.Live == 1 {
		return Headline{Tone: "ok", Says: "The live venue can sell", Detail: detail}
	}
	return Headline{Tone: "ok", Says: fmt.Sprintf("All %d live venues can sell", c.Live), Detail: detail}
}

// paging counts the incidents that wake somebody.
func paging(all []Incident) int {
	n := 0
	for _, i := range all {
		if i.Open && i.Urgency == string(slo.Page) {
			n++
		}
	}
	return n
}

// oneIncident is the headline where every venue's state is well and an incident
// goes on all the same.
func oneIncident(all []Incident, nowMS int64) Headline {
	i := all[0]
	says := fmt.Sprintf("%s: %s, for %s now", i.Place(), lowerTitle(i.Title), ago(i.FailedMS, nowMS))
	h := Headline{Tone: i.Tone(), Says: says, Detail: upperFirst(i.Says()) + ".", Incident: i.ID}
	if n := paging(all); n > 1 {
		h.Detail = strings.TrimSpace(h.Detail + " " + number(n-1, "more incident goes", "more incidents go") + " on.")
	}
	return h
}

// lowerTitle begins a title within a sentence: a journey is no name, an objective is.
func lowerTitle(title string) string {
	if strings.HasPrefix(title, "Journey ") || strings.HasPrefix(title, "Nothing ") || strings.HasPrefix(title, "Node ") {
		return lowerFirst(title)
	}
	return title
}

func upperFirst(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func ago(sinceMS, nowMS int64) string {
	return coarse(time.Duration(nowMS-sinceMS) * time.Millisecond)
}

// oneVenue is the headline of a venue that is failing, dark or blind. It names the
// most urgent incident there.
func oneVenue(v Venue, open []Incident, nowMS int64) Headline {
	h := Headline{Tone: v.State.Tone(), Says: stateOf(v, nowMS), Detail: tried(v)}
	if len(open) == 0 {
		return h
	}
	h.Incident = open[0].ID
	if h.Tone == "ok" || h.Tone == "quiet" {
		h.Tone = open[0].Tone()
		h.Says = fmt.Sprintf("%s: %s, for %s now", v.Name, lowerTitle(open[0].Title), ago(open[0].FailedMS, nowMS))
	}
	h.Detail = strings.TrimSpace(h.Detail + " " + taken(open))
	return h
}

// taken says whether somebody is at it.
func taken(open []Incident) string {
	i := slices.IndexFunc(open, func(i Incident) bool { return i.AcknowledgedMS > 0 })
	switch {
	case i < 0:
		return "Nobody has taken it on yet."
	case open[i].AcknowledgedBy == "":
		return "Somebody has taken it on."
	}
	return open[i].AcknowledgedBy + " has taken it on."
}

func stateOf(v Venue, nowMS int64) string {
	lasted := ""
	if v.SinceMS > 0 {
		lasted = ", for " + ago(v.SinceMS, nowMS) + " now"
	}
	switch {
	case v.State == Failing && v.AtRisk != nil && v.AtRisk.Known:
		return fmt.Sprintf("%s is losing about %s a minute%s", v.Name, webui.Money(v.AtRisk.PerMinuteMinor, v.AtRisk.Currency), lasted)
	case v.State == Failing:
		return v.Name + " is failing" + lasted
	case v.State == Dark:
		return v.Name + " is dark" + lasted + ": whether it sells is not known"
	case v.State == Blind:
		return v.Name + " is heard, but nobody can tell whether it can sell"
	case v.State == Degraded:
		return v.Name + " is degraded, and sales go on"
	case v.State == Quiet:
		return v.Name + " is quiet: able to sell, and nobody buys"
	case v.State == Healthy:
		return v.Name + " can sell"
	case v.State == Away:
		return v.Name + " is packed up"
	}
	return v.Name + " has never been heard"
}

// tried says what the venue did by itself.
func tried(v Venue) string {
	why := upperFirst(strings.TrimSuffix(v.Why, "."))
	if why != "" {
		why += "."
	}
	if v.LastHeal != nil && (v.State == Failing || v.State == Degraded) {
		why += fmt.Sprintf(" Last tried by itself: %s, %s.", v.LastHeal.Title(), v.LastHeal.Says())
	}
	return strings.TrimSpace(why)
}

func manyVenues(f Fleet) Headline {
	c := f.Counts
	var parts, names []string
	for _, p := range []struct {
		n    int
		word string
	}{{c.Failing, "failing"}, {c.Dark, "dark"}, {c.Blind, "blind"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	lost := map[string]int64{}
	for _, v := range f.Alarms {
		if v.State != Degraded {
			names = append(names, v.Name)
		}
		if v.AtRisk != nil && v.AtRisk.Losing && v.AtRisk.Known {
			lost[v.AtRisk.Currency] += v.AtRisk.PerMinuteMinor
		}
	}
	h := Headline{Tone: f.Alarms[0].State.Tone(), Says: fmt.Sprintf("%d venues need you: %s", c.Failing+c.Dark+c.Blind, join(parts...))}
	if cur := largest(lost); cur != "" {
		h.Says += fmt.Sprintf("; about %s a minute is not being sold", webui.Money(lost[cur], cur))
	}
	if len(names) > 4 {
		names = append(names[:4], fmt.Sprintf("%d more", len(names)-4))
	}
	h.Detail = "Worst first: " + join(names...) + "."
	if len(f.Incidents) > 0 {
		i := f.Incidents[0]
		h.Incident = i.ID
		h.Detail += fmt.Sprintf(" Most urgent: %s at %s, %s.", lowerTitle(i.Title), i.Place(), i.Says())
	}
	return h
}

func number(n int, one, many string) string {
	return webui.Plural(n, one, many)
}

func join(parts ...string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// coarse rounds a time so that a live page does not change with every second.
func coarse(d time.Duration) string {
	if d < time.Minute {
		return webui.Span(max(5*time.Second, d.Truncate(5*time.Second)))
	}
	return webui.Span(d.Truncate(time.Minute))
}
