package ics

import (
	"fmt"
	"iter"
	"strings"

	ical "github.com/arran4/golang-ical"
)

// A property is one content line.
type property struct {
	name   string // upper case
	params map[string][]string
	value  string // text without its escapes; all else as it is written
	line   int
}

func (p property) param(name string) string {
	for k, v := range p.params {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

// A block is one component without those inside it.
type block struct {
	line  int
	props []property
	err   error // of its first line that cannot be read
}

// get returns a property that may be there once.
func (b block) get(name string) (p property, ok bool) {
	for _, p := range b.props {
		if p.name == name {
			return p, true
		}
	}
	return p, false
}

// A file is one or several calendars, taken apart.
type file struct {
	name     string // X-WR-CALNAME
	zone     string // X-WR-TIMEZONE
	cancels  bool   // METHOD:CANCEL
	events   []block
	zones    []block
	problems []Problem
	surplus  int
}

const (
	maxLine  = 64 << 10 // bytes of one content line, folds taken out
	maxDepth = 8        // of components in each other
)

// split takes a file apart. What is no calendar, or ends before its end, is refused:
// half a file must not look like one with fewer events.
func split(text string) (*file, error) {
	s := splitter{file: &file{}}
	for at, line := range unfold(strings.TrimPrefix(text, "\ufeff")) {
		if err := s.take(line, at); err != nil {
			return nil, err
		}
	}
	if len(s.open) > 0 || !s.done {
		return nil, fmt.Errorf("%w: it ends before END:VCALENDAR", ErrFile)
	}
	return s.file, nil
}

// unfold yields content lines, each with the number of its first line in the file.
func unfold(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		var whole strings.Builder
		first, at := 0, 0
		for line := range strings.Lines(text) {
			at++
			line = strings.TrimRight(line, "\r\n")
			if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') && whole.Len() > 0 {
				whole.WriteString(line[1:])
				continue
			}
			if whole.Len() > 0 && !yield(first, whole.String()) {
				return
			}
			whole.Reset()
			whole.WriteString(line)
			first = at
		}
		if whole.Len() > 0 {
			yield(first, whole.String())
		}
	}
}

// parse reads one content line.
func parse(line string, at int) (property, error) {
	if len(line) > maxLine {
		return property{}, fmt.Errorf("line %d has more than %d bytes", at, maxLine)
	}
	p, err := ical.ParseProperty(ical.ContentLine(strings.ToValidUTF8(line, "\ufffd")))
	if err != nil {
		return property{}, fmt.Errorf("line %d: %w", at, err)
	}
	if p == nil || !strings.HasPrefix(line, p.IANAToken) {
		return property{}, fmt.Errorf("line %d is no property: %s", at, clip(line))
	}
	return property{name: strings.ToUpper(p.IANAToken), params: p.ICalParameters, value: p.Value, line: at}, nil
}

// A splitter takes one content line after the other.
type splitter struct {
	*file
	open []string // components
	kept block    // the event or zone that is open
	done bool     // a calendar has ended
}

func (s *splitter) take(line string, at int) error {
	p, err := parse(line, at)
	switch {
	case len(s.open) == 0 && (err != nil || p.name != "BEGIN" || !strings.EqualFold(p.value, "VCALENDAR")):
		return fmt.Errorf("%w: line %d is not BEGIN:VCALENDAR", ErrFile, at)
	case err != nil:
		s.unread(err, at)
	case p.name == "BEGIN":
		return s.begin(p)
	case p.name == "END":
		return s.end(p)
	case len(s.open) == 1:
		s.header(p)
	case len(s.open) == 2:
		s.kept.props = append(s.kept.props, p)
	}
	return nil
}

// unread notes a line that cannot be read. In an alarm or a note it costs nothing.
func (s *splitter) unread(err error, at int) {
	switch {
	case len(s.open) == 1:
		report(&s.problems, &s.surplus, Problem{Line: at, Reason: err.Error()})
	case len(s.open) == 2 && s.kept.err == nil:
		s.kept.err = err
	}
}

func (s *splitter) begin(p property) error {
	if len(s.open) >= maxDepth {
		return fmt.Errorf("%w: line %d: components lie too deep in each other", ErrFile, p.line)
	}
	if s.open = append(s.open, strings.ToUpper(p.value)); len(s.open) == 2 {
		s.kept = block{line: p.line}
	}
	return nil
}

func (s *splitter) end(p property) error {
	last := len(s.open) - 1
	if !strings.EqualFold(s.open[last], p.value) {
		return fmt.Errorf("%w: line %d ends %s where %s is open", ErrFile, p.line, clip(p.value), clip(s.open[last]))
	}
	kind := s.open[last]
	s.open = s.open[:last]
	switch {
	case last == 0:
		s.done = true
	case last == 1 && kind == "VEVENT":
		s.events = append(s.events, s.kept)
	case last == 1 && kind == "VTIMEZONE":
		s.zones = append(s.zones, s.kept)
	}
	if len(s.events)+len(s.zones) > MaxEntries {
		return fmt.Errorf("%w: it has more than %d entries; split it", ErrFile, MaxEntries)
	}
	return nil
}

func (s *splitter) header(p property) {
	switch p.name {
	case "X-WR-CALNAME":
		s.name = p.value
	case "X-WR-TIMEZONE":
		s.zone = p.value
	case "METHOD":
		s.cancels = strings.EqualFold(p.value, "CANCEL")
	}
}

// clip shortens what a message quotes.
func clip(text string) string {
	const most = 60
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return fmt.Sprintf("%q", text)
}
