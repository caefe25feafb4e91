package notify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ghostlight/fleet/store"
	"ghostlight/slo"
)

// A Receiver tells people, or passes on to what does.
type Receiver interface {
	// Send tells m. After an error the receiver may or may not have it: it is sent
	// again. An error that wraps [ErrRejected] means that the receiver works but does
	// not take this message; all others, that it does not work now.
	Send(ctx context.Context, m Message) error
}

// A Route is a receiver and what it gets.
type Route struct {
	Name     string // of the receiver, unique; what it was told is kept by this name
	Receiver Receiver
	Matchers []Matcher     // a page must match all of them; none: every page
	Wait     time.Duration // how long a page waits for others of its group

	// An alert manager forgets a page that is not told again, and drops one that
	// is over as soon as it comes.
	Refresh  time.Duration // tell what is firing again this often; 0: never
	Hold     time.Duration // tell that a page is over only this long after it was told; 0: at once
	LiveOnly bool          // never gets a page that was over before it was known
}

// Options make a Notifier. Store is needed, and at least one route.
type Options struct {
	Store   *store.Store
	Routes  []Route
	Timeout time.Duration         // for one try; 0: 10 s
	GiveUp  time.Duration         // how long a page is tried for; 0: 7 days
	Metrics prometheus.Registerer // nil: none
	Now     func() time.Time      // nil: time.Now
	Rand    func() float64        // [0, 1), spreads retries; nil: random
	Log     *slog.Logger          // nil: slog.Default
}

// A Notifier takes notifications and sees to it that each receiver is told. Its
// methods may be called concurrently.
type Notifier struct {
	o        Options
	couriers []*courier
	metrics  *metrics
}

// New opens the notifier; Run sends. It refuses routes that cannot work.
func New(ctx context.Context, o Options) (*Notifier, error) {
	if o.Store == nil || len(o.Routes) == 0 {
		return nil, errors.New("open notifications: a store is needed, and at least one route")
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.GiveUp <= 0 {
		o.GiveUp = 7 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	n := &Notifier{o: o}
	seen := map[string]bool{}
	for _, r := range o.Routes {
		if r.Name == "" || r.Receiver == nil || seen[r.Name] {
			return nil, fmt.Errorf("open notifications: route %q needs a receiver and a name of its own", r.Name)
		}
		seen[r.Name] = true
		match, err := matchers(r.Matchers)
		if err != nil {
			return nil, fmt.Errorf("open notifications: route %s: %w", r.Name, err)
		}
		n.couriers = append(n.couriers, newCourier(n, r, match))
	}
	if err := o.Store.Migrate(ctx, tables...); err != nil {
		return nil, fmt.Errorf("open notifications: %w", err)
	}
	var err error
	n.metrics, err = newMetrics(o.Metrics, n)
	return n, err
}

// Notify takes what is known of an incident now. When it returns nil, what is new is
// durably owed to each receiver that should be told. Taking the same again tells
// nobody; new facts of a page that was told go with what is told next.
func (n *Notifier) Notify(ctx context.Context, nt Notification) error {
	body, err := nt.encode()
	if err != nil {
		return err
	}
	var phase Phase
	takers := 0
	err = n.o.Store.Write(ctx, func(tx *sql.Tx) error {
		now := n.o.Now()
		old, changes, err := load(ctx, tx, nt.Key)
		if err != nil {
			return err
		}
		if phase = dedupe(old, nt); phase != "" {
			changes++
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO notify_pages VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
			body = excluded.body, changes = excluded.changes, changed_ms = excluded.changed_ms`, nt.Key, body, changes, now.UnixMilli())
		if err != nil || phase == "" {
			return err
		}
		takers = 0 // the transaction may be repeated
		for _, c := range n.couriers {
			if !c.takes(nt, phase) {
				continue
			}
			takers++
			if err := owe(ctx, tx, c.route.Name, nt, phase, changes, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take notification %s: %w", nt.Key, err)
	}
	if phase != "" && takers == 0 {
		n.metrics.unrouted.WithLabelValues(string(phase)).Inc()
		n.o.Log.Warn("no receiver takes this page; add a route for it", "incident", nt.Key, "phase", string(phase), "urgency", string(nt.Urgency))
	}
	if phase != "" {
		n.wakeAll()
	}
	return nil
}

// urgent is 1 for what wakes somebody: it goes first.
func urgent(n Notification) int {
	if n.Urgency == slo.Page && n.Status == Firing {
		return 1
	}
	return 0
}

func (n *Notifier) wakeAll() {
	for _, c := range n.couriers {
		select {
		case c.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}

// Run sends until ctx ends. What is owed then stays owed.
func (n *Notifier) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, c := range n.couriers {
		all.Go(func() { c.run(ctx) })
	}
	all.Go(func() { n.prune(ctx) })
	all.Wait()
	return nil
}

const (
	pruneEvery = time.Hour
	keepPages  = 90 * 24 * time.Hour // after their last change
)

// prune forgets, from time to time, what is long over.
func (n *Notifier) prune(ctx context.Context) {
	beat := time.NewTicker(pruneEvery)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		if err := n.sweep(ctx); err != nil && ctx.Err() == nil {
			n.o.Log.Error("notifications cannot be pruned, will retry", "error", err)
		}
	}
}

func (n *Notifier) sweep(ctx context.Context) error {
	now := n.o.Now()
	var given int64
	err := n.o.Store.Write(ctx, func(tx *sql.Tx) error {
		tired := now.Add(-n.o.GiveUp).UnixMilli()
		_, err := tx.ExecContext(ctx, `INSERT INTO notify_log (at_ms, receiver, key, phase, outcome)
			SELECT ?, receiver, key, phase, 'given up' FROM notify_owed WHERE since_ms < ?`, now.UnixMilli(), tired)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM notify_owed WHERE since_ms < ?`, tired)
		if err != nil {
			return err
		}
		if given, err = res.RowsAffected(); err != nil {
			return err
		}
		old := now.Add(-keepPages).UnixMilli()
		const over = `json_extract(body, '$.status') = 'resolved' AND changed_ms < ? AND key NOT IN (SELECT key FROM notify_owed)`
		for _, step := range []struct {
			stmt string
			arg  int64
		}{
			{`DELETE FROM notify_log WHERE at_ms < ?`, old},
			{`DELETE FROM notify_silences WHERE to_ms < ?`, now.Add(-keepSilence).UnixMilli()},
			{`DELETE FROM notify_told WHERE key IN (SELECT key FROM notify_pages WHERE ` + over + `)`, old},
			{`DELETE FROM notify_pages WHERE ` + over, old},
		} {
			if _, err := tx.ExecContext(ctx, step.stmt, step.arg); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("prune notifications: %w", err)
	}
	if given > 0 {
		n.metrics.givenUp.Add(float64(given))
		n.o.Log.Error("pages were given up: their receiver never took them; check its address", "pages", given)
	}
	return nil
}

// An Entry is what became of one page.
type Entry struct {
	At       time.Time `json:"at"`
	Receiver string    `json:"receiver"`
	Phase    Phase     `json:"phase"`
	Outcome  string    `json:"outcome"` // sent, silenced or given up
}

// Log lists what became of the pages of one incident, the oldest first.
func (n *Notifier) Log(ctx context.Context, key string) ([]Entry, error) {
	rows, err := n.o.Store.Read().QueryContext(ctx, `SELECT at_ms, receiver, phase, outcome FROM notify_log WHERE key = ? ORDER BY id`, key)
	if err != nil {
		return nil, fmt.Errorf("read log of %s: %w", key, err)
	}
	defer rows.Close()
	out := []Entry{}
	for rows.Next() {
		var e Entry
		var at int64
		if err := rows.Scan(&at, &e.Receiver, &e.Phase, &e.Outcome); err != nil {
			return nil, fmt.Errorf("read log of %s: %w", key, err)
		}
		e.At = time.UnixMilli(at).UTC()
		out = append(out, e)
	}
	return out, rows.Err()
}
