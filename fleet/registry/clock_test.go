package registry

import (
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"ghostlight/fleet/store"
	"ghostlight/healthscore"
	"ghostlight/synthetics"
)

// A centre whose clock is set back between two runs must notice within the usual
// time that a node falls silent, not when the clock has caught up.
func TestDarknessAfterTheClockWasSetBack(t *testing.T) {
	for _, heard := range []bool{true, false} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			r, _, end := open(t, dir, true)
			if err := r.Heard(soho); err != nil {
				t.Fatal(err)
			}
			end()
		})
		// Each bubble begins on the same day of the year 2000: let this run's be a
		// day before the one that was saved.
		shift(t, dir, 24*time.Hour)
		synctest.Test(t, func(t *testing.T) {
			r, _, end := open(t, dir, true)
			if heard {
				if err := r.Heard(soho); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(17 * time.Second)
			synctest.Wait()
			if v := presence(t, r, soho); v.Presence != Dark {
				t.Errorf("heard %v: after 17 s of silence it is %s, last seen %s", heard, v.Presence, v.LastSeen)
			}
			end()
		})
	}
}

// shift moves the stored signs of life by d.
func shift(t *testing.T, dir string, d time.Duration) {
	t.Helper()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	err = writeAll(t, st, `UPDATE nodes SET last_seen = last_seen + `+itoa(d), `UPDATE centre_alive SET at_ms = at_ms + `+itoa(d))
	if err != nil {
		t.Fatal(err)
	}
}

// When the centre's clock is set forward nobody has been dark in the time that
// never passed.
func TestTheClockSetForwardDarkensNobody(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, _, end := open(t, dir, true)
		ahead := time.Duration(0)
		begun := time.Now()
		r.mu.Lock()
		r.now = func() time.Time { return time.Now().Add(ahead).Round(0) }
		r.elapsed = func() time.Duration { return time.Since(begun) }
		r.mu.Unlock()
		if err := r.Heard(soho); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		r.mu.Lock()
		ahead = 72 * time.Hour
		r.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err := r.Heard(soho); err != nil {
			t.Fatal(err)
		}
		expect := func(r *Registry) {
			t.Helper()
			if sum := darkTime(t, r, Filter{}); sum != 40*time.Second {
				t.Errorf("dark for %s, want 40s", sum)
			}
		}
		expect(r)
		end()
		time.Sleep(ahead) // so that the next run's clock agrees
		r, _, end = open(t, dir, true)
		expect(r)
		end()
	})
}

// What a node said while its clock was three days ahead is not its last word for
// three days once the clock is set right.
func TestTheLastWordOfAClockThatRanAhead(t *testing.T) {
	dir := t.TempDir()
	r, st, end := open(t, dir, false)
	now := time.Now()
	say := func(at time.Time, value float64, pass bool) {
		t.Helper()
		ms := at.UnixMilli()
		err := apply(t, r, st,
			record(t, KindScore, "", ms, healthscore.Score{AtMS: ms, Value: value, Known: true}),
			record(t, KindRun, "", ms, synthetics.Result{Journey: "pay", StartMS: ms, Pass: pass}))
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(value float64, pass bool) {
		t.Helper()
		v := presence(t, r, soho)
		if v.Score == nil || v.Score.Value != value || len(v.Journeys) != 1 || v.Journeys[0].Pass != pass {
			text, _ := json.Marshal(v)
			t.Errorf("the node is shown as %s, want score %v and pass %v", text, value, pass)
		}
	}
	r.now = func() time.Time { return now }
	say(now.Add(72*time.Hour), 10, false)
	expect(10, false)
	now = now.Add(15 * time.Second)
	say(now, 90, true)
	expect(90, true)
	say(now.Add(-time.Hour), 50, false) // of the backlog
	expect(90, true)
	if err := errors.Join(r.Heard(soho), r.save(t.Context())); err != nil {
		t.Fatal(err)
	}
	end()
	r, _, end = open(t, dir, false)
	defer end()
	expect(90, true)
}

func itoa(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func writeAll(t *testing.T, st *store.Store, statements ...string) error {
	return st.Write(t.Context(), func(tx *sql.Tx) error {
		for _, s := range statements {
			if _, err := tx.ExecContext(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	})
}

// darkTime is how long soho was dark.
func darkTime(t *testing.T, r *Registry, f Filter) (sum time.Duration) {
	t.Helper()
	episodes, err := r.Dark(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range episodes {
		if d.Source == soho {
			sum += d.Duration
		}
	}
	return sum
}
