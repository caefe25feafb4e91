package evidence

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// A Reason says why spans or lines were dropped.
type Reason string

// The reasons.
const (
	NoTrace   Reason = "no_trace"  // they belong to no trace, so to no evidence
	Unclaimed Reason = "unclaimed" // no failed journey or incident claimed them in time
	HoldFull  Reason = "hold_full" // too much waited to be claimed
	Expired   Reason = "expired"   // kept for as long as evidence is
	KeepFull  Reason = "keep_full" // the oldest, where more was kept than is allowed
)

// dropped counts spans and lines since the start. A record that is applied again
// after a failed commit counts its loose lines again.
type dropped struct{ units *prometheus.CounterVec }

func newDropped() dropped {
	return dropped{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ghostlight_fleet_evidence_dropped_total", Help: "Spans and log lines dropped, by kind of record and why.",
	}, []string{"kind", "reason"})}
}

func (d dropped) add(kind string, why Reason, n int64) {
	if n > 0 {
		d.units.WithLabelValues(kind, string(why)).Add(float64(n))
	}
}

func bytesDesc() *prometheus.Desc {
	return prometheus.NewDesc("ghostlight_fleet_evidence_bytes", "Bytes of spans and log lines held, waiting to be claimed, and kept as evidence.", []string{"state"}, nil)
}

// Describe implements [prometheus.Collector].
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	s.dropped.units.Describe(ch)
	ch <- bytesDesc()
}

// Collect implements [prometheus.Collector].
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	s.dropped.units.Collect(ch)
	held, kept, err := s.size(context.Background())
	if err != nil {
		ch <- prometheus.NewInvalidMetric(bytesDesc(), err)
		return
	}
	ch <- prometheus.MustNewConstMetric(bytesDesc(), prometheus.GaugeValue, float64(held), "held")
	ch <- prometheus.MustNewConstMetric(bytesDesc(), prometheus.GaugeValue, float64(kept), "kept")
}

// size is the bytes held and kept now.
func (s *Store) size(ctx context.Context) (held, kept int64, err error) {
	err = s.o.Store.Read().QueryRowContext(ctx, `SELECT coalesce(sum(CASE WHEN kept THEN 0 ELSE length(body) END), 0),
		coalesce(sum(CASE WHEN kept THEN length(body) ELSE 0 END), 0) FROM evidence_parts`).Scan(&held, &kept)
	return held, kept, err
}
