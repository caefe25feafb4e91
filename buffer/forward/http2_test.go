package forward_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/forward"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// overHTTP2 is a server of HTTP/1 and of HTTP/2 in clear.
func overHTTP2(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	return server
}

// served is the far end of a stream over HTTP/2.
type served struct {
	io.Reader
	w http.ResponseWriter
}

func (s served) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, http.NewResponseController(s.w).Flush()
}

// stream answers a request for a stream.
func (f *fleet) stream(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor < 2 {
		refuse(w, http.StatusUpgradeRequired, "streams need HTTP/2")
		return
	}
	w.Header().Set("Content-Type", wire.StreamType)
	w.WriteHeader(http.StatusOK)
	if http.NewResponseController(w).Flush() == nil {
		f.serveStream(served{r.Body, w}) //nolint:errcheck // the stream ends with it
	}
}

func TestAStreamOverHTTP2InClear(t *testing.T) {
	fleet := newFleet()
	// The second block can only come after the first was acknowledged: both
	// directions work at once.
	var q *pile
	again := false
	q, status := overLoopback(t, overHTTP2(fleet), func(q *pile, s forward.Status) bool {
		if q.drained() && !again {
			again = true
			q.add(queue.Entry{Lane: buffer.Detail, Batch: noise("large", 200<<10)})
			return false
		}
		return q.drained()
	})
	if !status.Up || status.Mode != forward.ModeStream || status.Streams != 1 || status.LastError != "" {
		t.Errorf("status %+v", status)
	}
	if got := fleet.names(); len(got) != 2 || !q.drained() {
		t.Errorf("fleet has %v", got)
	}
	if told := fleet.told(); len(told) != 2 || !told[1].Goodbye {
		t.Errorf("reports %+v, want a greeting and the farewell", told)
	}
	if !status.ClockKnown || (status.ClockOffset-ahead).Abs() > time.Second {
		t.Errorf("clock offset %s", status.ClockOffset)
	}
}

func TestAnswersToAStreamThatIsNotToBe(t *testing.T) {
	for name, tc := range map[string]struct {
		status   int
		header   string // Retry-After
		noStream bool
	}{
		"unknown path": {status: http.StatusNotFound, noStream: true},
		"not allowed":  {status: http.StatusMethodNotAllowed, noStream: true},
		"bad token":    {status: http.StatusUnauthorized},
		"busy":         {status: http.StatusServiceUnavailable, header: "7"},
		"broken":       {status: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			server := overHTTP2(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tc.header != "" {
					w.Header().Set("Retry-After", tc.header)
				}
				refuse(w, tc.status, "so it was decided")
			}))
			defer server.Close()
			c, err := forward.DialTLS(server.URL, token, &tls.Config{})(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Read(make([]byte, 1))
			if err == nil || errors.Is(err, forward.ErrNoStream) != tc.noStream || errors.Is(err, forward.ErrUnreachable) {
				t.Errorf("error %v, no stream: want %v", err, tc.noStream)
			}
			if _, werr := c.Write([]byte("x")); werr == nil {
				t.Error("what nobody reads was written")
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c, err := forward.DialTLS("http://"+ln.Addr().String(), token, &tls.Config{})(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); !errors.Is(err, forward.ErrUnreachable) {
		t.Errorf("write: %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, forward.ErrUnreachable) {
		t.Errorf("read: %v", err)
	}
}

func TestClosingAStreamEndsItsConnection(t *testing.T) {
	closed := make(chan struct{})
	server := httptest.NewUnstartedServer(newFleet())
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			close(closed)
		}
	}
	server.Start()
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := forward.DialTLS(server.URL, token, &tls.Config{})(ctx)
	if err != nil {
		t.Fatal(err)
	}
	hello, err := wire.AppendJSON(nil, wire.Hello, wire.Heartbeat{Session: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(hello); err != nil {
		t.Fatal(err)
	}
	if kind, _, err := wire.NewReader(c, 1<<16).Next(); kind != wire.Welcome || err != nil {
		t.Fatalf("message %d, %v", kind, err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	c.Close()
	if err := <-read; err == nil {
		t.Error("something was read of a closed stream")
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is left open")
	}
}

func TestStreamsOverTLS(t *testing.T) {
	for _, http2 := range []bool{true, false} {
		t.Run(fmt.Sprint("HTTP2 ", http2), func(t *testing.T) {
			fleet := newFleet()
			server := httptest.NewUnstartedServer(fleet)
			server.EnableHTTP2 = http2
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			roots := server.Client().Transport.(*http.Transport).TLSClientConfig
			q := newPile()
			q.add(queue.Entry{Lane: buffer.Revenue, Batch: metric("m")})
			client := server.Client()
			defer client.CloseIdleConnections()
			f, err := forward.New(forward.Options{
				URL: server.URL, Token: token, Queue: q, Client: client, Dial: forward.DialTLS(server.URL, token, &tls.Config{RootCAs: roots.RootCAs, ServerName: "example.com"}),
				Info: func() wire.Heartbeat { return wire.Heartbeat{Session: q.session} },
			})
			if err != nil {
				t.Fatal(err)
			}
			status := runUntil(t, f, func() bool { return q.drained() })
			if want := map[bool]string{true: forward.ModeStream, false: forward.ModePost}[http2]; status.Mode != want {
				t.Errorf("mode %q, want %q: %+v", status.Mode, want, status)
			}
			server.Close()
		})
	}
}

// BenchmarkStreamOverHTTP2 sends blocks of a node of 1,000 series over loopback.
func BenchmarkStreamOverHTTP2(b *testing.B) {
	fleet := newFleet()
	server := overHTTP2(fleet)
	defer server.Close()
	q := newPile()
	const series = 1000
	for i := range b.N {
		var batch delta.Batch
		for n := range series {
			batch.Series = append(batch.Series, delta.Series{
				Labels:  []delta.Label{{Name: "__name__", Value: "m"}, {Name: "n", Value: fmt.Sprint(n)}},
				Samples: []delta.Sample{{Time: int64(i) * 15_000, Value: float64(i * n % 97)}},
			})
		}
		q.addOld(buffer.Detail, 1, batch)
	}
	f, err := forward.New(forward.Options{URL: server.URL, Token: token, Queue: q, Info: func() wire.Heartbeat { return wire.Heartbeat{Session: q.session} }})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	status := runUntil(b, f, func() bool { return q.drained() })
	b.ReportMetric(float64(b.N*series)/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(float64(status.Sent[forward.SentBlocks].Bytes)/float64(b.N*series), "bytes/sample")
}
