package page

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"math"
	"strings"
	"sync"

	"ghostlight/internal/webui"
)

//go:embed templates/*.html
var templateFiles embed.FS

// ui parses the page once; it never changes afterwards.
var ui = sync.OnceValues(func() (*webui.UI, error) {
	pages, err := fs.Sub(templateFiles, "templates")
	if err != nil {
		return nil, err
	}
	return webui.New(webui.Options{Product: "Ghostlight", Pages: pages, Funcs: template.FuncMap{
		"deref": func(f *float64) float64 { return *f },
		"round": math.Round,
		"ratioTone": func(r float64) string {
			switch {
			case r > 0.95:
				return "bad"
			case r > 0.85:
				return "warn"
			}
			return "ok"
		},
		"int64": func(n *int64) int64 { return *n },
		"no":    func(b *bool) bool { return !*b },
		"words": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
		"minus": func(a, b int64) int64 { return a - b },
	}})
})

// Render writes the node's page: one document that needs nothing from anywhere
// else, works without scripts, and follows /live where scripts run.
func Render(w io.Writer, s Status) error {
	u, err := ui()
	if err != nil {
		return fmt.Errorf("render the node's page: %w", err)
	}
	err = u.Render(w, "node", webui.Page{
		Title: s.Source.Venue + " · " + s.Source.Node, Description: "How this venue's node is", Reload: "/live", Home: "/",
		Foot: "Ghostlight " + s.Version + " on " + s.Source.String(), NowMS: s.NowMS, Standalone: true, Data: look(s),
	})
	if err != nil {
		return fmt.Errorf("render the node's page: %w", err)
	}
	return nil
}
