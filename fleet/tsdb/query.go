package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/netstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/prometheus"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/promql"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/searchutil"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/querytracer"
)

// ErrBusy means that too many queries are running; ask again.
var ErrBusy = errors.New("too many queries are running; try again")

const (
	queryTimeout = 30 * time.Second
	queueTimeout = 10 * time.Second // how long a query waits for its turn
	maxPoints    = 30_000           // of one series
	instantStep  = 5 * time.Minute  // how far an instant query looks back
)

// Labels are the labels of a series, __name__ included where the query kept it.
type Labels = map[string]string

// A Point is the value of one series at one time.
type Point struct {
	Labels Labels
	Time   time.Time
	Value  float64
}

// A Series is one series of a range query. Times ascend; a step without a value is
// absent.
type Series struct {
	Labels Labels
	Times  []time.Time
	Values []float64
}

// Query evaluates a PromQL expression at one time.
func (d *DB) Query(ctx context.Context, query string, at time.Time) ([]Point, error) {
	found, err := d.exec(ctx, query, at, at, instantStep, true)
	if err != nil {
		return nil, err
	}
	out := make([]Point, 0, len(found))
	for _, s := range found {
		last := len(s.Times) - 1
		out = append(out, Point{Labels: s.Labels, Time: s.Times[last], Value: s.Values[last]})
	}
	return out, nil
}

// QueryRange evaluates a PromQL expression at from, from+step and so on up to to.
func (d *DB) QueryRange(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]Series, error) {
	if step < time.Millisecond || to.Before(from) {
		return nil, fmt.Errorf("query %q: no range from %s to %s in steps of %s", query, from.Format(time.RFC3339), to.Format(time.RFC3339), step)
	}
	if points := to.Sub(from)/step + 1; points > maxPoints {
		return nil, fmt.Errorf("query %q: %d points in each series, at most %d are given; take larger steps", query, points, maxPoints)
	}
	return d.exec(ctx, query, from, to, step, false)
}

func (d *DB) exec(ctx context.Context, query string, from, to time.Time, step time.Duration, instant bool) ([]Series, error) {
	done, err := d.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	timeout := queryTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	ec := &promql.EvalConfig{
		Start: from.UnixMilli(), End: to.UnixMilli(), Step: step.Milliseconds(),
		MaxSeries: prometheus.GetMaxUniqueTimeSeries(), MaxPointsPerSeries: maxPoints,
		Deadline: searchutil.NewDeadline(time.Now(), timeout, ""), MayCache: !instant, RoundDigits: 100,
		QuotedRemoteAddr: `"inproc"`, GetRequestURI: func() string { return "inproc" },
	}
	ec.QueryStats = promql.NewQueryStats(query, nil, ec)
	found, err := promql.Exec(querytracer.New(false, ""), ec, query, instant)
	if err != nil {
		return nil, fmt.Errorf("query %q: %w", query, err)
	}
	out := make([]Series, 0, len(found))
	for i := range found {
		if s := series(&found[i]); len(s.Times) > 0 {
			out = append(out, s)
		}
	}
	return out, nil
}

func series(r *netstorage.Result) Series {
	s := Series{Labels: make(Labels, len(r.MetricName.Tags)+1)}
	if len(r.MetricName.MetricGroup) > 0 {
		s.Labels[metricName] = string(r.MetricName.MetricGroup)
	}
	for _, t := range r.MetricName.Tags {
		s.Labels[string(t.Key)] = string(t.Value)
	}
	for i, v := range r.Values {
		if !math.IsNaN(v) {
			s.Times, s.Values = append(s.Times, time.UnixMilli(r.Timestamps[i])), append(s.Values, v)
		}
	}
	return s
}

// turn waits until a query may run; done must be called afterwards.
func (d *DB) turn(ctx context.Context) (done func(), err error) {
	if err := d.use(); err != nil {
		return nil, err
	}
	wait := time.NewTimer(queueTimeout)
	defer wait.Stop()
	select {
	case d.queries <- struct{}{}:
		return func() {
			<-d.queries
			d.mu.RUnlock()
		}, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-wait.C:
		err = ErrBusy
	}
	d.mu.RUnlock()
	return nil, err
}
