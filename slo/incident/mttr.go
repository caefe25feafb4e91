package incident

import (
	"fmt"
	"time"

	"ghostlight/slo"
)

// A Contact says how long a scope's owner was heard: until now, or until its last
// sign of life when it is dark. Of an incident that goes on at a dark node nothing
// is known after the last contact.
type Contact func(Scope) (last time.Time, dark bool)

// Always is the contact of a fleet in which no node is dark.
func Always(Scope) (time.Time, bool) { return time.Time{}, false }

// Observe turns incidents into observations of how long operations took to be
// restored: from failed to parity, less planned windows. An incident that goes on is
// censored at now, or at its dark node's last contact, whichever is earlier; one that
// was closed without parity when it was closed. Darkness is seen from the centre, so
// it goes on until now. Fold the list first, and leave out what gathers others, or
// the same failure counts twice.
func Observe(list []Incident, now time.Time, contact Contact) []Observation {
	out := make([]Observation, len(list))
	for n, i := range list {
		lasted, ended := restoring(i, now, contact)
		out[n] = Observation{Lasted: lasted, Censored: !ended}
	}
	return out
}

// restoring is how long the incident took to parity, or is known to have lasted.
func restoring(i Incident, now time.Time, contact Contact) (time.Duration, bool) {
	_, ended := i.When(Parity)
	if last, dark := contact(i.Scope); !ended && dark && i.Scope.Owner() == Node && last.Before(now) {
		now = last
	}
	lasted, _ := i.Lasted(now)
	return lasted, ended
}

// A Summary is what one needs to know of a set of incidents: operational mean time to
// restore, and how sure it is.
type Summary struct {
	N       int           `json:"n"`
	Open    int           `json:"open"` // of N: not at parity, counted as lasting longer than they have
	Mean    Estimate      `json:"mean"`
	Horizon time.Duration `json:"horizon"` // up to which Mean counts
	Median  Estimate      `json:"median"`
	P90     Estimate      `json:"p90"`
}

// Summarise estimates MTTR from observations. The mean is restricted to horizon; 0
// means the longest observation. Without observations nothing is reached.
func Summarise(list []Observation, horizon time.Duration) Summary {
	c := Survive(list)
	s := Summary{N: c.N, Open: c.N - c.Ended, Median: c.Quantile(0.5), P90: c.Quantile(0.9)}
	s.Mean, s.Horizon = c.Mean(horizon)
	return s
}

// Show writes the estimate by the given way to write a time: ">" stands before one
// that the observations do not reach.
func (e Estimate) Show(span func(time.Duration) string) string {
	if !e.Reached {
		return ">" + span(e.Value)
	}
	return span(e.Value)
}

// ShowInterval writes the interval as [Estimate.Show] does the value.
func (e Estimate) ShowInterval(span func(time.Duration) string) string {
	if !e.Bounded {
		return fmt.Sprintf("%s to >%s", span(e.Low), span(e.High))
	}
	return fmt.Sprintf("%s to %s", span(e.Low), span(e.High))
}

// A Promise is MTTR as an objective, judged over incidents: each is an event, good
// if operations were restored in time.
type Promise struct {
	slo.Counts       // of the incidents that are decided
	Pending    int64 `json:"pending"` // go on, and are not yet late
}

// Restored counts which incidents reached parity within the time allowed. One that
// goes on for longer is bad already, one that is younger is pending, and so is one
// of a dark node whose last contact was in time. One that was closed in time without
// parity is neither: somebody decided that there was nothing to restore.
func Restored(list []Incident, within time.Duration, now time.Time, contact Contact) Promise {
	var p Promise
	for _, i := range list {
		lasted, ended := restoring(i, now, contact)
		switch {
		case lasted > within:
			p.Total++
		case ended:
			p.Total++
			p.Good++
		case i.Open():
			p.Pending++
		}
	}
	return p
}

// Bounds are what the share of good incidents will be at least and at most once all
// pending ones are decided: 0 and 1 where there are none at all.
func (p Promise) Bounds() (low, high float64) {
	all := float64(p.Total + p.Pending)
	if all == 0 {
		return 0, 1
	}
	return float64(p.Good) / all, float64(p.Good+p.Pending) / all
}
