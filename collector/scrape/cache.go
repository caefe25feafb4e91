package scrape

import (
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"

	"ghostlight/buffer/delta"
)

// cache remembers the series of a target from scrape to scrape, keyed by their
// text in the exposition, so that labels are parsed once and a series that
// disappears is noticed.
type cache struct {
	own   []delta.Label
	honor bool

	round    uint64 // of the scrape being worked on
	entries  map[string]*entry
	families map[string]*family
	gone     []string // keys that got a stale marker in this round

	line labels.Labels // scratch
}

type entry struct {
	labels   []delta.Label
	family   *family // nil: the target said nothing about it
	live     bool    // its last stored sample was a value, so that its end needs a marker
	explicit bool    // carries its own timestamps, which staleness does not apply to
	round    uint64  // last scrape that had it
}

type family struct {
	meta  delta.Meta
	round uint64 // last scrape that described it
}

// parsed is what one body held.
type parsed struct {
	series  []delta.Series
	scraped int // samples, the ones over the limit included
	added   int // series that the scrape before did not have
}

func newCache(own []delta.Label, honor bool) *cache {
	return &cache{own: own, honor: honor, entries: map[string]*entry{}, families: map[string]*family{}}
}

// parse reads a body. Any malformed line fails the whole of it. limit bounds the
// samples; 0 is no limit.
func (c *cache) parse(body []byte, contentType string, ts int64, limit int) (parsed, error) {
	c.round++
	p, err := newParser(body, contentType)
	if err != nil {
		return parsed{}, err
	}
	res := parsed{series: make([]delta.Series, 0, len(c.entries)+8)}
	samples := make([]delta.Sample, 0, len(c.entries)+8) // one allocation for all series of the scrape
	for {
		kind, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return res, fmt.Errorf("the body is malformed: %w", err)
		}
		switch kind {
		case textparse.EntryType:
			name, typ := p.Type()
			c.describe(name).Type = metricType(typ)
		case textparse.EntryHelp:
			name, help := p.Help()
			setString(&c.describe(name).Help, help)
		case textparse.EntryUnit:
			name, unit := p.Unit()
			setString(&c.describe(name).Unit, unit)
		case textparse.EntrySeries:
			res.scraped++
			if limit > 0 && res.scraped > limit {
				continue // counted to the end, so that the report tells the whole size
			}
			e, fresh, err := c.entry(p)
			if err != nil {
				return res, err
			}
			if fresh {
				res.added++
			}
			at, v := c.sample(p, e, ts)
			if n := len(samples); n < cap(samples) {
				samples = append(samples, delta.Sample{Time: at, Value: v})
				res.series = append(res.series, delta.Series{Labels: e.labels, Meta: e.meta(), Samples: samples[n : n+1 : n+1]})
			} else {
				res.series = append(res.series, delta.Series{Labels: e.labels, Meta: e.meta(), Samples: []delta.Sample{{Time: at, Value: v}}})
			}
		}
	}
	if limit > 0 && res.scraped > limit {
		return res, fmt.Errorf("the target has %d samples, more than sample_limit (%d)", res.scraped, limit)
	}
	return res, nil
}

func newParser(body []byte, contentType string) (textparse.Parser, error) {
	fallback := ""
	if contentType == "" {
		fallback = "text/plain"
	}
	p, err := textparse.New(body, contentType, nil, textparse.ParserOptions{FallbackContentType: fallback})
	if p == nil {
		if media, _, merr := mime.ParseMediaType(contentType); merr == nil {
			return nil, fmt.Errorf("the target answered with %s, which is not metrics", media)
		}
		return nil, err
	}
	return p, nil
}

// entry finds or makes the entry of the parser's current sample.
func (c *cache) entry(p textparse.Parser) (e *entry, fresh bool, err error) {
	text, _, _ := p.Series()
	e, ok := c.entries[string(text)]
	if ok {
		if e.family == nil {
			e.family = c.familyOf(e.labels)
		}
		e.round = c.round
		return e, false, nil
	}
	p.Labels(&c.line)
	if name, dup := c.line.HasDuplicateLabelNames(); dup {
		return nil, false, fmt.Errorf("the body is malformed: label %q appears twice in %s", name, text)
	}
	e = &entry{labels: merge(c.line, c.own, c.honor), round: c.round}
	if err := check(e.labels); err != nil {
		return nil, false, err
	}
	e.family = c.familyOf(e.labels)
	c.entries[strings.Clone(string(text))] = e
	return e, true, nil
}

// sample is the time and value of the parser's current sample.
func (c *cache) sample(p textparse.Parser, e *entry, ts int64) (int64, float64) {
	_, at, v := p.Series()
	e.explicit = at != nil
	if e.explicit {
		ts = *at
	}
	return ts, v
}

// appendStale adds a marker for each series whose last stored sample was a value
// and that this scrape does not have, or for all of them if it failed.
func (c *cache) appendStale(series []delta.Series, ts int64, failed bool) []delta.Series {
	if failed && len(series) == 0 {
		c.round++ // whatever the failed scrape had seen was not stored
	}
	stale := math.Float64frombits(value.StaleNaN)
	c.gone = c.gone[:0]
	for key, e := range c.entries {
		if e.round == c.round {
			continue
		}
		c.gone = append(c.gone, key)
		if e.live && !e.explicit {
			series = append(series, delta.Series{Labels: e.labels, Meta: e.meta(), Samples: []delta.Sample{{Time: ts, Value: stale}}})
		}
	}
	return series
}

// commit makes the round the state that the next one is compared with.
func (c *cache) commit() {
	for _, key := range c.gone {
		delete(c.entries, key)
	}
	for _, e := range c.entries {
		e.live = true
	}
	for name, f := range c.families {
		if f.round != c.round {
			c.dropFamily(name, f)
		}
	}
}

// rollback forgets a round that was not stored: series it saw for the first time
// were never begun, and those it missed still need their marker.
func (c *cache) rollback() {
	for key, e := range c.entries {
		if !e.live && e.round == c.round {
			delete(c.entries, key)
		}
	}
}

func (c *cache) dropFamily(name string, f *family) {
	for _, e := range c.entries {
		if e.family == f {
			return // described once, still exposed
		}
	}
	delete(c.families, name)
}

// describe returns the metadata of the family for the current round.
func (c *cache) describe(name []byte) *delta.Meta {
	f, ok := c.families[string(name)]
	if !ok {
		f = &family{}
		c.families[string(name)] = f
	}
	f.round = c.round
	return &f.meta
}

// familyOf finds the family that describes a series: by its own name, or by the
// name less a suffix that the family's type gives its parts.
func (c *cache) familyOf(ls []delta.Label) *family {
	name := nameOf(ls)
	if f, ok := c.families[name]; ok {
		return f
	}
	for _, suffix := range []string{"_total", "_bucket", "_count", "_sum", "_created", "_info"} {
		base, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		if f, ok := c.families[base]; ok && partOf(f.meta.Type, suffix) {
			return f
		}
	}
	return nil
}

func partOf(t delta.Type, suffix string) bool {
	switch t {
	case delta.Counter:
		return suffix == "_total" || suffix == "_created"
	case delta.Histogram:
		return suffix == "_bucket" || suffix == "_count" || suffix == "_sum" || suffix == "_created"
	case delta.Summary:
		return suffix == "_count" || suffix == "_sum" || suffix == "_created"
	case delta.Info:
		return suffix == "_info"
	}
	return false
}

func (e *entry) meta() delta.Meta {
	if e.family == nil {
		return delta.Meta{}
	}
	return e.family.meta
}

func metricType(t model.MetricType) delta.Type {
	switch t {
	case model.MetricTypeCounter:
		return delta.Counter
	case model.MetricTypeGauge:
		return delta.Gauge
	case model.MetricTypeHistogram:
		return delta.Histogram
	case model.MetricTypeSummary:
		return delta.Summary
	case model.MetricTypeInfo:
		return delta.Info
	case model.MetricTypeStateset:
		return delta.StateSet
	}
	return delta.Unknown
}

// setString replaces *s only if it differs, so that an unchanged text costs no
// memory.
func setString(s *string, b []byte) {
	if *s != string(b) {
		*s = string(b)
	}
}
