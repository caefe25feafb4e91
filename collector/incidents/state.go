package incidents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
	"ghostlight/collector/store"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// Keys of the buffer's state.
const (
	prefix      = "incidents/"
	entryPrefix = prefix + "incident/" // and the incident's id
	watchPrefix = prefix + "watch/"    // and the objective, and "#" and the show
	daysPrefix  = prefix + "hours/"    // and the objective's hash, and the day
	calendarKey = "calendar"
)

func watchKey(objective string) string { return watchPrefix + objective }

func daysKey(hash uint64, day int64) string {
	return fmt.Sprintf("%s%016x/%d", daysPrefix, hash, day)
}

// dayOf is the day of an hour, both counted from the Unix epoch.
func dayOf(hour int64) int64 { return floorDiv(hour, 24) }

// changes is what is to be stored, by key.
type changes struct {
	entries  map[string]bool // by incident; true: it is told upstream too
	watches  map[string]bool // of promises and shows that are there
	days     map[string]bool
	gone     map[string]bool // keys to delete
	calendar bool
}

func newChanges() changes {
	return changes{entries: map[string]bool{}, watches: map[string]bool{}, days: map[string]bool{}, gone: map[string]bool{}}
}

func (c changes) empty() bool {
	return len(c.entries)+len(c.watches)+len(c.days)+len(c.gone) == 0 && !c.calendar
}

func (c changes) drop(e *entry) {
	id := e.incident.ID()
	delete(c.entries, id)
	c.gone[entryPrefix+id] = true
}

// add takes back what could not be stored.
func (c *changes) add(d changes) {
	for id, tell := range d.entries {
		c.entries[id] = c.entries[id] || tell
	}
	maps.Copy(c.watches, d.watches)
	maps.Copy(c.days, d.days)
	maps.Copy(c.gone, d.gone)
	c.calendar = c.calendar || d.calendar
}

// touch notes that an entry is to be stored and, if tell is set, told upstream. The
// caller holds mu.
func (r *Room) touch(e *entry, tell bool) {
	id := e.incident.ID()
	r.dirty.entries[id] = r.dirty.entries[id] || tell
}

// told notes that an incident changed, if it did. The caller holds mu.
func (r *Room) told(e *entry, news bool) {
	if news {
		r.touch(e, true)
	}
}

// keep notes what changed of a promise. The caller holds mu.
func (r *Room) keep(p *promise) {
	note := func(k *kept, w *slo.Watch) {
		if changed, err := k.changed(w); changed || err != nil {
			r.dirty.watches[k.key] = true
		}
	}
	note(&p.kept, p.burn.Watch)
	for _, s := range p.shows {
		note(&s.kept, s.watch.Watch)
	}
	for _, day := range p.days {
		r.dirty.days[daysKey(p.o.Hash, day)] = true
	}
	p.days = p.days[:0]
}

// storedEntry is what is stored of an incident.
type storedEntry struct {
	Version  int             `json:"v"`
	Incident json.RawMessage `json:"incident"`
	place
}

// storedHour is one hour of a stored day.
type storedHour struct {
	At int64 `json:"at"`
	hour
}

// collect puts together what is to be stored, and what of the changes it holds. The
// caller holds mu.
func (r *Room) collect() (queue.Commit, changes, error) {
	taken := r.dirty
	if taken.empty() {
		return queue.Commit{}, taken, nil
	}
	r.dirty = newChanges()
	state := map[string][]byte{}
	for key := range taken.gone {
		state[key] = nil
	}
	var records []delta.Record
	var failed []error
	put := func(key string, v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			failed = append(failed, fmt.Errorf("incidents: encode %s: %w", key, err))
			return
		}
		state[key] = raw
	}
	for _, e := range r.entries {
		id := e.incident.ID()
		tell, ok := taken.entries[id]
		if !ok {
			continue
		}
		put(entryPrefix+id, storedEntry{1, e.body, e.place})
		if tell {
			records = append(records, delta.Record{Kind: incident.Kind, Key: id, Time: e.latestMS(), Body: e.body})
		}
	}
	for _, p := range r.promises {
		r.collectPromise(p, taken, state, put)
	}
	if taken.calendar {
		put(calendarKey, r.calendar)
	}
	c := queue.Commit{State: state}
	if len(records) > 0 {
		c.Entries = []queue.Entry{{Lane: buffer.Revenue, Batch: delta.Batch{Records: records}}}
	}
	return c, taken, errors.Join(failed...)
}

// collectPromise adds what is to be stored of one promise.
func (r *Room) collectPromise(p *promise, taken changes, state map[string][]byte, put func(string, any)) {
	watch := func(key string, w *slo.Watch) {
		if !taken.watches[key] {
			return
		}
		state[key] = nil
		if len(w.Active()) > 0 {
			put(key, w)
		}
	}
	watch(p.kept.key, p.burn.Watch)
	for _, s := range p.shows {
		watch(s.kept.key, s.watch.Watch)
	}
	days := map[string][]storedHour{}
	for _, at := range slices.Sorted(maps.Keys(p.hours)) {
		if key := daysKey(p.o.Hash, dayOf(at)); taken.days[key] {
			days[key] = append(days[key], storedHour{at, p.hours[at]})
		}
	}
	for key := range taken.days {
		if strings.HasPrefix(key, fmt.Sprintf("%s%016x/", daysPrefix, p.o.Hash)) {
			state[key] = nil
			if len(days[key]) > 0 {
				put(key, days[key])
			}
		}
	}
}

// commit stores what was taken; what could not be is taken back. The caller holds
// stepping, not mu.
func (r *Room) commit(ctx context.Context, c queue.Commit, taken changes) error {
	if taken.empty() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	err := r.o.Commit.Commit(ctx, c)
	var partial *queue.PartialError
	if err == nil || errors.As(err, &partial) {
		return nil // incidents and state ride in the revenue lane, which is stored
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dirty.add(taken)
	return err
}

// note logs when a step begins and ceases to fail. The caller holds stepping.
func (r *Room) note(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, store.ErrStopping) || (err != nil) == r.failing {
		return
	}
	if r.failing = err != nil; r.failing {
		r.log.Warn("incidents are not all read or stored; what is not stored is kept in memory", "err", err)
	} else {
		r.log.Info("incidents are read and stored again")
	}
}

// restore takes up what was stored.
func (r *Room) restore(stored map[string][]byte, now time.Time) error {
	for _, key := range slices.Sorted(maps.Keys(stored)) {
		if err := r.take(key, stored[key]); err != nil {
			r.log.Warn("a stored part of incidents cannot be read and is left out", "key", key, "err", err)
			r.dirty.gone[key] = true
		}
	}
	slices.SortStableFunc(r.entries, func(a, b *entry) int { return int(a.Spell - b.Spell) })
	calendar, err := r.o.Load(calendarKey)
	if err != nil {
		return fmt.Errorf("incidents: read the calendar: %w", err)
	}
	if raw := calendar[calendarKey]; raw != nil {
		r.calendar = readCalendar(raw, r.log)
	}
	for _, p := range r.promises {
		r.resume(&p.kept, p.burn.Watch)
		p.load(r.o.Book, now) //nolint:errcheck // tried again, and said, with the first step
	}
	r.at = now
	r.syncShows(now)
	// What no watch took up is of an objective or a show that is no more.
	for key := range r.pending {
		r.dirty.gone[key] = true
	}
	r.pending = nil
	return nil
}

// take takes up one stored key.
func (r *Room) take(key string, raw []byte) error {
	switch {
	case strings.HasPrefix(key, entryPrefix):
		var s storedEntry
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		is, err := incident.Decode(s.Incident)
		if err != nil {
			return err
		}
		e, err := newEntry(is, s.place)
		if err != nil {
			return err
		}
		r.entries = append(r.entries, e)
	case strings.HasPrefix(key, watchPrefix):
		r.pending[key] = raw
	case strings.HasPrefix(key, daysPrefix):
		return r.takeDay(key, raw)
	}
	return nil
}

// takeDay takes up the hours of one day; those of an objective that is no more, or
// that counts something else now, are forgotten.
func (r *Room) takeDay(key string, raw []byte) error {
	var hours []storedHour
	if err := json.Unmarshal(raw, &hours); err != nil {
		return err
	}
	for _, p := range r.promises {
		if !strings.HasPrefix(key, fmt.Sprintf("%s%016x/", daysPrefix, p.o.Hash)) {
			continue
		}
		for _, h := range hours {
			p.hours[h.At] = h.hour
			p.folded = max(p.folded, h.At+1)
			if m := h.At * 60; p.first == 0 || m < p.first {
				p.first = m
			}
		}
		return nil
	}
	r.dirty.gone[key] = true
	return nil
}

// resume continues the stored alerts of a watch, if there are any.
func (r *Room) resume(k *kept, w *slo.Watch) {
	raw, ok := r.pending[k.key]
	if !ok {
		return
	}
	delete(r.pending, k.key)
	if err := w.UnmarshalJSON(raw); err != nil {
		r.log.Warn("stored alerts cannot be read and begin anew", "key", k.key, "err", err)
		r.dirty.gone[k.key] = true
		return
	}
	k.changed(w) //nolint:errcheck // it was just read
}

// readCalendar is a stored calendar; one that cannot be read is none: the fleet says
// it again.
func readCalendar(raw []byte, log interface{ Warn(string, ...any) }) wire.Calendar {
	var c wire.Calendar
	err := json.Unmarshal(raw, &c)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		log.Warn("the stored calendar cannot be read; the fleet will say it again", "err", err)
		return wire.Calendar{}
	}
	return c
}
