// Package overview is the fleet overview dashboard: which venue is losing money
// now, since when, and what has been tried by itself. It is data; package board
// turns it into Grafana's model.
package overview

import "ghostlight/dashboards/board"

//go:generate go run ghostlight/dashboards/generate ../grafana/dashboards

// Board is the dashboard.
func Board() board.Board {
	return board.Board{
		UID:         "ghostlight-overview",
		Title:       "Ghostlight / Fleet overview",
		Description: "Every venue at a glance: health, sales, journeys, cache, settlement, heals, uplink and hosts.",
		Tags:        []string{"ghostlight"},
		From:        "now-1h",
		Refresh:     "15s",
		Variables:   []board.Variable{{Name: "venue", Label: "Venue", Metric: "up", From: "venue"}},
		Rows: []board.Row{
			fleetNow(), money(), journeys(), cache(), settlement(), heals(), uplink(), hosts(),
		},
	}
}

// Queries lists every query of the dashboard as it can be run against the fleet's
// Prometheus API.
func Queries() []board.PanelQuery { return Board().Queries() }

// Colours of states, and where they begin.
const (
	good  = "green"
	warn  = "orange"
	wrong = "red"
)

func ptr(v float64) *float64 { return &v }

// rising is worse the higher it gets.
func rising(warning, critical float64) []board.Step {
	return []board.Step{{Color: good}, {Value: warning, Color: warn}, {Value: critical, Color: wrong}}
}

// falling is worse the lower it gets.
func falling(warning, critical float64) []board.Step {
	return []board.Step{{Color: wrong}, {Value: critical, Color: warn}, {Value: warning, Color: good}}
}

// yesOrNo is for values that are 0 or 1.
func yesOrNo() []board.Step { return []board.Step{{Color: wrong}, {Value: 1, Color: good}} }

// score colours a health score where its states begin.
func score() []board.Step { return falling(75, 60) }
