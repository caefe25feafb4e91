package payments

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/edgecore/settlement"
)

// oracle is what a till must come to, kept by hand.
type oracle struct {
	answers map[string]attempt // by operation, partition and key
	orders  []order
	sales   [2]Money // real, synthetic
	refunds [2]Money
}

type attempt struct {
	path, body string
	reply      reply
}

type order struct {
	id        string
	synthetic bool
	payment   string // captured, if any
	refunded  bool
}

func side(synthetic bool) int {
	if synthetic {
		return 1
	}
	return 0
}

// TestIdempotency makes random attempts under few keys, with restarts between,
// and holds every answer against an oracle.
func TestIdempotency(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		x := openTill(rt, dir, nil)
		defer func() { x.stop() }()
		o := &oracle{answers: map[string]attempt{}}
		for i := range 3 {
			synthetic := i == 2
			o.orders = append(o.orders, order{id: x.order(fmt.Sprint("guest", i), synthetic), synthetic: synthetic})
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				x.stop()
				x = openTill(rt, dir, nil)
			case 1, 2, 3:
				o.refund(rt, x)
			default:
				o.pay(rt, x)
			}
			o.check(rt, x)
		}
	})
}

// attempt sends a request and says whether it is the first under its key.
func (o *oracle) attempt(rt *rapid.T, x *till, kind, path, body string, synthetic bool) (reply, bool) {
	idem := rapid.SampledFrom([]string{"k1", "k2", "k3", "k4", "k5"}).Draw(rt, "key")
	got := x.do("POST", path, idem, body, synthetic)
	id := fmt.Sprint(kind, synthetic, idem)
	before, used := o.answers[id]
	switch {
	case used && (before.path != path || before.body != body):
		if got.Status != 422 {
			rt.Fatalf("key %s with another request: %d %s", idem, got.Status, got.Body)
		}
	case used:
		if diff := cmp.Diff(before.reply, got); diff != "" {
			rt.Fatalf("key %s again: %s", idem, diff)
		}
	default:
		o.answers[id] = attempt{path, body, got}
	}
	return got, !used
}

func (o *oracle) pay(rt *rapid.T, x *till) {
	ord := &o.orders[rapid.IntRange(0, len(o.orders)-1).Draw(rt, "order")]
	body := rapid.SampledFrom([]string{payCard, payDeclined, `{"method":"cash","token":""}`}).Draw(rt, "body")
	got, first := o.attempt(rt, x, "pay", "/v1/orders/"+ord.id+"/payments", body, ord.synthetic)
	if !first {
		return
	}
	want := 201
	switch {
	case ord.payment != "":
		want = 409
	case body == payDeclined:
		want = 402
	}
	if got.Status != want {
		rt.Fatalf("pay %+v by %s: %d %s, want %d", *ord, body, got.Status, got.Body, want)
	}
	if got.Status == 201 {
		ord.payment = got.field("payment_id")
		o.sales[side(ord.synthetic)] = o.sales[side(ord.synthetic)].plus(1, 500)
	}
}

func (o *oracle) refund(rt *rapid.T, x *till) {
	ord := &o.orders[rapid.IntRange(0, len(o.orders)-1).Draw(rt, "order")]
	if ord.payment == "" {
		return
	}
	got, first := o.attempt(rt, x, "refund", "/v1/payments/"+ord.payment+"/refunds", "", ord.synthetic)
	if !first {
		return
	}
	want := 201
	if ord.refunded {
		want = 409
	}
	if got.Status != want {
		rt.Fatalf("refund %+v: %d %s, want %d", *ord, got.Status, got.Body, want)
	}
	if got.Status == 201 {
		ord.refunded = true
		o.refunds[side(ord.synthetic)] = o.refunds[side(ord.synthetic)].plus(1, 500)
	}
}

// check compares summary, outcomes and settlements with the oracle.
func (o *oracle) check(rt *rapid.T, x *till) {
	s := x.ledger.Summary()
	type sums struct{ Sales, Refunds Money }
	want := sums{o.sales[0], o.refunds[0]}
	if diff := cmp.Diff(want, sums{Money{s.Sales, s.SalesMinor}, Money{s.Refunds, s.RefundsMinor}}); diff != "" {
		rt.Fatalf("summary: %s", diff)
	}
	if s.SyntheticSales != o.sales[1].Count {
		rt.Fatalf("synthetic sales %d, want %d", s.SyntheticSales, o.sales[1].Count)
	}
	var told sums
	for _, out := range x.outcomes() {
		switch {
		case out.Synthetic || out.Reason != "":
		case out.Kind == KindPayment:
			told.Sales = told.Sales.plus(1, out.AmountMinor)
		case out.Kind == KindRefund:
			told.Refunds = told.Refunds.plus(1, out.AmountMinor)
		}
	}
	if diff := cmp.Diff(want, told); diff != "" {
		rt.Fatalf("outcomes: %s", diff)
	}
	var settled sums
	_, entries, err := x.ledger.Pending(context.Background(), 1000)
	if err != nil {
		rt.Fatal(err)
	}
	for i, e := range entries {
		if e.Seq != int64(i)+1 {
			rt.Fatalf("settlement %d has sequence %d", i+1, e.Seq)
		}
		if e.Type == settlement.Sale {
			settled.Sales = settled.Sales.plus(1, e.AmountMinor)
		} else {
			settled.Refunds = settled.Refunds.plus(1, e.AmountMinor)
		}
	}
	if diff := cmp.Diff(want, settled); diff != "" {
		rt.Fatalf("settlements: %s", diff)
	}
}
