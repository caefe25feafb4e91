package notify

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSilences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPager()
		b := newBench(t, Route{Name: "pager", Receiver: p})
		defer func() { b.stop() }()
		expect := func(when string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, p.taken()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		before := fails("inc-before")
		b.notify(before)
		silence := func(from, to time.Duration) Silence {
			t.Helper()
			s, err := b.notifier.Silence(t.Context(), Silence{
				Matchers: []Matcher{{Label: "venue", Value: "soho"}}, From: time.Now().Add(from), To: time.Now().Add(to), By: "kim", Comment: "soundcheck",
			})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		first := silence(0, time.Hour)
		lasts, short := fails("inc-lasts"), fails("inc-short")
		elsewhere := fails("inc-elsewhere")
		elsewhere.Scope.Venue = "camden"
		b.notify(lasts)
		b.notify(short)
		b.notify(elsewhere)
		b.pass(10 * time.Minute)
		b.notify(over(short))
		b.notify(over(before))
		b.restart()
		expect("silenced", "inc-before firing", "inc-elsewhere firing", "inc-before resolved")
		b.pass(time.Hour)
		told := []string{"inc-before firing", "inc-elsewhere firing", "inc-before resolved", "inc-lasts firing"}
		expect("the silence has ended", told...)
		// What all happened under a silence stays silent when it is known only afterwards.
		late := short
		late.Key = "inc-late"
		late.Until = late.Since.Add(time.Minute)
		late.Status = Resolved
		b.notify(late)
		expect("known afterwards", told...)

		second := silence(0, time.Hour)
		b.notify(fails("inc-held"))
		expect("silenced again", told...)
		if err := b.notifier.Expire(t.Context(), second.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		told = append(told, "inc-held firing")
		expect("expired by hand", told...)
		third := silence(time.Hour, 2*time.Hour)
		b.notify(fails("inc-now"))
		told = append(told, "inc-now firing")
		expect("a silence to come", told...)

		list, err := b.notifier.Silences(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range list {
			ids = append(ids, s.ID)
		}
		if diff := cmp.Diff([]string{third.ID, second.ID, first.ID}, ids); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		log, err := b.notifier.Log(t.Context(), "inc-short")
		if err != nil || len(log) != 1 || log[0].Outcome != "silenced" {
			t.Errorf("log of what was silenced: %+v (%v)", log, err)
		}
		b.pass(40 * 24 * time.Hour)
		if list, err := b.notifier.Silences(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%d silences are kept for good (%v)", len(list), err)
		}
	})
}

func TestSilencesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Route{Name: "pager", Receiver: newPager()})
		defer func() { b.stop() }()
		now := time.Now()
		soho := []Matcher{{Label: "venue", Value: "soho"}}
		for name, s := range map[string]Silence{
			"of everything":   {From: now, To: now.Add(time.Hour), By: "kim"},
			"backwards":       {Matchers: soho, From: now.Add(time.Hour), To: now, By: "kim"},
			"of the past":     {Matchers: soho, From: now.Add(-time.Hour), To: now, By: "kim"},
			"of nobody":       {Matchers: soho, From: now, To: now.Add(time.Hour)},
			"no expression":   {Matchers: []Matcher{{Label: "venue", Value: "(", Regex: true}}, From: now, To: now.Add(time.Hour), By: "kim"},
			"without a label": {Matchers: []Matcher{{Value: "soho"}}, From: now, To: now.Add(time.Hour), By: "kim"},
		} {
			if _, err := b.notifier.Silence(t.Context(), s); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := b.notifier.Expire(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
			t.Errorf("expire: %v", err)
		}
	})
}
