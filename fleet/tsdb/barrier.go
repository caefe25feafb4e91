package tsdb

import (
	"context"
	"fmt"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
)

// BarrierAge is how long before a barrier an Insert must have returned for the
// barrier to cover it. VictoriaMetrics takes rows out of its insert buffers within
// two seconds, and while it turns them into a part nobody can see or flush them;
// that takes milliseconds, and this allows for a machine that has stalled.
const BarrierAge = 10 * time.Second

const (
	barrierPoll    = 20 * time.Millisecond
	barrierTimeout = time.Minute
)

// Barrier returns nil when every row whose Insert returned at least [BarrierAge]
// before is durable. Inserts wait meanwhile, usually some tenths of a second.
//
// A snapshot flushes what is in memory, but passes over parts that are just being
// merged, of rows and of the index alike. So it is repeated until nothing is left
// in memory, which can happen because inserts wait.
func (d *DB) Barrier(ctx context.Context) error {
	if err := d.use(); err != nil {
		return err
	}
	defer d.mu.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, barrierTimeout)
	defer cancel()
	resume, err := d.pause(ctx)
	if err != nil {
		return fmt.Errorf("make rows durable: %w", err)
	}
	defer resume()
	vmstorage.WG.Add(1)
	defer vmstorage.WG.Done()
	poll := time.NewTicker(barrierPoll)
	defer poll.Stop()
	for {
		if err := d.snapshot(); err != nil {
			return fmt.Errorf("make rows durable: %w", err)
		}
		if inMemory() == 0 {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("make rows durable: %d rows and index items are still in memory: %w", inMemory(), ctx.Err())
		}
	}
}

// snapshot flushes to disk what can be flushed now.
func (d *DB) snapshot() error {
	d.flushing.Lock()
	defer d.flushing.Unlock()
	name := vmstorage.Storage.MustCreateSnapshot()
	if err := vmstorage.Storage.DeleteSnapshot(name); err != nil {
		return fmt.Errorf("delete snapshot %s: %w", name, err)
	}
	return nil
}

// pause waits for running inserts and holds back new ones until resume is called.
func (d *DB) pause(ctx context.Context) (resume func(), err error) {
	held := 0
	resume = func() {
		for range held {
			<-d.inserts
		}
	}
	for range cap(d.inserts) {
		select {
		case d.inserts <- struct{}{}:
			held++
		case <-ctx.Done():
			resume()
			return nil, ctx.Err()
		}
	}
	return resume, nil
}

// inMemory counts the rows and index items that a crash would lose.
func inMemory() uint64 {
	var m storage.Metrics
	vmstorage.Storage.UpdateMetrics(&m)
	t := &m.TableMetrics
	return t.PendingRows + t.InmemoryRowsCount + t.IndexDBMetrics.PendingItems + t.IndexDBMetrics.InmemoryItemsCount
}
