package doors_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.uber.org/goleak"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/doors"
	"ghostlight/fleet/ingest"
)

// The time series database, whose types ingest speaks, starts goroutines as it is
// linked in; those are not ours.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

var soho = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}

const token = "token of soho"

// now is the time of the tests: samples an hour older are before the retention.
var now = time.UnixMilli(10_000_000_000)

// book is a Journal that keeps what it is given.
type book struct {
	mu    sync.Mutex
	admit error
	fail  error
	parts []ingest.Part
	door  string
	bytes int
}

func (b *book) Admit(buffer.Source) error { return b.admit }

func (b *book) Take(_ context.Context, src buffer.Source, door string, bytes int, parts []ingest.Part) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil || src != soho {
		return b.fail
	}
	b.parts, b.door, b.bytes = append(b.parts, parts...), door, b.bytes+bytes
	return nil
}

func (b *book) samples() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.parts {
		n += p.Batch.Samples()
	}
	return n
}

type rig struct {
	*book
	doors   *doors.Doors
	url     string
	metrics *prometheus.Registry
	heard   *int
}

func newRig(t *testing.T, change func(*doors.Options)) rig {
	t.Helper()
	identify, err := ingest.NewTokens(map[buffer.Source]string{soho: token})
	if err != nil {
		t.Fatal(err)
	}
	r := rig{book: &book{}, metrics: prometheus.NewRegistry(), heard: new(int)}
	o := doors.Options{
		Identify: identify, Journal: r.book, Heard: func(buffer.Source) error { *r.heard++; return nil }, Retention: time.Hour,
		Limits: doors.Limits{Bytes: 1 << 20, PerBlock: 2}, Metrics: r.metrics, Now: func() time.Time { return now },
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&o)
	}
	if r.doors, err = doors.New(o); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	r.doors.Register(mux)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	r.url = srv.URL
	return r
}

// post sends a request with headers given as name, value, ...
func (r rig) post(t *testing.T, path string, body []byte, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return res, string(text)
}

// count is a counter's value with the labels that tell, in order of their names.
func (r rig) counts(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				if l.GetName() != "region" && l.GetName() != "venue" {
					labels = append(labels, l.GetValue())
				}
			}
			out[strings.Join(labels, " ")] = m.Counter.GetValue()
		}
	}
	return out
}

// write is a remote write request of n series with one sample each, and one more
// that is too old where old.
func write(t *testing.T, n int, old bool) []byte {
	t.Helper()
	var req prompb.WriteRequest
	add := func(name string, at int64) {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}}, Samples: []prompb.Sample{{Value: 1, Timestamp: at}}})
	}
	for i := range n {
		add("m"+string(rune('a'+i)), now.UnixMilli())
	}
	if old {
		add("old", now.UnixMilli()-3_600_000)
	}
	msg, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

const (
	v1 = "application/x-protobuf"
	v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
)

func TestWrite(t *testing.T) {
	r := newRig(t, nil)
	body := snappy.Encode(nil, write(t, 3, false))
	res, text := r.post(t, doors.WritePath, body, "Content-Type", v1, "Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "0.1.0")
	if res.StatusCode != http.StatusNoContent || text != "" || res.Header.Get("X-Prometheus-Remote-Write-Samples-Written") != "" {
		t.Errorf("%s %q %v", res.Status, text, res.Header)
	}
	if len(r.parts) != 2 || r.samples() != 3 || r.door != doors.RemoteWrite || r.bytes != len(body) || r.parts[0].Lane != buffer.Detail || *r.heard != 1 {
		t.Errorf("three series at two a block: %+v", r.book)
	}
	if res, text = r.post(t, doors.WritePath, pack(t, write(t, 3, false), false), "Content-Type", v1, "Content-Encoding", "zstd"); res.StatusCode != http.StatusNoContent || r.samples() != 6 {
		t.Errorf("by zstd: %s %q, %d samples", res.Status, text, r.samples())
	}
	res, text = r.post(t, doors.WritePath, snappy.Encode(nil, write(t, 2, true)), "Content-Type", v1+";proto=prometheus.WriteRequest", "Content-Encoding", "snappy")
	if res.StatusCode != http.StatusBadRequest || r.samples() != 8 || !strings.Contains(text, "1 of the request can never be stored, the rest is; the first: a sample at") {
		t.Errorf("an old sample: %s %q, %d samples", res.Status, text, r.samples())
	}
	if d := cmp.Diff(map[string]float64{"remote_write soho-1 accepted": 2, "remote_write soho-1 partial": 1}, r.counts(t, "ghostlight_fleet_door_requests_total")); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]float64{"remote_write sample taken": 8, "remote_write too_old refused": 1}, r.counts(t, "ghostlight_fleet_door_items_total")); d != "" {
		t.Errorf("items (-want +got):\n%s", d)
	}
}

func TestWriteVersion2SaysWhatWasWritten(t *testing.T) {
	r := newRig(t, nil)
	written := func(res *http.Response) string {
		const prefix = "X-Prometheus-Remote-Write-"
		return res.Header.Get(prefix+"Samples-Written") + "/" + res.Header.Get(prefix+"Histograms-Written") + "/" + res.Header.Get(prefix+"Exemplars-Written")
	}
	res, _ := r.post(t, doors.WritePath, snappy.Encode(nil, request2(t)), "Content-Type", v2, "Content-Encoding", "snappy")
	if res.StatusCode != http.StatusNoContent || written(res) != "2/1/0" {
		t.Errorf("%s %s", res.Status, written(res))
	}
	if d := cmp.Diff(map[string]float64{"remote_write sample taken": 2, "remote_write histogram taken": 1, "remote_write exemplar left_out": 1}, r.counts(t, "ghostlight_fleet_door_items_total")); d != "" {
		t.Errorf("items (-want +got):\n%s", d)
	}
	r.fail = &ingest.Pressure{Reason: "journal_full", After: 7 * time.Second, Says: "full"}
	res, _ = r.post(t, doors.WritePath, snappy.Encode(nil, request2(t)), "Content-Type", v2, "Content-Encoding", "snappy")
	if res.StatusCode != http.StatusServiceUnavailable || written(res) != "0/0/0" || res.Header.Get("Retry-After") != "7" {
		t.Errorf("under pressure: %s %s %v", res.Status, written(res), res.Header)
	}
}

func metrics(t *testing.T, temporality pmetric.AggregationTemporality) pmetricotlp.ExportRequest {
	t.Helper()
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("sold")
	sum := m.SetEmptySum()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(temporality)
	sum.DataPoints().AppendEmpty().SetIntValue(3)
	return pmetricotlp.NewExportRequestFromMetrics(md)
}

func TestOTLPOverHTTP(t *testing.T) {
	for _, tt := range []struct {
		name, media string
		encoding    string
		marshal     func(pmetricotlp.ExportRequest) ([]byte, error)
		read        func(pmetricotlp.ExportResponse, []byte) error
	}{
		{"protobuf", "application/x-protobuf", "", pmetricotlp.ExportRequest.MarshalProto, pmetricotlp.ExportResponse.UnmarshalProto},
		{"JSON", "application/json; charset=utf-8", "", pmetricotlp.ExportRequest.MarshalJSON, pmetricotlp.ExportResponse.UnmarshalJSON},
		{"gzip", "application/x-protobuf", "gzip", pmetricotlp.ExportRequest.MarshalProto, pmetricotlp.ExportResponse.UnmarshalProto},
		{"zstd", "application/x-protobuf", "zstd", pmetricotlp.ExportRequest.MarshalProto, pmetricotlp.ExportResponse.UnmarshalProto},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			for temporality, rejected := range map[pmetric.AggregationTemporality]int64{pmetric.AggregationTemporalityCumulative: 0, pmetric.AggregationTemporalityDelta: 1} {
				body, err := tt.marshal(metrics(t, temporality))
				if err != nil {
					t.Fatal(err)
				}
				headers := []string{"Content-Type", tt.media}
				switch tt.encoding {
				case "gzip":
					body, headers = zip(t, body), append(headers, "Content-Encoding", "gzip")
				case "zstd":
					body, headers = pack(t, body, true), append(headers, "Content-Encoding", "zstd")
				}
				res, text := r.post(t, doors.MetricsPath, body, headers...)
				answer := pmetricotlp.NewExportResponse()
				if err := tt.read(answer, []byte(text)); err != nil || res.StatusCode != http.StatusOK || answer.PartialSuccess().RejectedDataPoints() != rejected {
					t.Errorf("%s %q, %v", res.Status, text, err)
				}
				if !strings.HasPrefix(tt.media, res.Header.Get("Content-Type")) {
					t.Errorf("answered as %s", res.Header.Get("Content-Type"))
				}
			}
			if r.samples() != 1 || r.door != doors.OTLP || len(r.parts) != 1 || r.parts[0].Lane != buffer.Detail {
				t.Errorf("%+v", r.book)
			}
		})
	}
}

func zip(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A request that is not taken is answered by what its sender can do about it.
func TestRefusals(t *testing.T) {
	good := snappy.Encode(nil, write(t, 1, false))
	bomb := snappy.Encode(nil, make([]byte, 1<<20+1))
	over := &ingest.Pressure{Overflow: true, Reason: "series", After: 1500 * time.Millisecond, Says: "too many series"}
	full := &ingest.Pressure{Reason: "disk_full", After: 5 * time.Second, Says: "the disk is full"}
	for _, tt := range []struct {
		name, path  string
		body        []byte
		headers     []string
		admit, fail error
		status      int
		retry, says string
	}{
		{"no token", doors.WritePath, good, []string{"Authorization", ""}, nil, nil, 401, "", "belongs to no node"},
		{"no token, OTLP", doors.LogsPath, nil, []string{"Authorization", "Bearer x"}, nil, nil, 401, "", "belongs to no node"},
		{"not protobuf", doors.WritePath, good, []string{"Content-Type", "text/plain"}, nil, nil, 415, "", "only application/x-protobuf"},
		{"unknown message", doors.WritePath, good, []string{"Content-Type", v1 + ";proto=a.b"}, nil, nil, 415, "", `message "a.b" is not taken`},
		{"gzip", doors.WritePath, good, []string{"Content-Encoding", "gzip"}, nil, nil, 415, "", "only snappy and zstd"},
		{"not snappy", doors.WritePath, []byte("\xff\xff\xff\xff\xff\xff"), nil, nil, nil, 400, "", "not snappy"},
		{"cut snappy", doors.WritePath, good[:len(good)-3], nil, nil, nil, 400, "", "not snappy"},
		{"not a message", doors.WritePath, snappy.Encode(nil, []byte("no")), nil, nil, nil, 400, "", "cannot be read"},
		{"snappy bomb", doors.WritePath, bomb, nil, nil, nil, 413, "", "has 1048577 bytes decompressed, at most 1048576 are taken"},
		{"large", doors.WritePath, make([]byte, 1<<20+1), nil, nil, nil, 413, "", "has 1048577 bytes, at most"},
		{"gzip bomb", doors.TracesPath, zip(t, make([]byte, 1<<20+1)), []string{"Content-Encoding", "gzip"}, nil, nil, 413, "", "more than 1048576 bytes decompressed"},
		{"not gzip", doors.TracesPath, []byte("x"), []string{"Content-Encoding", "gzip"}, nil, nil, 400, "", "not gzip"},
		{"deflate", doors.TracesPath, nil, []string{"Content-Encoding", "deflate"}, nil, nil, 415, "", "only gzip and zstd"},
		{"OTLP as text", doors.MetricsPath, nil, []string{"Content-Type", "text/plain"}, nil, nil, 415, "", "only application/x-protobuf and application/json"},
		{"not OTLP", doors.MetricsPath, []byte("no"), nil, nil, nil, 400, "", "cannot be read"},
		{"over the limit, unread", doors.WritePath, nil, nil, over, nil, 429, "2", "too many series"},
		{"over the limit", doors.WritePath, good, nil, nil, over, 429, "2", "too many series"},
		{"disk full", doors.WritePath, good, nil, nil, full, 503, "5", "the disk is full"},
		{"unknown trouble", doors.WritePath, good, nil, nil, errors.New("secret"), 503, "5", "send it again"},
		{"will never fit", doors.WritePath, good, nil, nil, delta.ErrLimit, 413, "", "limit exceeded"},
		{"will never do", doors.WritePath, good, nil, nil, delta.ErrInvalid, 400, "", "batch is invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.admit, r.fail = tt.admit, tt.fail
			headers := []string{"Content-Type", v1}
			if tt.path == doors.WritePath {
				headers = append(headers, "Content-Encoding", "snappy")
			}
			res, text := r.post(t, tt.path, tt.body, append(headers, tt.headers...)...)
			if tt.path != doors.WritePath {
				var st spb.Status
				if err := proto.Unmarshal([]byte(text), &st); err != nil || st.Code == 0 {
					t.Errorf("OTLP is answered %q, %v", text, err)
				}
			}
			if res.StatusCode != tt.status || res.Header.Get("Retry-After") != tt.retry || !strings.Contains(text, tt.says) {
				t.Errorf("%s, Retry-After %q: %s", res.Status, res.Header.Get("Retry-After"), text)
			}
			if len(r.parts) != 0 {
				t.Errorf("taken all the same: %+v", r.parts)
			}
		})
	}
}

// A node that holds all it may of the memory for requests waits; others do not.
func TestSlowRequestsHurtOnlyTheirNode(t *testing.T) {
	r := newRig(t, func(o *doors.Options) { o.Limits.Timeout = 300 * time.Millisecond })
	pipe, feed := io.Pipe()
	defer feed.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+doors.WritePath, pipe) // of unknown length, and it never ends
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", v1)
	go feed.Write([]byte("x"))
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a request that never ends is answered %s", res.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	// What it held is free again.
	if res, text := r.post(t, doors.WritePath, snappy.Encode(nil, write(t, 1, false)), "Content-Type", v1, "Content-Encoding", "snappy"); res.StatusCode != http.StatusNoContent {
		t.Errorf("afterwards: %s %s", res.Status, text)
	}
}

func TestNewNeedsItsRooms(t *testing.T) {
	if _, err := doors.New(doors.Options{}); err == nil {
		t.Error("doors without a journal were opened")
	}
}
