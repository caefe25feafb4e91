package torture

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/internal/torture/peer"
	"ghostlight/slo"
)

func minutes(from, to int64) peer.Firing { return peer.Firing{From: from * 60_000, To: to * 60_000} }

// TestPagesAreJudged: by the clock of the venue, which is two hours ahead, the rule held
// on the first of two outages of the first due page, and once when nothing was due.
func TestPagesAreJudged(t *testing.T) {
	d := due{
		pages:   []peer.Firing{minutes(100, 110), minutes(135, 150), minutes(300, 310)},
		outages: []peer.Firing{minutes(95, 104), minutes(130, 140), minutes(143, 150), minutes(290, 305)},
		byClock: []peer.Firing{minutes(220, 230), minutes(320, 330)},
		shift:   func(int64) int64 { return 120 * 60_000 },
	}
	for name, tc := range map[string]struct {
		came []peer.Firing
		want PageScore
	}{
		"none came":                           {nil, PageScore{Due: 3, Missed: 3, MissedByClock: 2}},
		"one for each":                        {[]peer.Firing{minutes(101, 111), minutes(136, 151), minutes(312, 320)}, PageScore{Due: 3}},
		"one over two":                        {[]peer.Firing{minutes(101, 151), minutes(312, 320)}, PageScore{Due: 3}},
		"two for one outage":                  {[]peer.Firing{minutes(101, 111), minutes(136, 150), minutes(300, 301), minutes(312, 313)}, PageScore{Due: 3, Double: 1}},
		"a new outage within one that is due": {[]peer.Firing{minutes(101, 111), minutes(133, 134), minutes(145, 150), minutes(300, 301)}, PageScore{Due: 3}},
		"one too late and one for nothing":    {[]peer.Firing{minutes(101, 102), minutes(166, 170), minutes(300, 301)}, PageScore{Due: 3, Missed: 1, MissedByClock: 1, False: 1}},
		"one for nothing but by the clock":    {[]peer.Firing{minutes(101, 151), minutes(204, 205), minutes(300, 301)}, PageScore{Due: 3, False: 1, FalseByClock: 1}},
		"one that flaps is one yet":           {[]peer.Firing{minutes(101, 105), minutes(110, 112), minutes(136, 137), minutes(301, 302)}, PageScore{Due: 3}},
	} {
		var list []came
		for _, x := range tc.came {
			list = append(list, came{x, d.shift(0) + x.From})
		}
		var got PageScore
		if got.judge(d, list); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestScore(t *testing.T) {
	var s Score
	truth := slo.Counts{Good: 90, Total: 100}
	s.judge(truth, 0.95, slo.Status{Known: true, SLI: 0.96, Verdict: slo.Met, Upper: 1}, false)
	s.judge(truth, 0.95, slo.Status{Known: true, SLI: 0.88, Lower: 0.91, Upper: 1, Verdict: slo.Undetermined}, false)
	s.judge(truth, 0.95, slo.Status{Known: true, SLI: 0.90, Lower: 0.91, Upper: 1, Verdict: slo.Missed}, true)
	s.judge(slo.Counts{}, 0.95, slo.Status{}, false)
	if s.Judged != 3 || s.Wrong != 1 || s.Silent != 1 || s.Outside != 1 || s.Again != 1 || s.Said != 3 || !near(s.SLIWorst, 0.06) || !near(s.BudgetWorst, 1.2) || !near(s.SLI, 0.08) {
		t.Errorf("%+v", s)
	}
}

func near(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

// The oracle's own arithmetic, on numbers that can be checked by hand.
func TestTruthAddsUp(t *testing.T) {
	tr := newTruth()
	tr.since = []map[string]int64{{"orders": 100, "doors": 100}}
	for m, bad := range map[int64]int{100: 0, 104: 1, 105: 2, 112: 0} {
		for i := range 4 {
			tr.add(account{0, order}, m, i >= bad)
			tr.add(account{0, checkin}, m, i >= bad)
		}
	}
	for _, s := range sheets(time.UTC) {
		want := map[string]slo.Counts{
			// 7 of 8 is not enough, 2 of 4 neither, 4 of 4 is, and silence is good.
			"orders": {Good: 2, Total: 4},
			// Ten minutes with 9 of 12, and ten with 4 of 4.
			"doors": {Good: 1_750_000, Total: 2_000_000},
		}
		s.unwanted = func(time.Time) bool { return false }
		if w, ok := want[s.name]; ok {
			if diff := cmp.Diff(w, tr.sum(s, []int{0}, 100, 120)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", s.name, diff)
			}
		}
	}
}
