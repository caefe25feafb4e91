package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// dataSet is a recorded node.
type dataSet struct {
	series  []series
	scrapes []scrape
	samples int
}

type series struct {
	kind   string
	labels labels.Labels
}

type scrape struct {
	time   int64
	series []int
	values []float64
}

func read(path string) (*dataSet, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	set, ids, line := &dataSet{}, map[string]int{}, 0
	text := parser.NewParser(parser.Options{})
	for lines := bufio.NewScanner(z); lines.Scan(); {
		line++
		f := strings.Split(lines.Text(), "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("%s:%d: %d fields, want 4", path, line, len(f))
		}
		if f[0] == "S" {
			l, err := text.ParseMetric(f[3])
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, line, err)
			}
			ids[f[1]] = len(set.series)
			set.series = append(set.series, series{f[2], l})
			continue
		}
		t, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		v, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		if n := len(set.scrapes); n == 0 || set.scrapes[n-1].time != t {
			set.scrapes = append(set.scrapes, scrape{time: t})
		}
		s := &set.scrapes[len(set.scrapes)-1]
		s.series, s.values = append(s.series, ids[f[2]]), append(s.values, v)
		set.samples++
	}
	if set.samples == 0 {
		return nil, fmt.Errorf("%s has no samples", path)
	}
	return set, nil
}

// blocks cuts the set into groups of scrapes that each cover some time; jitter of
// up to a tenth of it is forgiven.
func (s *dataSet) blocks(each time.Duration) (out [][]scrape) {
	size := each.Milliseconds()
	slack, last := min(size/10, 500), int64(-1)
	for _, sc := range s.scrapes {
		n := (sc.time - s.scrapes[0].time + slack) / size
		if n != last {
			out, last = append(out, nil), n
		}
		out[len(out)-1] = append(out[len(out)-1], sc)
	}
	return out
}
