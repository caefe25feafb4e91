package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A scriptedTill answers as edgecore's admin API does and records what it is told to.
type scriptedTill struct {
	venue string
	addr  string
	agent *process
	srv   *http.Server

	mu      sync.Mutex
	rows    []outcome     // guarded by mu
	changed chan struct{} // guarded by mu; closed and replaced when a row is added
}

// An outcome is one row of edgecore's ledger.
type outcome struct {
	Seq         int64  `json:"seq"`
	TimeMS      int64  `json:"time_ms"`
	Kind        string `json:"kind"`
	Good        bool   `json:"good"`
	Reason      string `json:"reason,omitempty"`
	AmountMinor int64  `json:"amount_minor,omitempty"`
	Currency    string `json:"currency,omitempty"`
}

func newTill(venue string) (*scriptedTill, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &scriptedTill{venue: venue, addr: ln.Addr().String(), changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/outcomes", t.outcomes)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	t.srv = &http.Server{Handler: mux}
	go t.srv.Serve(ln) //nolint:errcheck // ends with close
	return t, nil
}

// close ends the agent, then what it reads.
func (t *scriptedTill) close() {
	if t.agent != nil {
		t.agent.stop()
	}
	t.srv.Close()
}

// commit records an outcome, and returns the time it carries.
func (t *scriptedTill) commit(kind string, good bool) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := outcome{Seq: int64(len(t.rows)) + 1, TimeMS: time.Now().UnixMilli(), Kind: kind, Good: good}
	if kind == "payment" {
		o.AmountMinor, o.Currency = 1200, "GBP"
	}
	if !good {
		o.Reason = "processor_unreachable"
	}
	t.rows = append(t.rows, o)
	close(t.changed)
	t.changed = make(chan struct{})
	return time.UnixMilli(o.TimeMS)
}

// after are the rows behind a cursor, and what tells of the next.
func (t *scriptedTill) after(cursor int64) ([]outcome, int64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	head := int64(len(t.rows))
	return append([]outcome{}, t.rows[min(cursor, head):]...), head, t.changed
}

// outcomes answers with what follows the cursor; if nothing does, it waits as long as
// the caller gave.
func (t *scriptedTill) outcomes(w http.ResponseWriter, r *http.Request) {
	cursor, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if err != nil || cursor < 0 {
		http.Error(w, "after is no sequence", http.StatusBadRequest)
		return
	}
	patience, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	for {
		rows, head, changed := t.after(cursor)
		if len(rows) > 0 || ctx.Err() != nil {
			json.NewEncoder(w).Encode(map[string]any{"ledger": "ledger-" + t.venue, "outcomes": rows, "head": head}) //nolint:errcheck // a reader that went away
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
