package ingest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

// What two blocks of the same sequences mean: a cloned data folder.
var (
	errConflict = errors.New("this sequence is held with another content: the data folder was copied or restored; start it with a new session")
	errOverlap  = errors.New("some of these sequences are held and some are not: the data folder was copied or restored; start it with a new session")
)

// A post is one block that waits to be committed.
type post struct {
	source    buffer.Source
	door      string // empty: the block is numbered by its sender, which is an agent
	header    buffer.Header
	batch     delta.Batch
	digest    [digestSize]byte // of the batch
	names     uint64           // hash of the names of its series
	body      []byte           // the block as the journal keeps it
	described []byte           // its names as the journal keeps them; nil if it seems to hold them
	size      int64            // of the memory of batches that it holds until it is answered
	outcome   chan<- outcome   // with room for the answer
}

const digestSize = 16

// An outcome answers a post: err is errConflict or errOverlap, or nil once the
// block is durable, or anything else when it may or may not be.
type outcome struct {
	of        buffer.Header
	size      int64      // of the post
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
	outcomes, ids := make([]outcome, len(posts)), make([]int64, len(posts))
	for i := range posts {
		outcomes[i], ids[i], err = j.acceptAny(ctx, tx, &posts[i])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("commit to journal: %w", err), ignoreDone(tx.Rollback()))
		}
		outcomes[i].of, outcomes[i].size = posts[i].header, posts[i].size
	}
	if err := tx.Commit(); err != nil {
		return nil, errors.Join(fmt.Errorf("commit to journal: %w", err), ignoreDone(tx.Rollback()))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range posts {
		if ids[i] > 0 {
			j.committed(&posts[i], ids[i])
		}
	}
	return outcomes, nil
}

// committed notes a block that is durable under an id. j.mu is held.
func (j *journal) committed(p *post, id int64) {
	taken := Accepted{int64(p.header.Seq-p.header.Start()) + 1, int64(p.header.Samples), int64(p.header.Records)}
	if p.door == "" {
		j.count(p.source, p.header.Lane, taken)
	} else {
		j.countDoor(throughDoor{p.source, p.door, p.header.Lane}, taken)
	}
	if len(p.batch.Series) > 0 {
		held, ok := j.named[p.key()]
		if !ok {
			held.size = int64(len(p.described))
			j.bytes += held.size
		}
		held.last = id
		j.named[p.key()] = held
	}
	j.bytes += int64(len(p.body))
	j.blocks++
	j.last = max(j.last, id)
	j.handover.put(id, handed{p.source, max(p.size, batchBytes(&p.batch)), content{p.header, p.names, p.batch}})
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// acceptAny stores one block, whoever numbered it; id is 0 if it is not stored.
func (j *journal) acceptAny(ctx context.Context, tx *sql.Tx, p *post) (o outcome, id int64, err error) {
	if p.door == "" {
		return j.accept(ctx, tx, p)
	}
	if id, err = j.insertBlock(ctx, tx, p); err != nil {
		return outcome{}, 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO door_totals VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET
		blocks = blocks + 1, samples = samples + excluded.samples, records = records + excluded.records`,
		p.source.String(), p.door, p.header.Lane, p.header.Samples, p.header.Records)
	return outcome{}, id, err
}

// insertBlock stores a block, with the names of its series if need be.
func (j *journal) insertBlock(ctx context.Context, tx *sql.Tx, p *post) (id int64, err error) {
	if err := j.needNames(ctx, tx, p); err != nil {
		return 0, err
	}
	names := sql.NullInt64{Int64: int64(p.names), Valid: len(p.batch.Series) > 0}
	res, err := tx.ExecContext(ctx, `INSERT INTO blocks (source, names, body) VALUES (?, ?, ?)`, p.source.String(), names, p.body)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// accept stores one block unless its sequences are held already.
func (j *journal) accept(ctx context.Context, tx *sql.Tx, p *post) (o outcome, id int64, err error) {
	held, err := around(ctx, tx, p)
	switch {
	case err != nil:
		return outcome{}, 0, err
	case held.First <= p.header.Start() && held.Last >= p.header.Seq:
		same, err := sameContent(ctx, tx, p)
		if err == nil && !same {
			return outcome{err: errConflict}, 0, nil
		}
		return outcome{held: held, duplicate: true}, 0, err
	case held.Last >= p.header.Start():
		return outcome{err: errOverlap}, 0, nil
	}
	if id, err = j.insertBlock(ctx, tx, p); err != nil {
		return outcome{}, 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO digests (source, session, lane, seq, first, block, digest) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		p.source.String(), int64(p.header.Session), p.header.Lane, int64(p.header.Seq), int64(p.header.Start()), id, p.digest[:])
	if err != nil {
		return outcome{}, 0, err
	}
	held, err = extend(ctx, tx, p)
	return outcome{held: held}, id, err
}

// around returns the last run of accepted sequences that begins at p's last or
// before; the zero range if there is none.
func around(ctx context.Context, tx *sql.Tx, p *post) (held wire.Range, err error) {
	var first, last int64
	err = tx.QueryRowContext(ctx, `SELECT first, last FROM ranges WHERE source = ? AND session = ? AND lane = ? AND first <= ? ORDER BY first DESC LIMIT 1`,
		p.source.String(), int64(p.header.Session), p.header.Lane, int64(p.header.Seq)).Scan(&first, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return wire.Range{}, nil
	}
	return wire.Range{First: buffer.Seq(first), Last: buffer.Seq(last)}, err
}

// sameContent reports whether a held block of p's sequences has the content of p.
// One so old that its digest was given up, or is of an older kind, is taken for a
// repeat; so is one whose sequences are held as other blocks: they were merged, or
// taken apart, after they had arrived.
func sameContent(ctx context.Context, tx *sql.Tx, p *post) (bool, error) {
	var digest []byte
	err := tx.QueryRowContext(ctx, `SELECT digest FROM digests WHERE source = ? AND session = ? AND lane = ? AND seq = ? AND coalesce(first, seq) = ?`,
		p.source.String(), int64(p.header.Session), p.header.Lane, int64(p.header.Seq), int64(p.header.Start())).Scan(&digest)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return len(digest) != digestSize || bytes.Equal(digest, p.digest[:]), err
}

// extend adds the block to the accepted runs: it may lengthen one, or join two.
func extend(ctx context.Context, tx *sql.Tx, p *post) (wire.Range, error) {
	source, session, lane := p.source.String(), int64(p.header.Session), p.header.Lane
	first, last, samples, records := int64(p.header.Start()), int64(p.header.Seq), int64(p.header.Samples), int64(p.header.Records)
	rows, err := tx.QueryContext(ctx, `DELETE FROM ranges WHERE source = ?1 AND session = ?2 AND lane = ?3 AND (first = ?5 + 1 OR (last = ?4 - 1 AND first =
		(SELECT max(r.first) FROM ranges r WHERE r.source = ?1 AND r.session = ?2 AND r.lane = ?3 AND r.first < ?4))) RETURNING first, last, samples, records`,
		source, session, lane, first, last)
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
