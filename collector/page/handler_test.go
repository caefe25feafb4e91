package page

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ghostlight/buffer"
)

func newHandler(t *testing.T, change func(*Options)) *httptest.Server {
	t.Helper()
	o := Options{
		Status: func() Status { return Status{Source: buffer.Source{Region: "a", Venue: "b", Node: "c"}} },
		Render: func(w io.Writer, s Status) error { _, err := io.WriteString(w, "<p>"+s.Source.Venue); return err },
		Flush: func(ctx context.Context, hold time.Duration) (Flushed, error) {
			deadline, _ := ctx.Deadline()
			return Flushed{Drained: true, Produced: map[buffer.Lane]int64{buffer.Revenue: int64(hold / time.Second), buffer.Detail: int64(time.Until(deadline).Round(time.Second) / time.Second)}}, nil
		},
		Token: "secret", Every: time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	h, err := NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func TestHandler(t *testing.T) {
	broken := func(o *Options) {
		o.Render = func(io.Writer, Status) error { return errors.New("x") }
		o.Flush = func(context.Context, time.Duration) (Flushed, error) { return Flushed{}, errors.New("no time left") }
	}
	for _, tc := range []struct {
		name, method, path, token string
		change                    func(*Options)
		code                      int
		body, contentType         string
	}{
		{"page", "GET", "/", "", nil, 200, "<p>b", "text/html; charset=utf-8"},
		{"page that breaks", "GET", "/", "", broken, 500, "/api/status", ""},
		{"status", "GET", "/api/status", "", nil, 200, `"venue":"b"`, "application/json"},
		{"alive", "GET", "/healthz", "", nil, 200, "ok", ""},
		{"unknown", "GET", "/x", "", nil, 404, "", ""},
		{"only read", "POST", "/", "", nil, 405, "", ""},
		{"flush without a token", "POST", "/api/flush", "", nil, 401, "bearer token", "application/json"},
		{"flush with another", "POST", "/api/flush", "secre", nil, 401, "bearer token", "application/json"},
		{"flush", "POST", "/api/flush", "secret", nil, 200, `{"drained":true,"produced":{"detail":20,"revenue":10},"lost":null}`, "application/json"},
		{"flush with times", "POST", "/api/flush?timeout=5s&hold=0s", "secret", nil, 200, `"detail":5,"revenue":0`, "application/json"},
		{"flush for too long", "POST", "/api/flush?timeout=1h", "secret", nil, 400, "0s to 2m0s", "application/json"},
		{"flush for nonsense", "POST", "/api/flush?hold=x", "secret", nil, 400, "hold=", "application/json"},
		{"flush that fails", "POST", "/api/flush", "secret", broken, 503, "no time left", "application/json"},
		{"flush by reading", "GET", "/api/flush", "secret", nil, 405, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequest(tc.method, newHandler(t, tc.change).URL+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tc.token != "" {
				req.Header.Set("Authorization", "Bearer "+tc.token)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.code || !strings.Contains(string(body), tc.body) || tc.contentType != "" && resp.Header.Get("Content-Type") != tc.contentType {
				t.Errorf("answered %s, %s: %s", resp.Status, resp.Header.Get("Content-Type"), body)
			}
		})
	}
}

func TestLive(t *testing.T) {
	srv := newHandler(t, nil)
	resp, err := http.Get(srv.URL + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for events := 0; events < 3 && lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		events++
		var s Status
		if err := json.Unmarshal([]byte(data), &s); err != nil || s.Source.Node != "c" {
			t.Errorf("event %q: %v", data, err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}

func TestLiveStreamsAreBounded(t *testing.T) {
	srv := newHandler(t, nil)
	for range maxLive {
		resp, err := http.Get(srv.URL + "/live")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	resp, err := http.Get(srv.URL + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one stream too many answered %s", resp.Status)
	}
}
