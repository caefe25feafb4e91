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
	LostCorrupt = "corrupt" // damaged on disk
)

// counts are one lane's, over the life of the folder, kept in the transactions
// that change them: Produced = Acked + the sum of Lost + Waiting.
type counts struct {
	Produced int64            `json:"produced"`
	Acked    int64            `json:"acked"`
	Lost     map[string]int64 `json:"lost,omitempty"`
	Refused  int64            `json:"refused,omitempty"`
	Waiting  int64            `json:"waiting"`
	Blocks   int64            `json:"blocks"`
	Bytes    int64            `json:"bytes"`
}

func (c counts) clone() counts {
	c.Lost = maps.Clone(c.Lost)
	return c
}

func (c counts) lost() (sum int64) {
	for _, n := range c.Lost {
		sum += n
	}
	return sum
}

// added counts a new block.
func (c *counts) added(samples, bytes int64) {
	c.Produced += samples
	c.Waiting += samples
	c.Blocks++
	c.Bytes += bytes
}

// removed counts a block that left the buffer: acknowledged if reason is empty.
// A damaged row cannot make more leave than there is.
func (c *counts) removed(samples, bytes int64, reason string) {
	samples = min(max(samples, 0), c.Waiting)
	c.Waiting -= samples
	c.Blocks = max(c.Blocks-1, 0)
	c.Bytes = max(c.Bytes-bytes, 0)
	if reason == "" {
		c.Acked += samples
		return
	}
	if c.Lost == nil {
		c.Lost = map[string]int64{}
	}
	c.Lost[reason] += samples
}

// found replaces what is in the buffer by what was found there after damage. What
// is missing is lost; more than was thought can only be blocks whose removal was
// undone by the damage.
func (c *counts) found(waiting, blocks, bytes int64) {
	c.Waiting, c.Blocks, c.Bytes = waiting, blocks, bytes
	switch missing := c.Produced - c.Acked - c.lost() - waiting; {
	case missing > 0:
		if c.Lost == nil {
			c.Lost = map[string]int64{}
		}
		c.Lost[LostCorrupt] += missing
	case c.Acked+missing >= 0:
		c.Acked += missing
	default:
		c.Acked = 0
		c.Produced = c.lost() + waiting
	}
}

// readCounts returns a lane's counts, zero if there are none. Counts that do not
// add up are damaged.
func readCounts(ctx context.Context, db *sql.DB, lane buffer.Lane) (counts, error) {
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
	if c.Produced != c.Acked+c.lost()+c.Waiting || min(c.Produced, c.Acked, c.Waiting, c.Blocks, c.Bytes) < 0 {
		return counts{}, errors.New("they do not add up")
	}
	return c, nil
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
