package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"math"
	"sync"
	"time"

	"ghostlight/fleet/status"
	"ghostlight/fleet/web/draw"
	"ghostlight/internal/webui"
)

//go:embed page/*.html
var pageFiles embed.FS

// ui parses the page once; it never changes afterwards.
var ui = sync.OnceValues(func() (*webui.UI, error) {
	pages, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	return webui.New(webui.Options{Product: "Ghostlight", Funcs: funcs(), Pages: pages})
})

// Render writes the report as one self-contained page: styles and charts are
// inside, nothing is loaded, no script runs. theme is "light", "dark" or "" for
// the reader's own.
func Render(w io.Writer, r Report, theme string) error {
	u, err := ui()
	if err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	err = u.Render(w, "report", webui.Page{
		Title: r.Event.Name, Description: r.Headline.Says, Theme: theme, Standalone: true, NowMS: r.GeneratedMS, Data: r,
		Foot: "Made " + time.UnixMilli(r.GeneratedMS).UTC().Format("2 Jan 2006, 15:04:05") + " UTC from what the centre knew then.",
	})
	if err != nil {
		return fmt.Errorf("render report of %s: %w", r.Event.ID, err)
	}
	return nil
}

func funcs() template.FuncMap {
	return template.FuncMap{
		"deref": func(f *float64) float64 { return *f },
		"figure": func(c status.Chart) template.HTML {
			p := draw.Plot(c)
			p.Wide = true
			return p.Figure()
		},
		"lanes": lanes,
		"strip": draw.Strip,
		"since": func(failedMS, atMS int64) string {
			if atMS == 0 {
				return "not reached"
			}
			return webui.Span(time.Duration(atMS-failedMS) * time.Millisecond)
		},
		"sub64": func(a, b int64) int64 { return a - b },
		"ratio": func(a, b int) float64 {
			if b == 0 {
				return math.NaN()
			}
			return float64(a) / float64(b)
		},
		"darkFor": func(d Dark, r Report) int64 {
			if d.ToMS == 0 {
				return r.GeneratedMS - d.FromMS
			}
			return d.ToMS - d.FromMS
		},
		"healed": func(heals []Heal) int {
			n := 0
			for _, h := range heals {
				if h.Result == "succeeded" {
					n++
				}
			}
			return n
		},
		"moneys": func(m map[string]int64) string { return moneys(m) },
	}
}

func lanes(r Report) template.HTML {
	var rows []webui.Lane
	for _, l := range r.Lanes {
		row := webui.Lane{Name: l.Venue, Ranges: draw.Bands(l.Ranges)}
		for _, m := range l.Marks {
			row.Marks = append(row.Marks, webui.Mark{T: m.MS, Tone: m.Tone, Label: m.Label})
		}
		rows = append(rows, row)
	}
	return webui.Lanes("lanes", "What happened at each venue", r.FromMS, r.ToMS, rows)
}
