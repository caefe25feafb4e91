// Package ics reads calendars of RFC 5545 as far as a fleet's shows need them: each
// event, and each time that one comes again, within a horizon.
//
// It reads what it can: an entry that cannot be taken is told with its line and
// reason, and costs the others nothing. It never guesses a time: an entry without an
// end or with a time zone that nobody knows is such an entry. What it costs is bounded by
// the size of the file.
package ics

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrFile means that the whole file cannot be taken; its message says why.
var ErrFile = errors.New("calendar file cannot be read")

// Limits of a file.
const (
	MaxBytes       = 8 << 20
	MaxEntries     = 5_000
	MaxRules       = 1_000  // entries that come again by a rule; one that never comes true costs milliseconds
	MaxOccurrences = 10_000 // of all entries, within the horizon
	maxProblems    = 1_000
	maxText        = 1_000 // bytes of a name, place or UID
)

// Doors is the property that says when the doors of an event open: a date with time as
// DTSTART has it, or a duration from the start, such as -PT90M.
const Doors = "X-GHOSTLIGHT-DOORS"

// Options say what of a file is wanted.
type Options struct {
	// Occurrences that end after From and start before To are read.
	From, To time.Time
	// Zone is of times that name none, where the file has no X-WR-TIMEZONE; nil: UTC.
	Zone *time.Location
}

// An Occurrence is one time that an event takes place, or was to.
type Occurrence struct {
	UID string
	// Recurrence is when the entry's rule has this occurrence begin, also if it was
	// moved since; zero of an entry that does not come again.
	Recurrence time.Time
	Sequence   int64
	Name       string
	Location   string
	Start, End time.Time
	Doors      time.Time // zero: the file does not say
	Cancelled  bool
	Line       int // where its entry begins
}

// A Problem is an entry that was not taken, or a part of one.
type Problem struct {
	UID    string `json:"uid,omitempty"`
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// A Calendar is what a file holds.
type Calendar struct {
	Name        string       // X-WR-CALNAME
	Occurrences []Occurrence // by start
	// Whole are the UIDs of entries that were read whole: they have no occurrences
	// but those above. Of the others in UIDs some were changed, or could not be read.
	Whole    []string  // sorted
	UIDs     []string  // of all entries that have one, sorted
	Problems []Problem // by line
	Surplus  int       // problems beyond those that are listed
}

// Read reads a file. The error wraps [ErrFile], or is the reader's.
func Read(r io.Reader, o Options) (Calendar, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return Calendar{}, fmt.Errorf("read calendar: %w", err)
	}
	if len(body) > MaxBytes {
		return Calendar{}, fmt.Errorf("%w: it has more than %d bytes; split it", ErrFile, MaxBytes)
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	f, err := split(string(body))
	if err != nil {
		return Calendar{}, err
	}
	b := builder{file: f, zones: newZones(f, o.Zone), o: o}
	b.cal.Name = strings.TrimSpace(f.name)
	b.cal.Problems, b.cal.Surplus = f.problems, f.surplus
	return b.build(), nil
}

// report adds a problem to a list that is bounded.
func report(list *[]Problem, surplus *int, p Problem) {
	if len(*list) >= maxProblems {
		*surplus++
		return
	}
	*list = append(*list, p)
}

// A builder makes occurrences of a file's entries.
type builder struct {
	file  *file
	zones *zones
	o     Options
	rules int // that were followed
	cal   Calendar
}

func (b *builder) problem(uid string, line int, format string, args ...any) {
	report(&b.cal.Problems, &b.cal.Surplus, Problem{UID: uid, Line: line, Reason: fmt.Sprintf(format, args...)})
}

// build reads the entries, and puts those together that are of one UID: a rule and
// what was changed of single occurrences.
func (b *builder) build() Calendar {
	byUID, broken := map[string][]entry{}, map[string]bool{}
	for _, block := range b.file.events {
		e, err := b.zones.entry(block)
		if e.uid != "" && byUID[e.uid] == nil {
			b.cal.UIDs = append(b.cal.UIDs, e.uid)
			byUID[e.uid] = []entry{}
		}
		if err != nil {
			b.problem(e.uid, block.line, "%v", err)
			broken[e.uid] = true
			continue
		}
		e.cancelled = e.cancelled || b.file.cancels
		byUID[e.uid] = append(byUID[e.uid], e)
	}
	slices.Sort(b.cal.UIDs)
	for _, uid := range b.cal.UIDs {
		if b.add(byUID[uid]) && !broken[uid] {
			b.cal.Whole = append(b.cal.Whole, uid)
		}
	}
	slices.SortStableFunc(b.cal.Occurrences, func(a, c Occurrence) int { return a.Start.Compare(c.Start) })
	slices.SortStableFunc(b.cal.Problems, func(a, c Problem) int { return a.Line - c.Line })
	return b.cal
}

// add adds the occurrences of the entries of one UID, and reports whether they are
// all that it has.
func (b *builder) add(entries []entry) (whole bool) {
	master, changes := newest(entries)
	if whole = master != nil; whole {
		if err := b.addMaster(*master, changes); err != nil {
			b.problem(master.uid, master.line, "%v", err)
			whole = false
		}
	}
	for _, at := range slices.Sorted(maps.Keys(changes)) { // of occurrences that no rule here has, or has beyond the horizon
		e := changes[at]
		whole = b.take(e.occurrence(e.start.at(), e.recurrence)) && whole
	}
	return whole
}

// newest picks of entries that say the same thing the newest: the highest sequence,
// then the latest stamp, then the last in the file. Changes are by the Unix
// milliseconds of the occurrence that they change.
func newest(entries []entry) (master *entry, changes map[int64]entry) {
	changes = map[int64]entry{}
	for _, e := range entries {
		if e.recurrence.IsZero() {
			if master == nil || !e.olderThan(*master) {
				master = &e
			}
			continue
		}
		if held, ok := changes[e.recurrence.UnixMilli()]; !ok || !e.olderThan(held) {
			changes[e.recurrence.UnixMilli()] = e
		}
	}
	return master, changes
}

// addMaster adds what an entry says itself, each occurrence as it was changed, and
// takes those out of changes.
func (b *builder) addMaster(e entry, changes map[int64]entry) error {
	if e.nothing {
		return nil
	}
	if !e.repeats() {
		return b.keep(e.occurrence(e.start.at(), time.Time{}))
	}
	if e.rule != nil {
		if b.rules++; b.rules > MaxRules {
			return fmt.Errorf("the file has more than %d rules; split it", MaxRules)
		}
	}
	starts, err := e.starts(b.o.From.Add(-e.length.most()), b.o.To)
	if err != nil {
		return err
	}
	for _, at := range starts {
		o := e.occurrence(at, at)
		if c, ok := changes[at.UnixMilli()]; ok {
			delete(changes, at.UnixMilli())
			o = c.occurrence(c.start.at(), at)
			o.Sequence = max(c.sequence, e.sequence) // one file, one state of both
		}
		if err := b.keep(o); err != nil {
			return err
		}
	}
	return nil
}

// take is keep that tells the problem.
func (b *builder) take(o Occurrence) bool {
	err := b.keep(o)
	if err != nil {
		b.problem(o.UID, o.Line, "%v", err)
	}
	return err == nil
}

// keep keeps an occurrence if it is within the horizon.
func (b *builder) keep(o Occurrence) error {
	if !o.End.After(b.o.From) || !o.Start.Before(b.o.To) {
		return nil
	}
	if len(b.cal.Occurrences) >= MaxOccurrences {
		return fmt.Errorf("the file has more than %d occurrences from %s to %s; split it",
			MaxOccurrences, b.o.From.UTC().Format(time.DateOnly), b.o.To.UTC().Format(time.DateOnly))
	}
	b.cal.Occurrences = append(b.cal.Occurrences, o)
	return nil
}
