package burn

import (
	"encoding/json"
	"time"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
)

// A watch is one objective in one scope: its burn alerts, or those of one show.
type watch struct {
	place     buffer.Source
	scope     string
	objective string
	burn      *slo.BurnWatch // nil of a show
	show      *show          // nil of the objective's own window
	from      int64          // what is before this minute is still to be loaded
	since     int64          // nobody was expected before
	rules     int64          // how far back the rules look, minutes
	longest   int64          // how far back any window looks, minutes
	slice     int64
	whole     bool // hours that are over may be told as a whole: events are counted, and no minute is excluded
	late      stretch
	kept      string // the alerts as they are stored
	moved     bool   // what the alerts follow may have changed since they were judged
	waits     bool   // an alert is pending or fires: it moves on with time
}

// notLoaded is the first minute that nothing can be known of: what comes from here on
// comes as changes.
func notLoaded(now time.Time) int64 { return (slo.MinuteOf(now)/60 + 2) * 60 }

func (w *watch) track() *slo.Track {
	if w.show != nil {
		return w.show.watch.Track
	}
	return w.burn.Track
}

func (w *watch) alerts() *slo.Watch {
	if w.show != nil {
		return w.show.watch.Watch
	}
	return w.burn.Watch
}

func (w *watch) event() string {
	if w.show != nil {
		return w.show.ID
	}
	return ""
}

// expect says who is expected.
func (w *watch) expect(spans []slo.Span) {
	w.since = forever
	for _, s := range spans {
		w.since = min(w.since, s.From)
	}
	w.track().Expect(spans)
	w.moved = true
}

// again is the watch with nothing loaded and no alert.
func (w *watch) again(p *promise, now time.Time) (*watch, error) {
	if w.show != nil {
		return p.newShow(w.place, w.show.Show, now)
	}
	return p.newWatch(w.place, p.places[w.place], now)
}

// take follows a change of what is loaded.
func (w *watch) take(ch *ledger.Change) {
	switch {
	case ch.Minute < w.from:
	case w.show != nil:
		w.show.replace(ch.Minute, ch.Was, ch.Is)
	default:
		w.burn.Track.Replace(ch.Minute, ch.Was, ch.Is)
		w.moved = true
	}
}

// fill takes an hour that was not loaded before, or a part of it. A whole one is in its
// first minute.
func (w *watch) fill(hour int64, whole bool, is *[60]slo.Sum) {
	switch {
	case whole:
		w.take(&ledger.Change{Minute: hour * 60, Is: is[0]})
	case w.show == nil:
		w.burn.Track.Fill(hour, is)
		w.moved = true
	default:
		for i := range is {
			if is[i].Told() > 0 {
				w.show.replace(hour*60+int64(i), slo.Sum{}, is[i])
			}
		}
	}
}

// needs is the first minute that the windows hold when they end at now, if they look
// back so many minutes.
func (w *watch) needs(now, back int64) int64 {
	if w.show != nil {
		return max(w.since, slo.MinuteOf(startOf(w.show.Show)))
	}
	return max(w.since, now-back-60-w.slice)
}

// ready reports whether all rules can be judged.
func (w *watch) ready(now time.Time) bool {
	return w.from <= max(0, w.needs(slo.MinuteOf(now), w.rules))
}

// known is the first minute since when all that was told is loaded.
func (w *watch) known() int64 {
	if w.from <= w.since {
		return 0 // nobody told of anything earlier
	}
	return w.from
}

// loaded reports whether all windows are loaded, as of the last step.
func (w *watch) loaded() bool {
	now := w.track().Now()
	return now > 0 && w.from <= max(0, w.needs(now, w.longest))
}

// rests reports whether a step to now would change nothing: what the windows hold is
// what it was, they do not slide, and no alert waits for time to pass. A show's budget
// changes with its forecast.
func (w *watch) rests(now time.Time) bool {
	return w.show == nil && !w.moved && !w.waits && w.burn.Track.Now() == slo.MinuteOf(now)+1
}

func (w *watch) step(now time.Time) (out []slo.Alert) {
	if w.show != nil {
		if !w.ready(now) {
			return nil
		}
		return w.show.step(now)
	}
	out = w.burn.StepSince(now, w.known())
	w.moved, w.waits = false, len(w.burn.Watch.Active()) > 0
	return out
}

// A state is what is stored of a watch: its alerts, empty when there are none.
type state struct {
	scope, objective string
	alerts           []byte
}

// state returns what is to be stored, if it is not what was last.
func (w *watch) state() (state, bool) {
	s := state{scope: w.scope, objective: w.objective}
	key := ""
	if len(w.alerts().Active()) > 0 {
		var parts struct {
			Alerts json.RawMessage `json:"alerts"`
			Clear  json.RawMessage `json:"clear"`
		}
		s.alerts, _ = w.alerts().MarshalJSON() // plain numbers and texts cannot fail
		if json.Unmarshal(s.alerts, &parts) == nil {
			key = string(parts.Alerts) + string(parts.Clear)
		}
	}
	changed := key != w.kept
	w.kept = key
	return s, changed
}

// restore continues stored alerts.
func (w *watch) restore(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	if err := w.alerts().UnmarshalJSON(raw); err != nil {
		return err
	}
	w.kept, w.moved = "stored", true // not what any state is: it is stored anew
	return nil
}
