package torture

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTorture lives through seeded feeds: a handful, or as many as SEEDS says.
func TestTorture(t *testing.T) {
	first, feeds := uint64(7), envNumber(t, "SEEDS", 5)
	if os.Getenv("SEEDS") != "" {
		first = 1
	}
	alone := envNumber(t, "SEED", 0)
	if alone > 0 {
		first, feeds = uint64(alone), 1
	}
	var mu sync.Mutex
	var sum Happenings
	t.Run("seed", func(t *testing.T) {
		for seed := first; seed < first+uint64(feeds); seed++ {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				o := Options{Seed: seed, Dir: folder(t), Only: envFaults(t)}
				if alone > 0 {
					o.Log = t.Logf
				}
				h, problems, err := Run(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range problems {
					t.Error(p)
				}
				if len(problems) > 0 {
					t.Errorf("seed %d fails. Alone, with all that happened: SEED=%d go test -v -run 'TestTorture$' ./internal/torture (with FAULTS=jump,death only those)", seed, seed)
				}
				mu.Lock()
				defer mu.Unlock()
				sum.Add(h)
			})
		}
	})
	t.Logf("%+v", sum)
	if alone > 0 || os.Getenv("FAULTS") != "" {
		return // not all need have happened
	}
	for what, n := range map[string]int{
		"events": sum.Events, "repeats": sum.Repeats, "malformed records": sum.Malformed, "deaths before a commit was durable": sum.DeathsBefore, "deaths behind it": sum.DeathsBehind,
		"restarts of the centre": sum.Restarts, "looks while something was pending": sum.Open, "bounds": sum.Bounded, "final verdicts": sum.Settled, "incidents": sum.Pages, "alerts of many nodes": sum.ScopePages, "running windows": sum.Standings, "counters": sum.Growths,
		"pages audited": sum.Audited, "pages of shows": sum.ShowPages, "pages missed": sum.MissedPages, "stretches in which a rule held": sum.Held,
		"causes that people were told": sum.Keys, "dark nodes": sum.Dark, "outages": sum.Outages,
		"looks back at what was known": sum.Exactly,
	} {
		if n == 0 {
			t.Errorf("no %s: these feeds prove too little", what)
		}
	}
	if sum.Exempted*2 > sum.Probes {
		t.Errorf("%d of %d looks could not be judged: these feeds prove too little", sum.Exempted, sum.Probes)
	}
}

// TestBrokenRulesAreNoticed breaks one rule at a time: a feed that does not see it
// would prove nothing.
func TestBrokenRulesAreNoticed(t *testing.T) {
	for name, tc := range map[string]struct {
		bug  bug
		says string
	}{
		"the cursor is not stored with what was counted":         {bugCursor, "the oracle has"},
		"a block counts as held before it is":                    {bugAckEarly, "is not final in the end"},
		"the centre passes over what is late":                    {bugLate, "is not final in the end"},
		"what is pending is taken for as good as the rest":       {bugGuess, "the SLI was within"},
		"what a watch knows is not stored with its page":         {bugWatch, "began at"},
		"what is told again of a minute has no revision":         {bugRevision, "the oracle has"},
		"the oracle and the ledger differ in what is not wanted": {bugUnplanned, "the oracle has"},
		"the centre has each show an hour late":                  {bugShows, "event/page, at"},
		"a page is heard of with another rule than it has":       {bugRule, "by the truth its rule held"},
		"a page never reaches who audits it":                     {bugUnheard, "is not audited"},
		"the keys that people were told are not stored":          {bugKeys, "was last told to be firing"},
		"the book does not hear that an incident is over":        {bugEnd, "the node has"},
		"each failure of a venue is a cause of its own":          {bugWithin, "the time to restore rests on"},
		"the book expects no node to be on":                      {bugExpected, "does not know that it was dark"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tries = 20
			for seed := uint64(1); seed <= tries; seed++ {
				_, problems, err := Run(t.Context(), Options{Seed: seed, Dir: folder(t), bug: tc.bug})
				if err != nil {
					t.Fatal(err)
				}
				if i := slices.IndexFunc(problems, func(p string) bool { return strings.Contains(p, tc.says) }); i >= 0 {
					t.Logf("noticed in feed %d: %s", seed, problems[i])
					return
				}
			}
			t.Errorf("nobody noticed in %d feeds", tries)
		})
	}
}

// folder is where a centre lives: in memory where there is such a place, for what
// is proved here is not that disks keep what is written.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ghostlight-torture-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
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
func envFaults(t *testing.T) (out []Fault) {
	t.Helper()
	for _, name := range strings.FieldsFunc(os.Getenv("FAULTS"), func(r rune) bool { return r == ',' }) {
		if !slices.Contains(Faults(), Fault(name)) {
			t.Fatalf("FAULTS=%s: %q is unknown; known: %v", os.Getenv("FAULTS"), name, Faults())
		}
		out = append(out, Fault(name))
	}
	return out
}
