package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// replay is a node that shows a data set: each reader gets the first scrape when
// it comes for the first time, and the next one each time after that.
type replay struct {
	pages   [][]byte
	samples []int
	server  *http.Server
	addr    string

	mu      sync.Mutex // guards what follows
	read    map[string]int
	counted map[string]int
	taken   map[string][]time.Time
}

// newReplay serves every stride-th scrape of the set at http://addr/READER/metrics.
func newReplay(set *dataSet, ln net.Listener, stride int) *replay {
	r := &replay{addr: ln.Addr().String(), read: map[string]int{}, counted: map[string]int{}, taken: map[string][]time.Time{}}
	for i := 0; i < len(set.scrapes); i += stride {
		r.pages = append(r.pages, set.exposition(set.scrapes[i]))
		r.samples = append(r.samples, len(set.scrapes[i].series)+1)
	}
	r.server = &http.Server{Handler: r}
	go r.server.Serve(ln) //nolint:errcheck // ends at close
	return r
}

// replayHere serves the set on loopback.
func replayHere(set *dataSet) (*replay, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve the data set: %w", err)
	}
	return newReplay(set, ln, 1), nil
}

// reading is a gauge of the replay's own: how often this reader has read, so that
// a reading can be found again at the centre.
const reading = "bench_reading"

func (r *replay) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	reader := strings.Split(strings.TrimPrefix(q.URL.Path, "/"), "/")[0]
	r.mu.Lock()
	i := r.read[reader] % len(r.pages)
	r.read[reader]++
	r.counted[reader] += r.samples[i]
	n := r.read[reader]
	r.taken[reader] = append(r.taken[reader], time.Now())
	r.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	w.Write(r.pages[i])                                                            //nolint:errcheck // a reader that goes away reads again
	fmt.Fprintf(w, "# TYPE %[1]s gauge\n%[1]s{job=\"bench\"} %[2]d\n", reading, n) //nolint:errcheck // as above
}

// at is when a reader read for the n-th time, from 1.
func (r *replay) at(reader string, n int) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken[reader][n-1]
}

// shown counts the scrapes and samples that a reader got.
func (r *replay) shown(reader string) (scrapes, samples int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read[reader], r.counted[reader]
}

func (r *replay) close() { r.server.Close() }

// exposition is a scrape in Prometheus' text format.
func (s *dataSet) exposition(sc scrape) []byte {
	order := make([]int, len(sc.series))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return strings.Compare(s.series[sc.series[a]].family(), s.series[sc.series[b]].family())
	})
	var b bytes.Buffer
	last := ""
	for _, i := range order {
		of := s.series[sc.series[i]]
		if f := of.family(); f != last {
			fmt.Fprintf(&b, "# TYPE %s %s\n", f, of.kind)
			last = f
		}
		fmt.Fprintf(&b, "%s %s\n", of.text, sc.values[i])
	}
	return b.Bytes()
}

// family is the name of a series without what a histogram or summary adds.
func (s series) family() string {
	name, _, _ := strings.Cut(s.text, "{")
	if s.kind == "histogram" || s.kind == "summary" {
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			if f, ok := strings.CutSuffix(name, part); ok {
				return f
			}
		}
	}
	return name
}
