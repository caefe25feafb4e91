package webui

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// A CurveStep is what share is left from At on, until the next step, with the
// interval it lies in. At counts in milliseconds.
type CurveStep struct {
	At             int64
	Left, Low, Top float64 // 0 to 1
}

// A Curve shows what share of something lasts longer than a time: stairs that
// only ever go down, in a band of how sure that is. Beyond Until nothing is known,
// and nothing is drawn.
type Curve struct {
	ID, Title string
	Steps     []CurveStep // by time
	Until     int64       // the longest time known of, milliseconds
	Marks     []CurveMark
	Says      string // what it shows, in words, for those who do not see it
}

// A CurveMark is a time worth a line, such as the median.
type CurveMark struct {
	At    int64
	Label string
}

// SVG renders the curve for wide and for narrow windows.
func (c Curve) SVG() template.HTML {
	return c.draw(c.ID, "plot only-wide", wideW, wideH) + c.draw(c.ID+"-narrow", "plot only-narrow", narrowW, narrowH)
}

func (c Curve) draw(id, class string, width, height float64) template.HTML {
	a := area{from: 0, to: max(c.Until, 1), lo: 0, hi: 1, width: width, height: height}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %g %g" role="img" aria-labelledby="%s-t %s-d">`, class, width, height, esc(id), esc(id))
	fmt.Fprintf(&b, `<title id="%s-t">%s</title><desc id="%s-d">%s</desc>`, esc(id), esc(c.Title), esc(id), esc(c.Says))
	for _, v := range []float64{0, 0.25, 0.5, 0.75, 1} {
		y := a.y(v)
		fmt.Fprintf(&b, `<path class="grid-line" d="M%g %.1fH%g"/><text x="%g" y="%.1f" text-anchor="end">%g %%</text>`, padL, y, a.right(), padL-6, y+3.8, 100*v)
	}
	c.drawAxis(&b, a)
	if len(c.Steps) > 0 {
		low := func(s CurveStep) float64 { return s.Low }
		top := func(s CurveStep) float64 { return s.Top }
		fmt.Fprintf(&b, `<path class="area f1" d="M%s%sZ"/>`, c.stairs(a, top), c.backwards(a, low))
	}
	fmt.Fprintf(&b, `<path class="line s1" d="M%s"/>`, c.stairs(a, func(s CurveStep) float64 { return s.Left }))
	c.drawMarks(&b, a)
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// stairs is a path from the left end to the right, which starts at the whole.
func (c Curve) stairs(a area, of func(CurveStep) float64) string {
	var d strings.Builder
	fmt.Fprintf(&d, "%.1f %.1f", a.x(0), a.y(1))
	for _, s := range c.Steps {
		fmt.Fprintf(&d, "H%.1fV%.1f", a.x(s.At), a.y(of(s)))
	}
	fmt.Fprintf(&d, "H%.1f", a.x(c.Until))
	return d.String()
}

// backwards is the same path from the right end to the left.
func (c Curve) backwards(a area, of func(CurveStep) float64) string {
	var d strings.Builder
	for i := len(c.Steps) - 1; i >= 0; i-- {
		fmt.Fprintf(&d, "V%.1fH%.1f", a.y(of(c.Steps[i])), a.x(c.Steps[i].At))
	}
	fmt.Fprintf(&d, "V%.1fH%.1f", a.y(1), a.x(0))
	return d.String()
}

func (c Curve) drawAxis(b *strings.Builder, a area) {
	fmt.Fprintf(b, `<path class="axis" d="M%g %gH%g"/>`, padL, padT+a.innerH(), a.right())
	step := timeSteps[len(timeSteps)-1].Milliseconds()
	for _, s := range timeSteps {
		if c.Until/s.Milliseconds() < int64(a.innerW()/70) {
			step = s.Milliseconds()
			break
		}
	}
	for t := int64(0); t <= c.Until; t += step {
		anchor := "middle"
		if a.x(t) > a.right()-16 {
			anchor = "end"
		}
		label := "0"
		if t > 0 {
			label = Span(time.Duration(t) * time.Millisecond)
		}
		fmt.Fprintf(b, `<path class="axis" d="M%.1f %gv4"/><text x="%.1f" y="%g" text-anchor="%s">%s</text>`, a.x(t), padT+a.innerH(), a.x(t), a.height-5, anchor, label)
	}
}

// drawMarks draws the lines of the marks, their labels below each other so that
// two close ones can both be read.
func (c Curve) drawMarks(b *strings.Builder, a area) {
	for i, m := range c.Marks {
		x, anchor, dx := a.x(m.At), "start", 5.0
		if x > padL+a.innerW()*0.6 {
			anchor, dx = "end", -5
		}
		fmt.Fprintf(b, `<path class="limit" d="M%.1f %gv%g"/><text class="lab" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`,
			x, padT, a.innerH(), x+dx, padT+12+16*float64(i), anchor, esc(m.Label))
	}
}

// Figure renders caption and curve.
func (c Curve) Figure() template.HTML {
	return template.HTML(fmt.Sprintf(`<figure class="chart"><figcaption><b>%s</b></figcaption>%s</figure>`, esc(c.Title), c.SVG()))
}
