// Package board describes Grafana dashboards as data and turns them into Grafana's
// model. A board that builds has been checked: every panel says what it shows, in
// which unit, and asks valid PromQL for metrics that exist. It never talks to
// Grafana.
package board

import (
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// A Board is one dashboard.
type Board struct {
	UID         string // stable: part of the dashboard's URL
	Title       string
	Description string
	Tags        []string
	From        string // default time range, such as "now-1h"
	Refresh     string // such as "15s"
	Variables   []Variable
	Rows        []Row
}

// A Variable is a choice offered on top of the board: the values of a label.
type Variable struct {
	Name   string
	Label  string
	Metric string // the series whose label values are offered
	From   string // the label
	Within string // matchers that narrow the series, such as `venue=~"$venue"`; may be empty
}

// A Row is a titled group of panels.
type Row struct {
	Title  string
	Panels []Panel
}

// Kind is how a panel shows its values.
type Kind int

// The kinds of panels.
const (
	TimeSeries Kind = iota
	Stat            // the values now, large
	Timeline        // states over time, one line each
	Table           // one line per value of Panel.Key, one column per query
)

// A Panel shows the answers to its queries.
type Panel struct {
	Title       string
	Description string // what it tells and what to do about it
	Kind        Kind
	Unit        string // a Grafana unit; for a table each query has its own
	Width       uint32 // of 24
	Height      uint32
	Decimals    *float64
	Min, Max    *float64
	Thresholds  []Step
	Mappings    []Mapping
	Stack       bool
	Key         string // Table: the label that names a line
	Queries     []Query
}

// A Query is one PromQL expression. It may use the board's variables and
// $__rate_interval.
type Query struct {
	Expr       string
	Legend     string // may name labels: {{venue}}; for a table the column's title
	Unit       string // Table only
	Thresholds []Step // Table only: the colour of the cell
}

// A Step colours values from Value up. The first step of a list is for all values
// below the second; its Value is not used.
type Step struct {
	Value float64
	Color string
}

// A Mapping shows a value as a word.
type Mapping struct {
	Value string
	Text  string
	Color string
}

// Datasource is the variable that chooses the Prometheus data source.
const Datasource = "datasource"

// A PanelQuery is one query as it can be run, with the panel that asks it.
type PanelQuery struct {
	Panel   string
	Expr    string // no variables in it
	Instant bool   // the panel looks at one moment
}

// Model is the board in Grafana's model, checked.
func (b Board) Model() (dashboard.Dashboard, error) {
	if err := b.Check(); err != nil {
		return dashboard.Dashboard{}, err
	}
	return b.build()
}

// JSON is the board as Grafana reads it from a file, checked.
func (b Board) JSON() ([]byte, error) {
	model, err := b.Model()
	if err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(model, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("board %s: %w", b.UID, err)
	}
	return append(data, '\n'), nil
}
