package webui

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// A Link is one entry of the navigation.
type Link struct {
	Text, Href string
	Current    bool
}

// Page is what surrounds a page's own content.
type Page struct {
	Title       string
	Description string
	Theme       string // "light", "dark" or "" for the reader's own choice
	Live        string // address of the page's event stream; empty: none
	Reload      string // address of an event stream after whose events the page fetches itself anew; empty: none
	Nav         []Link
	Home        string // where the product's name leads; empty: "/"
	Foot        string
	NowMS       int64 // when the data was put together
	Standalone  bool  // inline everything: the page opens from disk, and needs one address only
	Data        any   // for the page's own templates
}

// A Pill is a short fact with a tone: ok, warn, bad, dark, quiet, blind or
// unknown. Each tone has an icon of its own.
type Pill struct {
	Tone string `json:"tone"`
	Text string `json:"text"`
}

// Options of [New].
type Options struct {
	Product string           // the name in the corner and in titles
	Static  string           // prefix the assets are served under; empty: "/static/"
	Funcs   template.FuncMap // further functions for the pages
	Pages   fs.FS            // *.html; files beginning with "_" are shared by all pages
}

// UI renders the pages of one product. It is safe for concurrent use.
type UI struct {
	Assets
	opt    Options
	layout *template.Template
	pages  map[string]*template.Template
}

// livePrefix marks templates that are swapped in place: the template "live-x" is
// the content of the element with id "live-x".
const livePrefix = "live-"

// New parses the layout and all pages. A page is a file NAME.html which defines
// the template "content" and any number of "live-..." templates.
func New(opt Options) (*UI, error) {
	if opt.Product == "" {
		return nil, fmt.Errorf("webui: Product is empty")
	}
	if opt.Static == "" {
		opt.Static = "/static/"
	}
	assets, err := LoadAssets()
	if err != nil {
		return nil, err
	}
	base, err := template.New("").Funcs(funcs()).Funcs(opt.Funcs).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the layout: %w", err)
	}
	u := &UI{Assets: assets, opt: opt, layout: base, pages: make(map[string]*template.Template)}
	if opt.Pages == nil {
		return u, nil
	}
	names, err := fs.Glob(opt.Pages, "*.html")
	if err != nil {
		return nil, fmt.Errorf("list pages: %w", err)
	}
	var shared []string
	for _, n := range names {
		if strings.HasPrefix(n, "_") {
			shared = append(shared, n)
		}
	}
	for _, n := range names {
		if strings.HasPrefix(n, "_") {
			continue
		}
		t, err := template.Must(base.Clone()).ParseFS(opt.Pages, append(slices.Clone(shared), n)...)
		if err != nil {
			return nil, fmt.Errorf("parse page %s: %w", n, err)
		}
		u.pages[strings.TrimSuffix(path.Base(n), ".html")] = t
	}
	return u, nil
}

// frame is the data of the layout.
type frame struct {
	Page
	Product, Static, Policy string
	InlineCSS               template.CSS
	InlineJS                template.JS
	Body                    template.HTML
}

// Render writes the page name with p around it. Nothing is written when the
// page cannot be rendered, so that the caller can still answer with an error.
func (u *UI) Render(w io.Writer, name string, p Page) error {
	body, err := u.execute(name, "content", p.Data)
	if err != nil {
		return err
	}
	f := frame{Page: p, Product: u.opt.Product, Static: u.opt.Static, Body: template.HTML(body)}
	if f.Home == "" {
		f.Home = "/"
	}
	if f.Title != u.opt.Product {
		f.Title += " · " + u.opt.Product
	}
	if p.Standalone {
		f.InlineCSS, f.Policy = template.CSS(u.CSS), u.StandalonePolicy()
		if p.Reload != "" {
			f.InlineJS, f.Policy = template.JS(u.JS), u.ReloadingPolicy()
		}
	}
	var out bytes.Buffer
	if err := u.layout.ExecuteTemplate(&out, "layout", f); err != nil {
		return fmt.Errorf("render the layout of page %s: %w", name, err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

// A Fragment is the content of one element.
type Fragment struct {
	ID   string `json:"id"`
	HTML string `json:"html"`
}

// Fragments renders every live template of a page, ordered by id.
func (u *UI) Fragments(name string, data any) ([]Fragment, error) {
	page, ok := u.pages[name]
	if !ok {
		return nil, fmt.Errorf("page %q does not exist", name)
	}
	ids := make(map[string]bool)
	for _, t := range page.Templates() {
		if strings.HasPrefix(t.Name(), livePrefix) {
			ids[t.Name()] = true
		}
	}
	var out []Fragment
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		html, err := u.execute(name, id, data)
		if err != nil {
			return nil, err
		}
		out = append(out, Fragment{ID: id, HTML: html})
	}
	return out, nil
}

func (u *UI) execute(name, tmpl string, data any) (string, error) {
	page, ok := u.pages[name]
	if !ok {
		return "", fmt.Errorf("page %q does not exist", name)
	}
	var b bytes.Buffer
	if err := page.ExecuteTemplate(&b, tmpl, data); err != nil {
		return "", fmt.Errorf("render %s of page %s: %w", tmpl, name, err)
	}
	return b.String(), nil
}
