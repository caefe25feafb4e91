package notify

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"ghostlight/internal/webui"
	"ghostlight/slo/incident"
)

// Summary says in a line what a page is about.
func (p Page) Summary() string {
	lead, lasted := place(p.Scope)+": ", ""
	if !p.Until.IsZero() {
		lasted = webui.Span(p.Until.Sub(p.Since).Truncate(time.Second))
	}
	switch p.Phase {
	case Late:
		return lead + p.fails() + " for " + lasted + ", found afterwards; it is over"
	case Resolve:
		return lead + p.subject() + " is restored after " + lasted
	case Revise:
		return lead + p.subject() + " was restored; sales turn out to have been " + string(p.Finding.Sales)
	}
	line := lead + p.fails() + " since " + clock(p.Since)
	if s := p.Still; s != nil {
		line = lead + failing(s.Cause, s.What, false) + " since " + clock(s.Since) + "; " + p.subject() + ", which failed first, is restored"
	}
	if p.AtRisk != nil {
		line += ", about " + webui.Money(p.AtRisk.PerMinuteMinor, p.AtRisk.Currency) + " a minute at risk"
	}
	return line
}

// Text says all that is known, a sentence a line.
func (p Page) Text() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	switch {
	case p.Phase == Late:
		say("Failed %s, over %s. It was not known here while it went on, so nobody was paged.", day(p.Since), day(p.Until))
	case !p.Until.IsZero() && p.Phase == Fire:
		say("Failed %s, over %s. You could not be told while it went on.", day(p.Since), day(p.Until))
	case !p.Until.IsZero():
		say("Failed %s, over %s.", day(p.Since), day(p.Until))
	case p.Still != nil:
		say("First failed %s: %s, which is restored. Since %s: %s.", day(p.Since), p.subject(), day(p.Still.Since), p.Still.What)
	default:
		say("Failing since %s.", day(p.Since))
	}
	if m := p.AtRisk; m != nil {
		say("At risk: about %s a minute%s.", webui.Money(m.PerMinuteMinor, m.Currency), brackets(m.Basis))
	}
	if len(p.Suspects) > 0 {
		say("Look first at: %s.", strings.Join(p.Suspects, ", then "))
	}
	if f := p.Finding; f != nil {
		say("%s", found(*f))
	}
	if p.Carrier != "" {
		say("Carrier: %s.", p.Carrier)
	}
	if !p.LastHeard.IsZero() {
		say("Last heard: %s.", day(p.LastHeard))
	}
	if p.LastWords != "" {
		say("Last words: %s", p.LastWords)
	}
	if p.Battery != nil {
		say("Battery at last reading: %s.", webui.Percent(*p.Battery))
	}
	for _, a := range p.Tried {
		say("Tried by itself: %s", attempt(a))
	}
	if p.Contact != "" {
		say("Whom to ring there: %s.", p.Contact)
	}
	if p.URL != "" {
		say("Details: %s", p.URL)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// place is where the incident is.
func place(s incident.Scope) string {
	switch {
	case s.Venue != "" && s.Node != "":
		return s.Venue + " (" + s.Node + ")"
	case s.Venue != "":
		return s.Venue
	case s.Carrier != "":
		return "carrier " + s.Carrier
	case s.Region != "":
		return "region " + s.Region
	}
	return "the fleet"
}

// subject is what fails, and stands for itself in a sentence.
func (n Notification) subject() string {
	switch {
	case n.Scope.Cause == incident.Darkness:
		return "contact"
	case n.Scope.Cause == incident.Several:
		return "the venue"
	case n.What != "":
		return n.What
	case n.Scope.Cause == incident.Journey:
		return "journey " + n.Scope.Name
	}
	return n.Scope.Name
}

// fails says how the page's subject fails, or failed.
func (p Page) fails() string {
	past := p.Phase == Late
	switch p.Scope.Cause {
	case incident.Darkness:
		return failing(incident.Darkness, p.What, past)
	case incident.Several:
		return failing(incident.Several, cmp.Or(p.What, "several objectives"), past)
	}
	return failing(p.Scope.Cause, p.subject(), past)
}

// failing says how something fails, or failed.
func failing(cause incident.Cause, what string, past bool) string {
	tense := func(now, then string) string {
		if past {
			return then
		}
		return now
	}
	switch cause {
	case incident.Darkness:
		return tense("is dark", "was dark") + brackets(what)
	case incident.Journey:
		return what + tense(" does not pass", " did not pass")
	case incident.Several:
		return what + tense(" fail", " failed")
	}
	return what + tense(" burns its error budget", " burnt its error budget")
}

func found(f incident.Finding) string {
	counts := fmt.Sprintf("%s, %d failed", webui.Plural(int(f.Good), "sale", "sales"), f.Bad)
	if f.Pending > 0 {
		counts += fmt.Sprintf(", %s not known yet", webui.Plural(int(f.Pending), "minute", "minutes"))
	}
	if f.Sales == incident.Unaffected {
		return "Sales were unaffected: " + counts + "."
	}
	return "Sales were lost: " + counts + "."
}

func attempt(a Attempt) string {
	s := a.Title
	if a.Result != "" {
		s += ": " + a.Result
	}
	if !a.At.IsZero() {
		s += " (" + clock(a.At) + ")"
	}
	return s + "."
}

func brackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func clock(t time.Time) string { return t.UTC().Format("15:04 UTC") }
func day(t time.Time) string   { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }
