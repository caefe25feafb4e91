package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"ghostlight/buffer/delta"
	"ghostlight/internal/dataset"
)

// small is a data set of two scrapes.
const small = `S	0	counter	sold_total{job="till"}
S	1	histogram	took_bucket{job="till",le="1"}
S	2	histogram	took_bucket{job="till",le="+Inf"}
S	3	histogram	took_sum{job="till"}
S	4	histogram	took_count{job="till"}
S	5	gauge	open{job="till"}
V	1000	0	1
V	1000	5	1
V	1000	1	2
V	1000	2	3
V	1000	3	4.25
V	1000	4	3
V	6003	0	2
V	6003	5	0.1
`

func smallSet(t *testing.T) *dataset.Set {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, small)
	z.Close()
	path := filepath.Join(t.TempDir(), "small.tsv.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := dataset.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestSectionsAreReplacedInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "BENCHMARKS.md")
	put := func(name, text string) {
		t.Helper()
		if err := writeSection(path, name, "About "+name, text); err != nil {
			t.Fatal(err)
		}
	}
	put("wire", "first")
	put("disk", "second")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(before), "## About wire", "Words of a person.\n\n## About wire", 1)
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	put("wire", "third")
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Replace(edited, "first", "third", 1), string(got)); diff != "" {
		t.Errorf("the file differs (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(path, bytes.Replace(got, []byte("<!-- /bench:wire -->"), nil, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeSection(path, "wire", "About wire", "fourth"); err == nil || !strings.Contains(err.Error(), "section wire") {
		t.Errorf("a lost marker: %v, want an error that names the section", err)
	}
}

func TestTableIsAligned(t *testing.T) {
	tab := table{rows: [][]string{{"", "bytes"}, {"longer name", "1.2"}, {"x"}}}
	want := "" +
		"|             | bytes |\n" +
		"| ----------- | ----: |\n" +
		"| longer name | 1.2   |\n" +
		"| x           |       |\n"
	if diff := cmp.Diff(want, tab.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestReplayShowsTheScrapesInOrder(t *testing.T) {
	set := smallSet(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newReplay(set, ln, 1)
	t.Cleanup(r.close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for n, want := range []map[string]float64{
		{`sold_total{job="till"}`: 1, `open{job="till"}`: 1, `took_bucket{job="till",le="1"}`: 2, `took_bucket{job="till",le="+Inf"}`: 3, `took_sum{job="till"}`: 4.25, `took_count{job="till"}`: 3, `bench_reading{job="bench"}`: 1},
		{`sold_total{job="till"}`: 2, `open{job="till"}`: 0.1, `bench_reading{job="bench"}`: 2},
	} {
		resp, err := http.Get("http://" + r.addr + "/reader/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, parse(t, text)); diff != "" {
			t.Errorf("scrape %d (-want +got):\n%s", n+1, diff)
		}
	}
	if scrapes, samples := r.shown("reader"); scrapes != 2 || samples != 10 {
		t.Errorf("counted %d scrapes and %d samples, want 2 and 10", scrapes, samples)
	}
	if scrapes, _ := r.shown("another"); scrapes != 0 {
		t.Errorf("another reader is counted %d scrapes", scrapes)
	}
}

// parse reads Prometheus' text format, and refuses a family that is torn apart.
func parse(t *testing.T, text []byte) map[string]float64 {
	t.Helper()
	got, families := map[string]float64{}, map[string]bool{}
	p := textparse.NewPromParser(text, labels.NewSymbolTable(), false)
	for {
		entry, err := p.Next()
		switch {
		case err == io.EOF: //nolint:errorlint // as the parser says it
			return got
		case err != nil:
			t.Fatalf("%v in\n%s", err, text)
		case entry == textparse.EntryType:
			name, _ := p.Type()
			if families[string(name)] {
				t.Errorf("family %s is there twice", name)
			}
			families[string(name)] = true
		case entry == textparse.EntrySeries:
			series, _, v := p.Series()
			got[string(series)] = v
		}
	}
}

func TestScrapesComeOverAndOver(t *testing.T) {
	got := scrapeAt(smallSet(t), 3, 77)
	want := delta.Batch{Series: []delta.Series{
		{Labels: []delta.Label{{Name: "__name__", Value: "sold_total"}, {Name: "job", Value: "till"}}, Meta: delta.Meta{Type: delta.Counter}, Samples: []delta.Sample{{Time: 77, Value: 2}}},
		{Labels: []delta.Label{{Name: "__name__", Value: "open"}, {Name: "job", Value: "till"}}, Meta: delta.Meta{Type: delta.Gauge}, Samples: []delta.Sample{{Time: 77, Value: 0.1}}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
}

func TestWhatIsMissingIsSaidAtOnce(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	chosen, err := choose("disk, wire")
	if err != nil {
		t.Fatal(err)
	}
	err = (&bench{ours: "nowhere", peers: "nowhere"}).ready(chosen)
	for _, want := range []string{"no data set", "section disk needs prometheus: apt-get install prometheus", "run make build", "peer vmagent is not built"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant it to say %q", err, want)
		}
	}
	if _, err := choose("wires"); err == nil || !strings.Contains(err.Error(), "wire, disk, agent, day, fresh, payments, page, contest, ledger, rules") {
		t.Errorf("an unknown section: %v, want the list of those that exist", err)
	}
}

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i))
	}
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 50, 0.99: 99, 1: 99} {
		if got := quantile(hundred, q); got != want {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
}

func TestMetricSumsWhatAProgramShows(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "rows_total{type=\"a\"} 2\nrows_total{type=\"b\"} 3.5\nrows_total_other 100\n")
	})}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	url := "http://" + ln.Addr().String()
	if got, err := metric(url, "rows_total"); err != nil || got != 5.5 {
		t.Errorf("sum is %v, %v; want 5.5", got, err)
	}
	if _, err := metric(url, "rows"); err == nil {
		t.Error("a metric that is not there has a value")
	}
}
