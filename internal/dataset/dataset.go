// Package dataset reads and writes recorded nodes: what the scrapes of one showed,
// which commands replay to measure what it costs. It is lossless to the bit but for
// which NaN a NaN is.
//
// A file is gzip over lines of fields that tabs separate. S lines declare the
// series, V lines give their values in the order of time:
//
//	S	ID	KIND	name{label="value"}
//	V	UNIX-MILLISECONDS	ID	VALUE
package dataset

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

// A Set is a recorded node. Make one with [New] or [Read].
type Set struct {
	Series  []Series // in the order they were declared
	Scrapes []Scrape // in the order of time
	Samples int      // of all scrapes

	byID  map[string]int
	byKey map[string]string // the id of a series by its labels
}

// A Series is what an S line declares.
type Series struct {
	ID, Kind, Text string
	Labels         []delta.Label // sorted
	Type           delta.Type
}

// A Scrape is the samples of one timestamp.
type Scrape struct {
	Time   int64 // Unix milliseconds
	Series []int // indexes into Set.Series
	Values []float64
}

// New returns a set of nothing.
func New() *Set {
	return &Set{byID: map[string]int{}, byKey: map[string]string{}}
}

var kinds = map[string]delta.Type{
	"counter": delta.Counter, "gauge": delta.Gauge, "histogram": delta.Histogram, "summary": delta.Summary,
	"info": delta.Info, "stateset": delta.StateSet, "unknown": delta.Unknown, "untyped": delta.Unknown,
}

// Read reads a file, of which at least one sample is expected. Its errors name the
// line.
func Read(path string) (*Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read data set: %w", err)
	}
	defer func() { _ = f.Close() }() // was only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s is not gzip: %w", path, err)
	}
	s, line, err := scan(z)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, line, err)
	}
	return s, nil
}

func scan(r io.Reader) (s *Set, line int, err error) {
	s = New()
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for lines.Scan() {
		line++
		fields := strings.Split(lines.Text(), "\t")
		switch {
		case len(fields) == 4 && fields[0] == "S":
			err = s.Declare(fields[1], fields[2], fields[3])
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
	if s.Samples == 0 {
		return nil, line, errors.New("the data set has no samples")
	}
	return s, line, nil
}

// Declare adds a series in Prometheus' text form, before the first scrape.
func (s *Set) Declare(id, kind, text string) error {
	if len(s.Scrapes) > 0 {
		return errors.New("series is declared after the first sample")
	}
	if _, ok := s.byID[id]; ok {
		return fmt.Errorf("series %s is declared twice", id)
	}
	t, ok := kinds[kind]
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
	s.byID[id] = len(s.Series)
	s.Series = append(s.Series, Series{ID: id, Kind: kind, Text: text, Labels: labels, Type: t})
	return nil
}

func (s *Set) sample(at, id, value string) error {
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
	if n := len(s.Scrapes); n == 0 || s.Scrapes[n-1].Time != t {
		if n > 0 && t < s.Scrapes[n-1].Time {
			return fmt.Errorf("timestamp %d is before %d: samples must be in time order", t, s.Scrapes[n-1].Time)
		}
		s.Scrapes = append(s.Scrapes, Scrape{Time: t})
	}
	last := &s.Scrapes[len(s.Scrapes)-1]
	last.Series = append(last.Series, i)
	last.Values = append(last.Values, v)
	s.Samples++
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

// Append adds a scrape, which is no earlier than the last.
func (s *Set) Append(sc Scrape) {
	s.Scrapes = append(s.Scrapes, sc)
	s.Samples += len(sc.Series)
}

// Blocks cuts the set into batches that each cover some time. Scrapes jitter
// around their schedule: one that comes up to a tenth of a block early counts
// with the next.
func (s *Set) Blocks(each time.Duration) []delta.Batch {
	size := max(each.Milliseconds(), 1)
	slack := min(size/10, 500)
	var out []delta.Batch
	for from := 0; from < len(s.Scrapes); {
		block := (s.Scrapes[from].Time - s.Scrapes[0].Time + slack) / size
		to := from + 1
		for to < len(s.Scrapes) && (s.Scrapes[to].Time-s.Scrapes[0].Time+slack)/size == block {
			to++
		}
		out = append(out, s.Batch(s.Scrapes[from:to]))
		from = to
	}
	return out
}

// Batch joins scrapes; series are in the order they are first seen.
func (s *Set) Batch(scrapes []Scrape) delta.Batch {
	var b delta.Batch
	where := map[int]int{}
	for _, sc := range scrapes {
		for k, i := range sc.Series {
			at, ok := where[i]
			if !ok {
				at = len(b.Series)
				where[i] = at
				b.Series = append(b.Series, delta.Series{
					Labels: s.Series[i].Labels, Meta: delta.Meta{Type: s.Series[i].Type},
					Samples: make([]delta.Sample, 0, len(scrapes)),
				})
			}
			b.Series[at].Samples = append(b.Series[at].Samples, delta.Sample{Time: sc.Time, Value: sc.Values[k]})
		}
	}
	return b
}

// Write prints decoded samples in the format and order of the file.
func (s *Set) Write(out io.Writer, decoded []delta.Batch) error {
	z := gzip.NewWriter(out)
	w := bufio.NewWriter(z)
	queues := map[string][]delta.Sample{}
	for _, b := range decoded {
		for i := range b.Series {
			key := seriesKey(b.Series[i].Labels)
			queues[key] = append(queues[key], b.Series[i].Samples...)
		}
	}
	keys := make([]string, len(s.Series))
	for i, d := range s.Series {
		keys[i] = seriesKey(d.Labels)
		_, _ = fmt.Fprintf(w, "S\t%s\t%s\t%s\n", d.ID, d.Kind, d.Text) // Flush reports it
	}
	for _, sc := range s.Scrapes {
		for _, i := range sc.Series {
			q := queues[keys[i]]
			if len(q) == 0 {
				return fmt.Errorf("a sample of series %s is missing", s.Series[i].ID)
			}
			queues[keys[i]] = q[1:]
			_, _ = fmt.Fprintf(w, "V\t%d\t%s\t%s\n", q[0].Time, s.Series[i].ID, strconv.FormatFloat(q[0].Value, 'g', -1, 64))
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
