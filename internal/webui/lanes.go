package webui

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// A Lane is one row of [Lanes].
type Lane struct {
	Name   string
	Ranges []Band // tone in Kind: ok, bad, warn, dark, gap, quiet, unknown
	Marks  []Mark
}

// A Mark is a moment on a lane, drawn as a diamond.
type Mark struct {
	T     int64
	Tone  string // ok, bad, warn, accent
	Label string
}

// Lanes draws what happened where over time: one row each, ranges by tone and
// marks on them. Ranges that do not touch leave the row empty: nothing is known.
func Lanes(id, title string, from, to int64, lanes []Lane) template.HTML {
	return drawLanes(id, "plot only-wide", wideW, 110, title, from, to, lanes) +
		drawLanes(id+"-narrow", "plot only-narrow", narrowW, 76, title, from, to, lanes)
}

func drawLanes(id, class string, full, left float64, title string, from, to int64, lanes []Lane) template.HTML {
	const rowH, top = 30.0, 6.0
	width := full - left - padR
	height := top + rowH*float64(len(lanes)) + 24
	x := func(t int64) float64 {
		return left + width*float64(min(max(t, from), to)-from)/float64(max(1, to-from))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %g %g" role="img" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>`,
		class, full, height, esc(id), esc(id), esc(id), esc(title), esc(id), esc(describeLanes(lanes)))
	for i, l := range lanes {
		y := top + rowH*float64(i)
		fmt.Fprintf(&b, `<text class="lab strong" x="0" y="%.1f">%s</text><rect class="m-track" x="%g" y="%.1f" width="%.1f" height="%g" rx="3"/>`, y+18, esc(clip(l.Name, int(left/6.6))), left, y+5, width, rowH-12)
		for _, r := range l.Ranges {
			drawLaneRange(&b, r, x(r.From), max(1.5, x(r.To)-x(r.From)), y+5, rowH-12)
		}
		for _, m := range l.Marks {
			cx, cy := x(m.T), y+rowH/2-1
			fmt.Fprintf(&b, `<path class="m-%s" stroke="var(--surface)" stroke-width="2" d="M%.1f %.1fl7 7l-7 7l-7 -7z"><title>%s</title></path>`, esc(m.Tone), cx, cy-7, esc(m.Label))
		}
	}
	marks, form := timeTicks(from, to, int(width/70))
	base := top + rowH*float64(len(lanes))
	for _, t := range marks {
		fmt.Fprintf(&b, `<path class="grid-line" d="M%.1f %gV%g"/><text x="%.1f" y="%.1f" text-anchor="middle" data-ms="%d" data-form="%s">%s</text>`,
			x(t), base, base+5, x(t), base+18, t, form, utc(time.UnixMilli(t).UTC(), form))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

func drawLaneRange(b *strings.Builder, r Band, x, w, y, h float64) {
	fmt.Fprintf(b, `<g><title>%s</title>`, esc(r.Label))
	switch r.Kind {
	case "dark", "gap":
		fmt.Fprintf(b, `<rect class="band-%s" x="%.1f" y="%.1f" width="%.1f" height="%g"/><rect fill="url(#hatch-%s)" x="%.1f" y="%.1f" width="%.1f" height="%g"/><path class="edge-%s" d="M%.1f %.1fv%gM%.1f %.1fv%g"/>`,
			r.Kind, x, y, w, h, r.Kind, x, y, w, h, r.Kind, x, y, h, x+w, y, h)
	case "ok":
		fmt.Fprintf(b, `<rect class="m-ok" opacity=".75" x="%.1f" y="%.1f" width="%.1f" height="%g"/>`, x, y+h*0.36, w, h*0.28)
	default:
		fmt.Fprintf(b, `<rect class="m-%s" x="%.1f" y="%.1f" width="%.1f" height="%g"/>`, esc(r.Kind), x, y, w, h)
	}
	if r.Label != "" && w > 90 && r.Kind != "ok" {
		fmt.Fprintf(b, `<text class="band-text %s" x="%.1f" y="%.1f">%s</text>`, esc(r.Kind), x+6, y+h-5, esc(clip(r.Label, int(w/6.4))))
	}
	b.WriteString(`</g>`)
}

func describeLanes(lanes []Lane) string {
	var parts []string
	for _, l := range lanes {
		for _, r := range l.Ranges {
			if r.Kind != "ok" {
				parts = append(parts, fmt.Sprintf("%s: %s from %s to %s UTC.", l.Name, r.Label, utc(time.UnixMilli(r.From).UTC(), "hms"), utc(time.UnixMilli(r.To).UTC(), "hms")))
			}
		}
		for _, m := range l.Marks {
			parts = append(parts, fmt.Sprintf("%s: %s at %s UTC.", l.Name, m.Label, utc(time.UnixMilli(m.T).UTC(), "hms")))
		}
	}
	if len(parts) == 0 {
		return "Nothing out of the ordinary."
	}
	return strings.Join(parts, " ")
}
