package tsdb

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/value"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// db is the one database that a process can open; each test has series of its own.
var db *DB

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse() // before Open takes the flags for its own
	dir, err := os.MkdirTemp("", "tsdb-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if db, err = Open(Options{Dir: dir, Retention: 30 * 24 * time.Hour, MemoryBytes: 16 << 20}); err != nil {
		panic(err)
	}
	defer db.Close()
	return m.Run()
}

var soho = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}

func labels(pairs ...string) []delta.Label {
	var out []delta.Label
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, delta.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

func insert(t *testing.T, src buffer.Source, series ...delta.Series) Result {
	t.Helper()
	res, err := db.Insert(t.Context(), src, 0, delta.Batch{Series: series})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	return res[0]
}

func TestOpensOnce(t *testing.T) {
	if _, err := Open(Options{Dir: t.TempDir(), Retention: 24 * time.Hour, MemoryBytes: 8 << 20}); !errors.Is(err, ErrOpened) {
		t.Errorf("the second database opened with %v", err)
	}
}

func TestOpenRefusesOptions(t *testing.T) {
	for _, o := range []Options{
		{Retention: 24 * time.Hour, MemoryBytes: 8 << 20},
		{Dir: "x", Retention: time.Hour, MemoryBytes: 8 << 20},
		{Dir: "x", Retention: 24 * time.Hour, MemoryBytes: 1},
	} {
		if _, err := Open(o); err == nil || errors.Is(err, ErrOpened) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestIdentityComesFromTheConnection(t *testing.T) {
	now := time.Now()
	at := []delta.Sample{{Time: now.UnixMilli(), Value: 1}}
	insert(t, soho,
		delta.Series{Labels: labels("__name__", "identity", "case", "plain", "empty", ""), Samples: at},
		delta.Series{Labels: labels("__name__", "identity", "case", "claims", "node", "other", "venue", "elsewhere"), Samples: at},
		delta.Series{Labels: labels("__name__", "identity", "case", "twice", "exported_node", "a", "node", "b"), Samples: at},
	)
	found, err := db.Query(t.Context(), `identity`, now)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Labels{}
	for _, p := range found {
		got[p.Labels["case"]] = p.Labels
	}
	with := func(extra ...string) Labels {
		l := Labels{"__name__": "identity", "region": "uk", "venue": "soho", "node": "soho-1"}
		for _, e := range labels(extra...) {
			l[e.Name] = e.Value
		}
		return l
	}
	want := map[string]Labels{
		"plain":  with("case", "plain"),
		"claims": with("case", "claims", "exported_node", "other", "exported_venue", "elsewhere"),
		"twice":  with("case", "twice", "exported_node", "a", "exported_exported_node", "b"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

func TestEverySampleIsAccountedFor(t *testing.T) {
	now := time.Now()
	name := labels("__name__", "accounted")
	fits := []delta.Sample{
		{Time: now.UnixMilli(), Value: 1},
		{Time: now.Add(-29 * 24 * time.Hour).UnixMilli(), Value: 2},
		{Time: now.Add(47 * time.Hour).UnixMilli(), Value: 3},
		{Time: now.UnixMilli() - 1, Value: math.Float64frombits(value.StaleNaN)},
	}
	old := []delta.Sample{{Time: now.Add(-31 * 24 * time.Hour).UnixMilli(), Value: 4}, {Time: -5, Value: 5}}
	late := []delta.Sample{{Time: now.Add(49 * time.Hour).UnixMilli(), Value: 6}, {Time: math.MaxInt64, Value: 7}}
	nan := []delta.Sample{{Time: now.UnixMilli() - 2, Value: math.NaN()}}
	bad := delta.Series{Labels: labels("no", "name"), Samples: fits[:2]}
	long := delta.Series{Labels: labels("__name__", "x", "l", strings.Repeat("x", 1<<16)), Samples: fits[:1]}
	got := insert(t, soho, delta.Series{Labels: name, Samples: slices.Concat(fits, old, late, nan)}, bad, long, delta.Series{Labels: labels("no", "samples")})
	want := Result{
		Stored: len(fits), NaN: len(nan),
		TooOld:  delta.Batch{Series: []delta.Series{{Labels: name, Samples: old}}},
		TooNew:  delta.Batch{Series: []delta.Series{{Labels: name, Samples: late}}},
		Invalid: delta.Batch{Series: []delta.Series{bad, long}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if exported := export(t, `accounted`); len(exported) != len(fits) {
		t.Errorf("%d samples are in the store, want %d: %v", len(exported), len(fits), exported)
	}
}

func TestIntegersAreExactAndRepeatsCollapse(t *testing.T) {
	now := time.Now().Add(-time.Hour).UnixMilli()
	want := map[int64]string{}
	s := delta.Series{Labels: labels("__name__", "exact")}
	for i, v := range []int64{0, 1, 1<<53 - 1, 1 << 53, 123_456_789_012_345, -1 << 53} {
		at := now + int64(i)
		s.Samples = append(s.Samples, delta.Sample{Time: at, Value: float64(v)})
		want[at] = fmt.Sprint(v)
	}
	for range 3 {
		insert(t, soho, s)
	}
	if diff := cmp.Diff(want, export(t, `exact`)); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
}

// export reads the raw samples of one series by time.
func export(t *testing.T, match string) map[int64]string {
	t.Helper()
	params := url.Values{"match[]": {match}, "end": {fmt.Sprint(time.Now().Add(72 * time.Hour).Unix())}}
	rec := httptest.NewRecorder()
	db.ServeExport(rec, httptest.NewRequest(http.MethodGet, "/?"+params.Encode(), nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("export: %d %s", rec.Code, rec.Body)
	}
	out := map[int64]string{}
	for line := range strings.Lines(rec.Body.String()) {
		var series struct {
			Values     []json.Number
			Timestamps []int64
		}
		// A stale marker is exported as null.
		if err := json.Unmarshal([]byte(line), &series); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for i, at := range series.Timestamps {
			if _, ok := out[at]; ok {
				t.Errorf("%s has two samples at %d", match, at)
			}
			out[at] = series.Values[i].String()
		}
	}
	return out
}

// Run shows what was inserted; the database would do so by itself, but later.
func TestWhatIsInsertedIsShown(t *testing.T) {
	at := time.Now().Add(-time.Minute).UnixMilli()
	series := delta.Series{Labels: labels("__name__", "shown"), Samples: []delta.Sample{{Time: at, Value: 7}}}
	if _, err := db.Insert(t.Context(), soho, 0, delta.Batch{Series: []delta.Series{series}}); err != nil {
		t.Fatal(err)
	}
	if !db.hidden.Load() {
		t.Fatal("nobody knows that there is something to show")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- db.Run(ctx) }()
	for db.hidden.Load() {
		runtime.Gosched()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int64]string{at: "7"}, export(t, "shown")); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
}

func TestQueryRange(t *testing.T) {
	end := time.UnixMilli(time.Now().Add(-time.Hour).UnixMilli() / 60_000 * 60_000)
	s := delta.Series{Labels: labels("__name__", "ranged_total")}
	for i := range 21 {
		s.Samples = append(s.Samples, delta.Sample{Time: end.Add(time.Duration(i-20) * 30 * time.Second).UnixMilli(), Value: float64(10 * i)})
	}
	insert(t, soho, s)
	found, err := db.QueryRange(t.Context(), `sum by (venue) (ranged_total)`, end.Add(-2*time.Minute), end, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	want := []Series{{
		Labels: Labels{"venue": "soho"},
		Times:  []time.Time{end.Add(-2 * time.Minute), end.Add(-time.Minute), end},
		Values: []float64{160, 180, 200},
	}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	if found, err = db.QueryRange(t.Context(), `no_such_metric`, end.Add(-time.Minute), end, time.Minute); err != nil || len(found) != 0 {
		t.Errorf("an empty range: %v %v", found, err)
	}
}

func TestQueriesAreRefusedWithAReason(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name, query, error string
		step               time.Duration
	}{
		{"syntax", `sum(`, "sum(", time.Minute},
		{"steps", `up`, "take larger steps", time.Millisecond},
		{"no step", `up`, "no range", 0},
	} {
		if _, err := db.QueryRange(t.Context(), tt.query, now.Add(-time.Hour), now, tt.step); err == nil || !strings.Contains(err.Error(), tt.error) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for range cap(db.queries) {
		db.queries <- struct{}{}
	}
	if _, err := db.Query(canceled, `up`, now); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled query in the queue: %v", err)
	}
	for range cap(db.queries) {
		<-db.queries
	}
	rec := httptest.NewRecorder()
	db.ServeQuery(rec, httptest.NewRequest(http.MethodGet, "/?query=sum(", nil))
	var answer struct{ Status, Error string }
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || rec.Code != http.StatusUnprocessableEntity || answer.Status != "error" {
		t.Errorf("a wrong query over HTTP: %d %s (%v)", rec.Code, rec.Body, err)
	}
}

func TestBarrierLeavesNothingBehind(t *testing.T) {
	// Inserts go on around it, as they do in a fleet.
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				at := []delta.Sample{{Time: time.Now().UnixMilli(), Value: 1}}
				if _, err := db.Insert(t.Context(), soho, 0, delta.Batch{Series: []delta.Series{{Labels: labels("__name__", "barrier", "n", fmt.Sprint(n), "i", fmt.Sprint(i%500)), Samples: at}}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		if err := db.Barrier(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	if err := db.Barrier(t.Context()); err != nil {
		t.Error(err)
	}
	if left := inMemory(); left != 0 {
		t.Errorf("%d rows and items are left in memory", left)
	}
	canceled, cancel := context.WithCancel(t.Context())
	db.inserts <- struct{}{} // an insert that does not end
	cancel()
	if err := db.Barrier(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("a barrier given up: %v", err)
	}
	if <-db.inserts; len(db.inserts) != 0 {
		t.Error("inserts are still held back")
	}
	if got := snapshots(); len(got) != 0 {
		t.Errorf("snapshots are left: %v", got)
	}
}

func TestNamesAreCachedWithinBounds(t *testing.T) {
	var n names
	first, err := n.raw(soho, labels("__name__", "x", "i", "0"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxNames {
		if _, err := n.raw(soho, labels("__name__", "x", "i", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if len(n.young) > maxNames || len(n.old) > maxNames {
			t.Fatalf("the cache holds %d and %d names", len(n.young), len(n.old))
		}
	}
	again, err := n.raw(soho, labels("__name__", "x", "i", "0"))
	if err != nil || string(again) != string(first) {
		t.Errorf("the name changed from %q to %q (%v)", first, again, err)
	}
	other, err := n.raw(buffer.Source{Region: "uk", Venue: "soho", Node: "soho-2"}, labels("__name__", "x", "i", "0"))
	if err != nil || string(other) == string(first) {
		t.Errorf("two nodes share the name %q (%v)", other, err)
	}
}
