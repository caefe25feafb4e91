package app

import (
	"context"
	"net"

	"ghostlight/fleet/config"
	"ghostlight/fleet/doors"
	"ghostlight/fleet/ingest"
	"ghostlight/internal/daemon"
)

// openDoors opens the doors besides that of blocks, over the same identities.
func (a *App) openDoors(r *rooms, identify ingest.Identifier) (err error) {
	limits := doors.DefaultLimits()
	limits.Bytes = int64(a.cfg.Limits.RequestBytes)
	limits.PerBlock = a.cfg.Limits.SeriesPerBlock
	r.doors, err = doors.New(doors.Options{
		Identify: identify, Journal: r.ingest, Heard: r.nodes.Heard, Retention: a.cfg.Retention.D(),
		Limits: limits, Metrics: r.metrics, Log: a.log,
	})
	return err
}

// listenOTLP opens the listener of OTLP over gRPC; nil where it is off.
func (a *App) listenOTLP(ctx context.Context) (net.Listener, error) {
	if a.cfg.OTLP.GRPC == "" {
		return nil, nil
	}
	return daemon.Listen(ctx, a.cfg.OTLP.GRPC)
}

func nodeLimits(cfg config.Config) ingest.NodeLimits {
	n := cfg.Limits.Node
	return ingest.NodeLimits{Series: n.Series, BytesPerSecond: int64(n.BytesPerSecond), SamplesPerSecond: n.SamplesPerSecond}
}
