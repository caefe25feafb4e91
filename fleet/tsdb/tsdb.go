// Package tsdb is the fleet's time series database: VictoriaMetrics inside the
// process. It is the only package that knows so.
//
// It guarantees that rows older than [BarrierAge] survive anything once a
// [DB.Barrier] has returned, that an identical row inserted twice is stored once,
// and that a row it cannot store is reported to the caller rather than dropped:
// VictoriaMetrics itself skips rows outside its retention or more than two days
// ahead without a word. Before a barrier, a crash loses what was inserted in the
// last seconds; whoever inserts must be able to insert again.
//
// VictoriaMetrics keeps its state in package variables and its settings in
// flag.CommandLine, so a process can open one DB in its life. It holds integers up
// to 2^53 exactly; it skips NaN other than stale markers, which Insert counts.
package tsdb

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/netstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/prometheus"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/promql"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
)

var (
	// ErrOpened means that this process has opened a DB before.
	ErrOpened = errors.New("a time series database was opened in this process before; it can be opened once")
	// ErrClosed means that the DB was closed.
	ErrClosed = errors.New("the time series database is closed")
)

// opened guards VictoriaMetrics' own package state.
var opened atomic.Bool

// Options open a DB.
type Options struct {
	Dir         string           // its folder; nobody else may use it meanwhile
	Retention   time.Duration    // rows older than this are too old; at least a day
	MemoryBytes int64            // what its caches may use; at least 8 MiB
	Queries     int              // queries that run at the same time; 0: twice the cores
	Now         func() time.Time // nil: time.Now
}

// DB is the open database. Its methods may be called concurrently.
type DB struct {
	retention time.Duration
	now       func() time.Time
	names     names
	rows      sync.Pool     // of *[]storage.MetricRow, empty
	inserts   chan struct{} // one token for each insert that may run
	queries   chan struct{} // one token for each query that may run
	hidden    atomic.Bool   // rows were inserted that no query may see yet

	// flushing is held by whoever empties the insert buffers: what one of two
	// has taken out, the other would not find.
	flushing sync.Mutex

	mu     sync.RWMutex // held for reading by whoever uses the storage
	closed bool         // guarded by mu
}

// Open opens the database in o.Dir and makes it if need be. The error is
// [ErrOpened] on the second call in a process, whatever became of the first.
// Trouble with the disk ends the process: VictoriaMetrics reports none otherwise.
func Open(o Options) (*DB, error) {
	switch {
	case o.Dir == "":
		return nil, errors.New("open time series database: no folder is named")
	case o.Retention < 24*time.Hour:
		return nil, fmt.Errorf("open time series database: retention is %s, it must be at least 24h", o.Retention)
	case o.MemoryBytes < 8<<20:
		return nil, fmt.Errorf("open time series database: %d bytes of memory, it needs at least 8 MiB", o.MemoryBytes)
	}
	if o.Queries <= 0 {
		o.Queries = 2 * runtime.NumCPU()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if !opened.CompareAndSwap(false, true) {
		return nil, ErrOpened
	}
	settings := [][2]string{
		{"storageDataPath", o.Dir},
		{"retentionPeriod", fmt.Sprintf("%dh", int64(o.Retention/time.Hour))},
		{"memory.allowedBytes", fmt.Sprint(o.MemoryBytes)},
		{"loggerLevel", "WARN"},
		{"search.latencyOffset", "0s"},
		{"search.maxQueryLen", "64KB"},
	}
	for _, s := range settings {
		if err := flag.Set(s[0], s[1]); err != nil {
			return nil, fmt.Errorf("open time series database: set %s: %w", s[0], err)
		}
	}
	if !flag.Parsed() {
		if err := flag.CommandLine.Parse(nil); err != nil {
			return nil, fmt.Errorf("open time series database: %w", err)
		}
	}
	logger.InitNoLogFlags()
	storage.SetDedupInterval(time.Millisecond)
	storage.SetDataFlushInterval(5 * time.Second)
	vmstorage.Init(promql.ResetRollupResultCacheIfNeeded)
	netstorage.InitTmpBlocksDir(filepath.Join(o.Dir, "tmp"))
	// The cache of query results stays in memory: one on disk could outlive, in a
	// crash, the rows that were inserted since it was written.
	promql.InitRollupResultCache("")
	prometheus.InitMaxUniqueTimeseries(o.Queries)
	return &DB{
		retention: o.Retention, now: o.Now, rows: sync.Pool{New: func() any { return new([]storage.MetricRow) }},
		inserts: make(chan struct{}, runtime.NumCPU()), queries: make(chan struct{}, o.Queries),
	}, nil
}

// showEvery is how often rows become visible to queries while DB.Run runs.
const showEvery = 300 * time.Millisecond

// Run makes what is inserted visible to queries soon, until ctx ends: by itself
// VictoriaMetrics takes up to two seconds, in which a page lags behind its venue.
func (d *DB) Run(ctx context.Context) error {
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !d.hidden.Swap(false) {
			continue
		}
		if err := d.Flush(); err != nil {
			return err
		}
	}
}

// Flush makes the rows whose Insert returned before visible to queries; without it
// a row becomes visible by [DB.Run], or within about two seconds. Rows that VictoriaMetrics' own
// flusher is moving at that moment, every two seconds, may take some milliseconds
// longer. It makes nothing durable.
func (d *DB) Flush() error {
	if err := d.use(); err != nil {
		return err
	}
	defer d.mu.RUnlock()
	d.flushing.Lock()
	defer d.flushing.Unlock()
	vmstorage.WG.Add(1)
	defer vmstorage.WG.Done()
	vmstorage.Storage.DebugFlush()
	return nil
}

// Close makes all rows durable and closes the database; a repeat does nothing.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	vmstorage.Stop()
	promql.StopRollupResultCache()
	return nil
}

// use takes mu for reading, or returns ErrClosed.
func (d *DB) use() error {
	d.mu.RLock()
	if d.closed {
		d.mu.RUnlock()
		return ErrClosed
	}
	return nil
}
