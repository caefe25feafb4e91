package payments

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSyntheticSalesCountNowhereElse(t *testing.T) {
	x := openTill(t, t.TempDir(), nil)
	before := x.metrics()
	for _, name := range []string{"a", "b", "c"} {
		paid := x.sale(name, true)
		if name == "c" {
			x.must(201, "POST", "/v1/payments/"+paid.field("payment_id")+"/refunds", "c/refund", "", true)
		}
	}
	x.must(402, "POST", "/v1/orders/"+x.order("d", true)+"/payments", "d/pay", `{"method":"card","token":"tok_declined"}`, true)
	check := func(when string) {
		t.Helper()
		want := before + "edgecore_synthetic_payments_total{result=\"captured\"} 3\nedgecore_synthetic_payments_total{result=\"declined\"} 1\n"
		if diff := cmp.Diff(want, x.metrics()); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
		if s := x.ledger.Summary(); s.Sales != 0 || s.SalesMinor != 0 || s.Refunds != 0 || s.Checkins != 0 || s.Orders != 0 || s.Pending != 0 || s.SyntheticSales != 3 {
			t.Errorf("%s: %+v", when, s)
		}
		if _, entries, err := x.ledger.Pending(context.Background(), 100); err != nil || len(entries) != 0 {
			t.Errorf("%s: to be settled: %v, %v", when, entries, err)
		}
		for _, o := range x.outcomes() {
			if !o.Synthetic {
				t.Errorf("%s: outcome %+v is not marked", when, o)
			}
		}
	}
	check("live")
	x.stop()
	x = openTill(t, x.dir, nil)
	check("after a restart")
	x.stop()
}

func TestPartitionsCannotReachEachOther(t *testing.T) {
	x := openTill(t, t.TempDir(), nil)
	defer x.stop()
	for _, from := range []bool{false, true} {
		to := !from
		ticket := x.must(201, "POST", "/v1/tickets", "", ``, from).field("ticket")
		x.must(401, "POST", "/v1/checkins", "cross", `{"ticket":"`+ticket+`"}`, to)
		x.must(201, "POST", "/v1/checkins", "own", `{"ticket":"`+ticket+`"}`, from) // the attempt above did not use it up
		name := map[bool]string{false: "real", true: "probe"}[from]
		in := x.checkin(name+"1", from)
		x.must(404, "POST", "/v1/orders", name, `{"checkin_id":"`+in+`","items":[{"sku":"tea","quantity":1}]}`, to)
		order := x.order(name+"2", from)
		x.must(404, "POST", "/v1/orders/"+order+"/payments", name, payCard, to)
		paid := x.sale(name+"3", from)
		x.must(404, "GET", "/v1/payments/"+paid.field("payment_id"), "", "", to)
		x.must(404, "POST", "/v1/payments/"+paid.field("payment_id")+"/refunds", name, "", to)
		receipt := `{"receipt":"` + paid.field("receipt") + `"}`
		if r := x.must(200, "POST", "/v1/receipts/verify", "", receipt, to); !strings.Contains(r.Body, `"valid":false`) {
			t.Errorf("synthetic %v: the receipt passes on the other side: %s", from, r.Body)
		}
		if r := x.must(200, "POST", "/v1/receipts/verify", "", receipt, from); !strings.Contains(r.Body, `"valid":true`) {
			t.Errorf("synthetic %v: %s", from, r.Body)
		}
	}
}
