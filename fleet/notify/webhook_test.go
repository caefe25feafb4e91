package notify

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ghostlight/slo"
)

// message is two pages of one group, one that fires and one known afterwards.
func message() Message {
	at := time.Date(2026, 7, 4, 20, 30, 0, 0, time.UTC)
	firing := Page{Notification: fails("inc-1"), Phase: Fire, Change: 1}
	firing.Since, firing.Contact = at.Add(-10*time.Minute), "Kim"
	late := Page{Notification: fails("inc-2"), Phase: Late, Change: 4}
	late.Status, late.Since, late.Until, late.Urgency = Resolved, at.Add(-time.Hour), at.Add(-50*time.Minute), slo.Ticket
	return Message{Group: "inc-group", At: at, Pages: []Page{firing, late}}
}

func TestWebhookIsAlertmanagersVersion4(t *testing.T) {
	var got []byte
	hook, err := NewWebhook("crew", "http://hook.test/in", "https://fleet.example", &http.Client{Transport: overNet{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
	})}})
	if err != nil {
		t.Fatal(err)
	}
	if err := hook.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	const want = `{"version":"4","groupKey":"{}:{group=\"inc-group\"}","truncatedAlerts":0,"status":"firing","receiver":"crew",
		"groupLabels":{"group":"inc-group"},
		"commonLabels":{"alertname":"checkout-success","cause":"objective","node":"edge-1","region":"north","venue":"soho"},
		"commonAnnotations":{},"externalURL":"https://fleet.example","alerts":[
		{"status":"firing","labels":{"alertname":"checkout-success","cause":"objective","incident":"inc-1","node":"edge-1","region":"north","severity":"page","venue":"soho"},
		 "annotations":{"contact":"Kim","description":"Failing since 4 Jul 2026, 20:20 UTC.\nWhom to ring there: Kim.",
		 "summary":"soho (edge-1): checkout-success burns its error budget since 20:20 UTC"},
		 "startsAt":"2026-07-04T20:20:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"1899f94c948f873b"},
		{"status":"resolved","labels":{"alertname":"checkout-success","cause":"objective","incident":"inc-2","node":"edge-1","region":"north","severity":"ticket","venue":"soho"},
		 "annotations":{"description":"Failed 4 Jul 2026, 19:30 UTC, over 4 Jul 2026, 19:40 UTC. It was not known here while it went on, so nobody was paged.",
		 "late":"true","summary":"soho (edge-1): checkout-success burnt its error budget for 10 min, found afterwards; it is over"},
		 "startsAt":"2026-07-04T19:30:00Z","endsAt":"2026-07-04T19:40:00Z","generatorURL":"","fingerprint":"1895f94c948b9e64"}]}`
	var w, g any
	if err := errors.Join(json.Unmarshal([]byte(want), &w), json.Unmarshal(got, &g)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
}

func TestSignatures(t *testing.T) {
	old, secret := []byte("the secret of last month"), []byte("the secret of this month")
	var body []byte
	var header http.Header
	hook, err := NewSigned("crew", "http://hook.test/in", [][]byte{old, secret}, &http.Client{Transport: overNet{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
	})}})
	if err != nil {
		t.Fatal(err)
	}
	m := message()
	if err := hook.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	sig := header.Get(SignatureHeader)
	for _, tt := range []struct {
		name   string
		secret []byte
		header string
		body   string
		off    time.Duration
		ok     bool
	}{
		{"by the new secret", secret, sig, string(body), time.Minute, true},
		{"by the old secret", old, sig, string(body), -time.Minute, true},
		{"by another secret", []byte("a secret of nobody's"), sig, string(body), 0, false},
		{"another body", secret, sig, string(body) + " ", 0, false},
		{"played again", secret, sig, string(body), 6 * time.Minute, false},
		{"another time", secret, "t=1783197001" + sig[len("t=1783197000"):], string(body), 0, false},
		{"no signature", secret, "", string(body), 0, false},
		{"no value", secret, "t=1783197000", string(body), 0, false},
	} {
		err := Verify(tt.secret, tt.header, []byte(tt.body), m.At.Add(tt.off), 5*time.Minute)
		if (err == nil) != tt.ok || (err != nil && !errors.Is(err, ErrSignature)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	var got signedMessage
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Pages) != 2 || got.Pages[0].Key != "inc-1" || got.Pages[1].Phase != Late || got.Pages[0].Summary == "" {
		t.Errorf("body %s", body)
	}
	// A repeat has the same name, another page another.
	first := header.Get(DeliveryHeader)
	m.At = m.At.Add(time.Hour)
	if err := hook.Send(t.Context(), m); err != nil || header.Get(DeliveryHeader) != first {
		t.Errorf("the repeat is %s, the first was %s (%v)", header.Get(DeliveryHeader), first, err)
	}
	m.Pages[0].Change++
	if err := hook.Send(t.Context(), m); err != nil || header.Get(DeliveryHeader) == first {
		t.Errorf("another page has the same name (%v)", err)
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		status   int
		ok       bool
		rejected bool
	}{{200, true, false}, {204, true, false}, {400, false, true}, {404, false, true}, {401, false, false}, {408, false, false}, {429, false, false}, {500, false, false}, {503, false, false}} {
		hook, err := NewWebhook("crew", "http://hook.test/", "", &http.Client{Transport: overNet{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
		})}})
		if err != nil {
			t.Fatal(err)
		}
		err = hook.Send(t.Context(), message())
		if (err == nil) != tt.ok || errors.Is(err, ErrRejected) != tt.rejected {
			t.Errorf("%d: %v", tt.status, err)
		}
	}
}

func TestErrorsKeepTheSecretOfAnAddress(t *testing.T) {
	refuses := &http.Client{Transport: overNet{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })}}
	for name, client := range map[string]*http.Client{"an answer": refuses, "no connection": {Transport: noNet{}}} {
		hook, err := NewWebhook("crew", "http://hook.test/T0KEN", "", client)
		if err != nil {
			t.Fatal(err)
		}
		if err := hook.Send(t.Context(), message()); err == nil || strings.Contains(err.Error(), "T0KEN") || !strings.Contains(err.Error(), "hook.test") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type noNet struct{}

func (noNet) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

func TestABusyReceiverIsGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Duration
		begun := time.Now()
		hook, err := NewWebhook("crew", "http://hook.test/", "", &http.Client{Transport: overNet{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls = append(calls, time.Since(begun))
			if len(calls) == 1 {
				w.Header().Set("Retry-After", "40")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})}})
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, Route{Name: "crew", Receiver: hook})
		b.notify(fails("inc-1"))
		b.pass(2 * time.Minute)
		b.stop()
		if diff := cmp.Diff([]time.Duration{0, 40 * time.Second}, calls); diff != "" {
			t.Errorf("called (-want +got):\n%s", diff)
		}
	})
}

// Over a real connection: the server fails, then never answers, then takes it.
func TestARealServerThatFailsHangsAndComesBack(t *testing.T) {
	var calls atomic.Int32
	took := make(chan []byte, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			<-r.Context().Done()
		case 3:
			took <- body
		}
	}))
	defer server.Close()
	secret := []byte("a secret between the two")
	hook, err := NewSigned("crew", server.URL, [][]byte{secret}, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	n := running(t, Options{Routes: []Route{{Name: "crew", Receiver: hook}}, Timeout: 100 * time.Millisecond, Rand: func() float64 { return 1 }})
	if err := n.Notify(t.Context(), fails("inc-1")); err != nil {
		t.Fatal(err)
	}
	select {
	case body := <-took:
		var m signedMessage
		if err := json.Unmarshal(body, &m); err != nil || len(m.Pages) != 1 || m.Pages[0].Key != "inc-1" {
			t.Errorf("it took %s (%v)", body, err)
		}
	case <-time.After(time.Minute):
		t.Errorf("it took nothing in %d calls", calls.Load())
	}
}
