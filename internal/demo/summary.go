package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Summary is the demo's proof, printed as one JSON object at its end.
type Summary struct {
	OK        bool      `json:"ok"`
	Seed      uint64    `json:"seed"`
	Nodes     []Node    `json:"nodes"`
	Sales     Sales     `json:"sales"`
	Processes []Process `json:"processes"`
}

// A Node compares what one node produced with what the centre holds of it.
type Node struct {
	Venue               string             `json:"venue"`
	Node                string             `json:"node"`
	SamplesProduced     int64              `json:"samples_produced"`      // the node's own count
	SamplesCentral      int64              `json:"samples_central"`       // in distinct accepted blocks
	SamplesDeclaredLost int64              `json:"samples_declared_lost"` // given up by declared policy
	RevenueProduced     map[string]float64 `json:"revenue_produced"`      // edgecore's counters by series without identity labels
	RevenueCentral      map[string]float64 `json:"revenue_central"`       // the same series at the centre
	DarkSeconds         float64            `json:"dark_seconds"`
	Heals               int64              `json:"heals"` // that succeeded
}

// Sales counts the same sales in four places.
type Sales struct {
	Crowd       int64 `json:"crowd"`        // confirmed to a customer
	EdgeLedgers int64 `json:"edge_ledgers"` // in the venues' ledgers
	HubLedger   int64 `json:"hub_ledger"`   // settled at the hub
	Report      int64 `json:"report"`       // in the reports of the events
}

// A Process is what one unit used over all its incarnations.
type Process struct {
	Name         string  `json:"name"`
	PeakRSSBytes int64   `json:"peak_rss_bytes"`
	CPUSeconds   float64 `json:"cpu_seconds"`
	Restarts     int     `json:"restarts"`
}

// Judge sets OK and returns what speaks against it, as sentences; none means OK.
// OK means that on every node produced = central + declared lost and revenue is
// equal, that all four counts of sales agree, and that something was sold.
func (s *Summary) Judge() []string {
	var against []string
	say := func(format string, args ...any) { against = append(against, fmt.Sprintf(format, args...)) }
	if len(s.Nodes) == 0 {
		say("no node reported")
	}
	for _, n := range s.Nodes {
		if n.SamplesProduced != n.SamplesCentral+n.SamplesDeclaredLost {
			say("%s/%s produced %d samples, but the centre holds %d and %d were declared lost", n.Venue, n.Node, n.SamplesProduced, n.SamplesCentral, n.SamplesDeclaredLost)
		}
		if n.SamplesProduced == 0 {
			say("%s/%s produced no samples", n.Venue, n.Node)
		}
		if len(n.RevenueProduced) == 0 {
			say("%s/%s has no revenue counters", n.Venue, n.Node)
		}
		for _, series := range differing(n.RevenueProduced, n.RevenueCentral) {
			say("%s/%s: %s is %s at the venue and %s at the centre", n.Venue, n.Node, series, valueOf(n.RevenueProduced, series), valueOf(n.RevenueCentral, series))
		}
	}
	if c := s.Sales; c.Crowd != c.EdgeLedgers || c.Crowd != c.HubLedger || c.Crowd != c.Report {
		say("sales differ: %d confirmed to the crowd, %d in the venues' ledgers, %d settled at the hub, %d in the reports", c.Crowd, c.EdgeLedgers, c.HubLedger, c.Report)
	}
	if s.Sales.Crowd == 0 {
		say("nothing was sold")
	}
	s.OK = len(against) == 0
	return against
}

// differing lists the series that are not equal in both, sorted.
func differing(a, b map[string]float64) []string {
	var out []string
	for series, v := range a {
		if w, ok := b[series]; !ok || v != w {
			out = append(out, series)
		}
	}
	for series := range b {
		if _, ok := a[series]; !ok {
			out = append(out, series)
		}
	}
	slices.Sort(out)
	return out
}

func valueOf(m map[string]float64, series string) string {
	if v, ok := m[series]; ok {
		return fmt.Sprint(v)
	}
	return "absent"
}

// Text is the summary for a reader.
func (s *Summary) Text() string {
	var b strings.Builder
	verdict := "Everything adds up."
	if !s.OK {
		verdict = "The numbers do not add up."
	}
	fmt.Fprintf(&b, "%s Seed %d.\n\n", verdict, s.Seed)
	fmt.Fprintf(&b, "sales: %d confirmed to the crowd, %d in the venues' ledgers, %d settled at the hub, %d in the reports\n\n", s.Sales.Crowd, s.Sales.EdgeLedgers, s.Sales.HubLedger, s.Sales.Report)
	fmt.Fprintf(&b, "%-16s %10s %10s %6s %8s %6s  %s\n", "node", "produced", "central", "lost", "dark s", "heals", "revenue series")
	for _, n := range s.Nodes {
		revenue := fmt.Sprintf("%d equal", len(n.RevenueProduced))
		if d := differing(n.RevenueProduced, n.RevenueCentral); len(d) > 0 {
			revenue = fmt.Sprintf("%d differ", len(d))
		}
		fmt.Fprintf(&b, "%-16s %10d %10d %6d %8.1f %6d  %s\n", n.Node, n.SamplesProduced, n.SamplesCentral, n.SamplesDeclaredLost, n.DarkSeconds, n.Heals, revenue)
	}
	fmt.Fprintf(&b, "\n%-22s %9s %9s %9s\n", "process", "peak MiB", "CPU s", "restarts")
	for _, p := range s.Processes {
		fmt.Fprintf(&b, "%-22s %9.1f %9.1f %9d\n", p.Name, float64(p.PeakRSSBytes)/(1<<20), p.CPUSeconds, p.Restarts)
	}
	return b.String()
}

// total sums counts by lane.
func total(byLane map[string]int64) int64 {
	var n int64
	for v := range maps.Values(byLane) {
		n += v
	}
	return n
}
