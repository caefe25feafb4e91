// Package lanes decides by name which lane a metric travels in: an allow-list of
// globs for revenue and health, and detail for everything else.
//
// A decision is made once per name and remembered, up to a bound; it never
// depends on labels or values.
package lanes

import (
	"fmt"
	"path"
	"strings"
	"sync"

	"ghostlight/buffer"
)

// defaults are the globs every node has, whatever its configuration adds.
func defaults() (revenue, health []string) {
	revenue = []string{
		"edgecore_checkins_total", "edgecore_orders_total", "edgecore_payments_total", "edgecore_payment_amount_minor_total",
		"edgecore_refunds_total", "edgecore_refund_amount_minor_total", "edgecore_outcomes_total",
	}
	health = []string{
		"up", "ghostlight_health_*", "ghostlight_journey_*", "ghostlight_heal_*", "ghostlight_uplink_up", "ghostlight_buffer_*",
		"edgecore_settlement_*", "edgecore_ledger_writable", "edgecore_hub_reachable", "edgecore_cache_corrupt_objects",
		"edgecore_relay_connections",
	}
	return revenue, health
}

// remembered bounds the memory of a Chooser; names beyond it are decided anew
// each time.
const remembered = 8192

// A Chooser maps metric names to lanes. It is safe for concurrent use.
type Chooser struct {
	revenue, health matcher

	mu    sync.RWMutex
	known map[string]buffer.Lane // guarded by mu
}

// New adds the given globs to the defaults. The error names a malformed glob.
func New(revenue, health []string) (*Chooser, error) {
	r, h := defaults()
	c := &Chooser{known: map[string]buffer.Lane{}}
	var err error
	if c.revenue, err = compile(append(r, revenue...)); err != nil {
		return nil, err
	}
	if c.health, err = compile(append(h, health...)); err != nil {
		return nil, err
	}
	return c, nil
}

// Lane is the lane of the metric name. Revenue wins over health.
func (c *Chooser) Lane(name string) buffer.Lane {
	c.mu.RLock()
	lane, ok := c.known[name]
	c.mu.RUnlock()
	if ok {
		return lane
	}
	switch {
	case c.revenue.match(name):
		lane = buffer.Revenue
	case c.health.match(name):
		lane = buffer.Health
	default:
		lane = buffer.Detail
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) < remembered {
		c.known[strings.Clone(name)] = lane
	}
	return lane
}

// matcher tells plain names from globs, as most of the list is plain.
type matcher struct {
	names map[string]bool
	globs []string
}

func compile(patterns []string) (matcher, error) {
	m := matcher{names: map[string]bool{}}
	for _, p := range patterns {
		if err := Check(p); err != nil {
			return matcher{}, err
		}
		if strings.ContainsAny(p, `*?[\`) {
			m.globs = append(m.globs, p)
		} else {
			m.names[p] = true
		}
	}
	return m, nil
}

// Check reports a glob that is empty or malformed.
func Check(glob string) error {
	if glob == "" {
		return fmt.Errorf("is empty; write a metric name or a glob such as shop_orders_*")
	}
	if _, err := path.Match(glob, ""); err != nil {
		return fmt.Errorf("%q is not a glob: *, ? and [a-z] are allowed", glob)
	}
	return nil
}

func (m matcher) match(name string) bool {
	if m.names[name] {
		return true
	}
	for _, g := range m.globs {
		if ok, err := path.Match(g, name); ok && err == nil {
			return true
		}
	}
	return false
}
