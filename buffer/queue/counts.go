package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"ghostlight/buffer"
)

// Reasons of losses that the queue itself declares.
const (
	LostBudget  = "budget"  // dropped to keep within the disk budget
	LostThinned = "thinned" // samples between the steps that the disk budget left
	LostSampled = "sampled" // records between those that the disk budget left
	LostCorrupt = "corrupt" // damaged on disk
)

// A tally follows samples or records through one lane over the life of the folder:
// Produced = Acked + the sum of Lost + Waiting.
type tally struct {
	Produced int64            `json:"produced"`
	Acked    int64            `json:"acked"`
	Lost     map[string]int64 `json:"lost,omitempty"`
	Waiting  int64            `json:"waiting"`
}

func (t *tally) added(n int64) {
	t.Produced += n
	t.Waiting += n
}

// removed counts n that left the buffer: acknowledged if reason is empty. A
// damaged row cannot make more leave than there is.
func (t *tally) removed(n int64, reason string) {
	n = min(max(n, 0), t.Waiting)
	t.Waiting -= n
	if reason == "" {
		t.Acked += n
		return
	}
	t.lose(n, reason)
}

func (t *tally) lose(n int64, reason string) {
	if n == 0 {
		return
	}
	if t.Lost == nil {
		t.Lost = map[string]int64{}
	}
	t.Lost[reason] += n
}

func (t *tally) lost() (sum int64) {
	for _, n := range t.Lost {
		sum += n
	}
	return sum
}

// found replaces what is in the buffer by what was found there after damage. What
// is missing is lost; more than was thought can only be blocks whose removal was
// undone by the damage.
func (t *tally) found(waiting int64) {
	t.Waiting = waiting
	switch missing := t.Produced - t.Acked - t.lost() - waiting; {
	case missing > 0:
		t.lose(missing, LostCorrupt)
	case t.Acked+missing >= 0:
		t.Acked += missing
	default:
		t.Acked = 0
		t.Produced = t.lost() + waiting
	}
}

func (t *tally) check() error {
	if t.Produced != t.Acked+t.lost()+t.Waiting || min(t.Produced, t.Acked, t.Waiting) < 0 {
		return errors.New("they do not add up")
	}
	return nil
}

// counts are one lane's, kept in the transactions that change them.
type counts struct {
	tally         // of samples
	Records tally `json:"records,omitzero"`
	Refused int64 `json:"refused,omitempty"`
	Blocks  int64 `json:"blocks"`
	Bytes   int64 `json:"bytes"`
}

func (c counts) clone() counts {
	c.Lost, c.Records.Lost = maps.Clone(c.Lost), maps.Clone(c.Records.Lost)
	return c
}

// added counts a new block.
func (c *counts) added(r row) {
	c.tally.added(r.samples)
	c.Records.added(r.records)
	c.Blocks++
	c.Bytes += r.bytes
}

// removed counts a block that left the buffer: acknowledged if reason is empty.
func (c *counts) removed(r row, reason string) {
	c.tally.removed(r.samples, reason)
	c.Records.removed(r.records, reason)
	c.Blocks = max(c.Blocks-1, 0)
	c.Bytes = max(c.Bytes-r.bytes, 0)
}

// replaced counts a block that took the place of others; what it lacks of theirs
// is lost.
func (c *counts) replaced(parts []row, by row, reason string) {
	samples, records := -by.samples, -by.records
	for _, p := range parts {
		samples, records = samples+p.samples, records+p.records
		c.Bytes = max(c.Bytes-p.bytes, 0)
	}
	c.tally.removed(samples, reason)
	c.Records.removed(records, reason)
	c.Blocks = max(c.Blocks-int64(len(parts)), 0) + 1
	c.Bytes += by.bytes
}

// later reports whether c is a later version of the counts of the same lane: no
// number of what was produced or left ever falls.
func (c counts) later(than counts) bool {
	progress := func(c counts) int64 {
		return c.Produced + c.Acked + c.lost() + c.Records.Produced + c.Records.Acked + c.Records.lost()
	}
	return progress(c) > progress(than)
}

// found replaces what is in the buffer by what was found there after damage.
func (c *counts) found(all row, blocks int64) {
	c.tally.found(all.samples)
	c.Records.found(all.records)
	c.Blocks, c.Bytes = blocks, all.bytes
}

// readCounts returns a lane's counts, zero if there are none. Counts that do not
// add up are damaged.
func readCounts(ctx context.Context, db querier, lane buffer.Lane) (counts, error) {
	var text []byte
	err := db.QueryRowContext(ctx, "SELECT counts FROM lanes WHERE lane = ?", lane).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return counts{}, nil
	}
	if err != nil {
		return counts{}, err
	}
	c, err := parseCounts(text)
	if err != nil {
		return counts{}, fmt.Errorf("%w: counts of lane %s: %w", errDamaged, lane, err)
	}
	return c, nil
}

// parseCounts reads stored counts. Those that do not add up are an error.
func parseCounts(text []byte) (counts, error) {
	var c counts
	if err := json.Unmarshal(text, &c); err != nil {
		return counts{}, err
	}
	if min(c.Blocks, c.Bytes) < 0 {
		return counts{}, errors.New("they are negative")
	}
	return c, errors.Join(c.check(), c.Records.check())
}

// writeCounts stores one lane's counts.
func writeCounts(ctx context.Context, tx *sql.Tx, lane buffer.Lane, c counts) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO lanes (lane, counts) VALUES (?, ?) ON CONFLICT DO UPDATE SET counts = excluded.counts", lane, string(text))
	return err
}
