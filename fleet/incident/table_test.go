package incident

import (
	"database/sql"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/fleet/store"
	"ghostlight/slo/incident"
)

func TestWhatWasLongOverIsForgotten(t *testing.T) {
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	now := time.UnixMilli(1_800_000_000_000)
	c := newCrowd(1, 0, now)
	b, err := New(t.Context(), Options{Store: st, Nodes: c, Calendar: c, Ledger: &facts{}, Sales: &facts{}, DarkAfter: darkAfter, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, over bool) string {
		t.Helper()
		i := incident.New(scope(soho, incident.Objective, name), now)
		if over {
			i = i.Mark(incident.Mark{Stage: incident.Parity, SpellMS: i.StartMS, AtMS: i.StartMS + 1, Source: incident.Node})
		}
		err := st.Write(t.Context(), func(tx *sql.Tx) error {
			if _, err := b.merge(t.Context(), tx, i); err != nil {
				return err
			}
			_, err := tx.ExecContext(t.Context(), `INSERT INTO incident_pages VALUES (?, ?, ?)`, i.ID(), i.ID(), now.UnixMilli())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return i.ID()
	}
	put("old and over", true)
	open := put("old", false)
	now = now.Add(keep - time.Hour)
	fresh := put("over", true)
	now = now.Add(2 * time.Hour)
	if err := b.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	held := func(query string) map[string]bool {
		t.Helper()
		rows, err := st.Read().QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		out := map[string]bool{}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			out[id] = true
		}
		return out
	}
	want := map[string]bool{open: true, fresh: true}
	if diff := cmp.Diff(want, held(`SELECT id FROM incidents`)); diff != "" {
		t.Errorf("incidents (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, held(`SELECT id FROM incident_pages`)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
