package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
	"ghostlight/fleet/web/draw"
	"ghostlight/internal/webui"
)

// funcs are what the pages need beyond the design system's.
func funcs() template.FuncMap {
	return template.FuncMap{
		"deref":       func(f *float64) float64 { return *f },
		"round":       math.Round,
		"round1":      func(v float64) float64 { return math.Round(v*10) / 10 },
		"scoreTone":   scoreTone,
		"penaltyTone": penaltyTone,
		"first":       func(n int, v []status.Venue) []status.Venue { return v[:min(n, len(v))] },
		"firstHeals":  func(n int, h []status.Heal) []status.Heal { return h[:min(n, len(h))] },
		"noVenue":     noVenue,
		"minus":       func(a, b int) int { return a - b },
		"minus64":     func(a, b int64) int64 { return a - b },
		"or64":        or64,
		"lanes":       laneNames,
		"signal":      func(s string) string { return strings.ReplaceAll(s, "_", " ") },
		"figure":      draw.Figure,
		"wideFigure":  wideFigure,
		"strip":       draw.Strip,
		"cellkey":     cellKey,
		"runs":        draw.Runs,
		"venueSpark":  venueSpark,
		"bar":         webui.Bar,
		"depth":       func(d int) int { return min(d, webui.MaxIndent) },
		"spanTone":    spanTone,
		"whole":       func(v float64) int64 { return int64(v) },
		"survival":    survival,
		"since":       func(failedMS, atMS int64) int64 { return max(0, atMS-failedMS) },
		"perMinute":   perMinute,
		"value":       func(v status.Value) float64 { return float64(v) },
		"local":       func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04") },
		"stages":      stages,
		"head":        head,
	}
}

func or64(a, b int64) int64 {
	if a != 0 {
		return a
	}
	return b
}

func laneNames() []string {
	var out []string
	for _, l := range buffer.Lanes() {
		out = append(out, l.String())
	}
	return out
}

// scoreTone follows the thresholds of the health model: degraded below 60. The
// score of a node that is not heard is past and never shown as good.
func scoreTone(score *float64, live bool) string {
	switch {
	case score == nil:
		return "unknown"
	case !live:
		return "dark"
	case *score < 60:
		return "bad"
	case *score < 75:
		return "warn"
	}
	return "ok"
}

// spanTone tells the programs of a trace from the journey that called them.
func spanTone(s status.EvidenceSpan) string {
	switch {
	case s.Error:
		return "bad"
	case s.Kind == "server":
		return "accent"
	}
	return "ok"
}

func penaltyTone(points float64) string {
	if points >= 25 {
		return "bad"
	}
	return "warn"
}

// noVenue is the audit of a page that is about one venue.
func noVenue(heals []status.Heal) []status.Heal {
	out := make([]status.Heal, len(heals))
	for i, h := range heals {
		h.Venue = ""
		out[i] = h
	}
	return out
}

// wideFigure is a chart for the full width of a page.
func wideFigure(c status.Chart) template.HTML {
	p := draw.Plot(c)
	p.Wide = true
	return p.Figure()
}

// cellKey is a cell of the legend; the word beside it names it.
func cellKey(kind string) template.HTML {
	s := string(webui.Strip("", []webui.Cell{{Kind: kind, Share: 0.5}}, false))
	s = strings.Replace(s, `class="strip" viewBox="0 0 10 20" preserveAspectRatio="none" role="img" aria-label=""`, `viewBox="0 0 10 20" preserveAspectRatio="none" aria-hidden="true"`, 1)
	return template.HTML(strings.Replace(s, "<title></title>", "", 1))
}

// venueSpark draws a venue's sales a minute over what the view has of them.
func venueSpark(v status.Venue, nowMS int64) template.HTML {
	minute := time.Minute.Milliseconds()
	from, to := nowMS-30*minute, nowMS/minute*minute
	if len(v.Rate.Points) > 0 {
		from = v.Rate.Points[0].MS
	}
	return webui.Spark("Sales a minute at "+v.Name, from, to, minute, draw.Points(v.Rate.Points), draw.Bands(v.Dark))
}

// survival is the curve of how long incidents last.
func survival(m incidents.MTTR) template.HTML {
	c := webui.Curve{ID: "survival", Title: "Share of incidents not over after a time", Until: m.Curve.LongestMS}
	for _, s := range m.Curve.Steps {
		c.Steps = append(c.Steps, webui.CurveStep{At: s.AfterMS, Left: s.Open, Low: s.Low, Top: s.High})
	}
	if m.All.Median.Reached {
		c.Marks = append(c.Marks, webui.CurveMark{At: m.All.Median.MS, Label: "half are over after " + m.All.Median.Says})
	}
	if m.All.P90.Reached {
		c.Marks = append(c.Marks, webui.CurveMark{At: m.All.P90.MS, Label: "9 in 10 after " + m.All.P90.Says})
	}
	c.Says = fmt.Sprintf("Of %d incidents %d are over. Half are over after %s, 9 in 10 after %s; the mean is %s. The longest known lasted %s.",
		m.All.N, m.Curve.Ended, m.All.Median.Says, m.All.P90.Says, m.All.Mean.Says, webui.Span(time.Duration(m.Curve.LongestMS)*time.Millisecond))
	return c.Figure()
}

// perMinute is what an incident costs, for a table's cell.
func perMinute(r *status.AtRisk) string {
	if r == nil || !r.Known {
		return ""
	}
	return webui.Money(r.PerMinuteMinor, r.Currency)
}

// stages leaves out of an incident's stages that it is not closed, which is no news.
func stages(all []incidents.Stage) []incidents.Stage {
	return slices.DeleteFunc(slices.Clone(all), func(s incidents.Stage) bool { return s.Stage == "closed" && s.AtMS == 0 })
}

// head is the first n rows of a list of revisions.
func head(n int, list []objectives.Revision) []objectives.Revision { return list[:min(n, len(list))] }
