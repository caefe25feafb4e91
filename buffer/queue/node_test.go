package queue_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
)

// dataSet names a recorded node for the benchmarks, one scrape every 5 s, in
// lines of "S id kind series" and "V time id value"; without it they measure a
// made up one.
const dataSet = "GHOSTLIGHT_DATA"

// A node gives scrapes of one venue's node for ever.
type node struct {
	scrapes [][]queue.Entry
	length  int64 // of all scrapes, Unix milliseconds
	next    int
}

// scrape returns the next scrape, as the entries of one commit. The scrapes begin
// anew when they are at their end, later.
func (n *node) scrape() []queue.Entry {
	round := int64(n.next / len(n.scrapes))
	from := n.scrapes[n.next%len(n.scrapes)]
	n.next++
	if round == 0 {
		return from
	}
	out := make([]queue.Entry, len(from))
	for i, e := range from {
		out[i].Lane = e.Lane
		for _, s := range e.Batch.Series {
			s.Samples = []delta.Sample{{Time: s.Samples[0].Time + round*n.length, Value: s.Samples[0].Value}}
			out[i].Batch.Series = append(out[i].Batch.Series, s)
		}
	}
	return out
}

func newNode(tb testing.TB) *node {
	tb.Helper()
	if path := os.Getenv(dataSet); path != "" {
		return recorded(tb, path)
	}
	return madeUp(400, 240)
}

// laneOf sorts metrics as an agent would, roughly.
func laneOf(name string) buffer.Lane {
	switch {
	case strings.Contains(name, "payment") || strings.Contains(name, "checkin"):
		return buffer.Revenue
	case name == "up" || strings.Contains(name, "health") || strings.Contains(name, "journey"):
		return buffer.Health
	}
	return buffer.Detail
}

// entries sorts the series of a scrape into lanes.
func entries(series []delta.Series) []queue.Entry {
	var out []queue.Entry
	for _, lane := range buffer.Lanes() {
		e := queue.Entry{Lane: lane}
		for _, s := range series {
			if laneOf(s.Labels[0].Value) == lane {
				e.Batch.Series = append(e.Batch.Series, s)
			}
		}
		if !e.Batch.Empty() {
			out = append(out, e)
		}
	}
	return out
}

// madeUp is a node of so many series whose values move as such values do.
func madeUp(series, scrapes int) *node {
	const every = 15_000
	random := rand.New(rand.NewPCG(11, 12))
	all := make([]delta.Series, series)
	values, rates := make([]float64, series), make([]float64, series)
	for i := range all {
		name, kind := fmt.Sprintf("stage_level_%d", i/20), delta.Gauge
		if rates[i] = math.Floor(math.Exp(random.NormFloat64()*2 - 1)); i%3 > 0 {
			name, kind = fmt.Sprintf("stage_events_%d_total", i/20), delta.Counter
		}
		switch i % 20 {
		case 7:
			name = "payments_total"
		case 9:
			name = "health_signal"
		}
		all[i] = delta.Series{
			Labels: []delta.Label{{Name: "__name__", Value: name}, {Name: "instance", Value: "van-3:9464"}, {Name: "part", Value: strconv.Itoa(i)}},
			Meta:   delta.Meta{Type: kind, Help: "Of the stage."},
		}
	}
	n := &node{length: int64(scrapes) * every}
	for i := range scrapes {
		at := 1_790_000_000_000 + int64(i)*every + int64(random.IntN(6))
		now := slices.Clone(all)
		for j := range now {
			if now[j].Meta.Type == delta.Counter {
				values[j] += math.Floor(rates[j] * random.ExpFloat64())
			} else if random.IntN(4) == 0 {
				values[j] = math.Round((values[j]+random.NormFloat64())*100) / 100
			}
			now[j].Samples = []delta.Sample{{Time: at, Value: values[j]}}
		}
		n.scrapes = append(n.scrapes, entries(now))
	}
	return n
}

var pair = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)

// recorded reads every third scrape of a data set.
func recorded(tb testing.TB, path string) *node {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	kinds := map[string]delta.Type{"counter": delta.Counter, "gauge": delta.Gauge, "histogram": delta.Histogram, "summary": delta.Summary}
	series := map[string]delta.Series{}
	n := &node{}
	var now []delta.Series
	last, first, count := "", int64(0), 0
	flush := func() {
		if count%3 == 0 && len(now) > 0 {
			n.scrapes = append(n.scrapes, entries(now))
		}
		count, now = count+1, nil
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c := strings.SplitN(lines.Text(), "\t", 4)
		if c[0] == "S" {
			name, rest, _ := strings.Cut(c[3], "{")
			s := delta.Series{Meta: delta.Meta{Type: kinds[c[2]]}, Labels: []delta.Label{{Name: "__name__", Value: name}}}
			for _, m := range pair.FindAllStringSubmatch(rest, -1) {
				s.Labels = append(s.Labels, delta.Label{Name: m[1], Value: m[2]})
			}
			slices.SortFunc(s.Labels, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
			series[c[1]] = s
			continue
		}
		at, errAt := strconv.ParseInt(c[1], 10, 64)
		v, errValue := strconv.ParseFloat(c[3], 64)
		s, ok := series[c[2]]
		if errAt != nil || errValue != nil || !ok {
			tb.Fatalf("%s: line %q", path, lines.Text())
		}
		if c[1] != last {
			if last == "" {
				first = at
			} else {
				flush()
			}
			last = c[1]
		}
		n.length = at - first + 5000
		s.Samples = []delta.Sample{{Time: at, Value: v}}
		now = append(now, s)
	}
	flush()
	if err := lines.Err(); err != nil || len(n.scrapes) == 0 {
		tb.Fatalf("%s: %d scrapes: %v", path, len(n.scrapes), err)
	}
	return n
}
