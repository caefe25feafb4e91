package webui_test

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"ghostlight/internal/webui"
	"ghostlight/internal/webui/webuitest"
)

func TestFormats(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{webui.Percent(1), "100 %"},
		{webui.Percent(0), "0 %"},
		{webui.Percent(0.5), "50 %"},
		{webui.Percent(0.926), "92.6 %"},
		{webui.Percent(0.99), "99 %"},
		{webui.Percent(0.992), "99.2 %"},
		{webui.Percent(0.9999), "99.99 %"},
		{webui.Percent(0.99999999), "99.9999 %"},
		{webui.Percent(math.NaN()), "unknown"},
		{webui.Percent(-0.418), "-41.8 %"},
		{webui.Money(120450, "EUR"), "1,204.50 EUR"},
		{webui.Money(-5, "EUR"), "-0.05 EUR"},
		{webui.Money(500, "JPY"), "500 JPY"},
		{webui.Money(1234, "KWD"), "1.234 KWD"},
		{webui.Count(-1234567), "-1,234,567"},
		{webui.Span(0), "0 ms"},
		{webui.Span(-time.Second), "0 s"},
		{webui.Span(6400 * time.Millisecond), "6.4 s"},
		{webui.Span(80 * time.Second), "1 min 20 s"},
		{webui.Span(76 * time.Hour), "3 d 4 h"},
		{webui.Bytes(1536), "1.5 KiB"},
		{webui.Number(0.025), "0.025"},
		{webui.Number(2.2), "2.2"},
		{webui.Number(math.Inf(1)), "unknown"},
		{string(webui.Time(0, "hm")), "never"},
		{string(webui.Time(1795356303000, "hm")), `<time datetime="2026-11-22T14:05:03Z" data-form="hm">14:05 UTC</time>`},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// A share below 1 never reads as a perfect one, and never reads higher than it is.
func TestPercentNeverFlatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ratio := rapid.Float64Range(0, 1).Draw(t, "ratio")
		shown, err := strconv.ParseFloat(strings.TrimSuffix(webui.Percent(ratio), " %"), 64)
		if err != nil {
			t.Fatal(err)
		}
		if ratio < 1 && shown == 100 {
			t.Fatalf("%v reads as 100 %%", ratio)
		}
		if shown > ratio*100+1e-6 {
			t.Fatalf("%v reads as %v %%", ratio, shown)
		}
	})
}

// The pairs of text and ground that the stylesheet uses reach WCAG AA.
func TestContrast(t *testing.T) {
	for _, theme := range []string{"light", "dark"} {
		tokens, err := webui.Tokens(theme)
		if err != nil {
			t.Fatal(err)
		}
		check := func(fg, bg string, least float64) {
			if got := contrast(t, tokens[fg], tokens[bg]); got < least {
				t.Errorf("%s: %s on %s has contrast %.2f, want %.1f", theme, fg, bg, got, least)
			}
		}
		for _, bg := range []string{"bg", "surface", "raised", "sunken"} {
			for _, fg := range []string{"ink", "muted", "link"} {
				check(fg, bg, 4.5)
			}
		}
		check("accent-ink", "accent", 4.5)
		for _, tone := range []string{"ok", "warn", "bad", "dark", "quiet", "blind", "unknown"} {
			check(tone, "surface", 4.5)
			check(tone, tone+"-soft", 4.5)
		}
		for i := 1; i <= 6; i++ {
			check(fmt.Sprintf("c%d", i), "surface", 3) // graphics
		}
		check("focus", "bg", 3)
		check("line-strong", "surface", 3)
	}
}

func TestThemesHaveTheSameTokens(t *testing.T) {
	light, err := webui.Tokens("light")
	if err != nil {
		t.Fatal(err)
	}
	dark, err := webui.Tokens("dark")
	if err != nil {
		t.Fatal(err)
	}
	for name := range light {
		if dark[name] == "" {
			t.Errorf("the dark theme lacks %s", name)
		}
	}
	if len(dark) != len(light) {
		t.Errorf("%d tokens in dark, %d in light", len(dark), len(light))
	}
	if _, err := webui.Tokens("sepia"); err == nil {
		t.Error("an unknown theme has tokens")
	}
}

// contrast is the ratio of WCAG 2.2 of two colours written as #rrggbb.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(t *testing.T, c string) float64 {
	t.Helper()
	if len(c) != 7 {
		t.Fatalf("colour %q is not #rrggbb", c)
	}
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(c[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		v := float64(n) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

// elements counts the elements of an SVG by name and class.
func elements(t *testing.T, svg template.HTML) map[string]int {
	t.Helper()
	root, err := html.Parse(strings.NewReader(string(svg)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		class := ""
		for _, a := range n.Attr {
			if a.Key == "class" {
				class = "." + a.Val
			}
		}
		out[n.Data+class]++
	}
	return out
}

func TestChartDrawsGapsAsGaps(t *testing.T) {
	c := webui.Chart{ID: "x", Title: "X", From: 0, To: 100_000, MaxGap: 15_000, Series: []webui.Series{{Name: "a", Points: []webui.Point{
		{T: 0, V: 1}, {T: 10_000, V: 2}, // a run
		{T: 40_000, V: 3},                                                                   // too far away: on its own
		{T: 60_000, V: 1}, {T: 70_000, V: math.NaN()}, {T: 80_000, V: 1}, {T: 90_000, V: 2}, // broken by NaN
	}}}}
	got := elements(t, c.SVG())
	if got["path.line s1"] != 2 || got["circle.dot f1"] != 2 {
		t.Errorf("%d lines and %d dots, want 2 and 2", got["path.line s1"], got["circle.dot f1"])
	}
}

func TestChartSaysWhatItShows(t *testing.T) {
	empty := webui.Chart{ID: "e", Title: "Empty", From: 0, To: 60_000, Series: []webui.Series{{Name: "a"}}}
	if got := string(empty.SVG()); !strings.Contains(got, "no data in this range") || !strings.Contains(got, "a: no data.") {
		t.Errorf("an empty chart: %s", got)
	}
	c := webui.Chart{
		ID: "c", Title: `<b>"x"`, From: 0, To: 600_000, Series: []webui.Series{{Name: "a&b", Points: []webui.Point{{T: 0, V: 1}, {T: 60_000, V: 3}}}},
		Bands: []webui.Band{{From: 60_000, To: 540_000, Kind: webui.BandDark, Label: "dark <here>"}, {From: 700_000, To: 800_000, Kind: webui.BandGap, Label: "outside"}},
	}
	got := string(c.SVG())
	for _, want := range []string{`role="img"`, `aria-labelledby="c-t c-d"`, "a&amp;b: last 3, lowest 1, highest 3.", "dark &lt;here&gt; from 00:01 to 00:09.", "url(#hatch-dark)"} {
		if !strings.Contains(got, want) {
			t.Errorf("the chart lacks %q", want)
		}
	}
	if strings.Contains(got, "<b>") || strings.Contains(got, `class="band-gap"`) {
		t.Errorf("the chart has what it should not: %s", got)
	}
}

// Whatever the data, what is drawn is finite and inside the drawing.
func TestChartStaysInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int64Range(0, 1<<41).Draw(t, "from")
		c := webui.Chart{ID: "x", From: from, To: from + rapid.Int64Range(1, 1<<33).Draw(t, "length"), Bars: rapid.Bool().Draw(t, "bars"), Step: 60_000, Wide: rapid.Bool().Draw(t, "wide")}
		n := rapid.IntRange(0, 20).Draw(t, "points")
		for i := range n {
			v := rapid.OneOf(rapid.Float64Range(-1e12, 1e12), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1)})).Draw(t, "v")
			if i == 0 {
				c.Series = []webui.Series{{Name: "s"}}
			}
			c.Series[0].Points = append(c.Series[0].Points, webui.Point{T: from + int64(i)*rapid.Int64Range(0, 1<<30).Draw(t, "dt"), V: v})
		}
		c.Bands = []webui.Band{{From: from - 5, To: rapid.Int64Range(0, 1<<42).Draw(t, "band"), Kind: "dark"}}
		svg := string(c.SVG())
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Fatalf("not finite: %s", svg)
		}
	})
}

func TestStripKindsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, kind := range []string{webui.CellOK, webui.CellBad, webui.CellFailing, webui.CellQuiet, webui.CellGap, webui.CellPending, webui.CellExcluded, webui.CellBlind, webui.CellNone} {
		svg := string(webui.Strip("x", []webui.Cell{{Kind: kind, Share: 0.4}}, false))
		if other, ok := seen[svg]; ok {
			t.Errorf("%s looks like %s", kind, other)
		}
		seen[svg] = kind
	}
}

func demo(t *testing.T) *webui.UI {
	t.Helper()
	ui, err := webui.New(webui.Options{Product: "Demo", Pages: fstest.MapFS{
		"_shared.html": {Data: []byte(`{{define "hello"}}hello {{.}}{{end}}`)},
		"home.html":    {Data: []byte(`{{define "content"}}<h1>Home</h1><div id="live-a">{{template "live-a" .}}</div>{{end}}{{define "live-a"}}{{template "hello" .}}{{end}}`)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return ui
}

func TestRenderPages(t *testing.T) {
	ui := demo(t)
	for name, p := range map[string]webui.Page{
		"plain":      {Title: "Home", Data: "<you>", Live: "/live", Nav: []webui.Link{{Text: "Home", Href: "/", Current: true}}},
		"standalone": {Title: "Home", Data: "<you>", Standalone: true},
		"reloading":  {Title: "Home", Data: "<you>", Standalone: true, Reload: "/live"},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := ui.Render(&b, "home", p); err != nil {
				t.Fatal(err)
			}
			webuitest.Check(t, b.String())
			if !strings.Contains(b.String(), "hello &lt;you&gt;") {
				t.Error("the page lacks its content")
			}
			if loads := strings.Contains(b.String(), "/static/"); loads == p.Standalone {
				t.Errorf("the page loads assets: %t", loads)
			}
		})
	}
	if err := ui.Render(&strings.Builder{}, "none", webui.Page{}); err == nil {
		t.Error("a page that does not exist was rendered")
	}
	got, err := ui.Fragments("home", "you")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]webui.Fragment{{ID: "live-a", HTML: "hello you"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestStreamSendsChangesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream, err := webui.NewStream(time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		period := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			stream.Serve(w, httptest.NewRequest(http.MethodGet, "/live", nil).WithContext(ctx), func(context.Context) ([]webui.Fragment, error) {
				period++
				switch period {
				case 3:
					return nil, errors.New("not now")
				case 4:
					return []webui.Fragment{{ID: "a", HTML: "two"}, {ID: "b", HTML: "same"}}, nil
				}
				return []webui.Fragment{{ID: "a", HTML: "one"}, {ID: "b", HTML: "same"}}, nil
			})
		}()
		synctest.Wait()
		full := httptest.NewRecorder()
		stream.Serve(full, httptest.NewRequest(http.MethodGet, "/live", nil), nil)
		if full.Code != http.StatusServiceUnavailable {
			t.Errorf("a reader too many: status %d", full.Code)
		}
		time.Sleep(3500 * time.Millisecond) // four periods of virtual time
		synctest.Wait()
		cancel()
		<-done
		want := "retry: 2000\n\n" +
			"event: swap\ndata: {\"id\":\"a\",\"html\":\"one\"}\n\nevent: swap\ndata: {\"id\":\"b\",\"html\":\"same\"}\n\n" +
			"event: swap\ndata: {\"id\":\"a\",\"html\":\"two\"}\n\n"
		if diff := cmp.Diff(want, w.Body.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStreamKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream, err := webui.NewStream(5*time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 21*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		stream.Serve(w, httptest.NewRequest(http.MethodGet, "/live", nil).WithContext(ctx), func(context.Context) ([]webui.Fragment, error) { return nil, nil })
		if got := strings.Count(w.Body.String(), ": alive"); got != 1 {
			t.Errorf("%d signs of life in 21 s of silence, want 1: %q", got, w.Body)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := webui.New(webui.Options{}); err == nil {
		t.Error("no product was accepted")
	}
	if _, err := webui.New(webui.Options{Product: "x", Pages: fstest.MapFS{"a.html": {Data: []byte("{{")}}}); err == nil {
		t.Error("a broken page was accepted")
	}
	if _, err := webui.NewStream(0, 1); err == nil {
		t.Error("a stream without a period was accepted")
	}
	if _, err := webui.NewStream(time.Second, 0); err == nil {
		t.Error("a stream without readers was accepted")
	}
}
