package sales

import (
	"database/sql"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/store"
)

var (
	soho   = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}
	soho2  = buffer.Source{Region: "uk", Venue: "soho", Node: "soho-2"}
	camden = buffer.Source{Region: "uk", Venue: "camden", Node: "camden-1"}
)

func open(t *testing.T) (*Book, func(src buffer.Source, body []byte) error) {
	t.Helper()
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	b, err := New(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	return b, func(src buffer.Source, body []byte) error {
		if _, err := st.Register(t.Context(), src); err != nil {
			t.Fatal(err)
		}
		return st.Write(t.Context(), func(tx *sql.Tx) error {
			return b.Apply(t.Context(), tx, src, delta.Record{Kind: Kind, Body: body})
		})
	}
}

func page(t *testing.T, ledger string, outcomes ...Outcome) []byte {
	t.Helper()
	body, err := json.Marshal(Page{ledger, outcomes})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestTotals(t *testing.T) {
	b, apply := open(t)
	minute := int64(60_000)
	evening := page(t, "L1",
		Outcome{Seq: 1, TimeMS: 1 * minute, Kind: "checkin", Good: true},
		Outcome{Seq: 2, TimeMS: 1*minute + 5, Kind: "checkin", Good: true},
		Outcome{Seq: 3, TimeMS: 2 * minute, Kind: "order", Good: true},
		Outcome{Seq: 4, TimeMS: 2 * minute, Kind: "payment", Good: true, AmountMinor: 500, Currency: "EUR", Method: "card"},
		Outcome{Seq: 5, TimeMS: 2 * minute, Kind: "payment", Good: true, Reason: "declined", Currency: "EUR", Method: "card"},
		Outcome{Seq: 6, TimeMS: 3 * minute, Kind: "payment", Good: false, Reason: "ledger", Currency: "EUR"},
		Outcome{Seq: 7, TimeMS: 3 * minute, Kind: "payment", Good: true, AmountMinor: 250, Currency: "GBP", Method: "cash"},
		Outcome{Seq: 8, TimeMS: 4 * minute, Kind: "refund", Good: true, AmountMinor: 100, Currency: "EUR"},
		Outcome{Seq: 9, TimeMS: 4 * minute, Kind: "order", Good: false, Reason: "timeout"},
		Outcome{Seq: 10, TimeMS: 4 * minute, Kind: "payment", Good: true, AmountMinor: 9999, Currency: "EUR", Synthetic: true},
	)
	for range 3 { // repeats change nothing
		if err := apply(soho, evening); err != nil {
			t.Fatal(err)
		}
	}
	one := Outcome{Seq: 1, TimeMS: 2 * minute, Kind: "payment", Good: true, AmountMinor: 7, Currency: "EUR"}
	// The same sequence of another ledger, or of another node, is another fact.
	for src, ledger := range map[buffer.Source]string{soho: "L2", soho2: "L1", camden: "L1"} {
		if err := apply(src, page(t, ledger, one)); err != nil {
			t.Fatal(err)
		}
	}
	all := Totals{
		Sales: 4, AmountMinor: map[string]int64{"EUR": 514, "GBP": 250}, Checkins: 2, Orders: 1, Refunds: 1,
		RefundMinor: map[string]int64{"EUR": 100}, Declined: 1, FailedPayments: 1, FailedOther: 1,
	}
	single := Totals{Sales: 1, AmountMinor: map[string]int64{"EUR": 7}, RefundMinor: map[string]int64{}}
	for _, tt := range []struct {
		name string
		f    Filter
		want map[string]Totals
	}{
		{"all", Filter{}, map[string]Totals{"soho": all, "camden": single}},
		{"one venue", Filter{Venues: []string{"camden"}}, map[string]Totals{"camden": single}},
		{"one node", Filter{Node: soho2}, map[string]Totals{"soho": single}},
		{
			"from is included, to is not",
			Filter{Venues: []string{"soho", "camden"}, From: time.UnixMilli(3 * minute), To: time.UnixMilli(4 * minute)},
			map[string]Totals{"soho": {Sales: 1, AmountMinor: map[string]int64{"GBP": 250}, RefundMinor: map[string]int64{}, FailedPayments: 1}},
		},
		{"nowhere", Filter{Venues: []string{"x"}}, map[string]Totals{}},
	} {
		got, err := b.Totals(t.Context(), tt.f)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s (-want +got):\n%s %v", tt.name, diff, err)
		}
	}
	nodes, err := b.Nodes(t.Context(), Filter{Venues: []string{"soho"}})
	if err != nil || nodes[soho].Sales != 3 || nodes[soho2].Sales != 1 || len(nodes) != 2 {
		t.Errorf("nodes %+v (%v)", nodes, err)
	}
	minutes, err := b.Minutes(t.Context(), Filter{Venues: []string{"soho"}})
	if err != nil || len(minutes) != 4 {
		t.Fatalf("minutes %+v (%v)", minutes, err)
	}
	for i, want := range []int64{0, 3, 1, 0} {
		if minutes[i].Minute != int64(i+1) || minutes[i].Sales != want {
			t.Errorf("minute %d has %d sales, want %d", minutes[i].Minute, minutes[i].Sales, want)
		}
	}
	if c, ok := all.Conversion(); !ok || c != 2 {
		t.Errorf("conversion %v %v", c, ok)
	}
	if _, ok := single.Conversion(); ok {
		t.Error("conversion without check-ins is known")
	}
}

func TestMalformedPagesStoreNothing(t *testing.T) {
	b, apply := open(t)
	good := Outcome{Seq: 1, TimeMS: 1, Kind: "payment", Good: true, AmountMinor: 1, Currency: "EUR"}
	for name, body := range map[string][]byte{
		"no JSON":     []byte("{"),
		"no ledger":   page(t, "", good),
		"no sequence": page(t, "L", good, Outcome{Kind: "order"}),
		"no kind":     page(t, "L", good, Outcome{Seq: 2}),
	} {
		if err := apply(soho, body); !errors.Is(err, store.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := b.Totals(t.Context(), Filter{}); err != nil || len(got) != 0 {
		t.Errorf("totals %v (%v)", got, err)
	}
}
