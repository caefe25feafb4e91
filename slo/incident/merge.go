package incident

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrDifferent means that two incidents are not the same one and cannot be merged.
var ErrDifferent = errors.New("incidents differ in scope or start")

// Merge joins what two places know of one incident. It is commutative, associative
// and idempotent. The error is [ErrDifferent] or, when together they are more than
// an incident may hold, [ErrLimit].
func Merge(a, b Incident) (Incident, error) {
	if a.Scope != b.Scope || a.StartMS != b.StartMS {
		return Incident{}, fmt.Errorf("merge %s and %s: %w", a.ID(), b.ID(), ErrDifferent)
	}
	out := union(a, b)
	if err := out.checkLimits(); err != nil {
		return Incident{}, fmt.Errorf("merge %s: %w", a.ID(), err)
	}
	return out, nil
}

// union joins the facts of both under the identity of a.
func union(a, b Incident) Incident {
	return Incident{
		Scope: a.Scope, StartMS: a.StartMS,
		Marks:      join(a.Marks, b.Marks),
		Severities: join(a.Severities, b.Severities),
		Heals:      join(a.Heals, b.Heals),
		Links:      join(a.Links, b.Links),
		Notes:      join(a.Notes, b.Notes),
		Plans:      join(a.Plans, b.Plans),
		Findings:   join(a.Findings, b.Findings),
		Members:    join(a.Members, b.Members),
		Also:       join(a.Also, b.Also),
	}
}

// A fact has a place in time, by which its set is sorted.
type fact interface {
	comparable
	when() int64
}

func (m Mark) when() int64       { return m.AtMS }
func (s Severity) when() int64   { return s.AtMS }
func (h Heal) when() int64       { return h.AtMS }
func (l Link) when() int64       { return l.AtMS }
func (n Note) when() int64       { return n.AtMS }
func (p Plan) when() int64       { return p.FromMS }
func (f Finding) when() int64    { return f.AtMS }
func (m Membership) when() int64 { return 0 }

// join is the union of two sets of facts, in the one order that a set has. Of a fact
// in both the earlier arrival stands.
func join[T fact](a, b []Known[T]) []Known[T] {
	if len(a)+len(b) == 0 {
		return nil
	}
	at := make(map[T]int, len(a)+len(b))
	out := make([]Known[T], 0, len(a)+len(b))
	for _, k := range slices.Concat(a, b) {
		i, ok := at[k.Fact]
		if !ok {
			at[k.Fact] = len(out)
			out = append(out, k)
			continue
		}
		out[i].ArrivedMS = earlier(out[i].ArrivedMS, k.ArrivedMS)
	}
	slices.SortFunc(out, func(x, y Known[T]) int { return compare(x.Fact, y.Fact) })
	return out
}

// compare orders facts by time, and of one time by their encoding.
func compare[T fact](a, b T) int {
	if c := cmp.Compare(a.when(), b.when()); c != 0 || a == b {
		return c
	}
	x, _ := json.Marshal(a) // strings and integers: cannot fail
	y, _ := json.Marshal(b)
	return slices.Compare(x, y)
}

// earlier is the smaller of two times, where 0 is not known yet.
func earlier(a, b int64) int64 {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

func add[T fact](set []Known[T], f T) []Known[T] { return join(set, []Known[T]{{Fact: f}}) }

// Arrive notes that every fact not known to the centre before became so at now.
func (i Incident) Arrive(now time.Time) Incident {
	return i.each(arrive{now.UnixMilli()})
}

// AsKnown is the incident as the centre knew it at t: without the facts that arrived
// later or have not arrived.
func (i Incident) AsKnown(t time.Time) Incident {
	return i.each(knownAt{t.UnixMilli()})
}

// sift changes or drops one fact by its arrival.
type sift interface {
	sift(arrivedMS int64) (int64, bool)
}

type arrive struct{ now int64 }

func (a arrive) sift(at int64) (int64, bool) {
	if at == 0 {
		at = a.now
	}
	return at, true
}

type knownAt struct{ t int64 }

func (k knownAt) sift(at int64) (int64, bool) { return at, at != 0 && at <= k.t }

func (i Incident) each(s sift) Incident {
	i.Marks = through(i.Marks, s)
	i.Severities = through(i.Severities, s)
	i.Heals = through(i.Heals, s)
	i.Links = through(i.Links, s)
	i.Notes = through(i.Notes, s)
	i.Plans = through(i.Plans, s)
	i.Findings = through(i.Findings, s)
	i.Members = through(i.Members, s)
	i.Also = through(i.Also, s)
	return i
}

func through[T fact](set []Known[T], s sift) []Known[T] {
	var out []Known[T]
	for _, k := range set {
		if at, keep := s.sift(k.ArrivedMS); keep {
			out = append(out, Known[T]{k.Fact, at})
		}
	}
	return out
}
