package torture

import (
	"os"
	"testing"
)

// TestContest is the bench's contest with Prometheus over CONTEST feeds, with the
// faults that FAULTS names: it needs Debian's prometheus and is no part of a usual run.
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
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}
