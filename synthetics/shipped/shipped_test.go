package shipped_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"ghostlight/synthetics"
	"ghostlight/synthetics/shipped"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = []byte(strings.Repeat("s", 32))

type object = map[string]any

// venue is a node with the public API of edgecore, which does one thing wrong if
// told to.
type venue struct {
	fault string

	mu   sync.Mutex
	seen []string
}

func (v *venue) handler() http.Handler {
	mux := http.NewServeMux()
	reply := func(pattern string, code int, body func(in object, r *http.Request) object) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			in := object{}
			_ = json.NewDecoder(r.Body).Decode(&in)
			w.Header().Set("X-Cache", "hit")
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(body(in, r))
		})
	}
	price := 500
	item := object{"sku": "tee", "title": "T-shirt", "price_minor": price, "currency": "EUR"}
	reply("POST /v1/tickets", 201, func(object, *http.Request) object { return object{"ticket_id": "t1", "ticket": "signed"} })
	reply("POST /v1/checkins", 201, func(in object, _ *http.Request) object {
		return object{"checkin_id": "for-" + fmt.Sprint(in["ticket"])}
	})
	reply("GET /v1/catalog", 200, func(object, *http.Request) object { return object{"version": 1, "items": []object{item}} })
	reply("GET /v1/catalog/{sku}", 200, func(object, *http.Request) object { return item })
	reply("POST /v1/orders", 201, func(in object, _ *http.Request) object {
		n := in["items"].([]any)[0].(object)["quantity"].(float64)
		if v.fault == "total" {
			n++
		}
		return object{"order_id": "o1", "total_minor": int(n) * price, "currency": "EUR"}
	})
	reply("POST /v1/orders/o1/payments", 201, func(object, *http.Request) object {
		return object{"payment_id": "p1", "status": "captured", "amount_minor": 2 * price, "currency": "EUR", "receipt": "jws"}
	})
	reply("POST /v1/receipts/verify", 200, func(in object, _ *http.Request) object {
		return object{"valid": in["receipt"] == "jws" && v.fault != "receipt", "payment_id": "p1", "amount_minor": 2 * price, "currency": "EUR"}
	})
	reply("POST /v1/payments/p1/refunds", 201, func(object, *http.Request) object { return object{"refund_id": "r1"} })
	mux.HandleFunc("GET /v1/relay", v.relay)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := jwt.Parse(r.Header.Get(synthetics.ClaimHeader), func(*jwt.Token) (any, error) { return key, nil }, jwt.WithAudience("edgecore"))
		if err != nil {
			http.Error(w, `{"error":"the synthetic claim is not valid"}`, http.StatusUnauthorized)
			return
		}
		v.mu.Lock()
		v.seen = append(v.seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("Idempotency-Key"))
		v.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
}

// relay delivers a published message before it confirms it.
func (v *venue) relay(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for {
		var in object
		if err := wsjson.Read(r.Context(), conn, &in); err != nil {
			return
		}
		switch in["type"] {
		case "subscribe":
			_ = wsjson.Write(r.Context(), conn, object{"type": "subscribed", "topic": in["topic"]})
		case "publish":
			if v.fault != "relay" {
				_ = wsjson.Write(r.Context(), conn, object{"type": "message", "topic": in["topic"], "id": in["id"], "seq": 4, "data": in["data"], "sent_ms": 1})
			}
			_ = wsjson.Write(r.Context(), conn, object{"type": "published", "id": in["id"], "seq": 4})
		}
	}
}

func visit(t *testing.T, v *venue, j synthetics.Journey) synthetics.Result {
	t.Helper()
	srv := httptest.NewServer(v.handler())
	defer srv.Close()
	r, err := synthetics.NewRunner(synthetics.Options{
		Vars:  map[string]string{"base": srv.URL, "relay": "ws" + strings.TrimPrefix(srv.URL, "http") + "/v1/relay"},
		Claim: func(journey string) (string, error) { return synthetics.Claim(key, "test-1", journey, time.Now()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Check(j); err != nil {
		t.Fatal(err)
	}
	return r.Run(t.Context(), j)
}

func TestRevenuePath(t *testing.T) {
	var v venue
	res := visit(t, &v, shipped.RevenuePath())
	if !res.Pass {
		t.Fatalf("%s: %s", res.FailedStep, res.Error)
	}
	if len(res.Steps) != 9 || len(v.seen) != 9 {
		t.Errorf("%d steps, %d requests; want 9 of each", len(res.Steps), len(v.seen))
	}
	keys := map[string]bool{}
	for _, s := range v.seen {
		if k := s[strings.LastIndex(s, " ")+1:]; k != "" {
			keys[k] = true
		}
	}
	if len(keys) != 4 {
		t.Errorf("idempotency keys %v, want one each of check-in, order, payment and refund", keys)
	}
}

func TestRevenuePathFindsWhatIsWrong(t *testing.T) {
	j := shipped.RevenuePath()
	for i := range j.Steps { // how long the delivery is awaited is not under test
		if w := j.Steps[i].WebSocket; w != nil {
			w.Exchange[len(w.Exchange)-1].Timeout = 100e6
		}
	}
	for fault, want := range map[string]string{
		"total":   `order: assertion "body.total_minor == 2 * int(vars.price)" is false (body.total_minor = 1500, int(vars.price) = 500)`,
		"receipt": `receipt: assertion "body.valid == true" is false (body.valid = false)`,
		"relay":   `relay: no message for which "message.type == \"message\" && message.id == vars.run_id" is true within 100ms; nothing else came`,
	} {
		t.Run(fault, func(t *testing.T) {
			res := visit(t, &venue{fault: fault}, j)
			if got := res.FailedStep + ": " + res.Error; res.Pass || got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}
