package burn

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/buffer"
	"ghostlight/fleet/ledger"
	"ghostlight/slo"
	"ghostlight/slo/openslo"
)

// kinds are objectives whose windows are held in different ways.
func kinds(t *testing.T) map[string]slo.Objective {
	t.Helper()
	rolling := define(t, 0.99, false)
	out := map[string]slo.Objective{"events": rolling}
	for kind, change := range map[string][2]string{
		"slices":   {`"budgetingMethod":"Occurrences","objectives":[{"target":0.99}]`, `"budgetingMethod":"Timeslices","objectives":[{"target":0.99,"timeSliceTarget":0.9,"timeSliceWindow":"10m"}]`},
		"calendar": {`{"duration":"28d","isRolling":true}`, `{"duration":"1M","isRolling":false,"calendar":{"startTime":"2024-01-01 00:00:00","timeZone":"Europe/London"}}`},
		"short":    {`"annotations":{`, `"annotations":{"ghostlight.dev/final-after":"2d",`},
	} {
		doc := bytes.Replace(rolling.Document, []byte(change[0]), []byte(change[1]), 1)
		decoded, err := openslo.Decode("checkout", doc)
		if err != nil || bytes.Equal(doc, rolling.Document) {
			t.Fatalf("%s: %v\n%s", kind, err, doc)
		}
		out[kind] = decoded[0]
	}
	return out
}

// TestStandingsAreTheLedgers: over weeks of late, revised and repeated buckets, whatever
// the running sums answer is what the ledger reads; and they do answer for an
// objective's own window, its last hour, each minute of that, and how its budget went.
func TestStandingsAreTheLedgers(t *testing.T) {
	for kind, o := range kinds(t) {
		t.Run(kind, func(t *testing.T) { standingsAreTheLedgers(t, o) })
	}
}

func standingsAreTheLedgers(t *testing.T, o slo.Objective) {
	r := newRig(t)
	rng := rand.New(rand.NewPCG(3, 9))
	nodes := []buffer.Source{bar, door, kiosk, tent}
	r.promise(o, nodes...)
	revision := uint32(1)
	selections := []ledger.Selection{
		{},
		{Regions: []string{"uk"}},
		{Regions: []string{"fr"}},
		{Venues: []string{"soho"}},
		{Regions: []string{"uk"}, Venues: []string{"soho"}},
		{Venues: []string{"camden"}},
		{Venues: []string{"soho", "camden"}},
		{Regions: []string{"fr"}, Venues: []string{"soho"}},
		{Node: bar},
	}
	answered := map[string]int{}
	for range 25 {
		r.ms.Add(int64(rng.IntN(40 * 60 * 60_000)))
		for range rng.IntN(12) {
			revision++
			at := begin.Add(time.Duration(rng.Int64N(max(1, r.ms.Load()-begin.UnixMilli()))) * time.Millisecond)
			if rng.IntN(2) == 0 {
				at = r.now().Add(-time.Duration(rng.Int64N(120)) * time.Minute)
			}
			total := rng.Int64N(50)
			r.sells(nodes[rng.IntN(4)], o, at, 1+rng.IntN(30), revision, rng.Int64N(total+1), total)
		}
		switch rng.IntN(6) {
		case 0:
			r.restart()
		case 1:
			r.promise(o, nodes[rng.IntN(4)])
		}
		if err := r.room.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rng.IntN(4) > 0 {
			r.load()
		}
		for i, sel := range selections {
			c := comparison{rig: r, s: Standings{r.ledger, r.room}, sel: sel, o: o, answered: answered, many: i < 2}
			c.compare(rng)
		}
	}
	for _, what := range []string{"own", "hour", "minutes", "history"} {
		if answered[what] < 10 {
			t.Errorf("the running sums answered %d times for %s", answered[what], what)
		}
	}
}

// A comparison asks the running sums and the ledger for one selection.
type comparison struct {
	*rig
	s        Standings
	sel      ledger.Selection
	o        slo.Objective
	answered map[string]int
	many     bool // of venues
}

func (c *comparison) compare(rng *rand.Rand) {
	c.Helper()
	now := c.now()
	to := slo.MinuteStart(slo.MinuteOf(now.Add(-20 * time.Second)))
	first, end := c.o.Window.Hourly(now)
	c.status("own", slo.MinuteStart(first), slo.MinuteStart(min(end, slo.MinuteOf(to))))
	c.status("hour", to.Add(-time.Hour), to)
	c.status("any", to.Add(-time.Duration(rng.Int64N(int64(40*24*time.Hour)))), to.Add(-time.Duration(rng.Int64N(int64(2*time.Hour)))))
	want, err := c.ledger.Minutes(c.Context(), "checkout", c.sel, to.Add(-time.Hour), to)
	got, ok := c.s.minutes(c.Context(), "checkout", c.sel, to.Add(-time.Hour), to)
	c.same("minutes", want, got, err, ok)
	if !c.many {
		return
	}
	from := to.Add(-5 * 24 * time.Hour).Truncate(time.Hour)
	past, err := c.ledger.History(c.Context(), "checkout", c.sel, from, to, 7*time.Hour, time.Time{})
	told, ok := c.s.history(c.Context(), "checkout", c.sel, from, to, 7*time.Hour)
	c.same("history", past, told, err, ok)
}

func (c *comparison) status(what string, from, to time.Time) {
	c.Helper()
	want, err := c.ledger.Status(c.Context(), "checkout", c.sel, from, to)
	got, ok := c.s.status(c.Context(), "checkout", c.sel, from, to)
	c.same(what, want, got, err, ok)
}

func (c *comparison) same(what string, want, got any, err error, ok bool) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
	if diff := cmp.Diff(want, got); ok && diff != "" {
		c.Fatalf("%s of %+v at %v (-ledger +running):\n%s", what, c.sel, c.now(), diff)
	}
	if ok && c.many {
		c.answered[what]++
	}
}

// TestStandingsFollowTheDefinition: until the windows are those of a new definition, or
// know of a new node, the ledger answers.
func TestStandingsFollowTheDefinition(t *testing.T) {
	r := newRig(t)
	r.promise(define(t, 0.99, false), bar, door)
	o := define(t, 0.99, false)
	r.steps(5, func(at time.Time) { r.sells(bar, o, at, 1, 1, 10, 10) })
	s := Standings{r.ledger, r.room}
	held := func() bool {
		_, ok := s.status(t.Context(), "checkout", ledger.Selection{}, begin, r.now())
		return ok
	}
	if !held() {
		t.Fatal("the venue's window does not answer for the fleet of one venue")
	}
	for _, change := range []struct {
		what string
		of   buffer.Source
	}{
		{"another target", bar},
		{"another node", kiosk},
	} {
		r.promise(define(t, 0.5, false), change.of)
		if held() {
			t.Errorf("%s: windows of before answer", change.what)
		}
		r.steps(2, nil) // one that makes the windows, one when they are loaded
		if !held() {
			t.Errorf("%s: windows do not answer after two steps", change.what)
		}
	}
}
