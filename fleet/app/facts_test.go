package app

import (
	"context"
	"database/sql"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/fleet/incident"
	"ghostlight/fleet/notify"
	"ghostlight/fleet/registry"
	"ghostlight/fleet/sales"
	"ghostlight/fleet/store"
	scopes "ghostlight/slo/incident"
)

func TestFacts(t *testing.T) {
	ctx := context.Background()
	st, err := store.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	soho, camden := buffer.Source{Region: "uk", Venue: "soho", Node: "soho-1"}, buffer.Source{Region: "uk", Venue: "camden", Node: "camden-1"}
	now := time.Now().Truncate(time.Minute)
	begun := now.Add(-2 * time.Hour)
	nodes, err := registry.New(ctx, registry.Options{
		Store: st, Members: []registry.Member{{Source: soho, Contact: "Ann"}, {Source: camden, Contact: "Bob"}}, DarkAfter: time.Minute,
		Now: func() time.Time { return begun },
	})
	if err != nil {
		t.Fatal(err)
	}
	book, err := sales.New(ctx, st)
	if err != nil {
		t.Fatal(err)
	}
	charge := 0.4
	hb := wire.Heartbeat{Goodbye: true, Battery: &charge, Lanes: map[buffer.Lane]wire.LaneStats{buffer.Revenue: {Records: wire.RecordStats{Waiting: 2}}}}
	if _, err := nodes.Heartbeat(soho, hb); err != nil {
		t.Fatal(err)
	}
	if err := nodes.Heard(camden); err != nil {
		t.Fatal(err)
	}
	page := sales.Page{Ledger: "L"}
	since := now.Add(-10 * time.Minute)
	for n := range int64(30) { // one sale of 2.00 a minute until it failed
		page.Outcomes = append(page.Outcomes, sales.Outcome{
			Seq: n + 1, TimeMS: since.Add(-time.Duration(n)*time.Minute - time.Second).UnixMilli(), Kind: "payment", Good: true, AmountMinor: 200, Currency: "EUR",
		})
	}
	body, err := json.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Write(ctx, func(tx *sql.Tx) error { return book.Apply(ctx, tx, soho, delta.Record{Kind: sales.Kind, Body: body}) }); err != nil {
		t.Fatal(err)
	}
	f := &facts{nodes: nodes, sales: book, carriers: map[buffer.Source]string{soho: "red", camden: "blue"}}
	risk := &notify.Money{PerMinuteMinor: 200, Currency: "EUR"}
	for _, tt := range []struct {
		name string
		s    scopes.Scope
		want incident.Facts
	}{
		{
			"an objective of a node",
			scopes.Scope{Region: "uk", Venue: "soho", Node: "soho-1", Cause: scopes.Objective, Name: "checkout-success"},
			incident.Facts{AtRisk: risk, Carrier: "red", LastHeard: begun, LastWords: "2 revenue records waiting.", Battery: &charge, Contact: "Ann"},
		},
		{
			"a dark node",
			scopes.Scope{Region: "uk", Venue: "soho", Node: "soho-1", Cause: scopes.Darkness},
			incident.Facts{AtRisk: risk, Carrier: "red", LastHeard: begun, LastWords: "2 revenue records waiting.", Battery: &charge, Contact: "Ann"},
		},
		{"a venue that sold nothing", scopes.Scope{Region: "uk", Venue: "camden", Cause: scopes.Several}, incident.Facts{Carrier: "blue", Contact: "Bob"}},
		{"a carrier", scopes.Scope{Cause: scopes.Darkness, Carrier: "red"}, incident.Facts{AtRisk: risk, Carrier: "red"}},
		{"the fleet", scopes.Scope{Cause: scopes.Darkness}, incident.Facts{AtRisk: risk}},
		{"nowhere", scopes.Scope{Region: "fr", Cause: scopes.Darkness}, incident.Facts{}},
	} {
		got := f.of(ctx, tt.s, since)
		if got.AtRisk != nil {
			if got.AtRisk.Basis == "" {
				t.Errorf("%s: the estimate does not say what it rests on", tt.name)
			}
			got.AtRisk.Basis = ""
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
