package store

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"ghostlight/buffer"
)

func TestSourcesKeepTheirNumbers(t *testing.T) {
	dir := t.TempDir()
	a, b := buffer.Source{Region: "r", Venue: "v", Node: "a"}, buffer.Source{Region: "r", Venue: "v", Node: "b"}
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Register(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Register(t.Context(), a); again != first || err != nil {
		t.Errorf("registered again as %d (%v), want %d", again, err, first)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if id, ok := s.ID(a); !ok || id != first {
		t.Errorf("after a restart it is %d %v, want %d", id, ok, first)
	}
	second, err := s.Register(t.Context(), b)
	if err != nil || second == first {
		t.Errorf("another node is %d (%v)", second, err)
	}
	if src, ok := s.Source(second); !ok || src != b {
		t.Errorf("source %d is %v %v", second, src, ok)
	}
	if _, ok := s.ID(buffer.Source{}); ok {
		t.Error("nobody has a number")
	}
}

func TestWriteIsAllOrNothing(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context(), `CREATE TABLE t (x INTEGER)`); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err = s.Write(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.Exec(`INSERT INTO t VALUES (1)`); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("write returned %v", err)
	}
	var n int
	if err := s.Read().QueryRow(`SELECT count(*) FROM t`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows of a failed write are stored (%v)", n, err)
	}
	if _, err := s.Read().Exec(`INSERT INTO t VALUES (2)`); err == nil {
		t.Error("the pool for reading wrote")
	}
}

// TestJoin: who joins a transaction writes at its end, once, and hears what came of it.
func TestJoin(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context(), `CREATE TABLE notes (text TEXT NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	var outcomes []error
	write := func(text string, own, sealed error) error {
		return s.Write(t.Context(), func(tx *sql.Tx) error {
			s.Join(tx, func(ctx context.Context) error {
				if _, err := tx.ExecContext(ctx, `INSERT INTO notes VALUES (?)`, text); err != nil {
					return err
				}
				return sealed
			}, func(err error) { outcomes = append(outcomes, err) })
			return own
		})
	}
	failed := errors.New("failed")
	for _, tt := range []struct {
		text             string
		own, sealed, all error
	}{{"kept", nil, nil, nil}, {"its writer failed", failed, nil, failed}, {"its seal failed", nil, failed, failed}} {
		if err := write(tt.text, tt.own, tt.sealed); !errors.Is(err, tt.all) {
			t.Errorf("%s: %v", tt.text, err)
		}
		if last := outcomes[len(outcomes)-1]; !errors.Is(last, tt.all) {
			t.Errorf("%s: it was told %v", tt.text, last)
		}
	}
	var texts string
	if err := s.Read().QueryRow(`SELECT group_concat(text) FROM notes`).Scan(&texts); err != nil || texts != "kept" || len(outcomes) != 3 {
		t.Errorf("stored %q, told %d times (%v)", texts, len(outcomes), err)
	}
}
