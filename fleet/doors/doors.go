// Package doors lets in what agents did not send: Prometheus remote write 1.0 and
// 2.0, and OTLP metrics, traces and logs over HTTP and gRPC, compressed as senders do:
// by snappy or zstd, and by gzip or zstd.
//
// It guarantees that a request answered with success is durable in the journal, and
// that what of it cannot be kept is named in the answer and counted. Size, memory
// and time of a request are bounded before work is done for it, and what one node
// holds of them is bounded, too, so that a broken sender hurts nobody but itself.
// Pressure is answered with "later", never with loss.
//
// It never trusts a payload to say who sent it: data belongs to the node whose
// credential the connection carries. And it never touches the books of agents: what
// came through a door is counted by door.
package doors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"ghostlight/buffer"
	"ghostlight/fleet/ingest"
)

// Paths of the doors over HTTP.
const (
	WritePath   = "/api/v1/write"
	MetricsPath = "/v1/metrics"
	TracesPath  = "/v1/traces"
	LogsPath    = "/v1/logs"
)

// Names of the doors, under which they are counted.
const (
	RemoteWrite = "remote_write"
	OTLP        = "otlp"
)

// A Journal makes what comes through durable; [ingest.Ingest] is one.
type Journal interface {
	// Admit reports, before a request is read, whether it could be taken now. The
	// error is an [ingest.Pressure].
	Admit(src buffer.Source) error
	// Take returns when parts are durable. An [ingest.Pressure] means later; an
	// error that wraps delta.ErrLimit or delta.ErrInvalid means never.
	Take(ctx context.Context, src buffer.Source, door string, bytes int, parts []ingest.Part) error
}

// Options make Doors. Identify, Journal, Heard and Metrics are needed.
type Options struct {
	Identify  ingest.Identifier
	Journal   Journal
	Heard     func(buffer.Source) error // notes a sign of life
	Retention time.Duration             // older samples are refused; 0: none are
	Limits    Limits                    // zero fields: those of [DefaultLimits]
	Metrics   prometheus.Registerer
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default
}

// Limits bound one request.
type Limits struct {
	Bytes      int64         // as it travels and, separately, decompressed
	Memory     int64         // of the batch that it becomes
	Series     int           // of a remote write request
	PerBlock   int           // series in one block; larger requests become several
	Samples    int           // of a request
	LabelBytes int           // of the labels of one series
	Timeout    time.Duration // from its first byte to its answer
}

// DefaultLimits are those of a fleet that was not told otherwise.
func DefaultLimits() Limits {
	return Limits{
		Bytes: 16 << 20, Memory: 48 << 20, Series: 200_000, PerBlock: 50_000, Samples: 1_000_000, LabelBytes: 16 << 10, Timeout: 30 * time.Second,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	l.Bytes, l.Memory, l.Timeout = or(l.Bytes, d.Bytes), or(l.Memory, d.Memory), or(l.Timeout, d.Timeout)
	l.Series, l.PerBlock, l.Samples, l.LabelBytes = or(l.Series, d.Series), or(l.PerBlock, d.PerBlock), or(l.Samples, d.Samples), or(l.LabelBytes, d.LabelBytes)
	return l
}

func or[T int | int64 | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Doors takes requests. Make it with New; it owns no goroutines of its own but
// while ServeGRPC runs.
type Doors struct {
	o       Options
	metrics *metrics
	log     *slog.Logger

	bodies   *semaphore.Weighted // bytes of requests as they travel
	messages *semaphore.Weighted // bytes of requests decompressed, while they are worked on

	mu    sync.Mutex
	nodes map[buffer.Source]*semaphore.Weighted // guarded by mu; bytes that a node has in bodies
	told  map[told]bool                         // guarded by mu; refusals that were logged
}

// told is bounded by the nodes configured times the doors and kinds of refusal.
type told struct {
	source buffer.Source
	door   string
	kind   kind
}

// shares is how many of the largest requests all nodes together may have in flight;
// one node may have one of them, or many small ones.
const shares = 4

// New makes the doors.
func New(o Options) (*Doors, error) {
	if o.Identify == nil || o.Journal == nil || o.Heard == nil || o.Metrics == nil {
		return nil, errors.New("open doors: identifier, journal, heard and metrics are needed")
	}
	o.Limits = o.Limits.withDefaults()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("open doors: %w", err)
	}
	return &Doors{
		o: o, metrics: m, log: o.Log,
		bodies: semaphore.NewWeighted(shares * o.Limits.Bytes), messages: semaphore.NewWeighted(shares * o.Limits.Bytes),
		nodes: map[buffer.Source]*semaphore.Weighted{}, told: map[told]bool{},
	}, nil
}

// Register adds the doors over HTTP to mux.
func (d *Doors) Register(mux *http.ServeMux) {
	mux.Handle("POST "+WritePath, d.door(RemoteWrite, d.serveWrite, plainFault))
	for path, sig := range signals() {
		mux.Handle("POST "+path, d.door(OTLP, d.serveOTLP(sig), otlpFault))
	}
}

// oldest is the time before which samples can never be stored, Unix milliseconds.
// The store itself draws the line a little earlier.
func (d *Doors) oldest(now time.Time) int64 {
	if d.o.Retention <= 0 {
		return 0
	}
	return max(0, now.Add(2*time.Minute-d.o.Retention).UnixMilli())
}

// share is what a node has in flight.
func (d *Doors) share(src buffer.Source) *semaphore.Weighted {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.nodes[src] == nil {
		d.nodes[src] = semaphore.NewWeighted(d.o.Limits.Bytes)
	}
	return d.nodes[src]
}
