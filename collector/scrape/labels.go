package scrape

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"ghostlight/buffer/delta"
)

const nameLabel = "__name__"

// ownLabels are the labels that the scraper gives every series of a target.
func ownLabels(cfg Target, instance string) []delta.Label {
	own := []delta.Label{{Name: "instance", Value: instance}, {Name: "job", Value: cfg.Job}}
	for name, v := range cfg.Labels {
		if v == "" {
			continue
		}
		own = slices.DeleteFunc(own, func(l delta.Label) bool { return l.Name == name })
		own = append(own, delta.Label{Name: name, Value: v})
	}
	sortLabels(own)
	return own
}

// merge joins the labels of an exposed series with our own. On a collision the
// exposed one moves to exported_<name>, or stays if honor is set.
func merge(exposed labels.Labels, own []delta.Label, honor bool) []delta.Label {
	out := make([]delta.Label, 0, exposed.Len()+len(own))
	var moved []delta.Label
	emptied := map[string]bool{} // honoured: exposing job="" asks for no job at all
	exposed.Range(func(l labels.Label) {
		d := delta.Label{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)}
		switch {
		case l.Value == "":
			emptied[d.Name] = honor
		case !honor && has(own, l.Name):
			moved = append(moved, d)
		default:
			out = append(out, d)
		}
	})
	for _, l := range own {
		if !has(out, l.Name) && !emptied[l.Name] {
			out = append(out, l)
		}
	}
	// The shortest names first, so that "a" cannot take the place that
	// "exported_a" is still to be moved from.
	sort.SliceStable(moved, func(i, j int) bool { return len(moved[i].Name) < len(moved[j].Name) })
	for _, l := range moved {
		for l.Name = "exported_" + l.Name; has(out, l.Name); {
			l.Name = "exported_" + l.Name
		}
		out = append(out, l)
	}
	sortLabels(out)
	return out
}

// maxLabels bounds the names and values of one series, in bytes: what a block's
// decoder takes with room to spare.
const maxLabels = 16 << 10

// check reports a series that could not be stored.
func check(ls []delta.Label) error {
	size := 0
	for _, l := range ls {
		size += len(l.Name) + len(l.Value)
	}
	switch {
	case nameOf(ls) == "":
		return errors.New("the body is malformed: a series has no name")
	case size > maxLabels:
		return fmt.Errorf("series %s has %d bytes of labels, more than %d", nameOf(ls), size, maxLabels)
	}
	return nil
}

func has(ls []delta.Label, name string) bool {
	return slices.ContainsFunc(ls, func(l delta.Label) bool { return l.Name == name })
}

func sortLabels(ls []delta.Label) {
	slices.SortFunc(ls, func(a, b delta.Label) int { return strings.Compare(a.Name, b.Name) })
}

func nameOf(ls []delta.Label) string {
	for _, l := range ls {
		if l.Name == nameLabel {
			return l.Value
		}
	}
	return ""
}

// report is what a scrape says about itself.
type report struct {
	up             bool
	took           time.Duration
	scraped, added int
}

// tookGrain is how exact the time of a scrape is told: the digits behind would cost
// as much as all else that it reports.
const tookGrain = 100 * time.Microsecond

// appendReport adds up and the scrape_* series.
func (t *target) appendReport(series []delta.Series, ts int64, r report) []delta.Series {
	up := 0.0
	if r.up {
		up = 1
	}
	for _, m := range []struct {
		name, unit, help string
		v                float64
	}{
		{"up", "", "1 if the last scrape of the target succeeded, 0 if not.", up},
		{"scrape_duration_seconds", "seconds", "How long the scrape took.", r.took.Round(tookGrain).Seconds()},
		{"scrape_samples_scraped", "", "Samples the target exposed.", float64(r.scraped)},
		{"scrape_samples_post_metric_relabeling", "", "Samples left after relabeling.", float64(r.scraped)},
		{"scrape_series_added", "", "Series the scrape before did not have.", float64(r.added)},
	} {
		ls := make([]delta.Label, 0, len(t.own)+1)
		ls = append(ls, delta.Label{Name: nameLabel, Value: m.name})
		ls = append(ls, t.own...)
		sortLabels(ls)
		series = append(series, delta.Series{
			Labels: ls, Meta: delta.Meta{Type: delta.Gauge, Unit: m.unit, Help: m.help},
			Samples: []delta.Sample{{Time: ts, Value: m.v}},
		})
	}
	return series
}
