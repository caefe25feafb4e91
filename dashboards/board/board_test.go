package board_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/dashboards/board"
)

func sound() board.Board {
	return board.Board{
		UID: "b", Title: "B", Description: "d", From: "now-1h", Refresh: "15s",
		Variables: []board.Variable{{Name: "venue", Label: "Venue", Metric: "up", From: "venue"}},
		Rows: []board.Row{{Title: "R", Panels: []board.Panel{
			{Title: "P", Description: "d", Unit: "short", Width: 12, Height: 8, Queries: []board.Query{{Expr: `sum by (job) (up{venue=~"$venue"})`, Legend: "{{job}}"}}},
			{Title: "T", Description: "d", Kind: board.Table, Key: "venue", Width: 12, Height: 8, Queries: []board.Query{{Expr: `max by (venue) (up{venue=~"$venue"})`, Legend: "Up", Unit: "short"}}},
		}}},
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	if err := func() error { _, err := sound().JSON(); return err }(); err != nil {
		t.Fatalf("a sound board: %v", err)
	}
	ask := func(expr string) func(*board.Board) {
		return func(b *board.Board) { b.Rows[0].Panels[0].Queries[0].Expr = expr }
	}
	for _, tc := range []struct {
		want  string
		spoil func(*board.Board)
	}{
		{"title and description", func(b *board.Board) { b.Description = "" }},
		{"must have a title and panels", func(b *board.Board) { b.Rows = append(b.Rows, board.Row{Title: "empty"}) }},
		{"used twice", func(b *board.Board) { b.Rows[0].Panels[1].Title = "P" }},
		{"12 of 24 wide", func(b *board.Board) { b.Rows[0].Panels = b.Rows[0].Panels[:1] }},
		{"runs over", func(b *board.Board) { b.Rows[0].Panels[1].Width = 13 }},
		{"no title or no description", func(b *board.Board) { b.Rows[0].Panels[0].Description = "" }},
		{"no size", func(b *board.Board) { b.Rows[0].Panels[0].Height = 0 }},
		{"must have a unit", func(b *board.Board) { b.Rows[0].Panels[0].Unit = "" }},
		{"has a key", func(b *board.Board) { b.Rows[0].Panels[1].Key = "" }},
		{"asks nothing", func(b *board.Board) { b.Rows[0].Panels[0].Queries = nil }},
		{"no legend", func(b *board.Board) { b.Rows[0].Panels[0].Queries[0].Legend = "" }},
		{"table's query", func(b *board.Board) { b.Rows[0].Panels[1].Queries[0].Unit = "" }},
		{`no label "city"`, func(b *board.Board) { b.Variables[0].From = "city" }},
		{"parse error", ask(`sum(up{venue=~"$venue"}`)},
		{`metric "ups" is not in the list`, ask(`ups{venue=~"$venue"}`)},
		{`metric up has no label "lane"`, ask(`up{venue=~"$venue", lane="x"}`)},
		{`no metric in it has the label "lane"`, ask(`sum by (lane) (up{venue=~"$venue"})`)},
		{"use [$__rate_interval]", ask(`rate(edgecore_refunds_total{venue=~"$venue"}[5m])`)},
		{"does not follow the variable $venue", ask(`up`)},
		{"parse error", ask("")},
	} {
		b := sound()
		tc.spoil(&b)
		if _, err := b.JSON(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want an error with %q", err, tc.want)
		}
	}
}

func TestQueriesCanBeRun(t *testing.T) {
	want := []board.PanelQuery{
		{Panel: "P", Expr: `sum by (job) (up{venue=~".+"})`},
		{Panel: "T", Expr: `max by (venue) (up{venue=~".+"})`, Instant: true},
	}
	if diff := cmp.Diff(want, sound().Queries()); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
	if got := sound().Substitute("rate(x[$__rate_interval]) $__interval $__range"); strings.Contains(got, "$") {
		t.Errorf("left in: %s", got)
	}
}

func TestPanelsFollowTheirRow(t *testing.T) {
	data, err := sound().JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Panels []struct {
			ID      int
			Type    string
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range got.Panels {
		b, _ := json.Marshal(p)
		lines = append(lines, string(b))
	}
	want := []string{
		`{"ID":1,"Type":"row","GridPos":{"X":0,"Y":0,"W":24,"H":1}}`,
		`{"ID":2,"Type":"timeseries","GridPos":{"X":0,"Y":1,"W":12,"H":8}}`,
		`{"ID":3,"Type":"table","GridPos":{"X":12,"Y":1,"W":12,"H":8}}`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("panels (-want +got):\n%s", diff)
	}
}
