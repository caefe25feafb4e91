package report

import (
	"fmt"
	"slices"

	"ghostlight/fleet/status"
	"ghostlight/fleet/status/incidents"
	"ghostlight/fleet/status/objectives"
	"ghostlight/internal/webui"
)

// troubles are the incidents that touched the event, by their failure.
func (f facts) troubles() []status.Incident {
	names := status.Names(f.defs)
	out := []status.Incident{}
	for _, item := range f.incidents {
		out = append(out, status.ToIncident(item, f.now, names))
	}
	slices.SortStableFunc(out, func(a, b status.Incident) int { return int(a.FailedMS - b.FailedMS) })
	return out
}

// restored is how long recovery took.
func restored(f facts) incidents.Restore { return incidents.ToRestore(f.mttr.Summary) }

// audited are the pages of the event's venues.
func audited(f facts) objectives.Audit {
	return objectives.ToAudit(f.pages, f.now)
}

// recovery says in words how long recovery took; "" where nothing failed.
func recovery(r Report) string {
	m := r.Restored
	switch {
	case m.N == 0:
		return ""
	case m.Open == m.N:
		return fmt.Sprintf("recovery: none of %s is over", webui.Plural(m.N, "incident", "incidents"))
	case m.N == 1:
		return "recovery took " + m.Median.Says
	}
	says := fmt.Sprintf("recovery took %s in the median of %d incidents", m.Median.Says, m.N)
	if m.Open > 0 {
		says += fmt.Sprintf(", %d of them not over", m.Open)
	}
	return says
}
