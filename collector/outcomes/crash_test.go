package outcomes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
	"ghostlight/collector/sli"
	"ghostlight/slo"
)

// ledger is edgecore's side, without a network.
type ledger struct {
	id   string
	rows []map[string]any
	down bool
}

func (l *ledger) add(at time.Time, kind string, good, synthetic bool) {
	l.addOf(at, kind, good, synthetic, "")
}

// addOf adds an outcome of a check-in.
func (l *ledger) addOf(at time.Time, kind string, good, synthetic bool, checkin string) {
	l.rows = append(l.rows, map[string]any{
		"seq": len(l.rows) + 1, "time_ms": at.UnixMilli(), "kind": kind, "good": good, "synthetic": synthetic, "subject": "somebody", "checkin": checkin,
	})
}

func (l *ledger) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.down {
		return nil, errors.New("connection refused")
	}
	if r.Header.Get("Authorization") != "Bearer secret" {
		return &http.Response{StatusCode: http.StatusUnauthorized, Body: io.NopCloser(strings.NewReader(""))}, nil
	}
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	if err != nil {
		return nil, err
	}
	after = min(after, len(l.rows))
	end := min(after+3, len(l.rows)) // small pages, so that a death falls between them
	w := httptest.NewRecorder()
	json.NewEncoder(w).Encode(map[string]any{"ledger": l.id, "outcomes": l.rows[after:end], "head": len(l.rows)}) //nolint:errcheck
	return w.Result(), nil
}

// fragile is a buffer that dies at a chosen moment.
type fragile struct {
	q      *queue.Queue
	crash  func() (before, after bool)
	stored int // commits that are on disk
}

var errDied = errors.New("the agent died")

func (f *fragile) Commit(ctx context.Context, c queue.Commit) error {
	before, after := f.crash()
	if before {
		return errDied
	}
	if err := f.q.Append(ctx, c); err != nil {
		return err
	}
	f.stored++
	if after {
		return errDied
	}
	return nil
}

func objective(name string, i slo.Indicator) slo.Objective {
	return slo.Objective{
		Name: name, Target: 0.99, Budgeting: slo.Occurrences, Indicator: i, Hash: slo.IndicatorHash(name, i),
		Window: slo.Window{Count: 28, Unit: 'd', Rolling: true}, Document: []byte(`{}`),
	}
}

var (
	checkout   = objective("checkout", slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "payment"}})
	conversion = objective("conversion", slo.Indicator{Velocity: &slo.VelocityIndicator{Seconds: 60}})
	served     = objective("served", slo.Indicator{Counter: &slo.CounterIndicator{
		Bad:   []slo.Selector{{Metric: "hits_total", Matchers: []slo.Matcher{{Label: "result", Op: "=", Value: "error"}}}},
		Total: []slo.Selector{{Metric: "hits_total"}},
	}})
)

// An agent that dies before or after any commit neither loses nor repeats an
// outcome, and its buckets count each once; so they do check-ins that wait for a
// purchase, and what a counter grew by.
func TestDeathAtEveryCommit(t *testing.T) {
	for _, mode := range []string{"before the commit", "after the commit", "either, at random"} {
		t.Run(mode, func(t *testing.T) { deaths(t, mode) })
	}
}

// night is what happened at the venue, as the books must say in the end.
type night struct {
	rng      *rand.Rand
	ledger   *ledger
	now      time.Time
	payments map[string]slo.Counts // by objective and minute
	guests   []guest
	hits     [2]float64 // good and bad, of a counter
	reads    [2]float64 // as of its last stored reading
	known    bool       // there was one
	grew     slo.Counts
}

type guest struct {
	id       string
	in, paid time.Time
}

func (n *night) count(name string, at time.Time, good bool) {
	c := slo.Counts{Total: 1}
	if good {
		c.Good = 1
	}
	key := fmt.Sprintf("%s/%d", name, slo.MinuteOf(at))
	n.payments[key] = n.payments[key].Add(c)
}

// happen makes one thing happen.
func (n *night) happen() {
	defer func() { n.now = n.now.Add(time.Duration(n.rng.IntN(40)) * time.Second) }()
	n.hits[n.rng.IntN(2)] += float64(n.rng.IntN(20))
	good, synthetic := n.rng.IntN(4) > 0, n.rng.IntN(5) == 0
	switch n.rng.IntN(4) {
	case 0:
		n.guests = append(n.guests, guest{id: fmt.Sprint("guest ", len(n.guests)), in: n.now})
		n.ledger.addOf(n.now, "checkin", true, false, n.guests[len(n.guests)-1].id)
	case 1:
		if len(n.guests) == 0 {
			return
		}
		g := &n.guests[len(n.guests)-1-n.rng.IntN(min(3, len(n.guests)))]
		if good && g.paid.IsZero() {
			g.paid = n.now
		}
		n.ledger.addOf(n.now, "payment", good, false, g.id)
		n.count("checkout", n.now, good)
	case 2:
		n.ledger.add(n.now, "payment", good, synthetic)
		if !synthetic {
			n.count("checkout", n.now, good)
		}
	case 3:
		n.ledger.add(n.now, "order", good, synthetic)
	}
}

// scrape stores one reading of the counter.
func (n *night) scrape(ctx context.Context, book *sli.Book, f *fragile) error {
	var series []delta.Series
	for i, result := range []string{"ok", "error"} {
		series = append(series, delta.Series{
			Labels:  []delta.Label{{Name: "__name__", Value: "hits_total"}, {Name: "job", Value: "edge"}, {Name: "result", Value: result}},
			Samples: []delta.Sample{{Time: n.now.UnixMilli(), Value: n.hits[i]}},
		})
	}
	stored := f.stored
	err := book.Series(ctx, series, func(c queue.Commit) error {
		c.Entries = append(c.Entries, queue.Entry{Lane: buffer.Health, Batch: delta.Batch{Series: series}})
		return f.Commit(ctx, c)
	})
	if f.stored == stored {
		return err
	}
	if n.known {
		good, bad := int64(n.hits[0]-n.reads[0]), int64(n.hits[1]-n.reads[1])
		n.grew = n.grew.Add(slo.Counts{Good: good, Total: good + bad})
	}
	n.reads, n.known = n.hits, true
	return err
}

// want is what the buckets must hold by objective and minute, those of the counter
// aside.
func (n *night) want() map[string]slo.Counts {
	for _, g := range n.guests {
		n.count("conversion", g.in, !g.paid.IsZero() && g.paid.Sub(g.in) <= time.Minute)
	}
	return n.payments
}

func deaths(t *testing.T, mode string) {
	ctx := t.Context()
	opts := queue.Options{Dir: t.TempDir(), DiskBudget: 8 << 20}
	n := &night{
		rng: rand.New(rand.NewPCG(7, 11)), ledger: &ledger{id: "ledger-1"}, now: time.Unix(1_800_000_000, 0), payments: map[string]slo.Counts{},
	}
	const lives = 40
	for life := range lives {
		q, err := queue.Open(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		last := life == lives-1
		if err := n.live(ctx, q, mode, last); err != nil && (last || !errors.Is(err, errDied)) {
			t.Fatal(err)
		}
		if last {
			check(t, q, len(n.ledger.rows), n.want(), n.grew)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// live is one life of the agent, which dies at some commit unless it is the last.
func (n *night) live(ctx context.Context, q *queue.Queue, mode string, last bool) error {
	load := func(key string) ([]byte, error) {
		m, err := q.State(ctx, key)
		return m[key], err
	}
	commits := 0
	f := &fragile{q: q, crash: func() (before, after bool) {
		commits++
		switch {
		case last || commits <= n.rng.IntN(3):
			return false, false // the last life is allowed to finish
		case mode == "before the commit":
			return true, false
		case mode == "after the commit":
			return false, true
		}
		before = n.rng.IntN(2) == 0
		return before, !before
	}}
	clock := func() time.Time { return n.now }
	var r *Reader
	book, err := sli.New(sli.Options{
		Objectives: []slo.Objective{checkout, conversion, served}, Commit: f, Load: load, Now: clock,
		OutcomesSeen: func() (time.Duration, bool) { return r.CaughtUp() },
	})
	if err != nil {
		return err
	}
	r, err = New(Options{AdminURL: "http://edge", Token: "secret", Book: book, Load: load, Client: &http.Client{Transport: n.ledger}, Now: clock})
	if err != nil {
		return err
	}
	for range 1 + n.rng.IntN(6) {
		n.happen()
	}
	if err := n.scrape(ctx, book, f); err != nil {
		return err
	}
	if err := r.Flush(ctx); err != nil {
		return err
	}
	if last {
		n.now = n.now.Add(5 * time.Minute) // who did not buy by now is late
		if err := r.Flush(ctx); err != nil {
			return err
		}
	}
	return book.Settle(ctx)
}

// check reads everything the buffer holds, as the centre would.
func check(t *testing.T, q *queue.Queue, rows int, want map[string]slo.Counts, grew slo.Counts) {
	t.Helper()
	seqs, buckets := map[int64]int{}, map[string]slo.Bucket{}
	for _, r := range drain(t, q) {
		switch r.Kind {
		case "edge.outcomes":
			if strings.Contains(string(r.Body), "somebody") || strings.Contains(string(r.Body), "guest") {
				t.Errorf("who an outcome is about left the node: %s", r.Body)
			}
			var p Page
			if err := json.Unmarshal(r.Body, &p); err != nil || p.Ledger != "ledger-1" {
				t.Fatalf("record %s: %v", r.Body, err)
			}
			if key := fmt.Sprintf("ledger-1:%d-%d", p.Outcomes[0].Seq, p.Outcomes[len(p.Outcomes)-1].Seq); r.Key != key {
				t.Errorf("key %s, want %s", r.Key, key)
			}
			for _, o := range p.Outcomes {
				seqs[o.Seq]++
			}
		case "slo.bucket":
			b, err := slo.DecodeBucket(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if old, ok := buckets[b.Key()]; !ok || b.Supersedes(old) {
				buckets[b.Key()] = b
			}
		}
	}
	for seq := int64(1); seq <= int64(rows); seq++ {
		if seqs[seq] != 1 {
			t.Errorf("outcome %d is stored %d times", seq, seqs[seq])
		}
	}
	got := map[string]slo.Counts{}
	var counter slo.Counts
	for key, b := range buckets {
		c := slo.Counts{Good: b.Good, Total: b.Total}
		switch {
		case b.Objective == "served":
			counter = counter.Add(c)
		case b.Total > 0:
			got[key] = c
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
	if counter != grew || grew.Total == 0 {
		t.Errorf("the counter grew by %+v, counted are %+v", grew, counter)
	}
}

func drain(t *testing.T, q *queue.Queue) []delta.Record {
	t.Helper()
	var out []delta.Record
	for {
		blocks, err := q.Next(t.Context(), 100, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(blocks) == 0 {
			return out
		}
		for _, s := range blocks {
			out = append(out, s.Batch.Records...)
			if err := q.Ack(t.Context(), wire.Ack{Session: s.Session, Lane: s.Lane, Ranges: []wire.Range{{First: s.First, Last: s.Seq}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
