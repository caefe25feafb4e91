package crowd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"ghostlight/internal/daemon"
)

// maxAnswer bounds what an attendee reads of one answer.
const maxAnswer = 1 << 20

// Pauses between attempts: doubling from the first to the last, each drawn from
// its upper half so that a crowd does not come back in step.
const (
	firstPause = 150 * time.Millisecond
	lastPause  = 2 * time.Second
)

func newClient(opts Options) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.MaxIdleConns = 0
	t.MaxIdleConnsPerHost = 32
	return &http.Client{Transport: t, Timeout: opts.Timeout}
}

// A request is one step of an attendee towards the venue.
type request struct {
	method, path string
	key          string // Idempotency-Key; empty sends none
	body         any    // nil sends none
	out          any    // decoded from a 2xx answer; nil ignores it
	payment      bool   // counts towards payment latency
}

// once makes one attempt. A status of 0 with an error means that the answer was
// lost: the venue may or may not have done what was asked.
func (a *attendee) once(ctx context.Context, r request) (status int, err error) {
	var body io.Reader
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			return 0, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, a.venue.URL+r.path, body)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	start := time.Now()
	resp, err := a.crowd.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, fmt.Errorf("%s %s: read answer: %w", r.method, r.path, err)
	}
	a.tally.answered(r.payment, time.Since(start))
	if resp.StatusCode/100 == 2 && r.out != nil {
		if err := json.Unmarshal(raw, r.out); err != nil {
			return 0, fmt.Errorf("%s %s: answer is not what the API promises: %w", r.method, r.path, err)
		}
	}
	return resp.StatusCode, nil
}

// persist repeats a request until the venue answers definitely and returns that
// status. attempts counts the tries. The error is ctx's, and means that nobody
// knows.
func (a *attendee) persist(ctx context.Context, r request) (status, attempts int, err error) {
	pause := firstPause
	for {
		attempts++
		status, err := a.once(ctx, r)
		if err == nil && definite(status) {
			return status, attempts, nil
		}
		if ctx.Err() != nil {
			return 0, attempts, ctx.Err()
		}
		a.tally.count(&a.tally.failures)
		a.crowd.opts.Log.Debug("attempt failed", "venue", a.venue.Name, "path", r.path, "status", status, "err", err)
		if !daemon.Sleep(ctx, pause/2+rand.N(pause/2)) {
			return 0, attempts, ctx.Err()
		}
		pause = min(2*pause, lastPause)
	}
}

// definite reports whether a status settles the matter: 5xx and "try again
// later" do not.
func definite(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 200 && status < 500
}
