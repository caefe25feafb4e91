package peer

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"ghostlight/slo"
)

// An Objective is one promise to one venue, or to each of many, as who generates
// rules writes it down.
type Objective struct {
	ID      string // unique
	Service string
	Target  float64
	Days    int // of the period
	// Bad and Total are selectors of counters.
	Bad, Total slo.Selector
	Tiers      []slo.Tier // the windows and rates that are alerted on
	By         []string   // labels whose values are judged each by itself; none: all together
}

// A File is a rule file.
type File struct {
	Groups []Group `yaml:"groups"`
}

// A Group is evaluated in order.
type Group struct {
	Name  string `yaml:"name"`
	Rules []Rule `yaml:"rules"`
}

// A Rule records or alerts.
type Rule struct {
	Record string            `yaml:"record,omitempty"`
	Alert  string            `yaml:"alert,omitempty"`
	Expr   string            `yaml:"expr"`
	Labels map[string]string `yaml:"labels,omitempty"`
}

// YAML is the file's text.
func (f File) YAML() ([]byte, error) { return yaml.Marshal(f) }

// Rules are what a generator of the known kind makes of an objective: the error
// ratio over each window recorded from the counters, the ratio over the whole period
// from the shortest of them, and one alert for each urgency over pairs of windows.
// Windows without events are left out, as who knows the pitfall writes it: 0/0 is NaN,
// and a single one would make the ratio over the whole period NaN for good.
// Source: SRE Workbook, chapter 5, and how Sloth lays its rules out.
func Rules(o Objective) []Group {
	ids := map[string]string{"sloth_id": o.ID, "sloth_service": o.Service, "sloth_slo": o.ID}
	with := func(more ...string) map[string]string {
		out := map[string]string{}
		for k, v := range ids {
			out[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	sli := Group{Name: "sloth-slo-sli-recordings-" + o.ID}
	seen := map[time.Duration]bool{}
	for _, w := range o.windows() {
		if seen[w] {
			continue
		}
		seen[w] = true
		sli.Rules = append(sli.Rules, Rule{
			Record: ratioName(w), Labels: with("sloth_window", Duration(w)),
			Expr: fmt.Sprintf("(%s)\n/\n(%s > 0)", o.sum("rate", o.Bad, w), o.sum("rate", o.Total, w)),
		})
	}
	sli.Rules = append(sli.Rules, Rule{
		Record: "slo:sli_error:ratio_rate" + o.period(), Expr: o.Period(), Labels: with("sloth_window", o.period()),
	})
	alerts := Group{Name: "sloth-slo-alerts-" + o.ID}
	for _, u := range []slo.Urgency{slo.Page, slo.Ticket} {
		if expr := o.alert(u); expr != "" {
			alerts.Rules = append(alerts.Rules, Rule{Alert: "ErrorBudgetBurn", Expr: expr, Labels: with("sloth_severity", string(u))})
		}
	}
	return []Group{sli, alerts}
}

// shortest is the window that the ratio over the period is made of.
const shortest = 5 * time.Minute

func (o Objective) windows() []time.Duration {
	out := []time.Duration{shortest}
	for _, t := range o.Tiers {
		out = append(out, t.Short, t.Long)
	}
	return out
}

func (o Objective) period() string { return strconv.Itoa(o.Days) + "d" }

// Period is the error ratio over the whole period, as recorded.
func (o Objective) Period() string {
	recorded := fmt.Sprintf("%s{sloth_id=%q}[%s]", ratioName(shortest), o.ID, o.period())
	return fmt.Sprintf("sum_over_time(%s)\n/ ignoring (sloth_window)\ncount_over_time(%s)", recorded, recorded)
}

// Straight is the error ratio over a window from the counters themselves, which
// nobody records over days but somebody may ask for.
func (o Objective) Straight(w time.Duration) string {
	return o.sum("increase", o.Bad, w) + " / " + o.sum("increase", o.Total, w)
}

// sum adds up what a function says of a counter over a window.
func (o Objective) sum(function string, counter slo.Selector, w time.Duration) string {
	by := ""
	if len(o.By) > 0 {
		by = " by (" + strings.Join(o.By, ", ") + ") "
	}
	return fmt.Sprintf("sum%s(%s(%s[%s]))", by, function, counter, Duration(w))
}

// alert is one urgency's condition, "" if no tier has it.
func (o Objective) alert(u slo.Urgency) string {
	expr := ""
	for _, t := range o.Tiers {
		if t.Urgency != u {
			continue
		}
		if expr != "" {
			expr += "\nor\n"
		}
		over := func(w time.Duration) string {
			return fmt.Sprintf("max(%s{sloth_id=%q} > (%s * %s)) without (sloth_window)", ratioName(w), o.ID, number(t.Rate), number(1-o.Target))
		}
		expr += "(\n" + over(t.Short) + "\nand\n" + over(t.Long) + "\n)"
	}
	return expr
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 10, 64) }

func ratioName(w time.Duration) string { return "slo:sli_error:ratio_rate" + Duration(w) }

// Duration is a duration as PromQL writes it, in its largest whole unit.
func Duration(d time.Duration) string {
	for _, u := range []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if d%u.of == 0 {
			return strconv.FormatInt(int64(d/u.of), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}
