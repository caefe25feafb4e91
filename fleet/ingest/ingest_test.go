package ingest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/store"
	"ghostlight/fleet/tsdb"
)

var (
	soho   = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}
	camden = buffer.Source{Region: "uk", Venue: "camden", Node: "camden-1"}
)

const (
	sohoToken   = "token of soho"
	camdenToken = "token of camden"
	session     = buffer.Session(1 << 63) // beyond what SQLite's integers hold without care
)

// The time series database, whose types ingest speaks, starts goroutines as it is
// linked in; those are not ours.
func TestMain(m *testing.M) {
	if os.Getenv(nodesEnv) == "" {
		goleak.VerifyTestMain(closing{m}, goleak.IgnoreCurrent())
	}
	if err := beNodes(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// closing looks for no leaks after a benchmark that opened the database, which
// never ends all it began.
type closing struct{ m *testing.M }

func (c closing) Run() int {
	code := c.m.Run()
	if series.db != nil {
		closeSeries()
		os.Exit(code)
	}
	return code
}

// memory is a SeriesStore that keeps samples as a set.
type memory struct {
	mu       sync.Mutex
	held     map[string]float64
	newest   int64 // samples after it are too new
	oldest   int64
	err      error
	barriers int
	tried    chan struct{} // capacity 1: an insert failed
}

func (m *memory) Insert(_ context.Context, src buffer.Source, names uint64, batches ...delta.Batch) ([]tsdb.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		select {
		case m.tried <- struct{}{}:
		default:
		}
		return nil, m.err
	}
	out := make([]tsdb.Result, len(batches))
	for n, b := range batches {
		if hash := delta.NamesHash(b.Series); hash != names && (names != 0 || n > 0) {
			return nil, fmt.Errorf("batch %d has names %x, not %x", n, hash, names)
		}
		out[n] = m.insert(src, b)
	}
	return out, nil
}

// insert stores one batch. m.mu is held.
func (m *memory) insert(src buffer.Source, b delta.Batch) (res tsdb.Result) {
	for _, s := range b.Series {
		late, old := s, s
		late.Samples, old.Samples = nil, nil
		for _, smp := range s.Samples {
			switch {
			case smp.Time > m.newest:
				late.Samples = append(late.Samples, smp)
			case smp.Time < m.oldest:
				old.Samples = append(old.Samples, smp)
			default:
				m.held[fmt.Sprint(src, s.Labels, smp.Time)] = smp.Value
				res.Stored++
			}
		}
		if len(late.Samples) > 0 {
			res.TooNew.Series = append(res.TooNew.Series, late)
		}
		if len(old.Samples) > 0 {
			res.TooOld.Series = append(res.TooOld.Series, old)
		}
	}
	return res
}

func (m *memory) Barrier(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.barriers++
	return m.err
}

func (m *memory) set(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn()
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.held)
}

// signs counts what Nodes is told.
type signs struct {
	mu                          sync.Mutex
	heard, conflicts, malformed map[buffer.Source]int
	beaten                      map[buffer.Source]int
	beats                       []wire.Heartbeat
}

func (s *signs) Heard(src buffer.Source) error     { return s.add(s.heard, src) }
func (s *signs) Conflict(src buffer.Source) error  { return s.add(s.conflicts, src) }
func (s *signs) Malformed(src buffer.Source) error { return s.add(s.malformed, src) }

func (s *signs) add(to map[buffer.Source]int, src buffer.Source) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	to[src]++
	return nil
}

func (s *signs) Heartbeat(_ buffer.Source, hb wire.Heartbeat) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beats = append(s.beats, hb)
	return time.UnixMilli(4242), nil
}

func (s *signs) Beat(src buffer.Source, _ int64) (time.Time, error) {
	return time.UnixMilli(4242), s.add(s.beaten, src)
}

func (s *signs) of(counts map[buffer.Source]int, src buffer.Source) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return counts[src]
}

// notes is an Applier of kind "note" that refuses bodies "bad", and cannot take
// "poison" and "panic" unless it is cured.
type notes struct {
	mu    sync.Mutex
	calls int
	err   error
	cured bool
}

func (n *notes) set(fn func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fn()
}

func (n *notes) Kinds() []string { return []string{"note"} }

func (n *notes) Apply(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls++
	if n.err != nil {
		return n.err
	}
	switch body := string(rec.Body); {
	case body == "poison" && !n.cured:
		return errors.New("nobody foresaw this")
	case body == "panic" && !n.cured:
		panic("nobody foresaw this")
	case body == "bad":
		return fmt.Errorf("%w: a bad note", store.ErrMalformed)
	}
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO notes VALUES (?, ?)`, src.String(), rec.Key)
	return err
}

type ignorant struct{}

func (ignorant) Learn(context.Context, []delta.Series) error { return nil }

// A rig is an Ingest over fakes, in a folder that outlives it.
type rig struct {
	*Ingest
	t      testing.TB
	dir    string
	series *memory
	signs  *signs
	notes  *notes
	store  *store.Store
	url    string
	client *http.Client
	cancel func() // what the fleet is told that stops
	stop   func()
}

func newRig(t testing.TB, dir string, change func(*Options)) *rig {
	t.Helper()
	r := &rig{
		t: t, dir: dir, series: &memory{held: map[string]float64{}, newest: math.MaxInt64, oldest: math.MinInt64, tried: make(chan struct{}, 1)}, notes: &notes{},
		signs: &signs{heard: map[buffer.Source]int{}, conflicts: map[buffer.Source]int{}, malformed: map[buffer.Source]int{}, beaten: map[buffer.Source]int{}},
	}
	var err error
	if r.store, err = store.Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Migrate(t.Context(), `CREATE TABLE IF NOT EXISTS notes (source TEXT, key TEXT, PRIMARY KEY (source, key))`); err != nil {
		t.Fatal(err)
	}
	identify, err := NewTokens(map[buffer.Source]string{soho: sohoToken, camden: camdenToken})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Dir: dir, Store: r.store, Series: r.series, Nodes: r.signs, Appliers: []Applier{r.notes}, Learner: ignorant{},
		Identify: identify, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&o)
	}
	if r.Ingest, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r.cancel = cancel
	srv := httptest.NewUnstartedServer(r.Handler())
	Tune(srv.Config)
	srv.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	srv.Start()
	r.url, r.client = srv.URL, srv.Client()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		srv.Close()
		if err := errors.Join(<-done, r.Close(), r.store.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// block seals a batch of n samples, whose values tell the block, and records.
func block(t *testing.T, lane buffer.Lane, seq buffer.Seq, n int, records ...delta.Record) []byte {
	t.Helper()
	s := delta.Series{Labels: []delta.Label{{Name: "__name__", Value: "m"}, {Name: "lane", Value: lane.String()}}}
	for i := range n {
		s.Samples = append(s.Samples, delta.Sample{Time: int64(seq)*1000 + int64(i), Value: float64(seq)})
	}
	b := delta.Batch{Records: records}
	if n > 0 {
		b.Series = []delta.Series{s}
	}
	return seal(t, lane, seq, b)
}

func seal(t *testing.T, lane buffer.Lane, seq buffer.Seq, b delta.Batch) []byte {
	t.Helper()
	payload, err := delta.Encode(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	lo, hi := b.TimeRange()
	return buffer.Seal(buffer.Header{
		Kind: buffer.SelfContained, Lane: lane, Session: session, Seq: seq, MinTime: lo, MaxTime: hi,
		Samples: uint32(b.Samples()), Records: uint32(len(b.Records)),
	}, payload)
}

func (r *rig) post(path, token string, body []byte) (status int, answer string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if later := res.StatusCode == http.StatusServiceUnavailable || res.StatusCode == http.StatusTooManyRequests; later != (res.Header.Get("Retry-After") != "") {
		r.t.Errorf("status %d with Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	return res.StatusCode, string(text)
}

// send posts a block of soho and expects it to be taken.
func (r *rig) send(body []byte) {
	r.t.Helper()
	if status, answer := r.post(wire.BlocksPath, sohoToken, body); status != http.StatusOK {
		r.t.Fatalf("block was answered %d: %s", status, answer)
	}
}

func (r *rig) settle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	if err := r.Settle(ctx); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) metric(name string) float64 {
	r.t.Helper()
	families, err := r.o.Metrics.(*prometheus.Registry).Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
