package edgecore_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ghostlight/edgecore"
	"ghostlight/edgecore/payments"
)

func TestRevenuePathWithHub(t *testing.T) {
	before := goleak.IgnoreCurrent()
	hub, stopHub := run(t, hubConfig(t.TempDir(), "127.0.0.1:0"))
	node, stopNode := run(t, nodeConfig(t.TempDir(), "http://"+hub.Addr()))
	g := newGuest(node.Addr(), node.AdminAddr())
	probe := g.probe(t)

	var total int64
	var last paid
	for i := range 5 {
		last = g.buy(t, fmt.Sprint("guest", i))
		total += last.AmountMinor
		probe.buy(t, fmt.Sprint("probe", i))
	}
	g.must(t, 201, "POST", g.base+"/v1/payments/"+last.PaymentID+"/refunds", "r", nil, nil)
	var verified struct {
		Valid       bool   `json:"valid"`
		PaymentID   string `json:"payment_id"`
		AmountMinor int64  `json:"amount_minor"`
	}
	g.must(t, 200, "POST", g.base+"/v1/receipts/verify", "", map[string]string{"receipt": last.Receipt}, &verified)
	if !verified.Valid || verified.PaymentID != last.PaymentID || verified.AmountMinor != last.AmountMinor {
		t.Errorf("receipt: %+v", verified)
	}
	eventually(t, "settlement", func() bool { return g.summary(t).Pending == 0 })
	if diff := cmp.Diff(hubLedger{Sales: 5, SalesMinor: total, Refunds: 1}, readHub(t, hub.Addr())); diff != "" {
		t.Error(diff)
	}
	for series, want := range map[string]string{
		`edgecore_payments_total{method="card",result="captured"}`: "5", `edgecore_payment_amount_minor_total{currency="EUR"}`: fmt.Sprint(total),
		`edgecore_synthetic_payments_total{result="captured"}`: "5", `edgecore_checkins_total{result="ok"}`: "5", `edgecore_refunds_total`: "1",
		`edgecore_hub_reachable`: "1", `edgecore_ledger_writable`: "1", `edgecore_settlement_pending`: "0",
	} {
		if got := g.metric(t, series); got != want {
			t.Errorf("%s is %q, want %s", series, got, want)
		}
	}
	g.must(t, 200, "GET", g.base+"/readyz", "", nil, nil)
	bad := *g
	bad.claim = "forged"
	bad.must(t, 401, "POST", g.base+"/v1/tickets", "", nil, nil)

	g.client.CloseIdleConnections()
	stopNode()
	stopHub()
	goleak.VerifyNone(t, before)
}

func TestSellingWithoutAHub(t *testing.T) {
	hubDir, nodeDir := t.TempDir(), t.TempDir()
	hub, stopHub := run(t, hubConfig(hubDir, "127.0.0.1:0"))
	addr := hub.Addr()
	cfg := nodeConfig(nodeDir, "http://"+addr)
	node, stopNode := run(t, cfg)
	g := newGuest(node.Addr(), node.AdminAddr())
	g.buy(t, "with")
	stopHub()
	stopNode()

	node, _ = run(t, cfg) // started with the hub away
	g = newGuest(node.Addr(), node.AdminAddr())
	for i := range 10 {
		g.buy(t, fmt.Sprint("without", i))
	}
	item := g.must(t, 200, "GET", g.base+"/v1/catalog/ticket-001", "", nil, nil) // never asked for before
	if from := item.Header.Get("X-Cache"); from != "stale" {
		t.Errorf("an item from the held catalogue says X-Cache %q", from)
	}
	if s := g.summary(t); s.Sales != 11 || s.Pending < 10 || s.OldestPendingSeconds <= 0 {
		t.Errorf("summary %+v", s)
	}
	eventually(t, "noticing that the hub is away", func() bool { return g.metric(t, "edgecore_hub_reachable") == "0" })

	hub, _ = run(t, hubConfig(hubDir, addr))
	eventually(t, "the backlog", func() bool { return g.summary(t).Pending == 0 })
	if s, h := g.summary(t), readHub(t, hub.Addr()); h.Sales != s.Sales || h.SalesMinor != s.SalesMinor {
		t.Errorf("node %+v, hub %+v", s, h)
	}
}

func TestNodeThatNeverSawAHubSaysSo(t *testing.T) {
	node, _ := run(t, nodeConfig(t.TempDir(), "http://127.0.0.1:9"))
	g := newGuest(node.Addr(), node.AdminAddr())
	r := g.must(t, 503, "GET", g.base+"/v1/catalog", "", nil, nil)
	if !bytes.Contains(r.Body, []byte("hub is away")) || r.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v", r.Body, r.Header)
	}
	g.must(t, 200, "GET", g.base+"/readyz", "", nil, nil)
}

func TestCorruptObjectsAreFoundAndRepaired(t *testing.T) {
	dir := t.TempDir()
	hub, _ := run(t, hubConfig(t.TempDir(), "127.0.0.1:0"))
	node, _ := run(t, nodeConfig(dir, "http://"+hub.Addr()))
	g := newGuest(node.Addr(), node.AdminAddr())
	want := g.must(t, 200, "GET", g.base+"/v1/catalog/drink-002", "", nil, nil)
	g.must(t, 200, "GET", g.base+"/v1/catalog", "", nil, nil)
	path := filepath.Join(dir, "cache", "objects", hex.EncodeToString([]byte("catalog/drink-002")))
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-10] ^= 0xff
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the verifier", func() bool { return g.metric(t, "edgecore_cache_corrupt_objects") == "1" })
	got := g.must(t, 200, "GET", g.base+"/v1/catalog/drink-002", "", nil, nil)
	if got.Header.Get("X-Cache") != "miss" || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("X-Cache %s: %s", got.Header.Get("X-Cache"), got.Body)
	}
	var report struct{ Objects, Corrupt, Refetched, Failed int }
	g.must(t, 200, "POST", g.admin+"/admin/cache/repair", "", nil, &report)
	if report.Objects != 2 || report.Corrupt != 1 || report.Refetched != 1 || report.Failed != 0 {
		t.Errorf("%+v", report)
	}
	if n := g.metric(t, "edgecore_cache_corrupt_objects"); n != "0" {
		t.Errorf("corrupt objects after the repair: %s", n)
	}
	if n := g.metric(t, "edgecore_cache_repairs_total"); n != "1" {
		t.Errorf("repairs: %s", n)
	}
}

func TestOutcomesLongPoll(t *testing.T) {
	hub, _ := run(t, hubConfig(t.TempDir(), "127.0.0.1:0"))
	node, _ := run(t, nodeConfig(t.TempDir(), "http://"+hub.Addr()))
	g := newGuest(node.Addr(), node.AdminAddr())
	g.buy(t, "a")
	head := len(g.outcomes(t))
	got := make(chan payments.Page, 1)
	go func() {
		var page payments.Page
		r, err := newGuest(node.Addr(), node.AdminAddr()).send("GET", fmt.Sprintf("%s/admin/outcomes?after=%d&wait=10s", g.admin, head), "", nil)
		if err != nil || json.Unmarshal(r.Body, &page) != nil {
			t.Errorf("%s, %v", r.Body, err)
		}
		got <- page
	}()
	g.buy(t, "b")
	if page := <-got; len(page.Outcomes) == 0 || page.Outcomes[0].Seq != int64(head)+1 {
		t.Errorf("%+v", page)
	}
	for _, query := range []string{"after=-1", "after=x", "limit=0", "limit=100000", "wait=1h", "wait=x"} {
		g.must(t, 400, "GET", g.admin+"/admin/outcomes?"+query, "", nil, nil)
	}
	stranger := *g
	stranger.admin = "none"
	stranger.must(t, 401, "GET", g.admin+"/admin/outcomes", "", nil, nil)
	stranger.must(t, 401, "POST", g.admin+"/admin/cache/repair", "", nil, nil)
	stranger.must(t, 200, "GET", g.admin+"/metrics", "", nil, nil)
}

func TestStoppingIsPromptWithOpenStreams(t *testing.T) {
	hub, _ := run(t, hubConfig(t.TempDir(), "127.0.0.1:0"))
	node, stop := run(t, nodeConfig(t.TempDir(), "http://"+hub.Addr()))
	g := newGuest(node.Addr(), node.AdminAddr())
	answered := make(chan error, 1)
	go func() {
		r, err := g.send("GET", g.admin+"/admin/outcomes?after=0&wait=30s", "", nil)
		if err == nil && r.Status != http.StatusOK {
			err = fmt.Errorf("%d %s", r.Status, r.Body)
		}
		answered <- err
	}()
	for range 20 { // which takes longer than the poll to arrive
		conn, _, err := websocket.Dial(t.Context(), "ws://"+node.Addr()+"/v1/relay", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if err := wsjson.Write(t.Context(), conn, map[string]string{"type": "subscribe", "topic": "stage"}); err != nil {
			t.Fatal(err)
		}
		if err := wsjson.Read(t.Context(), conn, &struct{}{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the connections", func() bool { return g.metric(t, "edgecore_relay_connections") == "20" })
	if took := stop(); took > 3*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if err := <-answered; err != nil {
		t.Errorf("the long poll: %v", err)
	}
}

func TestStartErrorsAreSentences(t *testing.T) {
	dir := t.TempDir()
	hub, _ := run(t, hubConfig(dir, "127.0.0.1:0"))
	for name, tc := range map[string]struct {
		cfg  edgecore.Config
		want string
	}{
		"folder taken":  {hubConfig(dir, "127.0.0.1:0"), "in use by another process"},
		"address taken": {hubConfig(t.TempDir(), hub.Addr()), hub.Addr() + " is taken"},
		"no role":       {edgecore.Default(), `field "role" is ""; allowed: node, hub`},
	} {
		_, err := edgecore.New(t.Context(), tc.cfg, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigErrorsNameThePlace(t *testing.T) {
	for _, tc := range []struct{ doc, want string }{
		{"role: node\nname: Soho One\n", `edgecore.yaml:2:1: field "name" is "Soho One"`},
		{"role: hub\nname: h\nlistn: x\n", `edgecore.yaml:3:1: field "listn" is unknown`},
		{"role: hub\nname: h\nlisten: 127.0.0.1:1\ndata_dir: d\nhub: {token: t}\ncatalog:\n  items: 5000\n", `edgecore.yaml:7:3: field "catalog.items" is 5000; allowed: 1 to 1000`},
		{"role: node\nname: n\nlisten: 127.0.0.1:1\nadmin: {listen: \"127.0.0.1:2\", token: t}\ndata_dir: d\nhub: {url: \"http://h\", token: t}\nsynthetic_key: short\n", `field "synthetic_key" has 5 characters; at least 32`},
		{"role: node\nname: n\nlisten: 127.0.0.1:1\nadmin: {listen: \"127.0.0.1:2\", token: t}\ndata_dir: d\nhub: {url: \"http://h\", token: t}\n", ""},
	} {
		path := filepath.Join(t.TempDir(), "edgecore.yaml")
		if err := os.WriteFile(path, []byte(tc.doc), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := edgecore.LoadConfig(path)
		if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s\n%v\nwant %s", tc.doc, err, tc.want)
		}
	}
}
