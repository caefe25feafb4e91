package incidents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"ghostlight/slo"
)

// forever is the end, in minutes, of what a node expects of itself.
const forever = 1 << 40

// A promise is one objective of the node: what is known of it and the alerts that
// watch it.
type promise struct {
	history
	scope string // of its alerts
	place int    // in the book
	ready bool   // its windows hold what the book knows
	since int64  // first minute expected of the node, as its windows were told
	read  int64  // what lies from this minute on was passed over when the book was read
	burn  *slo.BurnWatch
	own   bool // the last window of burn is the objective's own
	kept  kept
	days  []int64 // days of hours that changed since they were stored
	shows []*show
}

func newPromise(scope string, place int, o slo.Objective) (*promise, error) {
	p := &promise{history: newHistory(o), scope: scope, place: place, kept: kept{key: watchKey(o.Name)}}
	if err := p.rebuild(0); err != nil {
		return nil, err
	}
	return p, nil
}

// rebuild makes empty windows; the alerts stay.
func (p *promise) rebuild(since int64) error {
	spans := p.spans(since)
	burn, err := (*slo.BurnWatch)(nil), error(nil)
	p.own = false
	if p.o.Window.Rolling {
		// A window that no track can slide is left out: the alerts need it not.
		burn, err = slo.NewBurnWatch(p.scope, p.o, spans, p.o.Window.Period())
		p.own = err == nil
	}
	if !p.own {
		burn, err = slo.NewBurnWatch(p.scope, p.o, spans)
	}
	if err != nil {
		return err
	}
	if p.burn != nil {
		burn.Watch = p.burn.Watch
	}
	p.burn, p.since = burn, since
	return nil
}

func (p *promise) spans(since int64) []slo.Span {
	return []slo.Span{{Node: p.scope, From: since, To: forever}}
}

// load reads what the book knows and makes the windows anew, as after a start and
// when the clock was set back.
func (p *promise) load(book Book, now time.Time) error {
	at := slo.MinuteOf(now)
	newest := floorDiv(at-keepMinutes, 60)
	if len(p.hours) == 0 {
		p.folded = floorDiv(at-p.keep(), 60)
	}
	p.folded = min(p.folded, newest)
	p.read = at + 24*60
	buckets, err := book.Buckets(p.place, p.folded*60, p.read)
	if err != nil {
		return err
	}
	p.minutes = map[int64]minute{}
	for _, b := range buckets {
		delete(p.hours, floorDiv(b.Minute, 60)) // it was folded by a clock that was ahead
	}
	for _, b := range buckets {
		p.set(b)
	}
	since := at
	if p.first != 0 {
		since = min(since, p.first)
	}
	if err := p.rebuild(since); err != nil {
		return err
	}
	if err := p.refill(book, at); err != nil {
		return err
	}
	for _, s := range p.shows {
		if err := s.build(p); err != nil {
			return err
		}
	}
	p.ready = true
	return nil
}

// refill tells the windows all that is known.
func (p *promise) refill(book Book, now int64) error {
	if p.o.Budgeting.Sliced() {
		// Slices are made of minutes: an hour as a whole says nothing of them.
		older, err := book.Buckets(p.place, now-p.longest()-p.o.Slice.Minutes-60, p.folded*60)
		if err != nil {
			return err
		}
		for _, b := range older {
			p.burn.Track.Replace(b.Minute, slo.Sum{}, p.o.Sum(b))
		}
	} else {
		for at, held := range p.hours {
			p.burn.Track.Replace(at*60, slo.Sum{}, held.Sum)
		}
	}
	for m, held := range p.minutes {
		p.burn.Track.Replace(m, slo.Sum{}, held.sum(p.o))
	}
	p.burn.Track.Advance(now + 1)
	return nil
}

// longest is how far the alerts look back, in minutes.
func (p *promise) longest() int64 {
	var d time.Duration
	for _, t := range p.burn.Tiers() {
		d = max(d, t.Long)
	}
	return int64(d / time.Minute)
}

// take notes buckets that were stored. What lies more than a day ahead comes from a
// clock that was wrong, or was written before one was, and is read when its time comes.
func (p *promise) take(book Book, buckets []slo.Bucket) {
	for _, b := range buckets {
		switch {
		case !p.ready || b.Hash != p.o.Hash || b.Minute >= p.burn.Track.Now()+24*60:
		case floorDiv(b.Minute, 60) < p.folded:
			p.takeLate(book, b)
		default:
			was, is := p.set(b)
			p.burn.Track.Replace(b.Minute, was, is)
			for _, s := range p.shows {
				s.replace(p, b.Minute, was, is)
			}
		}
	}
	if p.first != 0 && p.first < p.since {
		p.ready = false // the node is older than its windows think
	}
}

// takeLate notes a minute of an hour that is held as a whole.
func (p *promise) takeLate(book Book, b slo.Bucket) {
	at := floorDiv(b.Minute, 60)
	if at*60 < p.burn.Track.Now()-p.keep() {
		return
	}
	p.days = append(p.days, dayOf(at))
	if is, ok := p.late(b); ok {
		p.burn.Track.Replace(b.Minute, slo.Sum{}, is)
		return
	}
	known, err := book.Buckets(p.place, at*60, at*60+60)
	if err != nil || len(known) == 0 || p.o.Budgeting.Sliced() {
		return // the sum that is held stays: it says what was known
	}
	was, is := p.hours[at].Sum, hour{}
	for _, k := range known {
		is.Sum, is.Told = is.Sum.Plus(p.o.Sum(k)), is.Told|1<<(k.Minute-at*60)
	}
	p.hours[at] = is
	p.burn.Track.Replace(at*60, was, is.Sum)
}

// fold keeps old minutes by the hour.
func (p *promise) fold(now time.Time) {
	at := slo.MinuteOf(now)
	before := floorDiv(at-keepMinutes, 60)
	if before <= p.folded {
		return
	}
	for _, changed := range slices.Concat(p.history.fold(before), p.forget(at)) {
		p.days = append(p.days, dayOf(changed))
	}
}

func (p *promise) rewind(now time.Time) {
	p.burn.Watch.Rewind(now)
	for _, s := range p.shows {
		s.watch.Watch.Rewind(now)
	}
}

// step moves the alerts on and returns those that fired or resolved.
func (p *promise) step(now time.Time) []slo.Alert {
	out := p.burn.Step(now)
	for _, s := range p.shows {
		out = append(out, s.watch.Step(now, s.forecast(now))...)
	}
	return out
}

// firing lists the alerts that fire.
func (p *promise) firing() []slo.Alert {
	all := p.burn.Watch.Active()
	for _, s := range p.shows {
		all = append(all, s.watch.Watch.Active()...)
	}
	return slices.DeleteFunc(all, func(a slo.Alert) bool { return a.Phase != slo.Firing })
}

// A trigger is what is remembered of the alert by which a failure was seen.
type trigger struct {
	ID    string        `json:"id"`
	Rule  string        `json:"rule,omitempty"`
	Event string        `json:"event,omitempty"` // id of the show, if it is of one show's budget
	After time.Duration `json:"after"`           // how soon after the end of trouble it resolves
	Share float64       `json:"share"`           // of a minute's events that fail in a bad minute, at least
	gap   int64         // minutes without trouble that do not end a failure
	bound int64         // minutes that it looks back
}

// trigger describes an alert of the promise.
func (p *promise) trigger(a slo.Alert) trigger {
	for i, r := range p.burn.Watch.Rules() {
		if r.Key == a.Rule && a.Scope == p.scope {
			t := p.burn.Tiers()[i]
			return trigger{
				ID: a.ID, Rule: a.Rule, After: t.Short, Share: t.Rate * (1 - p.o.Target),
				gap: int64(t.Short / time.Minute), bound: min(int64(t.Long/time.Minute), keepMinutes),
			}
		}
	}
	looks := slo.EventTiers()
	last := looks[len(looks)-1]
	event := ""
	for _, s := range p.shows {
		if showScope(p.scope, s.ID) == a.Scope {
			event = s.ID
		}
	}
	return trigger{
		ID: a.ID, Rule: a.Rule, Event: event, After: last.Short + slo.EventRule().Hold, Share: 1 - p.o.Target,
		gap: int64(last.Short / time.Minute), bound: int64(last.Long / time.Minute),
	}
}

// kept is what is stored of a watch: its alerts, not the time of its last step.
type kept struct {
	key  string
	last []byte
}

// changed reports whether the alerts of w are others than those last stored.
func (k *kept) changed(w *slo.Watch) (bool, error) {
	var now []byte
	if len(w.Active()) > 0 {
		raw, err := json.Marshal(w)
		if err != nil {
			return false, fmt.Errorf("encode the alerts: %w", err)
		}
		var parts map[string]json.RawMessage
		if err := json.Unmarshal(raw, &parts); err != nil {
			return false, fmt.Errorf("encode the alerts: %w", err)
		}
		now = append(parts["alerts"], parts["clear"]...)
	}
	if bytes.Equal(now, k.last) {
		return false, nil
	}
	k.last = now
	return true, nil
}
