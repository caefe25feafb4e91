package ingest

import (
	"fmt"
	"hash/maphash"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
)

// NodeLimits bound what one node may send, through all doors together. Zero means
// no bound. The revenue lane may exceed each by a quarter, so that whatever else a
// node sends cannot keep its revenue out.
type NodeLimits struct {
	Series           int   // distinct series sent within the last half to whole hour
	BytesPerSecond   int64 // of blocks and requests, as they travel, on average
	SamplesPerSecond int64 // on average
}

// Reasons of [Pressure] that are the node's own doing.
const (
	OverSeries  = "series"
	OverBytes   = "bytes"
	OverSamples = "samples"
)

const (
	burst          = 10 * time.Second // of a rate may be used at once
	seriesHalfLife = 30 * time.Minute // a series not seen for one to two of them is forgotten
	longestWait    = time.Minute      // that a sender is asked for
	shortestWait   = time.Second
	agentWait      = 5 * time.Second // a longer one would hold back an agent's revenue, too
)

// Pressure is the error of a request that was not taken, of which nothing is kept,
// and that will be taken when it is sent again later.
type Pressure struct {
	Overflow bool          // the node is over a limit of its own; else the centre cannot take more now
	Reason   string        // for counters: series, bytes, samples, journal_full, disk_full, busy, stopping, unavailable
	After    time.Duration // when to try again
	Says     string
}

func (p *Pressure) Error() string { return p.Says }

// A limiter holds nodes to their limits.
type limiter struct {
	limits   NodeLimits
	now      func() time.Time
	seed     maphash.Seed
	overflow *prometheus.CounterVec // region, venue, node, reason

	mu    sync.Mutex
	nodes map[buffer.Source]*usage // guarded by mu; bounded by the nodes configured
}

// usage is what one node has used of its limits.
type usage struct {
	mu             sync.Mutex       // guards all below
	bytes, samples bucket           // what is left
	series         map[uint64]uint8 // hash of labels -> generation in which it was last seen
	lists          map[uint64]bool  // hashes of whole lists whose series all were seen in this generation
	generation     uint8
	born           time.Time        // of the generation
	refused        map[string]int64 // since start, by reason
}

// A bucket holds what may still be used of a rate. It may fall below zero: whoever
// finds something in it may take any amount, and the next one waits.
type bucket struct {
	left float64
	at   time.Time // zero: full
}

func newLimiter(limits NodeLimits, now func() time.Time, overflow *prometheus.CounterVec) *limiter {
	return &limiter{limits: limits, now: now, seed: maphash.MakeSeed(), overflow: overflow, nodes: map[buffer.Source]*usage{}}
}

func (l *limiter) of(src buffer.Source) *usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.nodes[src]
	if u == nil {
		u = &usage{series: map[uint64]uint8{}, lists: map[uint64]bool{}, born: l.now(), refused: map[string]int64{}}
		l.nodes[src] = u
	}
	return u
}

// admit reports whether src has any of its rates left, and takes nothing.
func (l *limiter) admit(src buffer.Source, lane buffer.Lane) error { return l.spend(src, lane, 0, 0) }

// spend takes bytes and samples from the rates of src. The error is a [Pressure],
// and then nothing is taken.
func (l *limiter) spend(src buffer.Source, lane buffer.Lane, bytes, samples int) error {
	u := l.of(src)
	u.mu.Lock()
	defer u.mu.Unlock()
	now := l.now()
	for _, b := range []struct {
		bucket *bucket
		rate   int64
		reason string
	}{{&u.bytes, l.limits.BytesPerSecond, OverBytes}, {&u.samples, l.limits.SamplesPerSecond, OverSamples}} {
		if wait := b.bucket.wait(now, b.rate, lane == buffer.Revenue); wait > 0 {
			return l.refuse(u, src, b.reason, wait, fmt.Sprintf("node %s sends more than %d %s per second", src, b.rate, b.reason))
		}
	}
	u.bytes.left -= float64(bytes)
	u.samples.left -= float64(samples)
	return nil
}

// wait fills the bucket as of now and returns how long it will be empty; 0 if it
// is not, or if rate is 0.
func (b *bucket) wait(now time.Time, rate int64, revenue bool) time.Duration {
	if rate <= 0 {
		return 0
	}
	full := float64(rate) * burst.Seconds()
	if b.at.IsZero() {
		b.left = full
	} else {
		b.left = min(full, b.left+max(now.Sub(b.at).Seconds(), 0)*float64(rate))
	}
	b.at = now
	floor := 0.0
	if revenue {
		floor = -full / 4
	}
	if b.left > floor {
		return 0
	}
	seconds := min((floor-b.left)/float64(rate), longestWait.Seconds())
	return max(time.Duration(seconds*float64(time.Second)), shortestWait)
}

// note remembers the series of a batch as those of src; names is their hash, 0 if
// it is not known. The error is a [Pressure]: they are too many, and none of the
// new ones is remembered.
func (l *limiter) note(src buffer.Source, lane buffer.Lane, names uint64, series []delta.Series) error {
	if l.limits.Series <= 0 || len(series) == 0 {
		return nil
	}
	u := l.of(src)
	if names != 0 && u.saw(names, l.now()) {
		return nil
	}
	hashes := make([]uint64, 0, len(series))
	for i := range series {
		if len(series[i].Samples) > 0 {
			hashes = append(hashes, l.hash(series[i].Labels))
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := l.now()
	u.rotate(now)
	limit := l.limits.Series
	if lane == buffer.Revenue {
		limit += limit / 4
	}
	fresh := 0
	for _, h := range hashes {
		if _, ok := u.series[h]; ok {
			u.series[h] = u.generation
		} else {
			fresh++
		}
	}
	if fresh > 0 && len(u.series)+fresh > limit {
		wait := min(max(u.born.Add(seriesHalfLife).Sub(now), shortestWait), longestWait)
		return l.refuse(u, src, OverSeries, wait, fmt.Sprintf("node %s sends more than %d series: it has %d, and this would be %d new ones",
			src, l.limits.Series, len(u.series), fresh))
	}
	for _, h := range hashes {
		u.series[h] = u.generation
	}
	if names != 0 && len(hashes) == len(series) && len(u.lists) < maxLists {
		u.lists[names] = true
	}
	return nil
}

// maxLists bounds the lists of series that are remembered of a node.
const maxLists = 256

// saw reports whether all series of a list were seen in this generation.
func (u *usage) saw(names uint64, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rotate(now)
	return u.lists[names]
}

// rotate forgets the series that the last generation did not see. u.mu is held.
func (u *usage) rotate(now time.Time) {
	for range 2 { // after a long silence both generations are old
		if now.Sub(u.born) < seriesHalfLife {
			return
		}
		maps.DeleteFunc(u.series, func(_ uint64, seen uint8) bool { return seen != u.generation })
		clear(u.lists)
		u.generation++
		u.born = u.born.Add(seriesHalfLife)
	}
	if now.Sub(u.born) >= seriesHalfLife {
		u.born = now
	}
}

func (l *limiter) hash(labels []delta.Label) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	for _, label := range labels {
		h.WriteString(label.Name)
		h.WriteByte(0xff) // in no UTF-8 text
		h.WriteString(label.Value)
		h.WriteByte(0xff)
	}
	return h.Sum64()
}

// refuse counts and words a refusal. u.mu is held.
func (l *limiter) refuse(u *usage, src buffer.Source, reason string, wait time.Duration, says string) error {
	u.refused[reason]++
	l.overflow.WithLabelValues(src.Region, src.Venue, src.Node, reason).Inc()
	return &Pressure{Overflow: true, Reason: reason, After: wait, Says: says + "; try again later, or raise limits.node in the fleet's configuration"}
}

// Overflow counts, since start, the requests of each node that were refused because
// the node was over its limits, by reason.
func (i *Ingest) Overflow() map[buffer.Source]map[string]int64 {
	i.limits.mu.Lock()
	nodes := maps.Clone(i.limits.nodes)
	i.limits.mu.Unlock()
	out := map[buffer.Source]map[string]int64{}
	for src, u := range nodes {
		u.mu.Lock()
		if len(u.refused) > 0 {
			out[src] = maps.Clone(u.refused)
		}
		u.mu.Unlock()
	}
	return out
}
