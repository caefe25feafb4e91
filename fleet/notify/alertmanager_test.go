package notify

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/slo"
)

// overNet calls a handler as if there were a network, inside a synctest bubble.
type overNet struct{ handler http.Handler }

func (o overNet) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	o.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// An alerter does with alerts what Alertmanager does: one lasts until its end, which
// a later word may move; one that arrives resolved is dropped.
type alerter struct {
	mu     sync.Mutex
	status int                  // answered instead, if not 0
	ends   map[string]time.Time // guarded by mu; by incident and severity
	starts map[string]time.Time
	calls  int
	reject string // an incident that it does not take
}

func (a *alerter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var alerts []alert
	if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil || r.URL.Path != "/api/v2/alerts" {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	a.calls++
	if a.status != 0 {
		w.WriteHeader(a.status)
		return
	}
	if slices.ContainsFunc(alerts, func(al alert) bool { return al.Labels["incident"] == a.reject }) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, al := range alerts {
		name := al.Labels["incident"] + " " + al.Labels["severity"]
		if _, known := a.ends[name]; !known && !al.EndsAt.After(time.Now()) {
			continue
		}
		a.ends[name], a.starts[name] = al.EndsAt, al.StartsAt
	}
}

// set changes what the alerter does.
func (a *alerter) set(change func(*alerter)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// span is when an alert starts and ends by the last word.
func (a *alerter) span(name string) (start, end time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.starts[name], a.ends[name]
}

// called counts the requests.
func (a *alerter) called() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

// firing lists the alerts that have not ended.
func (a *alerter) firing() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := []string{}
	for name, end := range maps.All(a.ends) {
		if end.After(time.Now()) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func newAlerter(t *testing.T) (*alerter, Route) {
	t.Helper()
	a := &alerter{ends: map[string]time.Time{}, starts: map[string]time.Time{}}
	r, err := NewAlertmanager("http://alertmanager.test/", 4*time.Minute, &http.Client{Transport: overNet{a}})
	if err != nil {
		t.Fatal(err)
	}
	return a, AlertmanagerRoute("alertmanager", r)
}

func TestAlertmanagerHoldsWhatFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, route := newAlerter(t)
		b := newBench(t, route)
		defer func() { b.stop() }()
		expect := func(when string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(append([]string{}, want...), a.firing()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		n := fails("inc-1")
		n.Urgency = slo.Ticket
		n.Since = n.Since.Add(-3 * time.Minute)
		b.notify(n)
		for range 60 { // it is told again before it would end
			expect("each minute", "inc-1 ticket")
			b.pass(time.Minute)
		}
		b.restart()
		b.pass(time.Minute)
		n.Urgency = slo.Page
		b.notify(n)
		expect("more urgent: another alert, and the old one is over", "inc-1 page")
		if got, _ := a.span("inc-1 page"); !got.Equal(n.Since) {
			t.Errorf("it starts at %s, want %s", got, n.Since)
		}
		b.pass(10 * time.Minute)
		n = over(n)
		b.notify(n)
		expect("over")
		if _, got := a.span("inc-1 page"); !got.Equal(n.Until) {
			t.Errorf("it ends at %s, want %s", got, n.Until)
		}

		// Over before Alertmanager would have told anyone: told that it is over later.
		short := fails("inc-short")
		b.notify(short)
		b.pass(10 * time.Second)
		short = over(short)
		b.notify(short)
		b.pass(5 * time.Minute)
		expect("held", "inc-short page")
		b.pass(time.Minute)
		expect("no longer held")
		if _, got := a.span("inc-short page"); !got.Equal(short.Until) {
			t.Errorf("it ends at %s, want %s", got, short.Until)
		}

		// Known only when it was over: Alertmanager would drop it, and is not told.
		calls := a.called()
		b.notify(over(fails("inc-late")))
		b.pass(10 * time.Minute)
		if a.called() != calls {
			t.Errorf("Alertmanager was told of what is over")
		}
	})
}

func TestAlertmanagerThatWasDownIsToldOfWhatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, route := newAlerter(t)
		b := newBench(t, route)
		defer func() { b.stop() }()
		a.set(func(a *alerter) { a.status = http.StatusBadGateway })
		lasting, gone := fails("inc-lasting"), fails("inc-gone")
		b.notify(lasting)
		b.notify(gone)
		b.pass(30 * time.Minute)
		b.notify(over(gone))
		b.pass(30 * time.Minute)
		a.set(func(a *alerter) { a.status = 0 })
		b.pass(retryMost)
		if diff := cmp.Diff([]string{"inc-gone page", "inc-lasting page"}, a.firing()); diff != "" {
			t.Errorf("back (-want +got):\n%s", diff)
		}
		b.pass(alertHold)
		if diff := cmp.Diff([]string{"inc-lasting page"}, a.firing()); diff != "" {
			t.Errorf("a while later (-want +got):\n%s", diff)
		}
	})
}

func TestAnAlertThatIsRejectedLetsNoOtherEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, route := newAlerter(t)
		b := newBench(t, route)
		defer func() { b.stop() }()
		for _, key := range []string{"inc-1", "inc-2", "inc-3"} {
			b.notify(fails(key))
		}
		a.set(func(a *alerter) { a.reject = "inc-2" })
		b.pass(10 * time.Minute)
		b.notify(fails("inc-4"))
		if diff := cmp.Diff([]string{"inc-1 page", "inc-3 page", "inc-4 page"}, a.firing()); diff != "" {
			t.Errorf("after a while (-want +got):\n%s", diff)
		}
		a.set(func(a *alerter) { a.reject = "" })
		b.pass(time.Minute)
		if got := a.firing(); len(got) != 4 {
			t.Errorf("once it is taken again: %v", got)
		}
	})
}

func TestReceiversAskForAnAddress(t *testing.T) {
	for _, url := range []string{"", "alertmanager:9093", "ftp://x/", "http://"} {
		if _, err := NewAlertmanager(url, 0, nil); err == nil || !strings.Contains(err.Error(), "https://host/path") {
			t.Errorf("Alertmanager at %q: %v", url, err)
		}
		if _, err := NewWebhook("hook", url, "", nil); err == nil {
			t.Errorf("webhook at %q was taken", url)
		}
		if _, err := NewSigned("hook", url, [][]byte{make([]byte, minSecret)}, nil); err == nil {
			t.Errorf("signed webhook at %q was taken", url)
		}
	}
	if _, err := NewSigned("hook", "http://x/", [][]byte{[]byte("short")}, nil); err == nil {
		t.Error("a short secret was taken")
	}
	if _, err := NewSigned("hook", "http://x/", nil, nil); err == nil {
		t.Error("no secret was taken")
	}
}
