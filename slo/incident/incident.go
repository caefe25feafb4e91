package incident

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"strings"
	"time"

	"ghostlight/slo"
)

// Cause says what kind of thing fails.
type Cause string

// The causes.
const (
	Objective Cause = "objective" // Scope.Name burns its budget
	Journey   Cause = "journey"   // Scope.Name does not pass
	Darkness  Cause = "darkness"  // nothing is heard of the scope
	Several   Cause = "several"   // more than one of the above at once in one venue
)

// A Scope says where an incident is, and in what. Empty parts mean all of them:
// without a node it is the venue, without a venue the region, and so on. A scope
// with a node belongs to that node, all others belong to the centre.
type Scope struct {
	Region  string `json:"region,omitempty"`
	Venue   string `json:"venue,omitempty"`
	Node    string `json:"node,omitempty"`
	Carrier string `json:"carrier,omitempty"` // only of darkness that many nodes of one carrier share
	Cause   Cause  `json:"cause"`
	Name    string `json:"name,omitempty"` // of the objective or journey
}

// Within reports whether the scope lies inside the given node, so that what this
// node says of it may be believed.
func (s Scope) Within(region, venue, node string) bool {
	return s.Node != "" && s.Region == region && s.Venue == venue && s.Node == node
}

// Owner is who mints the incidents of the scope and whose clock its stages are on:
// the node, but for darkness, which no node can see of itself.
func (s Scope) Owner() Source {
	if s.Node != "" && s.Cause != Darkness {
		return Node
	}
	return Centre
}

// Source is whose clock and whose word a fact is.
type Source string

// The sources.
const (
	Node   Source = "node"
	Centre Source = "centre"
)

// Stage is how far an incident has come.
type Stage string

// The stages, in their usual order. An incident need not pass through all.
const (
	Failed       Stage = "failed"
	Detected     Stage = "detected"
	Acknowledged Stage = "acknowledged"
	Mitigated    Stage = "mitigated" // sales are possible again
	Parity       Stage = "parity"    // every declared capability works and the settlement backlog is reconciled
	Closed       Stage = "closed"
)

// Stages lists all stages in order.
func Stages() []Stage {
	return []Stage{Failed, Detected, Acknowledged, Mitigated, Parity, Closed}
}

// An Incident is an identity and the facts known about it. All times are Unix
// milliseconds. The zero facts are an incident too: any subset of the facts is, and
// may be merged. It is a value: methods return a new one and leave theirs alone.
type Incident struct {
	Scope   Scope `json:"scope"`
	StartMS int64 `json:"start_ms"` // what the identity was minted with; the failure itself is a mark

	Marks      []Known[Mark]       `json:"marks,omitempty"`
	Severities []Known[Severity]   `json:"severities,omitempty"`
	Heals      []Known[Heal]       `json:"heals,omitempty"`
	Links      []Known[Link]       `json:"links,omitempty"`
	Notes      []Known[Note]       `json:"notes,omitempty"`
	Plans      []Known[Plan]       `json:"plans,omitempty"`
	Findings   []Known[Finding]    `json:"findings,omitempty"`
	Members    []Known[Membership] `json:"members,omitempty"` // the incidents that this one gathers
	Also       []Known[Membership] `json:"also,omitempty"`    // further ids of this same incident, see [Fold]
}

// A Known is a fact, and when the centre first heard of it.
type Known[T any] struct {
	Fact      T     `json:"fact"`
	ArrivedMS int64 `json:"arrived_ms,omitempty"` // centre's clock; 0: the centre has not heard
}

// A Mark says that a stage was reached. An incident that failed again soon after
// parity has several spells, each with marks of its own. Of the marks of one spell,
// stage and source the highest revision counts.
type Mark struct {
	Stage    Stage  `json:"stage"`
	SpellMS  int64  `json:"spell_ms"` // which spell: its start as first believed
	AtMS     int64  `json:"at_ms"`    // source's clock
	Source   Source `json:"source"`
	Revision uint32 `json:"revision,omitempty"`
}

// A Severity says whom the incident wakes. The most urgent ever said counts.
type Severity struct {
	Urgency slo.Urgency `json:"urgency"`
	AtMS    int64       `json:"at_ms"`
	Source  Source      `json:"source"`
	// Rule is the key of the burn alert's rule that fired, and Event the id of the show
	// if it is of one show's budget. Both are empty where no burn alert fired, and in
	// records from before they were told.
	Rule  string `json:"rule,omitempty"`
	Event string `json:"event,omitempty"`
}

// A Heal is something the node tried by itself. Of one id the highest revision
// counts.
type Heal struct {
	ID       string `json:"id"`     // of the heal in the node's audit
	Title    string `json:"title"`  // such as "restart edgecore"
	Result   string `json:"result"` // "running", or what came of it
	AtMS     int64  `json:"at_ms"`
	Revision uint32 `json:"revision,omitempty"`
}

// A Link points to evidence: the trace of a failing journey or of a lost sale.
type Link struct {
	TraceID string `json:"trace_id"` // 32 lower-case hex digits
	Text    string `json:"text,omitempty"`
	AtMS    int64  `json:"at_ms"`
}

// A Note is what a person wrote, or that a person took the incident on.
type Note struct {
	By           string `json:"by"`
	Text         string `json:"text,omitempty"`
	Acknowledges bool   `json:"acknowledges,omitempty"`
	AtMS         int64  `json:"at_ms"`
	Source       Source `json:"source"` // where it was written
}

// A Plan is a planned window, [FromMS, ToMS): time in it does not count as lost.
type Plan struct {
	FromMS int64  `json:"from_ms"`
	ToMS   int64  `json:"to_ms"`
	Text   string `json:"text,omitempty"`
}

// Sales says what a dark venue's sales turned out to be.
type Sales string

// The findings about sales.
const (
	Unaffected Sales = "unaffected"
	Lost       Sales = "lost"
)

// A Finding reclassifies a dark venue's incident once its backlog has landed. The
// counts are the evidence, over the time the venue was dark. The highest revision
// counts.
type Finding struct {
	Sales    Sales  `json:"sales"`
	Good     int64  `json:"good"`    // sales that succeeded
	Bad      int64  `json:"bad"`     // sales that failed
	Pending  int64  `json:"pending"` // minutes nothing is known of yet
	AtMS     int64  `json:"at_ms"`   // centre's clock
	Revision uint32 `json:"revision"`
}

// A Membership names another incident.
type Membership struct {
	ID string `json:"id"`
}

// New mints the incident of a failure at start. The same scope and start give the
// same id, on any machine and after any restart, so start must be taken from what is
// durable, such as the first bad minute. The failure is its first mark.
func New(s Scope, start time.Time) Incident {
	i := Incident{Scope: s, StartMS: start.UnixMilli()}
	return i.Mark(Mark{Stage: Failed, SpellMS: i.StartMS, AtMS: i.StartMS, Source: s.Owner()})
}

// ID is the incident's stable name, which is also the de-duplication key of its
// pages: "inc-" and 24 characters of a hash of scope and start.
func (i Incident) ID() string {
	// Marshalling strings in a fixed order cannot fail and is canonical.
	doc, _ := json.Marshal(struct {
		Version int   `json:"v"`
		Scope   Scope `json:"scope"`
		StartMS int64 `json:"start_ms"`
	}{1, i.Scope, i.StartMS})
	sum := sha256.Sum256(doc)
	return "inc-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:15]))
}

// Mark returns i with a mark added.
func (i Incident) Mark(m Mark) Incident { i.Marks = add(i.Marks, m); return i }

// Rate returns i with a severity added.
func (i Incident) Rate(s Severity) Incident { i.Severities = add(i.Severities, s); return i }

// Try returns i with a heal added.
func (i Incident) Try(h Heal) Incident { i.Heals = add(i.Heals, h); return i }

// Link returns i with evidence added.
func (i Incident) Link(l Link) Incident { i.Links = add(i.Links, l); return i }

// Plan returns i with a planned window added.
func (i Incident) Plan(p Plan) Incident { i.Plans = add(i.Plans, p); return i }

// Find returns i with a finding added.
func (i Incident) Find(f Finding) Incident { i.Findings = add(i.Findings, f); return i }

// Gather returns i with another incident as a member.
func (i Incident) Gather(id string) Incident { i.Members = add(i.Members, Membership{id}); return i }

// Note returns i with a person's note added. One that acknowledges marks the stage.
func (i Incident) Note(n Note) Incident {
	i.Notes = add(i.Notes, n)
	if n.Acknowledges {
		i = i.Mark(Mark{Stage: Acknowledged, SpellMS: i.lastSpell(), AtMS: n.AtMS, Source: n.Source})
	}
	return i
}
