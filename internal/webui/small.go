package webui

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Spark draws columns of one step each without axes, for a table cell. A
// measured zero is a hairline, what is not known is left out, bands shade it.
func Spark(title string, from, to, step int64, points []Point, bands []Band) template.HTML {
	const w, h = 120.0, 28.0
	c := Chart{From: from, To: to, Series: []Series{{Name: title, Points: points}}, Bands: bands}
	_, hi, any := c.extent()
	x := func(t int64) float64 { return w * float64(min(max(t, from), to)-from) / float64(max(1, to-from)) }
	y := func(v float64) float64 { return h - 1 - (h-3)*max(0, v)/hi }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 %g %g" preserveAspectRatio="none" role="img" aria-label="%s">`, w, h, esc(title+". "+c.describe()))
	for _, band := range bands {
		if band.To <= from || band.From >= to {
			continue
		}
		class, fill := "band-gap", "url(#hatch-gap)"
		if band.Kind == BandDark {
			class, fill = "band-dark", "url(#hatch-dark)"
		}
		x0, wd := x(band.From), max(1.5, x(band.To)-x(band.From))
		fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="0" width="%.1f" height="%g"/><rect fill="%s" x="%.1f" y="0" width="%.1f" height="%g"/>`, class, x0, wd, h, fill, x0, wd, h)
	}
	fmt.Fprintf(&b, `<path class="grid-line" stroke="var(--grid)" d="M0 %gH%g"/>`, h-1, w)
	for _, p := range points {
		if !any || math.IsNaN(p.V) || p.T+step <= from || p.T >= to {
			continue
		}
		x0, x1 := x(p.T), x(p.T+step)
		fmt.Fprintf(&b, `<rect class="f1" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, x0, y(p.V)-1, max(0.6, (x1-x0)*0.8), h-y(p.V))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// Meter is a horizontal bar of value out of full, in a tone's colour: "ok",
// "bad", "warn", "accent" and the others the stylesheet has as m-*.
func Meter(value, full float64, tone string) template.HTML {
	share := 0.0
	if full > 0 && !math.IsNaN(value) {
		share = min(1, max(0, value/full))
	}
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 100 7" preserveAspectRatio="none" aria-hidden="true"><rect class="m-track" width="100" height="7"/><rect class="m-%s" width="%.1f" height="7"/></svg>`, esc(tone), 100*share))
}

// MaxIndent is the deepest level that the classes d0, d1 ... indent.
const MaxIndent = 8

// Bar draws length from start on along full, all in one unit: one row of a
// waterfall. It is decoration: the row's words tell the same. What is too short to
// be seen is a hairline.
func Bar(start, length, full float64, tone string) template.HTML {
	const w, least = 300.0, 1.5
	share := func(v float64) float64 {
		if full <= 0 || math.IsNaN(v) {
			return 0
		}
		return w * min(1, max(0, v/full))
	}
	x := min(share(start), w-least)
	wide := max(least, min(share(length), w-x))
	return template.HTML(fmt.Sprintf(`<svg class="bar" viewBox="0 0 %g 12" preserveAspectRatio="none" aria-hidden="true"><rect class="m-track" y="5" width="%g" height="2"/><rect class="m-%s" x="%.1f" y="1" width="%.1f" height="10"/></svg>`, w, w, esc(tone), x, wide))
}

// Kinds of cells in a [Strip].
const (
	CellOK       = "ok"       // measured, nothing bad
	CellBad      = "bad"      // measured, something bad
	CellFailing  = "failing"  // nothing was sold and the journey failed
	CellQuiet    = "quiet"    // measured, nothing happened
	CellGap      = "gap"      // attested as not seen
	CellPending  = "pending"  // nothing heard yet
	CellExcluded = "excluded" // planned
	CellBlind    = "blind"    // watched, yet could not tell
	CellNone     = "none"     // nobody had to answer for it
)

// A Cell is one step of a strip.
type Cell struct {
	Kind  string
	Share float64 // of CellBad: how much was bad, 0 to 1
	Title string
}

// Strip draws cells side by side, each kind with a shape of its own: full for
// good, red from the top for bad, low for quiet, hatched for pending, an empty
// frame for a gap.
func Strip(label string, cells []Cell, tall bool) template.HTML {
	const h = 20.0
	n := len(cells)
	class := "strip"
	if tall {
		class += " tall"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %d %g" preserveAspectRatio="none" role="img" aria-label="%s">`, class, max(1, n)*10, h, esc(label))
	for i, c := range cells {
		x, w := float64(i*10), 8.6
		fmt.Fprintf(&b, `<g><title>%s</title>`, esc(c.Title))
		rect := func(class string, y, height float64) {
			fmt.Fprintf(&b, `<rect class="%s" x="%g" y="%.1f" width="%g" height="%.1f"/>`, class, x, y, w, height)
		}
		switch c.Kind {
		case CellNone:
			rect("m-none", h*0.45, h*0.1)
		case CellOK:
			rect("m-ok", 0, h)
		case CellBad:
			bad := max(5, h*min(1, c.Share))
			rect("m-ok", bad, h-bad)
			rect("m-bad", 0, bad)
		case CellFailing:
			rect("m-bad", 0, h)
		case CellQuiet:
			rect("m-quiet", h*0.6, h*0.4)
		case CellBlind:
			rect("m-blind", h*0.3, h*0.4)
		case CellExcluded:
			rect("m-excluded", h*0.35, h*0.3)
		case CellGap:
			fmt.Fprintf(&b, `<rect class="m-gap" x="%g" y="1" width="%g" height="%g"/>`, x+0.5, w-1, h-2)
		default:
			rect("band-dark", 0, h)
			fmt.Fprintf(&b, `<rect fill="url(#hatch-dark)" x="%g" y="0" width="%g" height="%g"/>`, x, w, h)
		}
		b.WriteString(`</g>`)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}
