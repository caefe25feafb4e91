package ingest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
	"ghostlight/internal/sqlite"
)

// merged seals a block that stands for several sequences.
func merged(t *testing.T, first, last buffer.Seq, n int) []byte {
	t.Helper()
	h, payload, err := buffer.Open(block(t, buffer.Detail, last, n))
	if err != nil {
		t.Fatal(err)
	}
	h.First = first
	return buffer.Seal(h, payload)
}

func TestMergedBlocks(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	l := r.dial(sohoToken)
	r.send(merged(t, 3, 6, 5))
	for _, tt := range []struct {
		name        string
		first, last buffer.Seq
		samples     int
		status      int
		error       string
	}{
		{"the same", 3, 6, 5, 200, ""},
		{"the same with another content", 3, 6, 4, 409, "another content"},
		{"a part of it", 4, 5, 1, 200, ""}, // they were merged after they had arrived
		{"one of it", 6, 6, 1, 200, ""},
		{"more at the end", 5, 7, 1, 409, "some of these"},
		{"more at the beginning", 1, 3, 1, 409, "some of these"},
		{"more at both ends", 2, 7, 1, 409, "some of these"},
		{"before it", 1, 2, 2, 200, ""},
		{"after it", 7, 9, 3, 200, ""},
		{"all of it", 1, 9, 1, 200, ""},
		{"all of it and more", 1, 10, 1, 409, "some of these"},
	} {
		status, answer := r.post(wire.BlocksPath, sohoToken, merged(t, tt.first, tt.last, tt.samples))
		if status != tt.status || !strings.Contains(answer, tt.error) {
			t.Errorf("%s by POST: %d %s", tt.name, status, answer)
		}
		// The other door says the same, and of what was taken that it is held.
		l.send(stamp(buffer.Detail, tt.first, tt.last), batchOf(t, buffer.Detail, tt.last, tt.samples))
		if status != http.StatusOK {
			if got := l.refusal(); got.Status != tt.status || got.Seq != tt.last {
				t.Errorf("%s by stream: %+v", tt.name, got)
			}
			continue
		}
		if ack, err := wire.ParseAck(l.hear(wire.Acked)); err != nil || !ack.Duplicate {
			t.Errorf("%s by stream: %+v (%v)", tt.name, ack, err)
		}
	}
	if got := r.Accepted()[soho][buffer.Detail]; got != (Accepted{Blocks: 9, Samples: 10}) {
		t.Errorf("accepted %+v, want 9 blocks, those that were merged included, and 10 samples", got)
	}
	if got := r.signs.of(r.signs.conflicts, soho); got != 10 {
		t.Errorf("%d conflicts were noted, want 10", got)
	}
}

// TestMergedRanges compares what is accepted with a plain set of sequences.
func TestMergedRanges(t *testing.T) {
	r := newRig(t, t.TempDir(), nil)
	number := 0
	rapid.Check(t, func(t *rapid.T) {
		number++
		source := buffer.Source{Region: "r", Venue: "v", Node: fmt.Sprint(number)}
		held := map[buffer.Seq]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "blocks") {
			first := buffer.Seq(rapid.IntRange(1, 30).Draw(t, "first"))
			last := first + buffer.Seq(rapid.IntRange(0, 6).Draw(t, "more"))
			n := 0
			for seq := first; seq <= last; seq++ {
				if held[seq] {
					n++
				}
			}
			p := post{source: source, body: []byte{1}, header: buffer.Header{Session: session, Lane: buffer.Detail, First: first, Seq: last}}
			outcomes, err := r.journal.commit(t.Context(), []post{p})
			if err != nil {
				t.Fatal(err)
			}
			o, all := outcomes[0], int(last-first)+1
			if o.duplicate != (n == all) || (o.err != nil) != (n > 0 && n < all) {
				t.Fatalf("%d to %d, of which %d are held: %+v", first, last, n, o)
			}
			if o.err != nil {
				continue
			}
			for seq := first; seq <= last; seq++ {
				held[seq] = true
			}
			if o.held.First > first || o.held.Last < last || !held[o.held.First] || !held[o.held.Last] || held[o.held.First-1] || held[o.held.Last+1] {
				t.Fatalf("%d to %d is in %v of %v", first, last, o.held, held)
			}
		}
		if got := r.Accepted()[source][buffer.Detail].Blocks; got != int64(len(held)) {
			t.Fatalf("%d blocks are accepted, want %d", got, len(held))
		}
	})
}

// A journal of the version before, whose blocks are sealed, is brought up to date
// in place: what it holds is applied, and what it had taken is known.
func TestJournalOfTheVersionBefore(t *testing.T) {
	dir := t.TempDir()
	db, err := sqlite.Open(filepath.Join(dir, JournalFile))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join("testdata", "journal-1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(script)); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for seq := range buffer.Seq(3) {
		old := make([]byte, 32)
		for i := range old {
			old[i] = byte(rng.Uint32())
		}
		if _, err := db.Exec(`INSERT INTO blocks (source, body) VALUES (?, ?)`, soho.String(), block(t, buffer.Detail, seq+1, 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`INSERT INTO digests VALUES (?, ?, ?, ?, ?, ?)`, soho.String(), int64(-1)<<63, buffer.Detail, seq+1, seq+1, old); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec(`INSERT INTO ranges VALUES (?, ?, ?, 1, 3, 6, 0)`, soho.String(), int64(-1)<<63, buffer.Detail); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and once more, for it is migrated then
		r := newRig(t, dir, nil)
		r.settle()
		if got := r.series.count(); got != 6 {
			t.Errorf("%d samples are stored, want 6", got)
		}
		if status, answer := r.post(wire.BlocksPath, sohoToken, block(t, buffer.Detail, 2, 2)); status != http.StatusOK || !strings.Contains(answer, `"duplicate":true`) {
			t.Errorf("a repeat was answered %d %s", status, answer)
		}
		want := map[buffer.Source]map[buffer.Lane]Accepted{soho: {buffer.Detail: {Blocks: 3, Samples: 6}}}
		if diff := cmp.Diff(want, r.Accepted()); diff != "" {
			t.Errorf("accepted (-want +got):\n%s", diff)
		}
		r.stop()
	}
	r := newRig(t, dir, nil)
	r.send(block(t, buffer.Detail, 4, 2))
	r.settle()
	if got := r.series.count(); got != 8 {
		t.Errorf("%d samples are stored, want 8", got)
	}
}
