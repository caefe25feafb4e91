package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"ghostlight/edgecore/catalog"
	"ghostlight/edgecore/claim"
	"ghostlight/edgecore/httpapi"
)

var (
	key  = []byte(strings.Repeat("k", claim.MinKey))
	menu = catalog.Catalog{Version: "1", Items: []catalog.Item{
		{SKU: "tea", Title: "Tea", PriceMinor: 250, Currency: "EUR"},
		{SKU: "hat", Title: "Hat", PriceMinor: 1900, Currency: "EUR"},
		{SKU: "pie", Title: "Pie", PriceMinor: 400, Currency: "GBP"},
	}}
)

// prices is a catalogue that can be taken away.
type prices struct{ err error }

func (p *prices) Catalog(context.Context) (catalog.Catalog, error) { return menu, p.err }

// fatal is what testing.T and rapid.T have in common here.
type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// till is a ledger that runs, with its HTTP door.
type till struct {
	t      fatal
	dir    string
	ledger *Ledger
	prices *prices
	door   http.Handler
	claim  string
	reg    *prometheus.Registry
	stop   func()
}

// openTill runs the ledger in dir; before may reach into it before it runs.
func openTill(t fatal, dir string, before func(*Ledger)) *till {
	t.Helper()
	l, err := Open(context.Background(), Options{Path: filepath.Join(dir, "ledger.db"), Node: "soho-1", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if before != nil {
		before(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	x := &till{t: t, dir: dir, ledger: l, prices: &prices{}, reg: prometheus.NewRegistry()}
	x.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, l.Close()); err != nil {
			t.Fatal(err)
		}
	})
	v, err := claim.NewVerifier(key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	api := NewAPI(l, x.prices, slog.New(slog.DiscardHandler))
	x.reg.MustRegister(append(api.Collectors(), NewCollector(l, "EUR"))...)
	rt := httpapi.NewRouter(httpapi.NewMetrics(prometheus.NewRegistry()), noop.NewTracerProvider().Tracer(""), slog.New(slog.DiscardHandler))
	api.Routes(rt)
	x.door = v.Middleware(rt)
	now := time.Now()
	x.claim, err = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: "probe", Subject: "j", ID: "1", Audience: jwt.ClaimStrings{claim.Audience},
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
	}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// reply is what the door answered.
type reply struct {
	Status int
	Body   string
}

// field returns a string field of the body.
func (r reply) field(name string) string {
	var m map[string]any
	if json.Unmarshal([]byte(r.Body), &m) != nil {
		return ""
	}
	s, _ := m[name].(string)
	return s
}

func (x *till) do(method, path, idem, body string, synthetic bool) reply {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if idem != "" {
		req.Header.Set("Idempotency-Key", idem)
	}
	if synthetic {
		req.Header.Set(claim.Header, x.claim)
	}
	rec := httptest.NewRecorder()
	x.door.ServeHTTP(rec, req)
	return reply{rec.Code, rec.Body.String()}
}

func (x *till) must(status int, method, path, idem, body string, synthetic bool) reply {
	x.t.Helper()
	r := x.do(method, path, idem, body, synthetic)
	if r.Status != status {
		x.t.Fatalf("%s %s: %d %s, want %d", method, path, r.Status, r.Body, status)
	}
	return r
}

// checkin walks a guest in, under a key of its own.
func (x *till) checkin(name string, synthetic bool) string {
	x.t.Helper()
	ticket := x.must(201, "POST", "/v1/tickets", "", `{}`, synthetic).field("ticket")
	return x.must(201, "POST", "/v1/checkins", name+"/in", `{"ticket":"`+ticket+`"}`, synthetic).field("checkin_id")
}

// order is a guest's order of two teas, 500 minor units.
func (x *till) order(name string, synthetic bool) string {
	x.t.Helper()
	body := fmt.Sprintf(`{"checkin_id":%q,"items":[{"sku":"tea","quantity":2}]}`, x.checkin(name, synthetic))
	return x.must(201, "POST", "/v1/orders", name+"/order", body, synthetic).field("order_id")
}

const (
	payCard     = `{"method":"card","token":"tok_ok"}`
	payDeclined = `{"method":"card","token":"tok_declined"}`
)

// sale is a whole sale; it returns the payment.
func (x *till) sale(name string, synthetic bool) reply {
	x.t.Helper()
	return x.must(201, "POST", "/v1/orders/"+x.order(name, synthetic)+"/payments", name+"/pay", payCard, synthetic)
}

// metrics returns the lines of the revenue counters that are not zero.
func (x *till) metrics() string {
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(x.reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	var b strings.Builder
	for line := range strings.Lines(rec.Body.String()) {
		if strings.HasPrefix(line, "edgecore_") && !strings.HasSuffix(line, " 0\n") &&
			!strings.Contains(line, "duration") && !strings.Contains(line, "settlement") && !strings.Contains(line, "tokens") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (x *till) outcomes() []Outcome {
	x.t.Helper()
	page, err := x.ledger.Outcomes(context.Background(), 0, 100000)
	if err != nil {
		x.t.Fatal(err)
	}
	if page.Head != int64(len(page.Outcomes)) {
		x.t.Fatalf("head %d with %d outcomes", page.Head, len(page.Outcomes))
	}
	for i, o := range page.Outcomes {
		if o.Seq != int64(i)+1 {
			x.t.Fatalf("outcome %d has sequence %d", i+1, o.Seq)
		}
	}
	return page.Outcomes
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestASaleFromDoorToReceipt(t *testing.T) {
	x := openTill(t, t.TempDir(), nil)
	ticket := x.must(201, "POST", "/v1/tickets", "", ``, false).field("ticket")
	checkin := x.must(201, "POST", "/v1/checkins", "a", `{"ticket":"`+ticket+`"}`, false).field("checkin_id")
	x.must(409, "POST", "/v1/checkins", "b", `{"ticket":"`+ticket+`"}`, false)
	x.must(401, "POST", "/v1/checkins", "c", `{"ticket":"forged"}`, false)
	order := x.must(201, "POST", "/v1/orders", "d", `{"checkin_id":"`+checkin+`","items":[{"sku":"tea","quantity":2},{"sku":"hat","quantity":1}]}`, false)
	if !strings.Contains(order.Body, `"total_minor":2400`) {
		t.Fatal(order.Body)
	}
	pay := "/v1/orders/" + order.field("order_id") + "/payments"
	declined := x.must(402, "POST", pay, "e", `{"method":"card","token":"tok_declined"}`, false)
	if declined.field("status") != "declined" {
		t.Fatal(declined.Body)
	}
	paid := x.must(201, "POST", pay, "f", payCard, false)
	x.must(409, "POST", pay, "g", payCard, false)
	got := x.must(200, "GET", "/v1/payments/"+paid.field("payment_id"), "", "", false)
	if diff := cmp.Diff(paid.Body, got.Body); diff != "" {
		t.Fatal(diff)
	}
	receipt := fmt.Sprintf(`{"receipt":%q}`, paid.field("receipt"))
	if r := x.must(200, "POST", "/v1/receipts/verify", "", receipt, false); !strings.Contains(r.Body, `"amount_minor":2400`) || !strings.Contains(r.Body, `"valid":true`) {
		t.Fatal(r.Body)
	}
	for name, body := range map[string]string{"tampered": strings.Replace(receipt, ".", ".x", 1), "ticket": fmt.Sprintf(`{"receipt":%q}`, ticket)} {
		if r := x.must(200, "POST", "/v1/receipts/verify", "", body, false); strings.TrimSpace(r.Body) != `{"valid":false}` {
			t.Fatalf("%s: %s", name, r.Body)
		}
	}
	refunds := "/v1/payments/" + paid.field("payment_id") + "/refunds"
	x.must(201, "POST", refunds, "h", "", false)
	x.must(409, "POST", refunds, "i", "", false)
	x.must(409, "POST", "/v1/payments/"+declined.field("payment_id")+"/refunds", "j", "", false)

	var of []string // which of the outcomes belong to the check-in
	for _, o := range x.outcomes() {
		switch o.Checkin {
		case checkin:
			of = append(of, string(o.Kind)+o.Reason)
		case "":
		default:
			t.Errorf("outcome %+v belongs to another check-in", o)
		}
	}
	if diff := cmp.Diff([]string{"checkin", "order", "paymentdeclined", "payment", "refund"}, of); diff != "" {
		t.Errorf("outcomes of the check-in (-want +got):\n%s", diff)
	}

	want := `edgecore_checkins_total{result="ok"} 1
edgecore_checkins_total{result="rejected"} 2
edgecore_ledger_writable 1
edgecore_orders_total{result="created"} 1
edgecore_outcomes_total{good="true",kind="checkin"} 3
edgecore_outcomes_total{good="true",kind="order"} 1
edgecore_outcomes_total{good="true",kind="payment"} 2
edgecore_outcomes_total{good="true",kind="refund"} 1
edgecore_payment_amount_minor_total{currency="EUR"} 2400
edgecore_payments_total{method="card",result="captured"} 1
edgecore_payments_total{method="card",result="declined"} 1
edgecore_refund_amount_minor_total{currency="EUR"} 2400
edgecore_refunds_total 1
`
	if diff := cmp.Diff(want, x.metrics()); diff != "" {
		t.Error(diff)
	}
	id := x.ledger.ID()
	x.stop()
	x = openTill(t, x.dir, nil)
	defer x.stop()
	if diff := cmp.Diff(want, x.metrics()); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	if x.ledger.ID() != id {
		t.Error("the ledger's identity changed")
	}
	if r := x.must(200, "POST", "/v1/receipts/verify", "", receipt, false); !strings.Contains(r.Body, `"valid":true`) {
		t.Error("a receipt does not survive a restart")
	}
}

func TestMalformedRequestsChangeNothing(t *testing.T) {
	x := openTill(t, t.TempDir(), nil)
	defer x.stop()
	order := x.order("a", false)
	before := x.metrics()
	for _, tc := range []struct {
		name, path, idem, body string
		status                 int
	}{
		{"no key", "/v1/orders/" + order + "/payments", "", payCard, 400},
		{"long key", "/v1/orders/" + order + "/payments", strings.Repeat("k", 256), payCard, 400},
		{"no JSON", "/v1/orders", "k", `{`, 400},
		{"no items", "/v1/orders", "k", `{"checkin_id":"x","items":[]}`, 400},
		{"no quantity", "/v1/orders", "k", `{"checkin_id":"x","items":[{"sku":"tea"}]}`, 400},
		{"huge quantity", "/v1/orders", "k", `{"checkin_id":"x","items":[{"sku":"tea","quantity":9223372036854775807}]}`, 400},
		{"unknown method", "/v1/orders/" + order + "/payments", "k", `{"method":"shells"}`, 400},
		{"unknown token", "/v1/orders/" + order + "/payments", "k", `{"method":"card","token":"4111"}`, 400},
		{"no such order", "/v1/orders/x/payments", "k", payCard, 404},
		{"no such payment", "/v1/payments/x/refunds", "k", ``, 404},
		{"huge body", "/v1/orders", "k", `{"checkin_id":"` + strings.Repeat("x", httpapi.MaxBody) + `"}`, 413},
	} {
		r := x.do("POST", tc.path, tc.idem, tc.body, false)
		if r.Status != tc.status || r.field("error") == "" {
			t.Errorf("%s: %d %s", tc.name, r.Status, r.Body)
		}
	}
	if diff := cmp.Diff(before, x.metrics()); diff != "" {
		t.Error(diff)
	}
}

func TestRejectedOrdersAreNoFailuresOfOurs(t *testing.T) {
	x := openTill(t, t.TempDir(), nil)
	defer x.stop()
	in := x.checkin("a", false)
	x.must(404, "POST", "/v1/orders", "1", `{"checkin_id":"nobody","items":[{"sku":"tea","quantity":1}]}`, false)
	x.must(400, "POST", "/v1/orders", "2", `{"checkin_id":"`+in+`","items":[{"sku":"yacht","quantity":1}]}`, false)
	x.must(400, "POST", "/v1/orders", "3", `{"checkin_id":"`+in+`","items":[{"sku":"tea","quantity":1},{"sku":"pie","quantity":1}]}`, false)
	if m := x.metrics(); !strings.Contains(m, `edgecore_orders_total{result="rejected"} 3`) || strings.Contains(m, `good="false"`) {
		t.Error(m)
	}
}

func TestUnknownPricesAreOurFailureAndRetriesStillAnswer(t *testing.T) {
	x := openTill(t, t.TempDir(), nil)
	in := x.checkin("a", false)
	body := `{"checkin_id":"` + in + `","items":[{"sku":"tea","quantity":1}]}`
	first := x.must(201, "POST", "/v1/orders", "1", body, false)
	x.prices.err = context.DeadlineExceeded
	x.must(503, "POST", "/v1/orders", "2", body, false)
	if diff := cmp.Diff(first, x.do("POST", "/v1/orders", "1", body, false)); diff != "" {
		t.Error(diff)
	}
	x.prices.err = nil
	x.must(201, "POST", "/v1/orders", "2", body, false)
	x.stop() // the last probe commits what waits
	x = openTill(t, x.dir, nil)
	defer x.stop()
	var bad []Outcome
	for _, o := range x.outcomes() {
		if !o.Good {
			bad = append(bad, Outcome{Kind: o.Kind, Reason: o.Reason})
		}
	}
	if diff := cmp.Diff([]Outcome{{Kind: KindOrder, Reason: ReasonCatalog}}, bad); diff != "" {
		t.Error(diff)
	}
}
