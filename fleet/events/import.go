package events

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ghostlight/fleet/events/ics"
)

// What of a calendar file is imported: what ends after ImportBack ago and starts
// within ImportAhead. A file whose rules go on is imported again from time to time.
const (
	ImportBack  = 7 * 24 * time.Hour
	ImportAhead = 400 * 24 * time.Hour
)

// An Import says how a calendar file is to be read.
type Import struct {
	// Source is the calendar's name: files of one source follow each other. Empty: as
	// the file calls itself (X-WR-CALNAME).
	Source string
	// Venues of all events of the file. Empty: each event says its venue by LOCATION.
	Venues []string
	// Zone is of times that name none, where the file names none either; nil: UTC.
	Zone *time.Location
	// Whole says that the file is all that its source has: what it held before and
	// does not any more is called off, if it has not begun.
	Whole bool
}

// An ImportResult says what became of a file. Problems are what was not taken; the
// rest was.
type ImportResult struct {
	Source    string        `json:"source"`
	Created   int           `json:"created"`
	Changed   int           `json:"changed"`
	Cancelled int           `json:"cancelled"`
	Unchanged int           `json:"unchanged"`
	Problems  []ics.Problem `json:"problems"`
	Surplus   int           `json:"surplus,omitempty"` // problems beyond those listed
}

// ImportICS takes the events of an iCalendar file (RFC 5545), all in one transaction.
// Importing a file again changes nothing, and neither does a file with a lower
// SEQUENCE. A changed entry changes its event, unless that is over; of one that has
// begun the start stays. What people changed by hand stays until its entry changes.
//
// The error wraps [ErrInvalid] when nothing of the file can be taken.
func (c *Calendar) ImportICS(ctx context.Context, r io.Reader, o Import) (ImportResult, error) {
	now := c.now()
	if len(o.Venues) > 0 {
		var err error
		if o.Venues, err = c.places(o.Venues); err != nil {
			return ImportResult{}, err
		}
	}
	file, err := ics.Read(r, ics.Options{From: now.Add(-ImportBack), To: now.Add(ImportAhead), Zone: o.Zone})
	if errors.Is(err, ics.ErrFile) {
		return ImportResult{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err != nil {
		return ImportResult{}, fmt.Errorf("import calendar: %w", err)
	}
	o.Source = cmp.Or(strings.TrimSpace(o.Source), file.Name)
	if len(o.Source) > MaxName || !utf8.ValidString(o.Source) {
		return ImportResult{}, fmt.Errorf("%w: the name of the calendar may have %d bytes", ErrInvalid, MaxName)
	}
	if o.Whole && o.Source == "" {
		return ImportResult{}, fmt.Errorf("%w: a whole calendar needs a name; give its source", ErrInvalid)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	in := c.importing(file, o, now)
	in.run()
	if err := c.commit(ctx, in.writes...); err != nil {
		return ImportResult{}, fmt.Errorf("import calendar: %w", err)
	}
	return in.result, nil
}

// An entryKey names one occurrence within its source.
type entryKey struct {
	uid        string
	recurrence int64
}

// An importing is one import under way.
type importing struct {
	c      *Calendar
	o      Import
	file   ics.Calendar
	now    time.Time
	held   map[entryKey]Event // of the source
	kept   map[entryKey]bool  // that the file has
	places map[string]string  // venues by how a LOCATION may spell them
	room   int                // events that may yet be added
	writes []Event
	result ImportResult
}

// importing prepares an import. c.writing is held.
func (c *Calendar) importing(file ics.Calendar, o Import, now time.Time) *importing {
	in := &importing{
		c: c, o: o, file: file, now: now, held: map[entryKey]Event{}, kept: map[entryKey]bool{}, places: map[string]string{},
		result: ImportResult{Source: o.Source, Problems: slices.Clip(append([]ics.Problem{}, file.Problems...)), Surplus: file.Surplus},
	}
	events := c.events.Load()
	for _, e := range events.byStart {
		if e.Origin == ICS && e.Source == o.Source {
			in.held[entryKey{e.UID, e.RecurrenceMS}] = e
		}
	}
	in.room = events.room(now)
	for _, v := range c.venues {
		in.places[spelled(v)] = v
	}
	return in
}

func (in *importing) run() {
	for _, o := range in.file.Occurrences {
		if err := in.take(o); err != nil {
			in.kept[keyOf(o)] = true // what was imported before stays as it is
			in.result.Problems = append(in.result.Problems, ics.Problem{UID: o.UID, Line: o.Line, Reason: strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")})
		}
	}
	in.dropVanished()
	slices.SortStableFunc(in.result.Problems, func(a, b ics.Problem) int { return cmp.Compare(a.Line, b.Line) })
	in.result.Problems = slices.CompactFunc(in.result.Problems, func(a, b ics.Problem) bool { return a == b })
}

func keyOf(o ics.Occurrence) entryKey {
	if o.Recurrence.IsZero() {
		return entryKey{uid: o.UID}
	}
	return entryKey{o.UID, o.Recurrence.UnixMilli()}
}

// take makes of an occurrence what it asks for.
func (in *importing) take(o ics.Occurrence) error {
	key := keyOf(o)
	in.kept[key] = true
	was, known := in.held[key]
	if o.Cancelled {
		if known && o.Sequence >= was.Sequence {
			in.callOff(was, o.Sequence)
		}
		return nil
	}
	next, err := in.event(o)
	if err != nil {
		return err
	}
	switch phase := was.Phase(in.now); {
	case !known && in.room == 0:
		return fmt.Errorf("too many events; at most %d that are not over are kept: end or cancel some", MaxPlanned)
	case !known:
		next.ID, next.Origin, next.Source, next.UID, next.RecurrenceMS = newID(), ICS, in.o.Source, key.uid, key.recurrence
		in.result.Created++
		in.room--
		in.writes = append(in.writes, next)
	case o.Sequence < was.Sequence || next.Entry == was.Entry || phase == Over:
		in.result.Unchanged++
	default:
		in.result.Changed++
		in.writes = append(in.writes, revised(was, next, phase))
	}
	return nil
}

// revised is an event after its entry has changed. What has begun keeps its start,
// its venues, and since when it was expected.
func revised(was, next Event, phase Phase) Event {
	e := was
	e.Name, e.EndMS, e.OffMS, e.Sequence, e.CancelledMS, e.Entry = next.Name, next.EndMS, next.OffMS, next.Sequence, 0, next.Entry
	if phase != Ongoing {
		e.Venues, e.StartMS, e.DoorsMS, e.OnMS = next.Venues, next.StartMS, next.DoorsMS, next.OnMS
	} else if e.EndMS <= e.StartMS {
		e.EndMS = e.StartMS + 1
		e.OffMS = e.EndMS + OffAfter.Milliseconds()
	}
	return e
}

// event is the event that an occurrence asks for.
func (in *importing) event(o ics.Occurrence) (Event, error) {
	venues := in.o.Venues
	if len(venues) == 0 {
		venue, err := in.venue(o.Location)
		if err != nil {
			return Event{}, err
		}
		venues = []string{venue}
	}
	s := Spec{Name: shorten(o.Name), Venues: venues, StartMS: o.Start.UnixMilli(), EndMS: o.End.UnixMilli()}
	if !o.Doors.IsZero() {
		s.DoorsMS = o.Doors.UnixMilli()
	}
	e, err := in.c.event(s, in.now)
	if err != nil {
		return Event{}, err
	}
	e.Sequence = o.Sequence
	e.Entry, err = hashOf(s, o.Sequence)
	return e, err
}

// hashOf tells whether an entry says what it said before.
func hashOf(s Spec, sequence int64) (string, error) {
	body, err := json.Marshal(struct {
		Spec
		Sequence int64 `json:"sequence"`
	}{s, sequence})
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8]), err
}

// shorten cuts a name to what an event may have.
func shorten(name string) string {
	if len(name) <= MaxName {
		return name
	}
	const dots = "..."
	cut := MaxName - len(dots)
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + dots
}

// venue is the venue of a LOCATION: its first line or first part up to a comma is the
// venue's name, in any case and with spaces for dashes.
func (in *importing) venue(location string) (string, error) {
	first := location
	if i := strings.IndexAny(first, ",;\n"); i >= 0 {
		first = first[:i]
	}
	for _, text := range []string{location, first} {
		if v, ok := in.places[spelled(text)]; ok {
			return v, nil
		}
	}
	return "", fmt.Errorf("LOCATION %q is no venue; allowed: %s; or import the file for one venue", shorten(location), in.c.allowed())
}

func spelled(venue string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(venue), func(r rune) bool { return r == ' ' || r == '-' || r == '_' || r == '\t' }), "-")
}

// callOff cancels an event that has not begun, and ends one that goes on.
func (in *importing) callOff(e Event, sequence int64) {
	e.Sequence, e.Entry = sequence, "" // if it comes back, that is news
	switch e.Phase(in.now) {
	case Planned:
		e.CancelledMS = in.now.UnixMilli()
	case Ongoing:
		e.end(in.now)
	default:
		return
	}
	in.result.Cancelled++
	in.writes = append(in.writes, e)
}

// dropVanished calls off what was imported before, has not begun, and is no more in
// the file: occurrences of entries that were read whole; and where the file is the
// whole calendar, all that it does not speak of. An entry that cannot be read keeps
// its events, and one without a UID may be any of them.
func (in *importing) dropVanished() {
	nameless := in.file.Surplus > 0 || slices.ContainsFunc(in.file.Problems, func(p ics.Problem) bool { return p.UID == "" })
	gone := func(uid string) bool {
		if _, ok := slices.BinarySearch(in.file.Whole, uid); ok {
			return true
		}
		_, spoken := slices.BinarySearch(in.file.UIDs, uid)
		return in.o.Whole && !spoken && !nameless
	}
	until := in.now.Add(ImportAhead).UnixMilli()
	for _, e := range slices.SortedFunc(maps.Values(in.held), func(a, b Event) int { return cmp.Compare(a.ID, b.ID) }) {
		key := entryKey{e.UID, e.RecurrenceMS}
		if !in.kept[key] && e.Phase(in.now) == Planned && e.StartMS < until && gone(e.UID) {
			in.callOff(e, e.Sequence)
		}
	}
}
