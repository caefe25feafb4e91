package demo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func goodSummary() Summary {
	return Summary{
		Seed: 7,
		Nodes: []Node{{
			Venue: "soho", Node: "soho-1", SamplesProduced: 100, SamplesCentral: 90, SamplesDeclaredLost: 10,
			RevenueProduced: map[string]float64{`edgecore_payments_total{method="card",result="captured"}`: 4},
			RevenueCentral:  map[string]float64{`edgecore_payments_total{method="card",result="captured"}`: 4},
			DarkSeconds:     60.5, Heals: 2,
		}},
		Sales:     Sales{Crowd: 4, EdgeLedgers: 4, HubLedger: 4, Report: 4},
		Processes: []Process{{Name: "fleet", PeakRSSBytes: 1 << 20, CPUSeconds: 1.5, Restarts: 1}},
	}
}

func TestSummaryShape(t *testing.T) {
	s := goodSummary()
	if against := s.Judge(); len(against) > 0 {
		t.Fatalf("good summary: %v", against)
	}
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"ok":true,"seed":7,"nodes":[{"venue":"soho","node":"soho-1","samples_produced":100,"samples_central":90,"samples_declared_lost":10,` +
		`"revenue_produced":{"edgecore_payments_total{method=\"card\",result=\"captured\"}":4},"revenue_central":{"edgecore_payments_total{method=\"card\",result=\"captured\"}":4},` +
		`"dark_seconds":60.5,"heals":2}],"sales":{"crowd":4,"edge_ledgers":4,"hub_ledger":4,"report":4},"processes":[{"name":"fleet","peak_rss_bytes":1048576,"cpu_seconds":1.5,"restarts":1}]}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("JSON (-want +got):\n%s", d)
	}
	if text := s.Text(); !strings.Contains(text, "Everything adds up") || !strings.Contains(text, "soho-1") || !strings.Contains(text, "1 equal") {
		t.Errorf("text:\n%s", text)
	}
}

func TestJudgeSaysWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*Summary)
		want  string
	}{
		"sample missing":  {func(s *Summary) { s.Nodes[0].SamplesCentral-- }, "produced 100 samples, but the centre holds 89 and 10 were declared lost"},
		"sample too many": {func(s *Summary) { s.Nodes[0].SamplesCentral++ }, "the centre holds 91"},
		"no samples at all": {func(s *Summary) {
			n := &s.Nodes[0]
			n.SamplesProduced, n.SamplesCentral, n.SamplesDeclaredLost = 0, 0, 0
		}, "produced no samples"},
		"no node": {func(s *Summary) { s.Nodes = nil }, "no node reported"},
		"revenue differs": {func(s *Summary) {
			s.Nodes[0].RevenueCentral[`edgecore_payments_total{method="card",result="captured"}`] = 3
		}, "is 4 at the venue and 3 at the centre"},
		"revenue missing": {func(s *Summary) { clear(s.Nodes[0].RevenueCentral) }, "4 at the venue and absent at the centre"},
		"revenue unknown": {func(s *Summary) { s.Nodes[0].RevenueCentral["x"] = 1 }, "x is absent at the venue and 1 at the centre"},
		"no revenue":      {func(s *Summary) { clear(s.Nodes[0].RevenueCentral); clear(s.Nodes[0].RevenueProduced) }, "has no revenue counters"},
		"ledger":          {func(s *Summary) { s.Sales.EdgeLedgers++ }, "5 in the venues' ledgers"},
		"hub":             {func(s *Summary) { s.Sales.HubLedger-- }, "3 settled at the hub"},
		"report":          {func(s *Summary) { s.Sales.Report = 0 }, "0 in the reports"},
		"nothing sold":    {func(s *Summary) { s.Sales = Sales{} }, "nothing was sold"},
	} {
		s := goodSummary()
		tc.spoil(&s)
		against := s.Judge()
		if s.OK || !slices.ContainsFunc(against, func(a string) bool { return strings.Contains(a, tc.want) }) {
			t.Errorf("%s: ok %v, %q, want %q", name, s.OK, against, tc.want)
		}
		if !strings.Contains(s.Text(), "do not add up") {
			t.Errorf("%s: the text says nothing of it", name)
		}
	}
}

func TestSeriesTextIgnoresIdentityAndOrder(t *testing.T) {
	for _, tc := range []struct {
		labels map[string]string
		want   string
	}{
		{map[string]string{"__name__": "a_total", "venue": "soho", "node": "soho-1", "region": "london", "job": "edgecore", "instance": "x"}, "a_total"},
		{map[string]string{"__name__": "a_total", "result": "ok", "method": "card"}, `a_total{method="card",result="ok"}`},
		{map[string]string{"__name__": "a_total", "note": "say \"hi\"\n"}, `a_total{note="say \"hi\"\n"}`},
	} {
		if got := seriesText(tc.labels); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.labels, got, tc.want)
		}
	}
}

// The venue's exposition and the centre's export of the same counters read the
// same.
func TestScrapedAndExportedAgree(t *testing.T) {
	exposition := `# HELP edgecore_payments_total Payments.
# TYPE edgecore_payments_total counter
edgecore_payments_total{method="card",result="captured"} 12
edgecore_payments_total{method="card",result="declined"} 0
# TYPE edgecore_payment_amount_minor_total counter
edgecore_payment_amount_minor_total{currency="GBP"} 1.234567e+06
# TYPE edgecore_refunds_total counter
edgecore_refunds_total 3
# TYPE edgecore_cache_objects gauge
edgecore_cache_objects 41
`
	export := `{"metric":{"__name__":"edgecore_payments_total","method":"card","result":"captured","venue":"soho","job":"edgecore"},"values":[10,null],"timestamps":[1000,9000]}
{"metric":{"__name__":"edgecore_payments_total","method":"card","result":"captured","venue":"soho","job":"edgecore"},"values":[12,11],"timestamps":[3000,2000]}
{"metric":{"__name__":"edgecore_payments_total","method":"card","result":"declined","node":"soho-1"},"values":[0],"timestamps":[1000]}

{"metric":{"__name__":"edgecore_payment_amount_minor_total","currency":"GBP"},"values":[1234567],"timestamps":[1000]}
{"metric":{"__name__":"edgecore_refunds_total","node":"soho-1"},"values":[3],"timestamps":[1000]}
`
	want := map[string]float64{
		`edgecore_payments_total{method="card",result="captured"}`: 12,
		`edgecore_payments_total{method="card",result="declined"}`: 0,
		`edgecore_payment_amount_minor_total{currency="GBP"}`:      1234567,
		`edgecore_refunds_total`:                                   3,
	}
	here, err := scraped([]byte(exposition))
	if err != nil {
		t.Fatal(err)
	}
	there, err := exported([]byte(export))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, here); d != "" {
		t.Errorf("scraped:\n%s", d)
	}
	if d := cmp.Diff(want, there); d != "" {
		t.Errorf("exported:\n%s", d)
	}
	for _, bad := range []string{"nonsense", `{"metric":{},"values":[1],"timestamps":[]}`} {
		if _, err := exported([]byte(bad)); err == nil {
			t.Errorf("export %q was read", bad)
		}
	}
	if _, err := scraped([]byte("{{{")); err == nil {
		t.Error("a broken exposition was read")
	}
}

func TestLayoutKeepsPortsAndNamesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		venues, base := rapid.IntRange(1, MaxVenues).Draw(t, "venues"), rapid.IntRange(1024, 60000).Draw(t, "base")
		l := newLayout("/data", base, venues)
		if len(l.venues) != venues {
			t.Fatalf("%d venues, want %d", len(l.venues), venues)
		}
		if want := 3 + 7*venues; len(l.ports()) != want {
			t.Fatalf("%d ports, want %d: some are shared", len(l.ports()), want)
		}
		names := map[string]bool{}
		for i, v := range l.venues {
			names[v.name], names[v.token] = true, true
			if v.base != base+10*(i+1) || v.edgePort() != v.base+2 || v.otlpHTTPPort() != v.base+6 {
				t.Fatalf("venue %d: ports from %d", i, v.base)
			}
		}
		if len(names) != 2*venues {
			t.Fatalf("names or tokens are shared")
		}
	})
}

func TestCorruptFlipsOneByteInSomeObjects(t *testing.T) {
	dir := t.TempDir()
	if _, err := corruptObjects(filepath.Join(dir, "none"), 1); err == nil {
		t.Error("a cache that is not there was corrupted")
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("0123456789"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := corruptObjects(dir, 2); err != nil || n != 2 {
		t.Fatalf("%d objects, %v", n, err)
	}
	for name, want := range map[string]string{"a": "01234\xca6789", "b": "01234\xca6789", "c": "0123456789"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}
