package sli

import (
	"math"
	"time"

	"ghostlight/slo"
)

// gauge counts samples: one that compares as the objective says is good. It
// remembers nothing; a sample counts in the transaction that stores it.
type gauge struct {
	targets
	slo.GaugeIndicator
}

func newGauge(b *Book, m *meter, i slo.GaugeIndicator) (source, error) {
	return &gauge{targets: newTargets(b), GaugeIndicator: i}, b.index.add(m, inTotal, i.Selector)
}

func (*gauge) ripen(*slo.Tally, time.Time) error { return nil }
func (*gauge) state(bool) map[string][]byte      { return nil }

func (g *gauge) rollback() error {
	g.unread()
	return nil
}

func (g *gauge) clockSet(time.Time) { clear(g.of) }

func (g *gauge) take(t *slo.Tally, target string, at int64, points []point) (string, error) {
	if minuteOf(at) < t.Oldest() {
		return tooOld, nil
	}
	for _, p := range points {
		if math.IsNaN(p.value) {
			g.failed(target, at)
			return notANumber, nil
		}
	}
	for _, p := range points {
		if err := t.Observe(time.UnixMilli(at), g.Op.Holds(p.value, g.Value)); err != nil {
			return "", err
		}
	}
	g.good(target, at)
	return "", nil
}
