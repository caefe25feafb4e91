package config

import (
	"errors"
	"fmt"
	"path"
	"time"

	"ghostlight/collector/tail"
	"ghostlight/internal/strictyaml"
)

// Tail says which spans and log lines are worth the uplink. Errors, slow traces,
// synthetic journeys and revenue are always kept; the rest within budgets.
type Tail struct {
	// Wait decides a trace that had no new span for so long; default 5s.
	Wait strictyaml.Duration `yaml:"wait"`
	// Deadline decides a trace at the latest so long after its first span; default 30s.
	Deadline strictyaml.Duration `yaml:"deadline"`
	// Batch is the time between two records of what was kept; default 5s.
	Batch strictyaml.Duration `yaml:"batch"`
	// Memory bounds the spans and lines held, 256KiB to 16MiB; default 2MiB.
	Memory strictyaml.Bytes `yaml:"memory"`
	// Traces says which traces are kept.
	Traces TailTraces `yaml:"traces"`
	// Logs says which log lines are kept.
	Logs TailLogs `yaml:"logs"`
	// Attributes are globs of attribute keys, such as shop.*, that may leave the node beside the built-in ones; credentials, bodies and addresses of people never do.
	Attributes []string `yaml:"attributes"`
}

// TailTraces says which traces are kept.
type TailTraces struct {
	// Budget is the bytes a minute, before compression, for traces that nothing else keeps; default 64KiB.
	Budget strictyaml.Bytes `yaml:"budget"`
	// Slow keeps a trace that takes so long; default 1s, 0 leaves only those beyond the p99 of their name.
	Slow strictyaml.Duration `yaml:"slow"`
	// LongRoutes are globs of routes that are long by nature, exempt from slow.
	LongRoutes []string `yaml:"long_routes"`
	// RevenueRoutes are globs of routes whose traces are always kept; the default is edgecore's check-ins, orders, payments and refunds.
	RevenueRoutes []string `yaml:"revenue_routes"`
	// RevenueAttributes are globs of attribute keys whose traces are always kept.
	RevenueAttributes []string `yaml:"revenue_attributes"`
}

// TailLogs says which log lines are kept.
type TailLogs struct {
	// Budget is the bytes a minute, before compression, for lines below error; default 32KiB.
	Budget strictyaml.Bytes `yaml:"budget"`
	// Severity is the least that is kept: trace, debug, info, warn or error; default info.
	Severity string `yaml:"severity"`
	// Fold counts a repeated line for so long before it is stored; default 10s.
	Fold strictyaml.Duration `yaml:"fold"`
}

// Least and most of what tail may hold.
const (
	minTail = 256 << 10
	maxTail = 16 << 20
	minRate = 1 << 10
)

func defaultTail() Tail {
	return Tail{
		Wait: strictyaml.Duration(5 * time.Second), Deadline: strictyaml.Duration(30 * time.Second),
		Batch: strictyaml.Duration(5 * time.Second), Memory: 2 << 20,
		Traces: TailTraces{
			Budget: 64 << 10, Slow: strictyaml.Duration(time.Second), LongRoutes: []string{"/v1/relay"},
			RevenueRoutes: []string{"/v1/checkins", "/v1/orders", "/v1/orders/*/payments", "/v1/payments/*/refunds"},
		},
		Logs: TailLogs{Budget: 32 << 10, Severity: "info", Fold: strictyaml.Duration(10 * time.Second)},
	}
}

func (t Tail) validate() error {
	errs := []error{
		atLeast("tail.wait", t.Wait, 100*time.Millisecond), atLeast("tail.batch", t.Batch, 100*time.Millisecond),
		atLeast("tail.deadline", t.Deadline, t.Wait.D()), atLeast("tail.logs.fold", t.Logs.Fold, 100*time.Millisecond),
		globs("tail.traces.long_routes", t.Traces.LongRoutes), globs("tail.traces.revenue_routes", t.Traces.RevenueRoutes),
		globs("tail.traces.revenue_attributes", t.Traces.RevenueAttributes), globs("tail.attributes", t.Attributes),
	}
	if t.Memory < minTail || t.Memory > maxTail {
		errs = append(errs, strictyaml.Fieldf("tail.memory", "must be from %s to %s", strictyaml.Bytes(minTail), strictyaml.Bytes(maxTail)))
	}
	if t.Traces.Budget < minRate {
		errs = append(errs, strictyaml.Fieldf("tail.traces.budget", "must be at least %s a minute", strictyaml.Bytes(minRate)))
	}
	if t.Logs.Budget < minRate {
		errs = append(errs, strictyaml.Fieldf("tail.logs.budget", "must be at least %s a minute", strictyaml.Bytes(minRate)))
	}
	if t.Traces.Slow < 0 {
		errs = append(errs, strictyaml.Fieldf("tail.traces.slow", "must not be negative"))
	}
	if _, err := tail.ParseSeverity(t.Logs.Severity); err != nil {
		errs = append(errs, strictyaml.Fieldf("tail.logs.severity", "%v", err))
	}
	return errors.Join(errs...)
}

func atLeast(path string, d strictyaml.Duration, least time.Duration) error {
	if d.D() < least || d.D() > time.Hour {
		return strictyaml.Fieldf(path, "must be from %s to 1h", least)
	}
	return nil
}

func globs(at string, all []string) error {
	var errs []error
	for i, g := range all {
		if _, err := path.Match(g, ""); err != nil || g == "" {
			errs = append(errs, strictyaml.Fieldf(fmt.Sprintf("%s[%d]", at, i), "%q is not a glob, such as /v1/orders/*", g))
		}
	}
	return errors.Join(errs...)
}
