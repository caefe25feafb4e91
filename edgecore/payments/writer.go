package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ghostlight/internal/sqlite"
)

// Bounds of the writer.
const (
	queueSize   = 256              // changes waiting; beyond it callers are refused at once
	batchSize   = 64               // changes that share one fsync at most
	maxWait     = 10 * time.Second // a change that waited longer is refused unwritten
	maxFailures = 4096             // failed outcomes remembered while the ledger cannot be written
	probeEvery  = 5 * time.Second  // an idle ledger proves this often that it can be written
	retryEvery  = time.Second      // and one in trouble this often
)

var (
	// ErrOverloaded means that too many changes are waiting.
	ErrOverloaded = errors.New("the till is overloaded")
	// ErrClosed means that the ledger is shutting down.
	ErrClosed = errors.New("the ledger is closed")
	// errTimeout means that a change waited too long to be written.
	errTimeout = errors.New("the ledger is too slow")
)

// A change is one unit of work for the writer. It is applied in a transaction
// that it may share with others, perhaps more than once until a commit succeeds;
// each time it must start afresh.
type change struct {
	apply    func(*txn) (answer, error)
	failure  Outcome // to report if it cannot be committed; none if Kind is empty
	enqueued time.Time
	answer   answer
	err      error
	done     chan struct{} // closed when answer and err are final
}

// do has the writer commit a change and returns its answer once it is on disk.
// On an error nothing was committed, except if it is that of ctx: then it may
// have been, or be yet.
func (l *Ledger) do(ctx context.Context, failure Outcome, apply func(*txn) (answer, error)) (answer, error) {
	c := &change{apply: apply, failure: failure, enqueued: time.Now(), done: make(chan struct{})}
	if err := l.enqueue(c); err != nil {
		l.Fail(failure, err)
		return answer{}, err
	}
	select {
	case <-c.done:
		return c.answer, c.err
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

func (l *Ledger) enqueue(c *change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	select {
	case l.queue <- c:
		return nil
	default:
		return ErrOverloaded
	}
}

// Fail remembers an outcome that could not be committed, to be committed as soon
// as the ledger can be written. One without a kind is nothing.
func (l *Ledger) Fail(o Outcome, cause error) {
	if o.Kind == "" {
		return
	}
	o.Good = false
	if o.Reason == "" {
		o.Reason = reasonOf(cause)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) >= maxFailures {
		l.dropped++
		return
	}
	l.failures = append(l.failures, o)
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, ErrOverloaded):
		return ReasonOverloaded
	case errors.Is(err, errTimeout):
		return ReasonTimeout
	case sqlite.IsFull(err):
		return ReasonDiskFull
	}
	return ReasonLedger
}

// Run commits changes until ctx ends; those then waiting are still committed.
func (l *Ledger) Run(ctx context.Context) error {
	w, err := newWriter(context.WithoutCancel(ctx), l) // even if ctx has ended, what waits is committed
	if err != nil {
		return err
	}
	defer w.close()
	timer := time.NewTimer(0) // the first probe proves that the ledger can be written
	defer timer.Stop()
	for {
		select {
		case c := <-l.queue:
			w.commit(w.gather(c))
		case <-timer.C:
			w.commit(nil)
		case <-ctx.Done():
			l.mu.Lock()
			l.closed = true
			l.mu.Unlock()
			w.drain()
			return nil
		}
		timer.Reset(l.probeInterval())
	}
}

func (l *Ledger) probeInterval() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trouble != nil || len(l.failures) > 0 {
		return retryEvery
	}
	return probeEvery
}

// A writer holds the one connection that changes the ledger.
type writer struct {
	l          *Ledger
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	lastPrune  time.Time
}

func newWriter(ctx context.Context, l *Ledger) (*writer, error) {
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("ledger writer: %w", err)
	}
	return &writer{l: l, conn: conn, statements: map[string]*sql.Stmt{}}, nil
}

func (w *writer) close() {
	for _, s := range w.statements {
		s.Close()
	}
	w.conn.Close()
}

// gather takes what else is waiting along with first.
func (w *writer) gather(first *change) []*change {
	batch := []*change{first}
	for len(batch) < batchSize {
		select {
		case c := <-w.l.queue:
			batch = append(batch, c)
		default:
			return batch
		}
	}
	return batch
}

// drain commits what was accepted before the ledger closed.
func (w *writer) drain() {
	for {
		select {
		case c := <-w.l.queue:
			w.commit(w.gather(c))
		default:
			w.commit(nil)
			return
		}
	}
}

// commit writes a batch. If it fails as a whole, its changes are tried one by
// one, so that none falls with another; if the disk is full, not even that.
func (w *writer) commit(batch []*change) {
	live := batch[:0:0]
	for _, c := range batch {
		if time.Since(c.enqueued) > maxWait {
			w.finish(c, errTimeout)
			continue
		}
		live = append(live, c)
	}
	err := w.try(live)
	if err != nil && len(live) > 1 && !sqlite.IsFull(err) {
		for _, c := range live {
			w.finish(c, w.try([]*change{c}))
		}
		return
	}
	for _, c := range live {
		w.finish(c, err)
	}
}

// finish tells the caller of a change how it went.
func (w *writer) finish(c *change, err error) {
	if c.err = err; err != nil {
		c.answer = answer{}
		w.l.Fail(c.failure, err)
	}
	close(c.done)
}

// try commits changes, and the failures that waited, in one transaction. Counters
// move after the commit and before anybody is told.
func (w *writer) try(batch []*change) (err error) {
	t := &txn{w: w}
	defer func() { w.l.noteTrouble(err) }()
	if err := w.exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	waiting := w.l.waitingFailures()
	err = w.apply(t, batch, waiting)
	if err == nil {
		err = w.exec(`COMMIT`)
	}
	if err != nil {
		w.exec(`ROLLBACK`) //nolint:errcheck // SQLite may have rolled back by itself
		return err
	}
	w.l.committed(t, len(waiting))
	return nil
}

func (w *writer) apply(t *txn, batch []*change, waiting []Outcome) error {
	for _, c := range batch {
		var err error
		if c.answer, err = c.apply(t); err != nil {
			return err
		}
	}
	for _, o := range waiting {
		if err := t.outcome(o); err != nil {
			return err
		}
	}
	if len(batch) == 0 {
		return w.housekeep(t)
	}
	return nil
}

// keepAnswers is how long a key is remembered, and pruneBatch how many answers
// are forgotten at once.
const (
	keepAnswers = 7 * 24 * time.Hour
	pruneEvery  = time.Minute
	pruneBatch  = 500
)

// housekeep proves that the ledger can be written and forgets old answers.
func (w *writer) housekeep(t *txn) error {
	now := w.l.now()
	if err := t.exec(`UPDATE meta SET value = ? WHERE key = ?`, now.UnixMilli(), metaProbe); err != nil {
		return err
	}
	if now.Sub(w.lastPrune) < pruneEvery {
		return nil
	}
	w.lastPrune = now
	return t.exec(`DELETE FROM answers WHERE (operation, synthetic, key) IN
		(SELECT operation, synthetic, key FROM answers WHERE time_ms < ? ORDER BY time_ms LIMIT ?)`, now.Add(-keepAnswers).UnixMilli(), pruneBatch)
}

// exec runs a statement of transaction control.
func (w *writer) exec(query string) error {
	stmt, err := w.prepare(query)
	if err != nil {
		return err
	}
	if _, err := stmt.Exec(); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

// prepare keeps each statement for the life of the writer.
func (w *writer) prepare(query string) (*sql.Stmt, error) {
	if s, ok := w.statements[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare ledger statement: %w", err)
	}
	w.statements[query] = s
	return s, nil
}

func (l *Ledger) waitingFailures() []Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures[:len(l.failures):len(l.failures)]
}

// committed brings memory in line with what t has just made durable.
func (l *Ledger) committed(t *txn, failures int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append([]Outcome(nil), l.failures[failures:]...)
	for _, o := range t.outcomes {
		l.totals.add(o, 1, o.AmountMinor)
		l.head = o.Seq
	}
	l.settleHead = max(l.settleHead, t.settleHead)
	if t.settled != nil {
		l.settled, l.oldest = t.settled.through, t.settled.oldest
	}
	if l.oldest == 0 && t.firstPending != 0 && l.settleHead > l.settled {
		l.oldest = t.firstPending
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// noteTrouble keeps the ledger's state and logs when it changes.
func (l *Ledger) noteTrouble(err error) {
	l.mu.Lock()
	before := l.trouble
	l.trouble = err
	l.mu.Unlock()
	switch {
	case err != nil && before == nil:
		l.log.Error("the ledger cannot be written", "error", err)
	case err == nil && before != nil:
		l.log.Info("the ledger can be written again")
	}
}
