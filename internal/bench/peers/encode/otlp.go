package main

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/open-telemetry/otel-arrow/go/api/experimental/arrow/v1"
	"github.com/open-telemetry/otel-arrow/go/pkg/config"
	"github.com/open-telemetry/otel-arrow/go/pkg/otel/arrow_record"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"google.golang.org/protobuf/proto"
)

// frame is what gRPC puts before each message.
const frame = 5

// otlp is the collector's own encoder with the zstd that it offers. A request
// travels over gRPC or HTTP; gRPC's frame is counted.
type otlp struct{ requests []pmetric.Metrics }

func (o *otlp) prepare(set *dataSet, blocks [][]scrape) { o.requests = metrics(set, blocks) }

func (o *otlp) encode() (out [][]byte, err error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	var m pmetric.ProtoMarshaler
	for _, r := range o.requests {
		raw, err := m.MarshalMetrics(r)
		if err != nil {
			return nil, err
		}
		out = append(out, z.EncodeAll(raw, make([]byte, frame)))
	}
	return out, nil
}

func (o *otlp) count(messages [][]byte) (n int, err error) {
	z, err := zstd.NewReader(nil)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	var u pmetric.ProtoUnmarshaler
	for _, m := range messages {
		raw, err := z.DecodeAll(m[frame:], nil)
		if err != nil {
			return n, err
		}
		r, err := u.UnmarshalMetrics(raw)
		if err != nil {
			return n, err
		}
		n += samplesOf(r)
	}
	return n, nil
}

// arrow is OTel Arrow on one stream that stays open, compressed either in its
// columns, as the library does by itself, or message by message, as the exporter
// of the collector does.
type arrow struct {
	columns  bool
	requests []pmetric.Metrics
}

func (a *arrow) prepare(set *dataSet, blocks [][]scrape) { a.requests = metrics(set, blocks) }

func (a *arrow) encode() (out [][]byte, err error) {
	option := config.WithNoZstd()
	if a.columns {
		option = config.WithZstd()
	}
	p := arrow_record.NewProducerWithOptions(option)
	defer func() { err = firstOf(err, p.Close()) }()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	for _, r := range a.requests {
		batch, err := p.BatchArrowRecordsFromMetrics(r)
		if err != nil {
			return nil, err
		}
		raw, err := proto.Marshal(batch)
		if err != nil {
			return nil, err
		}
		if a.columns {
			out = append(out, append(make([]byte, frame), raw...))
		} else {
			out = append(out, z.EncodeAll(raw, make([]byte, frame)))
		}
	}
	return out, nil
}

func (a *arrow) count(messages [][]byte) (n int, err error) {
	z, err := zstd.NewReader(nil)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	c := arrow_record.NewConsumer()
	defer func() { err = firstOf(err, c.Close()) }()
	for i, m := range messages {
		raw := m[frame:]
		if !a.columns {
			if raw, err = z.DecodeAll(raw, nil); err != nil {
				return n, err
			}
		}
		var batch v1.BatchArrowRecords
		if err := proto.Unmarshal(raw, &batch); err != nil {
			return n, err
		}
		all, err := c.MetricsFrom(&batch)
		if err != nil {
			return n, fmt.Errorf("message %d: %w", i, err)
		}
		for _, r := range all {
			n += samplesOf(r)
		}
	}
	return n, nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
