package queue

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"ghostlight/buffer"
)

// A pageID is the key of a page of a dictionary: the dictionary's id and the
// number of the page's first series.
type pageID int64

const pageFirstBits = 32

func makePageID(dict uint64, first int) pageID {
	return pageID(dict<<pageFirstBits | uint64(first))
}

func (id pageID) dict() uint64 { return uint64(id) >> pageFirstBits }

// A page is a stored page of a dictionary.
type page struct {
	id   pageID
	data []byte
}

func (p page) compare(q page) int { return cmp.Compare(p.id, q.id) }

// pageOf says which page data is; ok is false if it is none or is damaged.
// Source of the layout: FORMAT.md of package delta.
func pageOf(data []byte) (id pageID, ok bool) {
	const pageVersion, sum = 2, 4
	if len(data) < 1+sum || data[0] != pageVersion {
		return 0, false
	}
	body := data[:len(data)-sum]
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(data[len(body):]) {
		return 0, false
	}
	dict, n := binary.Uvarint(body[1:])
	if n <= 0 {
		return 0, false
	}
	first, m := binary.Uvarint(body[1+n:])
	if m <= 0 || dict == 0 || dict >= 1<<(63-pageFirstBits) || first >= 1<<pageFirstBits {
		return 0, false
	}
	return makePageID(dict, int(first)), true
}

// allPages returns the pages stored in a file.
func (f *file) allPages() ([]page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx := context.Background()
	if err := f.usable(ctx); err != nil {
		return nil, err
	}
	return readPages(ctx, f.db, 0, 1<<63-1)
}

// pagesOf returns a file's pages of one dictionary.
func (f *file) pagesOf(ctx context.Context, dict uint64) ([]page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(ctx); err != nil {
		return nil, err
	}
	return readPages(ctx, f.db, makePageID(dict, 0), makePageID(dict+1, 0)-1)
}

// readPages returns the intact pages between two keys.
func readPages(ctx context.Context, db querier, first, last pageID) ([]page, error) {
	rows, err := db.QueryContext(ctx, "SELECT id, data FROM pages WHERE id BETWEEN ? AND ? ORDER BY id", first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []page
	for rows.Next() {
		var p page
		if err := rows.Scan(&p.id, &p.data); err != nil {
			return nil, err
		}
		if id, ok := pageOf(p.data); ok && id == p.id {
			out = append(out, p)
		}
	}
	return out, rows.Err()
}

// union returns the pages of both lists, each once, in order.
func union(a, b []page) []page {
	out := append(slices.Clone(a), b...)
	slices.SortStableFunc(out, page.compare)
	return slices.CompactFunc(out, func(p, q page) bool { return p.id == q.id })
}

// storePages stores what pages the file is owed.
func (c *change) storePages(owed []page) error {
	for _, p := range owed {
		if _, err := c.tx.ExecContext(c.ctx, "INSERT OR REPLACE INTO pages (id, data) VALUES (?, ?)", p.id, p.data); err != nil {
			return err
		}
	}
	c.paid = len(owed)
	return nil
}

// loadPages reads the pages of a dictionary from both files, those of the block's
// own file first.
func (q *Queue) loadPages(ctx context.Context, lane buffer.Lane) func(dict uint64) ([]page, error) {
	return func(dict uint64) ([]page, error) {
		own := q.fileOf(lane)
		pages, err := own.pagesOf(ctx, dict)
		if err != nil {
			return nil, err
		}
		for _, f := range []*file{q.revenue, q.telemetry} {
			if f == own {
				continue
			}
			more, err := f.pagesOf(ctx, dict)
			if err != nil {
				return nil, err
			}
			pages = union(pages, more)
		}
		return pages, nil
	}
}
