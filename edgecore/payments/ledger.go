package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ghostlight/internal/sqlite"
)

// Options configure a ledger.
type Options struct {
	Path string // of the database file
	Node string // this node's name, the issuer of its tickets and receipts
	Now  func() time.Time
	Log  *slog.Logger
}

// A Ledger is the durable record of a venue node. All changes go through the one
// writer that [Ledger.Run] owns; reads go past it.
type Ledger struct {
	node   string
	now    func() time.Time
	log    *slog.Logger
	db     *sql.DB // the writer's
	read   *sql.DB
	id     string
	signer *signer
	queue  chan *change

	mu         sync.Mutex
	closed     bool          // no change is taken any more; guarded by mu
	totals     Totals        // of everything committed; guarded by mu
	head       int64         // highest outcome committed; guarded by mu
	settleHead int64         // highest settlement committed; guarded by mu
	settled    int64         // highest settlement the hub has accepted; guarded by mu
	oldest     int64         // time of the oldest pending settlement, Unix ms, 0 if none; guarded by mu
	trouble    error         // why the last commit failed; nil while the ledger is writable; guarded by mu
	failures   []Outcome     // failed outcomes to be committed when that works again; guarded by mu
	dropped    int64         // failed outcomes beyond maxFailures; guarded by mu
	changed    chan struct{} // closed at the next commit; guarded by mu
}

// Open opens the ledger, or makes it, and sums it up. Nothing is accepted before
// [Ledger.Run].
func Open(ctx context.Context, o Options) (_ *Ledger, err error) {
	if o.Path == "" || o.Node == "" || o.Now == nil || o.Log == nil {
		return nil, errors.New("ledger needs a path, a node name, a clock and a log")
	}
	l := &Ledger{node: o.Node, now: o.Now, log: o.Log, queue: make(chan *change, queueSize), totals: newTotals(), changed: make(chan struct{})}
	defer func() {
		if err != nil {
			l.Close() //nolint:errcheck // the cause is what matters
			err = fmt.Errorf("open ledger %s: %w", o.Path, err)
		}
	}()
	if l.db, err = sqlite.Open(o.Path); err != nil {
		return nil, err
	}
	if err := ensureSchema(ctx, l.db); err != nil {
		return nil, err
	}
	if l.read, err = sqlite.ReadPool(o.Path, sqlite.CacheKiB(512)); err != nil {
		return nil, err
	}
	if err := l.loadMeta(ctx); err != nil {
		return nil, err
	}
	return l, l.loadTotals(ctx)
}

// Close releases the database; [Ledger.Run] must have returned.
func (l *Ledger) Close() error {
	var errs []error
	for _, db := range []*sql.DB{l.read, l.db} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// ID is the ledger's identity, drawn when it was made.
func (l *Ledger) ID() string { return l.id }

// Head is the highest outcome sequence committed.
func (l *Ledger) Head() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Changed returns a channel that is closed at the next commit.
func (l *Ledger) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Writable returns nil if the last commit worked, else why it did not.
func (l *Ledger) Writable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble
}

// Totals returns a copy of the sums over everything committed.
func (l *Ledger) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals.clone()
}

// Flow is the part of a [Summary] that concerns one currency.
type Flow struct {
	Sales        int64 `json:"sales"`
	SalesMinor   int64 `json:"sales_minor"`
	Refunds      int64 `json:"refunds"`
	RefundsMinor int64 `json:"refunds_minor"`
}

// A Summary is the ledger in numbers. A sale is a captured real payment; refunds
// are not deducted from sales. Sums over several currencies are what they are:
// by_currency keeps them apart.
type Summary struct {
	Ledger               string          `json:"ledger"`
	Sales                int64           `json:"sales"`
	SalesMinor           int64           `json:"sales_minor"`
	Refunds              int64           `json:"refunds"`
	RefundsMinor         int64           `json:"refunds_minor"`
	Checkins             int64           `json:"checkins"`
	Orders               int64           `json:"orders"`
	Pending              int64           `json:"pending"` // settlements the hub has not accepted
	OldestPendingSeconds float64         `json:"oldest_pending_seconds"`
	SyntheticSales       int64           `json:"synthetic_sales"`
	ByCurrency           map[string]Flow `json:"by_currency"`
	Writable             bool            `json:"writable"`
	FailuresWaiting      int64           `json:"failures_waiting"` // failed outcomes not yet committed
	FailuresDropped      int64           `json:"failures_dropped"` // failed outcomes beyond the bound
}

// Summary returns the ledger in numbers.
func (l *Ledger) Summary() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	sales, refunds := sum(l.totals.Sales), sum(l.totals.Refunds)
	s := Summary{
		Ledger: l.id, Sales: sales.Count, SalesMinor: sales.AmountMinor, Refunds: refunds.Count, RefundsMinor: refunds.AmountMinor,
		Checkins: l.totals.Checkins[ResultOK], Orders: l.totals.Orders[ResultCreated],
		Pending: max(l.settleHead-l.settled, 0), OldestPendingSeconds: l.oldestSeconds(),
		SyntheticSales: l.totals.Synthetic[ResultCaptured], ByCurrency: map[string]Flow{},
		Writable: l.trouble == nil, FailuresWaiting: int64(len(l.failures)), FailuresDropped: l.dropped,
	}
	for currency, m := range l.totals.Sales {
		s.ByCurrency[currency] = Flow{Sales: m.Count, SalesMinor: m.AmountMinor}
	}
	for currency, m := range l.totals.Refunds {
		f := s.ByCurrency[currency]
		f.Refunds, f.RefundsMinor = m.Count, m.AmountMinor
		s.ByCurrency[currency] = f
	}
	return s
}

// oldestSeconds is the age of the oldest pending settlement; l.mu is held.
func (l *Ledger) oldestSeconds() float64 {
	if l.oldest == 0 {
		return 0
	}
	return max(l.now().Sub(time.UnixMilli(l.oldest)).Seconds(), 0)
}
