package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/slo"
)

const (
	fleetToken = "fleet-token"
	adminToken = "admin-token"
)

// fleet is a centre that keeps each block once.
type fleet struct {
	url string

	mu      sync.Mutex
	down    bool
	blocks  map[string]bool
	samples map[buffer.Lane]int64
	values  map[string]delta.Sample // latest by name and labels job, lane etc. joined
	records map[string]map[string]delta.Record
	buckets map[string]slo.Bucket // by key, the highest revision
	seqs    map[int64]int         // outcomes by sequence
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{
		blocks: map[string]bool{}, samples: map[buffer.Lane]int64{}, values: map[string]delta.Sample{},
		records: map[string]map[string]delta.Record{}, buckets: map[string]slo.Bucket{}, seqs: map[int64]int{},
	}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

func (f *fleet) setDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		panic(http.ErrAbortHandler)
	}
	if r.Header.Get("Authorization") != "Bearer "+fleetToken {
		http.Error(w, `{"error":"token"}`, http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.URL.Path == wire.HeartbeatPath {
		json.NewEncoder(w).Encode(wire.HeartbeatReply{ReceivedMS: time.Now().UnixMilli()}) //nolint:errcheck
		return
	}
	h, payload, err := buffer.Open(body)
	if err != nil {
		http.Error(w, `{"error":"block"}`, http.StatusBadRequest)
		return
	}
	batch, err := delta.Decode(payload, delta.DefaultLimits())
	if err != nil {
		http.Error(w, `{"error":"payload"}`, http.StatusBadRequest)
		return
	}
	ack := wire.Ack{Session: h.Session, Lane: h.Lane, Ranges: []wire.Range{{First: h.Seq, Last: h.Seq}}}
	key := fmt.Sprint(h.Session, h.Lane, h.Seq)
	if ack.Duplicate = f.blocks[key]; !ack.Duplicate {
		f.blocks[key] = true
		f.take(h, batch)
	}
	json.NewEncoder(w).Encode(ack) //nolint:errcheck
}

func (f *fleet) take(h buffer.Header, b delta.Batch) {
	f.samples[h.Lane] += int64(b.Samples())
	for _, s := range b.Series {
		var key []string
		for _, l := range s.Labels {
			key = append(key, l.Name+"="+l.Value)
		}
		name, last := strings.Join(key, ","), s.Samples[len(s.Samples)-1]
		if old, ok := f.values[name]; !ok || last.Time >= old.Time { // what waited comes behind what is fresh
			f.values[name] = last
		}
	}
	for _, r := range b.Records {
		if f.records[r.Kind] == nil {
			f.records[r.Kind] = map[string]delta.Record{}
		}
		f.records[r.Kind][r.Key] = r
		switch r.Kind {
		case "slo.bucket":
			if b, err := slo.DecodeBucket(r.Body); err == nil {
				if old, ok := f.buckets[b.Key()]; !ok || b.Supersedes(old) {
					f.buckets[b.Key()] = b
				}
			}
		case "edge.outcomes":
			var page struct{ Outcomes []struct{ Seq int64 } }
			if json.Unmarshal(r.Body, &page) == nil {
				for _, o := range page.Outcomes {
					f.seqs[o.Seq]++
				}
			}
		}
	}
}

// value is the last value of the series with this name and these labels.
func (f *fleet) value(name string, labels ...string) (float64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
next:
	for key, v := range f.values {
		parts := "," + key + ","
		if !strings.Contains(parts, ",__name__="+name+",") {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(parts, ","+l+",") {
				continue next
			}
		}
		return v.Value, true
	}
	return 0, false
}

func (f *fleet) count(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.records[kind])
}

// audits lists action and result of each heal.audit.
func (f *fleet) audits() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{}
	for _, r := range f.records["heal.audit"] {
		var a struct{ Action, Result string }
		if json.Unmarshal(r.Body, &a) == nil {
			out[a.Action+" "+a.Result]++
		}
	}
	return out
}

// total sums the buckets of an objective.
func (f *fleet) total(objective string) (good, total int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.buckets {
		if b.Objective == objective {
			good, total = good+b.Good, total+b.Total
		}
	}
	return good, total
}

// edge is a service with edgecore's admin API.
type edge struct {
	url    string
	series int

	mu       sync.Mutex
	hung     bool
	corrupt  int
	repairs  int
	outcomes []map[string]any
	news     chan struct{}
	scrapes  int
}

func newEdge(t *testing.T, series int) *edge {
	e := &edge{series: series, news: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if e.isHung() {
			http.Error(w, "hung", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /metrics", e.metrics)
	mux.HandleFunc("GET /admin/outcomes", e.serveOutcomes)
	mux.HandleFunc("POST /admin/cache/repair", func(w http.ResponseWriter, _ *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		n := e.corrupt
		e.corrupt = 0
		e.repairs++
		fmt.Fprintf(w, `{"objects":40,"corrupt":%d,"refetched":%d,"failed":0}`, n, n)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.CloseClientConnections)
	e.url = srv.URL
	return e
}

func (e *edge) isHung() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.hung }

func (e *edge) set(change func()) { e.mu.Lock(); defer e.mu.Unlock(); change() }

func (e *edge) metrics(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hung {
		http.Error(w, "hung", http.StatusServiceUnavailable)
		return
	}
	e.scrapes++
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(w, "# HELP edgecore_payments_total Payments.\n# TYPE edgecore_payments_total counter\nedgecore_payments_total{method=\"card\",result=\"captured\"} %d\n", len(e.outcomes))
	fmt.Fprintf(w, "# TYPE edgecore_cache_corrupt_objects gauge\nedgecore_cache_corrupt_objects %d\nedgecore_ledger_writable 1\nedgecore_settlement_oldest_seconds 0\n", e.corrupt)
	fmt.Fprint(w, "# HELP edgecore_http_requests_total Requests.\n# TYPE edgecore_http_requests_total counter\n")
	for i := range e.series {
		fmt.Fprintf(w, "edgecore_http_requests_total{route=\"/v1/route/%d\",method=\"GET\",code=\"200\"} %d\n", i, e.scrapes*i)
	}
}

func (e *edge) sell(n int, good bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range n {
		e.outcomes = append(e.outcomes, map[string]any{
			"seq": len(e.outcomes) + 1, "time_ms": time.Now().UnixMilli(), "kind": "payment", "good": good,
			"amount_minor": 500, "currency": "EUR", "method": "card", "synthetic": false, "subject": "somebody",
		})
	}
	close(e.news)
	e.news = make(chan struct{})
}

func (e *edge) serveOutcomes(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+adminToken {
		http.Error(w, "token", http.StatusUnauthorized)
		return
	}
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	e.mu.Lock()
	news := e.news
	have := len(e.outcomes)
	e.mu.Unlock()
	if after >= have && wait > 0 {
		select {
		case <-news:
		case <-time.After(wait):
		case <-r.Context().Done():
			return
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hung {
		http.Error(w, "hung", http.StatusServiceUnavailable)
		return
	}
	page := e.outcomes[min(after, len(e.outcomes)):]
	json.NewEncoder(w).Encode(map[string]any{"ledger": "ledger-1", "outcomes": page, "head": len(e.outcomes)}) //nolint:errcheck
}

// supervisor restarts the edge by mending it.
func newSupervisor(t *testing.T, e *edge) string {
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/units/edgecore-soho/restart" {
			http.NotFound(w, r)
			return
		}
		e.set(func() { e.hung = false })
	})}
	go srv.Serve(ln) //nolint:errcheck
	t.Cleanup(func() { srv.Close() })
	return socket
}
