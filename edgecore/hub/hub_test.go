package hub

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
	"pgregory.net/rapid"

	"ghostlight/edgecore/catalog"
	"ghostlight/edgecore/httpapi"
	"ghostlight/edgecore/settlement"
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := OpenStore(context.Background(), filepath.Join(dir, "hub.db"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func entry(seq int64) settlement.Entry {
	kind := settlement.Sale
	if seq%5 == 0 {
		kind = settlement.Refund
	}
	return settlement.Entry{Seq: seq, Type: kind, PaymentID: "p", AmountMinor: 100 + seq, Currency: "EUR", TimeMS: seq}
}

// TestAnyOrderAndRepetitionCountsOnce sends a ledger's entries in random runs,
// overlapping, repeated, with gaps filled later.
func TestAnyOrderAndRepetitionCountsOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		s, err := OpenStore(context.Background(), filepath.Join(dir, "hub.db"), time.Now)
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		n := rapid.Int64Range(1, 12).Draw(rt, "entries")
		held := map[int64]bool{}
		for range rapid.IntRange(1, 8).Draw(rt, "requests") {
			req := settlement.Request{Node: "a", Ledger: "l"}
			for _, seq := range rapid.SliceOfDistinct(rapid.Int64Range(1, n), rapid.ID[int64]).Draw(rt, "seqs") {
				held[seq] = true
			}
			for seq := int64(1); seq <= n; seq++ {
				if held[seq] {
					req.Entries = append(req.Entries, entry(seq))
				}
			}
			got, err := s.Accept(context.Background(), req)
			if err != nil {
				rt.Fatal(err)
			}
			var want int64
			for held[want+1] {
				want++
			}
			if got != want {
				rt.Fatalf("accepted through %d, want %d of %v", got, want, held)
			}
		}
		want := map[account]Money{}
		for seq := range held {
			e := entry(seq)
			a := account{"a", e.Type, e.Currency}
			want[a] = Money{want[a].Count + 1, want[a].AmountMinor + e.AmountMinor}
		}
		if diff := cmp.Diff(want, s.snapshot(), cmp.AllowUnexported(account{})); diff != "" {
			rt.Fatal(diff)
		}
		again, err := OpenStore(context.Background(), filepath.Join(dir, "hub.db"), time.Now)
		if err != nil {
			rt.Fatal(err)
		}
		defer again.Close()
		if diff := cmp.Diff(want, again.snapshot(), cmp.AllowUnexported(account{})); diff != "" {
			rt.Fatalf("after reopening: %s", diff)
		}
	})
}

func TestConflictTakesNothing(t *testing.T) {
	s := openStore(t, t.TempDir())
	if _, err := s.Accept(t.Context(), settlement.Request{Node: "a", Ledger: "l", Entries: []settlement.Entry{entry(1)}}); err != nil {
		t.Fatal(err)
	}
	other := entry(1)
	other.AmountMinor++
	_, err := s.Accept(t.Context(), settlement.Request{Node: "a", Ledger: "l", Entries: []settlement.Entry{other, entry(2)}})
	if !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	through, err := s.Accept(t.Context(), settlement.Request{Node: "a", Ledger: "l"})
	if err != nil || through != 1 {
		t.Fatalf("through %d, %v", through, err)
	}
	through, err = s.Accept(t.Context(), settlement.Request{Node: "b", Ledger: "l", Entries: []settlement.Entry{other}})
	if err != nil || through != 1 {
		t.Fatalf("another node's entry: through %d, %v", through, err)
	}
}

func TestHTTP(t *testing.T) {
	h, err := New(openStore(t, t.TempDir()), catalog.Generate(1, 3, "EUR"), "secret")
	if err != nil {
		t.Fatal(err)
	}
	rt := httpapi.NewRouter(httpapi.NewMetrics(prometheus.NewRegistry()), noop.NewTracerProvider().Tracer(""), slog.New(slog.DiscardHandler))
	h.Routes(rt)
	do := func(method, target, body string, header ...string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, target, strings.NewReader(body))
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		rec := httptest.NewRecorder()
		rt.ServeHTTP(rec, req)
		return rec
	}
	first := do("GET", "/hub/v1/catalog", "")
	if first.Code != http.StatusOK || !strings.HasPrefix(first.Header().Get("Content-Digest"), "sha-256=:") {
		t.Fatalf("catalogue: %d %v", first.Code, first.Header())
	}
	var c catalog.Catalog
	if err := json.Unmarshal(first.Body.Bytes(), &c); err != nil || len(c.Items) != 3 {
		t.Fatalf("catalogue: %v, %v", c, err)
	}
	sale := `{"node":"a","ledger":"l","entries":[{"seq":1,"type":"sale","payment_id":"p","amount_minor":250,"currency":"EUR","time_ms":1}]}`
	for _, tc := range []struct {
		name, method, target, body string
		header                     []string
		status                     int
		want                       string
	}{
		{"unchanged", "GET", "/hub/v1/catalog", "", []string{"If-None-Match", first.Header().Get("ETag")}, 304, ""},
		{"item", "GET", "/hub/v1/catalog/" + c.Items[0].SKU, "", nil, 200, `"sku":"` + c.Items[0].SKU},
		{"no item", "GET", "/hub/v1/catalog/nothing", "", nil, 404, "no item"},
		{"no token", "POST", "/hub/v1/settlements", sale, nil, 401, "bearer"},
		{"settle", "POST", "/hub/v1/settlements", sale, []string{"Authorization", "Bearer secret"}, 200, `{"accepted_through":1}`},
		{"repeat", "POST", "/hub/v1/settlements", sale, []string{"Authorization", "Bearer secret"}, 200, `{"accepted_through":1}`},
		{"conflict", "POST", "/hub/v1/settlements", strings.Replace(sale, "250", "251", 1), []string{"Authorization", "Bearer secret"}, 409, "another content"},
		{"negative", "POST", "/hub/v1/settlements", strings.Replace(sale, "250", "-1", 1), []string{"Authorization", "Bearer secret"}, 400, "amount of -1"},
		{"ledger", "GET", "/hub/v1/ledger", "", nil, 200, `{"sales":1,"sales_minor":250,"refunds":0,"refunds_minor":0,"nodes":{"a":{"sales":1,"sales_minor":250,"refunds":0,"refunds_minor":0}}}`},
	} {
		rec := do(tc.method, tc.target, tc.body, tc.header...)
		if rec.Code != tc.status || !strings.Contains(rec.Body.String(), tc.want) {
			t.Errorf("%s: %d %s", tc.name, rec.Code, rec.Body)
		}
	}
}
