package sli

import (
	"time"

	"ghostlight/slo"
)

// outcomeSource counts the outcomes of one kind. Edgecore keeps them, and the cursor
// says how far they were counted, so it remembers nothing.
type outcomeSource struct {
	book *Book
	kind string
}

func (s *outcomeSource) read(t *slo.Tally, outcomes []Outcome, _ time.Time) error {
	for _, o := range outcomes {
		if o.Kind != s.kind {
			continue
		}
		if err := t.Observe(o.At, o.Good); err != nil {
			return err
		}
	}
	return nil
}

func (s *outcomeSource) look(time.Time) (slo.Look, bool) {
	return s.book.lookAtLedger(), true
}

func (s *outcomeSource) ripen(*slo.Tally, time.Time) error { return nil }
func (s *outcomeSource) state(bool) map[string][]byte      { return nil }
func (s *outcomeSource) stored()                           {}
func (s *outcomeSource) rollback() error                   { return nil }
func (s *outcomeSource) clockSet(time.Time)                {}

// journeySource counts the runs of one journey. A run that could not be stored waits
// for the next commit, for it does not come again.
type journeySource struct {
	book *Book
	name string
	runs []run // not stored yet
}

// run is one run of a journey.
type run struct {
	at   time.Time
	pass bool
}

// mostRuns bounds the runs that wait for a full buffer to have room: a run each
// second for an hour.
const mostRuns = 3600

// add reports whether there was room for the run.
func (s *journeySource) add(r run) bool {
	if len(s.runs) >= mostRuns {
		return false
	}
	s.runs = append(s.runs, r)
	return true
}

func (s *journeySource) look(time.Time) (slo.Look, bool) {
	return slo.Look{SourceSeen: true, Journey: s.book.o.Evidence(s.name)}, true
}

func (s *journeySource) ripen(t *slo.Tally, _ time.Time) error {
	for _, r := range s.runs {
		if err := t.Observe(r.at, r.pass); err != nil {
			return err
		}
	}
	return nil
}

func (s *journeySource) state(bool) map[string][]byte { return nil }
func (s *journeySource) stored()                      { s.runs = nil }
func (s *journeySource) rollback() error              { return nil }
func (s *journeySource) clockSet(time.Time)           {}
