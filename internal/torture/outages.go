package torture

import (
	"cmp"
	"slices"

	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// An outage is what statistics of recovery count as one. Times are Unix milliseconds.
type outage struct {
	where  string // the venue, or the node that was dark
	failed int64
	ended  int64 // 0: it goes on
	names  []string
}

const (
	// sameFlap is how soon behind its end a failure of the same thing is the same
	// incident to the centre, and sameCause how soon behind another one of the venue the
	// same outage.
	sameFlap  = 5 * 60_000
	sameCause = 10 * 60_000
	// crowd nodes or more that go dark within sameCrowd, and are more than a fifth of
	// all, are one outage.
	crowd     = 3
	sameCrowd = 60_000
)

// outagesOf makes outages of incidents of so many nodes: what wakes nobody is none, nor
// the burning of many venues; a dark node is one of its own, unless others go dark with
// it.
func outagesOf(list []incident.Incident, nodes int) []outage {
	var dark []outage
	venues := map[string][]outage{}
	for _, o := range failures(list) {
		if o.names[0] == string(incident.Darkness) {
			dark = append(dark, o)
			continue
		}
		venues[o.where] = append(venues[o.where], o)
	}
	out := crowds(dark, nodes)
	for _, all := range venues {
		slices.SortFunc(all, func(a, b outage) int { return cmp.Compare(a.failed, b.failed) })
		last := int64(0)
		for i, o := range all {
			if i == 0 || o.failed-last > sameCause {
				out = append(out, o)
			} else {
				out[len(out)-1] = out[len(out)-1].with(o)
			}
			last = o.failed
		}
	}
	return out
}

// crowds are the outages of dark nodes. Where one crowd runs into the next they are one.
func crowds(dark []outage, nodes int) (out []outage) {
	slices.SortFunc(dark, func(a, b outage) int { return cmp.Compare(a.failed, b.failed) })
	of := make([]int, len(dark)) // where the crowd began that each is in, -1: in none
	for i := range of {
		of[i] = -1
	}
	for i, first := range dark {
		names := map[string]bool{}
		end := i
		for ; end < len(dark) && dark[end].failed-first.failed <= sameCrowd; end++ {
			names[dark[end].where] = true
		}
		if len(names) < crowd || 5*len(names) <= nodes {
			continue
		}
		at := i
		if of[i] >= 0 {
			at = of[i]
		}
		for k := i; k < end; k++ {
			of[k] = at
		}
	}
	places := map[int]int{}
	for i, o := range dark {
		at, ok := places[of[i]]
		if of[i] >= 0 && ok {
			out[at] = out[at].with(o)
			continue
		}
		places[of[i]] = len(out)
		out = append(out, o)
	}
	return out
}

// with is the outage that lasts for as long as both.
func (o outage) with(x outage) outage {
	if o.ended != 0 && x.ended != 0 {
		o.ended = max(o.ended, x.ended)
	} else {
		o.ended = 0
	}
	o.failed, o.names = min(o.failed, x.failed), append(o.names, x.names...)
	return o
}

// failures are the incidents that wake somebody, those that are flaps of each other as
// one.
func failures(list []incident.Incident) (out []outage) {
	of := map[incident.Scope][]incident.Incident{}
	for _, is := range list {
		if s := is.Scope; s.Venue != "" {
			of[s] = append(of[s], is)
		}
	}
	for s, all := range of {
		slices.SortFunc(all, func(a, b incident.Incident) int {
			x, _ := a.When(incident.Failed)
			y, _ := b.When(incident.Failed)
			return cmp.Or(cmp.Compare(x, y), cmp.Compare(a.StartMS, b.StartMS))
		})
		var folded []outage
		var wakes []bool
		for _, is := range all {
			o := outage{where: s.Region + "/" + s.Venue, names: []string{s.Name}}
			if s.Cause == incident.Darkness {
				o.where, o.names[0] = o.where+"/"+s.Node, string(incident.Darkness)
			}
			o.failed, _ = is.When(incident.Failed)
			o.ended, _ = is.When(incident.Parity)
			if n := len(folded); n > 0 && (folded[n-1].ended == 0 && s.Cause == incident.Darkness || folded[n-1].ended != 0 && o.failed-folded[n-1].ended < sameFlap) {
				folded[n-1] = folded[n-1].with(o)
				wakes[n-1] = wakes[n-1] || is.Urgency() == slo.Page
				continue
			}
			folded, wakes = append(folded, o), append(wakes, is.Urgency() == slo.Page)
		}
		for i, o := range folded {
			if wakes[i] {
				out = append(out, o)
			}
		}
	}
	return out
}
