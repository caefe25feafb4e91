package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"ghostlight/buffer/delta"
	"ghostlight/fleet/burn"
	"ghostlight/fleet/ledger"
	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

// groupMost blocks share a transaction at most.
const groupMost = 200

// errCrash ends a transaction that the centre dies in.
var errCrash = errors.New("the centre died")

// A centre is the real ledger on a real store, that dies now and then.
type centre struct {
	f      *feed
	dir    string
	rng    *rand.Rand
	store  *store.Store
	ledger *ledger.Ledger
	posts  []post // under way
	pages  pages  // that were heard of
	scopes *scopes
	book   *register
}

func openCentre(ctx context.Context, f *feed, dir string) (*centre, error) {
	c := &centre{f: f, dir: dir, rng: f.rng(streamCentre, 0), pages: pages{}}
	c.scopes = &scopes{f: f, rng: f.rng(streamCentre, 1), told: map[string]burn.Alert{}}
	c.book = &register{f: f, rng: f.rng(streamCentre, 2), told: map[string]*tale{}}
	return c, c.open(ctx)
}

func (c *centre) open(ctx context.Context) (err error) {
	if c.store, err = store.Open(ctx, c.dir); err != nil {
		return err
	}
	if c.ledger, err = ledger.New(ctx, c.store, ledger.Clock(c.f.time)); err != nil {
		return errors.Join(err, c.store.Close())
	}
	if err = errors.Join(c.book.open(ctx, c), c.scopes.open(ctx, c)); err != nil {
		return errors.Join(err, c.store.Close())
	}
	return nil
}

// restart is a death and a new life.
func (c *centre) restart(ctx context.Context) error {
	c.f.Restarts++
	if err := c.store.Close(); err != nil {
		return err
	}
	return c.open(ctx)
}

// step takes what has arrived.
func (c *centre) step(ctx context.Context) error {
	var due []post
	c.posts = slices.DeleteFunc(c.posts, func(p post) bool {
		if p.due > c.f.now {
			return false
		}
		due = append(due, p)
		return true
	})
	if c.rng.IntN(3) == 0 {
		if err := c.ledger.Tick(ctx); err != nil {
			return err
		}
	}
	slices.SortStableFunc(due, func(a, b post) int { return int(a.due - b.due) })
	for len(due) > 0 {
		n := min(len(due), 1+c.rng.IntN(groupMost))
		if err := c.take(ctx, due[:n]); err != nil {
			return err
		}
		due = due[n:]
	}
	if c.rng.IntN(2) == 0 {
		if err := errors.Join(c.scopes.step(ctx), c.book.step(ctx)); err != nil {
			return err
		}
	}
	return c.audit(ctx)
}

// take commits a group and answers, or dies: in the middle of it, or between the
// commit and the answers.
func (c *centre) take(ctx context.Context, group []post) error {
	diesIn, diesBehind := -1, false
	if c.f.has(Crash) && !c.f.healed && c.rng.IntN(300) == 0 {
		diesIn, diesBehind = c.rng.IntN(len(group)), c.rng.IntN(2) == 0
	}
	err := c.store.Write(ctx, func(tx *sql.Tx) error {
		for i, p := range group {
			if err := c.apply(ctx, tx, p); err != nil {
				return err
			}
			if i == diesIn && !diesBehind {
				return errCrash
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errCrash) {
		return fmt.Errorf("the centre takes %d blocks: %w", len(group), err)
	}
	if diesIn >= 0 {
		c.f.logf("the centre dies, its transaction durable: %v", diesBehind)
		return c.restart(ctx)
	}
	for _, p := range group {
		p.node.answered(p.block)
	}
	return nil
}

// unrevised is a bucket as it would be if it had no revisions; garbage stays.
func unrevised(r delta.Record) delta.Record {
	b, err := slo.DecodeBucket(r.Body)
	if err != nil {
		return r
	}
	b.Revision = 1
	if body, err := b.AppendBinary(nil); err == nil {
		r.Body = body
	}
	return r
}

func (c *centre) apply(ctx context.Context, tx *sql.Tx, p post) error {
	for _, r := range p.block.records {
		if r.Kind == incident.Kind {
			c.f.hear(c.pages, p.node, r)
			if err := c.book.apply(ctx, tx, p.node.source, r); err != nil {
				return fmt.Errorf("%s of %s: %w", r.Key, p.node.source, err)
			}
			continue
		}
		if c.f.bug == bugLate && r.Kind == ledger.KindBucket && c.f.now-p.block.created > 3_600_000 {
			continue
		}
		if c.f.bug == bugRevision && r.Kind == ledger.KindBucket {
			r = unrevised(r)
		}
		err := c.ledger.Apply(ctx, tx, p.node.source, r)
		switch {
		case errors.Is(err, store.ErrMalformed):
			c.f.Malformed++
		case err != nil:
			return fmt.Errorf("%s of %s: %w", r.Key, p.node.source, err)
		}
	}
	return nil
}
