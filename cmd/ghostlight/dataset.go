package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"ghostlight/buffer/delta"
)

// A dataSet is a recorded node: what its scrapes showed, in the order of the file.
type dataSet struct {
	series  []declared
	byID    map[string]int
	byKey   map[string]string // the id of a series by its labels
	scrapes []scrape
	samples int
}

func newDataSet() *dataSet {
	return &dataSet{byID: map[string]int{}, byKey: map[string]string{}}
}

// declared is one S line.
type declared struct {
	id, kind, text string
	series         delta.Series // without samples
}

// A scrape is the V lines of one timestamp.
type scrape struct {
	time   int64
	series []int // indexes into dataSet.series
	values []float64
}

var setKinds = map[string]delta.Type{
	"counter": delta.Counter, "gauge": delta.Gauge, "histogram": delta.Histogram, "summary": delta.Summary,
	"info": delta.Info, "stateset": delta.StateSet, "unknown": delta.Unknown, "untyped": delta.Unknown,
}

// readDataSet reads a file. Its errors name the line.
func readDataSet(path string) (*dataSet, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read data set: %w", err)
	}
	defer func() { _ = f.Close() }() // was only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s is not gzip: %w", path, err)
	}
	s, line, err := scanDataSet(z)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, line, err)
	}
	return s, nil
}

func scanDataSet(r io.Reader) (s *dataSet, line int, err error) {
	s = newDataSet()
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for lines.Scan() {
		line++
		fields := strings.Split(lines.Text(), "\t")
		switch {
		case len(fields) == 4 && fields[0] == "S":
			err = s.declare(fields[1], fields[2], fields[3])
		case len(fields) == 4 && fields[0] == "V":
			err = s.sample(fields[1], fields[2], fields[3])
		default:
			err = fmt.Errorf("want %q or %q with three fields behind it, separated by tabs", "S", "V")
		}
		if err != nil {
			return nil, line, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, line + 1, err
	}
	if s.samples == 0 {
		return nil, line, errors.New("the data set has no samples")
	}
	return s, line, nil
}

func (s *dataSet) declare(id, kind, text string) error {
	if len(s.scrapes) > 0 {
		return errors.New("series is declared after the first sample")
	}
	if _, ok := s.byID[id]; ok {
		return fmt.Errorf("series %s is declared twice", id)
	}
	t, ok := setKinds[kind]
	if !ok {
		return fmt.Errorf("kind %q is unknown", kind)
	}
	labels, err := parseSeries(text)
	if err != nil {
		return fmt.Errorf("series %q: %w", text, err)
	}
	key := seriesKey(labels)
	if other, ok := s.byKey[key]; ok {
		return fmt.Errorf("series %q is declared as %s already", text, other)
	}
	s.byKey[key] = id
	s.byID[id] = len(s.series)
	s.series = append(s.series, declared{id: id, kind: kind, text: text, series: delta.Series{Labels: labels, Meta: delta.Meta{Type: t}}})
	return nil
}

func (s *dataSet) sample(at, id, value string) error {
	t, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return fmt.Errorf("timestamp %q is not a number of milliseconds", at)
	}
	i, ok := s.byID[id]
	if !ok {
		return fmt.Errorf("series %s is not declared", id)
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return fmt.Errorf("value %q is not a number", value)
	}
	if n := len(s.scrapes); n == 0 || s.scrapes[n-1].time != t {
		if n > 0 && t < s.scrapes[n-1].time {
			return fmt.Errorf("timestamp %d is before %d: samples must be in time order", t, s.scrapes[n-1].time)
		}
		s.scrapes = append(s.scrapes, scrape{time: t})
	}
	last := &s.scrapes[len(s.scrapes)-1]
	last.series = append(last.series, i)
	last.values = append(last.values, v)
	s.samples++
	return nil
}

// parseSeries reads a series in Prometheus' text form.
func parseSeries(text string) ([]delta.Label, error) {
	name, rest, braced := strings.Cut(text, "{")
	if name == "" {
		return nil, errors.New("it has no name")
	}
	labels := []delta.Label{{Name: "__name__", Value: name}}
	for braced && rest != "}" {
		label, after, ok := strings.Cut(rest, "=")
		quoted, err := strconv.QuotedPrefix(after)
		if !ok || err != nil || label == "" {
			return nil, errors.New(`labels are not of the form name="value"`)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("value of label %s: %w", label, err)
		}
		labels = append(labels, delta.Label{Name: label, Value: value})
		switch rest = after[len(quoted):]; {
		case strings.HasPrefix(rest, ","):
			rest = rest[1:]
		case rest != "}":
			return nil, errors.New("labels do not end in a brace")
		}
	}
	sort.Slice(labels, func(i, j int) bool { return labels[i].Name < labels[j].Name })
	for i := 1; i < len(labels); i++ {
		if labels[i].Name == labels[i-1].Name {
			return nil, fmt.Errorf("label %s is there twice", labels[i].Name)
		}
	}
	return labels, nil
}

// blocks cuts the set into batches that each cover some time. Scrapes jitter
// around their schedule: one that comes up to a tenth of a block early counts
// with the next.
func (s *dataSet) blocks(each time.Duration) []delta.Batch {
	size := max(each.Milliseconds(), 1)
	slack := min(size/10, 500)
	var out []delta.Batch
	for from := 0; from < len(s.scrapes); {
		block := (s.scrapes[from].time - s.scrapes[0].time + slack) / size
		to := from + 1
		for to < len(s.scrapes) && (s.scrapes[to].time-s.scrapes[0].time+slack)/size == block {
			to++
		}
		out = append(out, s.batch(s.scrapes[from:to]))
		from = to
	}
	return out
}

// batch joins scrapes; series are in the order they are first seen.
func (s *dataSet) batch(scrapes []scrape) delta.Batch {
	var b delta.Batch
	where := map[int]int{}
	for _, sc := range scrapes {
		for k, i := range sc.series {
			at, ok := where[i]
			if !ok {
				at = len(b.Series)
				where[i] = at
				b.Series = append(b.Series, delta.Series{
					Labels: s.series[i].series.Labels, Meta: s.series[i].series.Meta,
					Samples: make([]delta.Sample, 0, len(scrapes)),
				})
			}
			b.Series[at].Samples = append(b.Series[at].Samples, delta.Sample{Time: sc.time, Value: sc.values[k]})
		}
	}
	return b
}

// write prints decoded samples in the format and order of the file.
func (s *dataSet) write(out io.Writer, decoded []delta.Batch) error {
	z := gzip.NewWriter(out)
	w := bufio.NewWriter(z)
	queues := map[string][]delta.Sample{}
	for _, b := range decoded {
		for i := range b.Series {
			key := seriesKey(b.Series[i].Labels)
			queues[key] = append(queues[key], b.Series[i].Samples...)
		}
	}
	keys := make([]string, len(s.series))
	for i, d := range s.series {
		keys[i] = seriesKey(d.series.Labels)
		_, _ = fmt.Fprintf(w, "S\t%s\t%s\t%s\n", d.id, d.kind, d.text) // Flush reports it
	}
	for _, sc := range s.scrapes {
		for _, i := range sc.series {
			q := queues[keys[i]]
			if len(q) == 0 {
				return fmt.Errorf("a sample of series %s is missing", s.series[i].id)
			}
			queues[keys[i]] = q[1:]
			_, _ = fmt.Fprintf(w, "V\t%d\t%s\t%s\n", q[0].Time, s.series[i].id, strconv.FormatFloat(q[0].Value, 'g', -1, 64))
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return z.Close()
}

func seriesKey(labels []delta.Label) string {
	var b strings.Builder
	for _, l := range labels {
		b.WriteString(l.Name)
		b.WriteByte(0)
		b.WriteString(l.Value)
		b.WriteByte(0)
	}
	return b.String()
}
