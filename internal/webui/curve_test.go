package webui_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ghostlight/internal/webui"
)

// A curve only ever goes down, ends where nothing more is known, and says in words
// what it shows.
func TestCurve(t *testing.T) {
	minute := time.Minute.Milliseconds()
	c := webui.Curve{
		ID: "s", Title: "Not over", Until: 10 * minute, Says: "Half are <over> after 4 min.",
		Steps: []webui.CurveStep{{At: 2 * minute, Left: 0.75, Low: 0.4, Top: 1}, {At: 4 * minute, Left: 0.5, Low: 0.2, Top: 0.9}},
		Marks: []webui.CurveMark{{At: 4 * minute, Label: "half"}},
	}
	got := string(c.SVG())
	for _, want := range []string{
		`<desc id="s-d">Half are &lt;over&gt; after 4 min.</desc>`, `id="s-narrow-t"`, ">half</text>", ">10 min</text>",
		`<path class="line s1" d="M46.0 10.0H267.2V54.0H488.4V98.0H1152.0"/>`, // 1160 wide, 210 high
		`<path class="area f1" d="M46.0 10.0H267.2V10.0H488.4V27.6H1152.0V150.8H488.4V115.6H267.2V10.0H46.0Z"/>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the curve lacks %s\n%s", want, got)
		}
	}
	if _, err := html.Parse(strings.NewReader(got)); err != nil {
		t.Error(err)
	}
	flat := string(webui.Curve{ID: "f", Title: "Nothing ended", Until: minute}.SVG())
	if !strings.Contains(flat, `d="M46.0 10.0H1152.0"`) || strings.Contains(flat, "area") {
		t.Errorf("where nothing ended the line stays at the top: %s", flat)
	}
}

// An axis of days says the day: the hour alone would be that of each of them.
func TestLongTimeAxisNamesDays(t *testing.T) {
	from := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	draw := func(d time.Duration) string {
		c := webui.Chart{ID: "c", Title: "c", From: from.UnixMilli(), To: from.Add(d).UnixMilli(), Wide: true}
		return string(c.SVG())
	}
	for d, want := range map[time.Duration]string{6 * time.Hour: ">03:00</text>", 36 * time.Hour: ">21 Nov, 06:00</text>", 28 * 24 * time.Hour: ">26 Nov</text>"} {
		if got := draw(d); !strings.Contains(got, want) || (d > 24*time.Hour) != strings.Contains(got, "From 20 Nov, 00:00 to") {
			t.Errorf("%s: no label %s in %s", d, want, got)
		}
	}
}
