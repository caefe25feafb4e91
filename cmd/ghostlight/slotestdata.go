package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ghostlight/slo"
)

// replayData is what a data file tells.
type replayData struct {
	nodes   map[string]map[int64][]replayRow // by node and minute
	joined  map[string]int64                 // first minute of each node
	refused []refusedRow
	future  int
	end     int64 // the minute after the last
	latest  int64 // arrival
}

// replayRow is one line: events of one node at one second. Two lines of one
// second are the same events told twice; the one that arrives later counts.
type replayRow struct {
	second, arrival int64
	good, total     int64
}

// A refusedRow is a line that cannot be true; it counts nowhere.
type refusedRow struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// maxReplay is the longest time that is replayed.
const maxReplay = 3 * 366 * 24 * 60 // minutes

// readReplay reads a data file. A first line that is a heading is passed over.
func readReplay(name string, r io.Reader) (*replayData, error) {
	d := &replayData{nodes: map[string]map[int64][]replayRow{}, joined: map[string]int64{}, refused: []refusedRow{}, end: math.MinInt64}
	lines := csv.NewReader(r)
	lines.FieldsPerRecord, lines.TrimLeadingSpace, lines.ReuseRecord, lines.Comment = -1, true, true, '#'
	for first := true; ; first = false {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("data %s: %w", name, err)
		}
		line, _ := lines.FieldPos(0)
		if first && strings.EqualFold(record[0], "unix_seconds") {
			continue
		}
		node, row, err := readRow(record)
		if err != nil {
			d.refused = append(d.refused, refusedRow{line, err.Error()})
			continue
		}
		d.take(node, row)
	}
	if len(d.nodes) == 0 {
		why := ""
		if len(d.refused) > 0 {
			why = fmt.Sprintf(": line %d %s", d.refused[0].Line, d.refused[0].Reason)
		}
		return nil, fmt.Errorf("data %s holds no line that can be true%s; write unix_seconds,node,good,total[,arrival_unix_seconds]", name, why)
	}
	if first, end := d.bounds(); end-first > maxReplay {
		return nil, fmt.Errorf("data %s spans %d days; allowed: 1098", name, (end-first)/1440)
	}
	return d, nil
}

func readRow(record []string) (string, replayRow, error) {
	if len(record) != 4 && len(record) != 5 {
		return "", replayRow{}, fmt.Errorf("has %d fields; allowed: unix_seconds, node, good, total and perhaps arrival_unix_seconds", len(record))
	}
	var n [4]int64
	for i, at := range []int{0, 2, 3, 4} {
		if at >= len(record) {
			n[3] = n[0]
			break
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(record[at]), 64)
		if err != nil || math.Abs(v) > slo.MaxCount || math.Trunc(v) != v && (at == 2 || at == 3) {
			return "", replayRow{}, fmt.Errorf("has %q in field %d; allowed: a whole number", record[at], at+1)
		}
		n[i] = int64(math.Floor(v))
	}
	row := replayRow{second: n[0], good: n[1], total: n[2], arrival: n[3]}
	switch node := strings.Clone(record[1]); {
	case node == "":
		return "", row, errors.New("names no node")
	case row.good < 0 || row.total < 0:
		return "", row, fmt.Errorf("has negative counts: good %d, total %d", row.good, row.total)
	case row.good > row.total:
		return "", row, fmt.Errorf("has more good (%d) than total (%d)", row.good, row.total)
	default:
		return node, row, nil
	}
}

func (d *replayData) take(node string, row replayRow) {
	m := slo.MinuteOf(time.Unix(row.second, 0))
	if row.arrival < row.second {
		d.future++ // a clock was wrong; it is counted where it says it belongs
	}
	if d.nodes[node] == nil {
		d.nodes[node], d.joined[node] = map[int64][]replayRow{}, m
	}
	d.nodes[node][m] = append(d.nodes[node][m], row)
	d.joined[node] = min(d.joined[node], m)
	d.end, d.latest = max(d.end, m+1), max(d.latest, row.arrival)
}

// bounds are the first minute and the one after the last.
func (d *replayData) bounds() (first, end int64) {
	return slices.Min(slices.Collect(maps.Values(d.joined))), d.end
}

// last is an arrival that everything had come by.
func (d *replayData) last() int64 { return d.latest }

// spans expects each node from its first line on.
func (d *replayData) spans(from, to int64) []slo.Span {
	var out []slo.Span
	for _, node := range slices.Sorted(maps.Keys(d.joined)) {
		if start := max(from, d.joined[node]); start < to {
			out = append(out, slo.Span{Node: node, From: start, To: to})
		}
	}
	return out
}

// buckets are the minutes of [from, to) as far as they had arrived.
func (d *replayData) buckets(o slo.Objective, from, to, arrived int64) iter.Seq2[string, slo.Bucket] {
	return func(yield func(string, slo.Bucket) bool) {
		for node, minutes := range d.nodes {
			for m := max(from, d.joined[node]); m < to; m++ {
				b, ok := minuteOf(minutes[m], arrived)
				if !ok {
					continue
				}
				b.Objective, b.Hash, b.Minute = o.Name, o.Hash, m
				if !yield(node, b) {
					return
				}
			}
		}
	}
}

// minuteOf sums up what one minute's lines say.
func minuteOf(rows []replayRow, arrived int64) (slo.Bucket, bool) {
	b := slo.Bucket{Revision: 1, Observed: 60, State: slo.Measured}
	newest := map[int64]replayRow{}
	for _, r := range rows {
		if old, twice := newest[r.second]; r.arrival <= arrived && (!twice || r.arrival >= old.arrival) {
			newest[r.second] = r
		}
	}
	for _, r := range newest {
		b.Good, b.Total = b.Good+r.good, b.Total+r.total
	}
	return b, len(newest) > 0
}

// arrivals are the distinct arrivals of the lines of [from, to), in order.
func (d *replayData) arrivals(from, to int64) []int64 {
	var out []int64
	for _, minutes := range d.nodes {
		for m := from; m < to; m++ {
			for _, r := range minutes[m] {
				out = append(out, r.arrival)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// text is the result for people.
func (r replayed) text(o slo.Objective) string {
	var b strings.Builder
	at := func(unix int64) string { return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04:05 UTC") }
	fmt.Fprintf(&b, "%s\n  %s\n  From %s to %s, %s: %s.\n", o.DisplayName, sentence(o), at(r.From), at(r.To), plural(r.Nodes, "node", "nodes"), r.verdictWords())
	if r.Known {
		fmt.Fprintf(&b, "  %d of %d %s are good, %s; %s of the error budget is gone.\n", r.Good, r.Total, r.Unit, rough(r.SLI), rough(r.BudgetConsumed))
	}
	fmt.Fprintf(&b, "  Of %d minutes %d were told and %d are pending", r.Coverage.Expected, r.Coverage.Told, r.Coverage.Pending)
	if r.Coverage.Excluded > 0 {
		fmt.Fprintf(&b, "; %d do not count", r.Coverage.Excluded)
	}
	fmt.Fprintf(&b, ". The final value is between %s and %s.\n", rough(r.Lower), rough(r.Upper))
	if len(r.Alerts) == 0 {
		b.WriteString("  Nothing would have fired.\n")
	}
	for _, a := range r.Alerts {
		end := "was firing when the data ended"
		if a.Resolved != nil {
			end = "resolved " + at(*a.Resolved)
			if *a.ResolveKnown != *a.Resolved {
				end += " (known " + at(*a.ResolveKnown) + ")"
			}
		}
		known := ""
		if a.FiredKnown != a.Fired {
			known = " (known " + at(a.FiredKnown) + ")"
		}
		fmt.Fprintf(&b, "  %s over %s: fired %s%s, %s.\n", a.Severity, span(float64(a.LongSeconds)), at(a.Fired), known, end)
	}
	for _, x := range r.Refused {
		fmt.Fprintf(&b, "  Line %d was refused: it %s.\n", x.Line, x.Reason)
	}
	if r.FromFuture > 0 {
		fmt.Fprintf(&b, "  %s arrived before it happened: a clock was wrong.\n", plural(r.FromFuture, "line", "lines"))
	}
	return b.String()
}

// rough is a ratio in percent, to a hundredth.
func rough(ratio float64) string { return strconv.FormatFloat(100*ratio, 'f', 2, 64) + " %" }

func (r replayed) verdictWords() string {
	words := string(r.Verdict)
	if !r.Final {
		words += ", so far"
	}
	return words
}
