package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"

	"ghostlight/edgecore/claim"
)

var key = []byte(strings.Repeat("k", claim.MinKey))

// start serves a relay until the test ends and checks that nothing of it stays.
func start(t *testing.T, connections int) (r *Relay, url string, stop func()) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	r, err := New(Options{Connections: connections, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	v, err := claim.NewVerifier(key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(v.Middleware(r))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		srv.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		goleak.VerifyNone(t, before)
	}
	t.Cleanup(stop)
	return r, "ws" + strings.TrimPrefix(srv.URL, "http"), stop
}

type peer struct {
	t    *testing.T
	conn *websocket.Conn
}

func dial(t *testing.T, url string, synthetic bool) peer {
	t.Helper()
	header := http.Header{}
	if synthetic {
		now := time.Now()
		c, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
			Issuer: "p", Subject: "j", ID: "1", Audience: jwt.ClaimStrings{claim.Audience},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
		}).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		header.Set(claim.Header, c)
	}
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { conn.CloseNow() })
	return peer{t, conn}
}

func (p peer) say(v any) {
	p.t.Helper()
	if err := wsjson.Write(p.t.Context(), p.conn, v); err != nil {
		p.t.Fatal(err)
	}
}

func (p peer) hear() outbound {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	var out outbound
	if err := wsjson.Read(ctx, p.conn, &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p peer) expect(kind string) outbound {
	p.t.Helper()
	out := p.hear()
	if out.Type != kind {
		p.t.Fatalf("heard %+v, want %s", out, kind)
	}
	return out
}

func (p peer) subscribe(topic string) int64 {
	p.t.Helper()
	p.say(inbound{Type: "subscribe", Topic: topic})
	return p.expect("subscribed").Seq
}

func (p peer) publish(topic, id, data string) int64 {
	p.t.Helper()
	p.say(inbound{Type: "publish", Topic: topic, ID: id, Data: json.RawMessage(data)})
	return p.expect("published").Seq
}

func TestPublishReachesSubscribersInOrder(t *testing.T) {
	_, url, _ := start(t, 8)
	a, b := dial(t, url, false), dial(t, url, false)
	head := a.subscribe("stage")
	for i := range 20 {
		if seq := b.publish("stage", fmt.Sprint("m", i), fmt.Sprintf(`{"n":%d}`, i)); seq != head+int64(i)+1 {
			t.Fatalf("message %d has sequence %d after %d", i, seq, head)
		}
	}
	for i := range 20 {
		m := a.expect("message")
		want := outbound{Type: "message", Topic: "stage", ID: fmt.Sprint("m", i), Seq: head + int64(i) + 1, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)), SentMS: m.SentMS}
		if diff := cmp.Diff(want, m); diff != "" || m.SentMS == 0 {
			t.Fatal(diff)
		}
	}
}

func TestResumeGivesWhatWasMissed(t *testing.T) {
	_, url, _ := start(t, 8)
	b := dial(t, url, false)
	var seqs []int64
	for i := range historyMessages + 5 {
		seqs = append(seqs, b.publish("stage", fmt.Sprint(i), `1`))
	}
	a := dial(t, url, false)
	after := seqs[len(seqs)-4]
	a.say(inbound{Type: "subscribe", Topic: "stage", After: &after})
	a.expect("subscribed")
	for _, seq := range seqs[len(seqs)-3:] {
		if m := a.expect("message"); m.Seq != seq {
			t.Fatalf("sequence %d, want %d", m.Seq, seq)
		}
	}
	all := int64(0)
	c := dial(t, url, false)
	c.say(inbound{Type: "subscribe", Topic: "stage", After: &all})
	c.expect("subscribed")
	for _, seq := range seqs[5:] {
		if m := c.expect("message"); m.Seq != seq {
			t.Fatalf("sequence %d, want %d", m.Seq, seq)
		}
	}
}

func TestSyntheticAndRealNeverHearEachOther(t *testing.T) {
	_, url, _ := start(t, 8)
	guest, probe, other := dial(t, url, false), dial(t, url, true), dial(t, url, true)
	guest.subscribe("stage")
	other.subscribe("stage")
	probe.publish("stage", "probe", `"synthetic"`)
	if m := other.expect("message"); m.ID != "probe" {
		t.Fatalf("%+v", m)
	}
	dial(t, url, false).publish("stage", "real", `"real"`)
	if m := guest.expect("message"); m.ID != "real" {
		t.Fatalf("a guest hears %+v", m)
	}
}

func TestBadFramesAreAnsweredAndHarmNobody(t *testing.T) {
	_, url, _ := start(t, 8)
	a := dial(t, url, false)
	for _, frame := range []string{
		`not json`, `{"type":"dance"}`, `{"type":"subscribe"}`, `{"type":"publish","topic":"t"}`,
		`{"type":"subscribe","topic":"a\u0000b"}`, `{"type":"publish","topic":"t","id":"x","data":"` + strings.Repeat("x", maxData) + `"}`,
	} {
		if err := a.conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		if out := a.expect("error"); out.Error == "" {
			t.Fatalf("%s: %+v", frame, out)
		}
	}
	a.subscribe("still here")
}

func scrape(t *testing.T, r *Relay) string {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(r.Collectors()...)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	return rec.Body.String()
}

func TestSlowClientLosesCountedMessagesAndHoldsUpNobody(t *testing.T) {
	r, err := New(Options{Connections: 1, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	slow, fast := newClient(false), newClient(false) // nobody takes from their queues
	for _, c := range []*client{slow, fast} {
		r.handle(c, []byte(`{"type":"subscribe","topic":"t"}`))
	}
	got := 0
	for i := range 3 * queueMessages {
		if err := r.publish(newClient(false), inbound{Topic: "t", ID: fmt.Sprint(i), Data: json.RawMessage(`1`)}); err != nil {
			t.Fatal(err)
		}
		got += len(fast.take())
	}
	if want := 3*queueMessages + 1; got != want { // with the reply to its subscription
		t.Errorf("the fast client got %d frames, want %d", got, want)
	}
	if n := len(slow.take()); n != queueMessages+1 {
		t.Errorf("the slow client holds %d frames, want %d", n, queueMessages+1)
	}
	if want := fmt.Sprintf("edgecore_relay_dropped_total %d\n", 2*queueMessages); !strings.Contains(scrape(t, r), want) {
		t.Errorf("metrics do not say %s", want)
	}
	if err := r.publish(newClient(false), inbound{Topic: "t", ID: "x", Data: json.RawMessage(`1`)}); err != nil {
		t.Fatal(err)
	}
	if n := len(slow.take()); n != 1 {
		t.Errorf("after it caught up the slow client gets %d frames, want 1", n)
	}
}

func TestTopicsAreBounded(t *testing.T) {
	r, err := New(Options{Connections: 1, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(topic string) error {
		return r.publish(newClient(false), inbound{Topic: topic, ID: "x", Data: json.RawMessage(`"` + strings.Repeat("x", maxData-2) + `"`)})
	}
	for i := range 10 * maxTopics {
		if err := publish(fmt.Sprint("t", i%(2*maxTopics))); err != nil {
			t.Fatal(err)
		}
	}
	size := 0
	for _, tp := range r.topics {
		size += tp.bytes
	}
	if len(r.topics) != maxTopics || size > maxTopics*(historyBytes+maxFrame) {
		t.Errorf("%d topics hold %d bytes", len(r.topics), size)
	}
	for i := range maxTopics {
		if err := r.subscribe(newClient(false), inbound{Topic: fmt.Sprint("s", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := publish("one more"); err == nil {
		t.Error("a topic beyond the bound was made although all are followed")
	}
}

func TestFullRelayRefuses(t *testing.T) {
	_, url, _ := start(t, 1)
	dial(t, url, false).subscribe("t")
	_, resp, err := websocket.Dial(t.Context(), url, nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%v, %v", resp, err)
	}
}

// TestClientThatDiesWithAFullQueueIsForgotten publishes without ever reading its
// answers until the relay reads no further, then breaks the connection.
func TestClientThatDiesWithAFullQueueIsForgotten(t *testing.T) {
	r, url, _ := start(t, 8)
	a := dial(t, url, false)
	frame := []byte(`{"type":"publish","topic":"t","id":"` + strings.Repeat("i", maxName) + `","data":1}`)
	sent := 0
	for err := error(nil); err == nil; sent++ {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err = a.conn.Write(ctx, websocket.MessageText, frame) // fails, and breaks the connection, once nothing moves
		cancel()
	}
	t.Logf("the relay stopped reading after %d frames", sent)
	limit := time.Now().Add(3 * writeTimeout)
	for r.Connections() != 0 {
		if time.Now().After(limit) {
			t.Fatal("a dead client is still connected")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestStopSaysGoodbyeWithinItsGrace(t *testing.T) {
	r, url, stop := start(t, 8)
	polite, rude := dial(t, url, false), dial(t, url, false)
	polite.subscribe("t")
	rude.subscribe("t") // and never reads again
	begun := time.Now()
	said := make(chan websocket.StatusCode, 1)
	go func() {
		_, _, err := polite.conn.Read(context.Background())
		said <- websocket.CloseStatus(err)
	}()
	stop()
	if code := <-said; code != websocket.StatusGoingAway {
		t.Errorf("close status %v", code)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if r.Connections() != 0 {
		t.Errorf("%d connections left", r.Connections())
	}
}
