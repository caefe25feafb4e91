package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"ghostlight/buffer"
	"ghostlight/buffer/wire"
)

// errConflict means that another block of the same session, lane and sequence was
// accepted before.
var errConflict = errors.New("this sequence is held with another content: the data folder was copied or restored; start it with a new session")

// A post is one block that waits to be committed.
type post struct {
	source  buffer.Source
	door    string // empty: the block is numbered by its sender, which is an agent
	header  buffer.Header
	body    []byte
	digest  [sha256.Size]byte
	outcome chan<- outcome // capacity 1
}

// An outcome answers a post: err is errConflict, or nil once the block is durable,
// or anything else when it may or may not be.
type outcome struct {
	held      wire.Range // the run of accepted sequences around the block
	duplicate bool
	err       error
}

// commit stores posts in one transaction and returns an outcome for each. The
// error says that none of them can be relied on.
func (j *journal) commit(ctx context.Context, posts []post) ([]outcome, error) {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("commit to journal: %w", err)
	}
	outcomes := make([]outcome, len(posts))
	var last int64
	for i, p := range posts {
		o, id, err := acceptAny(ctx, tx, p)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("commit to journal: %w", err), ignoreDone(tx.Rollback()))
		}
		outcomes[i] = o
		last = max(last, id)
	}
	if err := tx.Commit(); err != nil {
		return nil, errors.Join(fmt.Errorf("commit to journal: %w", err), ignoreDone(tx.Rollback()))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, p := range posts {
		if outcomes[i].err == nil && !outcomes[i].duplicate {
			taken := Accepted{1, int64(p.header.Samples), int64(p.header.Records)}
			if p.door == "" {
				j.count(p.source, p.header.Lane, taken)
			} else {
				j.countDoor(throughDoor{p.source, p.door, p.header.Lane}, taken)
			}
			j.bytes += int64(len(p.body))
			j.blocks++
		}
	}
	j.last = max(j.last, last)
	return outcomes, nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// acceptAny stores one block, whoever numbered it.
func acceptAny(ctx context.Context, tx *sql.Tx, p post) (o outcome, id int64, err error) {
	if p.door == "" {
		return accept(ctx, tx, p)
	}
	if id, err = insertBlock(ctx, tx, p); err != nil {
		return outcome{}, 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO door_totals VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET
		blocks = blocks + 1, samples = samples + excluded.samples, records = records + excluded.records`,
		p.source.String(), p.door, p.header.Lane, p.header.Samples, p.header.Records)
	return outcome{}, id, err
}

func insertBlock(ctx context.Context, tx *sql.Tx, p post) (id int64, err error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO blocks (source, body) VALUES (?, ?)`, p.source.String(), p.body)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// accept stores one block unless it is held already; id is 0 then.
func accept(ctx context.Context, tx *sql.Tx, p post) (o outcome, id int64, err error) {
	held, ok, err := around(ctx, tx, p)
	if err != nil {
		return outcome{}, 0, err
	}
	if ok {
		same, err := sameContent(ctx, tx, p)
		if err == nil && !same {
			return outcome{err: errConflict}, 0, nil
		}
		return outcome{held: held, duplicate: true}, 0, err
	}
	if id, err = insertBlock(ctx, tx, p); err != nil {
		return outcome{}, 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO digests VALUES (?, ?, ?, ?, ?, ?)`,
		p.source.String(), int64(p.header.Session), p.header.Lane, int64(p.header.Seq), id, p.digest[:])
	if err != nil {
		return outcome{}, 0, err
	}
	held, err = extend(ctx, tx, p)
	return outcome{held: held}, id, err
}

// around returns the run of accepted sequences that holds the block.
func around(ctx context.Context, tx *sql.Tx, p post) (held wire.Range, ok bool, err error) {
	var first, last int64
	err = tx.QueryRowContext(ctx, `SELECT first, last FROM ranges WHERE source = ? AND session = ? AND lane = ? AND first <= ? ORDER BY first DESC LIMIT 1`,
		p.source.String(), int64(p.header.Session), p.header.Lane, int64(p.header.Seq)).Scan(&first, &last)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return wire.Range{}, false, nil
	case err != nil:
		return wire.Range{}, false, err
	}
	return wire.Range{First: buffer.Seq(first), Last: buffer.Seq(last)}, last >= int64(p.header.Seq), nil
}

// sameContent reports whether a held block has the content of p. One so old that
// its digest was given up is taken for a repeat.
func sameContent(ctx context.Context, tx *sql.Tx, p post) (bool, error) {
	var digest []byte
	err := tx.QueryRowContext(ctx, `SELECT digest FROM digests WHERE source = ? AND session = ? AND lane = ? AND seq = ?`,
		p.source.String(), int64(p.header.Session), p.header.Lane, int64(p.header.Seq)).Scan(&digest)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return bytes.Equal(digest, p.digest[:]), err
}

// extend adds the block to the accepted runs: it may lengthen one, or join two.
func extend(ctx context.Context, tx *sql.Tx, p post) (wire.Range, error) {
	source, session, lane, seq := p.source.String(), int64(p.header.Session), p.header.Lane, int64(p.header.Seq)
	first, last, samples, records := seq, seq, int64(p.header.Samples), int64(p.header.Records)
	rows, err := tx.QueryContext(ctx, `DELETE FROM ranges WHERE source = ?1 AND session = ?2 AND lane = ?3 AND (first = ?4 + 1 OR (last = ?4 - 1 AND first =
		(SELECT max(r.first) FROM ranges r WHERE r.source = ?1 AND r.session = ?2 AND r.lane = ?3 AND r.first < ?4))) RETURNING first, last, samples, records`, source, session, lane, seq)
	if err != nil {
		return wire.Range{}, err
	}
	defer rows.Close()
	for rows.Next() {
		var f, l, s, r int64
		if err := rows.Scan(&f, &l, &s, &r); err != nil {
			return wire.Range{}, err
		}
		first, last, samples, records = min(first, f), max(last, l), samples+s, records+r
	}
	if err := rows.Err(); err != nil {
		return wire.Range{}, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO ranges VALUES (?, ?, ?, ?, ?, ?, ?)`, source, session, lane, first, last, samples, records)
	return wire.Range{First: buffer.Seq(first), Last: buffer.Seq(last)}, err
}

// parseSource is the inverse of [buffer.Source.String].
func parseSource(s string) buffer.Source {
	region, rest, _ := strings.Cut(s, "/")
	venue, node, _ := strings.Cut(rest, "/")
	return buffer.Source{Region: region, Venue: venue, Node: node}
}
