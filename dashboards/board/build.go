package board

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${" + Datasource + "}")}
}

func (b Board) build() (dashboard.Dashboard, error) {
	d := dashboard.NewDashboardBuilder(b.Title).
		Uid(b.UID).Description(b.Description).Tags(b.Tags).
		Time(b.From, "now").Refresh(b.Refresh).Timezone("browser").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder(Datasource).Label("Data source").Type("prometheus"))
	for _, v := range b.Variables {
		d.WithVariable(v.build())
	}
	id := uint32(1)
	for _, row := range b.Rows {
		d.WithRow(dashboard.NewRowBuilder(row.Title).Id(id))
		id++
		for _, p := range row.Panels {
			d.WithPanel(p.build(id))
			id++
		}
	}
	model, err := d.Build()
	if err != nil {
		return model, fmt.Errorf("board %s: %w", b.UID, err)
	}
	return model, nil
}

func (v Variable) build() cog.Builder[dashboard.VariableModel] {
	query := fmt.Sprintf("label_values(%s{%s}, %s)", v.Metric, v.Within, v.From)
	if v.Within == "" {
		query = fmt.Sprintf("label_values(%s, %s)", v.Metric, v.From)
	}
	return dashboard.NewQueryVariableBuilder(v.Name).Label(v.Label).
		Datasource(source()).
		Query(dashboard.StringOrMap{Map: map[string]any{"query": query, "refId": "values", "qryType": 1}}).
		Definition(query).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(".+").
		Current(dashboard.VariableOption{
			Selected: cog.ToPtr(true),
			Text:     dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value:    dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		})
}

func (p Panel) build(id uint32) cog.Builder[dashboard.Panel] {
	switch p.Kind {
	case Stat:
		return p.stat(id)
	case Timeline:
		return p.timeline(id)
	case Table:
		return p.table(id)
	}
	return p.timeSeries(id)
}

func (p Panel) timeSeries(id uint32) cog.Builder[dashboard.Panel] {
	b := timeseries.NewPanelBuilder().Id(id).Title(p.Title).Description(p.Description).Datasource(source()).
		Span(p.Width).Height(p.Height).Unit(p.Unit).
		LineWidth(2).FillOpacity(10).ShowPoints(common.VisibilityModeAuto).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom))
	if p.Stack {
		b.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).FillOpacity(40)
	}
	if p.Min != nil {
		b.Min(*p.Min)
	}
	if p.Max != nil {
		b.Max(*p.Max)
	}
	if p.Decimals != nil {
		b.Decimals(*p.Decimals)
	}
	if len(p.Thresholds) > 0 {
		b.Thresholds(thresholds(p.Thresholds)).
			ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	}
	for i, q := range p.Queries {
		b.WithTarget(target(i, q).Range())
	}
	return b
}

func (p Panel) stat(id uint32) cog.Builder[dashboard.Panel] {
	b := stat.NewPanelBuilder().Id(id).Title(p.Title).Description(p.Description).Datasource(source()).
		Span(p.Width).Height(p.Height).Unit(p.Unit).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		GraphMode(common.BigValueGraphModeNone).ColorMode(common.BigValueColorModeValue)
	if p.Decimals != nil {
		b.Decimals(*p.Decimals)
	}
	if len(p.Thresholds) > 0 {
		b.Thresholds(thresholds(p.Thresholds))
	}
	if len(p.Mappings) > 0 {
		b.Mappings(mappings(p.Mappings))
	}
	for i, q := range p.Queries {
		b.WithTarget(target(i, q).Instant())
	}
	return b
}

func (p Panel) timeline(id uint32) cog.Builder[dashboard.Panel] {
	b := statetimeline.NewPanelBuilder().Id(id).Title(p.Title).Description(p.Description).Datasource(source()).
		Span(p.Width).Height(p.Height).Unit(p.Unit).
		MergeValues(true).ShowValue(common.VisibilityModeNever).FillOpacity(80).
		Mappings(mappings(p.Mappings))
	if len(p.Thresholds) > 0 {
		b.Thresholds(thresholds(p.Thresholds))
	}
	for i, q := range p.Queries {
		b.WithTarget(target(i, q).Range())
	}
	return b
}

// table joins the answers of all queries on the key: one line per value of it.
func (p Panel) table(id uint32) cog.Builder[dashboard.Panel] {
	b := table.NewPanelBuilder().Id(id).Title(p.Title).Description(p.Description).Datasource(source()).
		Span(p.Width).Height(p.Height).
		Align(common.FieldTextAlignmentAuto).Filterable(true)
	hidden := map[string]bool{"Time": true}
	renamed := map[string]string{p.Key: p.Key}
	order := map[string]int{p.Key: 0}
	for i, q := range p.Queries {
		t := target(i, q).Instant().Format(prometheus.PromQueryFormatTable)
		b.WithTarget(t)
		hidden[fmt.Sprintf("Time %d", i+1)] = true
		value := "Value #" + refID(i)
		if len(p.Queries) == 1 {
			value = "Value"
		}
		renamed[value], order[value] = q.Legend, i+1
		b.OverrideByName(q.Legend, q.column())
	}
	return b.
		WithTransformation(dashboard.DataTransformerConfig{Id: "joinByField", Options: map[string]any{"byField": p.Key, "mode": "outer"}}).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
			"excludeByName": hidden, "renameByName": renamed, "indexByName": order,
		}})
}

// column is how a table shows the values of one query.
func (q Query) column() []dashboard.DynamicConfigValue {
	out := []dashboard.DynamicConfigValue{{Id: "unit", Value: q.Unit}, {Id: "decimals", Value: 1}}
	if len(q.Thresholds) > 0 {
		steps := make([]map[string]any, len(q.Thresholds))
		for i, s := range q.Thresholds {
			steps[i] = map[string]any{"color": s.Color, "value": s.Value}
			if i == 0 {
				steps[i]["value"] = nil
			}
		}
		out = append(out,
			dashboard.DynamicConfigValue{Id: "thresholds", Value: map[string]any{"mode": "absolute", "steps": steps}},
			dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{"type": "color-text"}})
	}
	return out
}

func refID(i int) string { return string(rune('A' + i)) }

func target(i int, q Query) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().RefId(refID(i)).Datasource(source()).
		EditorMode(prometheus.QueryEditorModeCode).Expr(q.Expr).LegendFormat(q.Legend)
}

func thresholds(steps []Step) cog.Builder[dashboard.ThresholdsConfig] {
	out := make([]dashboard.Threshold, len(steps))
	for i, s := range steps {
		out[i] = dashboard.Threshold{Color: s.Color, Value: cog.ToPtr(s.Value)}
		if i == 0 {
			out[i].Value = nil
		}
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(out)
}

func mappings(ms []Mapping) []dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for i, m := range ms {
		options[m.Value] = dashboard.ValueMappingResult{Text: cog.ToPtr(m.Text), Color: cog.ToPtr(m.Color), Index: cog.ToPtr(int32(i))}
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}}
}
