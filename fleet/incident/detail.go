package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"ghostlight/fleet/notify"
	"ghostlight/slo/incident"
)

// A StageTime is when a stage was reached, by the clock of who saw it, and when the
// centre heard of that.
type StageTime struct {
	Stage     incident.Stage  `json:"stage"`
	AtMS      int64           `json:"at_ms"`
	Source    incident.Source `json:"source"` // whose clock AtMS is
	ArrivedMS int64           `json:"arrived_ms,omitempty"`
}

// What a [Moment] is.
const (
	MomentStage   = "stage"
	MomentHeal    = "heal"
	MomentNote    = "note"
	MomentLink    = "link"
	MomentFinding = "finding"
	MomentPlan    = "plan"
	MomentPage    = "page"
)

// A Moment is one entry of an incident's timeline.
type Moment struct {
	AtMS      int64             `json:"at_ms"` // by the clock of Source
	Source    incident.Source   `json:"source"`
	ArrivedMS int64             `json:"arrived_ms,omitempty"` // centre's clock
	Incident  string            `json:"incident"`             // whose it is: of a group, the member's id or its own
	Kind      string            `json:"kind"`
	Stage     incident.Stage    `json:"stage,omitempty"`
	By        string            `json:"by,omitempty"`
	Text      string            `json:"text,omitempty"`
	TraceID   string            `json:"trace_id,omitempty"`
	ToMS      int64             `json:"to_ms,omitempty"` // end of a planned window
	Finding   *incident.Finding `json:"finding,omitempty"`
	Page      *notify.Entry     `json:"page,omitempty"`
}

// A Detail is all that is known of one incident.
type Detail struct {
	Item
	Group    string        `json:"group,omitempty"` // the group it is in
	Stages   []StageTime   `json:"stages"`          // those reached, in order
	Timeline []Moment      `json:"timeline"`        // by time
	Lasted   time.Duration `json:"lasted"`          // less what was planned
	Planned  time.Duration `json:"planned"`
}

// Get returns one incident or group by any of its ids, or [ErrUnknown].
func (b *Book) Get(ctx context.Context, id string) (Detail, error) {
	r, err := resolve(ctx, b.o.Store.Read(), id)
	if err != nil {
		return Detail{}, err
	}
	c, err := b.causeOf(ctx, r)
	if err != nil {
		return Detail{}, fmt.Errorf("read %s: %w", id, err)
	}
	d := Detail{Item: c.item()}
	if !c.grouped {
		groups, err := b.gathering(ctx, []string{d.ID, r.ID()})
		if err != nil {
			return Detail{}, err
		}
		if len(groups) > 0 {
			d.Group = groups[0]
		}
	}
	items := []Item{d.Item}
	if err := b.pagesOf(ctx, items); err != nil {
		return Detail{}, err
	}
	d.Item = items[0]
	d.Lasted, d.Planned = d.Incident.Lasted(b.o.Now())
	d.Stages, d.Timeline = stagesOf(c), timelineOf(c)
	if err := b.addPages(ctx, &d); err != nil {
		return Detail{}, err
	}
	slices.SortStableFunc(d.Timeline, func(x, y Moment) int { return cmp.Compare(x.AtMS, y.AtMS) })
	return d, nil
}

// causeOf is a group with its members, or an incident with its flaps.
func (b *Book) causeOf(ctx context.Context, r row) (cause, error) {
	if r.gathers {
		members, err := byID(ctx, b.o.Store.Read(), r.MemberIDs())
		if err != nil {
			return cause{}, err
		}
		folded := incident.Fold(plain(members), b.o.Flap)
		return cause{Group: incident.Group{Incident: r.Incident, Gathered: folded}, grouped: true}, nil
	}
	found, err := rows(ctx, b.o.Store.Read(), `WHERE region = ? AND venue = ? AND node = ? AND cause = ? AND gathers = 0 ORDER BY failed_ms DESC LIMIT ?`,
		r.Scope.Region, r.Scope.Venue, r.Scope.Node, string(r.Scope.Cause), mostRows)
	if err != nil {
		return cause{}, err
	}
	id := r.ID()
	for _, i := range incident.Fold(plain(found), b.o.Flap) {
		if i.ID() == id || slices.Contains(i.AlsoIDs(), id) {
			return cause{Group: incident.Group{Incident: i, Gathered: []incident.Incident{i}}}, nil
		}
	}
	return cause{Group: incident.Group{Incident: r.Incident, Gathered: []incident.Incident{r.Incident}}}, nil
}

// parts are the incidents whose facts a cause shows.
func (c cause) parts() []incident.Incident {
	if c.grouped {
		return append([]incident.Incident{c.Incident}, c.Gathered...)
	}
	return c.Gathered
}

// stagesOf tells of each stage reached the mark that says so.
func stagesOf(c cause) []StageTime {
	whole := c.whole()
	out := []StageTime{}
	for _, st := range incident.Stages() {
		at, ok := whole.When(st)
		if !ok {
			continue
		}
		s := StageTime{Stage: st, AtMS: at, Source: whole.Scope.Owner()}
		for _, i := range c.parts() {
			for _, k := range i.Marks {
				if k.Fact.Stage == st && k.Fact.AtMS == at && (s.ArrivedMS == 0 || k.ArrivedMS < s.ArrivedMS) {
					s.Source, s.ArrivedMS = k.Fact.Source, k.ArrivedMS
				}
			}
		}
		out = append(out, s)
	}
	return out
}

func timelineOf(c cause) []Moment {
	out := []Moment{}
	for _, i := range c.parts() {
		if !c.grouped || i.Scope != c.Scope {
			out = append(out, told(i)...)
		}
		out = append(out, written(i)...)
	}
	return out
}

// told is the part of the timeline that machines told. That a group failed is its
// members' to tell.
func told(i incident.Incident) []Moment {
	id, owner := i.ID(), i.Scope.Owner()
	var out []Moment
	for _, k := range i.Marks {
		if k.Fact.Stage != incident.Acknowledged && k.Fact.Stage != incident.Closed {
			out = append(out, Moment{AtMS: k.Fact.AtMS, Source: k.Fact.Source, ArrivedMS: k.ArrivedMS, Incident: id, Kind: MomentStage, Stage: k.Fact.Stage})
		}
	}
	arrived := map[incident.Heal]int64{}
	for _, k := range i.Heals {
		arrived[k.Fact] = k.ArrivedMS
	}
	for _, h := range i.Tried() {
		out = append(out, Moment{AtMS: h.AtMS, Source: owner, ArrivedMS: arrived[h], Incident: id, Kind: MomentHeal, Text: h.Title + ": " + h.Result})
	}
	for _, k := range i.Links {
		out = append(out, Moment{AtMS: k.Fact.AtMS, Source: owner, ArrivedMS: k.ArrivedMS, Incident: id, Kind: MomentLink, Text: k.Fact.Text, TraceID: k.Fact.TraceID})
	}
	for _, k := range i.Findings {
		out = append(out, Moment{AtMS: k.Fact.AtMS, Source: incident.Centre, ArrivedMS: k.ArrivedMS, Incident: id, Kind: MomentFinding, Finding: &k.Fact})
	}
	return out
}

// written is the part of the timeline that people made.
func written(i incident.Incident) []Moment {
	id := i.ID()
	var out []Moment
	for _, k := range i.Marks {
		if k.Fact.Stage == incident.Closed {
			out = append(out, Moment{AtMS: k.Fact.AtMS, Source: k.Fact.Source, ArrivedMS: k.ArrivedMS, Incident: id, Kind: MomentStage, Stage: k.Fact.Stage})
		}
	}
	for _, k := range i.Notes {
		m := Moment{AtMS: k.Fact.AtMS, Source: k.Fact.Source, ArrivedMS: k.ArrivedMS, Incident: id, Kind: MomentNote, By: k.Fact.By, Text: k.Fact.Text}
		if k.Fact.Acknowledges {
			m.Stage = incident.Acknowledged
		}
		out = append(out, m)
	}
	for _, k := range i.Plans {
		out = append(out, Moment{AtMS: k.Fact.FromMS, Source: incident.Centre, ArrivedMS: k.ArrivedMS, Incident: id, Kind: MomentPlan, Text: k.Fact.Text, ToMS: k.Fact.ToMS})
	}
	return out
}

// addPages adds what people were told to the timeline.
func (b *Book) addPages(ctx context.Context, d *Detail) error {
	if b.o.Pager == nil || d.Page == "" {
		return nil
	}
	entries, err := b.o.Pager.Log(ctx, d.Page)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := e.At.UnixMilli()
		d.Timeline = append(d.Timeline, Moment{
			AtMS: at, ArrivedMS: at, Source: incident.Centre, Incident: d.Page, Kind: MomentPage, Text: string(e.Phase) + " to " + e.Receiver + ": " + e.Outcome, Page: &e,
		})
	}
	return nil
}
