package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/collector/lanes"
	"ghostlight/collector/scrape"
	"ghostlight/internal/strictyaml"
	"ghostlight/slo"
	"ghostlight/synthetics"
)

// Least and most of what may be configured.
const (
	minInterval = time.Second
	maxInterval = time.Hour
	minDisk     = 16 << 20
	minMemory   = 24 << 20
	minSecond   = 1 << 10 // bytes sent
	minDay      = 1 << 20
)

// Validate checks every field by itself; strictyaml calls it and adds lines.
func (c *Config) Validate() error {
	return errors.Join(
		c.Node.validate(),
		required("data_dir", c.DataDir, "name a folder to keep data in"),
		address("fleet.url", c.Fleet.URL),
		required("fleet.token", c.Fleet.Token, "write the token that the fleet gave this node"),
		c.Fleet.Bandwidth.validate(),
		listener("page.listen", c.Page.Listen, false),
		c.Scrape.validate(),
		interval("host.interval", c.Host.Interval),
		required("host.power_supplies", c.Host.PowerSupplies, "name the folder that lists batteries, such as /sys/class/power_supply"),
		listener("otlp.grpc", c.OTLP.GRPC, true),
		listener("otlp.http", c.OTLP.HTTP, true),
		c.Lanes.validate(),
		c.Tail.validate(),
		c.Buffer.validate(),
		c.Edgecore.validate(),
		c.Heal.validate(c.Edgecore != nil),
		c.memory(),
		c.Extra.validate(),
	)
}

func (n Node) validate() error {
	fields := []struct{ path, value string }{{"node.region", n.Region}, {"node.venue", n.Venue}, {"node.name", n.Name}}
	var errs []error
	for _, f := range fields {
		probe := buffer.Source{Region: f.value, Venue: "x", Node: "x"}
		if probe.Validate() != nil {
			errs = append(errs, strictyaml.Fieldf(f.path, "%q is not a name: 1 to 63 characters of a-z, 0-9, '-', '_', '.'", f.value))
		}
	}
	return errors.Join(errs...)
}

func (b Bandwidth) validate() error {
	var errs []error
	if b.BytesPerSecond != 0 && b.BytesPerSecond < minSecond {
		errs = append(errs, strictyaml.Fieldf("fleet.bandwidth.bytes_per_second", "must be at least %s; 0 is no limit", strictyaml.Bytes(minSecond)))
	}
	if b.BytesPerDay != 0 && b.BytesPerDay < minDay {
		errs = append(errs, strictyaml.Fieldf("fleet.bandwidth.bytes_per_day", "must be at least %s; 0 is no limit", strictyaml.Bytes(minDay)))
	}
	return errors.Join(errs...)
}

func (s Scrape) validate() error {
	errs := []error{interval("scrape.interval", s.Interval)}
	if s.Timeout <= 0 {
		errs = append(errs, strictyaml.Fieldf("scrape.timeout", "must be above 0"))
	}
	seen := map[string]int{}
	for i, t := range s.Targets {
		path := fmt.Sprintf("scrape.targets[%d]", i)
		errs = append(errs, t.validate(path, s.Interval))
		instance, err := scrape.Instance(t.URL)
		if err != nil {
			continue // reported by the target
		}
		if first, twice := seen[t.Job+" "+instance]; twice {
			errs = append(errs, strictyaml.Fieldf(path+".url", "has the same job and host as targets[%d]: give one of them another job", first))
		}
		seen[t.Job+" "+instance] = i
	}
	return errors.Join(errs...)
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func (t Target) validate(path string, fallback strictyaml.Duration) error {
	errs := []error{required(path+".job", t.Job, "name what the target is, such as shop")}
	if _, err := scrape.Instance(t.URL); err != nil {
		errs = append(errs, strictyaml.Fieldf(path+".url", "%v", err))
	}
	every := fallback
	if t.Interval != 0 {
		every = t.Interval
		errs = append(errs, interval(path+".interval", t.Interval))
	}
	if t.Timeout < 0 || t.Timeout > every {
		errs = append(errs, strictyaml.Fieldf(path+".timeout", "must be above 0 and at most the interval, %s", every))
	}
	for name := range t.Labels {
		if !labelName.MatchString(name) || len(name) > 1 && name[:2] == "__" {
			errs = append(errs, strictyaml.Fieldf(path+".labels."+name, "is not a label name: letters, digits and _, not beginning with a digit or __"))
		}
	}
	if t.SampleLimit < 0 {
		errs = append(errs, strictyaml.Fieldf(path+".sample_limit", "must not be negative; 0 is no limit"))
	}
	return errors.Join(errs...)
}

func (l Lanes) validate() error {
	var errs []error
	for field, globs := range map[string][]string{"revenue": l.Revenue, "health": l.Health} {
		for i, glob := range globs {
			if err := lanes.Check(glob); err != nil {
				errs = append(errs, strictyaml.Fieldf(fmt.Sprintf("lanes.%s[%d]", field, i), "%v", err))
			}
		}
	}
	return errors.Join(errs...)
}

func (b Buffer) validate() error {
	switch {
	case b.DiskBudget < minDisk:
		return strictyaml.Fieldf("buffer.disk_budget", "must be at least %s", strictyaml.Bytes(minDisk))
	case b.RevenueReserve >= b.DiskBudget:
		return strictyaml.Fieldf("buffer.revenue_reserve", "must be below disk_budget, %s", b.DiskBudget)
	}
	return nil
}

func (e *Edgecore) validate() error {
	if e == nil {
		return nil
	}
	errs := []error{
		address("edgecore.url", e.URL),
		address("edgecore.admin_url", e.AdminURL),
		required("edgecore.admin_token", e.AdminToken, "write the token of edgecore's admin listener"),
	}
	if len(e.SyntheticKey) < synthetics.MinClaimKey {
		errs = append(errs, strictyaml.Fieldf("edgecore.synthetic_key", "has %d characters; at least %d are needed", len(e.SyntheticKey), synthetics.MinClaimKey))
	}
	return errors.Join(errs...)
}

func (h Heal) validate(edgecore bool) error {
	var errs []error
	if h.Supervisor != nil && h.Systemd {
		errs = append(errs, strictyaml.Fieldf("heal.systemd", "excludes supervisor: choose one of the two"))
	}
	if h.Supervisor != nil {
		errs = append(errs, required("heal.supervisor.socket", h.Supervisor.Socket, "name the supervisor's Unix socket"))
	}
	if r := h.Restart; r != nil {
		errs = append(errs, required("heal.restart.unit", r.Unit, "name the unit to restart"), guardrails("heal.restart", r.CoolDown, r.PerHour))
		if h.Supervisor == nil && !h.Systemd {
			errs = append(errs, strictyaml.Fieldf("heal.restart", "needs somebody who restarts: add supervisor or systemd beside it"))
		}
		if r.Failures != 0 && (r.Failures < 2 || r.Failures > 100) {
			errs = append(errs, strictyaml.Fieldf("heal.restart.failures", "must be from 2 to 100"))
		}
	}
	if r := h.CacheRepair; r != nil {
		errs = append(errs, guardrails("heal.cache_repair", r.CoolDown, r.PerHour))
		if !edgecore {
			errs = append(errs, strictyaml.Fieldf("heal.cache_repair", "needs the section edgecore: it is edgecore's cache that is repaired"))
		}
	}
	return errors.Join(errs...)
}

func guardrails(path string, coolDown strictyaml.Duration, perHour int) error {
	switch {
	case coolDown < 0:
		return strictyaml.Fieldf(path+".cool_down", "must not be negative")
	case perHour < 0 || perHour > 60:
		return strictyaml.Fieldf(path+".per_hour", "must be from 1 to 60")
	}
	return nil
}

func (c *Config) memory() error {
	if c.MemoryLimit < minMemory {
		return strictyaml.Fieldf("memory_limit", "must be at least %s", strictyaml.Bytes(minMemory))
	}
	return nil
}

// crossCheck looks at what only fits together once journeys and objectives are
// read.
func (c *Config) crossCheck() error {
	var errs []error
	journeys := map[string]bool{}
	for i, s := range c.Journeys {
		at := fmt.Sprintf("journeys[%d]", i)
		if journeys[s.Journey.Name] {
			errs = append(errs, refuse(c.name, at, s.node, "is called %q like another; give each its own name", s.Journey.Name))
		}
		journeys[s.Journey.Name] = true
		for _, need := range s.Journey.Needs {
			if _, ok := c.Vars()[need]; !ok {
				errs = append(errs, refuse(c.name, at, s.node, "needs the variable %q; the section edgecore supplies base and relay", need))
			}
		}
	}
	objectives := map[string]bool{}
	for i, s := range c.Objectives {
		at := fmt.Sprintf("objectives[%d]", i)
		for _, o := range s.Objectives {
			switch ind := o.Indicator; {
			case objectives[o.Name]:
				errs = append(errs, refuse(c.name, at, s.node, "is called %q like another; give each its own name", o.Name))
			case ind.Validate() != nil:
				errs = append(errs, refuse(c.name, at, s.node, "%q cannot be measured: %v", o.Name, ind.Validate()))
			case (ind.Outcome != nil || ind.Velocity != nil || ind.Baseline != nil) && c.Edgecore == nil:
				errs = append(errs, refuse(c.name, at, s.node, "%q counts %s, which need the section edgecore", o.Name, ind))
			case c.unseen(ind) != "":
				errs = append(errs, refuse(c.name, at, s.node, "%q counts the metric %s, which nothing on this node can tell: add it to scrape.targets or open a door under otlp", o.Name, c.unseen(ind)))
			case ind.Journey != nil && !journeys[ind.Journey.Name]:
				errs = append(errs, refuse(c.name, at, s.node, "%q counts the journey %q, which is not among journeys", o.Name, ind.Journey.Name))
			}
			objectives[o.Name] = true
		}
	}
	return errors.Join(errs...)
}

// unseen is a metric of an indicator that can come from nowhere: not from a scrape,
// a door or a receiver, which may bring any, and not from the host or the agent
// itself, which are known by their names.
func (c *Config) unseen(ind slo.Indicator) string {
	if len(c.Scrape.Targets) > 0 || c.OTLP.GRPC != "" || c.OTLP.HTTP != "" || len(c.Extra.Receivers) > 0 {
		return ""
	}
	var selectors []slo.Selector
	switch {
	case ind.Counter != nil:
		selectors = slices.Concat(ind.Counter.Good, ind.Counter.Bad, ind.Counter.Total)
	case ind.Gauge != nil:
		selectors = []slo.Selector{ind.Gauge.Selector}
	}
	for _, s := range selectors {
		own := strings.HasPrefix(s.Metric, "ghostlight_") || c.Host.Enabled && strings.HasPrefix(s.Metric, "system_")
		if !own {
			return s.Metric
		}
	}
	return ""
}

func required(path, value, advice string) error {
	if value == "" {
		return strictyaml.Fieldf(path, "is empty: %s", advice)
	}
	return nil
}

func address(path, value string) error {
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return strictyaml.Fieldf(path, "%q is not an address; write for example http://127.0.0.1:7600", value)
	}
	return nil
}

func listener(path, value string, optional bool) error {
	if value == "" && optional {
		return nil
	}
	_, port, err := net.SplitHostPort(value)
	n, convErr := strconv.Atoi(port)
	if err != nil || convErr != nil || n < 0 || n > 65535 {
		return strictyaml.Fieldf(path, "%q is not an address to listen on; write for example 127.0.0.1:7500", value)
	}
	return nil
}

func interval(path string, d strictyaml.Duration) error {
	if d.D() < minInterval || d.D() > maxInterval {
		return strictyaml.Fieldf(path, "must be from %s to %s", minInterval, maxInterval)
	}
	return nil
}
