package tail

import "ghostlight/collector/self"

// Gather adds the tail's metrics.
func (t *Tail) Gather(g *self.Gatherer) {
	s := t.Stats()
	g.Counter("ghostlight_traces_received_total", "Traces of which a span was received.", float64(s.Traces.Received))
	for why, n := range self.Sorted(s.Traces.Kept) {
		g.Counter("ghostlight_traces_kept_total", "Traces kept, by why.", float64(n), "reason", string(why))
	}
	for why, n := range self.Sorted(s.Traces.Dropped) {
		g.Counter("ghostlight_traces_dropped_total", "Traces dropped, by why.", float64(n), "reason", string(why))
	}
	g.Gauge("ghostlight_traces_held", "Traces that are not decided yet.", float64(s.Traces.Held))
	g.Counter("ghostlight_traces_early_total", "Traces decided before they were complete, to make room.", float64(s.Early))
	g.Gauge("ghostlight_traces_probability", "Chance of a trace that nothing else keeps, 0 to 1.", s.Probability)
	g.Counter("ghostlight_spans_received_total", "Spans received.", float64(s.Spans.Received))
	g.Counter("ghostlight_spans_stored_total", "Spans stored in the buffer.", float64(s.Spans.Stored))
	for why, n := range self.Sorted(s.Spans.Dropped) {
		g.Counter("ghostlight_spans_dropped_total", "Spans dropped, by why.", float64(n), "reason", string(why))
	}
	g.Counter("ghostlight_log_lines_received_total", "Log lines received.", float64(s.Lines.Received))
	g.Counter("ghostlight_log_lines_stored_total", "Log lines stored, those included that one line stands for.", float64(s.Lines.Stored))
	g.Counter("ghostlight_log_lines_written_total", "Log lines written for those stored.", float64(s.LinesStored))
	for why, n := range self.Sorted(s.Lines.Dropped) {
		g.Counter("ghostlight_log_lines_dropped_total", "Log lines dropped, by why.", float64(n), "reason", string(why))
	}
	g.Gauge("ghostlight_tail_bytes", "Spans and log lines in memory, in bytes.", float64(s.Bytes))
	g.Counter("ghostlight_attributes_dropped_total", "Attributes that may not leave the node.", float64(s.Attributes))
	g.Counter("ghostlight_values_redacted_total", "Values in which something was masked.", float64(s.Redacted))
	g.Counter("ghostlight_values_cut_total", "Values cut short.", float64(s.Cut))
}
