package outcomes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Outcome is one row of edgecore's ledger without what it is about: this much leaves
// the node.
type Outcome struct {
	Seq         int64  `json:"seq"`
	TimeMS      int64  `json:"time_ms"`
	Kind        string `json:"kind"`
	Good        bool   `json:"good"`
	Reason      string `json:"reason,omitempty"`
	AmountMinor int64  `json:"amount_minor,omitempty"`
	Currency    string `json:"currency,omitempty"`
	Method      string `json:"method,omitempty"`
	Synthetic   bool   `json:"synthetic,omitempty"`
}

// Row is an outcome with what stays on the node.
type Row struct {
	Outcome
	Checkin string `json:"checkin"` // id of the check-in it belongs to, empty if there is none
}

// Page is one answer of edgecore.
type Page struct {
	Ledger   string `json:"ledger"` // id of the ledger, made with it
	Outcomes []Row  `json:"outcomes"`
	Head     int64  `json:"head"` // last sequence the ledger has
}

// await fetches a page in a way that a flush can end while edgecore holds the
// answer back.
func (r *Reader) await(ctx context.Context, after int64, wait time.Duration) (Page, error) {
	if wait == 0 {
		return r.fetch(ctx, after, 0)
	}
	polling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	setPoll := func(end context.CancelCauseFunc) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.poll = end
	}
	setPoll(cancel)
	defer setPoll(nil)
	page, err := r.fetch(polling, after, wait)
	if err != nil && context.Cause(polling) == errFlush { //nolint:errorlint // our own, never wrapped
		return Page{}, errFlush
	}
	return page, err
}

func (r *Reader) fetch(ctx context.Context, after int64, wait time.Duration) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+graceWait)
	defer cancel()
	u := fmt.Sprintf("%s/admin/outcomes?after=%d&limit=%d&wait=%s", strings.TrimRight(r.o.AdminURL, "/"), after, pageSize, wait)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, http.NoBody)
	if err != nil {
		return Page{}, err
	}
	req.Header.Set("Authorization", "Bearer "+r.o.Token)
	req.Header.Set("Traceparent", fmt.Sprintf("00-%016x%016[1]x-%016[1]x-00", rand.Uint64()|1)) // not sampled: it would be a trace every few seconds
	resp, err := r.o.Client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return Page{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit+1))
	switch {
	case err != nil:
		return Page{}, err
	case resp.StatusCode == http.StatusUnauthorized:
		return Page{}, errors.New("edgecore refused the token: check edgecore.admin_token")
	case resp.StatusCode != http.StatusOK:
		return Page{}, fmt.Errorf("edgecore answered %s", resp.Status)
	case len(body) > bodyLimit:
		return Page{}, fmt.Errorf("edgecore's answer is longer than %d bytes", bodyLimit)
	}
	var p Page
	if err := json.Unmarshal(body, &p); err != nil {
		return Page{}, fmt.Errorf("edgecore's answer is no page of outcomes: %w", err)
	}
	return p, p.check()
}

// check refuses a page that no ledger could have served.
func (p Page) check() error {
	if p.Ledger == "" {
		return errors.New("edgecore's answer names no ledger")
	}
	for i, o := range p.Outcomes {
		if o.Seq < 1 || i > 0 && o.Seq <= p.Outcomes[i-1].Seq || o.Seq > p.Head {
			return fmt.Errorf("edgecore's answer has outcome %d out of order", o.Seq)
		}
	}
	return nil
}
