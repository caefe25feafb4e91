package status

import (
	"ghostlight/fleet/registry"
)

func toHeal(h registry.Heal) Heal {
	return Heal{
		Region: h.Region, Venue: h.Venue, Node: h.Node, Seq: h.Seq, AtMS: h.AtMS, Action: h.Action,
		Reason: h.Reason, Result: h.Result, Detail: h.Detail, DurationMS: h.DurationMS,
	}
}

// Settled are the heals of a venue ("" for all) without the "started" records
// whose result is there too; the latest first, at most n.
func Settled(all []registry.Heal, venue string, n int) []Heal {
	out := []Heal{}
	finished := map[string]bool{} // node and action whose result comes later in time
	for _, h := range all {
		if venue != "" && h.Venue != venue {
			continue
		}
		key := h.Source.String() + " " + h.Action
		if h.Result == "started" && finished[key] {
			finished[key] = false
			continue
		}
		finished[key] = h.Result != "started"
		if len(out) < n {
			out = append(out, toHeal(h))
		}
	}
	return out
}

func countHeals(all []registry.Heal, venue string) HealCounts {
	var c HealCounts
	for _, h := range all {
		switch {
		case venue != "" && h.Venue != venue, h.Result == "started":
		case h.Result == "succeeded":
			c.Succeeded++
		case h.Result == "failed":
			c.Failed++
		default:
			c.Other++
		}
	}
	return c
}
