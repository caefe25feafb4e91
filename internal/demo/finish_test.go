package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeVenues plays the programs of a small demo: what the venues hold, and what
// the centre has heard of it so far.
type fakeVenues struct {
	mu       sync.Mutex // guards what follows
	sales    map[string]int64
	produced map[string]int64
	arrived  map[string]int64 // samples at the centre; catches up at each flush
	flushes  int
	bad      []string // calls without the credential they need
}

func (f *fakeVenues) handler(l layout, v *venue) http.Handler {
	mux := http.NewServeMux()
	reply := func(pattern, token string, body func() any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
				f.bad = append(f.bad, r.URL.Path)
			}
			switch b := body().(type) {
			case string:
				io.WriteString(w, b)
			default:
				json.NewEncoder(w).Encode(b)
			}
		})
	}
	if v != nil {
		reply("POST /api/flush", v.token, func() any {
			f.flushes++
			defer func() { f.arrived[v.name] += 50 }()
			return m{"drained": f.arrived[v.name] >= f.produced[v.name], "produced": m{"detail": f.produced[v.name] - 5, "revenue": 5}, "lost": m{"detail": 3}}
		})
		reply("GET /admin/ledger", v.adminToken, func() any { return m{"sales": f.sales[v.name], "pending": 0} })
		reply("GET /metrics", "", func() any {
			return fmt.Sprintf("# TYPE edgecore_payments_total counter\nedgecore_payments_total{result=\"captured\"} %d\n", f.sales[v.name])
		})
		return mux
	}
	reply("GET /api/fleet/v1/accepted", "", func() any {
		var rows []m
		for _, v := range l.venues {
			n := min(f.arrived[v.name], f.produced[v.name]-3)
			rows = append(rows, m{"node": v.node, "lane": "revenue", "samples": 5}, m{"node": v.node, "lane": "detail", "samples": n - 5})
		}
		return rows
	})
	reply("GET /api/fleet/v1/nodes", "", func() any {
		var rows []m
		for _, v := range l.venues {
			rows = append(rows, m{"venue": v.name, "node": v.node, "dark_seconds_total": 61.5, "heals": 2})
		}
		return rows
	})
	mux.HandleFunc("GET /api/v1/export", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, v := range l.venues {
			if strings.Contains(r.FormValue("match[]"), `venue="`+v.name+`",node="`+v.node+`"`) {
				json.NewEncoder(w).Encode(m{"metric": m{"__name__": "edgecore_payments_total", "result": "captured", "venue": v.name}, "values": []int64{f.sales[v.name]}, "timestamps": []int64{1}})
			}
		}
	})
	reply("GET /hub/v1/ledger", "", func() any {
		var n int64
		for s := range maps.Values(f.sales) {
			n += s
		}
		return m{"sales": n}
	})
	return mux
}

// freeBase finds ports for a layout of n venues.
func freeBase(t *testing.T, n int) int {
	for base := 21000; base < 31000; base += 97 {
		if newLayout("", base, n).checkPorts() == nil {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

func serveOn(t *testing.T, port int, h http.Handler) {
	ln, err := net.Listen("tcp", addr(port))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	t.Cleanup(srv.Close)
}

// The count is repeated until the centre has caught up, and comes from the
// places it should.
func TestSettleCountsUntilItAddsUp(t *testing.T) {
	l := newLayout("", freeBase(t, 2), 2)
	f := &fakeVenues{sales: map[string]int64{"soho": 4, "hackney": 7}, produced: map[string]int64{"soho": 103, "hackney": 53}, arrived: map[string]int64{}}
	centre := f.handler(l, nil)
	serveOn(t, l.fleetPort(), centre)
	serveOn(t, l.hubPort(), centre)
	for _, v := range l.venues {
		h := f.handler(l, &v)
		serveOn(t, v.pagePort(), h)
		serveOn(t, v.adminPort(), h)
	}
	d := &demo{opts: Options{Seed: 9, Tell: io.Discard}, layout: l, fleet: fleetAPI{newAPI(l.fleetPort(), l.apiToken)}}

	first, problems := d.count(t.Context())
	if against := append(problems, first.Judge()...); len(against) == 0 {
		t.Fatalf("the centre has nothing yet, but it adds up: %+v", first)
	}
	// Without a show, the crowd's and the report's sales are what is wrong at
	// the end, and nothing else.
	for f.arrived["soho"] < 150 {
		d.count(t.Context())
	}
	got, problems := d.count(t.Context())
	against := append(problems, got.Judge()...)
	if len(against) != 2 || !strings.HasPrefix(against[0], "sales differ: 0 confirmed to the crowd, 11 in the venues' ledgers, 11 settled at the hub, 0 in the reports") || against[1] != "nothing was sold" {
		t.Errorf("against it: %q", against)
	}
	want := []Node{
		{
			Venue: "soho", Node: "soho-1", SamplesProduced: 103, SamplesCentral: 100, SamplesDeclaredLost: 3, DarkSeconds: 61.5, Heals: 2,
			RevenueProduced: map[string]float64{`edgecore_payments_total{result="captured"}`: 4}, RevenueCentral: map[string]float64{`edgecore_payments_total{result="captured"}`: 4},
		},
		{
			Venue: "hackney", Node: "hackney-1", SamplesProduced: 53, SamplesCentral: 50, SamplesDeclaredLost: 3, DarkSeconds: 61.5, Heals: 2,
			RevenueProduced: map[string]float64{`edgecore_payments_total{result="captured"}`: 7}, RevenueCentral: map[string]float64{`edgecore_payments_total{result="captured"}`: 7},
		},
	}
	if diff := cmp.Diff(want, got.Nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if len(f.bad) > 0 {
		t.Errorf("calls without their credential: %v", f.bad)
	}
}

func TestPortTakenIsSaidBeforeAnythingStarts(t *testing.T) {
	l := newLayout("", freeBase(t, 1), 1)
	ln, err := net.Listen("tcp", addr(l.venues[0].pagePort()))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	err = l.checkPorts()
	if want := fmt.Sprintf("port %d, meant for soho's agent page, is not free", l.venues[0].pagePort()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Venues: 3, BasePort: DefaultBasePort, Scenario: "default", Tell: io.Discard}
	for want, spoil := range map[string]func(*Options){
		"0 venues: a demo has 1 to 60":             func(o *Options) { o.Venues = 0 },
		"must lie between 1024 and 65535":          func(o *Options) { o.BasePort = 65500 },
		"too short: at least 1s":                   func(o *Options) { o.Duration = 1 },
		"nobody to tell":                           func(o *Options) { o.Tell = nil },
		"too short for scenario default":           func(o *Options) { o.Duration = 100e9 },
		"needs the venue hackney":                  func(o *Options) { o.Venues = 1 },
		"built in are default, outage and none":    func(o *Options) { o.Scenario = "/no/such/file" },
		"ghostlight-fleet is not in /no/such/dir:": func(o *Options) { o.Bin = "/no/such/dir" },
	} {
		o := good
		spoil(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
