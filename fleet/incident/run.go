package incident

import (
	"context"
	"fmt"
	"time"
)

const (
	judgeEvery = time.Second
	clearEvery = time.Minute
	pruneEvery = time.Hour
)

// Run judges darkness, gathers what belongs together and tells people, until ctx
// ends. What it stored by then it goes on from.
func (b *Book) Run(ctx context.Context) error {
	judge, prune := time.NewTicker(judgeEvery), time.NewTicker(pruneEvery)
	defer judge.Stop()
	defer prune.Stop()
	failed := false
	report := func(err error) {
		if err == nil {
			b.judged.Store(b.o.Now().UnixMilli())
		}
		if err != nil && !failed && ctx.Err() == nil {
			b.log.Error("incidents cannot be read or kept, will retry", "error", err)
		}
		failed = err != nil
	}
	report(b.Step(ctx))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
			report(b.Step(ctx))
		case <-judge.C:
			report(b.Step(ctx))
		case <-prune.C:
			report(b.prune(ctx))
		}
	}
}

// judgedWithin is how long ago the last round may be that succeeded.
const judgedWithin = 30 * time.Second

// Working reports why incidents are not judged, and nil if they are.
func (b *Book) Working() error {
	if last := time.UnixMilli(b.judged.Load()); b.o.Now().Sub(last) > judgedWithin {
		return fmt.Errorf("incidents were judged last at %s", last.UTC().Format(time.RFC3339))
	}
	return nil
}

// Step judges and tells once, as Run does every second. It is not for use beside Run.
// After an error a later step goes on.
func (b *Book) Step(ctx context.Context) error {
	if now := b.o.Now(); now.Sub(b.desk.tidied).Abs() >= clearEvery {
		b.desk.clear(now.Add(-b.o.Recent))
		b.desk.tidied = now
	}
	return b.round(ctx)
}

// round does what is to be done now. What an earlier round stored and could not go on
// with, this one finds again.
func (b *Book) round(ctx context.Context) error {
	before, err := b.load(ctx)
	if err != nil {
		return err
	}
	if err := b.darkness(ctx); err != nil {
		return fmt.Errorf("judge darkness: %w", err)
	}
	if err := b.landed(ctx); err != nil {
		return fmt.Errorf("judge backlogs: %w", err)
	}
	after, err := b.load(ctx)
	if err != nil {
		return err
	}
	d := b.desk
	if !before && !after && (d.again.IsZero() || b.o.Now().Before(d.again)) {
		return nil
	}
	d.again = b.o.Now() // unless all of it succeeds
	causes, err := b.gather(ctx)
	if err != nil {
		return fmt.Errorf("group incidents: %w", err)
	}
	if before || after {
		b.announce()
	}
	d.again = time.Time{}
	if err := b.tell(ctx, causes); err != nil {
		d.again = b.o.Now()
		return fmt.Errorf("tell of incidents: %w", err)
	}
	return nil
}
