package ingest

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

func note(key, body string) delta.Record {
	return delta.Record{Kind: "note", Key: key, Body: []byte(body)}
}

// stored lists the notes that the store holds.
func (r *rig) stored() []string {
	r.t.Helper()
	rows, err := r.store.Read().QueryContext(r.t.Context(), `SELECT key FROM notes ORDER BY key`)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			r.t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func (r *rig) expectStored(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.stored()); diff != "" {
		r.t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// failed waits until applying failed n more times.
func (r *rig) failed(n int) {
	r.t.Helper()
	const metric = "ghostlight_fleet_apply_failures_total"
	want := r.metric(metric) + float64(n)
	for deadline := time.Now().Add(20 * time.Second); r.metric(metric) < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("applying failed %v times, want %v", r.metric(metric), want)
		}
	}
}

// TestAPoisonedRecordStepsAside: what its store cannot take, for a reason nobody
// foresaw, holds up neither the rest of its block nor the blocks behind it, and is
// stored as soon as the store can take it.
func TestAPoisonedRecordStepsAside(t *testing.T) {
	dir := t.TempDir()
	var c clock
	c.ms.Store(1_000_000)
	options := func(o *Options) { o.Now, o.retryEvery = c.now, time.Millisecond }
	r := newRig(t, dir, options)
	r.send(block(t, buffer.Revenue, 1, 2, note("1", "good"), note("2", "poison"), note("3", "panic"), note("4", "bad"), note("5", "good")))
	r.send(block(t, buffer.Revenue, 2, 1, note("6", "good")))
	r.settle()
	r.expectStored("1", "5", "6")
	stuck := func(want float64) {
		t.Helper()
		if got := r.metric("ghostlight_fleet_stuck_records"); got != want {
			t.Errorf("%v records are stuck, want %v", got, want)
		}
	}
	stuck(2)
	if got := r.series.count(); got != 3 {
		t.Errorf("%d samples are stored, want 3", got)
	}
	letters, err := r.DeadLetters(t.Context(), 10)
	if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Detail, "a bad note") {
		t.Errorf("dead letters %+v (%v), want the bad note alone", letters, err)
	}

	// It stays while its hour has not come, and comes back when it is still poison.
	retry := func() {
		t.Helper()
		if err := r.unpark(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.settle()
	}
	retry()
	stuck(2)
	c.ms.Add(stuckFor.Milliseconds())
	retry()
	stuck(2)
	r.expectStored("1", "5", "6")

	// The clock was three days ahead and is set back: the hour is not three days.
	c.ms.Add(-72 * time.Hour.Milliseconds())
	r.notes.set(func() { r.notes.cured = true })
	retry()
	stuck(0)
	r.expectStored("1", "2", "3", "5", "6")
	if got := r.Accepted()[soho][buffer.Revenue]; got != (Accepted{Blocks: 2, Samples: 3, Records: 6}) {
		t.Errorf("accepted %+v: stepping aside must not count again", got)
	}
}

// TestStuckRecordsAreTriedAtStart: the build may be another one.
func TestStuckRecordsAreTriedAtStart(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, func(o *Options) { o.retryEvery = time.Millisecond })
	r.send(block(t, buffer.Revenue, 1, 0, note("1", "poison")))
	r.settle()
	r.expectStored()
	r.stop()
	r = newRig(t, dir, nil)
	r.notes.set(func() { r.notes.cured = true })
	if err := r.unpark(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.settle()
	r.expectStored("1")
}

// TestAFullStoreBlamesNobody: a fault that passes holds everything up, however
// long, and then everything is stored where it belongs.
func TestAFullStoreBlamesNobody(t *testing.T) {
	r := newRig(t, t.TempDir(), func(o *Options) { o.retryEvery = time.Millisecond })
	r.send(block(t, buffer.Revenue, 1, 1, note("0", "good")))
	r.settle()
	limit := func(pages int) {
		t.Helper()
		err := r.store.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // as many as there are
	long := strings.Repeat("x", 20_000)
	r.send(block(t, buffer.Revenue, 2, 1, note("1"+long, "good")))
	r.send(block(t, buffer.Revenue, 3, 1, note("2", "good")))
	r.failed(3 * blameAfter)
	if got := r.metric("ghostlight_fleet_stuck_records"); got != 0 {
		t.Errorf("%v records are blamed for a full disk", got)
	}
	limit(1 << 30)
	r.settle()
	r.expectStored("0", "1"+long, "2")
	if letters, err := r.DeadLetters(t.Context(), 10); err != nil || len(letters) > 0 {
		t.Errorf("dead letters %+v (%v)", letters, err)
	}
}

// TestWhatIsKeptForLaterIsBounded: a node whose clock is wrong for good fills its
// own share, then its rows are dead letters; nobody else's are.
func TestWhatIsKeptForLaterIsBounded(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	part := make([]byte, parkedBytes/2+1)
	tx, err := r.journal.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing of it is wanted
	for n, tt := range []struct {
		id     int64
		source buffer.Source
		reason string
		body   []byte
		kept   bool
	}{
		{1, soho, parkedReason, part, true},
		{1, soho, parkedReason, part, true}, // applied again
		{2, soho, parkedReason, part, false},
		{3, camden, parkedReason, part, true},
		{4, soho, parkedReason, part[:9], true},
		{5, soho, stuckReason, part, true},
		{5, soho, stuckReason, part, true},
		{6, camden, stuckReason, part, false},
		{7, soho, "too_old", part[:9], false},
	} {
		kept, err := keepForLater(t.Context(), tx, opened{journalled: journalled{id: tt.id, source: tt.source}}, asideRow{reason: tt.reason, body: tt.body})
		if err != nil || kept != tt.kept {
			t.Errorf("case %d: kept %v (%v), want %v", n, kept, err, tt.kept)
		}
	}
}
