package incidents

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	book "ghostlight/fleet/incident"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/status"
	"ghostlight/internal/webui"
	"ghostlight/slo/incident"
)

// lateAfter is how much later than it happened a fact must have arrived to be told
// as learnt late: what comes sooner travelled as things travel.
const lateAfter = time.Minute

// timeline tells every moment of an incident in words. Of a group each says which
// member it is about.
func timeline(d book.Detail, names map[string]string) []Entry {
	out := []Entry{}
	for _, m := range d.Timeline {
		part := d.Incident
		e := Entry{AtMS: m.AtMS, Clock: string(m.Source), ArrivedMS: m.ArrivedMS, Kind: m.Kind, TraceID: m.TraceID, Detail: m.Text}
		if i := slices.IndexFunc(d.Gathered, func(i incident.Incident) bool { return i.ID() == m.Incident }); i >= 0 {
			part = d.Gathered[i]
			e.Member = m.Incident
			e.About = status.ToIncident(book.Item{Incident: part, ID: m.Incident}, time.UnixMilli(part.StartMS), names).Title
		}
		e.Venue = part.Scope.Venue
		e.say(m, part)
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return cmp.Compare(a.AtMS, b.AtMS) })
	return out
}

// say puts a moment into words.
func (e *Entry) say(m book.Moment, part incident.Incident) {
	switch m.Kind {
	case book.MomentStage:
		e.Text, e.Tone, e.Icon = stageText(m, part)
		e.Corrected = corrected(m, part)
	case book.MomentHeal:
		e.Text, e.Tone, e.Icon, e.Detail = "Tried by the node itself: "+m.Text, "none", "heal", ""
	case book.MomentLink:
		e.Text, e.Tone, e.Icon = "What happened is kept", "none", "blind"
	case book.MomentNote:
		e.Text, e.Tone, e.Icon = m.By+" wrote", "none", "quiet"
		if m.Stage == incident.Acknowledged {
			e.Text, e.Tone, e.Icon = m.By+" took it on", "ok", "ok"
		}
	case book.MomentPlan:
		e.Text, e.Tone, e.Icon = "Planned until "+time.UnixMilli(m.ToMS).UTC().Format("15:04")+" UTC: this time does not count", "quiet", "event"
	case book.MomentFinding:
		e.find(m, part)
	case book.MomentPage:
		t := toTold(*m.Page)
		e.Text, e.Tone, e.Icon, e.Detail = upper(t.Says()), t.Tone(), t.Tone(), ""
	}
}

func (e *Entry) find(m book.Moment, part incident.Incident) {
	found := status.ToFinding(*m.Finding)
	e.Text, e.Tone, e.Icon = "Its backlog landed: "+found.Says(), "ok", "land"
	if m.Finding.Sales == incident.Lost {
		e.Tone = "bad"
	}
	if found.PendingMinutes > 0 {
		e.Detail = webui.Plural(int(found.PendingMinutes), "minute of it is", "minutes of it are") + " not known yet"
	}
	last, ok := part.Finding()
	e.Corrected = ok && last != *m.Finding
}

func toTold(n notify.Entry) Told {
	return Told{AtMS: n.At.UnixMilli(), Receiver: n.Receiver, Phase: string(n.Phase), Outcome: n.Outcome}
}

// corrected reports whether another word is believed over that of a moment.
func corrected(m book.Moment, part incident.Incident) bool {
	var believed []int64
	for _, s := range part.Spells() {
		switch m.Stage {
		case incident.Failed:
			believed = append(believed, s.FailedMS)
		case incident.Detected:
			believed = append(believed, s.DetectedMS)
		case incident.Mitigated:
			believed = append(believed, s.MitigatedMS)
		case incident.Parity:
			believed = append(believed, s.ParityMS)
		}
	}
	return len(believed) > 0 && !slices.Contains(believed, m.AtMS)
}

// stageText says what reaching a stage means.
func stageText(m book.Moment, part incident.Incident) (text, tone, icon string) {
	dark := part.Scope.Cause == incident.Darkness
	switch m.Stage {
	case incident.Failed:
		if n := slices.IndexFunc(part.Spells(), func(s incident.Spell) bool { return s.FailedMS == m.AtMS }); n > 0 {
			return fmt.Sprintf("Failed again, for the %s time", ordinal(n+1)), "bad", "bad"
		}
		if dark {
			return "Last sign of life", "dark", "dark"
		}
		return "Began to fail", "bad", "bad"
	case incident.Detected:
		if dark {
			return "Its silence was noticed", "dark", "dark"
		}
		return "Noticed", "bad", "warn"
	case incident.Mitigated:
		if dark {
			return "Heard again", "ok", "land"
		}
		return "Sells again", "warn", "ok"
	case incident.Parity:
		if dark {
			return "Nothing waits there any more", "ok", "ok"
		}
		return "All works again, and the backlog is settled", "ok", "ok"
	}
	return "Closed", "none", "none"
}

func ordinal(n int) string {
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			return fmt.Sprintf("%dst", n)
		case 2:
			return fmt.Sprintf("%dnd", n)
		case 3:
			return fmt.Sprintf("%drd", n)
		}
	}
	return fmt.Sprintf("%dth", n)
}

// stagesOf are all stages, those that are not reached too. Who takes on a part of a
// group is at the whole.
func stagesOf(d book.Detail, row status.Incident) []Stage {
	failed, _ := d.When(incident.Failed)
	out := []Stage{}
	for _, st := range incident.Stages() {
		s := Stage{Stage: string(st)}
		if i := slices.IndexFunc(d.Stages, func(t book.StageTime) bool { return t.Stage == st }); i >= 0 {
			t := d.Stages[i]
			s.AtMS, s.ArrivedMS, s.AfterMS, s.Clock = t.AtMS, t.ArrivedMS, t.AtMS-failed, string(t.Source)
		} else if at := row.AcknowledgedMS; st == incident.Acknowledged && at > 0 {
			s.AtMS, s.AfterMS, s.Clock = at, at-failed, string(incident.Centre)
		}
		out = append(out, s)
	}
	return out
}
