package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"ghostlight/buffer/delta"
)

// A dataSet is a recorded node: what its scrapes showed.
type dataSet struct {
	series  []series
	scrapes []scrape
	samples int
}

type series struct {
	text, kind string
	labels     []delta.Label
}

// A scrape is what one reading showed; series are indexes into dataSet.series.
type scrape struct {
	time   int64
	series []int
	values []string // as recorded: exact
}

var kinds = map[string]delta.Type{"counter": delta.Counter, "gauge": delta.Gauge, "histogram": delta.Histogram, "summary": delta.Summary}

// readDataSet reads a gzip file of S lines, which declare series, and V lines,
// their samples.
func readDataSet(path string) (*dataSet, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("data set: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("data set %s: %w", path, err)
	}
	set, line, err := scanDataSet(z)
	if err != nil {
		return nil, fmt.Errorf("data set %s:%d: %w", path, line, err)
	}
	return set, nil
}

func scanDataSet(r io.Reader) (set *dataSet, line int, err error) {
	set = &dataSet{}
	ids, text := map[string]int{}, parser.NewParser(parser.Options{})
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line++
		f := strings.Split(lines.Text(), "\t")
		switch {
		case len(f) == 4 && f[0] == "S":
			l, err := text.ParseMetric(f[3])
			if err != nil {
				return nil, line, err
			}
			s := series{text: f[3], kind: f[2]}
			l.Range(func(l labels.Label) { s.labels = append(s.labels, delta.Label{Name: l.Name, Value: l.Value}) })
			ids[f[1]] = len(set.series)
			set.series = append(set.series, s)
		case len(f) == 4 && f[0] == "V":
			t, err := strconv.ParseInt(f[1], 10, 64)
			id, known := ids[f[2]]
			if _, wrong := strconv.ParseFloat(f[3], 64); err != nil || wrong != nil || !known {
				return nil, line, fmt.Errorf("%q is no sample of a declared series", lines.Text())
			}
			if n := len(set.scrapes); n == 0 || set.scrapes[n-1].time != t {
				set.scrapes = append(set.scrapes, scrape{time: t})
			}
			s := &set.scrapes[len(set.scrapes)-1]
			s.series, s.values = append(s.series, id), append(s.values, f[3])
			set.samples++
		default:
			return nil, line, fmt.Errorf("want S or V and three fields, separated by tabs")
		}
	}
	if err := lines.Err(); err != nil {
		return nil, line, err
	}
	if set.samples == 0 {
		return nil, line, fmt.Errorf("it has no samples")
	}
	return set, line, nil
}

// batch is scrape i as the agent's scraper makes it, at a time of its own.
func (s *dataSet) batch(i int, ms int64) delta.Batch {
	sc := s.scrapes[i%len(s.scrapes)]
	b := delta.Batch{Series: make([]delta.Series, len(sc.series))}
	for k, id := range sc.series {
		v, _ := strconv.ParseFloat(sc.values[k], 64) // was checked when it was read
		b.Series[k] = delta.Series{
			Labels: s.series[id].labels, Meta: delta.Meta{Type: kinds[s.series[id].kind]},
			Samples: []delta.Sample{{Time: ms, Value: v}},
		}
	}
	return b
}
