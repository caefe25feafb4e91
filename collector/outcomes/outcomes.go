// Package outcomes reads edgecore's ledger of outcomes into the buffer.
//
// It guarantees that every outcome is recorded and counted exactly once, in the
// ledger's order: the cursor is stored in the same transaction as the outcomes
// and the SLI buckets they count in, so a death at any point neither loses nor
// repeats one. What went wrong is stored at once; what went well waits for others of
// the same ten seconds. Subjects, who an outcome is about, never leave this package; the ids of
// check-ins never leave the node.
package outcomes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/collector/sli"
	"ghostlight/collector/store"
)

const (
	pageSize  = 1000            // outcomes per request
	pollWait  = 5 * time.Second // how long edgecore may hold an empty answer back
	graceWait = 5 * time.Second // on top of it before the request fails
	bodyLimit = 4 << 20
	minRetry  = 500 * time.Millisecond
	maxRetry  = 5 * time.Second
)

const statePrefix = "outcomes/"

// A Book counts outcomes and stores them with extra in one transaction; after an
// error neither happened.
type Book interface {
	Outcomes(ctx context.Context, outcomes []sli.Outcome, extra queue.Commit) error
}

// Options configure a [Reader].
type Options struct {
	AdminURL, Token string
	Book            Book
	// Load returns the stored value of a key, or nil.
	Load func(key string) ([]byte, error)
	// Seen is told each batch of real outcomes once it is stored; nil: nobody is.
	Seen   func([]Outcome)
	Client *http.Client     // nil: a client of its own
	Now    func() time.Time // nil means time.Now
	Log    *slog.Logger     // nil: silent
}

// Status is where the reader stands.
type Status struct {
	Up     bool      // edgecore answered last time
	At     time.Time // of the last answer
	Read   time.Time // of a moment before which all that edgecore recorded is stored
	Err    string
	Ledger string
	Cursor int64 // last outcome stored
	Known  int64 // last outcome read; those behind Cursor are stored by the end of the minute
	Head   int64 // last outcome edgecore has
	Stored int64 // real outcomes stored since start
}

// A Reader follows the ledger.
type Reader struct {
	o    Options
	log  *slog.Logger
	turn chan struct{} // holds a token while a page is read and stored
	hold hold          // guarded by turn

	mu   sync.Mutex
	st   Status                  // guarded by mu
	poll context.CancelCauseFunc // ends the request that waits for outcomes; nil: none does; guarded by mu
}

// errFlush ends a waiting request so that a flush need not wait for it.
var errFlush = errors.New("a flush takes over")

// New restores the cursor.
func New(o Options) (*Reader, error) {
	if o.Book == nil || o.Load == nil {
		return nil, errors.New("outcomes: a book and a way to load the cursor are needed")
	}
	if _, err := url.Parse(o.AdminURL); err != nil {
		return nil, fmt.Errorf("outcomes: %w", err)
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Seen == nil {
		o.Seen = func([]Outcome) {}
	}
	r := &Reader{o: o, log: o.Log, turn: make(chan struct{}, 1)}
	ledger, err := o.Load(statePrefix + "ledger")
	if err != nil {
		return nil, fmt.Errorf("outcomes: read the cursor: %w", err)
	}
	if r.st.Cursor, err = r.cursor(string(ledger)); err != nil {
		return nil, err
	}
	r.st.Ledger, r.st.Known = string(ledger), r.st.Cursor
	return r, nil
}

// cursor is the last stored sequence of a ledger, 0 for one never read.
func (r *Reader) cursor(ledger string) (int64, error) {
	raw, err := r.o.Load(statePrefix + "cursor/" + ledger)
	if err != nil {
		return 0, fmt.Errorf("outcomes: read the cursor: %w", err)
	}
	if raw == nil {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("outcomes: stored cursor %q is no sequence", raw)
	}
	return n, nil
}

// Run follows the ledger until ctx ends.
func (r *Reader) Run(ctx context.Context) error {
	retry := minRetry
	for {
		known, asked := r.Status().Known, time.Now()
		err := r.step(ctx, r.patience())
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			retry = minRetry
			if r.Status().Known > known || time.Since(asked) > minRetry {
				continue // there was something, or edgecore held the answer back
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
		retry = min(2*retry, maxRetry)
	}
}

// patience is how long edgecore may hold the next answer back: not far beyond the end
// of a minute, for that answer says that the minute's outcomes are all known, nor beyond
// the time that what is held may wait.
func (r *Reader) patience() time.Duration {
	now := r.o.Now()
	return min(pollWait, endOf(holdFor, now).Sub(now).Truncate(time.Millisecond))
}

// Flush reads and stores everything up to the ledger's head.
func (r *Reader) Flush(ctx context.Context) error {
	for {
		r.mu.Lock()
		if r.poll != nil {
			r.poll(errFlush)
		}
		r.mu.Unlock()
		if err := r.step(ctx, 0); err != nil {
			return err
		}
		if st := r.Status(); st.Cursor >= st.Head {
			return nil
		}
	}
}

// CaughtUp reports whether the ledger was read to its end lately, and how long ago
// that was: what edgecore recorded since may not be stored.
func (r *Reader) CaughtUp() (ago time.Duration, ok bool) {
	st, now := r.Status(), r.o.Now()
	ok = st.Up && !st.Read.IsZero() && st.Known >= st.Head && now.Sub(st.At) < pollWait+graceWait
	return max(0, now.Sub(st.Read)), ok
}

// Status is where the reader stands now.
func (r *Reader) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st
}

// step reads one page, waiting for outcomes up to wait, and stores it.
func (r *Reader) step(ctx context.Context, wait time.Duration) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	before, asked := r.Status(), r.o.Now()
	page, err := r.await(ctx, before.Known, wait)
	if errors.Is(err, errFlush) {
		return nil
	}
	if err == nil {
		// An empty answer that was held back tells of the end of the wait: edgecore
		// looks once more before it gives it.
		if len(page.Outcomes) == 0 && r.o.Now().Sub(asked) >= wait {
			asked = asked.Add(wait)
		}
		err = r.take(ctx, before, page, asked, wait == 0)
	} else {
		// Edgecore may be gone for long.
		err = errors.Join(err, r.storeHeld(context.WithoutCancel(ctx), before.Ledger))
	}
	if ctx.Err() == nil && !errors.Is(err, store.ErrStopping) {
		r.note(err)
	}
	return err
}

// take holds a page, which tells of no earlier moment than at, and stores what is held
// once that is due, or at once: until all was stored once, nobody knows how far it was
// read.
func (r *Reader) take(ctx context.Context, before Status, p Page, at time.Time, atOnce bool) error {
	if p.Ledger != before.Ledger {
		return r.change(before.Ledger, p)
	}
	if p.Head < before.Known {
		return fmt.Errorf("edgecore's ledger ends at outcome %d, but %d was read from it before: was it restored from a copy?", p.Head, before.Known)
	}
	var fresh []Row
	for _, o := range p.Outcomes {
		if o.Seq > before.Known {
			fresh = append(fresh, o)
		}
	}
	now := r.o.Now()
	r.hold.add(fresh, now)
	var err error
	if atOnce || before.Read.IsZero() || r.hold.due(now) {
		err = r.storeHeld(ctx, p.Ledger)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.st.Known, r.st.Head = r.hold.last(r.st.Cursor), p.Head
	if r.st.Cursor >= p.Head {
		r.st.Read = at
	}
	return err
}

// storeHeld stores what is held, and holds nothing any more: what cannot be stored is
// read again. The caller holds turn.
func (r *Reader) storeHeld(ctx context.Context, ledger string) (err error) {
	if len(r.hold.rows) > 0 {
		err = r.store(ctx, ledger, r.hold.rows)
		r.hold = hold{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.st.Known = r.st.Cursor
	return err
}

// change follows another ledger, from where it was last read. Its outcomes are
// asked for anew, after the right cursor.
func (r *Reader) change(from string, p Page) error {
	cursor, err := r.cursor(p.Ledger)
	if err != nil {
		return err
	}
	if from != "" {
		r.log.Info("edgecore has another ledger", "before", from, "now", p.Ledger, "cursor", cursor)
	}
	r.hold = hold{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.st.Ledger, r.st.Cursor, r.st.Known, r.st.Head = p.Ledger, cursor, cursor, p.Head
	return nil
}

// store commits outcomes, what they count and the cursor as one.
func (r *Reader) store(ctx context.Context, ledger string, fresh []Row) error {
	told := make([]Outcome, 0, len(fresh))
	for _, o := range fresh {
		told = append(told, o.Outcome)
	}
	body, err := json.Marshal(struct {
		Ledger   string    `json:"ledger"`
		Outcomes []Outcome `json:"outcomes"`
	}{ledger, told})
	if err != nil {
		return fmt.Errorf("encode outcomes: %w", err)
	}
	first, last := fresh[0].Seq, fresh[len(fresh)-1].Seq
	record := delta.Record{Kind: "edge.outcomes", Key: fmt.Sprintf("%s:%d-%d", ledger, first, last), Time: r.o.Now().UnixMilli(), Body: body}
	counted, customers := customersOnly(fresh)
	err = r.o.Book.Outcomes(ctx, counted, queue.Commit{
		Entries: []queue.Entry{{Lane: buffer.Revenue, Batch: delta.Batch{Records: []delta.Record{record}}}},
		State: map[string][]byte{
			statePrefix + "ledger":           []byte(ledger),
			statePrefix + "cursor/" + ledger: strconv.AppendInt(nil, last, 10),
		},
	})
	if err != nil {
		return fmt.Errorf("store outcomes %d to %d: %w", first, last, err)
	}
	r.mu.Lock()
	r.st.Cursor = last
	r.st.Stored += int64(len(customers))
	r.mu.Unlock()
	r.o.Seen(customers)
	return nil
}

// customersOnly are the outcomes of customers, as the book counts them and as others
// see them: journeys and their like are recorded but never counted.
func customersOnly(all []Row) (counted []sli.Outcome, seen []Outcome) {
	for _, o := range all {
		if o.Synthetic {
			continue
		}
		// A good payment with a reason is one that the card's issuer declined.
		paid := o.Kind == "payment" && o.Good && o.Reason == ""
		counted = append(counted, sli.Outcome{At: time.UnixMilli(o.TimeMS), Kind: o.Kind, Good: o.Good, Paid: paid, Checkin: o.Checkin})
		seen = append(seen, o.Outcome)
	}
	return counted, seen
}

// note keeps the outcome of a step for Status and logs it when it changed.
func (r *Reader) note(err error) {
	r.mu.Lock()
	was := r.st
	r.st.Up, r.st.Err = err == nil, ""
	if err != nil {
		r.st.Err = err.Error()
	} else {
		r.st.At = r.o.Now()
	}
	r.mu.Unlock()
	switch {
	case err != nil && (was.Up || was.Err == ""):
		r.log.Warn("outcomes of edgecore cannot be read; what it records meanwhile is read later", "err", err)
	case err == nil && was.Err != "":
		r.log.Info("outcomes of edgecore are read again")
	}
}
