// Package scrape reads Prometheus endpoints the way Prometheus does and hands
// each scrape, whole, to a sink as one batch.
//
// It guarantees scrape semantics: up and the scrape_* series for every attempt;
// a stale marker for each series that a target stops exposing or that a failed
// scrape hides; the target's own labels kept apart from ours; explicit
// timestamps kept; limits on time, body and samples that fail the whole scrape
// rather than record part of it. A failed or refused scrape never harms another
// target.
//
// It never goes through the collector's own data model: that would lose which
// samples arrived together, and cost a copy of every label.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ghostlight/buffer/delta"
)

// A Sink takes the batch of one scrape.
type Sink interface {
	// Write stores the batch durably before it returns nil. After an error
	// nothing of it counts as stored.
	Write(ctx context.Context, b delta.Batch) error
}

// A Target is one endpoint to scrape.
type Target struct {
	Job         string            // label job
	URL         string            // host and port become the label instance
	Interval    time.Duration     // between scrapes
	Timeout     time.Duration     // of one scrape, at most the interval
	Labels      map[string]string // added to every series
	HonorLabels bool              // keep the target's labels where they collide with ours
	SampleLimit int               // most samples of one scrape; 0: no limit
	BodyLimit   int64             // most bytes of one body, uncompressed; 0: no limit
}

// Status is the last scrape of one target.
type Status struct {
	Job, Instance, URL string
	Up                 bool
	At                 time.Time // zero: not scraped yet
	Duration           time.Duration
	Samples            int
	Err                string
}

// Options configure a [Scraper].
type Options struct {
	Targets []Target
	Sink    Sink
	Seed    string            // tells nodes apart, so that they do not scrape a shared target at once
	Client  http.RoundTripper // nil: a transport of its own
	Log     *slog.Logger      // nil: silent
}

// A Scraper scrapes all targets, each shortly after the node's moment in the interval.
type Scraper struct {
	targets []*target
}

// New checks the options. Two targets may not share job and instance.
func New(o Options) (*Scraper, error) {
	if o.Sink == nil {
		return nil, errors.New("scrape: no sink")
	}
	if o.Client == nil {
		o.Client = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 5 * time.Minute, MaxResponseHeaderBytes: 64 << 10}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scraper{}
	seen := map[string]bool{}
	for _, cfg := range o.Targets {
		t, err := newTarget(cfg, o)
		if err != nil {
			return nil, err
		}
		key := t.cfg.Job + "\xff" + t.instance
		if seen[key] {
			return nil, fmt.Errorf("scrape target %s of job %s is listed twice", t.instance, t.cfg.Job)
		}
		seen[key] = true
		s.targets = append(s.targets, t)
	}
	return s, nil
}

// Run scrapes until ctx ends.
func (s *Scraper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, t := range s.targets {
		wg.Go(func() { t.run(ctx) })
	}
	<-ctx.Done()
	wg.Wait()
	return nil
}

// Flush scrapes every target once, at once, and returns when the results are
// stored or refused. It needs a running [Scraper.Run].
func (s *Scraper) Flush(ctx context.Context) error {
	waits := make([]chan error, 0, len(s.targets))
	for _, t := range s.targets {
		done := make(chan error, 1)
		select {
		case t.flush <- done:
			waits = append(waits, done)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var failed []error
	for _, done := range waits {
		select {
		case err := <-done:
			failed = append(failed, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.Join(failed...)
}

// Status reports the last scrape of every target, in the order of Options.
func (s *Scraper) Status() []Status {
	out := make([]Status, 0, len(s.targets))
	for _, t := range s.targets {
		out = append(out, t.snapshot())
	}
	return out
}

// Instance is the label instance of a target's URL: host and port, the port
// filled in from the scheme.
func Instance(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return "", fmt.Errorf("%q is not an address; write for example http://127.0.0.1:9100/metrics", rawURL)
	}
	if u.Port() != "" {
		return u.Host, nil
	}
	return u.Host + map[string]string{"http": ":80", "https": ":443"}[u.Scheme], nil
}
