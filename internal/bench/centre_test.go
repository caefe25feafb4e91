package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
)

// A history that was written in bulk is one that the ledger knows as its own.
func TestHistoryIsTheLedgers(t *testing.T) {
	ctx := t.Context()
	o := centreOrder{Dir: t.TempDir(), Nodes: 8, Sample: 2, Days: 1, Minutes: 3, Revisions: []int{1, 6}, Watches: true}
	done, err := fillCentre(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	f := done.(filled)
	if want := int64(2*24 + 6*wideHours); f.Rows != want || f.Buckets != want*60*12 || f.Bytes == 0 {
		t.Errorf("filled %+v, want %d hours of 720 buckets", f, want)
	}
	r, err := openRooms(ctx, o, centreBegin)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		node  buffer.Source
		hours int
	}{{source(0), 24}, {source(7), wideHours}} {
		st, err := r.ledger.Status(ctx, "checkout-success", ledger.Selection{Node: c.node}, centreBegin.Add(-25*time.Hour), centreBegin)
		if err != nil {
			t.Fatal(err)
		}
		if st.Coverage.Measured != c.hours*60 || st.Coverage.Pending != 0 || st.Total == 0 {
			t.Errorf("%s has %+v, want all minutes of %d hours", c.node, st, c.hours)
		}
	}
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	done, err = liveCentre(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range done.([]lived) {
		if l.Minutes != o.Minutes || l.Told <= 0 || l.Judged <= 0 || l.Peak == 0 || l.Scopes == 0 {
			t.Errorf("measurement %d is %+v", i, l)
		}
	}
}

// A backlog lands whole and does not stop the others.
func TestBacklogLands(t *testing.T) {
	ctx := t.Context()
	o := centreOrder{Dir: t.TempDir(), Nodes: 6, Days: 1, Away: 2}
	if _, err := fillCentre(ctx, o); err != nil {
		t.Fatal(err)
	}
	done, err := lateCentre(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if l := done.(landed); l.Buckets != 2*awayHours*60*12 || l.Live == 0 || l.Late <= 0 || l.Delay <= 0 {
		t.Errorf("landed %+v", l)
	}
	r, err := openRooms(ctx, o, centreBegin)
	if err != nil {
		t.Fatal(err)
	}
	defer r.store.Close()
	st, err := r.ledger.Status(ctx, "checkout-latency", ledger.Selection{Node: source(5)}, centreBegin.Add(-awayHours*time.Hour), centreBegin)
	if err != nil {
		t.Fatal(err)
	}
	if want := awayHours * 60; st.Coverage.Measured != want || st.Coverage.Pending > 0 {
		t.Errorf("of a node that was away %+v is known, want %d minutes", st.Coverage, want)
	}
	// The newest hour comes first.
	got := r.backlog()
	want := []lateBlock{{source(4), centreBegin.Unix()/3600 - 1}, {source(5), centreBegin.Unix()/3600 - 1}}
	if diff := cmp.Diff(want, got[:2], cmp.AllowUnexported(lateBlock{})); diff != "" || len(got) != 2*awayHours {
		t.Errorf("%d blocks wait, the first (-want +got):\n%s", len(got), diff)
	}
}

// A start judges the rules that page before it has read all that the others look at.
func TestStartIsMeasured(t *testing.T) {
	ctx := t.Context()
	o := centreOrder{Dir: t.TempDir(), Nodes: 8, Days: 1, Wide: pageHours + 2}
	if _, err := fillCentre(ctx, o); err != nil {
		t.Fatal(err)
	}
	done, err := startCentre(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if s := done.(started); s.Pages <= 0 || s.All <= s.Pages || s.Hour <= 0 || s.Venues != 3 || s.Peak == 0 {
		t.Errorf("started %+v", s)
	}
}
