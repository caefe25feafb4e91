package slo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A Rule is what a [Watch] watches: it has a condition that holds or does not.
type Rule struct {
	// Key tells the rules of one objective apart and outlives restarts and
	// reloaded files, such as "page/3600/300".
	Key     string
	Urgency Urgency
	After   time.Duration // how long the condition must hold before the alert fires
	Hold    time.Duration // how long it must not hold before the alert resolves
}

// Rule is the tier as a rule of a [Watch].
func (t Tier) Rule() Rule {
	return Rule{
		Key:     fmt.Sprintf("%s/%d/%d", t.Urgency, t.Long/time.Second, t.Short/time.Second),
		Urgency: t.Urgency, After: t.After,
	}
}

// Phase is where an alert stands.
type Phase string

// The phases. A pending alert whose condition ends before it fires is forgotten.
const (
	Inactive Phase = ""
	Pending  Phase = "pending"
	Firing   Phase = "firing"
	Resolved Phase = "resolved"
)

// An Alert is a rule's condition from its start to its end.
type Alert struct {
	// ID is the de-duplication key: the same for node and centre, across restarts
	// and replays, as it follows from scope, objective, rule and Start alone.
	ID        string    `json:"id"`
	Scope     string    `json:"scope"`
	Objective string    `json:"objective"`
	Rule      string    `json:"rule"`
	Urgency   Urgency   `json:"urgency"`
	Phase     Phase     `json:"phase"`
	Start     time.Time `json:"start"`              // when the condition began to hold
	Fired     time.Time `json:"fired,omitzero"`     // Start unless the rule waits
	Resolved  time.Time `json:"resolved,omitzero"`  // when the condition ended
	Withdrawn bool      `json:"withdrawn,omitzero"` // resolved because its rule is gone, not because things are well
}

// AlertID is the de-duplication key of an alert of scope: the first 16 bytes of a
// SHA-256, in hex. Start counts by the minute, so that clocks that differ by
// seconds agree.
func AlertID(scope, objective, rule string, start time.Time) string {
	doc, _ := json.Marshal([]any{scope, objective, rule, MinuteOf(start)}) // texts and a number cannot fail
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:16])
}

// A Watch runs the alerts of one objective on one scope. It is the same on a node
// and at the centre. It knows no clock: time is what [Watch.Step] is told, and only
// ever moves forward. It is not safe for concurrent use.
type Watch struct {
	scope, objective string
	rules            []Rule
	at               time.Time // of the last step
	alerts           []Alert   // by rule; Inactive where nothing is pending or firing
	clear            []time.Time
	gone             []Alert // of rules that were firing when stored and are no more
}

// NewWatch returns a watch with nothing pending.
func NewWatch(scope, objective string, rules []Rule) *Watch {
	return &Watch{scope: scope, objective: objective, rules: rules, alerts: make([]Alert, len(rules)), clear: make([]time.Time, len(rules))}
}

// Rules are what the watch watches.
func (w *Watch) Rules() []Rule { return w.rules }

// Step says what holds now, by rule, and returns the alerts that fired or
// resolved. A step back in time, as after a clock was set, changes nothing.
func (w *Watch) Step(now time.Time, holds func(rule int) bool) []Alert {
	return w.StepKnown(now, func(int) bool { return true }, holds)
}

// StepKnown is [Watch.Step] where of some rules it is not known whether they hold: they
// stand still.
func (w *Watch) StepKnown(now time.Time, known, holds func(rule int) bool) []Alert {
	if now.Before(w.at) {
		return nil
	}
	w.at = now
	var out []Alert
	for _, a := range w.gone {
		a.Phase, a.Resolved, a.Withdrawn = Resolved, now, true
		out = append(out, a)
	}
	w.gone = nil
	for i := range w.rules {
		if known(i) && w.step(i, now, holds(i)) {
			out = append(out, w.alerts[i])
			if w.alerts[i].Phase == Resolved {
				w.alerts[i] = Alert{}
			}
		}
	}
	return out
}

// step moves one alert on, and reports whether it fired or resolved.
func (w *Watch) step(i int, now time.Time, holds bool) bool {
	a, r := &w.alerts[i], w.rules[i]
	switch {
	case holds && a.Phase == Inactive:
		*a = Alert{
			ID: AlertID(w.scope, w.objective, r.Key, now), Scope: w.scope, Objective: w.objective,
			Rule: r.Key, Urgency: r.Urgency, Phase: Pending, Start: now,
		}
	case holds:
		w.clear[i] = time.Time{}
	case a.Phase == Pending:
		*a = Alert{}
	case a.Phase == Firing && w.clear[i].IsZero():
		w.clear[i] = now
	}
	switch {
	case a.Phase == Pending && now.Sub(a.Start) >= r.After:
		a.Phase, a.Fired = Firing, now
		return true
	case a.Phase == Firing && !w.clear[i].IsZero() && now.Sub(w.clear[i]) >= r.Hold:
		a.Phase, a.Resolved = Resolved, w.clear[i]
		w.clear[i] = time.Time{}
		return true
	}
	return false
}

// Rewind says that the clock was set back to now, from where time goes on. What
// fires goes on firing under its key; what was pending begins anew.
func (w *Watch) Rewind(now time.Time) {
	if !now.Before(w.at) {
		return
	}
	w.at = now
	for i := range w.alerts {
		if w.alerts[i].Phase == Pending {
			w.alerts[i] = Alert{}
		}
		if w.clear[i].After(now) {
			w.clear[i] = now
		}
	}
}

// Active are the alerts that are pending or firing.
func (w *Watch) Active() []Alert {
	var out []Alert
	for _, a := range w.alerts {
		if a.Phase != Inactive {
			out = append(out, a)
		}
	}
	return out
}

// watchState is what is stored of a watch.
type watchState struct {
	Version int         `json:"v"`
	At      time.Time   `json:"at"`
	Alerts  []Alert     `json:"alerts,omitempty"`
	Clear   []time.Time `json:"clear,omitempty"` // by alert
}

// MarshalJSON is the state to store.
func (w *Watch) MarshalJSON() ([]byte, error) {
	s := watchState{Version: 1, At: w.at}
	for i, a := range w.alerts {
		if a.Phase != Inactive {
			s.Alerts, s.Clear = append(s.Alerts, a), append(s.Clear, w.clear[i])
		}
	}
	for _, a := range w.gone {
		s.Alerts, s.Clear = append(s.Alerts, a), append(s.Clear, time.Time{})
	}
	return json.Marshal(s)
}

// UnmarshalJSON continues what was stored. A firing alert of a rule that is no
// more resolves at the next step, withdrawn. After an error the watch is as it
// was.
func (w *Watch) UnmarshalJSON(raw []byte) error {
	var s watchState
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("alerts of %s: %w", w.objective, err)
	}
	if s.Version != 1 || len(s.Alerts) != len(s.Clear) {
		return fmt.Errorf("alerts of %s: %w: version %d", w.objective, errWatchState, s.Version)
	}
	w.at, w.gone = s.At, nil
	clear(w.alerts)
	clear(w.clear)
	for i, a := range s.Alerts {
		at := w.rule(a.Rule)
		switch {
		case at >= 0:
			w.alerts[at], w.clear[at] = a, s.Clear[i]
		case a.Phase == Firing:
			w.gone = append(w.gone, a)
		}
	}
	return nil
}

var errWatchState = errors.New("stored alerts are not what this version wrote")

func (w *Watch) rule(key string) int {
	for i, r := range w.rules {
		if r.Key == key {
			return i
		}
	}
	return -1
}
