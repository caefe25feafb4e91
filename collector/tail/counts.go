package tail

import (
	"maps"

	"ghostlight/buffer"
)

// Stats counts since the start of the process. Traces: Received = Kept + Dropped +
// Held. Spans and lines: Received = Stored + Dropped + Waiting.
type Stats struct {
	Traces      TraceStats
	Spans       UnitStats
	Lines       UnitStats
	LinesStored int64   // lines written for the Lines.Stored that they stand for
	Probability float64 // what a trace that nothing else keeps is kept with now
	Early       int64   // traces decided before they were complete, to make room
	Bytes       int64   // of encoded spans and lines in memory now
	Attributes  int64   // withheld because they are not on the list
	Redacted    int64   // values in which something was masked
	Cut         int64   // values that were cut short
}

// TraceStats counts traces.
type TraceStats struct {
	Received      int64
	Kept, Dropped map[Reason]int64
	Held          int64
}

// UnitStats counts spans or log lines.
type UnitStats struct {
	Received, Stored int64
	Dropped          map[Reason]int64
	Waiting          int64
}

// counts is guarded by Tail.mu.
type counts struct {
	tracesIn, spansIn, linesIn             int64
	spansOut, linesOut, linesWritten       int64
	kept, dropped, spansDrop, linesDropped map[Reason]int64
	early                                  int64
	privacy                                redactions
}

func newCounts() counts {
	return counts{kept: map[Reason]int64{}, dropped: map[Reason]int64{}, spansDrop: map[Reason]int64{}, linesDropped: map[Reason]int64{}}
}

// decided counts a trace whose fate is known.
func (c *counts) decided(d decision) {
	if d.keep {
		c.kept[d.reason]++
	} else {
		c.dropped[d.reason]++
	}
}

// drop counts spans.
func (c *counts) drop(why Reason, spans int) {
	if spans > 0 {
		c.spansDrop[why] += int64(spans)
	}
}

func (c *counts) dropLines(why Reason, n int64) { c.linesDropped[why] += n }

// stored counts what the buffer took.
func (c *counts) stored(lane buffer.Lane, items []item) {
	for _, it := range items {
		if lane == buffer.Logs {
			c.linesOut += it.units
			c.linesWritten++
		} else {
			c.spansOut += it.units
		}
	}
}

// Stats is a copy of the counts of this moment.
func (t *Tail) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.count
	s := Stats{
		Traces:      TraceStats{Received: c.tracesIn, Kept: maps.Clone(c.kept), Dropped: maps.Clone(c.dropped), Held: int64(len(t.hold.traces))},
		Spans:       UnitStats{Received: c.spansIn, Stored: c.spansOut, Dropped: maps.Clone(c.spansDrop), Waiting: t.hold.spans},
		Lines:       UnitStats{Received: c.linesIn, Stored: c.linesOut, Dropped: maps.Clone(c.linesDropped)},
		LinesStored: c.linesWritten, Probability: t.pace.chance, Early: c.early, Bytes: t.hold.bytes + t.out.bytes + t.folded,
		Attributes: c.privacy.Attributes, Redacted: c.privacy.Values, Cut: c.privacy.Cut,
	}
	for _, it := range t.out.spans {
		s.Spans.Waiting += it.units
	}
	for _, it := range t.out.logs {
		s.Lines.Waiting += it.units
	}
	for _, f := range t.folds {
		s.Lines.Waiting += f.count
	}
	return s
}
