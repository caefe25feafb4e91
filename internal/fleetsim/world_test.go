package fleetsim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A bug breaks a rule on purpose.
type bug int

const (
	noBug           bug = iota
	bugAckEarly         // the centre acknowledges before the commit
	bugForget           // the node forgets a block whose answer is lost
	bugCountRepeats     // the centre takes a repeat for a new block
	bugMergeSent        // the node merges what it has sent
	bugOldestFirst      // the node sends the oldest first
	bugLateGreeting     // the centre greets late
	bugLateDial         // the node takes its time before it dials
	bugNoPause          // the node does not hear for how long it is to wait
	bugNoResync         // the node does not hear that it is to begin its coding anew
	bugSilent           // the node takes the centre for patient
)

// Options of a night.
type options struct {
	seed uint64
	size int    // nodes of a night of minutes
	only []kind // faults that may happen; empty: all
	bug  bug
}

// A world is one night: a fleet of nodes, the centre, and what breaks.
type world struct {
	options
	night  time.Duration // how long venues are watched
	scrape time.Duration // the time between two looks
	began  time.Time
	centre *centre
	nodes  []*node

	mu       sync.Mutex // guards what follows
	problems []string
	happenings
}

// Happenings count what a night went through.
type happenings struct {
	faults                    map[kind]int
	repeats, merged, resyncs  int
	blocks, samples, outcomes int64
}

// Sources of chance: each has its own, so that what one draws changes nothing for
// the others.
const (
	sourceNight int64 = iota
	sourceVenue
	sourceDisk
	sourceUplink
	sourceFaults
	sourceForward
	sourceScrape
	sourceCentre
)

func (o options) draw(source, number int64) *rand.Rand {
	return rand.New(rand.NewPCG(o.seed, uint64(source)<<48^uint64(number)))
}

const (
	// longEvery nights one lasts for hours, with fewer nodes.
	longEvery, longFewer = 8, 8
	// drainTime is how long all may take to arrive once nothing breaks any more.
	drainTime = 10 * time.Minute
	// maxProblems of a night are told.
	maxProblems = 10
)

func newWorld(o options) (*world, error) {
	w := &world{options: o, scrape: 15 * time.Second}
	w.faults = map[kind]int{}
	nodes, rng := o.size, w.draw(sourceNight, 0)
	w.night = 8*time.Minute + time.Duration(rng.IntN(8))*time.Minute
	if o.seed%longEvery == 0 {
		w.night, w.scrape = 4*time.Hour, 5*time.Minute
		nodes = max(o.size/longFewer, min(o.size, fewNodes))
	}
	var err error
	if w.centre, err = newCentre(w); err != nil {
		return nil, err
	}
	for i := range nodes {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	return w, nil
}

// run lives through the night. It must be called in virtual time.
func (w *world) run() {
	// Midnight, when budgets of a day begin anew, is somewhere in the night.
	time.Sleep(24*time.Hour - time.Duration(w.draw(sourceNight, 1).Int64N(int64(w.night))))
	w.began = time.Now()
	w.centre.start()
	for _, n := range w.nodes {
		n.start()
	}
	var work sync.WaitGroup
	troubles := plan(w.draw(sourceFaults, -1), w.night, w.allowed(centreFaults()), w.night/4)
	work.Go(func() { suffer(w, troubles, w.centre.begin, w.centre.end) })
	for _, n := range w.nodes {
		faults := plan(w.draw(sourceFaults, int64(n.number)), w.night, w.allowed(nodeFaults()), w.night/8)
		work.Go(func() { suffer(w, faults, n.begin, n.end) })
		work.Go(n.produce)
	}
	work.Wait()
	w.drain()
	for _, n := range w.nodes {
		work.Go(n.stop)
	}
	work.Wait()
	w.centre.kill()
	w.compare()
}

// drain waits until all has arrived.
func (w *world) drain() {
	for _, n := range w.nodes {
		n.uncap()
	}
	for healed := time.Now(); w.waiting() > 0; time.Sleep(time.Second) {
		if time.Since(healed) > drainTime {
			w.problem("%d blocks wait %s after all was healed", w.waiting(), drainTime)
			return
		}
	}
}

func (w *world) waiting() (blocks int) {
	for _, n := range w.nodes {
		blocks += n.disk.waiting()
	}
	return blocks
}

// compare holds the centre's books against the oracle's.
func (w *world) compare() {
	for _, n := range w.nodes {
		truth := n.disk.truth
		if d := cmp.Diff(truth, w.centre.journal.of(n.number)); d != "" {
			w.problem("node %d, books (-oracle +centre):\n%s", n.number, d)
		}
		for _, t := range truth.Lanes {
			w.blocks, w.samples, w.outcomes = w.blocks+t.Blocks, w.samples+t.Samples, w.outcomes+t.Records
		}
		n.disk.compareAll("in the end")
	}
	w.repeats, w.merged, w.resyncs = w.centre.journal.again, w.centre.journal.merged, w.centre.resyncs
}

// clock tells a time of the night.
func (w *world) clock(t time.Time) string { return t.Sub(w.began).Round(time.Millisecond).String() }

// problem notes what must not be.
func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.problems) < maxProblems {
		w.problems = append(w.problems, w.clock(time.Now())+": "+fmt.Sprintf(format, args...))
	}
}

func (w *world) happened(k kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[k]++
}
