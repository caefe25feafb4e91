package payments

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/internal/sqlite"
)

// fill lets the ledger grow by only a few pages, which SQLite reports as it does
// a full disk.
func fill(t *testing.T) func(*Ledger) {
	return func(l *Ledger) {
		var pages int
		if err := l.db.QueryRow(`PRAGMA page_count`).Scan(&pages); err != nil {
			t.Fatal(err)
		}
		if _, err := l.db.Exec(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages+4)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullDiskRefusesCountsAndRecovers(t *testing.T) {
	dir := t.TempDir()
	x := openTill(t, dir, nil)
	var orders []string
	for i := range 60 {
		orders = append(orders, x.order(fmt.Sprint("guest", i), false))
	}
	x.stop()
	x = openTill(t, dir, fill(t))
	sold, refused := 0, 0
	pay := func(i int) reply {
		return x.do("POST", "/v1/orders/"+orders[i]+"/payments", fmt.Sprint("pay", i), payCard, false)
	}
	for i := range orders {
		switch r := pay(i); r.Status {
		case 201:
			sold++
		case 503:
			refused++
			if !strings.Contains(r.field("error"), "disk is full") {
				t.Fatalf("the guest reads %s", r.Body)
			}
		default:
			t.Fatalf("%d %s", r.Status, r.Body)
		}
	}
	if sold == 0 || refused == 0 {
		t.Fatalf("sold %d, refused %d: the disk did not fill up on the way", sold, refused)
	}
	if err := x.ledger.Writable(); !sqlite.IsFull(err) {
		t.Fatalf("writable: %v", err)
	}
	if s := x.ledger.Summary(); s.Sales != int64(sold) || s.FailuresWaiting != int64(refused) || s.Writable {
		t.Fatalf("sold %d, refused %d, summary %+v", sold, refused, s)
	}
	if m := x.metrics(); strings.Contains(m, "edgecore_ledger_writable") || !strings.Contains(m, fmt.Sprintf("edgecore_outcomes_waiting %d\n", refused)) {
		t.Fatal(m)
	}
	makeRoom(t, x)
	for i := range orders {
		if r := pay(i); r.Status != 201 {
			t.Fatalf("after there is room: %d %s", r.Status, r.Body)
		}
	}
	if err := x.ledger.Writable(); err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, o := range x.outcomes() {
		if o.Kind == KindPayment {
			reasons[fmt.Sprint(o.Good, " ", o.Reason)]++
		}
	}
	if diff := cmp.Diff(map[string]int{"true ": len(orders), "false disk_full": refused}, reasons); diff != "" {
		t.Error(diff)
	}
	if m := x.metrics(); !strings.Contains(m, fmt.Sprintf("edgecore_payments_total{method=\"card\",result=\"failed\"} %d\n", refused)) {
		t.Error(m)
	}
	x.stop()
}

// makeRoom lifts the bound of fill from within the writer's connection.
func makeRoom(t *testing.T, x *till) {
	t.Helper()
	_, err := x.ledger.do(context.Background(), Outcome{}, func(tx *txn) (answer, error) {
		_, err := tx.w.conn.ExecContext(context.Background(), `PRAGMA max_page_count = 1000000`)
		return answer{}, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneBadChangeDoesNotTakeOthersDown(t *testing.T) {
	x := openTill(t, t.TempDir(), nil)
	defer x.stop()
	enter, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // holds the writer until a batch has gathered behind it
		x.ledger.do(context.Background(), Outcome{}, func(*txn) (answer, error) { //nolint:errcheck // it cannot fail
			close(enter)
			<-leave
			return answer{}, nil
		})
	})
	<-enter
	bad := errors.New("bad")
	errs := make([]error, 10)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = x.ledger.do(context.Background(), Outcome{Kind: KindPayment, Method: "card"}, func(tx *txn) (answer, error) {
				if i == 3 {
					return answer{}, bad
				}
				return answer{}, tx.outcome(Outcome{Kind: KindPayment, Method: "card", Good: true, AmountMinor: 1, Currency: "EUR"})
			})
		})
	}
	for len(x.ledger.queue) < len(errs) {
		time.Sleep(time.Millisecond)
	}
	close(leave)
	wg.Wait()
	for i, err := range errs {
		if (i == 3) != errors.Is(err, bad) {
			t.Errorf("change %d: %v", i, err)
		}
	}
	if s := x.ledger.Summary(); s.Sales != 9 {
		t.Errorf("sales %d, want 9", s.Sales)
	}
}

func TestOverloadIsRefusedAndCounted(t *testing.T) {
	x := openTill(t, t.TempDir(), nil)
	order := x.order("a", false)
	enter, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	do := func(apply func(*txn) (answer, error)) {
		wg.Go(func() { x.ledger.do(context.Background(), Outcome{}, apply) }) //nolint:errcheck // only its weight matters
	}
	do(func(*txn) (answer, error) {
		close(enter)
		<-leave
		return answer{}, nil
	})
	<-enter
	for range queueSize {
		c := &change{apply: func(*txn) (answer, error) { return answer{}, nil }, enqueued: time.Now(), done: make(chan struct{})}
		if err := x.ledger.enqueue(c); err != nil {
			t.Fatal(err)
		}
	}
	if r := x.do("POST", "/v1/orders/"+order+"/payments", "p", payCard, false); r.Status != 503 || !strings.Contains(r.Body, "overloaded") {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	close(leave)
	wg.Wait()
	x.must(201, "POST", "/v1/orders/"+order+"/payments", "p", payCard, false)
	x.stop()
	x = openTill(t, x.dir, nil)
	defer x.stop()
	if m := x.metrics(); !strings.Contains(m, `edgecore_outcomes_total{good="false",kind="payment"} 1`) {
		t.Error(m)
	}
}

func TestFailuresBeyondTheBoundAreCounted(t *testing.T) {
	l := &Ledger{}
	for range maxFailures + 5 {
		l.Fail(Outcome{Kind: KindPayment}, ErrOverloaded)
	}
	l.totals = newTotals()
	l.now = time.Now
	if s := l.Summary(); s.FailuresWaiting != maxFailures || s.FailuresDropped != 5 {
		t.Fatalf("%+v", s)
	}
}

func TestNewerLedgerIsRefused(t *testing.T) {
	x := openTill(t, t.TempDir(), func(l *Ledger) {
		if _, err := l.db.Exec(`PRAGMA user_version = 99`); err != nil {
			t.Fatal(err)
		}
	})
	x.stop()
	_, err := Open(t.Context(), Options{Path: x.dir + "/ledger.db", Node: "n", Now: time.Now, Log: x.ledger.log})
	if err == nil || !strings.Contains(err.Error(), "format 99") {
		t.Fatal(err)
	}
}

func TestSettledMarkMayMoveBackButNotBeyondTheHead(t *testing.T) {
	x := openTill(t, t.TempDir(), nil)
	defer x.stop()
	for _, name := range []string{"a", "b", "c"} {
		x.sale(name, false)
	}
	for _, tc := range []struct {
		through, pending int64
		ok               bool
	}{{2, 1, true}, {3, 0, true}, {4, 0, false}, {1, 2, true}, {-1, 2, false}, {3, 0, true}} {
		err := x.ledger.Settled(t.Context(), tc.through)
		s := x.ledger.Summary()
		if (err == nil) != tc.ok || s.Pending != tc.pending || (s.OldestPendingSeconds > 0) != (tc.pending > 0) {
			t.Errorf("settled through %d: %v, %+v", tc.through, err, s)
		}
		_, entries, err := x.ledger.Pending(t.Context(), 10)
		if err != nil || int64(len(entries)) != tc.pending {
			t.Errorf("settled through %d: pending %v, %v", tc.through, entries, err)
		}
	}
}

func BenchmarkPayments(b *testing.B) {
	x := openTill(b, b.TempDir(), nil)
	defer x.stop()
	in := x.checkin("a", false)
	orders := make(chan string, b.N)
	for i := range b.N {
		orders <- x.must(201, "POST", "/v1/orders", fmt.Sprint(i), `{"checkin_id":"`+in+`","items":[{"sku":"tea","quantity":1}]}`, false).field("order_id")
	}
	b.ResetTimer()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := <-orders
			if r := x.do("POST", "/v1/orders/"+id+"/payments", id, payCard, false); r.Status != 201 {
				b.Error(r)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}
