// Package draw turns the views of the fleet into the plots of the design system,
// for pages and reports alike. It computes nothing.
package draw

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
)

// Plot is a chart view as a plot.
func Plot(c status.Chart) webui.Chart {
	p := webui.Chart{
		ID: "chart-" + c.ID, Title: c.Title, Unit: c.Unit, From: c.FromMS, To: c.ToMS, MaxGap: 3 * c.StepMS, Min: c.Min, Max: c.Max,
		Limit: c.Limit, LimitLabel: c.LimitLabel, Bars: c.Columns, Step: c.StepMS, Bands: Bands(c.Ranges),
	}
	if c.Percent {
		p.Format = func(v float64) string { return webui.Number(math.Round(100*v)) + " %" }
	}
	for i, l := range c.Lines {
		s := webui.Series{Name: l.Name, Area: i == 0 && len(c.Lines) == 1, Points: Points(l.Points)}
		switch l.Name {
		case "good":
			s.Color = 3
		case "bad":
			s.Color = 4
		case "as known then":
			s.Color = 5
		}
		p.Series = append(p.Series, s)
	}
	return p
}

// Figure is a chart view with its caption.
func Figure(c status.Chart) template.HTML { return Plot(c).Figure() }

// Points of a line.
func Points(points []status.Point) []webui.Point {
	var out []webui.Point
	for _, p := range points {
		out = append(out, webui.Point{T: p.MS, V: float64(p.V)})
	}
	return out
}

// Bands of a chart's ranges.
func Bands(ranges []status.Range) []webui.Band {
	var out []webui.Band
	for _, r := range ranges {
		out = append(out, webui.Band{From: r.FromMS, To: r.ToMS, Kind: r.Kind, Label: r.Label})
	}
	return out
}

// unknownKinds are the cells of which nobody can tell what happened.
var unknownKinds = [...]string{"pending", "gap", "blind", "none"}

// Strip draws minutes of one objective.
func Strip(name string, cells []status.Cell) template.HTML {
	out := make([]webui.Cell, len(cells))
	known := 0
	for i, c := range cells {
		out[i] = webui.Cell{Kind: c.Kind, Title: cellTitle(c)}
		if c.Total > 0 {
			out[i].Share = float64(c.Total-c.Good) / float64(c.Total)
		}
		if !slices.Contains(unknownKinds[:], c.Kind) {
			known++
		}
	}
	return webui.Strip(fmt.Sprintf("%s by minute: %d of %d minutes are known", name, known, len(cells)), out, true)
}

func cellTitle(c status.Cell) string {
	says := "nobody had to answer for it"
	switch c.Kind {
	case "ok", "bad":
		says = fmt.Sprintf("%d of %d good", c.Good, c.Total)
	case "failing":
		says = "failing, nothing sold"
	case "quiet":
		says = "quiet, nobody came"
	case "blind":
		says = "blind, nobody can tell"
	case "gap":
		says = "gap, was not watched"
	case "pending":
		says = "pending, not heard yet"
	case "excluded":
		says = "excluded, planned"
	}
	return time.UnixMilli(c.StartMS).UTC().Format("15:04") + " UTC: " + says
}

// Runs draws a journey's past runs: a column of its duration when it passed, a
// full one in another colour when it failed.
func Runs(rs []status.Run) template.HTML {
	const slots, width, height = 40, 3.0, 28.0
	if len(rs) == 0 {
		return ""
	}
	rs = rs[max(0, len(rs)-slots):]
	longest, failed := 1.0, 0
	for _, r := range rs {
		longest = max(longest, r.DurationMS)
		if !r.Pass {
			failed++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 %g %g" preserveAspectRatio="none" role="img" aria-label="last %d runs: %d passed, %d failed">`, slots*width, height, len(rs), len(rs)-failed, failed)
	for i, r := range rs {
		h, class, says := 4+18*r.DurationMS/longest, "m-ok", "passed in "
		if !r.Pass {
			h, class, says = height, "m-bad", "failed after "
		}
		fmt.Fprintf(&b, `<rect class="%s" x="%g" y="%.1f" width="2.2" height="%.1f"><title>%s UTC: %s%s</title></rect>`, class, float64(slots-len(rs)+i)*width, height-h, h,
			time.UnixMilli(r.AtMS).UTC().Format("15:04:05"), says, webui.Span(time.Duration(r.DurationMS*float64(time.Millisecond))))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}
