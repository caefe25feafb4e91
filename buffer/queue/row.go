package queue

import (
	"context"
	"database/sql"
	"encoding/binary"
	"time"

	"ghostlight/buffer"
)

// A row is what is known of a block without reading all of it.
type row struct {
	id      key
	created int64 // Unix milliseconds
	samples int64
	records int64
	bytes   int64
	head    head
}

// A head is the beginning of a sealed block, with the checksum over all of it: two
// blocks with the same head are the same.
type head string

const selectRows = "SELECT id, created, samples, length(data), substr(data, 1, 64) FROM blocks WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"

// eachRow calls do with at most limit blocks between two keys, the oldest first;
// a negative limit is none.
func eachRow(ctx context.Context, db querier, first, last key, limit int, do func(row) error) error {
	rows, err := db.QueryContext(ctx, selectRows, first, last, limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		var head sql.RawBytes
		if err := rows.Scan(&r.id, &r.created, &r.samples, &r.bytes, &head); err != nil {
			return err
		}
		r.head = headOf(head)
		r.records = r.head.records()
		if err := do(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// readRows returns at most limit blocks between two keys, the oldest first.
func readRows(ctx context.Context, db querier, first, last key, limit int) (out []row, err error) {
	err = eachRow(ctx, db, first, last, limit, func(r row) error { out = append(out, r); return nil })
	return out, err
}

// headOf is the head of a block that may be damaged.
func headOf(block []byte) head {
	switch {
	case len(block) < buffer.HeaderSize:
		return ""
	case block[4] == 2 && len(block) >= buffer.MergedHeaderSize:
		return head(block[:buffer.MergedHeaderSize])
	}
	return head(block[:buffer.HeaderSize])
}

func (h head) records() int64 {
	if h == "" {
		return 0
	}
	return int64(binary.LittleEndian.Uint32([]byte(h[44:])))
}

// times are the earliest and the latest in the block, Unix milliseconds.
func (h head) times() (lo, hi int64) {
	if h == "" {
		return 0, 0
	}
	return int64(binary.LittleEndian.Uint64([]byte(h[24:]))), int64(binary.LittleEndian.Uint64([]byte(h[32:])))
}

// start is the key of the first sequence that the block stands for.
func (r row) start() key {
	if len(r.head) < buffer.MergedHeaderSize {
		return r.id
	}
	first := buffer.Seq(binary.LittleEndian.Uint64([]byte(r.head[buffer.HeaderSize:])))
	if first > r.id.seq() {
		return r.id // damaged
	}
	return makeKey(r.id.lane(), r.id.gen(), first)
}

// fresh reports whether a block was committed just now. A clock that was set back
// makes young blocks look as if from the future.
func (q *Queue) fresh(created int64) bool {
	return q.now().Sub(time.UnixMilli(created)).Abs() <= freshFor
}
