package synthetics_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"ghostlight/synthetics"
)

// relay answers each message by the list of messages it asks for in "say", and
// does what it says in "do".
func relay(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		hello, _ := json.Marshal(map[string]any{"type": "hello", "claim": r.Header.Get(synthetics.ClaimHeader), "trace": r.Header.Get("Traceparent"), "one": r.Header.Get("X-One")})
		if err := conn.Write(r.Context(), websocket.MessageText, hello); err != nil {
			return
		}
		for {
			_, data, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			answer(r.Context(), conn, data)
		}
	}))
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

func answer(ctx context.Context, conn *websocket.Conn, data []byte) {
	var in struct {
		Say []json.RawMessage
		Do  string
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return
	}
	for _, m := range in.Say {
		_ = conn.Write(ctx, websocket.MessageText, m)
	}
	switch in.Do {
	case "close":
		_ = conn.Close(websocket.StatusTryAgainLater, "bye")
	case "drop":
		_ = conn.CloseNow()
	case "plain":
		_ = conn.Write(ctx, websocket.MessageText, []byte("not JSON"))
	case "flood":
		for i := range 400 {
			_ = conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"n":%d}`, i))
		}
	case "large":
		_ = conn.Write(ctx, websocket.MessageText, []byte(`"`+strings.Repeat("x", 300<<10)+`"`))
	}
}

func TestConversations(t *testing.T) {
	url := relay(t)
	r := runner(t, synthetics.Options{
		Vars:  map[string]string{"base": url},
		Claim: func(string) (string, error) { return "claimed", nil },
	})
	for _, tc := range []struct{ name, exchange, want string }{
		{"the handshake carries headers, claim and trace", `
      - expect: message.type == "hello"
        assert: [message.claim == "claimed", message.one == "test", message.trace.startsWith("00-")]
`, ""},
		{"messages are taken in any order, each once", `
      - send: {say: [{t: b, id: "${run_id}", n: 1}, {t: a, n: 2}, {t: b, n: 3}]}
      - expect: message.t == "a"
        extract: {n: message.n}
      - expect: message.t == "b" && message.id == vars.run_id
        assert: [message.n == 1, vars.n == 2]
      - expect: message.t == "b"
        assert: [message.n == 3]
`, ""},
		{"what was received can be sent on", `
      - send: {say: [{n: 7}]}
      - expect: has(message.n)
        extract: {n: message.n + 1}
      - send: {say: [{back: "${n}"}]}
      - expect: message.back == 8
`, ""},
		{"plain text", `
      - send: {do: plain}
      - expect: text == "not JSON"
        assert: [message == null]
`, ""},
		{"nothing comes", `
      - send: {say: [{x: 1}]}
      - expect: message.x == 1
      - expect: message.type == "goodbye"
        timeout: 30ms
`, `talk: no message for which "message.type == \"goodbye\"" is true within 30ms; other messages that came: 1, the last {"claim":"claimed","one":"test","trace":"00-`},
		{"the step's time is up first", `
      - expect: message.type == "hello"
      - expect: message.type == "goodbye"
`, `talk: no message for which "message.type == \"goodbye\"" is true before the step's time was up; nothing else came`},
		{"an assertion is false", `
      - expect: message.type == "hello"
        assert: ['message.claim == "forged"']
`, `talk: assertion "message.claim == \"forged\"" is false (message.claim = "claimed")`},
		{"the service closes", `
      - send: {do: close}
      - expect: message.type == "goodbye"
`, `talk: the WebSocket was closed with code 1013 before the expected "message.type == \"goodbye\""; other messages that came: 1, the last {"claim":"claimed",`},
		{"the connection breaks", `
      - send: {do: drop}
      - expect: message.type == "goodbye"
`, `talk: await "message.type == \"goodbye\"": failed to get reader: `},
		{"too many messages", `
      - send: {do: flood}
      - expect: message.n == 399
`, `talk: 257 messages came and none was the expected "message.n == 399"`},
		{"a message too long", `
      - send: {do: large}
      - expect: size(text) > 1000
`, `talk: await "size(text) > 1000": failed to read: `},
	} {
		t.Run(tc.name, func(t *testing.T) {
			timeout := "5s"
			if strings.Contains(tc.want, "step's time") {
				timeout = "400ms"
			}
			res := r.Run(t.Context(), decode(t, "  - name: talk\n    timeout: "+timeout+"\n    websocket:\n      url: ${base}\n      headers: {X-One: \"${journey}\"}\n      exchange:"+indent(tc.exchange)))
			got := ""
			if !res.Pass {
				got = res.FailedStep + ": " + res.Error
			}
			if tc.want == "" || len(got) < len(tc.want) {
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("failure (-want +got):\n%s", diff)
				}
			} else if !strings.HasPrefix(got, tc.want) {
				t.Errorf("failure:\n got %s\nwant %s...", got, tc.want)
			}
			if res.Steps[0].Status != http.StatusSwitchingProtocols {
				t.Errorf("status %d, want 101", res.Steps[0].Status)
			}
		})
	}
}

func indent(s string) string { return strings.ReplaceAll(s, "\n      ", "\n        ") }

func TestWebSocketRefused(t *testing.T) {
	r := runner(t, synthetics.Options{Vars: map[string]string{"base": relay(t)}})
	res := r.Run(t.Context(), decode(t, "  - {name: talk, websocket: {url: \"${base}/refused\", exchange: [{expect: \"true\"}]}}\n"))
	if res.Pass || res.Error != "the WebSocket was refused with status 403" || res.Steps[0].Status != http.StatusForbidden {
		t.Errorf("%+v", res)
	}
	res = r.Run(t.Context(), decode(t, "  - {name: talk, websocket: {url: \"ftp://x/${base}\", exchange: [{expect: \"true\"}]}}\n"))
	if res.Pass || !strings.Contains(res.Error, "no absolute URL with the scheme ws or wss") {
		t.Errorf("%+v", res)
	}
}
