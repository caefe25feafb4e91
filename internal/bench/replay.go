package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ghostlight/buffer/delta"
	"ghostlight/internal/dataset"
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
func newReplay(set *dataset.Set, ln net.Listener, stride int) *replay {
	r := &replay{addr: ln.Addr().String(), read: map[string]int{}, counted: map[string]int{}, taken: map[string][]time.Time{}}
	for i := 0; i < len(set.Scrapes); i += stride {
		r.pages = append(r.pages, exposition(set, set.Scrapes[i]))
		r.samples = append(r.samples, len(set.Scrapes[i].Series)+1)
	}
	r.server = &http.Server{Handler: r}
	go r.server.Serve(ln) //nolint:errcheck // ends at close
	return r
}

// replayHere serves the set on loopback.
func replayHere(set *dataset.Set) (*replay, error) {
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
func exposition(set *dataset.Set, sc dataset.Scrape) []byte {
	order := make([]int, len(sc.Series))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return strings.Compare(family(set.Series[sc.Series[a]]), family(set.Series[sc.Series[b]]))
	})
	var b bytes.Buffer
	last := ""
	for _, i := range order {
		of := set.Series[sc.Series[i]]
		if f := family(of); f != last {
			fmt.Fprintf(&b, "# TYPE %s %s\n", f, of.Kind)
			last = f
		}
		fmt.Fprintf(&b, "%s %s\n", of.Text, strconv.FormatFloat(sc.Values[i], 'g', -1, 64))
	}
	return b.Bytes()
}

// family is the name of a series without what a histogram or summary adds.
func family(s dataset.Series) string {
	name, _, _ := strings.Cut(s.Text, "{")
	if s.Kind == "histogram" || s.Kind == "summary" {
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			if f, ok := strings.CutSuffix(name, part); ok {
				return f
			}
		}
	}
	return name
}

// scrapeAt is a scrape of the set, which begins anew after its last, at a time of
// its own.
func scrapeAt(set *dataset.Set, i int, ms int64) delta.Batch {
	sc := set.Scrapes[i%len(set.Scrapes)]
	sc.Time = ms
	return set.Batch([]dataset.Scrape{sc})
}
