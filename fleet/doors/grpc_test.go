package doors_test

import (
	"cmp"
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ghostlight/buffer"
	"ghostlight/fleet/ingest"
)

// request2 is a version 2.0 request with two samples, a histogram and an exemplar.
func request2(t *testing.T) []byte {
	t.Helper()
	ms := now.UnixMilli()
	req := writev2.Request{
		Symbols: []string{"", "__name__", "a", "h"},
		Timeseries: []writev2.TimeSeries{
			{LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Value: 1, Timestamp: ms}, {Value: 2, Timestamp: ms + 1}}, Exemplars: []writev2.Exemplar{{Value: 1}}},
			{LabelsRefs: []uint32{1, 3}, Histograms: []writev2.Histogram{writev2.FromIntHistogram(ms, &histogram.Histogram{Count: 1, Sum: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{1}})}},
		},
	}
	msg, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// dial serves the doors over gRPC and returns a connection to them.
func dial(t *testing.T, r rig) *grpc.ClientConn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.doors.ServeGRPC(ctx, ln) }()
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func authorized(t *testing.T) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

func TestOTLPOverGRPC(t *testing.T) {
	r := newRig(t, nil)
	conn := dial(t, r)
	md := pmetricotlp.NewGRPCClient(conn)
	res, err := md.Export(authorized(t), metrics(t, pmetric.AggregationTemporalityCumulative), grpc.UseCompressor(gzip.Name))
	if err != nil || res.PartialSuccess().RejectedDataPoints() != 0 {
		t.Errorf("metrics: %v", err)
	}
	if res, err = md.Export(authorized(t), metrics(t, pmetric.AggregationTemporalityDelta)); err != nil || res.PartialSuccess().RejectedDataPoints() != 1 {
		t.Errorf("metrics that are rejected: %v", err)
	}
	if _, err = md.Export(authorized(t), metrics(t, pmetric.AggregationTemporalityCumulative), grpc.UseCompressor("zstd")); err != nil {
		t.Errorf("metrics by zstd: %v", err)
	}
	td := ptrace.NewTraces()
	td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	if _, err := ptraceotlp.NewGRPCClient(conn).Export(authorized(t), ptraceotlp.NewExportRequestFromTraces(td)); err != nil {
		t.Errorf("traces: %v", err)
	}
	ld := plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	if _, err := plogotlp.NewGRPCClient(conn).Export(authorized(t), plogotlp.NewExportRequestFromLogs(ld)); err != nil {
		t.Errorf("logs: %v", err)
	}
	lanes := []buffer.Lane{}
	for _, p := range r.parts {
		lanes = append(lanes, p.Lane)
	}
	if !slices.Equal(lanes, []buffer.Lane{buffer.Detail, buffer.Detail, buffer.Traces, buffer.Logs}) || r.samples() != 2 {
		t.Errorf("lanes %v, %d samples", lanes, r.samples())
	}
}

func TestRefusalsOverGRPC(t *testing.T) {
	large := pmetric.NewMetrics()
	large.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetDescription(string(make([]byte, 1<<20)))
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		zip   string
		req   pmetricotlp.ExportRequest
		fail  error
		code  codes.Code
		after time.Duration
	}{
		{"no token", t.Context(), "", metrics(t, pmetric.AggregationTemporalityCumulative), nil, codes.Unauthenticated, 0},
		{"too large", authorized(t), "", pmetricotlp.NewExportRequestFromMetrics(large), nil, codes.ResourceExhausted, 0}, // without a time to wait: never
		{"too large by zstd", authorized(t), "zstd", pmetricotlp.NewExportRequestFromMetrics(large), nil, codes.ResourceExhausted, 0},
		{"over the limit", authorized(t), "", metrics(t, pmetric.AggregationTemporalityCumulative), &ingest.Pressure{Overflow: true, After: time.Second, Says: "x"}, codes.ResourceExhausted, time.Second},
		{"unavailable", authorized(t), "", metrics(t, pmetric.AggregationTemporalityCumulative), &ingest.Pressure{After: 2 * time.Second, Says: "x"}, codes.Unavailable, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.fail = tt.fail
			_, err := pmetricotlp.NewGRPCClient(dial(t, r)).Export(tt.ctx, tt.req, grpc.UseCompressor(cmp.Or(tt.zip, encoding.Identity)))
			st := status.Convert(err)
			var after time.Duration
			for _, d := range st.Details() {
				if info, ok := d.(*errdetails.RetryInfo); ok {
					after = info.RetryDelay.AsDuration()
				}
			}
			if st.Code() != tt.code || after != tt.after {
				t.Errorf("%v, after %s", st, after)
			}
		})
	}
}
