package torture

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"ghostlight/buffer/delta"
	"ghostlight/collector/incidents"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// watched reports whether the pages of an objective are compared: those that count
// all events. Nodes watch every one.
func watched(o slo.Objective) bool { return o.Budgeting == slo.Occurrences && len(o.Exclusions) == 0 }

// Pages are incidents by id, which is the key of their pages, as somebody heard of
// them.
type pages map[string]incident.Incident

// hear takes one record of a node; it may come again, and in any order.
func (p pages) hear(n *node, r delta.Record) (incident.Incident, error) {
	is, err := incident.Heard(r.Key, r.Body, n.source.Region, n.source.Venue, n.source.Node)
	if err != nil {
		return is, err
	}
	if old, ok := p[is.ID()]; ok {
		if is, err = incident.Merge(old, is); err != nil {
			return is, err
		}
	}
	p[is.ID()] = is
	return is, nil
}

// hear notes an incident in a list.
func (f *feed) hear(p pages, n *node, r delta.Record) {
	if _, err := p.hear(n, r); err != nil {
		f.problem("incident %s of %s cannot be heard: %v", r.Key, n.source, err)
	}
}

// judgePages looks whether the centre heard of every incident that a node has on
// disk, all there is to know of it, and whether one outage has one key.
func (f *feed) judgePages() error {
	f.Pages += len(f.paged)
	for id, is := range f.paged {
		heard, ok := f.centre.pages[id]
		if !ok {
			f.problem("incident %s of %v was never heard of", id, is.Scope)
			continue
		}
		said, err := is.Encode()
		if err != nil {
			return fmt.Errorf("incident %s: %w", id, err)
		}
		got, err := heard.Encode()
		if err != nil {
			return fmt.Errorf("incident %s: %w", id, err)
		}
		if !bytes.Equal(said, got) {
			f.problem("incident %s: the centre heard %s, the node has on disk %s", id, got, said)
		}
	}
	for id, is := range f.centre.pages {
		if _, ok := f.paged[id]; !ok {
			f.problem("the centre heard of incident %s of %v, which no node has on disk", id, is.Scope)
		}
	}
	f.judgeKeys()
	return nil
}

// judgeKeys looks whether one outage has one key: no incident of a scope begins while
// another goes on, or so soon behind it that it is the same.
func (f *feed) judgeKeys() {
	of := map[incident.Scope][]incident.Incident{}
	for _, is := range f.centre.pages {
		of[is.Scope] = append(of[is.Scope], is)
	}
	for s, list := range of {
		slices.SortFunc(list, func(a, b incident.Incident) int { return cmp.Compare(a.StartMS, b.StartMS) })
		for i, is := range list[1:] {
			before := list[i]
			ended, over := before.When(incident.Parity)
			soon := is.StartMS-ended < incidents.DefaultFlap.Milliseconds() && len(before.Spells()) < incident.MaxSpells
			if !over || soon {
				f.problem("%v: incident %s began at %s, while incident %s of %s ended at %s (at all: %v)", s, is.ID(), utc(is.StartMS), before.ID(), utc(before.StartMS), utc(ended), over)
			}
		}
	}
}

func utc(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
