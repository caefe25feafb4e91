package sli

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/store"
	"ghostlight/slo"
)

// A meter counts one objective. It is used under the book's lock.
type meter struct {
	tally  *slo.Tally
	source source
}

// A source is what an objective counts and what must be remembered so that each
// event counts once.
type source interface {
	// look says whether the source is watched now, and what the journeys say. ready
	// is false while it is better not to let time pass yet.
	look(now time.Time) (l slo.Look, ready bool)
	// ripen counts what waited, and what time alone decides.
	ripen(t *slo.Tally, now time.Time) error
	// state is what must be stored with what was counted, by key; nil deletes. told
	// says that there is something to store anyway.
	state(told bool) map[string][]byte
	// stored says that what state returned last and what was counted are stored.
	stored()
	// rollback takes back what was read and is not stored. After an error the source
	// counts nothing until a later rollback works.
	rollback() error
	// clockSet says that the wall clock was set.
	clockSet(now time.Time)
}

// A ledgerReader is a source that counts from outcomes.
type ledgerReader interface {
	read(t *slo.Tally, outcomes []Outcome, now time.Time) error
}

// newMeter restores the meter of an objective; nil if only the centre counts it.
func (b *Book) newMeter(o slo.Objective) (*meter, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m := &meter{}
	var lag time.Duration
	var err error
	switch i := o.Indicator; {
	case i.Central():
		return nil, nil
	case i.Outcome != nil:
		m.source = &outcomeSource{book: b, kind: i.Outcome.Kind}
	case i.Journey != nil:
		m.source = &journeySource{book: b, name: i.Journey.Name}
	case i.Counter != nil:
		m.source, err = newCounter(b, m, o)
	case i.Gauge != nil:
		m.source, err = newGauge(b, m, *i.Gauge)
	case i.Velocity != nil:
		m.source, err = newVelocity(b, o)
		lag = time.Duration(i.Velocity.Seconds)*time.Second + readSlack
	case i.Baseline != nil:
		m.source, err = newBaseline(b, o)
		lag = slo.BaselineTime + readSlack
	}
	if err != nil {
		return nil, fmt.Errorf("objective %s: %w", o.Name, err)
	}
	m.tally, err = slo.NewTally(o, slo.TallyOptions{
		Load: func(key string) ([]byte, error) { return b.o.Load(statePrefix + key) }, Lag: lag, Horizon: horizon(o),
	})
	return m, err
}

// horizon is how far back minutes are remembered: two days, and as far as the alerts
// look where they are made of slices, for which no hour as a whole can stand.
func horizon(o slo.Objective) time.Duration {
	h := 48 * time.Hour
	if o.Budgeting.Sliced() {
		for _, t := range o.BurnTiers() {
			h = max(h, t.Long+2*time.Hour+time.Duration(o.Slice.Minutes)*time.Minute)
		}
	}
	return h
}

// stateKey is where a source of an objective keeps its state: what was counted for
// another indicator is never continued.
func stateKey(o slo.Objective, name string) string {
	return fmt.Sprintf("%s%016x/%s", statePrefix, o.Hash, name)
}

func rollback(meters []*meter) error {
	var errs []error
	for _, m := range meters {
		m.tally.Rollback()
		errs = append(errs, m.source.rollback())
	}
	return errors.Join(errs...)
}

// commit lets the given meters take one look and has put store what they tell with
// extra. If it is not stored the meters are as before. The caller holds mu.
func (b *Book) commit(meters []*meter, extra queue.Commit, put func(queue.Commit) error) error {
	var c collected
	err := b.collect(&c, meters, extra)
	if err == nil {
		err = put(queue.Commit{Entries: store.Join(extra.Entries, c.entries()), State: c.state})
	}
	var partial *queue.PartialError
	if err != nil && !errors.As(err, &partial) {
		return errors.Join(err, rollback(meters))
	}
	// Buckets and state ride in the revenue lane, which is stored.
	for _, t := range c.tallies {
		t.Commit()
	}
	for _, s := range c.sources {
		s.stored()
	}
	if b.o.Told != nil {
		b.news = append(b.news, c.news...)
	}
	return err
}

// collected is what one commit stores.
type collected struct {
	records []delta.Record
	state   map[string][]byte
	tallies []*slo.Tally // that have something to store
	sources []source
	news    []told
}

func (c *collected) entries() []queue.Entry {
	if len(c.records) == 0 {
		return nil
	}
	return []queue.Entry{{Lane: buffer.Revenue, Batch: delta.Batch{Records: c.records}}}
}

// collect puts together what the meters tell and extra. The caller holds mu.
func (b *Book) collect(c *collected, meters []*meter, extra queue.Commit) error {
	now := b.o.Now()
	b.checkClock(now)
	if c.state = maps.Clone(extra.State); c.state == nil {
		c.state = map[string][]byte{}
	}
	for _, m := range meters {
		if err := m.source.ripen(m.tally, now); err != nil {
			return err
		}
		look, ready := m.source.look(now)
		if !ready {
			continue
		}
		look.Wall, look.Elapsed = now, b.elapsed(now)
		e, err := m.tally.Tick(look)
		if err != nil {
			return err
		}
		maps.Copy(c.state, m.source.state(!e.Empty()))
		c.sources = append(c.sources, m.source)
		if e.Empty() {
			continue
		}
		c.tallies = append(c.tallies, m.tally)
		if err := c.add(m.tally.Objective(), e, now); err != nil {
			return err
		}
	}
	return nil
}

// add takes up what a tally tells.
func (c *collected) add(o slo.Objective, e slo.Emission, now time.Time) error {
	for k, v := range e.State {
		c.state[statePrefix+k] = v
	}
	for _, bucket := range e.Buckets {
		body, err := bucket.AppendBinary(nil)
		if err != nil {
			return fmt.Errorf("bucket %s: %w", bucket.Key(), err)
		}
		c.records = append(c.records, delta.Record{Kind: "slo.bucket", Key: bucket.Key(), Time: now.UnixMilli(), Body: body})
	}
	if len(e.Buckets) > 0 {
		c.news = append(c.news, told{o, e.Buckets})
	}
	return nil
}

// clock notices that the wall clock was set.
type clock struct {
	drift time.Duration // of the wall clock from elapsed time
	known bool
}

// clockSlack is how far the clocks may drift apart between two looks before the wall
// clock counts as set.
const clockSlack = 2 * time.Second

// checkClock tells the sources when the clock was set. The caller holds mu.
func (b *Book) checkClock(now time.Time) {
	drift := now.Round(0).Sub(b.start.Round(0)) - b.elapsed(now)
	moved := drift - b.clock.drift
	if b.clock.known && moved.Abs() > clockSlack {
		for _, m := range b.meters {
			m.source.clockSet(now)
		}
	}
	b.clock = clock{drift: drift, known: true}
}
