package ics

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// An entry is one VEVENT.
type entry struct {
	uid       string
	line      int
	sequence  int64
	stamp     string // when it was changed last, in an order that strings have
	name      string
	location  string
	cancelled bool

	start  moment
	length length
	doors  *time.Duration // before the start; nil: not said

	recurrence time.Time // which occurrence it changes; zero: it is no change
	rule       *rrule.ROption
	more       []moment
	except     []moment
	nothing    bool // it was called off without saying when it was to be
}

// olderThan reports whether other says something newer of the same thing.
func (e entry) olderThan(other entry) bool {
	if e.sequence != other.sequence {
		return e.sequence < other.sequence
	}
	return e.stamp < other.stamp
}

func (e entry) repeats() bool { return e.rule != nil || len(e.more) > 0 }

// occurrence is the entry at a start; recurrence is zero if it does not come again.
func (e entry) occurrence(start, recurrence time.Time) Occurrence {
	o := Occurrence{
		UID: e.uid, Recurrence: recurrence, Sequence: e.sequence, Name: e.name, Location: e.location,
		Start: start.UTC(), End: e.length.after(start.In(e.start.zone)).UTC(), Cancelled: e.cancelled, Line: e.line,
	}
	if e.doors != nil {
		o.Doors = o.Start.Add(-*e.doors)
	}
	if !recurrence.IsZero() {
		o.Recurrence = recurrence.UTC()
	}
	return o
}

// entry reads a VEVENT. The uid is there also with an error, if it could be read.
func (z *zones) entry(b block) (entry, error) {
	e := entry{line: b.line}
	if uid, ok := b.get("UID"); ok && len(uid.value) <= maxText {
		e.uid = strings.TrimSpace(uid.value)
	}
	if b.err != nil {
		return e, b.err
	}
	if e.uid == "" {
		return e, fmt.Errorf("it has no UID of 1 to %d bytes", maxText)
	}
	if err := e.readWords(b); err != nil {
		return e, err
	}
	err := z.readTimes(&e, b)
	if err == nil && !e.nothing {
		err = z.readRepeats(&e, b)
	}
	return e, err
}

// readWords reads what is not a time.
func (e *entry) readWords(b block) error {
	for _, p := range b.props {
		switch p.name {
		case "SEQUENCE":
			n, err := strconv.ParseInt(strings.TrimSpace(p.value), 10, 32)
			if err != nil || n < 0 {
				return fmt.Errorf("SEQUENCE: %s is no number from 0 on", clip(p.value))
			}
			e.sequence = n
		case "SUMMARY":
			e.name = oneLine(p.value)
		case "LOCATION":
			e.location = strings.TrimSpace(p.value)
		case "STATUS":
			e.cancelled = strings.EqualFold(strings.TrimSpace(p.value), "CANCELLED")
		case "LAST-MODIFIED":
			e.stamp = max(e.stamp, p.value)
		case "DTSTAMP":
			e.stamp = max(e.stamp, p.value)
		}
	}
	if len(e.name) > maxText || len(e.location) > maxText {
		return fmt.Errorf("SUMMARY and LOCATION may have %d bytes each", maxText)
	}
	return nil
}

// oneLine makes one line of a text.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// readTimes reads when it is.
func (z *zones) readTimes(e *entry, b block) error {
	var err error
	if p, ok := b.get("RECURRENCE-ID"); ok {
		m, err := z.moment(p, p.value)
		if err != nil {
			return err
		}
		if p.param("RANGE") != "" {
			return errors.New("RECURRENCE-ID: a change of all occurrences that follow (RANGE) is not read; end the rule and begin another entry")
		}
		e.recurrence, e.start = m.at().UTC(), m
	}
	start, ok := b.get("DTSTART")
	switch {
	case !ok && !e.cancelled:
		return errors.New("it has no DTSTART")
	case !ok:
		e.nothing, e.length = e.recurrence.IsZero(), length{exact: time.Minute}
		return nil
	}
	if e.start, err = z.moment(start, start.value); err != nil {
		return err
	}
	if e.length, err = z.length(b, e.start); err != nil {
		return err
	}
	if e.name == "" && !e.cancelled {
		return errors.New("it has no SUMMARY")
	}
	p, ok := b.get(Doors)
	if !ok {
		return nil
	}
	before, err := z.doors(p, e.start)
	e.doors = &before
	return err
}

// doors is how long before the start the doors open.
func (z *zones) doors(p property, start moment) (time.Duration, error) {
	if strings.HasPrefix(strings.TrimLeft(p.value, "+-"), "P") {
		l, err := parseLength(p.name, strings.TrimPrefix(strings.TrimPrefix(p.value, "-"), "+"))
		if err == nil && !strings.HasPrefix(p.value, "-") && l != (length{}) {
			err = fmt.Errorf("%s: doors open before the start; write -%s", Doors, strings.TrimPrefix(p.value, "+"))
		}
		return l.exact + time.Duration(l.days)*24*time.Hour, err
	}
	if p.param("TZID") == "" && !strings.HasSuffix(p.value, "Z") {
		z = &zones{floating: start.zone, known: z.known}
	}
	m, err := z.moment(p, p.value)
	if err != nil {
		return 0, err
	}
	before := start.at().Sub(m.at())
	if before < 0 {
		return 0, fmt.Errorf("%s: doors open after the start", Doors)
	}
	return before, nil
}
