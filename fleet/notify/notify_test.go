package notify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"ghostlight/fleet/store"
	"ghostlight/slo"
	"ghostlight/slo/incident"
)

func TestDedupe(t *testing.T) {
	firing := Notification{Status: Firing, Urgency: slo.Ticket}
	paging := Notification{Status: Firing, Urgency: slo.Page}
	resolved := Notification{Status: Resolved, Urgency: slo.Page}
	finds := func(s incident.Sales) Notification {
		n := resolved
		n.Finding = &incident.Finding{Sales: s}
		return n
	}
	well, lost := finds(incident.Unaffected), finds(incident.Lost)
	for _, tt := range []struct {
		name string
		old  *Notification
		new  Notification
		want Phase
	}{
		{"new", nil, firing, Fire},
		{"new and over", nil, resolved, Late},
		{"the same", &firing, firing, ""},
		{"more urgent", &firing, paging, Fire},
		{"less urgent", &paging, firing, ""},
		{"over", &paging, resolved, Resolve},
		{"over, again", &resolved, resolved, ""},
		{"fails again", &resolved, paging, Fire},
		{"over, and found", &paging, well, Resolve},
		{"found afterwards", &resolved, lost, Revise},
		{"found to be otherwise", &well, lost, Revise},
		{"found to be the same", &lost, lost, ""},
		{"fails again, whatever was found", &lost, paging, Fire},
	} {
		if got := dedupe(tt.old, tt.new); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAReceiverDownForAnHourGetsEachPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, down := newPager(), newPager()
		b := newBench(t, Route{Name: "up", Receiver: up}, Route{Name: "down", Receiver: down})
		defer func() { b.stop() }()
		down.set(func(p *pager) { p.down = true })
		first := fails("inc-1")
		b.notify(first)
		b.pass(10 * time.Minute)
		b.notify(over(first))
		var want []string
		for n := range 20 {
			b.pass(2 * time.Minute)
			b.notify(fails(fmt.Sprintf("inc-2%02d", n)))
			b.notify(first) // told by mistake that it fails again: it does
			b.notify(over(first))
			if n == 10 {
				b.restart()
			}
			want = append(want, fmt.Sprintf("inc-2%02d firing", n))
		}
		if got := len(up.taken()); got != 2+20*3 {
			t.Errorf("the receiver that is up was told %d times, want 62", got)
		}
		b.pass(10 * time.Minute)
		if tries := down.tries; tries > 120 {
			t.Errorf("the receiver that is down was tried %d times in an hour", tries)
		}
		down.set(func(p *pager) { p.down = false })
		b.pass(retryMost)
		// The first failed and was over while nobody could be told, again and again: it
		// is told once, and that it is over.
		want = append([]string{"inc-1 firing"}, append(want, "inc-1 resolved")...)
		if diff := cmp.Diff(want, down.taken()); diff != "" {
			t.Errorf("told afterwards (-want +got):\n%s", diff)
		}
		b.restart()
		b.pass(time.Hour)
		if got := len(down.taken()); got != len(want) {
			t.Errorf("after another restart %d pages were told, want %d", got, len(want))
		}
	})
}

func TestWhatIsFoundAfterwardsIsToldToWhoWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, tickets, live := newPager(), newPager(), newPager()
		b := newBench(t, Route{Name: "up", Receiver: up}, Route{Name: "tickets", Receiver: tickets, Matchers: []Matcher{{Label: "severity", Value: "ticket"}}},
			Route{Name: "live", Receiver: live, LiveOnly: true})
		defer func() { b.stop() }()
		n := fails("inc-1")
		b.notify(n)
		b.pass(time.Minute)
		n = over(n)
		n.Finding = &incident.Finding{Sales: incident.Unaffected, Good: 3}
		up.set(func(p *pager) { p.down = true })
		b.notify(n)
		b.pass(time.Minute)
		for _, s := range []incident.Sales{incident.Lost, incident.Unaffected, incident.Lost} {
			n.Finding = &incident.Finding{Sales: s, Good: 3, Bad: 1}
			b.notify(n)
			b.pass(time.Second)
		}
		up.set(func(p *pager) { p.down = false })
		b.pass(retryMost)
		if diff := cmp.Diff([]string{"inc-1 firing", "inc-1 resolved", "inc-1 revised"}, up.taken()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if got := up.last.Pages[0].Finding; got.Sales != incident.Lost {
			t.Errorf("told at last of %+v", got)
		}
		if got := tickets.taken(); len(got) > 0 {
			t.Errorf("who was told nothing was told %q", got)
		}
		if diff := cmp.Diff([]string{"inc-1 firing", "inc-1 resolved"}, live.taken()); diff != "" {
			t.Errorf("who is told of what is live (-want +got):\n%s", diff)
		}
	})
}

func TestALostAnswerRepeatsTheSameDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPager()
		b := newBench(t, Route{Name: "pager", Receiver: p})
		defer func() { b.stop() }()
		p.set(func(p *pager) { p.lost = true })
		b.notify(fails("inc-1"))
		change := p.message().Pages[0].Change
		b.restart() // and the centre forgets that it has tried
		p.set(func(p *pager) { p.lost = false })
		b.pass(time.Minute)
		if diff := cmp.Diff([]string{"inc-1 firing", "inc-1 firing"}, p.taken()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if got := p.message().Pages[0].Change; got != change {
			t.Errorf("the repeat is change %d, the first was %d", got, change)
		}
	})
}

func TestAReceiverThatHangsDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs, other := newPager(), newPager()
		b := newBench(t, Route{Name: "hangs", Receiver: hangs}, Route{Name: "other", Receiver: other})
		defer func() { b.stop() }()
		hangs.set(func(p *pager) { p.hangs = true })
		b.notify(fails("inc-1"))
		if diff := cmp.Diff([]string{"inc-1 firing"}, other.taken()); diff != "" {
			t.Errorf("the other was told (-want +got):\n%s", diff)
		}
		b.pass(time.Minute)
		hangs.set(func(p *pager) { p.hangs = false })
		b.pass(time.Minute)
		if diff := cmp.Diff([]string{"inc-1 firing"}, hangs.taken()); diff != "" {
			t.Errorf("told when it is back (-want +got):\n%s", diff)
		}
	})
}

func TestARejectedPageHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPager()
		b := newBench(t, Route{Name: "pager", Receiver: p, Wait: 5 * time.Second})
		defer func() { b.stop() }()
		p.set(func(p *pager) { p.rejects["inc-bad"] = true })
		for _, key := range []string{"inc-a", "inc-bad", "inc-c"} {
			n := fails(key)
			n.Group = "inc-group"
			b.notify(n)
		}
		b.pass(5 * time.Second)
		if diff := cmp.Diff([]string{"inc-a firing", "inc-c firing"}, p.taken()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		p.set(func(p *pager) { p.rejects = nil })
		b.pass(retryMost)
		if got := p.taken(); len(got) != 3 || got[2] != "inc-bad firing" {
			t.Errorf("told afterwards: %v", got)
		}
		// What is never taken is given up in the end, and that is counted.
		b.giveUp = 3 * time.Hour
		b.restart()
		p.set(func(p *pager) { p.rejects = map[string]bool{"inc-never": true} })
		b.notify(fails("inc-never"))
		b.pass(5 * time.Hour)
		if got := counted(t, b.notifier.metrics.givenUp); got != 1 {
			t.Errorf("%v pages were given up, want 1", got)
		}
		log, err := b.notifier.Log(t.Context(), "inc-never")
		if err != nil || len(log) != 1 || log[0].Outcome != "given up" {
			t.Errorf("log %+v (%v)", log, err)
		}
	})
}

func TestGroupsGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPager()
		b := newBench(t, Route{Name: "pager", Receiver: p, Wait: 10 * time.Second})
		defer func() { b.stop() }()
		one, two, alone := fails("inc-1"), fails("inc-2"), fails("inc-3")
		one.Group, two.Group = "inc-group", "inc-group"
		b.notify(one)
		b.pass(4 * time.Second)
		b.notify(two)
		b.notify(alone)
		b.pass(20 * time.Second)
		if diff := cmp.Diff([]int{2, 1}, p.sizes); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{10 * time.Second, 10 * time.Second, 14 * time.Second}, p.when); diff != "" {
			t.Errorf("told after (-want +got):\n%s", diff)
		}
	})
}

func TestRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pages, tickets := newPager(), newPager()
		b := newBench(t,
			Route{Name: "pages", Receiver: pages, LiveOnly: true, Matchers: []Matcher{{Label: "severity", Value: "page"}}},
			Route{Name: "tickets", Receiver: tickets, Matchers: []Matcher{{Label: "severity", Value: "ticket"}, {Label: "venue", Value: "so.*", Regex: true}, {Label: "node", Not: true}}})
		defer func() { b.stop() }()
		n := fails("inc-1")
		n.Urgency = slo.Ticket
		b.notify(n)
		n.Urgency = slo.Page // it becomes urgent
		b.notify(n)
		b.notify(over(n))
		late := fails("inc-late")
		late.Urgency = slo.Ticket
		b.notify(over(late))
		b.notify(over(fails("inc-late-page")))
		if diff := cmp.Diff([]string{"inc-1 firing", "inc-1 resolved"}, pages.taken()); diff != "" {
			t.Errorf("pages (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"inc-1 firing", "inc-1 resolved", "inc-late late"}, tickets.taken()); diff != "" {
			t.Errorf("tickets (-want +got):\n%s", diff)
		}
		if got := counted(t, b.notifier.metrics.unrouted.WithLabelValues("late")); got != 1 {
			t.Errorf("%v late pages found no receiver, want 1", got)
		}
	})
}

// Whatever happens to receivers and the centre, in the end each has been told of
// every failure that lasted, what it was told last is so, and it was never told the
// opposite order.
func TestEachPageArrivesThroughFaults(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { faults(t, rand.New(rand.NewPCG(seed, 11))) })
		})
	}
}

func faults(t *testing.T, r *rand.Rand) {
	pagers := []*pager{newPager(), newPager()}
	b := newBench(t, Route{Name: "plain", Receiver: pagers[0]}, Route{Name: "held", Receiver: pagers[1], Hold: 3 * time.Minute, Wait: 7 * time.Second})
	defer func() { b.stop() }()
	now := map[string]Notification{}
	for range 120 {
		p := pagers[r.IntN(2)]
		switch r.IntN(8) {
		case 0:
			p.set(func(p *pager) { p.down = !p.down })
		case 1:
			p.set(func(p *pager) { p.lost = !p.lost })
		case 2:
			p.set(func(p *pager) { p.hangs = !p.hangs })
		case 3:
			b.restart()
		default:
			key := fmt.Sprintf("inc-%d", r.IntN(6))
			n, ok := now[key]
			if ok && n.Status == Firing && r.IntN(2) == 0 {
				n = over(n)
			} else {
				n = fails(key)
			}
			now[key] = n
			b.notify(n)
		}
		b.pass(time.Duration(r.IntN(90)) * time.Second)
	}
	for _, p := range pagers {
		p.set(func(p *pager) { p.down, p.lost, p.hangs = false, false, false })
	}
	b.pass(10 * time.Minute)
	for i, p := range pagers {
		last := map[string]string{}
		for _, got := range p.taken() {
			key, phase, _ := strings.Cut(got, " ")
			if phase == "resolved" && last[key] == "" {
				t.Errorf("pager %d was told that %s is over before it was told of it", i, key)
			}
			last[key] = phase
		}
		for key, n := range now {
			if last[key] != string(n.Status) {
				t.Errorf("pager %d was told last that %s is %q, it is %q", i, key, last[key], n.Status)
			}
		}
	}
	var owed int
	if err := b.store.Read().QueryRow(`SELECT count(*) FROM notify_owed`).Scan(&owed); err != nil || owed != 0 {
		t.Errorf("%d pages are still owed (%v)", owed, err)
	}
}

// counted reads a counter.
func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestNotifyRefuses(t *testing.T) {
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	reg := prometheus.NewPedanticRegistry()
	n, err := New(t.Context(), Options{Store: st, Routes: []Route{{Name: "pager", Receiver: newPager()}}, Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Notification){
		"no key":                 func(n *Notification) { n.Key = "" },
		"no status":              func(n *Notification) { n.Status = "" },
		"no urgency":             func(n *Notification) { n.Urgency = "" },
		"since never":            func(n *Notification) { n.Since = time.Time{} },
		"over, nobody says when": func(n *Notification) { n.Status = Resolved },
		"going on, and over":     func(n *Notification) { n.Until = time.Now() },
		"over before it began":   func(n *Notification) { n.Status, n.Until = Resolved, n.Since.Add(-time.Second) },
		"too long":               func(n *Notification) { n.LastWords = strings.Repeat("x", maxBody) },
	} {
		bad := fails("inc-1")
		change(&bad)
		if err := n.Notify(t.Context(), bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := n.Notify(t.Context(), fails("inc-1")); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	owed := -1.0
	for _, f := range families {
		if f.GetName() == "ghostlight_fleet_pages_owed" {
			owed = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	if owed != 1 {
		t.Errorf("%v pages are owed, want 1", owed)
	}
	for name, routes := range map[string][]Route{
		"none":          nil,
		"no name":       {{Receiver: newPager()}},
		"no receiver":   {{Name: "a"}},
		"a name twice":  {{Name: "a", Receiver: newPager()}, {Name: "a", Receiver: newPager()}},
		"a bad matcher": {{Name: "a", Receiver: newPager(), Matchers: []Matcher{{Label: "x", Value: "(", Regex: true}}}},
	} {
		if _, err := New(context.Background(), Options{Store: st, Routes: routes}); err == nil {
			t.Errorf("routes were taken: %s", name)
		}
	}
}
