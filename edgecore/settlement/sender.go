package settlement

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Ledger is the node's side of settlement.
type Ledger interface {
	// Pending returns up to limit entries the hub has not accepted, in order, and
	// the ledger's identity.
	Pending(ctx context.Context, limit int) (ledger string, entries []Entry, err error)
	// Settled records durably that the hub holds everything through seq.
	Settled(ctx context.Context, seq int64) error
	// Changed returns a channel that is closed at the next commit.
	Changed() <-chan struct{}
}

// Timing of the sender.
const (
	linger      = 500 * time.Millisecond // sales within it share a request
	probeEvery  = 5 * time.Second        // an idle sender asks the hub how it is
	minBackoff  = 500 * time.Millisecond
	maxBackoff  = 5 * time.Second
	sendTimeout = 5 * time.Second
)

// Options configure a sender.
type Options struct {
	URL    string // base URL of the hub
	Token  string // credential for the hub
	Node   string // this node's name
	Ledger Ledger
	Client *http.Client
	Log    *slog.Logger
}

// A Sender drains the pending queue to the hub and knows whether the hub answers.
type Sender struct {
	o         Options
	reachable atomic.Bool
	failing   bool // the last attempt failed; touched by Run alone
}

// NewSender checks o.
func NewSender(o Options) (*Sender, error) {
	if o.URL == "" || o.Node == "" || o.Ledger == nil || o.Client == nil || o.Log == nil {
		return nil, errors.New("settlement sender needs a hub URL, a node name, a ledger, a client and a log")
	}
	o.URL = strings.TrimSuffix(o.URL, "/")
	return &Sender{o: o}, nil
}

// Reachable reports whether the hub answered the last attempt.
func (s *Sender) Reachable() bool { return s.reachable.Load() }

// Collectors returns the sender's metrics.
func (s *Sender) Collectors() []prometheus.Collector {
	return []prometheus.Collector{prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "edgecore_hub_reachable", Help: "1 if the hub answered the last attempt to settle.",
	}, func() float64 {
		if s.Reachable() {
			return 1
		}
		return 0
	})}
}

// Run sends until ctx ends. Trouble with the hub is logged when it begins and
// when it ends.
func (s *Sender) Run(ctx context.Context) error {
	backoff := minBackoff
	for {
		changed := s.o.Ledger.Changed()
		more, err := s.push(ctx)
		if ctx.Err() != nil {
			return nil
		}
		s.note(err)
		switch {
		case err != nil:
			if !sleep(ctx, backoff/2+rand.N(backoff/2), nil) { //nolint:gosec // jitter
				return nil
			}
			backoff = min(2*backoff, maxBackoff)
			continue
		case !more:
			if !sleep(ctx, probeEvery, changed) || !sleep(ctx, linger, nil) {
				return nil
			}
		}
		backoff = minBackoff
	}
}

// sleep waits for d or until wake is closed; false means that ctx ended.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}

// note logs changes of fortune.
func (s *Sender) note(err error) {
	switch {
	case err != nil && !s.failing:
		s.o.Log.Warn("sales wait to be settled", "hub", s.o.URL, "error", err)
	case err == nil && s.failing:
		s.o.Log.Info("settlement works again", "hub", s.o.URL)
	}
	s.failing = err != nil
}

// push sends one batch; more means that there may be another.
func (s *Sender) push(ctx context.Context) (more bool, err error) {
	ledger, entries, err := s.o.Ledger.Pending(ctx, MaxEntries)
	if err != nil {
		return false, fmt.Errorf("read pending settlements: %w", err)
	}
	through, err := s.post(ctx, Request{Node: s.o.Node, Ledger: ledger, Entries: entries})
	if err != nil {
		return false, err
	}
	if err := s.o.Ledger.Settled(ctx, through); err != nil {
		return false, fmt.Errorf("record settlements: %w", err)
	}
	return len(entries) == MaxEntries, nil
}

// post delivers one request and keeps the reachability up to date.
func (s *Sender) post(ctx context.Context, body Request) (through int64, err error) {
	if body.Entries == nil {
		body.Entries = []Entry{}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, fmt.Errorf("encode settlements: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL+Path, bytes.NewReader(raw))
	if err != nil {
		return 0, fmt.Errorf("settle: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.o.Token)
	resp, err := s.o.Client.Do(req)
	if err != nil {
		s.reachable.Store(false)
		return 0, fmt.Errorf("settle: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	s.reachable.Store(err == nil && resp.StatusCode < http.StatusInternalServerError)
	if err != nil {
		return 0, fmt.Errorf("settle: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("settle: the hub answered %s: %.200s", resp.Status, bytes.TrimSpace(answer))
	}
	var reply Reply
	if err := json.Unmarshal(answer, &reply); err != nil {
		return 0, fmt.Errorf("settle: %w", err)
	}
	return reply.AcceptedThrough, nil
}
