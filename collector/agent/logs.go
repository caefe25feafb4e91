package agent

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// collectorTelemetry makes the collector log warnings and errors through ours and
// measure nothing: the agent's own metrics go through the buffer like all others.
func collectorTelemetry(log *slog.Logger) telemetry.Factory {
	return telemetry.NewFactory(
		func() component.Config { return &struct{}{} },
		telemetry.WithCreateLogger(func(context.Context, telemetry.LoggerSettings, component.Config) (*zap.Logger, component.ShutdownFunc, error) {
			return zap.New(bridge{log: log.Handler()}), nil, nil
		}),
	)
}

// bridge is a zap core that hands warnings and errors to slog.
type bridge struct{ log slog.Handler }

func (bridge) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	return bridge{b.log.WithAttrs(attrs(fields))}
}

func (b bridge) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return c.AddCore(e, b)
	}
	return c
}

func (b bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelError
	}
	r := slog.NewRecord(e.Time, level, e.Message, 0)
	r.AddAttrs(attrs(fields)...)
	return b.log.Handle(context.Background(), r)
}

func (bridge) Sync() error { return nil }

// attrs keeps what helps a reader and leaves out the collector's own identity.
func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	out := make([]slog.Attr, 0, len(enc.Fields))
	for _, k := range slices.Sorted(maps.Keys(enc.Fields)) {
		switch k {
		case "resource", "otelcol.signal", "otelcol.component.kind":
		case "otelcol.component.id":
			out = append(out, slog.Any("component", enc.Fields[k]))
		default:
			out = append(out, slog.Any(k, enc.Fields[k]))
		}
	}
	return out
}
