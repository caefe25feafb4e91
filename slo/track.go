package slo

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// dayMinutes is how many minutes slide by the minute: windows up to a day do, longer ones
// step by the hour and end with the last whole hour.
const dayMinutes = 24 * 60

// What is held together: minutes by the shift of four hours, hours by the week, and as
// many slices.
const (
	shift = 4 * 60 // minutes
	week  = 7 * 24 // hours, or slices
)

// A Track keeps the windows of one objective over one scope (a node, a venue, a
// fleet) up to date as minutes pass and buckets come. Its cost per bucket and per
// minute does not depend on how long the windows are, and it equals [Evaluate] from
// scratch: the windows end where time was last advanced to.
//
// It holds sums, not buckets: who holds the buckets says what a minute was and what
// it is now, in any order. After a restart it is made anew, advanced to now, and
// told them again. It is not safe for concurrent use.
type Track struct {
	o       Objective
	roster  roster
	now     int64 // minutes before are in the windows
	started bool
	windows []window
	minutes map[int64]*table // by shift
	hours   map[int64]*table // by week; objectives that count events only
	sliced  map[int64]*table // what was told of each; the others
	keep    int64            // minutes whose detail is kept
	longest int64

	plan   []Minutes // what is excluded, of planFrom to planTo
	planAt [2]int64
}

// window is one running sum over [from, to).
type window struct {
	length   int64
	from, to int64
	sum      vector
}

// NewTrack returns a track of the given windows, each of whole minutes or, beyond a
// day, of whole hours. Spans say who is expected when.
func NewTrack(o Objective, spans []Span, windows ...time.Duration) (*Track, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("track: %w", err)
	}
	if len(windows) == 0 {
		return nil, errors.New("track: no windows; name at least one")
	}
	t := &Track{o: o, roster: newRoster(spans), windows: make([]window, 0, len(windows)), minutes: map[int64]*table{}}
	if o.Budgeting.Sliced() {
		t.sliced = map[int64]*table{}
	} else {
		t.hours = map[int64]*table{}
	}
	for _, d := range windows {
		n := int64(d / time.Minute)
		if n < 1 || d%time.Minute != 0 || n > 367*dayMinutes || (n > dayMinutes && n%60 != 0) {
			return nil, fmt.Errorf("track: window of %v; allowed: whole minutes up to a day, whole hours up to 367 days", d)
		}
		t.longest = max(t.longest, n)
		t.windows = append(t.windows, window{length: n})
	}
	t.keep = min(t.longest, dayMinutes) + 60
	return t, nil
}

// Expect says anew who is expected when.
func (t *Track) Expect(spans []Span) {
	t.roster = newRoster(spans)
	if t.o.Budgeting.Sliced() {
		t.rebuild()
	}
}

// Now is the minute that time was last advanced to.
func (t *Track) Now() int64 { return t.now }

// Replace says that a minute, of one node or more, which summed up to was, sums up
// to is; see [Objective.Sum]. Minutes that no window can hold any more are passed
// over, and so are those more than a day ahead: park them. It reports whether the
// minute was taken.
func (t *Track) Replace(minute int64, was, is Sum) bool {
	if t.started && (minute < t.oldest() || minute >= t.now+dayMinutes) {
		return false
	}
	if t.isExcluded(minute) {
		return true
	}
	change := is.fields()
	change.add(was.fields(), -1)
	if t.o.Budgeting.Sliced() {
		t.replaceInSlice(minute, change)
		return true
	}
	if !t.started || minute >= t.detailed() {
		at(t.minutes, minute, shift).add(int(minute-floorDiv(minute, shift)*shift), change)
	}
	h := floorDiv(minute, 60)
	at(t.hours, h, week).add(int(h-floorDiv(h, week)*week), change)
	for i := range t.windows {
		if w := &t.windows[i]; minute >= w.from && minute < w.to {
			w.sum.add(change, 1)
		}
	}
	return true
}

// replaceInSlice changes a minute and, with it, what its slice counts.
func (t *Track) replaceInSlice(minute int64, change vector) {
	n := t.o.Slice.Minutes
	i := floorDiv(minute, n)
	before := t.sliceAt(i)
	if !t.started || minute >= t.detailed() {
		at(t.minutes, minute, shift).add(int(minute-floorDiv(minute, shift)*shift), change)
	}
	at(t.sliced, i, week).add(int(i-floorDiv(i, week)*week), change)
	after := t.sliceAt(i)
	for k := range t.windows {
		if w := &t.windows[k]; i*n >= w.from && (i+1)*n <= w.to {
			w.sum.add(after, 1)
			w.sum.add(before, -1)
		}
	}
}

// oldest is the first minute that a window may still hold.
func (t *Track) oldest() int64 { return t.now - t.longest - 60 - t.o.Slice.Minutes }

// Advance moves the end of all windows to minute, not included: the minute after
// the open one has the open one counted too. Time never goes back; after the clock
// was set back make a new track.
func (t *Track) Advance(minute int64) {
	if !t.started || minute-t.now > dayMinutes {
		t.now, t.started = minute, true
		t.forget()
		t.rebuild()
		return
	}
	for t.now < minute {
		t.now++
		for i := range t.windows {
			t.slide(&t.windows[i])
		}
		if t.now%60 == 0 {
			t.forget()
		}
	}
}

// ends says where a window ends now.
func (t *Track) ends(w *window) int64 {
	if w.length <= dayMinutes {
		return t.now
	}
	return floorDiv(t.now, 60) * 60
}

// slide moves one window to where it ends now.
func (t *Track) slide(w *window) {
	to := t.ends(w)
	from := to - w.length
	switch {
	case to == w.to:
	case t.o.Budgeting.Sliced():
		t.slices(w, w.to, to, w.from, 1)
		t.leavingSlices(w, from, to)
	case w.length > dayMinutes:
		t.hourly(w, w.to, to, 1)
		t.hourly(w, w.from, from, -1)
	default:
		t.byMinute(&w.sum, w.to, to, 1)
		t.byMinute(&w.sum, w.from, from, -1)
	}
	w.from, w.to = from, to
}

// rebuild sums all windows up from what is kept.
func (t *Track) rebuild() {
	if !t.started {
		return
	}
	for i := range t.windows {
		w := &t.windows[i]
		w.to = t.ends(w)
		w.from, w.sum = w.to-w.length, vector{}
		switch {
		case t.o.Budgeting.Sliced():
			t.slices(w, w.from, w.to, w.from, 1)
		case w.length > dayMinutes:
			t.hourly(w, w.from, w.to, 1)
		default:
			t.byMinute(&w.sum, w.from, w.to, 1)
		}
	}
}

// byMinute adds the counted minutes of [from, to) that were told to v.
func (t *Track) byMinute(v *vector, from, to, sign int64) {
	for m := from; m < to; m++ {
		i := floorDiv(m, shift)
		if held := t.minutes[i]; held != nil {
			held.addTo(v, int(m-i*shift), sign)
		}
	}
}

// hourly is byMinute for whole hours, whose minutes may be forgotten.
func (t *Track) hourly(w *window, from, to, sign int64) {
	for h := floorDiv(from, 60); h < floorDiv(to, 60); h++ {
		i := floorDiv(h, week)
		if held := t.hours[i]; held != nil {
			held.addTo(&w.sum, int(h-i*week), sign)
		}
	}
}

// slices adds the slices that end in (from, to] and start no earlier than first.
func (t *Track) slices(w *window, from, to, first, sign int64) {
	n := t.o.Slice.Minutes
	for i := floorDiv(from, n); (i+1)*n <= to; i++ {
		if (i+1)*n > from && i*n >= first {
			w.sum.add(t.sliceAt(i), sign)
		}
	}
}

// leavingSlices takes away the slices that start before from and had come in.
func (t *Track) leavingSlices(w *window, from, to int64) {
	n := t.o.Slice.Minutes
	for i := -floorDiv(-w.from, n); i*n < from && (i+1)*n <= to; i++ {
		w.sum.add(t.sliceAt(i), -1)
	}
}

// sliceAt is what a slice counts, as [judge.slices] has it: nothing, if it began before
// anybody was expected.
func (t *Track) sliceAt(i int64) vector {
	n := t.o.Slice.Minutes
	from, to := i*n, (i+1)*n
	if since, _ := t.roster.bounds(); from < since {
		return vector{}
	}
	j := judge{o: t.o, roster: t.roster, excluded: t.planned(from, to), closed: from}
	return t.o.slice(j.settle(t.toldOf(i), from, to)).fields()
}

// toldOf is what was told of a slice.
func (t *Track) toldOf(i int64) Sum {
	var told vector
	if held := t.sliced[floorDiv(i, week)]; held != nil {
		held.addTo(&told, int(i-floorDiv(i, week)*week), 1)
	}
	return sumFrom(told)
}

// Counts are the events (or slices) of window i so far.
func (t *Track) Counts(i int) Counts { return t.windows[i].sum.counts() }

// Status judges window i.
func (t *Track) Status(i int) Status {
	w := t.windows[i]
	if t.o.Budgeting.Sliced() {
		return sumFrom(w.sum).status(t.o)
	}
	j := judge{o: t.o, roster: t.roster, excluded: t.planned(w.from, w.to), closed: w.from}
	return j.settle(sumFrom(w.sum), w.from, w.to).status(t.o)
}

// Window is the span of window i, in minutes since the Unix epoch.
func (t *Track) Window(i int) Minutes { return Minutes{t.windows[i].from, t.windows[i].to} }

// at is the table that holds row i of all, made if need be.
func at(tables map[int64]*table, i, rows int64) *table {
	n := floorDiv(i, rows)
	if tables[n] == nil {
		tables[n] = newTable(int(rows))
	}
	return tables[n]
}

// forget drops the detail that no window needs any more.
func (t *Track) forget() {
	for i := range t.minutes {
		if (i+1)*shift <= t.now-t.keep {
			delete(t.minutes, i)
		}
	}
	for i := range t.hours {
		if (i+1)*week*60 <= t.oldest() {
			delete(t.hours, i)
		}
	}
	for i := range t.sliced {
		if (i+1)*week*t.o.Slice.Minutes <= t.oldest() {
			delete(t.sliced, i)
		}
	}
}

// isExcluded reports whether a minute does not count.
func (t *Track) isExcluded(m int64) bool {
	if len(t.o.Exclusions) == 0 && t.o.Hours == "" {
		return false
	}
	return within(t.planned(m, m+1), m)
}

// planned is what is excluded of [from, to) and perhaps around it. The plan of
// a wide time is made once and made again when it is left.
func (t *Track) planned(from, to int64) []Minutes {
	if len(t.o.Exclusions) == 0 && t.o.Hours == "" {
		return nil
	}
	if from < t.planAt[0] || to > t.planAt[1] {
		now := t.now
		if !t.started { // then it is no time, and all since 1970 would be planned
			now = to
		}
		a, b := min(from, now-t.longest-7*dayMinutes), max(to, now+2*dayMinutes)
		t.plan, t.planAt = t.o.Excluded(a, b), [2]int64{a, b}
	}
	i, _ := slices.BinarySearchFunc(t.plan, from, func(s Minutes, m int64) int { return int(min(1, max(-1, s.To-1-m))) })
	return t.plan[i:]
}
