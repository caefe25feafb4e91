package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// ErrInvalid means that a notification or silence cannot be taken as it is; its
// message says what is allowed.
var ErrInvalid = errors.New("not valid")

// Status says whether an incident goes on.
type Status string

// The statuses.
const (
	Firing   Status = "firing"
	Resolved Status = "resolved"
)

// A Notification is what is known of one incident now. A fact that is zero is not
// known, and pages leave it out.
type Notification struct {
	Key     string         `json:"key"` // the incident's id: the de-duplication key everywhere
	Status  Status         `json:"status"`
	Urgency slo.Urgency    `json:"urgency"`
	Group   string         `json:"group,omitempty"` // pages of one group go together; empty: alone
	Scope   incident.Scope `json:"scope"`
	What    string         `json:"what,omitempty"`  // what fails, for people, such as "Checkout success"
	Since   time.Time      `json:"since"`           // when it failed
	Until   time.Time      `json:"until,omitzero"`  // when it was over; only if resolved
	Still   *Failure       `json:"still,omitempty"` // what goes on, where what Scope names is restored

	AtRisk    *Money            `json:"at_risk,omitempty"`
	Carrier   string            `json:"carrier,omitempty"`
	LastHeard time.Time         `json:"last_heard,omitzero"`
	LastWords string            `json:"last_words,omitempty"` // what the node said of itself when it was last heard
	Battery   *float64          `json:"battery,omitempty"`    // last reading, 0 to 1
	Tried     []Attempt         `json:"tried,omitempty"`      // by the node itself, in order
	Suspects  []string          `json:"suspects,omitempty"`   // what to look at, most suspect first
	Finding   *incident.Finding `json:"finding,omitempty"`    // what a dark venue's sales turned out to be
	Contact   string            `json:"contact,omitempty"`    // whom to ring there
	URL       string            `json:"url,omitempty"`        // the incident's page
}

// A Failure is what goes on of an incident that is made of several.
type Failure struct {
	Cause incident.Cause `json:"cause"`
	What  string         `json:"what"` // for people
	Since time.Time      `json:"since"`
}

// Money is what is not being sold.
type Money struct {
	PerMinuteMinor int64  `json:"per_minute_minor"` // minor units of the currency
	Currency       string `json:"currency"`
	Basis          string `json:"basis,omitempty"` // what the estimate rests on
}

// An Attempt is a heal that the node tried by itself.
type Attempt struct {
	Title  string    `json:"title"`
	Result string    `json:"result,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// Of is the notification of an incident, with the facts that the incident itself
// holds. Others add what they know of money, carrier, battery and people.
func Of(i incident.Incident) Notification {
	failed, _ := i.When(incident.Failed)
	n := Notification{
		Key: i.ID(), Status: Firing, Urgency: i.Urgency(), Scope: i.Scope,
		Since: time.UnixMilli(failed).UTC(), Carrier: i.Scope.Carrier, Suspects: i.Scope.Suspects(),
	}
	if !i.Open() {
		n.Status = Resolved
		over, ok := i.When(incident.Parity)
		if !ok {
			over, _ = i.When(incident.Closed)
		}
		n.Until = time.UnixMilli(over).UTC()
	}
	for _, h := range i.Tried() {
		n.Tried = append(n.Tried, Attempt{Title: h.Title, Result: h.Result, At: time.UnixMilli(h.AtMS).UTC()})
	}
	if f, ok := i.Finding(); ok {
		n.Finding = &f
	}
	return n
}

// maxBody bounds a notification's encoding in bytes.
const maxBody = 32 << 10

// encode validates n and returns it as it is stored.
func (n Notification) encode() ([]byte, error) {
	switch {
	case n.Key == "":
		return nil, fmt.Errorf("notification is %w: it has no key", ErrInvalid)
	case n.Status != Firing && n.Status != Resolved:
		return nil, fmt.Errorf("notification %s is %w: status %q; allowed: firing, resolved", n.Key, ErrInvalid, n.Status)
	case n.Urgency != slo.Page && n.Urgency != slo.Ticket:
		return nil, fmt.Errorf("notification %s is %w: urgency %q; allowed: page, ticket", n.Key, ErrInvalid, n.Urgency)
	case n.Since.IsZero():
		return nil, fmt.Errorf("notification %s is %w: it does not say since when", n.Key, ErrInvalid)
	case (n.Status == Resolved) == n.Until.IsZero():
		return nil, fmt.Errorf("notification %s is %w: one that is resolved says when it was over, and only that", n.Key, ErrInvalid)
	case n.Until.Before(n.Since) && n.Status == Resolved:
		return nil, fmt.Errorf("notification %s is %w: it was over before it began", n.Key, ErrInvalid)
	}
	body, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("notification %s is %w: %w", n.Key, ErrInvalid, err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("notification %s is %w: %d bytes long; allowed: %d", n.Key, ErrInvalid, len(body), maxBody)
	}
	return body, nil
}

// Labels are what routes and silences match, and what Alertmanager knows an alert
// by. But for the urgency they never change while an incident goes on.
func (n Notification) Labels() map[string]string {
	name := n.Scope.Name
	if name == "" {
		name = string(n.Scope.Cause)
	}
	out := map[string]string{"alertname": name, "incident": n.Key, "severity": string(n.Urgency)}
	for k, v := range map[string]string{
		"region": n.Scope.Region, "venue": n.Scope.Venue, "node": n.Scope.Node,
		"carrier": n.Scope.Carrier, "cause": string(n.Scope.Cause),
	} {
		if v != "" {
			out[k] = v
		}
	}
	return out
}

// Phase is what a page tells of its incident.
type Phase string

// The phases.
const (
	Fire    Phase = "firing"
	Resolve Phase = "resolved"
	Late    Phase = "late"    // it was over before anybody here knew of it
	Revise  Phase = "revised" // it is over, and what it did to sales turns out to be otherwise
)

// A Page is one notification on its way to one receiver.
type Page struct {
	Notification
	Phase Phase
	// Change counts what was told of the key: with the key it names a delivery, the
	// same whenever it is repeated.
	Change int64
	// Told is what the receiver was told last of a page that it holds to be firing;
	// nil if it holds it not to be.
	Told *Notification
}

// A Message is what a receiver gets at once: pages of one group.
type Message struct {
	Group   string
	At      time.Time
	Refresh bool // nothing is new: the pages go on
	Pages   []Page
}
