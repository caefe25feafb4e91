package webui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// keepAlive is the longest silence of a stream; proxies cut idle connections.
const keepAlive = 15 * time.Second

// A Stream serves pages' live updates. The zero value is not usable; see
// [NewStream].
type Stream struct {
	every time.Duration
	limit int64
	open  atomic.Int64
}

// NewStream makes a stream that looks for changes once every so often, for at
// most limit readers at once; further ones are answered 503 and fall back to
// reloading.
func NewStream(every time.Duration, limit int) (*Stream, error) {
	if every < 50*time.Millisecond {
		return nil, fmt.Errorf("live updates every %v: must be at least 50ms", every)
	}
	if limit < 1 {
		return nil, fmt.Errorf("live updates for %d readers: must be at least 1", limit)
	}
	return &Stream{every: every, limit: int64(limit)}, nil
}

// Serve sends the fragments whose HTML changed since the reader was last told,
// until the reader leaves or the request's context ends. render is called once
// a period; when it fails that period is skipped. The first period sends all.
func (s *Stream) Serve(w http.ResponseWriter, r *http.Request, render func(context.Context) ([]Fragment, error)) {
	if s.open.Add(1) > s.limit {
		s.open.Add(-1)
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many live readers; reload the page instead", http.StatusServiceUnavailable)
		return
	}
	defer s.open.Add(-1)
	h := w.Header()
	set(h, "default-src 'none'")
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	if _, err := fmt.Fprint(w, "retry: 2000\n\n"); err != nil || out.Flush() != nil {
		return
	}
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	told := make(map[string]string)
	silent := time.Duration(0)
	for {
		sent, err := s.period(w, r, render, told)
		if silent += s.every; err == nil && sent == 0 && silent >= keepAlive {
			_, err = fmt.Fprint(w, ": alive\n\n")
			sent = 1
		}
		if sent > 0 {
			silent = 0
			if err == nil {
				err = out.Flush()
			}
		}
		if err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// period sends what changed and reports how many fragments that were.
func (s *Stream) period(w http.ResponseWriter, r *http.Request, render func(context.Context) ([]Fragment, error), told map[string]string) (int, error) {
	fragments, err := render(r.Context())
	if err != nil {
		return 0, nil // the page keeps what it shows; the next period tries again
	}
	sent := 0
	for _, f := range fragments {
		if told[f.ID] == f.HTML {
			continue
		}
		body, err := json.Marshal(f)
		if err != nil {
			return sent, err
		}
		if _, err := fmt.Fprintf(w, "event: swap\ndata: %s\n\n", body); err != nil {
			return sent, err
		}
		told[f.ID] = f.HTML
		sent++
	}
	return sent, nil
}
