package status

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	book "ghostlight/fleet/incident" // beside the package of that name that it is made of
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/internal/webui"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// Incidents is what the first page asks of the book of incidents: those that go on;
// [book.Book] does.
type Incidents interface {
	List(ctx context.Context, f book.Filter) ([]book.Item, error)
}

// Incident is one incident, or a group of them, as a row shows it. Times are Unix
// milliseconds, 0 where the stage is not reached or not known.
type Incident struct {
	ID      string `json:"id"`
	Region  string `json:"region,omitempty"`
	Venue   string `json:"venue,omitempty"`
	Node    string `json:"node,omitempty"`
	Carrier string `json:"carrier,omitempty"`
	Cause   string `json:"cause"`          // objective, journey, darkness or several
	Name    string `json:"name,omitempty"` // of the objective or journey
	Title   string `json:"title"`          // what fails, in a few words
	Urgency string `json:"urgency"`        // page or ticket
	Stage   string `json:"stage"`          // failed, detected, acknowledged, mitigated, parity or closed
	Open    bool   `json:"open"`
	Page    string `json:"page,omitempty"` // the key that people were told of it under; empty: they were not

	FailedMS       int64  `json:"failed_ms"`
	DetectedMS     int64  `json:"detected_ms"`
	AcknowledgedMS int64  `json:"acknowledged_ms"`
	AcknowledgedBy string `json:"acknowledged_by,omitempty"`
	MitigatedMS    int64  `json:"mitigated_ms"` // sales possible again
	ParityMS       int64  `json:"parity_ms"`    // all works again and the backlog is settled
	ClosedMS       int64  `json:"closed_ms"`
	ArrivedMS      int64  `json:"arrived_ms"` // when the centre first heard of it
	LastedMS       int64  `json:"lasted_ms"`  // until parity, or until now; planned time not counted
	PlannedMS      int64  `json:"planned_ms"` // of it planned
	Spells         int    `json:"spells"`     // times it failed; those close to each other are one incident

	AtRisk  *AtRisk    `json:"at_risk"`
	Tried   []Attempt  `json:"tried"`             // by the node itself, in order
	Trace   string     `json:"trace,omitempty"`   // of the latest failure that is kept, at Venue
	Finding *Finding   `json:"finding,omitempty"` // what a dark venue's sales turned out to be
	Members []Incident `json:"members,omitempty"` // what a group gathers
}

// Attempt is a heal that a node tried during an incident.
type Attempt struct {
	AtMS   int64  `json:"at_ms"`
	Title  string `json:"title"`
	Result string `json:"result"`
}

// Finding says whether a dark venue lost sales, once its backlog has landed.
type Finding struct {
	Sales          string `json:"sales"` // unaffected or lost
	Good           int64  `json:"good"`
	Bad            int64  `json:"bad"`
	PendingMinutes int64  `json:"pending_minutes"`
	AtMS           int64  `json:"at_ms"`
}

// Says is the finding in words.
func (f Finding) Says() string {
	went := webui.Plural(int(f.Good), "sale", "sales") + " went through meanwhile"
	if f.Sales == string(incident.Lost) {
		return fmt.Sprintf("sales were lost: %d failed, %s", f.Bad, went)
	}
	if f.Good == 0 {
		return "sales unaffected: nobody tried to buy meanwhile"
	}
	return "sales unaffected: " + went
}

// Tone of the incident: what is over is calm, what nobody can see is dark.
func (i Incident) Tone() string {
	switch {
	case !i.Open && i.Finding != nil && i.Finding.Sales == string(incident.Lost):
		return "warn"
	case !i.Open:
		return "ok"
	case i.MitigatedMS > 0 || i.Urgency == string(slo.Ticket) || i.accounted():
		return "warn"
	case i.Cause == string(incident.Darkness):
		return "dark"
	}
	return "bad"
}

// Says is the stage in words.
func (i Incident) Says() string {
	switch {
	case i.Stage == string(incident.Parity):
		return "over"
	case i.Stage == string(incident.Closed) && i.ParityMS == 0:
		return "closed without parity"
	case i.Stage == string(incident.Closed):
		return "closed"
	case i.MitigatedMS > 0:
		return "sells again, not yet at parity"
	case i.AcknowledgedBy != "":
		return "taken on by " + i.AcknowledgedBy
	case i.AcknowledgedMS > 0:
		return "taken on"
	case i.accounted():
		return "nobody is told while a venue accounts for it"
	}
	return "nobody has taken it on"
}

// Wakes reports whether it goes on and is worth waking somebody by itself.
func (i Incident) Wakes() bool { return i.Open && i.Urgency == string(slo.Page) && !i.accounted() }

// accounted reports whether it is the burning of many venues that nobody is told of,
// because they are told of what makes it.
func (i Incident) accounted() bool {
	return i.Open && i.Page == "" && i.Venue == "" && i.Cause == string(incident.Objective)
}

// Place says where it is, such as "brixton".
func (i Incident) Place() string {
	switch {
	case i.Carrier != "":
		return "carrier " + i.Carrier
	case i.Venue != "":
		return i.Venue
	case i.Region != "":
		return "region " + i.Region
	}
	return "all venues"
}

// ToIncident is the row of an incident, or of a group as one. Names says how an
// objective is called; nil leaves them as they are.
func ToIncident(item book.Item, now time.Time, names map[string]string) Incident {
	s := item.Scope
	out := Incident{
		ID: item.ID, Region: s.Region, Venue: s.Venue, Node: s.Node, Carrier: s.Carrier, Cause: string(s.Cause), Name: s.Name,
		Urgency: string(item.Urgency()), Stage: string(item.Stage()), Open: item.Open(), Page: item.Page, Spells: len(item.Spells()), Tried: []Attempt{},
	}
	for st, at := range map[incident.Stage]*int64{
		incident.Failed: &out.FailedMS, incident.Detected: &out.DetectedMS, incident.Acknowledged: &out.AcknowledgedMS,
		incident.Mitigated: &out.MitigatedMS, incident.Parity: &out.ParityMS, incident.Closed: &out.ClosedMS,
	} {
		*at, _ = item.When(st)
	}
	lasted, planned := item.Lasted(now)
	out.LastedMS, out.PlannedMS = lasted.Milliseconds(), planned.Milliseconds()
	for _, k := range item.Marks {
		out.ArrivedMS = earliest(out.ArrivedMS, k.ArrivedMS)
	}
	out.people(item.Incident)
	for _, h := range item.Tried() {
		out.Tried = append(out.Tried, Attempt{AtMS: h.AtMS, Title: h.Title, Result: h.Result})
	}
	if n := len(item.Links); n > 0 {
		out.Trace = item.Links[n-1].Fact.TraceID
	}
	if f, ok := item.Finding(); ok {
		found := ToFinding(f)
		out.Finding = &found
	}
	for _, m := range item.Gathered {
		row := ToIncident(book.Item{Incident: m, ID: m.ID()}, now, names)
		out.ArrivedMS = earliest(out.ArrivedMS, row.ArrivedMS)
		out.Members = append(out.Members, row)
		// Who takes on a part is at the whole.
		if at := row.AcknowledgedMS; at > 0 && (out.AcknowledgedMS == 0 || at < out.AcknowledgedMS) {
			out.AcknowledgedMS, out.AcknowledgedBy = at, row.AcknowledgedBy
		}
	}
	out.Title = title(out, names)
	return out
}

// ToFinding is a finding as the views show it.
func ToFinding(f incident.Finding) Finding {
	return Finding{Sales: string(f.Sales), Good: f.Good, Bad: f.Bad, PendingMinutes: f.Pending, AtMS: f.AtMS}
}

// people finds who took the incident on first.
func (i *Incident) people(whole incident.Incident) {
	var at int64
	for _, k := range whole.Notes {
		if n := k.Fact; n.Acknowledges && (at == 0 || n.AtMS < at) {
			at, i.AcknowledgedBy = n.AtMS, n.By
		}
	}
}

func earliest(a, b int64) int64 {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

// title says what fails.
func title(i Incident, names map[string]string) string {
	switch incident.Cause(i.Cause) {
	case incident.Objective:
		return cmp.Or(names[i.Name], i.Name) + " burns its budget"
	case incident.Journey:
		return "Journey " + i.Name + " fails"
	case incident.Darkness:
		switch n := len(i.Members); {
		case n > 0:
			return webui.Plural(n, "node", "nodes") + " went dark at once"
		case i.Node != "" && i.Node != i.Venue:
			return "Node " + i.Node + " is dark"
		}
		return "Nothing is heard"
	}
	var parts []string
	for _, m := range i.Members {
		parts = append(parts, bareTitle(m, names))
	}
	slices.Sort(parts)
	if parts = slices.Compact(parts); len(parts) == 0 {
		return "Several things fail at once"
	}
	return strings.ToUpper(parts[0][:1]) + parts[0][1:] + restOf(parts[1:])
}

// bareTitle names a member without saying again that it fails.
func bareTitle(i Incident, names map[string]string) string {
	if i.Cause == string(incident.Journey) {
		return "journey " + i.Name
	}
	return cmp.Or(names[i.Name], i.Name)
}

func restOf(parts []string) string {
	if len(parts) == 0 {
		return " fails"
	}
	if len(parts) > 2 {
		return fmt.Sprintf(" and %d more fail", len(parts))
	}
	for i, p := range parts {
		parts[i] = lowerFirst(p)
	}
	return " and " + strings.Join(parts, " and ") + " fail"
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// Names are the display names of objectives.
func Names(defs []ledger.Definition) map[string]string {
	out := map[string]string{}
	for _, d := range defs {
		out[d.Name] = cmp.Or(d.DisplayName, d.Name)
	}
	return out
}

// UrgentFirst orders incidents: those that go on first, pages before tickets, then
// the costlier, then the latest.
func UrgentFirst(a, b Incident) int {
	rank := func(i Incident) int {
		switch {
		case !i.Open:
			return 3
		case !i.Wakes():
			return 2
		case i.MitigatedMS > 0:
			return 1
		}
		return 0
	}
	money := func(i Incident) int64 {
		if i.Open && i.AtRisk != nil && i.AtRisk.Losing {
			return i.AtRisk.PerMinuteMinor
		}
		return 0
	}
	return cmp.Or(rank(a)-rank(b), cmp.Compare(money(b), money(a)), cmp.Compare(b.FailedMS, a.FailedMS), cmp.Compare(a.ID, b.ID))
}

// troubles are the incidents that go on, the most urgent first. What one costs is
// what its venue's row says.
func (v *Views) troubles(ctx context.Context, s shared, rows []Venue) ([]Incident, error) {
	out := []Incident{}
	if v.opt.Incidents == nil {
		return out, nil
	}
	open, err := v.opt.Incidents.List(ctx, book.Filter{Open: true})
	if err != nil {
		return nil, err
	}
	names := Names(s.defs)
	for _, item := range open {
		i := ToIncident(item, s.now, names)
		if at := slices.IndexFunc(rows, func(r Venue) bool { return r.Name == i.Venue }); at >= 0 {
			i.AtRisk = rows[at].AtRisk
		}
		out = append(out, i)
	}
	slices.SortFunc(out, UrgentFirst)
	return out, nil
}

// incidentsOf picks those of one venue.
func incidentsOf(all []Incident, venue string) []Incident {
	out := []Incident{}
	for _, i := range all {
		if i.Venue == venue || slices.ContainsFunc(i.Members, func(m Incident) bool { return m.Venue == venue }) {
			out = append(out, i)
		}
	}
	return out
}

// Risk estimates what a venue does not sell since a time: known to be lost while a
// node of it is heard, unseen while none is. Nil: it sells as usual.
func (v *Views) Risk(ctx context.Context, venue string, since time.Time) (*AtRisk, error) {
	state := Dark
	for _, n := range v.opt.Nodes.Nodes() {
		if n.Venue == venue && n.Live {
			state = Failing
		}
	}
	return v.estimate(ctx, state, venue, since, v.opt.Now())
}

// Cost estimates what a venue did not sell from a time to another, both past. Nil:
// it sold as usual.
func (v *Views) Cost(ctx context.Context, venue string, from, to time.Time) (*AtRisk, error) {
	return v.estimate(ctx, Failing, venue, from, to)
}

func (v *Views) estimate(ctx context.Context, state State, venue string, from, to time.Time) (*AtRisk, error) {
	var nodes []registry.View
	for _, n := range v.opt.Nodes.Nodes() {
		if n.Venue == venue {
			nodes = append(nodes, n)
		}
	}
	minutes, err := v.opt.Sales.Minutes(ctx, sales.Filter{Venues: []string{venue}, From: from.Add(-(riskBasis + 1) * time.Minute), To: to.Add(time.Minute)})
	if err != nil {
		return nil, fmt.Errorf("what is at risk at %s: %w", venue, err)
	}
	return EstimateRisk(state, from, to, firstSeen(nodes), minutes), nil
}
