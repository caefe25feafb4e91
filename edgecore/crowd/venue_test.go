package crowd

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// fakeVenue is the venue API with a ledger of its own. It can lose answers
// before and after it acted, and it can be down; its ledger survives that.
type fakeVenue struct {
	srv *httptest.Server

	mu       sync.Mutex // guards what follows
	rng      *rand.Rand
	lose     float64 // chance that an answer is lost, half of them before acting
	down     bool
	answers  map[string]answer // by idempotency key
	n        int
	checkIns map[string]bool
	orders   map[string]int64
	sales    int64
	minor    int64
	declined int64
	refunds  int64
	payTries int64
}

type answer struct {
	status int
	body   any
}

func newFakeVenue(t *testing.T, lose float64) *fakeVenue {
	v := &fakeVenue{
		rng: rand.New(rand.NewPCG(1, 2)), lose: lose,
		answers: map[string]answer{}, checkIns: map[string]bool{}, orders: map[string]int64{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/relay", v.relay)
	mux.HandleFunc("/", v.serve)
	v.srv = httptest.NewServer(mux)
	t.Cleanup(v.srv.Close)
	return v
}

func (v *fakeVenue) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	v.mu.Lock()
	fate := v.rng.Float64()
	if v.down || fate < v.lose/2 {
		v.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	a := v.act(r, body)
	v.mu.Unlock()
	if fate < v.lose {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.status)
	json.NewEncoder(w).Encode(a.body)
}

// act is called with mu held; a key seen before gets the answer it got.
func (v *fakeVenue) act(r *http.Request, body []byte) answer {
	key := r.Header.Get("Idempotency-Key")
	if strings.HasSuffix(r.URL.Path, "/payments") {
		v.payTries++
	}
	if a, ok := v.answers[key]; ok && key != "" {
		return a
	}
	a := v.decide(r, body)
	if key != "" {
		v.answers[key] = a
	}
	return a
}

func (v *fakeVenue) decide(r *http.Request, body []byte) answer {
	v.n++
	id := fmt.Sprint(v.n)
	var in struct {
		Ticket, Method, Token string
		CheckIn               string `json:"checkin_id"`
		Items                 []orderLine
	}
	json.Unmarshal(body, &in)
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch route := r.Method + " " + parts[1]; {
	case route == "POST tickets":
		return answer{201, map[string]string{"ticket": "t" + id}}
	case route == "POST checkins" && in.Ticket != "":
		v.checkIns[id] = true
		return answer{201, map[string]string{"checkin_id": id}}
	case route == "GET catalog":
		return answer{200, map[string]any{"items": []map[string]string{{"sku": "a"}, {"sku": "b c"}}}}
	case route == "POST orders" && len(parts) == 2 && v.checkIns[in.CheckIn]:
		var total int64
		for _, l := range in.Items {
			total += 100 * int64(l.Quantity)
		}
		v.orders[id] = total
		return answer{201, map[string]any{"order_id": id, "total_minor": total}}
	case route == "POST orders" && v.orders[parts[2]] > 0:
		if in.Token == "tok_declined" {
			v.declined++
			return answer{402, map[string]string{"status": "declined"}}
		}
		v.sales++
		v.minor += v.orders[parts[2]]
		return answer{201, map[string]any{"payment_id": id, "status": "captured", "amount_minor": v.orders[parts[2]], "receipt": "r" + id}}
	case route == "POST payments":
		v.refunds++
		return answer{201, map[string]string{"refund_id": id}}
	case route == "POST receipts":
		return answer{200, map[string]bool{"valid": true}}
	}
	return answer{404, map[string]string{"error": "no such thing"}}
}

func (v *fakeVenue) relay(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for seq := 1; ; seq++ {
		var f relayFrame
		if wsjson.Read(r.Context(), conn, &f) != nil {
			return
		}
		if f.Type == "subscribe" {
			wsjson.Write(r.Context(), conn, relayFrame{Type: "subscribed", Topic: f.Topic})
			continue
		}
		wsjson.Write(r.Context(), conn, relayFrame{Type: "message", Topic: f.Topic, ID: "somebody-else"})
		wsjson.Write(r.Context(), conn, relayFrame{Type: "published", ID: f.ID})
		wsjson.Write(r.Context(), conn, relayFrame{Type: "message", Topic: f.Topic, ID: f.ID, Data: f.Data})
	}
}

func (v *fakeVenue) setDown(down bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.down = down
}
