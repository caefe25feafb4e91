package status

import (
	"fmt"
	"strings"
	"time"

	"ghostlight/internal/webui"
)

// fleetHeadline says what somebody on call must know first.
func fleetHeadline(f Fleet) Headline {
	c := f.Counts
	switch {
	case c.Venues == 0:
		return Headline{Tone: "unknown", Says: "No venue is configured yet"}
	case c.Failing+c.Dark+c.Blind == 1:
		return oneVenue(f.Alarms[0], f.NowMS)
	case c.Failing+c.Dark+c.Blind > 1:
		return manyVenues(f)
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

// oneVenue is the headline of a venue that is failing, dark or blind.
func oneVenue(v Venue, nowMS int64) Headline {
	h := Headline{Tone: v.State.Tone(), Detail: tried(v)}
	lasted := ""
	if v.SinceMS > 0 {
		lasted = ", for " + coarse(time.Duration(nowMS-v.SinceMS)*time.Millisecond) + " now"
	}
	switch {
	case v.State == Failing && v.AtRisk != nil && v.AtRisk.Known:
		h.Says = fmt.Sprintf("%s is losing about %s a minute%s", v.Name, webui.Money(v.AtRisk.PerMinuteMinor, v.AtRisk.Currency), lasted)
	case v.State == Failing:
		h.Says = v.Name + " is failing" + lasted
	case v.State == Dark:
		h.Says = v.Name + " is dark" + lasted + ": whether it sells is not known"
	case v.State == Blind:
		h.Says = v.Name + " is heard, but nobody can tell whether it can sell"
	case v.State == Degraded:
		h.Says = v.Name + " is degraded, and sales go on"
	case v.State == Quiet:
		h.Says = v.Name + " is quiet: able to sell, and nobody buys"
	case v.State == Healthy:
		h.Says = v.Name + " can sell"
	case v.State == Away:
		h.Says = v.Name + " is packed up"
	default:
		h.Says = v.Name + " has never been heard"
	}
	return h
}

// tried says what the venue did by itself.
func tried(v Venue) string {
	why := strings.TrimSuffix(v.Why, ".")
	if why != "" {
		why = strings.ToUpper(why[:1]) + why[1:] + "."
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
	switch {
	case d < time.Minute:
		return webui.Span(max(5*time.Second, d.Truncate(5*time.Second)))
	case d < time.Hour:
		return webui.Span(d.Truncate(time.Minute))
	}
	return webui.Span(d.Truncate(time.Minute))
}
