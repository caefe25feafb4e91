package fleetsim

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

const (
	fleetNodes = 200
	// In the long form most nights have a few nodes, and one of largeEvery has all.
	fewNodes   = 6
	largeEvery = 50
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFleet lives through seeded nights: a few of the whole fleet and of hours,
// or as many as SEEDS says.
func TestFleet(t *testing.T) {
	first, nights, long := uint64(6), envNumber(t, "SEEDS", 3), os.Getenv("SEEDS") != ""
	if long {
		first = 1
	}
	if alone := envNumber(t, "SEED", 0); alone > 0 {
		first, nights = uint64(alone), 1
	}
	var mu sync.Mutex
	sum := happenings{faults: map[kind]int{}}
	t.Run("seed", func(t *testing.T) {
		for seed := first; seed < first+uint64(nights); seed++ {
			o := options{seed: seed, size: fleetNodes, only: envFaults(t)}
			if long && seed%largeEvery != 0 {
				o.size = fewNodes
			}
			o.size = envNumber(t, "NODES", o.size)
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				w := live(t, o)
				mu.Lock()
				defer mu.Unlock()
				sum.add(w.happenings)
			})
		}
	})
	t.Logf("%+v", sum)
	if few := long && nights < largeEvery; few || os.Getenv("SEED")+os.Getenv("FAULTS")+os.Getenv("NODES") != "" {
		return // not all need have happened
	}
	for _, k := range append(nodeFaults(), centreFaults()...) {
		if sum.faults[k] == 0 {
			t.Errorf("no %s happened: these nights prove nothing about it", k)
		}
	}
	if sum.repeats == 0 || sum.merged == 0 || sum.resyncs == 0 {
		t.Errorf("%d repeats, %d merged blocks and %d resyncs: these nights prove too little", sum.repeats, sum.merged, sum.resyncs)
	}
}

// live lives through one night and says how to see it again if it fails.
func live(t *testing.T, o options) *world {
	t.Helper()
	w := dream(t, o)
	for _, p := range w.problems {
		t.Error(p)
	}
	if len(w.problems) > 0 {
		t.Errorf("seed %d fails. Alone: SEED=%d NODES=%d go test -run 'TestFleet$' ./internal/fleetsim (with FAULTS=cut,death only those)", o.seed, o.seed, o.size)
	}
	return w
}

// dream lives through one night in virtual time.
func dream(t *testing.T, o options) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if w, err = newWorld(o); err != nil {
			t.Fatal(err)
		}
		w.run()
	})
	return w
}

// TestBrokenRulesAreNoticed breaks one rule at a time: a simulation that does not
// see it would prove nothing.
func TestBrokenRulesAreNoticed(t *testing.T) {
	for name, tc := range map[string]struct {
		bug  bug
		says string
	}{
		"the centre acknowledges before it commits":         {bugAckEarly, "which the centre does not hold"},
		"the node forgets a block whose answer is lost":     {bugForget, "books"},
		"the centre takes repeats for new":                  {bugCountRepeats, "books"},
		"the node merges what it may have sent":             {bugMergeSent, "gave up"},
		"the node sends the oldest first after an outage":   {bugOldestFirst, "came first"},
		"the centre greets late":                            {bugLateGreeting, "nothing fresh arrived"},
		"the node takes its time before it dials":           {bugLateDial, "the uplink was up"},
		"the node does not hear for how long it is to wait": {bugNoPause, "told to wait"},
		"the node does not hear that it is to begin anew":   {bugNoResync, "told to begin"},
		"the node takes the centre for patient":             {bugSilent, "said nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tries = 20
			for seed := uint64(1); seed <= tries; seed++ {
				w := dream(t, options{seed: seed, size: fewNodes, bug: tc.bug})
				if i := slices.IndexFunc(w.problems, func(p string) bool { return strings.Contains(p, tc.says) }); i >= 0 {
					t.Logf("noticed in night %d: %s", seed, w.problems[i])
					return
				}
			}
			t.Errorf("nobody noticed in %d nights", tries)
		})
	}
}

func (h *happenings) add(o happenings) {
	for k, n := range o.faults {
		h.faults[k] += n
	}
	h.repeats, h.merged, h.resyncs = h.repeats+o.repeats, h.merged+o.merged, h.resyncs+o.resyncs
	h.blocks, h.samples, h.outcomes = h.blocks+o.blocks, h.samples+o.samples, h.outcomes+o.outcomes
}

// envNumber reads a number from the environment.
func envNumber(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a number from 1 on", name, text)
	}
	return n
}

// envFaults reads which faults may happen.
func envFaults(t *testing.T) (out []kind) {
	t.Helper()
	known := append(nodeFaults(), centreFaults()...)
	for _, name := range strings.FieldsFunc(os.Getenv("FAULTS"), func(r rune) bool { return r == ',' }) {
		if !slices.Contains(known, kind(name)) {
			t.Fatalf("FAULTS=%s: %q is unknown; known: %s", os.Getenv("FAULTS"), name, fmt.Sprint(known))
		}
		out = append(out, kind(name))
	}
	return out
}
