package slo_test

import (
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ghostlight/slo"
)

func journey() slo.Objective {
	o := checkout(0)
	o.Name, o.Indicator = "journey", slo.Indicator{Journey: &slo.JourneyIndicator{Name: "revenue-path"}}
	o.Hash = slo.IndicatorHash(o.Name, o.Indicator)
	return o
}

// issue is a bucket's claim to be the news of its minute.
type issue struct {
	minute   int64
	revision uint32
}

// node is a node's disk and centre around a tally: what was committed is kept,
// what was not is lost by a crash.
type node struct {
	t       rapid.TB
	o       slo.Objective
	opts    slo.TallyOptions
	tally   *slo.Tally
	disk    map[string][]byte
	centre  map[int64]slo.Bucket // newest by minute
	issued  map[issue]slo.Bucket // all that left the tally since the last boot
	stored  map[issue]slo.Bucket // all that was committed
	now     time.Time            // wall clock
	elapsed time.Duration
	journey slo.Evidence
	unseen  bool
}

func newNode(t rapid.TB, o slo.Objective, opts slo.TallyOptions) *node {
	n := &node{t: t, o: o, opts: opts, disk: map[string][]byte{}, centre: map[int64]slo.Bucket{}, stored: map[issue]slo.Bucket{}, now: slo.MinuteStart(1000)}
	n.boot()
	return n
}

// boot starts the agent on what is on disk.
func (n *node) boot() {
	n.opts.Load = func(key string) ([]byte, error) { return n.disk[key], nil }
	tally, err := slo.NewTally(n.o, n.opts)
	if err != nil {
		n.t.Fatal(err)
	}
	n.tally, n.elapsed, n.issued = tally, 0, map[issue]slo.Bucket{}
}

// pass lets time pass on both clocks.
func (n *node) pass(d time.Duration) { n.now, n.elapsed = n.now.Add(d), n.elapsed+d }

func (n *node) look() slo.Emission {
	e, err := n.tally.Tick(slo.Look{Wall: n.now, Elapsed: n.elapsed, SourceSeen: !n.unseen, Journey: n.journey})
	if err != nil {
		n.t.Fatal(err)
	}
	n.issue(n.issued, e.Buckets)
	return e
}

// issue fails the test when a revision is used for two different buckets.
func (n *node) issue(in map[issue]slo.Bucket, buckets []slo.Bucket) {
	n.t.Helper()
	for _, b := range buckets {
		at := issue{b.Minute, b.Revision}
		if old, ok := in[at]; ok && old != b {
			n.t.Fatalf("revision %d used for %+v and for %+v", b.Revision, old, b)
		}
		in[at] = b
	}
}

// store is what the caller does with an emission.
func (n *node) store(e slo.Emission) {
	for k, v := range e.State {
		if v == nil {
			delete(n.disk, k)
			continue
		}
		n.disk[k] = v
	}
	n.issue(n.stored, e.Buckets)
	for _, b := range e.Buckets {
		if err := b.Validate(); err != nil {
			n.t.Fatalf("%+v: %v", b, err)
		}
		if old, ok := n.centre[b.Minute]; !ok || b.Supersedes(old) {
			n.centre[b.Minute] = b
		}
	}
	n.tally.Commit()
}

func (n *node) tick() slo.Emission {
	e := n.look()
	if !e.Empty() {
		n.store(e)
	}
	return e
}

// run ticks every ten seconds for d.
func (n *node) run(d time.Duration) {
	for range int(d / (10 * time.Second)) {
		n.pass(10 * time.Second)
		n.tick()
	}
}

func (n *node) observe(at time.Time, good bool) {
	if err := n.tally.Observe(at, good); err != nil {
		n.t.Fatal(err)
	}
}

// fact is what a test says about one bucket.
type fact struct {
	Good, Total int64
	Observed    uint8
	State       slo.State
	Silence     slo.Silence
	Open        bool
}

func (n *node) facts(from, to int64) map[int64]fact {
	out := map[int64]fact{}
	for m := from; m < to; m++ {
		if b, ok := n.centre[m]; ok {
			out[m] = fact{b.Good, b.Total, b.Observed, b.State, b.Silence(), b.Open}
		}
	}
	return out
}

func (n *node) want(from, to int64, want map[int64]fact) {
	n.t.Helper()
	if diff := cmp.Diff(want, n.facts(from, to)); diff != "" {
		n.t.Errorf("buckets at the centre (-want +got):\n%s", diff)
	}
}
