package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/collector/journeys"
	"ghostlight/healthscore"
	engine "ghostlight/healthscore/heal"
	"ghostlight/synthetics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a buffer that keeps state and the chain that was sent up.
type memory struct {
	mu    sync.Mutex
	state map[string][]byte
	chain []engine.Audit
}

func (m *memory) Commit(_ context.Context, c queue.Commit) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range c.State {
		m.state[k] = v
	}
	for _, e := range c.Entries {
		for _, r := range e.Batch.Records {
			var a engine.Audit
			if err := json.Unmarshal(r.Body, &a); err != nil {
				return err
			}
			if e.Lane != buffer.Revenue || r.Kind != "heal.audit" || r.Key != fmt.Sprint(a.Seq) {
				return fmt.Errorf("record %s %s in lane %s", r.Kind, r.Key, e.Lane)
			}
			m.chain = append(m.chain, a)
		}
	}
	return nil
}

// said lists actions and results of the chain.
func (m *memory) said() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, a := range m.chain {
		out = append(out, a.Action+" "+a.Result)
	}
	return out
}

type action struct {
	name string
	do   func() error
}

func (a action) Name() string             { return a.name }
func (a action) Do(context.Context) error { return a.do() }

// venue is what the healer sees.
type venue struct {
	view    journeys.View
	corrupt float64
	edge    int // scrapes failed in a row
	repairs int
	starts  int
}

func newHealer(t *testing.T, m *memory, v *venue, change func(*Options)) *Healer {
	t.Helper()
	var mu sync.Mutex // guards v while the healer runs
	at := func(f func()) { mu.Lock(); defer mu.Unlock(); f() }
	o := Options{
		Restart: action{UnitRestart, func() error {
			at(func() { v.starts++; v.view.Failures, v.edge = 0, 0 })
			return nil
		}},
		RestartLimits: Limits{CoolDown: 30 * time.Second, PerHour: 2}, Failures: 2,
		Repair: action{CacheRepair, func() error {
			at(func() { v.repairs++; v.corrupt = 0 })
			return nil
		}},
		RepairLimits: Limits{CoolDown: 30 * time.Second, PerHour: 12},
		Readings: func() map[string]healthscore.Reading {
			mu.Lock()
			defer mu.Unlock()
			return map[string]healthscore.Reading{
				healthscore.CacheCorrupt: {Value: v.corrupt, Known: true, At: time.Now()},
				healthscore.EdgecoreUp:   {Value: 1, Known: true, At: time.Now()},
			}
		},
		Views:            func() (out []journeys.View) { at(func() { out = append(out, v.view) }); return out },
		EdgecoreFailures: func() (n int) { at(func() { n = v.edge }); return n },
		Verify:           func(context.Context) error { return nil },
		Commit:           m,
		Load:             func(key string) ([]byte, error) { return m.state[key], nil },
	}
	if change != nil {
		change(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// live runs a healer for a while in a bubble.
func live(t *testing.T, h *Healer, d time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	time.Sleep(d)
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func failing(times int, atCache bool) journeys.View {
	return journeys.View{Failures: times, FailsAtCache: atCache, Last: synthetics.Result{Journey: "visit", FailedStep: "pay", Error: "no answer"}}
}

func TestRules(t *testing.T) {
	for _, tc := range []struct {
		name   string
		venue  venue
		change func(*Options)
		want   []string
	}{
		{"all is well", venue{}, nil, nil},
		{"one failure is not enough", venue{view: failing(1, false), edge: 1}, nil, nil},
		{"a failing journey", venue{view: failing(2, false)}, nil, []string{"unit_restart started", "unit_restart succeeded"}},
		{"a journey that fails at the catalogue", venue{view: failing(9, true)}, nil, nil},
		{"a silent edgecore", venue{edge: 2}, nil, []string{"unit_restart started", "unit_restart succeeded"}},
		{"a corrupt cache", venue{corrupt: 3}, nil, []string{"cache_repair started", "cache_repair succeeded"}},
		{
			"the gentler action first",
			venue{corrupt: 3, view: failing(2, false)},
			nil,
			[]string{"cache_repair started", "cache_repair succeeded", "unit_restart started", "unit_restart succeeded"},
		},
		{"dry run", venue{corrupt: 3}, func(o *Options) { o.DryRun = true }, []string{"cache_repair dry_run"}},
		{"not configured", venue{corrupt: 3, edge: 9}, func(o *Options) { o.Repair, o.Restart = nil, nil }, nil},
		{
			"the action fails",
			venue{corrupt: 3},
			func(o *Options) { o.Repair = action{CacheRepair, func() error { return errors.New("no hub") }} },
			[]string{"cache_repair started", "cache_repair failed"},
		},
		{
			"the journey does not pass afterwards",
			venue{edge: 2},
			func(o *Options) { o.Verify = func(context.Context) error { return errors.New("still failing") } },
			[]string{"unit_restart started", "unit_restart interrupted"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &memory{state: map[string][]byte{}}
				live(t, newHealer(t, m, &tc.venue, tc.change), 10*time.Second)
				if diff := cmp.Diff(tc.want, m.said()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// The chain, the counts and the limits go on over a restart of the agent.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{state: map[string][]byte{}}
		v := &venue{}
		for range 4 {
			v.edge = 2
			live(t, newHealer(t, m, v, nil), 40*time.Second)
		}
		if v.starts != 2 {
			t.Errorf("%d restarts in an hour, want the 2 that are allowed", v.starts)
		}
		h := newHealer(t, m, v, nil)
		records, ok := h.Recent()
		if !ok || len(records) != len(m.chain) || records[0].Seq != int64(len(records)) {
			t.Errorf("after the restart the page has %d of %d records, chain %v", len(records), len(m.chain), ok)
		}
		if err := engine.Verify(m.chain); err != nil {
			t.Error(err)
		}
		if h.counts["unit_restart/succeeded"] != 2 {
			t.Errorf("counts are %v", h.counts)
		}
	})
}

func TestActions(t *testing.T) {
	var asked []string
	answer, status := `{"objects":9,"corrupt":2,"refetched":2,"failed":0}`, http.StatusOK
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	})
	edge := httptest.NewServer(h)
	defer edge.Close()
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	sup := &http.Server{Handler: h}
	go sup.Serve(ln) //nolint:errcheck
	defer sup.Close()

	repair, restart := NewRepair(edge.URL+"/", "secret"), NewSupervisorRestart(socket, "edgecore-soho")
	defer repair.client.CloseIdleConnections()
	if err := repair.Do(t.Context()); err != nil {
		t.Error(err)
	}
	if err := restart.Do(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"POST /admin/cache/repair Bearer secret", "POST /units/edgecore-soho/restart "}, asked); diff != "" {
		t.Error(diff)
	}
	answer = `{"corrupt":2,"refetched":1,"failed":1}`
	if err := repair.Do(t.Context()); err == nil || !strings.Contains(err.Error(), "1 of 2 corrupt objects") {
		t.Errorf("a partial repair returned %v", err)
	}
	status, answer = http.StatusNotFound, "no such unit"
	if err := restart.Do(t.Context()); err == nil || !strings.Contains(err.Error(), "no such unit") {
		t.Errorf("an unknown unit returned %v", err)
	}
	if err := NewSupervisorRestart(socket+"x", "u").Do(t.Context()); err == nil {
		t.Error("a supervisor that is not there restarted something")
	}
}
