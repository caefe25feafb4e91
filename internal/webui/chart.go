package webui

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// A Point is one value at one moment, Unix milliseconds. NaN breaks the line.
type Point struct {
	T int64
	V float64
}

// A Series is one line of a chart.
type Series struct {
	Name   string
	Color  int // 1 to 6: the theme's c1 to c6; 0 picks by position
	Area   bool
	Points []Point // by time
}

// Kinds of bands. They differ in pattern as well as in colour.
const (
	BandDark  = "dark"  // nothing was heard: hatched
	BandGap   = "gap"   // the node attests that it saw nothing: crossed the other way
	BandBad   = "bad"   // it was failing: plain
	BandEvent = "event" // a show: plain, faint
)

// A Band shades a range of time over the full height of a chart.
type Band struct {
	From, To int64 // Unix milliseconds
	Kind     string
	Label    string // drawn inside where it fits, always in the description
}

// A Chart is a time series chart. It draws only what it is given: where two
// points are more than MaxGap apart, or a value is NaN, the line is broken.
type Chart struct {
	ID         string // unique on the page; names the title and description
	Title      string
	Unit       string // said once, in the caption
	From, To   int64  // Unix milliseconds
	MaxGap     int64  // milliseconds; 0: points are never joined over a NaN only
	Series     []Series
	Bands      []Band
	Min, Max   *float64 // nil: from the data; the axis always contains 0 when Min is nil
	Limit      *float64 // a dashed line
	LimitLabel string
	Format     func(float64) string // nil: Number
	Wide       bool                 // for the full width of a page: drawn twice, for wide and narrow windows
	Bars       bool                 // columns of one step each instead of a line, first series only
	Step       int64                // width of a column, milliseconds
}

// Plot geometry in user units. The SVG scales to its container, so the width is
// chosen near the pixels it will have: then a text keeps its size.
const (
	narrowW, wideW         = 420.0, 1160.0
	narrowH, wideH         = 168.0, 210.0
	padL, padR, padT, padB = 46.0, 8.0, 10.0, 24.0
	bandTextMin            = 64.0
)

// An area maps time and value to user units.
type area struct {
	from, to      int64
	lo, hi        float64
	width, height float64 // of the whole drawing
}

func (a area) innerW() float64 { return a.width - padL - padR }
func (a area) innerH() float64 { return a.height - padT - padB }
func (a area) right() float64  { return a.width - padR }

func (a area) x(t int64) float64 {
	t = min(max(t, a.from), a.to)
	return padL + a.innerW()*float64(t-a.from)/float64(max(1, a.to-a.from))
}

func (a area) y(v float64) float64 {
	return padT + a.innerH()*(1-(min(max(v, a.lo), a.hi)-a.lo)/(a.hi-a.lo))
}

func (c Chart) format(v float64) string {
	if c.Format != nil {
		return c.Format(v)
	}
	return Number(v)
}

func (c Chart) color(i int) int {
	if n := c.Series[i].Color; n >= 1 && n <= 6 {
		return n
	}
	return i%6 + 1
}

// extent finds the range of the value axis.
func (c Chart) extent() (lo, hi float64, any bool) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, s := range c.Series {
		for _, p := range s.Points {
			if !math.IsNaN(p.V) && !math.IsInf(p.V, 0) && p.T >= c.From && p.T <= c.To {
				lo, hi, any = min(lo, p.V), max(hi, p.V), true
			}
		}
	}
	if !any {
		lo, hi = 0, 1
	}
	if c.Limit != nil {
		hi, lo = max(hi, *c.Limit), min(lo, *c.Limit)
	}
	if c.Min != nil {
		lo = *c.Min
	} else {
		lo = min(lo, 0)
	}
	if c.Max != nil {
		hi = *c.Max
	}
	if hi <= lo {
		hi = lo + 1
	}
	return lo, hi, any
}

// SVG renders the plot alone.
func (c Chart) SVG() template.HTML {
	if !c.Wide {
		return c.draw(c.ID, "plot", narrowW, narrowH)
	}
	return c.draw(c.ID, "plot only-wide", wideW, wideH) + c.draw(c.ID+"-narrow", "plot only-narrow", narrowW, narrowH)
}

func (c Chart) draw(id, class string, width, height float64) template.HTML {
	lo, hi, any := c.extent()
	marks := ticks(lo, hi)
	if c.Max == nil {
		hi = max(hi, marks[len(marks)-1])
	}
	a := area{from: c.From, to: c.To, lo: lo, hi: hi, width: width, height: height}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %g %g" role="img" aria-labelledby="%s-t %s-d">`, class, width, height, esc(id), esc(id))
	fmt.Fprintf(&b, `<title id="%s-t">%s</title><desc id="%s-d">%s</desc>`, esc(id), esc(c.Title), esc(id), esc(c.describe()))
	c.drawBands(&b, a)
	for _, v := range marks {
		if v < lo-1e-9 || v > hi+1e-9 {
			continue
		}
		y := a.y(v)
		fmt.Fprintf(&b, `<path class="grid-line" d="M%g %.1fH%g"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`, padL, y, a.right(), padL-6, y+3.8, esc(c.format(v)))
	}
	c.drawTime(&b, a)
	if c.Limit != nil {
		y := a.y(*c.Limit)
		fmt.Fprintf(&b, `<path class="limit" d="M%g %.1fH%g"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`, padL, y, a.right(), a.right()-2, y-4, esc(c.LimitLabel))
	}
	for i, s := range c.Series {
		if c.Bars && i == 0 {
			c.drawBars(&b, a, s, c.color(i))
			continue
		}
		c.drawLine(&b, a, s, c.color(i))
	}
	c.drawBandTexts(&b, a)
	if !any {
		fmt.Fprintf(&b, `<text class="lab" x="%g" y="%g" text-anchor="middle">no data in this range</text>`, padL+a.innerW()/2, padT+a.innerH()/2)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

func (c Chart) drawTime(b *strings.Builder, a area) {
	fmt.Fprintf(b, `<path class="axis" d="M%g %gH%g"/>`, padL, padT+a.innerH(), a.right())
	room := 60.0
	if c.To-c.From > (24 * time.Hour).Milliseconds() {
		room = 95 // labels say the day too
	}
	marks, form := timeTicks(c.From, c.To, int(a.innerW()/room))
	for _, t := range marks {
		x := a.x(t)
		anchor := "middle"
		if x > a.right()-16 {
			anchor = "end"
		}
		fmt.Fprintf(b, `<path class="axis" d="M%.1f %gv4"/><text x="%.1f" y="%g" text-anchor="%s" data-ms="%d" data-form="%s">%s</text>`,
			x, padT+a.innerH(), x, a.height-5, anchor, t, form, utc(time.UnixMilli(t).UTC(), form))
	}
}

func (c Chart) drawBands(b *strings.Builder, a area) {
	for _, band := range c.Bands {
		if band.To <= c.From || band.From >= c.To {
			continue
		}
		kind, pattern := "gap", "hatch-gap"
		switch band.Kind {
		case BandDark:
			kind, pattern = "dark", "hatch-dark"
		case BandBad, BandEvent:
			kind, pattern = band.Kind, ""
		}
		x0, x1 := a.x(band.From), a.x(band.To)
		w := max(1.5, x1-x0)
		fmt.Fprintf(b, `<g><title>%s</title><rect class="band-%s" x="%.1f" y="%g" width="%.1f" height="%g"/>`, esc(band.Label), kind, x0, padT, w, a.innerH())
		if pattern != "" {
			fmt.Fprintf(b, `<rect fill="url(#%s)" x="%.1f" y="%g" width="%.1f" height="%g"/>`, pattern, x0, padT, w, a.innerH())
		}
		if kind != BandEvent {
			fmt.Fprintf(b, `<path class="edge-%s" d="M%.1f %gv%gM%.1f %gv%g"/>`, kind, x0, padT, a.innerH(), x0+w, padT, a.innerH())
		}
		b.WriteString(`</g>`)
	}
}

// drawBandTexts names the bands, above what is drawn in them.
func (c Chart) drawBandTexts(b *strings.Builder, a area) {
	for _, band := range c.Bands {
		x0 := a.x(band.From)
		if w := a.x(band.To) - x0; w >= bandTextMin && band.Label != "" {
			fmt.Fprintf(b, `<text class="band-text %s" x="%.1f" y="%g">%s</text>`, esc(band.Kind), x0+5, padT+12, esc(clip(band.Label, int(w/7.2))))
		}
	}
}

func (c Chart) drawLine(b *strings.Builder, a area, s Series, color int) {
	for _, run := range c.runs(s) {
		if len(run) == 1 {
			fmt.Fprintf(b, `<circle class="dot f%d" cx="%.1f" cy="%.1f" r="2.4"/>`, color, a.x(run[0].T), a.y(run[0].V))
			continue
		}
		var d strings.Builder
		for i, p := range run {
			op := 'L'
			if i == 0 {
				op = 'M'
			}
			fmt.Fprintf(&d, "%c%.1f %.1f", op, a.x(p.T), a.y(p.V))
		}
		if s.Area {
			fmt.Fprintf(b, `<path class="area f%d" d="%sL%.1f %.1fL%.1f %.1fZ"/>`, color, d.String(), a.x(run[len(run)-1].T), a.y(a.lo), a.x(run[0].T), a.y(a.lo))
		}
		fmt.Fprintf(b, `<path class="line s%d" d="%s"/>`, color, d.String())
	}
}

func (c Chart) drawBars(b *strings.Builder, a area, s Series, color int) {
	step := max(c.Step, 1)
	for _, p := range s.Points {
		if math.IsNaN(p.V) || p.T+step <= c.From || p.T >= c.To {
			continue
		}
		x0, x1 := a.x(p.T), a.x(p.T+step)
		gap := min(1.5, (x1-x0)*0.15)
		y, base := a.y(p.V), a.y(a.lo)
		if base-y < 1 { // a measured zero still shows as a hairline: it is not a gap
			y = base - 1
		}
		fmt.Fprintf(b, `<rect class="f%d" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s: %s</title></rect>`,
			color, x0+gap/2, y, max(0.8, x1-x0-gap), base-y, utc(time.UnixMilli(p.T).UTC(), "hm")+" UTC", esc(c.format(p.V)))
	}
}

// runs splits a series where it has gaps.
func (c Chart) runs(s Series) [][]Point {
	var out [][]Point
	var run []Point
	flush := func() {
		if len(run) > 0 {
			out = append(out, run)
		}
		run = nil
	}
	for _, p := range s.Points {
		if p.T < c.From || p.T > c.To {
			continue
		}
		if math.IsNaN(p.V) || math.IsInf(p.V, 0) {
			flush()
			continue
		}
		if n := len(run); n > 0 && c.MaxGap > 0 && p.T-run[n-1].T > c.MaxGap {
			flush()
		}
		run = append(run, p)
	}
	flush()
	return out
}

// describe says in words what the plot shows.
func (c Chart) describe() string {
	form := "hm"
	if c.To-c.From > (24 * time.Hour).Milliseconds() {
		form = "dayhm"
	}
	at := func(ms int64) string { return utc(time.UnixMilli(ms).UTC(), form) }
	parts := []string{fmt.Sprintf("From %s to %s UTC.", at(c.From), at(c.To))}
	for _, s := range c.Series {
		lo, hi, last, n := math.Inf(1), math.Inf(-1), math.NaN(), 0
		for _, p := range s.Points {
			if !math.IsNaN(p.V) {
				lo, hi, last, n = min(lo, p.V), max(hi, p.V), p.V, n+1
			}
		}
		if n == 0 {
			parts = append(parts, s.Name+": no data.")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s: last %s, lowest %s, highest %s.", s.Name, c.format(last), c.format(lo), c.format(hi)))
	}
	for _, band := range c.Bands {
		parts = append(parts, fmt.Sprintf("%s from %s to %s.", band.Label, at(band.From), at(band.To)))
	}
	return strings.Join(parts, " ")
}

// Figure renders caption, keys, the last value and the plot.
func (c Chart) Figure() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<figure class="chart"><figcaption><b>%s</b>`, esc(c.Title))
	if c.Unit != "" {
		fmt.Fprintf(&b, `<span class="small muted">%s</span>`, esc(c.Unit))
	}
	if len(c.Series) > 1 {
		b.WriteString(`<span class="keys">`)
		for i, s := range c.Series {
			fmt.Fprintf(&b, `<span class="key"><svg viewBox="0 0 16 8" aria-hidden="true"><path class="s%d" fill="none" stroke-width="3" d="M0 4h16"/></svg>%s</span>`, c.color(i), esc(s.Name))
		}
		b.WriteString(`</span>`)
	}
	if len(c.Series) > 0 {
		if pts := c.Series[0].Points; len(pts) > 0 && !math.IsNaN(pts[len(pts)-1].V) && !c.Bars {
			fmt.Fprintf(&b, `<span class="now">%s</span>`, esc(c.format(pts[len(pts)-1].V)))
		}
	}
	b.WriteString(`</figcaption>`)
	b.WriteString(string(c.SVG()))
	b.WriteString(`</figure>`)
	return template.HTML(b.String())
}

func esc(s string) string { return template.HTMLEscapeString(s) }

// clip shortens s to n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	if n < 2 {
		return ""
	}
	return string(r[:n-1]) + "…"
}
