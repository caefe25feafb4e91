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
	l.rows = append(l.rows, map[string]any{
		"seq": len(l.rows) + 1, "time_ms": at.UnixMilli(), "kind": kind, "good": good, "synthetic": synthetic, "subject": "somebody",
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
	q     *queue.Queue
	crash func() (before, after bool)
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
	if after {
		return errDied
	}
	return nil
}

var checkout = slo.Objective{
	Name: "checkout", Target: 0.99, Budgeting: slo.Occurrences,
	Indicator: slo.Indicator{Outcome: &slo.OutcomeIndicator{Kind: "payment"}},
	Window:    slo.Window{Count: 28, Unit: 'd', Rolling: true},
}

// An agent that dies before or after any commit neither loses nor repeats an
// outcome, and its buckets count each once.
func TestDeathAtEveryCommit(t *testing.T) {
	for _, mode := range []string{"before the commit", "after the commit", "either, at random"} {
		t.Run(mode, func(t *testing.T) { deaths(t, mode) })
	}
}

func deaths(t *testing.T, mode string) {
	rng := rand.New(rand.NewPCG(7, 11))
	ctx := t.Context()
	opts := queue.Options{Dir: t.TempDir(), DiskBudget: 8 << 20}
	l := &ledger{id: "ledger-1"}
	now := time.Unix(1_800_000_000, 0)
	want := map[int64][2]int64{} // minute to good and total
	for life := range 25 {
		q, err := queue.Open(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		load := func(key string) ([]byte, error) {
			m, err := q.State(ctx, key)
			return m[key], err
		}
		commits := 0
		f := &fragile{q: q, crash: func() (before, after bool) {
			commits++
			switch {
			case life == 24 || commits <= rng.IntN(2):
				return false, false // the last life is allowed to finish
			case mode == "before the commit":
				return true, false
			case mode == "after the commit":
				return false, true
			}
			before = rng.IntN(2) == 0
			return before, !before
		}}
		book, err := sli.New(sli.Options{Objectives: []slo.Objective{checkout}, Commit: f, Load: load, Now: func() time.Time { return now }, OutcomesSeen: func() bool { return true }})
		if err != nil {
			t.Fatal(err)
		}
		r, err := New(Options{AdminURL: "http://edge", Token: "secret", Book: book, Load: load, Client: &http.Client{Transport: l}, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(4) {
			kind, good, synthetic := []string{"payment", "payment", "order"}[rng.IntN(3)], rng.IntN(4) > 0, rng.IntN(5) == 0
			l.add(now, kind, good, synthetic)
			if kind == "payment" && !synthetic {
				c := want[slo.MinuteOf(now)]
				if c[1]++; good {
					c[0]++
				}
				want[slo.MinuteOf(now)] = c
			}
			now = now.Add(time.Duration(rng.IntN(40)) * time.Second)
		}
		err = r.Flush(ctx)
		if life < 24 && err != nil && !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		if life == 24 {
			if err != nil {
				t.Fatal(err)
			}
			if err := book.Settle(ctx); err != nil {
				t.Fatal(err)
			}
			check(t, q, len(l.rows), want)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// check reads everything the buffer holds, as the centre would.
func check(t *testing.T, q *queue.Queue, rows int, want map[int64][2]int64) {
	t.Helper()
	seqs, buckets := map[int64]int{}, map[int64]slo.Bucket{}
	for _, r := range drain(t, q) {
		switch r.Kind {
		case "edge.outcomes":
			if strings.Contains(string(r.Body), "somebody") {
				t.Error("a subject left the node")
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
			if old, ok := buckets[b.Minute]; !ok || b.Supersedes(old) {
				buckets[b.Minute] = b
			}
		}
	}
	for seq := int64(1); seq <= int64(rows); seq++ {
		if seqs[seq] != 1 {
			t.Errorf("outcome %d is stored %d times", seq, seqs[seq])
		}
	}
	got := map[int64][2]int64{}
	for m, b := range buckets {
		if b.Total > 0 {
			got[m] = [2]int64{b.Good, b.Total}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("buckets:\n%s", diff)
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
