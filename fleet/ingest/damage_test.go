package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
	"ghostlight/internal/crashtest"
	"ghostlight/internal/sqlite"
)

// noisy is a block whose record takes several pages.
func noisy(t *testing.T, seq buffer.Seq) []byte {
	rng := rand.New(rand.NewPCG(3, uint64(seq)))
	s := delta.Series{Labels: []delta.Label{{Name: "__name__", Value: fmt.Sprint("noise_", seq%3)}}}
	for i := range 1500 {
		s.Samples = append(s.Samples, delta.Sample{Time: int64(seq)*10_000 + int64(i), Value: rng.Float64()})
	}
	return seal(t, buffer.Detail, seq, delta.Batch{Series: []delta.Series{s}})
}

// journalOf returns the file of a journal that holds n small and n large blocks,
// none of them applied, and the samples of them.
func journalOf(t *testing.T, n int) (file []byte, held map[string]float64) {
	t.Helper()
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	r.series.set(func() { r.series.err = errors.New("not now") })
	for seq := range buffer.Seq(n) {
		r.send(block(t, buffer.Revenue, seq+1, 2, note(fmt.Sprint(seq+1), "x")))
		r.send(noisy(t, seq+1))
	}
	r.stop()
	file, err := os.ReadFile(filepath.Join(dir, JournalFile))
	if err != nil {
		t.Fatal(err)
	}
	r = newRig(t, dir, nil) // what they are when nothing is wrong
	r.settle()
	return file, r.series.held
}

// reopen starts a fleet on a journal and applies what is in it; broken says how
// many blocks could not be read. What is applied must have been sent.
func reopen(t *testing.T, file []byte, held map[string]float64) (r *rig, broken int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, JournalFile), file, 0o600); err != nil {
		t.Fatal(err)
	}
	r = newRig(t, dir, nil)
	r.settle()
	for k, v := range r.series.held {
		if want, ok := held[k]; !ok || v != want {
			t.Errorf("%s is %v, want %v (sent: %v)", k, v, want, ok)
		}
	}
	letters, err := r.DeadLetters(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	return r, len(letters) + int(r.metric("ghostlight_fleet_journal_lost_blocks"))
}

func TestADamagedJournalKeepsItsIntactBlocks(t *testing.T) {
	const each = 30
	whole, held := journalOf(t, each)
	const page = 4096
	for _, tt := range []struct {
		name   string
		damage func(b []byte) []byte
		most   int // blocks that may be missing
	}{
		{"nothing", func(b []byte) []byte { return b }, 0},
		{"header destroyed", func(b []byte) []byte { clear(b[:100]); return b }, 0},
		{"schema destroyed", func(b []byte) []byte { clear(b[:page]); return b }, 0},
		{"cut in half", func(b []byte) []byte { return b[:len(b)/2] }, each + 5},
		{"torn in the middle of a page", func(b []byte) []byte { return b[:len(b)-3*page-1000] }, 5},
		{"pages overwritten", func(b []byte) []byte {
			for _, n := range []int{40, 60, 80} {
				copy(b[n*page:], bytes.Repeat([]byte{0xa5}, page))
			}
			return b
		}, 8},
		{"one bit of a block flipped", func(b []byte) []byte { b[len(b)/2+2000] ^= 4; return b }, 1},
		{"not a database", func([]byte) []byte { return []byte("hello, this is no database") }, 2 * each},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := tt.damage(bytes.Clone(whole))
			r, broken := reopen(t, file, held)
			got := applied(r)
			if got < 2*each-tt.most {
				t.Errorf("%d of %d blocks are applied, want all but %d", got, 2*each, tt.most)
			}
			if tt.name != "not a database" && got+broken != 2*each {
				t.Errorf("%d blocks are applied and %d are counted as lost, want %d together", got, broken, 2*each)
			}
			// It works on, and knows what it had taken.
			r.send(block(t, buffer.Health, 1, 3))
			r.send(block(t, buffer.Health, 2, 3))
			r.settle()
			if tt.most == 0 {
				if got := r.Accepted()[soho][buffer.Detail]; got != (Accepted{Blocks: each, Samples: 1500 * each}) {
					t.Errorf("accepted %+v", got)
				}
			}
			aside, err := os.Stat(sqlite.Damaged(filepath.Join(r.dir, JournalFile)))
			if tt.name != "nothing" && tt.name != "one bit of a block flipped" && (err != nil || aside.Size() != int64(len(file))) {
				t.Errorf("the damaged file is not kept: %+v (%v)", aside, err)
			}
		})
	}
}

// applied counts the blocks of journalOf that are in the store.
func applied(r *rig) int {
	r.series.mu.Lock()
	defer r.series.mu.Unlock()
	small, large := map[string]bool{}, 0
	for k := range r.series.held {
		if bytes.Contains([]byte(k), []byte("noise_")) {
			large++
		} else {
			small[k] = true
		}
	}
	return len(small)/2 + large/1500
}

// Whatever bits are flipped and wherever the file ends, the fleet starts, applies
// nothing that was not sent, and takes new blocks.
func TestAnyDamageIsSurvived(t *testing.T) {
	whole, held := journalOf(t, 6)
	for seed := range uint64(crashtest.Kills(t, 40)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 11))
			file := bytes.Clone(whole)
			for range rng.IntN(20) {
				file[rng.IntN(len(file))] ^= 1 << rng.IntN(8)
			}
			if rng.IntN(3) == 0 {
				file = file[:rng.IntN(len(file))]
			}
			r, _ := reopen(t, file, held)
			before := r.series.count()
			if status, answer := r.post(wire.BlocksPath, camdenToken, block(t, buffer.Health, 1, 3)); status != http.StatusOK {
				t.Fatalf("a new block was answered %d %s", status, answer)
			}
			r.settle()
			if got := r.series.count(); got != before+3 {
				t.Errorf("%d samples of a new block are stored, want 3", got-before)
			}
		})
	}
}
