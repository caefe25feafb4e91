package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/incident"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
	scopes "ghostlight/slo/incident"
)

// facts are what the books know of the place of an incident, for who is paged.
type facts struct {
	nodes    *registry.Registry
	sales    *sales.Book
	carriers map[buffer.Source]string
}

// of says what is known of a scope. What cannot be read is left out: a page that says
// less is better than none.
func (f *facts) of(ctx context.Context, s scopes.Scope, since time.Time) incident.Facts {
	nodes := f.within(s)
	var out incident.Facts
	if len(nodes) == 0 {
		return out
	}
	out.AtRisk, out.Carrier = f.atRisk(ctx, s, nodes, since), f.carriers[nodes[0].Source]
	for _, v := range nodes {
		if f.carriers[v.Source] != out.Carrier {
			out.Carrier = ""
		}
		if out.Contact == "" && s.Venue != "" {
			out.Contact = v.Contact
		}
	}
	if v := nodes[0]; s.Node != "" && !v.Live {
		out.LastHeard = v.LastSeen
		out.LastWords = lastWords(v)
	}
	if s.Node != "" {
		out.Battery = nodes[0].Heartbeat.Battery
	}
	return out
}

// within lists the nodes of a scope.
func (f *facts) within(s scopes.Scope) []registry.View {
	return slices.DeleteFunc(f.nodes.Nodes(), func(v registry.View) bool {
		return (s.Region != "" && v.Region != s.Region) || (s.Venue != "" && v.Venue != s.Venue) || (s.Node != "" && v.Node != s.Node) ||
			(s.Carrier != "" && f.carriers[v.Source] != s.Carrier)
	})
}

// riskFrom is how far back sales are read to know what is usual.
const riskFrom = 31 * time.Minute

// atRisk estimates what a minute costs; nil where it is not known.
func (f *facts) atRisk(ctx context.Context, s scopes.Scope, nodes []registry.View, since time.Time) *notify.Money {
	filter := sales.Filter{From: since.Add(-riskFrom), To: time.Now().Add(time.Minute)}
	var known time.Time
	for _, v := range nodes {
		filter.Venues = append(filter.Venues, v.Venue)
		if known.IsZero() || (!v.FirstSeen.IsZero() && v.FirstSeen.Before(known)) {
			known = v.FirstSeen
		}
	}
	slices.Sort(filter.Venues)
	filter.Venues = slices.Compact(filter.Venues)
	if s.Node != "" && len(nodes) == 1 {
		filter.Node = nodes[0].Source
	}
	minutes, err := f.sales.Minutes(ctx, filter)
	if err != nil {
		return nil
	}
	state := status.Failing
	if s.Cause == scopes.Darkness {
		state = status.Dark
	}
	risk := status.EstimateRisk(state, since, time.Now(), known, minutes)
	if risk == nil || !risk.Known {
		return nil
	}
	return &notify.Money{PerMinuteMinor: risk.PerMinuteMinor, Currency: risk.Currency, Basis: risk.Basis}
}

// lastWords is what a node said of itself when it was last heard.
func lastWords(v registry.View) string {
	var words []string
	if v.Score != nil && v.Score.Known {
		say := "health " + webui.Number(float64(int(v.Score.Value+0.5))) + " of 100"
		if len(v.Score.Contributors) > 0 {
			say += " (" + strings.TrimSuffix(v.Score.Contributors[0].Text, ".") + ")"
		}
		words = append(words, say)
	}
	for _, j := range v.Journeys {
		word := "passed"
		if !j.Pass {
			word = "failed at step " + j.FailedStep
		}
		words = append(words, fmt.Sprintf("journey %s %s at %s", j.Journey, word, time.UnixMilli(j.StartMS).UTC().Format("15:04 UTC")))
	}
	if lane := v.Heartbeat.Lanes[buffer.Revenue]; lane.Records.Waiting > 0 {
		words = append(words, webui.Plural(int(lane.Records.Waiting), "revenue record", "revenue records")+" waiting")
	}
	if len(words) == 0 {
		return ""
	}
	return strings.Join(words, "; ") + "."
}
