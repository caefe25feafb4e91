package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// maxMinute is the last minute of the year 9999.
const maxMinute = 253402300799 / 60

// A stage is what one transaction of the store brings.
type stage struct {
	tx        *sql.Tx
	arrivedMS int64
	arrivals  []arrival
	id        int64                 // of its row of arrivals; 0: it has none
	fresh     map[string]*objective // names heard for the first time
	defined   []defined
	since     map[place]int64
	folded    []*chunk
}

// An arrival is a bucket of a node.
type arrival struct {
	source    int64
	objective *objective
	bucket    slo.Bucket
}

type place struct{ objective, source int64 }

// defined is a definition that arrived.
type defined struct {
	objective *objective
	def       *slo.Objective
	ms        int64
}

// Apply stores what one record of src says as part of tx, which is one of
// [store.Store.Write]; a repeat changes nothing. An error that wraps
// [store.ErrMalformed] means that the record can never be stored; nothing of it is.
func (l *Ledger) Apply(ctx context.Context, tx *sql.Tx, src buffer.Source, rec delta.Record) error {
	id, ok := l.store.ID(src)
	if !ok {
		return l.refuse("unknown_node", fmt.Errorf("%s of %s: the node is not registered", rec.Kind, src))
	}
	st, err := l.join(ctx, tx)
	if err != nil {
		return err
	}
	switch rec.Kind {
	case KindObjective:
		return l.define(ctx, st, id, rec)
	case KindBucket:
		b, err := slo.DecodeBucket(rec.Body)
		if err != nil {
			return l.refuse("malformed", err)
		}
		return l.bring(ctx, st, id, b, false)
	}
	return l.refuse("malformed", fmt.Errorf("kind %q is not the ledger's", rec.Kind))
}

// Put stores, as part of tx, a bucket of src that the centre itself counted: of an
// objective whose indicator is [slo.Indicator.Central].
func (l *Ledger) Put(ctx context.Context, tx *sql.Tx, src buffer.Source, b slo.Bucket) error {
	id, ok := l.store.ID(src)
	if !ok {
		return l.refuse("unknown_node", fmt.Errorf("bucket of %s: the node is not registered", src))
	}
	if err := b.Validate(); err != nil {
		return l.refuse("malformed", err)
	}
	st, err := l.join(ctx, tx)
	if err != nil {
		return err
	}
	return l.bring(ctx, st, id, b, true)
}

func (l *Ledger) refuse(reason string, err error) error {
	l.refusals.count(reason)
	return fmt.Errorf("%w: %w", store.ErrMalformed, err)
}

// join returns the stage of tx. The first call of a transaction waits for its turn.
func (l *Ledger) join(ctx context.Context, tx *sql.Tx) (*stage, error) {
	if st := l.current.Load(); st != nil && st.tx == tx {
		return st, nil
	}
	l.turn.Lock()
	st := &stage{tx: tx, arrivals: l.spare[:0], fresh: map[string]*objective{}, since: map[place]int64{}}
	l.current.Store(st)
	l.store.Join(tx, func(ctx context.Context) error { return l.seal(ctx, st) }, func(err error) { l.done(st, err) })
	st.arrivedMS = l.clock()
	if !l.unsure {
		return st, nil
	}
	return st, l.catchUp(ctx, tx)
}

// clockBack is how far back the clock may go and be taken for one that was corrected a
// little: arrivals then wait for it. Beyond, the time before was wrong.
const clockBack = 10 * time.Minute

// clock is the time of an arrival now. It does not go back.
func (l *Ledger) clock() int64 {
	now := l.now().UnixMilli()
	if l.arrivedMS > now && l.arrivedMS-now <= clockBack.Milliseconds() {
		return l.arrivedMS
	}
	return now
}

// bring stages one bucket.
func (l *Ledger) bring(ctx context.Context, st *stage, source int64, b slo.Bucket, own bool) error {
	if b.Minute < 0 || b.Minute > maxMinute {
		return l.refuse("out_of_range", fmt.Errorf("bucket of %q in minute %d", b.Objective, b.Minute))
	}
	o, err := l.named(ctx, st, b.Objective)
	if err != nil {
		return err
	}
	if o.def != nil && o.central() != own {
		return l.refuse("not_the_nodes", fmt.Errorf("bucket of %s: whether the centre counts it follows from its indicator", b.Objective))
	}
	if b.Minute*60_000 > st.arrivedMS+Ahead.Milliseconds() {
		return l.park(ctx, st, source, o, b)
	}
	if o.def != nil && b.Hash != o.def.Hash {
		l.refusals.count("other_indicator")
	}
	st.arrivals = append(st.arrivals, arrival{source, o, b})
	return nil
}

// named returns the objective of a name, which may be new.
func (l *Ledger) named(ctx context.Context, st *stage, name string) (*objective, error) {
	if o := l.objectives[name]; o != nil {
		return o, nil
	}
	if o := st.fresh[name]; o != nil {
		return o, nil
	}
	if !slo.ValidName(name) {
		return nil, l.refuse("bad_name", fmt.Errorf("objective name %q", name))
	}
	id, err := objectiveID(ctx, st.tx, name)
	if err != nil {
		return nil, err
	}
	o := newObjective(id, name)
	st.fresh[name] = o
	return o, nil
}

func objectiveID(ctx context.Context, tx *sql.Tx, name string) (id int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT id FROM objectives WHERE name = ?`, name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, `INSERT INTO objectives (name, document, defined_ms) VALUES (?, x'', 0) RETURNING id`, name).Scan(&id)
	}
	if err != nil {
		return 0, fmt.Errorf("look up objective %s: %w", name, err)
	}
	return id, nil
}

// define stages the objectives of a record.
func (l *Ledger) define(ctx context.Context, st *stage, source int64, rec delta.Record) error {
	objectives, err := l.decode(rec)
	if err != nil {
		return l.refuse("bad_objective", fmt.Errorf("objective: %w", err))
	}
	for i := range objectives {
		def := &objectives[i]
		o, err := l.named(ctx, st, def.Name)
		if err != nil {
			return err
		}
		_, err = st.tx.ExecContext(ctx, `UPDATE objectives SET document = ?, defined_ms = ? WHERE id = ? AND defined_ms <= ?`, def.Document, rec.Time, o.id, rec.Time)
		if err != nil {
			return fmt.Errorf("store objective %s: %w", def.Name, err)
		}
		st.defined = append(st.defined, defined{o, def, rec.Time})
		if err := l.assign(ctx, st, source, o, slo.MinuteOf(time.UnixMilli(rec.Time))); err != nil {
			return err
		}
	}
	return nil
}

// decode reads the objectives of a record. Most are known by their text: a whole
// fleet sends the same.
func (l *Ledger) decode(rec delta.Record) ([]slo.Objective, error) {
	if o := l.objectives[rec.Key]; o != nil && o.def != nil && bytes.Equal(o.def.Document, rec.Body) {
		return []slo.Objective{*o.def}, nil
	}
	return openslo.Decode(rec.Key, rec.Body)
}

// assign notes that a node answers for an objective, from the given minute at the
// latest.
func (l *Ledger) assign(ctx context.Context, st *stage, source int64, o *objective, minute int64) error {
	at := place{o.id, source}
	if since, ok := st.since[at]; ok && since <= minute {
		return nil
	}
	if since, ok := o.since[source]; ok && since <= minute {
		return nil
	}
	_, err := st.tx.ExecContext(ctx, `INSERT INTO objective_nodes VALUES (?, ?, ?)
		ON CONFLICT (source, objective) DO UPDATE SET since = excluded.since WHERE excluded.since < objective_nodes.since`, source, o.id, minute)
	if err != nil {
		return fmt.Errorf("assign objective: %w", err)
	}
	st.since[at] = minute
	return nil
}
