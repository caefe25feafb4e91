package incident

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"ghostlight/slo"
)

// Kind is the kind of the record that carries an incident. Its key is the incident's
// id, its time the latest of its facts, its body what [Incident.Encode] returns.
const Kind = "slo.incident"

// What one incident may hold.
const (
	MaxBytes  = 256 << 10 // of its encoding
	MaxFacts  = 512       // of one sort
	MaxSpells = 64        // that one incident may have before [Fail] mints another
	MaxName   = 200       // bytes of a name or id
	MaxText   = 2000      // bytes of a text
	maxTimeMS = 1 << 43   // the year 2248
)

var (
	// ErrLimit means that an incident holds more than it may.
	ErrLimit = errors.New("incident is over a limit")
	// ErrMalformed means that bytes are no incident; nothing of them may be used.
	ErrMalformed = errors.New("incident is malformed")
)

const version = 1

// An envelope is the encoding: versioned JSON.
type envelope struct {
	Version int `json:"v"`
	Incident
}

// Encode returns the incident as versioned JSON. Equal incidents have equal
// encodings. The error wraps [ErrLimit] or [ErrMalformed].
func (i Incident) Encode() ([]byte, error) {
	if err := i.Validate(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", i.ID(), err)
	}
	body, err := json.Marshal(envelope{version, i})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", i.ID(), err)
	}
	if len(body) > MaxBytes {
		return nil, fmt.Errorf("encode %s: %w: %d bytes; allowed: %d", i.ID(), ErrLimit, len(body), MaxBytes)
	}
	return body, nil
}

// Decode is the inverse of [Incident.Encode]. It refuses unknown fields, other
// versions and whatever cannot be true.
func Decode(body []byte) (Incident, error) {
	if len(body) > MaxBytes {
		return Incident{}, fmt.Errorf("%w: %d bytes; allowed: %d", ErrLimit, len(body), MaxBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var e envelope
	if err := dec.Decode(&e); err != nil {
		return Incident{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Incident{}, fmt.Errorf("%w: something follows its end", ErrMalformed)
	}
	if e.Version != version {
		return Incident{}, fmt.Errorf("%w: version %d is not supported", ErrMalformed, e.Version)
	}
	if err := e.Validate(); err != nil {
		return Incident{}, err
	}
	return union(e.Incident, Incident{}), nil // in the order of sets, without repeats
}

// Heard decodes what a node says in a record of the given key. A node is believed
// about its own scope alone, and about what is a node's to tell: facts that only the
// centre knows, and times of arrival, are left out.
func Heard(key string, body []byte, region, venue, node string) (Incident, error) {
	i, err := Decode(body)
	if err != nil {
		return Incident{}, err
	}
	if id := i.ID(); id != key {
		return Incident{}, fmt.Errorf("%w: its scope and start make it %s, but its key is %q", ErrMalformed, id, key)
	}
	if !i.Scope.Within(region, venue, node) || i.Scope.Owner() != Node {
		return Incident{}, fmt.Errorf("%w: it is not for %s/%s/%s to tell, which sent it", ErrMalformed, region, venue, node)
	}
	i.Plans, i.Findings, i.Members, i.Also = nil, nil, nil, nil
	i.Marks = only(i.Marks, func(m Mark) bool { return m.Source == Node })
	i.Severities = only(i.Severities, func(s Severity) bool { return s.Source == Node })
	i.Notes = only(i.Notes, func(n Note) bool { return n.Source == Node })
	return i.each(forget{}), nil
}

type forget struct{}

func (forget) sift(int64) (int64, bool) { return 0, true }

func only[T any](set []Known[T], keep func(T) bool) []Known[T] {
	var out []Known[T]
	for _, k := range set {
		if keep(k.Fact) {
			out = append(out, k)
		}
	}
	return out
}

// Validate reports what cannot be true or is over a limit. The error wraps
// [ErrMalformed] or [ErrLimit].
func (i Incident) Validate() error {
	if err := i.checkLimits(); err != nil {
		return err
	}
	if err := i.Scope.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := times(i.StartMS); err != nil {
		return fmt.Errorf("%w: start %w", ErrMalformed, err)
	}
	for _, err := range []error{
		check(i.Marks), check(i.Severities), check(i.Heals), check(i.Links), check(i.Notes),
		check(i.Plans), check(i.Findings), check(i.Members), check(i.Also),
	} {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	return nil
}

func (i Incident) checkLimits() error {
	for _, set := range []struct {
		name string
		n    int
	}{
		{"marks", len(i.Marks)},
		{"severities", len(i.Severities)},
		{"heals", len(i.Heals)},
		{"links", len(i.Links)},
		{"notes", len(i.Notes)},
		{"plans", len(i.Plans)},
		{"findings", len(i.Findings)},
		{"members", len(i.Members) / 64}, // a fleet's darkness gathers many nodes
		{"also", len(i.Also)},
	} {
		if set.n > MaxFacts {
			return fmt.Errorf("%w: %d %s; allowed: %d", ErrLimit, set.n, set.name, MaxFacts)
		}
	}
	return nil
}

func check[T interface{ validate() error }](set []Known[T]) error {
	for _, k := range set {
		if err := k.Fact.validate(); err != nil {
			return err
		}
		if k.ArrivedMS < 0 || k.ArrivedMS > maxTimeMS {
			return fmt.Errorf("arrival %d is out of range", k.ArrivedMS)
		}
	}
	return nil
}

func (s Scope) validate() error {
	switch s.Cause {
	case Objective, Journey:
		if s.Name == "" {
			return fmt.Errorf("scope names no %s", s.Cause)
		}
	case Darkness, Several:
		if s.Name != "" {
			return fmt.Errorf("scope of %s has the name %q", s.Cause, s.Name)
		}
	default:
		return fmt.Errorf("cause %q is unknown", s.Cause)
	}
	return names(s.Region, s.Venue, s.Node, s.Carrier, s.Name)
}

func (m Mark) validate() error {
	switch m.Stage {
	case Failed, Detected, Acknowledged, Mitigated, Parity, Closed:
	default:
		return fmt.Errorf("stage %q is unknown", m.Stage)
	}
	return errors.Join(m.Source.validate(), times(m.SpellMS, m.AtMS))
}

func (s Severity) validate() error {
	if s.Urgency != slo.Page && s.Urgency != slo.Ticket {
		return fmt.Errorf("urgency %q is unknown", s.Urgency)
	}
	return errors.Join(s.Source.validate(), names(s.Rule, s.Event), times(s.AtMS))
}

func (h Heal) validate() error {
	if h.ID == "" {
		return errors.New("heal has no id")
	}
	return errors.Join(names(h.ID, h.Title), texts(h.Result), times(h.AtMS))
}

func (l Link) validate() error {
	if len(l.TraceID) != 32 {
		return fmt.Errorf("trace id %q is not 32 hex digits", l.TraceID)
	}
	for _, c := range []byte(l.TraceID) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("trace id %q is not 32 hex digits", l.TraceID)
		}
	}
	return errors.Join(texts(l.Text), times(l.AtMS))
}

func (n Note) validate() error {
	if n.By == "" {
		return errors.New("note does not say whose it is")
	}
	return errors.Join(n.Source.validate(), names(n.By), texts(n.Text), times(n.AtMS))
}

func (p Plan) validate() error {
	if p.ToMS <= p.FromMS {
		return errors.New("planned window ends before it begins")
	}
	return errors.Join(texts(p.Text), times(p.FromMS, p.ToMS))
}

func (f Finding) validate() error {
	switch {
	case f.Sales != Unaffected && f.Sales != Lost:
		return fmt.Errorf("finding %q is unknown", f.Sales)
	case f.Good < 0 || f.Bad < 0 || f.Pending < 0:
		return fmt.Errorf("finding has negative counts: good %d, bad %d, pending %d", f.Good, f.Bad, f.Pending)
	}
	return times(f.AtMS)
}

func (m Membership) validate() error {
	if m.ID == "" {
		return errors.New("member has no id")
	}
	return names(m.ID)
}

func (s Source) validate() error {
	if s != Node && s != Centre {
		return fmt.Errorf("source %q is unknown", s)
	}
	return nil
}

func times(ms ...int64) error {
	for _, t := range ms {
		if t <= 0 || t > maxTimeMS {
			return fmt.Errorf("time %d is out of range", t)
		}
	}
	return nil
}

func names(list ...string) error { return short(MaxName, list) }
func texts(list ...string) error { return short(MaxText, list) }

func short(limit int, list []string) error {
	for _, s := range list {
		if len(s) > limit {
			return fmt.Errorf("a text is %d bytes long; allowed: %d", len(s), limit)
		}
		if !utf8.ValidString(s) {
			return fmt.Errorf("text %q is not UTF-8", s)
		}
	}
	return nil
}
