package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
	"ghostlight/slo/shipped"
)

// TestOldFolder: what version 1 of the table held is there, known since its minutes
// ended, and the old rows are gone.
func TestOldFolder(t *testing.T) {
	c := &clock{}
	c.set(begin.Add(4 * time.Hour))
	l, st := openAt(t, c)
	o := define(t, "checkout")
	m := slo.MinuteOf(begin)
	must(t, apply(t, l, st, definition(soho, o, begin), definition(camden, o, begin)))
	id, _ := st.ID(soho)
	gap := measured(o, m+1, 2, 0, 0)
	gap.State = slo.Gap
	rows := map[int64][]slo.Bucket{m / 60: {measured(o, m, 3, 4, 5), gap}, m/60 + 1: {measured(o, m+60, 1, 1, 1)}}
	must(t, st.Write(t.Context(), func(tx *sql.Tx) error {
		for hour, buckets := range rows {
			if _, err := tx.Exec(`INSERT INTO bucket_hours VALUES (?, ?, ?, ?)`, l.objectives["checkout"].id, id, hour, oldRow(buckets)); err != nil {
				return err
			}
		}
		return nil
	}))
	l = reopen(t, st, c)
	want := slo.Coverage{Measured: 2, Gap: 1, Pending: 117}
	got, err := l.StatusAsOf(t.Context(), "checkout", Selection{Node: soho}, begin, begin.Add(2*time.Hour), begin.Add(61*time.Minute))
	if err != nil || got.Counts != (slo.Counts{Good: 5, Total: 6}) || got.Coverage != want {
		t.Errorf("status %+v (%v)", got, err)
	}
	var left int
	if err := st.Read().QueryRow(`SELECT count(*) FROM bucket_hours`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d old rows are left (%v)", left, err)
	}
	// A higher revision still wins, and its past is told.
	must(t, apply(t, l, st, bucket(t, soho, measured(o, m, 4, 0, 5))))
	revisions, err := l.Revisions(t.Context(), RevisionFilter{Objective: "checkout", From: begin, To: begin.Add(time.Hour)})
	if err != nil || len(revisions) != 1 || revisions[0].Was.Good != 4 || revisions[0].Is.Good != 0 {
		t.Errorf("revisions %+v (%v)", revisions, err)
	}
}

// TestFoldedHours: hours that rest become rows, what came is dropped behind them, and
// nothing that is said changes.
func TestFoldedHours(t *testing.T) {
	c := &clock{}
	c.set(begin)
	l, st := openAt(t, c)
	o := define(t, "checkout")
	must(t, apply(t, l, st, definition(soho, o, begin), definition(camden, o, begin)))
	count := func(table string) (n int) {
		must(t, st.Read().QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
		return n
	}
	for i := range int64(150) {
		c.set(begin.Add(time.Duration(i+1) * time.Minute))
		must(t, apply(t, l, st, bucket(t, soho, measured(o, slo.MinuteOf(begin)+i, 1, i, i)), bucket(t, camden, measured(o, slo.MinuteOf(begin)+i, 1, i, i+1))))
	}
	before, err := l.Status(t.Context(), "checkout", Selection{}, begin, begin.Add(150*time.Minute))
	must(t, err)
	if rows := count("node_hours"); rows != 4 {
		t.Errorf("%d hours are folded, want the first two of two nodes", rows)
	}
	if rows := count("bucket_arrivals"); rows != 30 {
		t.Errorf("%d arrivals are kept, want those of the hour that goes on", rows)
	}
	c.set(c.now().Add(3 * time.Hour))
	must(t, l.Tick(t.Context()))
	if rows, arrivals := count("node_hours"), count("bucket_arrivals"); rows != 6 || arrivals != 1 {
		t.Errorf("%d hours are folded and %d arrivals kept, want 6 and the last", rows, arrivals)
	}
	if len(l.nodes[1].chunks) > 0 {
		t.Errorf("memory still holds %d hours", len(l.nodes[1].chunks))
	}
	l = reopen(t, st, c)
	after, err := l.Status(t.Context(), "checkout", Selection{}, begin, begin.Add(150*time.Minute))
	if diff := cmp.Diff(before, after); diff != "" || err != nil {
		t.Errorf("status (-before +after), %v:\n%s", err, diff)
	}
}

// TestBackAfterSixWeeks: a van's backlog enters; before its deadline nothing was given
// up, and what was known meanwhile can still be asked for.
func TestBackAfterSixWeeks(t *testing.T) {
	c := &clock{}
	left := time.Date(2024, 2, 28, 23, 0, 0, 0, time.UTC) // a leap day is among the days away
	c.set(left)
	l, st := openAt(t, c)
	o := define(t, "checkout")
	must(t, apply(t, l, st, definition(soho, o, left)))
	back := left.Add(6 * 7 * 24 * time.Hour)
	c.set(back)
	from, to := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	dark, err := l.Status(t.Context(), "checkout", Selection{}, from, to)
	if err != nil || dark.Coverage.Pending != 24*60 || dark.Final {
		t.Errorf("while it is away: %+v (%v)", dark, err)
	}
	var backlog []sent
	for m := slo.MinuteOf(left); m < slo.MinuteOf(back); m += 60 {
		for i := range int64(60) {
			backlog = append(backlog, bucket(t, soho, measured(o, m+i, 1, 9, 10)))
		}
	}
	for group := range slices.Chunk(backlog, 5000) {
		must(t, apply(t, l, st, group...))
	}
	got, err := l.Status(t.Context(), "checkout", Selection{}, from, to)
	want := slo.Counts{Good: 9 * 24 * 60, Total: 10 * 24 * 60}
	if err != nil || got.Counts != want || !got.Final || got.Verdict != slo.Missed {
		t.Errorf("after it came back: %+v (%v)", got, err)
	}
	c.set(back.Add(time.Minute))
	then, err := l.StatusAsOf(t.Context(), "checkout", Selection{}, from, to, back.Add(-time.Second))
	if diff := cmp.Diff(dark, then); diff != "" || err != nil {
		t.Errorf("as known before (-said then +said now), %v:\n%s", err, diff)
	}
	// One that never comes back is given up at the deadline.
	given, err := l.Status(t.Context(), "checkout", Selection{}, back, back.Add(time.Hour))
	if err != nil || given.Coverage.Pending != 60 {
		t.Errorf("not yet given up: %+v (%v)", given, err)
	}
	c.set(back.Add(slo.DefaultFinalAfter + 2*time.Hour))
	if given, err = l.Status(t.Context(), "checkout", Selection{}, back, back.Add(time.Hour)); err != nil || given.Coverage.Gap != 60 || !given.Final {
		t.Errorf("given up: %+v (%v)", given, err)
	}
}

// TestBucketsAheadOfTheClock are parked over a restart, counted, and taken in time.
func TestBucketsAheadOfTheClock(t *testing.T) {
	c := &clock{}
	c.set(begin)
	l, st := openAt(t, c)
	o := define(t, "checkout")
	must(t, apply(t, l, st, definition(soho, o, begin)))
	m := slo.MinuteOf(begin)
	must(t, apply(t, l, st, bucket(t, soho, measured(o, m+2, 1, 1, 1)), bucket(t, soho, measured(o, m+30, 1, 5, 5)), bucket(t, soho, measured(o, m+30, 2, 6, 7)),
		bucket(t, soho, measured(o, m+30, 1, 5, 5))))
	if n := l.Refused()["parked"]; n != 2 {
		t.Errorf("%d buckets were parked, want two revisions of one minute", n)
	}
	l = reopen(t, st, c)
	for _, tt := range []struct {
		after  time.Duration
		counts slo.Counts
		parked int64
	}{{27 * time.Minute, slo.Counts{Good: 1, Total: 1}, 1}, {28 * time.Minute, slo.Counts{Good: 7, Total: 8}, 0}} {
		c.set(begin.Add(tt.after))
		must(t, l.Tick(t.Context()))
		got, err := l.Status(t.Context(), "checkout", Selection{}, begin, begin.Add(time.Hour))
		must(t, err)
		parked, err := l.Parked(t.Context())
		if err != nil || got.Counts != tt.counts || parked != tt.parked {
			t.Errorf("after %v: %+v, %d parked (%v)", tt.after, got.Counts, parked, err)
		}
	}
}

// uplink is an objective that only the centre can count.
func uplink(t *testing.T) slo.Objective {
	t.Helper()
	objectives, err := openslo.Decode("venue.yaml", shipped.Venue())
	must(t, err)
	for _, o := range objectives {
		if o.Indicator.Contact != nil {
			return o
		}
	}
	t.Fatal("no shipped objective counts contact")
	return slo.Objective{}
}

// TestBadInput: each is refused or flagged with its reason, and disturbs nothing.
func TestBadInput(t *testing.T) {
	l, st := open(t)
	o, contact := define(t, "checkout"), uplink(t)
	m := slo.MinuteOf(begin)
	must(t, apply(t, l, st, definition(soho, o, begin), definition(soho, contact, begin)))
	lying := bucket(t, soho, measured(o, m, 1, 1, 1))
	lying.record.Body[len(lying.record.Body)-len("checkout")-2] = 2 // more good than total
	other := measured(o, m+1, 1, 1, 1)
	other.Hash++
	for _, tt := range []struct {
		reason  string
		send    sent
		refused bool
	}{
		{"malformed", lying, true},
		{"unknown_node", bucket(t, buffer.Source{Region: "uk", Venue: "x", Node: "y"}, measured(o, m, 1, 1, 1)), true},
		{"not_the_nodes", bucket(t, soho, measured(contact, m, 1, 1, 1)), true},
		{"out_of_range", bucket(t, soho, measured(o, -1, 1, 1, 1)), true},
		{"other_indicator", bucket(t, soho, other), false},
	} {
		good := bucket(t, soho, measured(o, m+2, 1, 1, 1))
		err := st.Write(t.Context(), func(tx *sql.Tx) error {
			if err := l.Apply(t.Context(), tx, tt.send.source, tt.send.record); errors.Is(err, store.ErrMalformed) != tt.refused {
				t.Errorf("%s: %v", tt.reason, err)
			}
			return l.Apply(t.Context(), tx, good.source, good.record)
		})
		if err != nil || l.Refused()[tt.reason] != 1 {
			t.Errorf("%s: counted %v (%v)", tt.reason, l.Refused(), err)
		}
	}
	got, err := l.Status(t.Context(), "checkout", Selection{}, begin, begin.Add(3*time.Minute))
	if err != nil || got.Counts != (slo.Counts{Good: 1, Total: 1}) || got.Coverage.Pending != 2 {
		t.Errorf("status %+v (%v)", got, err)
	}
	// What only the centre counts, it puts.
	put := func(b slo.Bucket) error {
		return st.Write(t.Context(), func(tx *sql.Tx) error { return l.Put(t.Context(), tx, soho, b) })
	}
	if err := put(measured(o, m, 1, 1, 1)); !errors.Is(err, store.ErrMalformed) {
		t.Errorf("the centre counted for the node: %v", err)
	}
	must(t, put(measured(contact, m, 1, 1, 1)))
	must(t, put(measured(contact, m, 2, 0, 1)))
	revisions, err := l.Revisions(t.Context(), RevisionFilter{Objective: contact.Name, From: begin, To: begin.Add(time.Hour)})
	if err != nil || len(revisions) != 2 || revisions[0].Cause != Recounted {
		t.Errorf("revisions %+v (%v)", revisions, err)
	}
}

// TestChangesAreTold: a subscriber that adds up what it is told, and loads what was
// before, holds what the ledger says; a transaction that failed tells nothing.
func TestChangesAreTold(t *testing.T) {
	c := &clock{}
	c.set(begin)
	l, st := openAt(t, c)
	o := define(t, "checkout")
	m := slo.MinuteOf(begin)
	must(t, apply(t, l, st, definition(soho, o, begin)))
	must(t, apply(t, l, st, bucket(t, soho, measured(o, m, 1, 1, 2))))
	sums := map[int64]slo.Sum{}
	take := func(ch Change) {
		if sums[ch.Minute] != ch.Was {
			t.Errorf("minute %d was %+v, told %+v", ch.Minute, sums[ch.Minute], ch.Was)
		}
		sums[ch.Minute] = ch.Is
	}
	l.Subscribe(func(changes []Change) {
		for _, ch := range changes {
			take(ch)
		}
	})
	each := func(take func(Change)) func(Hour) {
		return func(h Hour) {
			for i, is := range h.Is {
				if is.Told() > 0 {
					take(Change{Source: h.Source, Of: h.Of, Minute: h.Hour*60 + int64(i), Is: is})
				}
			}
		}
	}
	began := 0
	must(t, l.Load(t.Context(), Reading{From: m / 60, To: m/60 + 1, Objectives: func(name string) bool { return name == "checkout" }, Begin: func() { began++ }, Each: each(take)}))
	died := st.Write(t.Context(), func(tx *sql.Tx) error {
		r := bucket(t, soho, measured(o, m, 2, 9, 9))
		must(t, l.Apply(t.Context(), tx, r.source, r.record))
		return errDied
	})
	if !errors.Is(died, errDied) {
		t.Fatal(died)
	}
	for i := range int64(200) {
		c.set(begin.Add(time.Duration(i) * time.Minute))
		must(t, apply(t, l, st, bucket(t, soho, measured(o, m+i, 2, 2, 2)), bucket(t, soho, measured(o, m+i, 3, 3, 3)), bucket(t, soho, measured(o, m+i, 3, 3, 3))))
	}
	must(t, apply(t, l, st, bucket(t, soho, measured(o, m+7, 4, 0, 1)))) // of a folded hour
	var total slo.Sum
	for _, s := range sums {
		total = total.Plus(s)
	}
	want, err := l.Status(t.Context(), "checkout", Selection{}, begin, begin.Add(200*time.Minute))
	if err != nil || total.Counts != want.Counts || total.Measured != want.Coverage.Measured || began != 1 {
		t.Errorf("told %+v, the ledger says %+v (%v)", total, want, err)
	}
	again := map[int64]slo.Sum{}
	must(t, l.Load(t.Context(), Reading{From: m / 60, To: m/60 + 4, Objectives: func(string) bool { return true }, Begin: func() {}, Each: each(func(ch Change) { again[ch.Minute] = ch.Is })}))
	if diff := cmp.Diff(sums, again); diff != "" {
		t.Errorf("loaded (-told +loaded):\n%s", diff)
	}
}

func TestHistory(t *testing.T) {
	c := &clock{}
	c.set(begin)
	l, st := openAt(t, c)
	o := define(t, "checkout")
	m := slo.MinuteOf(begin)
	must(t, apply(t, l, st, definition(soho, o, begin)))
	c.set(begin.Add(10 * time.Minute))
	must(t, apply(t, l, st, bucket(t, soho, measured(o, m, 1, 10, 10)), bucket(t, soho, measured(o, m+30-25, 1, 10, 10))))
	c.set(begin.Add(2 * time.Hour))
	must(t, apply(t, l, st, bucket(t, soho, measured(o, m+5, 2, 0, 10))))
	for known, want := range map[time.Time]slo.Counts{{}: {Good: 10, Total: 20}, begin.Add(time.Hour): {Good: 20, Total: 20}} {
		points, err := l.History(t.Context(), "checkout", Selection{Regions: []string{"uk"}}, begin, begin.Add(time.Hour), 5*time.Minute, known)
		if err != nil || len(points) != 13 || points[1].Status.Counts != (slo.Counts{Good: 10, Total: 10}) || points[12].Status.Counts != want || points[12].AtMS != begin.Add(time.Hour).UnixMilli() {
			t.Errorf("history as known at %v: %d points, the last %+v (%v)", known, len(points), points[len(points)-1], err)
		}
	}
	if _, err := l.History(t.Context(), "checkout", Selection{}, begin, begin.Add(24*time.Hour), time.Second, time.Time{}); err == nil {
		t.Error("a history of 86,400 points was given")
	}
}

// TestRunEnds: it ends with its context, and without an error.
func TestRunEnds(t *testing.T) {
	c := &clock{}
	c.set(begin)
	st, err := store.Open(t.Context(), t.TempDir())
	must(t, err)
	defer st.Close()
	var said bytes.Buffer
	l, err := New(t.Context(), st, Clock(c.now), Log(slog.New(slog.NewTextHandler(&said, nil))))
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	stop()
	if err := <-ended; err != nil || said.Len() > 0 {
		t.Errorf("ended with %v, having said %s", err, said.String())
	}
}
