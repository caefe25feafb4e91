package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
)

// The kinds of record that the store takes.
const (
	KindTraces = "otlp.traces"
	KindLogs   = "otlp.logs"
)

// KindJourney is the kind of a claim by a failed journey run.
const KindJourney = "journey"

// Options of [New]. Store is needed, and bounds above 0.
type Options struct {
	Store     *store.Store
	MaxAge    time.Duration    // of what is kept, since its claim arrived
	MaxBytes  int64            // of what is kept, all nodes together
	Hold      time.Duration    // how long telemetry waits to be claimed
	HoldBytes int64            // and how much of it, all nodes together
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default
}

// A Store keeps evidence. Its methods may be called concurrently.
type Store struct {
	o       Options
	dropped dropped
}

// A Claim says that a trace is evidence.
type Claim struct {
	TraceID string // 32 hex digits
	Kind    string // [KindJourney]; whoever claims for another cause names it
	Name    string // of the journey or incident
	AtMS    int64  // when it happened, the node's clock
	Detail  string // one sentence
}

// Parts hold the spans or lines of one trace that came in one record. A part is
// kept once its trace is claimed.
var tables = []string{
	`DROP TABLE IF EXISTS evidence_traces`, // held whole records, whose other traces were nobody's evidence
	`DROP TABLE IF EXISTS evidence`,
	`CREATE TABLE IF NOT EXISTS evidence_claims (source INTEGER NOT NULL REFERENCES sources (id), trace_id TEXT NOT NULL, kind TEXT NOT NULL,
		name TEXT NOT NULL, at_ms INTEGER NOT NULL, detail TEXT NOT NULL, arrived_ms INTEGER NOT NULL, PRIMARY KEY (source, trace_id)) WITHOUT ROWID`,
	`CREATE INDEX IF NOT EXISTS evidence_claims_by_arrival ON evidence_claims (arrived_ms)`,
	`CREATE INDEX IF NOT EXISTS evidence_claims_by_trace ON evidence_claims (trace_id)`,
	`CREATE TABLE IF NOT EXISTS evidence_parts (id INTEGER PRIMARY KEY, source INTEGER NOT NULL REFERENCES sources (id), trace_id TEXT NOT NULL,
		kind TEXT NOT NULL, key TEXT NOT NULL, arrived_ms INTEGER NOT NULL, kept INTEGER NOT NULL, units INTEGER NOT NULL, body BLOB NOT NULL,
		UNIQUE (source, trace_id, kind, key))`,
	`CREATE INDEX IF NOT EXISTS evidence_parts_held ON evidence_parts (arrived_ms) WHERE NOT kept`,
}

// New opens the store.
func New(ctx context.Context, o Options) (*Store, error) {
	if o.Store == nil || o.MaxAge <= 0 || o.MaxBytes <= 0 || o.Hold <= 0 || o.HoldBytes <= 0 {
		return nil, errors.New("open evidence: a store is needed, and bounds above 0")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := o.Store.Migrate(ctx, tables...); err != nil {
		return nil, fmt.Errorf("open evidence: %w", err)
	}
	return &Store{o: o, dropped: newDropped()}, nil
}

// Kinds lists the record kinds that Apply takes.
func (s *Store) Kinds() []string { return []string{KindTraces, KindLogs} }

// Apply holds one record's spans or lines as part of tx, or keeps them where they
// are claimed already; a repeat changes nothing. An error that wraps
// [store.ErrMalformed] means that the record can never be read; nothing of it is
// held.
func (s *Store) Apply(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) error {
	id, ok := s.o.Store.ID(src)
	if !ok {
		return fmt.Errorf("hold %s of %s: the node is unknown", rec.Kind, src)
	}
	var parts []part
	var loose int64
	var err error
	switch rec.Kind {
	case KindTraces:
		parts, loose, err = splitSpans(rec.Body)
	case KindLogs:
		parts, loose, err = splitLines(rec.Body)
	default:
		err = fmt.Errorf("kind %q is not evidence", rec.Kind)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrMalformed, err)
	}
	s.dropped.add(rec.Kind, NoTrace, loose)
	now := s.o.Now().UnixMilli()
	for _, p := range parts {
		_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO evidence_parts (source, trace_id, kind, key, arrived_ms, kept, units, body)
			VALUES (?1, ?2, ?3, ?4, ?5, EXISTS (SELECT 1 FROM evidence_claims WHERE source = ?1 AND trace_id = ?2), ?6, ?7)`,
			id, p.trace, rec.Kind, rec.Key, now, p.units, p.body)
		if err != nil {
			return fmt.Errorf("hold %s of %s: %w", rec.Kind, src, err)
		}
	}
	return nil
}

// Claim keeps a trace of src as part of tx, whether its spans have come or are
// still to come. The first claim of a trace stands; a trace id that is none is
// left alone.
func (s *Store) Claim(ctx context.Context, tx *sql.Tx, src buffer.Source, c Claim) error {
	id, ok := s.o.Store.ID(src)
	if !ok {
		return fmt.Errorf("claim trace of %s: the node is unknown", src)
	}
	if !validTraceID(c.TraceID) {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO evidence_claims VALUES (?, ?, ?, ?, ?, ?, ?)`,
		id, c.TraceID, c.Kind, c.Name, c.AtMS, c.Detail, s.o.Now().UnixMilli())
	if err == nil {
		_, err = tx.ExecContext(ctx, `UPDATE evidence_parts SET kept = 1 WHERE source = ? AND trace_id = ? AND NOT kept`, id, c.TraceID)
	}
	if err != nil {
		return fmt.Errorf("claim trace of %s: %w", src, err)
	}
	return nil
}

// validTraceID reports whether s is a trace id: 32 lower-case hex digits, not all 0.
func validTraceID(s string) bool {
	if len(s) != 32 {
		return false
	}
	zeros := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '0':
			zeros++
		case c >= '1' && c <= '9', c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return zeros < len(s)
}
