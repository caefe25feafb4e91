package heal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ghostlight/healthscore"
)

// Signals are the readings the score is made of, by name.
type Signals map[string]healthscore.Reading

// Is reports whether the named signal is known and holds.
func (s Signals) Is(name string, holds func(float64) bool) bool {
	r := s[name]
	return r.Known && holds(r.Value)
}

// An Action is one repair from the typed list a node allows.
type Action interface {
	// Name identifies the action in audit and metrics, such as "unit_restart".
	Name() string
	// Do carries it out and returns when it is done. After an error it may or may
	// not have taken effect.
	Do(ctx context.Context) error
}

// A Rule says when an action is right and what holds it back.
type Rule struct {
	Action Action
	// When reports what is wrong that the action would repair. Unknown signals
	// must not count.
	When func(Signals) (reason string, ok bool)
	// For is how long When must hold without a break before the action is due.
	For time.Duration
	// CoolDown is the least time from the end of the action to its next start.
	CoolDown time.Duration
	// PerHour is the most starts in any hour.
	PerHour int
	// Timeout bounds Do, 30 s when 0.
	Timeout time.Duration
	// After names gentler actions. While When of one of them holds too, this
	// action waits until that one was tried and did not help in this trouble.
	// Then it goes before any of them is tried again.
	After []string
}

func (r Rule) validate() error {
	if r.Action == nil || r.Action.Name() == "" || r.When == nil {
		return errors.New("a rule needs an action with a name and a condition")
	}
	if r.For < 0 || r.CoolDown <= 0 || r.PerHour < 1 || r.Timeout < 0 {
		return fmt.Errorf("rule of %s needs a cool-down above 0, at least 1 an hour, and no negative times", r.Action.Name())
	}
	return nil
}

// UnitRestart is the rule for restarting edgecore: it does not answer, or
// journeys fail although it does, for a while; the latter only after gentler
// actions that apply were tried.
func UnitRestart(a Action, coolDown time.Duration, perHour int, gentler ...string) Rule {
	return Rule{
		Action: a, CoolDown: coolDown, PerHour: perHour, After: gentler, For: 3 * time.Second,
		When: func(s Signals) (string, bool) {
			failing := s.Is(healthscore.JourneySuccess, isNo)
			switch {
			case failing && s.Is(healthscore.EdgecoreUp, isNo):
				return detail(s, healthscore.JourneySuccess, "the journey fails") + " and edgecore does not answer", true
			case failing:
				return detail(s, healthscore.JourneySuccess, "the journey fails"), true
			}
			return "", false
		},
	}
}

// CacheRepair is the rule for repairing edgecore's cache: it found corrupt
// objects and answers.
func CacheRepair(a Action, coolDown time.Duration, perHour int) Rule {
	return Rule{
		Action: a, CoolDown: coolDown, PerHour: perHour,
		When: func(s Signals) (string, bool) {
			n := s[healthscore.CacheCorrupt]
			if !n.Known || n.Value < 1 || !s.Is(healthscore.EdgecoreUp, isYes) {
				return "", false
			}
			return fmt.Sprintf("%d cache objects are corrupt", int64(n.Value)), true
		},
	}
}

func isNo(v float64) bool  { return v < 0.5 }
func isYes(v float64) bool { return v >= 0.5 }

// detail is what the signal's source says is wrong, or else otherwise.
func detail(s Signals, name, otherwise string) string {
	if d := s[name].Detail; d != "" {
		return d
	}
	return otherwise
}
