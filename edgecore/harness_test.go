package edgecore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ghostlight/edgecore"
	"ghostlight/edgecore/claim"
	"ghostlight/edgecore/payments"
	"ghostlight/internal/strictyaml"
)

const (
	hubToken     = "hub-secret"
	adminToken   = "admin-secret"
	syntheticKey = "0123456789abcdef0123456789abcdef"
	deadline     = 15 * time.Second // of everything that is waited for
)

func hubConfig(dir, listen string) edgecore.Config {
	c := edgecore.Default()
	c.Role, c.Name, c.Listen, c.DataDir, c.Hub.Token = edgecore.RoleHub, "hub-1", listen, dir, hubToken
	return c
}

func nodeConfig(dir, hubURL string) edgecore.Config {
	c := edgecore.Default()
	c.Role, c.Name, c.Listen, c.DataDir = edgecore.RoleNode, "soho-1", "127.0.0.1:0", dir
	c.Admin = edgecore.Admin{Listen: "127.0.0.1:0", Token: adminToken}
	c.Hub = edgecore.Hub{URL: hubURL, Token: hubToken}
	c.SyntheticKey = syntheticKey
	c.Cache.VerifyInterval = strictyaml.Duration(200 * time.Millisecond)
	return c
}

// run starts an app in this process; stop ends it and reports how long that took.
func run(t *testing.T, cfg edgecore.Config) (app *edgecore.App, stop func() time.Duration) {
	t.Helper()
	app, err := edgecore.New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	stopped := false
	stop = func() time.Duration {
		if stopped {
			return 0
		}
		stopped = true
		begun := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		return time.Since(begun)
	}
	t.Cleanup(func() { stop() })
	return app, stop
}

// guest speaks HTTP to a node.
type guest struct {
	base   string
	admin  string
	client *http.Client
	claim  string // if set, everything is synthetic
}

func newGuest(addr, adminAddr string) *guest {
	return &guest{base: "http://" + addr, admin: "http://" + adminAddr, client: &http.Client{Timeout: deadline, Transport: &http.Transport{}}}
}

// probe is the same guest with a synthetic claim.
func (g *guest) probe(t *testing.T) *guest {
	t.Helper()
	now := time.Now()
	c, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: "agent", Subject: "revenue-path", ID: "1", Audience: jwt.ClaimStrings{claim.Audience},
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
	}).SignedString([]byte(syntheticKey))
	if err != nil {
		t.Fatal(err)
	}
	p := *g
	p.claim = c
	return &p
}

type response struct {
	Status int
	Header http.Header
	Body   []byte
}

// send makes one request; the error is that of the connection.
func (g *guest) send(method, url, idem string, body any) (response, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return response{}, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, url, reader)
	if err != nil {
		return response{}, err
	}
	if idem != "" {
		req.Header.Set("Idempotency-Key", idem)
	}
	if g.claim != "" {
		req.Header.Set(claim.Header, g.claim)
	}
	if strings.HasPrefix(url, g.admin) {
		req.Header.Set("Authorization", "Bearer "+adminToken)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, raw}, err
}

// must makes a request that has to be answered with status, decoded into out.
func (g *guest) must(t *testing.T, status int, method, url, idem string, body, out any) response {
	t.Helper()
	r, err := g.send(method, url, idem, body)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != status {
		t.Fatalf("%s %s: %d %s, want %d", method, url, r.Status, r.Body, status)
	}
	if out != nil {
		if err := json.Unmarshal(r.Body, out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, url, err, r.Body)
		}
	}
	return r
}

type paid struct {
	PaymentID   string `json:"payment_id"`
	AmountMinor int64  `json:"amount_minor"`
	Receipt     string `json:"receipt"`
}

// buy makes a whole sale of one item.
func (g *guest) buy(t *testing.T, name string) paid {
	t.Helper()
	var ticket struct{ Ticket string }
	var in struct {
		ID string `json:"checkin_id"`
	}
	var menu struct{ Items []struct{ SKU string } }
	var order struct {
		ID string `json:"order_id"`
	}
	var p paid
	g.must(t, 201, "POST", g.base+"/v1/tickets", "", map[string]any{}, &ticket)
	g.must(t, 201, "POST", g.base+"/v1/checkins", name+"/in", map[string]any{"ticket": ticket.Ticket}, &in)
	g.must(t, 200, "GET", g.base+"/v1/catalog", "", nil, &menu)
	g.must(t, 201, "POST", g.base+"/v1/orders", name+"/order", map[string]any{
		"checkin_id": in.ID, "items": []map[string]any{{"sku": menu.Items[0].SKU, "quantity": 1}},
	}, &order)
	g.must(t, 201, "POST", g.base+"/v1/orders/"+order.ID+"/payments", name+"/pay", map[string]any{"method": "card", "token": "tok_ok"}, &p)
	return p
}

func (g *guest) summary(t *testing.T) payments.Summary {
	t.Helper()
	var s payments.Summary
	g.must(t, 200, "GET", g.admin+"/admin/ledger", "", nil, &s)
	return s
}

// outcomes reads everything by the cursor, in small pages.
func (g *guest) outcomes(t *testing.T) []payments.Outcome {
	t.Helper()
	var all []payments.Outcome
	for {
		var page payments.Page
		g.must(t, 200, "GET", fmt.Sprintf("%s/admin/outcomes?after=%d&limit=97", g.admin, len(all)), "", nil, &page)
		if len(page.Outcomes) == 0 {
			return all
		}
		for _, o := range page.Outcomes {
			all = append(all, o)
			if o.Seq != int64(len(all)) {
				t.Fatalf("outcome %d has sequence %d", len(all), o.Seq)
			}
		}
	}
}

// metric reads one series.
func (g *guest) metric(t *testing.T, series string) string {
	t.Helper()
	r := g.must(t, 200, "GET", g.admin+"/metrics", "", nil, nil)
	for line := range strings.Lines(string(r.Body)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

type hubLedger struct {
	Sales      int64 `json:"sales"`
	SalesMinor int64 `json:"sales_minor"`
	Refunds    int64 `json:"refunds"`
}

func readHub(t *testing.T, addr string) hubLedger {
	t.Helper()
	var l hubLedger
	g := newGuest(addr, "none")
	defer g.client.CloseIdleConnections()
	g.must(t, 200, "GET", g.base+"/hub/v1/ledger", "", nil, &l)
	return l
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.Now().Add(deadline)
	for !ok() {
		if time.Now().After(limit) {
			t.Fatalf("%s: not within %v", what, deadline)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
