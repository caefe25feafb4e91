package ingest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// A namesKey names a list of series: by its hash, and by its node, so that a node
// that finds two lists of one hash hurts only itself.
type namesKey struct {
	source buffer.Source
	hash   uint64
}

// A list is what is remembered of names that the journal holds.
type list struct {
	last int64 // the last block that needs them
	size int64 // their bytes
}

// needNames makes sure that the journal holds the names of p's series, as part of
// tx.
func (j *journal) needNames(ctx context.Context, tx *sql.Tx, p *post) error {
	if len(p.batch.Series) == 0 || j.holdsNames(p.key()) {
		return nil
	}
	if p.described == nil {
		// They were held when the block came, and were trimmed since.
		if err := p.describe(j.codec); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO names (source, hash, body) VALUES (?, ?, ?)`, p.source.String(), int64(p.names), p.described)
	return err
}

// holdsNames reports whether the journal has the names of that key. What it says
// holds while the caller has the only transaction.
func (j *journal) holdsNames(key namesKey) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, ok := j.named[key]
	return ok
}

// describe encodes the names of p's series as the journal keeps them.
func (p *post) describe(c *delta.Codec) (err error) {
	record := beginRecord(nil, namesMagic, p.source)
	if record, err = c.EncodeNames(record, p.batch.Series); err != nil {
		return fmt.Errorf("name the series of block %d: %w", p.header.Seq, err)
	}
	p.described = endRecord(record)
	return nil
}

func (p *post) key() namesKey { return namesKey{p.source, p.names} }

// loadNames notes which names the journal holds and which block is the last that
// needs them.
func (j *journal) loadNames(ctx context.Context) error {
	rows, err := j.read.QueryContext(ctx, `SELECT n.source, n.hash, length(n.body), coalesce(b.last, 0) FROM names n LEFT JOIN
		(SELECT source, names, max(id) AS last FROM blocks WHERE names IS NOT NULL GROUP BY source, names) b ON b.source = n.source AND b.names = n.hash`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var source string
		var hash int64
		var held list
		if err := rows.Scan(&source, &hash, &held.size, &held.last); err != nil {
			return err
		}
		j.named[namesKey{parseSource(source), uint64(hash)}] = held
		j.bytes += held.size
	}
	return rows.Err()
}

// trimNames deletes the names that no block above mark needs.
func (j *journal) trimNames(ctx context.Context, mark int64) error {
	tx, err := j.db.BeginTx(ctx, nil) // nobody commits a block meanwhile
	if err != nil {
		return fmt.Errorf("trim names: %w", err)
	}
	unused := j.unusedNames(mark)
	for _, key := range unused {
		if _, err := tx.ExecContext(ctx, `DELETE FROM names WHERE source = ? AND hash = ?`, key.source.String(), int64(key.hash)); err != nil {
			return errors.Join(fmt.Errorf("trim names: %w", err), ignoreDone(tx.Rollback()))
		}
	}
	// Forgotten first: names that are held and not known to be are written again,
	// which changes nothing.
	j.mu.Lock()
	for _, key := range unused {
		j.bytes -= j.named[key].size
		delete(j.named, key)
	}
	j.mu.Unlock()
	if err := tx.Commit(); err != nil {
		return errors.Join(fmt.Errorf("trim names: %w", err), ignoreDone(tx.Rollback()))
	}
	return nil
}

func (j *journal) unusedNames(mark int64) (out []namesKey) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, held := range j.named {
		if held.last <= mark {
			out = append(out, key)
		}
	}
	return out
}

// readNames reads names from the journal.
func (j *journal) readNames(ctx context.Context, key namesKey) ([]delta.Series, error) {
	var record []byte
	err := j.read.QueryRowContext(ctx, `SELECT body FROM names WHERE source = ? AND hash = ?`, key.source.String(), int64(key.hash)).Scan(&record)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: the names of its series are not held", errRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	return j.parseNames(record, key)
}

// parseNames reads the record of names; the error wraps errRecord.
func (j *journal) parseNames(record []byte, key namesKey) ([]delta.Series, error) {
	src, r, err := openRecord(record, namesMagic)
	if err != nil {
		return nil, err
	}
	series, err := j.codec.DecodeNames(r.src)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	if got := delta.NamesHash(series); src != key.source || got != key.hash {
		return nil, fmt.Errorf("%w: names %x of %s where %x of %s are to be", errRecord, got, src, key.hash, key.source)
	}
	return series, nil
}

// cachedNames bounds each generation of the cache of names, in series.
const cachedNames = 20_000

// A nameCache keeps names that were read from the journal, in two generations. The
// zero value is ready.
type nameCache struct {
	mu    sync.Mutex
	young map[namesKey][]delta.Series // guarded by mu
	old   map[namesKey][]delta.Series // guarded by mu
	size  int                         // guarded by mu; series in young
}

// get returns names, reading them if they are not at hand. They are shared: nobody
// may write to them.
func (c *nameCache) get(key namesKey, read func() ([]delta.Series, error)) ([]delta.Series, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if names, ok := c.young[key]; ok {
		return names, nil
	}
	names, ok := c.old[key]
	if !ok {
		var err error
		if names, err = read(); err != nil {
			return nil, err
		}
	}
	if c.young == nil || c.size+len(names) > cachedNames {
		c.old, c.young, c.size = c.young, map[namesKey][]delta.Series{}, 0
	}
	c.young[key] = names
	c.size += len(names)
	return names, nil
}
