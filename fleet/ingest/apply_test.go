package ingest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/fleet/tsdb"
)

// clock is a time that tests set.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

func TestRowsTooNewAreParkedUntilTheirTime(t *testing.T) {
	dir := t.TempDir()
	var c clock
	c.ms.Store(1_000_000)
	ahead := tsdb.Ahead.Milliseconds()
	future := c.ms.Load() + ahead + 5_000
	batch := delta.Batch{Series: []delta.Series{{
		Labels:  []delta.Label{{Name: "__name__", Value: "m"}},
		Samples: []delta.Sample{{Time: 900_000, Value: 1}, {Time: future, Value: 2}, {Time: future + 60_000, Value: 3}},
	}}}
	options := func(o *Options) { o.Now = c.now }
	r := newRig(t, dir, options)
	r.series.set(func() { r.series.newest = c.ms.Load() + ahead })
	r.send(seal(t, buffer.Detail, 1, batch))
	r.settle()
	expect := func(stored int, parked float64) {
		t.Helper()
		if got := r.series.count(); got != stored {
			t.Errorf("%d samples are stored, want %d", got, stored)
		}
		if got := r.metric("ghostlight_fleet_parked_samples"); got != parked {
			t.Errorf("%v samples are parked, want %v", got, parked)
		}
	}
	expect(1, 2)

	// Their time has not come, nor has it after a restart that applies the block again.
	if err := r.unpark(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(1, 2)
	held := r.series
	r.stop()
	r = newRig(t, dir, options)
	r.series.set(func() { r.series.held, r.series.newest = held.held, c.ms.Load()+ahead })
	r.settle()
	expect(1, 2)

	// The first of them can be stored now; the other is parked again.
	if err := r.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.ms.Add(6_000)
	r.series.set(func() { r.series.newest = c.ms.Load() + ahead })
	if err := r.unpark(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.settle()
	expect(2, 1)
	c.ms.Add(60_000)
	r.series.set(func() { r.series.newest = c.ms.Load() + ahead })
	if err := r.unpark(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.settle()
	expect(3, 0)
	if got := r.Accepted()[soho][buffer.Detail]; got != (Accepted{Blocks: 1, Samples: 3}) {
		t.Errorf("accepted %+v: parking must not count again", got)
	}
}

func TestWhatCanNeverBeStoredIsADeadLetter(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	r.series.set(func() { r.series.oldest = 2_000 })
	r.send(block(t, buffer.Revenue, 1, 2, // at 1000 and 1001: too old
		delta.Record{Kind: "note", Key: "1", Body: []byte("good")},
		delta.Record{Kind: "note", Key: "2", Body: []byte("bad")},
		delta.Record{Kind: "riddle", Key: "3", Body: []byte("?")}))
	r.settle()
	check := func() {
		t.Helper()
		letters, err := r.DeadLetters(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		want := []DeadLetter{
			{Source: soho, Reason: "bad_record_1", Detail: "record is malformed: a bad note", Records: 1},
			{Source: soho, Reason: "bad_record_2", Detail: `record is malformed: kind "riddle" is unknown to this version`, Records: 1},
			{Source: soho, Reason: "too_old", Samples: 2},
		}
		if diff := cmp.Diff(want, letters, cmpopts.IgnoreFields(DeadLetter{}, "At", "Block")); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		for _, l := range letters {
			h, payload, err := buffer.Open(l.Block)
			if err != nil {
				t.Fatal(err)
			}
			b, err := delta.Decode(payload, delta.DefaultLimits())
			if err != nil || int64(b.Samples()) != l.Samples || int64(len(b.Records)) != l.Records || h.Seq != 1 {
				t.Errorf("letter %s holds %d samples, %d records (%v)", l.Reason, b.Samples(), len(b.Records), err)
			}
		}
		if got := r.metric("ghostlight_fleet_dead_samples_total"); got != 2 {
			t.Errorf("%v dead samples are counted, want 2", got)
		}
		if got := r.metric("ghostlight_fleet_dead_records_total"); got != 2 {
			t.Errorf("%v dead records are counted, want 2", got)
		}
		var notes int
		if err := r.store.Read().QueryRow(`SELECT count(*) FROM notes`).Scan(&notes); err != nil || notes != 1 {
			t.Errorf("%d good records are stored (%v), want 1", notes, err)
		}
	}
	check()
	// Applied again after a restart, it is the same.
	r.stop()
	r = newRig(t, dir, nil)
	r.series.set(func() { r.series.oldest = 2_000 })
	r.settle()
	check()
}

func TestAFailingStoreLosesNothing(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	r.series.set(func() { r.series.err = errors.New("no room") })
	for seq := range buffer.Seq(5) {
		r.send(block(t, buffer.Revenue, seq+1, 2, delta.Record{Kind: "note", Key: fmt.Sprint(seq), Body: []byte("x")}))
	}
	<-r.series.tried
	if err := r.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, blocks := r.journal.size(); blocks != 5 {
		t.Errorf("the journal holds %d blocks while nothing could be stored, want 5", blocks)
	}
	r.series.set(func() { r.series.err = nil })
	r.settle()
	if got := r.series.count(); got != 10 {
		t.Errorf("%d samples are stored, want 10", got)
	}
}

func TestTrimOnlyWhatABarrierCovers(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	r.send(block(t, buffer.Revenue, 1, 1))
	r.settle()
	r.series.set(func() { r.series.err = errors.New("disk trouble") })
	if err := r.trim(t.Context()); err == nil {
		t.Error("trim did not report that the barrier failed")
	}
	if _, blocks := r.journal.size(); blocks != 1 {
		t.Fatalf("the journal holds %d blocks after a failed barrier, want 1", blocks)
	}
	r.series.set(func() { r.series.err = nil })
	if err := r.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if bytes, blocks := r.journal.size(); blocks != 0 || bytes != 0 {
		t.Errorf("the journal holds %d blocks of %d bytes after trimming", blocks, bytes)
	}
	barriers := r.series.barriers
	if err := r.trim(t.Context()); err != nil || r.series.barriers != barriers {
		t.Errorf("an empty journal called for a barrier (%v)", err)
	}
}

func TestOldDigestsArePruned(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	const blocks = digestsPerLane + 20
	var posts []post
	for seq := range buffer.Seq(blocks) {
		posts = append(posts, post{source: soho, body: block(t, buffer.Health, seq+1, 1), header: buffer.Header{Session: session, Lane: buffer.Health, Seq: seq + 1, Samples: 1}})
	}
	if _, err := r.journal.commit(t.Context(), posts); err != nil {
		t.Fatal(err)
	}
	r.work <- struct{}{}
	r.settle()
	if err := r.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	var digests int
	if err := r.journal.read.QueryRow(`SELECT count(*) FROM digests`).Scan(&digests); err != nil || digests != digestsPerLane {
		t.Errorf("%d digests are kept (%v), want %d", digests, err, digestsPerLane)
	}
	// A repeat of one whose digest is gone is still a repeat.
	r.send(block(t, buffer.Health, 1, 1))
	if got := r.Accepted()[soho][buffer.Health].Blocks; got != blocks {
		t.Errorf("%d blocks are accepted, want %d", got, blocks)
	}
}
