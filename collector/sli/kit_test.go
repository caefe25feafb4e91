package sli

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/slo"
)

var (
	latency = objective("latency", slo.Indicator{Counter: &slo.CounterIndicator{
		Good:  []slo.Selector{{Metric: "pay_seconds_bucket", Matchers: []slo.Matcher{{Label: "le", Op: "=", Value: "1"}}}},
		Total: []slo.Selector{{Metric: "pay_seconds_count"}},
	}})
	errorRate = objective("errors", slo.Indicator{Counter: &slo.CounterIndicator{
		Bad:   []slo.Selector{{Metric: "hits_total", Matchers: []slo.Matcher{{Label: "result", Op: "=~", Value: "error|corrupt"}}}},
		Total: []slo.Selector{{Metric: "hits_total"}},
	}})
	charge     = objective("charge", slo.Indicator{Gauge: &slo.GaugeIndicator{Selector: slo.Selector{Metric: "charge_ratio"}, Op: slo.Greater, Value: 0.2}})
	conversion = objective("conversion", slo.Indicator{Velocity: &slo.VelocityIndicator{Seconds: 1200}})
	usual      = objective("usual", slo.Indicator{Baseline: &slo.BaselineIndicator{Days: 2}})
	contact    = objective("contact", slo.Indicator{Contact: &slo.ContactIndicator{}})
	recovery   = objective("recovery", slo.Indicator{Recovery: &slo.RecoveryIndicator{Seconds: 900}})
)

// kit is a node: a disk and a centre around a book that may die at any commit.
type kit struct {
	t          rapid.TB
	m          *memory
	objectives []slo.Objective
	book       *Book
	now        time.Time
	set        time.Duration // by how much the wall clock was set in this life
	born       time.Time
	down       bool          // edgecore's ledger cannot be read
	unread     time.Duration // how long ago it was read to its end
	died       string        // "before" or "after": the next commit is the last of this life
}

// An agent dies before it stores a commit, or after it did.
var (
	errDied   = errors.New("the agent died")
	errStored = fmt.Errorf("behind a commit: %w", errDied)
)

func newKit(t rapid.TB, objectives ...slo.Objective) *kit {
	k := &kit{t: t, m: newMemory(t), objectives: objectives, now: slo.MinuteStart(28_000_000)}
	k.boot()
	return k
}

// boot starts the agent on what is on disk.
func (k *kit) boot() {
	k.died, k.set, k.born = "", 0, k.now
	var err error
	k.book, err = New(Options{
		Objectives: k.objectives, Commit: k.m, Load: k.m.load, Now: func() time.Time { return k.now },
		Elapsed:      func() time.Duration { return k.now.Sub(k.born) - k.set },
		OutcomesSeen: func() (time.Duration, bool) { return k.unread, !k.down && k.cursor() == k.head() },
		Evidence:     func(string) slo.Evidence { return slo.JourneyPassing },
	})
	if err != nil {
		k.t.Fatal(err)
	}
	k.m.before = func() error {
		if k.died == "before" {
			return errDied
		}
		return nil
	}
	k.m.after = func() error {
		if k.died == "after" {
			return errStored
		}
		return nil
	}
}

// alive goes on after err: an agent that died starts again.
func (k *kit) alive(err error) bool {
	if errors.Is(err, errDied) {
		k.boot()
		return false
	}
	if err != nil && !errors.Is(err, queue.ErrFull) {
		k.t.Fatal(err)
	}
	return err == nil
}

// setClock sets the wall clock forward, or back.
func (k *kit) setClock(by time.Duration) { k.now, k.set = k.now.Add(by), k.set+by }

// pass lets time pass, tick by tick, a long one in longer steps.
func (k *kit) pass(d time.Duration) {
	step := max(10*time.Second, d/30)
	for ; d > 0; d -= step {
		k.now = k.now.Add(min(step, d))
		k.alive(k.book.Tick(context.Background()))
	}
}

// scrape stores one scrape of a target, of "name{label=value}" and values.
func (k *kit) scrape(values map[string]float64) error {
	return k.scrapeOf("edge", values)
}

func (k *kit) scrapeOf(job string, values map[string]float64) error {
	var series []delta.Series
	for _, text := range sortedKeys(values) {
		series = append(series, one(job, text, values[text], k.now))
	}
	err := k.book.Series(context.Background(), series, func(c queue.Commit) error {
		c.Entries = append(c.Entries, queue.Entry{Lane: buffer.Detail, Batch: delta.Batch{Series: series}})
		return k.m.Commit(context.Background(), c)
	})
	return err
}

func sortedKeys(m map[string]float64) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// one is a series of one sample: metric, or "metric label value".
func one(job, text string, value float64, at time.Time) delta.Series {
	var name, label, is string
	fmt.Sscan(text, &name, &label, &is) //nolint:errcheck // a metric alone is fine
	labels := []delta.Label{{Name: "__name__", Value: name}, {Name: "instance", Value: "n"}, {Name: "job", Value: job}}
	if label != "" {
		labels = append(labels, delta.Label{Name: label, Value: is})
	}
	return delta.Series{Labels: labels, Samples: []delta.Sample{{Time: at.UnixMilli(), Value: value}}}
}

func (k *kit) cursor() int {
	n, _ := strconv.Atoi(string(k.m.state["cursor"])) // none is 0
	return n
}

// head is how many outcomes edgecore has.
func (k *kit) head() int { return len(k.m.ledger) }

// read reads up to so many outcomes.
func (k *kit) read(most int) bool {
	from := k.cursor()
	to := min(from+most, k.head())
	if from == to {
		return true
	}
	return k.alive(k.book.Outcomes(context.Background(), k.m.ledger[from:to], queue.Commit{State: map[string][]byte{"cursor": []byte(strconv.Itoa(to))}}))
}

// minute is what the centre has of the minute that began d after the start.
func (k *kit) minute(name string, at time.Time) slo.Bucket {
	return k.m.buckets[slo.Bucket{Objective: name, Minute: slo.MinuteOf(at)}.Key()]
}

func (k *kit) want(t *testing.T, name string, good, total int64) {
	t.Helper()
	if g, n, _ := k.m.sum(name); g != good || n != total {
		t.Errorf("%s counts %d of %d, want %d of %d", name, g, n, good, total)
	}
}
