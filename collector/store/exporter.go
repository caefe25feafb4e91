package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/flatten"
)

// ExporterType is the collector exporter that ends every pipeline.
const ExporterType = "ghostlight"

// ExporterConfig is the exporter's configuration.
type ExporterConfig struct {
	Job      string `mapstructure:"job"`      // label job of metrics whose resource names no service
	Instance string `mapstructure:"instance"` // and their label instance
}

// Exporter adapts the sink to the collector: metrics are flattened to series,
// traces and logs go to [Options.Traces] and [Options.Logs] or, without these,
// become records of OTLP protobuf as they are. An error means that nothing was
// acknowledged and is passed back to the sender, who may send again.
func (s *Sink) Exporter(now func() time.Time) exporter.Factory {
	e := &pipelineEnd{sink: s, now: now}
	stability := component.StabilityLevelStable
	return exporter.NewFactory(
		component.MustNewType(ExporterType),
		func() component.Config { return &ExporterConfig{} },
		exporter.WithMetrics(func(_ context.Context, _ exporter.Settings, c component.Config) (exporter.Metrics, error) {
			cfg, ok := c.(*ExporterConfig)
			if !ok {
				return nil, fmt.Errorf("%T is no exporter configuration", c)
			}
			return metricsEnd{pipelineEnd: e, cfg: *cfg}, nil
		}, stability),
		exporter.WithTraces(func(context.Context, exporter.Settings, component.Config) (exporter.Traces, error) {
			return tracesEnd{pipelineEnd: e}, nil
		}, stability),
		exporter.WithLogs(func(context.Context, exporter.Settings, component.Config) (exporter.Logs, error) {
			return logsEnd{pipelineEnd: e}, nil
		}, stability),
	)
}

// pipelineEnd is what the three exporters share; it has no life cycle.
type pipelineEnd struct {
	component.StartFunc
	component.ShutdownFunc
	sink *Sink
	now  func() time.Time
}

// Capabilities says that what is consumed is left as it is.
func (*pipelineEnd) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

type metricsEnd struct {
	*pipelineEnd
	cfg ExporterConfig
}

func (e metricsEnd) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	res := flatten.Metrics(md, flatten.Options{Job: e.cfg.Job, Instance: e.cfg.Instance, Now: e.now().UnixMilli()})
	e.sink.noteDropped(res.Dropped)
	return explain(e.sink.Write(ctx, res.Batch))
}

type tracesEnd struct{ *pipelineEnd }

// Capabilities says that whoever takes the spans may change them.
func (tracesEnd) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

func (e tracesEnd) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	if e.sink.traces != nil {
		e.sink.traces(td)
		return nil
	}
	return explain(e.sink.Traces(ctx, td, e.now()))
}

type logsEnd struct{ *pipelineEnd }

// Capabilities says that whoever takes the lines may change them.
func (logsEnd) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (e logsEnd) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	if e.sink.logs != nil {
		e.sink.logs(ld)
		return nil
	}
	if ld.LogRecordCount() == 0 {
		return nil
	}
	body, err := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
	if err != nil {
		return consumererror.NewPermanent(fmt.Errorf("encode logs: %w", err))
	}
	return explain(e.sink.Evidence(ctx, buffer.Logs, "otlp.logs", body, e.now()))
}

// Traces stores spans as one record.
func (s *Sink) Traces(ctx context.Context, td ptrace.Traces, now time.Time) error {
	if td.SpanCount() == 0 {
		return nil
	}
	body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		return consumererror.NewPermanent(fmt.Errorf("encode traces: %w", err))
	}
	return s.Evidence(ctx, buffer.Traces, "otlp.traces", body, now)
}

// Evidence stores one OTLP message under a key made of its content, so that a
// repeated request is the same fact.
func (s *Sink) Evidence(ctx context.Context, lane buffer.Lane, kind string, body []byte, now time.Time) error {
	sum := sha256.Sum256(body)
	return s.Commit(ctx, queue.Commit{Entries: []queue.Entry{{Lane: lane, Batch: delta.Batch{Records: []delta.Record{{
		Kind: kind, Key: hex.EncodeToString(sum[:16]), Time: now.UnixMilli(), Body: body,
	}}}}}})
}

// explain marks errors that sending again cannot mend.
func explain(err error) error {
	if errors.Is(err, queue.ErrTooLarge) {
		return consumererror.NewPermanent(err)
	}
	return err
}
