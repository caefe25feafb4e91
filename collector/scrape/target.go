package scrape

import (
	"bytes"
	"compress/gzip"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"ghostlight/buffer/delta"
)

// target is one endpoint and what its last scrapes left behind. Everything but
// last belongs to the goroutine of run.
type target struct {
	cfg      Target
	instance string
	own      []delta.Label // job, instance and configured labels, sorted
	seed     string
	sink     Sink
	client   *http.Client
	log      *slog.Logger
	flush    chan chan error

	cache *cache
	body  bytes.Buffer // reused
	gz    *gzip.Reader // reused; nil until the target first compresses
	down  bool         // the last scrape failed
	tried bool

	mu   sync.Mutex
	last Status // guarded by mu
}

func newTarget(cfg Target, o Options) (*target, error) {
	instance, err := Instance(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Timeout <= 0 || cfg.Timeout > cfg.Interval {
		cfg.Timeout = cfg.Interval
	}
	t := &target{
		cfg: cfg, instance: instance, seed: o.Seed, sink: o.Sink, log: o.Log.With("job", cfg.Job, "instance", instance),
		client: &http.Client{Transport: o.Client},
		flush:  make(chan chan error),
		last:   Status{Job: cfg.Job, Instance: instance, URL: cfg.URL},
	}
	t.own = ownLabels(cfg, instance)
	t.cache = newCache(t.own, cfg.HonorLabels)
	return t, nil
}

// schedule is that of the node, later by the target's part of the spread.
func (t *target) schedule(now time.Time) Schedule {
	late := hash(t.cfg.Job+"\xff"+t.cfg.URL) % uint64(spread)
	return newSchedule(t.seed, time.Duration(late), t.cfg.Interval, now)
}

func (t *target) run(ctx context.Context) {
	s := t.schedule(time.Now())
	timer := time.NewTimer(s.Wait(time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			t.scrape(ctx, s.Stamp(time.Now())) //nolint:errcheck // logged and shown by scrape
			s.Advance(time.Now())
			timer.Reset(s.Wait(time.Now()))
		case done := <-t.flush:
			done <- t.scrape(ctx, time.Now().UnixMilli())
		}
	}
}

// scrape reads the target once and writes what it learned under timestamp ts.
func (t *target) scrape(ctx context.Context, ts int64) error {
	start := time.Now()
	contentType, err := t.fetch(ctx)
	var res parsed
	if err == nil {
		res, err = t.cache.parse(t.body.Bytes(), contentType, ts, t.cfg.SampleLimit)
	}
	if ctx.Err() != nil {
		return ctx.Err() // we are stopping: that says nothing about the target
	}
	took := time.Since(start)
	if err != nil {
		res.series = nil
	}
	series := t.cache.appendStale(res.series, ts, err != nil)
	series = t.appendReport(series, ts, report{up: err == nil, took: took, scraped: res.scraped, added: res.added})

	writeErr := t.sink.Write(ctx, delta.Batch{Series: series})
	if writeErr == nil {
		t.cache.commit()
	} else {
		t.cache.rollback()
	}
	t.note(ts, took, res.scraped, err)
	return writeErr
}

// note keeps the outcome for Status and logs it when it changed.
func (t *target) note(ts int64, took time.Duration, samples int, err error) {
	st := Status{Job: t.cfg.Job, Instance: t.instance, URL: t.cfg.URL, Up: err == nil, At: time.UnixMilli(ts), Duration: took, Samples: samples}
	if err != nil {
		st.Err = err.Error()
	}
	t.mu.Lock()
	t.last = st
	t.mu.Unlock()

	if down := err != nil; down != t.down || !t.tried {
		if down {
			t.log.Warn("scrape target is down", "err", err)
		} else if t.tried {
			t.log.Info("scrape target is up again")
		}
		t.down, t.tried = down, true
	}
}

func (t *target) snapshot() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}
