package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
)

// big is an entry whose block takes several pages, for its samples have nothing
// in common.
func big(lane buffer.Lane, name string, samples int) queue.Entry {
	e := entry(lane, name, samples)
	random := rand.New(rand.NewPCG(3, uint64(len(name))))
	for i := range e.Batch.Series[0].Samples {
		e.Batch.Series[0].Samples[i].Value = random.Float64()
	}
	return e
}

// fill returns the files of a closed buffer with n small blocks of revenue and n
// large ones of detail, and their names.
func fill(t *testing.T, n int) (all map[string]bool, files map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	q := open(t, dir, newClock())
	all, files = map[string]bool{}, map[string][]byte{}
	for i := range n {
		small, large := fmt.Sprintf("small_%d", i), fmt.Sprintf("large_%d", i)
		all[small], all[large] = true, true
		add(t, q, entry(buffer.Revenue, small, 2), big(buffer.Detail, large, 1500))
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"revenue.db", "telemetry.db"} {
		data, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		files[f] = data
	}
	return all, files
}

// found opens a folder and takes everything out of it.
func found(t *testing.T, dir string) (names map[string]int, q *queue.Queue) {
	t.Helper()
	q = open(t, dir, newClock())
	names = map[string]int{}
	acked := map[buffer.Lane]int64{}
	for {
		blocks := next(t, q, 100)
		if len(blocks) == 0 {
			break
		}
		for _, b := range blocks {
			names[name(t, b)]++
			acked[b.Lane] += int64(b.Batch.Samples())
			ack(t, q, b)
		}
	}
	balanced(t, q, acked)
	return names, q
}

func TestDamagedFilesKeepTheirIntactBlocks(t *testing.T) {
	const blocks = 60
	all, whole := fill(t, blocks)
	for _, tc := range []struct {
		name   string
		file   string
		damage func(t *testing.T, data []byte) []byte
		least  int // blocks of the file's that must be found
	}{
		{"header destroyed", "telemetry.db", func(_ *testing.T, b []byte) []byte { clear(b[:100]); return b }, blocks},
		{"schema page destroyed", "telemetry.db", func(_ *testing.T, b []byte) []byte { clear(b[:4096]); return b }, blocks},
		{"cut in half", "telemetry.db", func(_ *testing.T, b []byte) []byte { return b[:len(b)/2] }, blocks/2 - 5},
		{"torn in the middle of a page", "telemetry.db", func(_ *testing.T, b []byte) []byte { return b[:len(b)-4096*3-1000] }, blocks - 5},
		{"three pages overwritten", "telemetry.db", func(_ *testing.T, b []byte) []byte {
			for _, page := range []int{20, 50, 80} {
				copy(b[page*4096:], bytes.Repeat([]byte{0xa5}, 4096))
			}
			return b
		}, blocks - 4},
		{"one bit of a block flipped", "telemetry.db", func(_ *testing.T, b []byte) []byte {
			b[len(b)/2+2000] ^= 4
			return b
		}, blocks - 1},
		{"not a database", "telemetry.db", func(_ *testing.T, b []byte) []byte { return []byte("hello, this is not a database") }, 0},
		{"empty", "revenue.db", func(_ *testing.T, b []byte) []byte { return nil }, 0},
		{"revenue header destroyed", "revenue.db", func(_ *testing.T, b []byte) []byte { clear(b[:100]); return b }, blocks},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for file, data := range whole {
				data = bytes.Clone(data)
				if file == tc.file {
					data = tc.damage(t, data)
				}
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, q := found(t, dir)
			kind, other := "large_", "small_"
			if tc.file == "revenue.db" {
				kind, other = other, kind
			}
			n := 0
			for name := range all {
				switch {
				case got[name] > 1:
					t.Errorf("%s was found %d times", name, got[name])
				case bytes.HasPrefix([]byte(name), []byte(other)) && got[name] == 0:
					t.Errorf("%s is in the other file and is missing", name)
				case bytes.HasPrefix([]byte(name), []byte(kind)):
					n += got[name]
				}
			}
			if n < tc.least {
				t.Errorf("%d of %d blocks found, want at least %d", n, blocks, tc.least)
			}
			add(t, q, entry(buffer.Revenue, "after", 1), entry(buffer.Detail, "after", 1))
			if len(next(t, q, 9)) != 2 {
				t.Error("the buffer does not work after the damage")
			}
		})
	}
}

func TestLossByDamageIsCounted(t *testing.T) {
	dir := t.TempDir()
	all, files := fill(t, 20)
	path := filepath.Join(dir, "telemetry.db")
	data := files["telemetry.db"]
	if err := os.WriteFile(filepath.Join(dir, "revenue.db"), files["revenue.db"], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	got, q := found(t, dir)
	if q.Quarantined() != 1 {
		t.Errorf("%d files quarantined, want 1", q.Quarantined())
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Errorf("damaged file was not kept aside: %v", err)
	}
	want := int64(len(all)-len(got)) * 1500
	if s := q.Stats()[buffer.Detail]; want == 0 || s.Produced != 20*1500 || s.Lost[queue.LostCorrupt] != want {
		t.Errorf("stats %+v, want %d produced and %d lost", s, 20*1500, want)
	}
}

// A process that dies leaves its last commits in the write-ahead log; damage to
// the database beside it must not cost them.
func TestBlocksInTheLogOfADamagedFileAreKept(t *testing.T) {
	live, dir := t.TempDir(), t.TempDir()
	q := open(t, live, newClock())
	want := map[string]int{}
	for i := range 10 {
		add(t, q, big(buffer.Detail, fmt.Sprint("m", i), 1500))
		want[fmt.Sprint("m", i)] = 1
	}
	for _, suffix := range []string{"", "-wal"} { // as kill -9 would leave them
		data, err := os.ReadFile(filepath.Join(live, "telemetry.db"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if suffix == "" {
			data = append(bytes.Repeat([]byte{0xff}, 100), data[min(100, len(data)):]...)
		}
		if err := os.WriteFile(filepath.Join(dir, "telemetry.db"+suffix), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := found(t, dir)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("blocks found (-want +got):\n%s", d)
	}
}

func TestRandomDamageIsNeverFatal(t *testing.T) {
	_, whole := fill(t, 12)
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		victim := t.TempDir()
		for f, data := range whole {
			data = bytes.Clone(data)
			for range 1 + random.IntN(40) {
				data[random.IntN(len(data))] ^= byte(1 + random.IntN(255))
			}
			if err := os.WriteFile(filepath.Join(victim, f), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		names, q := found(t, victim)
		for n, count := range names {
			if count != 1 {
				t.Errorf("seed %d: %s was found %d times", seed, n, count)
			}
		}
		c := queue.Commit{Entries: []queue.Entry{entry(buffer.Revenue, "after", 1), entry(buffer.Health, "after", 1)}}
		err := q.Append(t.Context(), c)
		if err != nil { // damage found only now is repaired by the first to meet it
			err = q.Append(t.Context(), c)
		}
		if err != nil {
			t.Errorf("seed %d: the buffer does not work after the damage: %v", seed, err)
		}
		q.Close()
	}
}

// A mortal context ends after it was asked a number of times, and so ends a
// salvage at any of its steps.
type mortal struct {
	context.Context
	end  context.CancelFunc
	left atomic.Int64
}

func (m *mortal) Done() <-chan struct{} {
	if m.left.Add(-1) == 0 {
		m.end()
	}
	return m.Context.Done()
}

// A salvage that is cut short, wherever, must be begun again at the next opening,
// not taken for done: what it had not reached would be lost.
func TestASalvageCutShortIsBegunAgain(t *testing.T) {
	const blocks = 20
	all, whole := fill(t, blocks)
	clear(whole["telemetry.db"][:100])
	cut := 0
	for n := int64(1); ; n += 1 + n/3 {
		dir := t.TempDir()
		for file, data := range whole {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		m := &mortal{Context: ctx, end: cancel}
		m.left.Store(n)
		q, err := queue.Open(m, queue.Options{Dir: dir, DiskBudget: 64 << 20})
		cancel()
		if err == nil {
			q.Close()
			break // it was over before the context was
		}
		cut++
		got, _ := found(t, dir)
		if len(got) != len(all) {
			t.Errorf("%d of %d blocks are left after a salvage ended at step %d with %q", len(got), len(all), n, err)
		}
	}
	if cut < 10 {
		t.Errorf("only %d salvages were cut short: the test shows little", cut)
	}
}

// Of a rebuild that ended between its renames the next opening does the rest.
func TestARebuildIsFinishedAtTheNextOpening(t *testing.T) {
	all, whole := fill(t, 5)
	for _, tt := range []struct {
		name  string
		files map[string][]byte
	}{
		{"the successor is incomplete", map[string][]byte{"telemetry.db": whole["telemetry.db"], "telemetry.db.rebuilding": []byte("half"), "telemetry.db.rebuilding-wal": []byte("x")}},
		{"the damaged file is still in place", map[string][]byte{"telemetry.db": []byte("damaged"), "telemetry.db-wal": []byte("old log"), "telemetry.db.rebuilt": whole["telemetry.db"]}},
		{"its log is aside already", map[string][]byte{"telemetry.db": []byte("damaged"), "telemetry.db.damaged-wal": []byte("old log"), "telemetry.db.rebuilt": whole["telemetry.db"]}},
		{"the damaged file is aside", map[string][]byte{"telemetry.db.damaged": []byte("damaged"), "telemetry.db-shm": []byte("old index"), "telemetry.db.rebuilt": whole["telemetry.db"]}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.files["revenue.db"] = whole["revenue.db"]
			for file, data := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, _ := found(t, dir)
			if len(got) != len(all) {
				t.Errorf("%d of %d blocks are left", len(got), len(all))
			}
			for _, ending := range []string{".rebuilding", ".rebuilding-wal", ".rebuilt"} {
				if _, err := os.Stat(filepath.Join(dir, "telemetry.db"+ending)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("telemetry.db%s is left behind (%v)", ending, err)
				}
			}
		})
	}
}
