package torture

import (
	"os"
	"testing"
)

// TestContest prints the contest with Prometheus over CONTEST feeds: it needs
// Debian's prometheus and is no part of a usual run.
func TestContest(t *testing.T) {
	if os.Getenv("CONTEST") == "" {
		t.Skip("CONTEST=n go test -v -run TestContest ./internal/torture compares n feeds; needs prometheus")
	}
	feeds := envNumber(t, "CONTEST", 1)
	c := NewContest()
	for seed := uint64(1); seed <= uint64(feeds); seed++ {
		if err := c.Compare(t.Context(), seed, envFaults(t), folder(t)); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("\n" + c.Table())
	for when, scores := range map[string]map[Side]*Score{"as the venues close": c.Closing, "all delivered": c.End} {
		if s := scores[Ghostlight]; s.Wrong+s.Outside > 0 {
			t.Errorf("%s: %d wrong verdicts of Ghostlight, %d truths outside its bounds", when, s.Wrong, s.Outside)
		}
	}
	if s := c.End[Ghostlight]; s.SLIWorst > 0 || s.Silent > 0 {
		t.Errorf("all delivered: Ghostlight is off by %v and silent on %d", s.SLIWorst, s.Silent)
	}
}
