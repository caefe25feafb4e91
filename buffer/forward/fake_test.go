package forward_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/wire"
)

func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+token {
		refuse(w, http.StatusUnauthorized, "unknown token")
		return
	}
	if r.URL.Path == wire.StreamPath {
		f.stream(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	switch r.URL.Path {
	case wire.HeartbeatPath:
		f.heartbeat(w, body)
	case wire.BlocksPath:
		f.block(w, body)
	default:
		http.NotFound(w, r)
	}
}

func (f *fleet) heartbeat(w http.ResponseWriter, body []byte) {
	var h wire.Heartbeat
	if err := json.Unmarshal(body, &h); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	f.set(func(f *fleet) { f.hear(h) })
	reply := map[string]any{"received_ms": time.Now().Add(ahead).UnixMilli()}
	if calendar := f.calendarFor(h); calendar != nil {
		f.set(func(f *fleet) { f.counts.calendars++ })
		reply["calendar"] = json.RawMessage(calendar)
	}
	answer(w, reply)
}

func (f *fleet) block(w http.ResponseWriter, body []byte) {
	h, payload, err := buffer.Open(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	b, err := delta.Decode(payload, delta.DefaultLimits())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	duplicate, status, after := f.take(delta.Stamp{Lane: h.Lane, Session: h.Session, Seq: h.Seq, First: h.First}, b)
	if status != 0 {
		if after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(after.Seconds())))
		}
		refuse(w, status, "so it was decided")
		return
	}
	answer(w, wire.Ack{Session: h.Session, Lane: h.Lane, Ranges: []wire.Range{{First: h.Start(), Last: h.Seq}}, Duplicate: duplicate})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.WriteHeader(status)
	answer(w, wire.Refusal{Error: reason})
}

// A network carries requests to a handler inside the process, with faults.
type network struct {
	to http.Handler

	mu     sync.Mutex
	rand   *rand.Rand // nil: no random faults
	cut    bool       // nothing can be reached
	hang   bool       // requests go out and nothing ever comes back
	tried  []time.Time
	lag    time.Duration // before a request arrives
	delays time.Duration // up to this much on top, before and after
}

var errCut = errors.New("connection refused")

func (n *network) set(change func(*network)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// fault draws what happens to one request.
func (n *network) fault() (cut, hang bool, kind int, before, after time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried = append(n.tried, time.Now())
	kind = -1
	if n.rand != nil {
		kind = n.rand.IntN(10)
	}
	if before = n.lag; n.delays > 0 {
		before, after = before+time.Duration(n.rand.Int64N(int64(n.delays))), time.Duration(n.rand.Int64N(int64(n.delays)))
	}
	return n.cut, n.hang, kind, before, after
}

// RoundTrip delivers a request, or does not, or delivers it and says it did not,
// or delivers it twice.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	cut, hang, kind, before, after := n.fault()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if cut {
		return nil, errCut
	}
	if hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	deliver := func() *http.Response {
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		w := httptest.NewRecorder()
		n.to.ServeHTTP(w, again)
		return w.Result()
	}
	time.Sleep(before) // so that requests overtake each other
	switch kind {
	case 0:
		return nil, errors.New("connection reset before anything arrived")
	case 1:
		deliver()
		time.Sleep(after)
		return nil, errors.New("connection reset before the answer")
	case 2:
		deliver()
	case 3:
		return status(http.StatusBadGateway, "<html>bad gateway</html>"), nil
	case 4:
		return status(http.StatusOK, "<html>welcome to our Wi-Fi</html>"), nil
	}
	resp := deliver()
	time.Sleep(after)
	return resp, nil
}

func status(code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Status: fmt.Sprint(code), Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}
