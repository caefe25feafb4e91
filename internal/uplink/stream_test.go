package uplink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// echo answers each line of a stream with the same line, and a request with its
// body, over HTTP/2 in clear. It remembers the lines in order of arrival.
type echo struct {
	*httptest.Server
	ended chan error // why a stream ended, for each

	mu    sync.Mutex // guards lines
	lines []string
}

func newEcho(t *testing.T) *echo {
	e := &echo{ended: make(chan error, 100)}
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(e.serve))
	e.Config.Protocols = both()
	e.Start()
	t.Cleanup(e.Close)
	return e
}

func (e *echo) serve(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	rc.EnableFullDuplex() // for HTTP/1.1; a stream has it anyway
	fmt.Fprintf(w, "%s\n", r.Proto)
	rc.Flush()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		e.mu.Lock()
		e.lines = append(e.lines, lines.Text())
		e.mu.Unlock()
		fmt.Fprintln(w, lines.Text())
		rc.Flush()
	}
	e.ended <- lines.Err()
}

func (e *echo) seen() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.lines...)
}

// talk is the client's end of a stream.
type talk struct {
	up     *io.PipeWriter
	down   *bufio.Reader
	cancel context.CancelFunc
}

// dial opens a stream over a connection of its own and reads the greeting.
func dial(t *testing.T, url string) (*talk, error) {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	ctx, cancel := context.WithCancel(t.Context())
	body, up := io.Pipe()
	t.Cleanup(func() { cancel(); up.Close(); tr.CloseIdleConnections() })
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return nil, err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { resp.Body.Close() })
	s := &talk{up: up, down: bufio.NewReader(resp.Body), cancel: cancel}
	if proto, err := s.down.ReadString('\n'); err != nil || proto != "HTTP/2.0\n" {
		return nil, fmt.Errorf("greeting %q: %w", proto, err)
	}
	return s, nil
}

// say sends a line and waits for its answer.
func (s *talk) say(line string) error {
	if _, err := fmt.Fprintln(s.up, line); err != nil {
		return err
	}
	got, err := s.down.ReadString('\n')
	if err == nil && got != line+"\n" {
		err = fmt.Errorf("said %q, got %q", line, got)
	}
	return err
}

func mustDial(t *testing.T, url string) *talk {
	t.Helper()
	s, err := dial(t, url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStreamFlowsBothWaysAtOnce(t *testing.T) {
	e := newEcho(t)
	u, url := start(t, e.Listener.Addr().String())
	s := mustDial(t, url)
	for i := range 200 {
		// Each line waits for its answer, so one that is held back anywhere hangs.
		if err := s.say(strings.Repeat("x", i*50)); err != nil {
			t.Fatal(err)
		}
	}
	s.up.Close()
	if rest, err := io.ReadAll(s.down); err != nil || len(rest) != 0 {
		t.Errorf("after the end of the body: %q, %v", rest, err)
	}
	if err := <-e.ended; err != nil {
		t.Errorf("the backend saw the stream end with %v, want an orderly end", err)
	}
	if n := u.Counts()["fleet"]; n.Streams != 1 || n.Requests != 0 || n.Connections != 1 {
		t.Errorf("counts %+v", n)
	}
}

func TestRequestsBesideAStream(t *testing.T) {
	e := newEcho(t)
	u, url := start(t, e.Listener.Addr().String())
	s := mustDial(t, url)
	two := &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(two.CloseIdleConnections)
	set(t, u, Fault{Kind: Duplicate})
	for want, c := range map[string]*http.Client{"HTTP/1.1": client(t, 5*time.Second), "HTTP/2.0": {Transport: two, Timeout: 5 * time.Second}} {
		if got, _, err := post(c, url, want); err != nil || got != want+"\n"+want+"\n" {
			t.Errorf("over %s: %q, %v", want, got, err)
		}
	}
	u.Clear()
	if err := s.say("still there"); err != nil {
		t.Error(err)
	}
	if n := u.Counts()["fleet"]; n.Requests != 2 || n.Duplicated != 2 || n.LostAnswers != 0 {
		t.Errorf("counts %+v", n)
	}
}

func TestCutEndsStreamsAtBothEnds(t *testing.T) {
	e := newEcho(t)
	u, url := start(t, e.Listener.Addr().String())
	s := mustDial(t, url)
	if err := s.say("one"); err != nil {
		t.Fatal(err)
	}
	clear := set(t, u, Fault{Kind: Cut})
	if line, err := s.down.ReadString('\n'); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("client read %q, %v: want a broken stream", line, err)
	}
	if err := <-e.ended; err == nil {
		t.Error("the backend took the cut for an orderly end")
	}
	if _, err := dial(t, url); err == nil {
		t.Error("a new stream got through during the cut")
	}
	clear()
	if err := mustDial(t, url).say("two"); err != nil {
		t.Errorf("after the cut: %v", err)
	}
}

func TestHalfOpenStreamIsSilentAtBothEnds(t *testing.T) {
	e := newEcho(t)
	u, url := start(t, e.Listener.Addr().String())
	s := mustDial(t, url)
	clear := set(t, u, Fault{Kind: HalfOpen})
	if _, err := fmt.Fprintln(s.up, "lost"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return u.Counts()["fleet"].Swallowed > 0 })
	s.cancel() // the client gives up; the backend cannot know
	select {
	case err := <-e.ended:
		t.Errorf("the backend learnt of the client's end during half-open: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	clear()
	if err := <-e.ended; err == nil {
		t.Error("the backend took the broken stream for an orderly end")
	}
	if got := e.seen(); len(got) != 0 {
		t.Errorf("backend saw swallowed lines %q", got)
	}
}

func TestLostAnswersMakeTheSenderRepeat(t *testing.T) {
	for _, kind := range []Kind{Duplicate, Reorder} {
		t.Run(string(kind), func(t *testing.T) {
			e := newEcho(t)
			u, url := start(t, e.Listener.Addr().String())
			set(t, u, Fault{Kind: kind, Hold: time.Second})
			s, dials := mustDial(t, url), int64(1)
			for i := range 10 {
				for line := fmt.Sprint(i); s.say(line) != nil; dials++ {
					s = mustDial(t, url)
				}
			}
			counted := map[string]int{}
			for _, line := range e.seen() {
				counted[line]++
			}
			repeated := int64(len(e.seen()) - len(counted))
			if n := u.Counts()["fleet"]; len(counted) != 10 || n.LostAnswers < 5 || n.LostAnswers != repeated || n.Streams != dials {
				t.Errorf("backend saw %d lines, %d of them again, over %d streams; counts %+v", len(counted), repeated, dials, n)
			}
		})
	}
}

func TestThrottledLineHoldsLittle(t *testing.T) {
	for _, delay := range []time.Duration{0, 300 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			src, in := net.Pipe()
			r := &route{faults: newFaults(), counts: &counters{}}
			r.faults.set(Fault{Kind: Throttle, BytesPerSecond: 1000})
			if delay > 0 {
				r.faults.set(Fault{Kind: Delay, Delay: delay})
			}
			c := &carried{route: r, lost: make(chan struct{})}
			go func() { c.pump(t.Context(), src, near, &r.counts.bytesUp); near.Close() }()
			const chunk = 20
			offered := make([]time.Time, 250) // when the line was offered each chunk
			go func() {
				for i := range offered {
					offered[i] = time.Now()
					in.Write(make([]byte, chunk))
				}
				in.Close()
			}()
			begin := time.Now()
			for i := range offered {
				if _, err := io.ReadFull(far, make([]byte, chunk)); err != nil {
					t.Fatal(err)
				}
				// The first window fills at once, so its end waits for the rest of it.
				if late := time.Since(offered[i]); late > 2*(delay+shortQueue) {
					t.Fatalf("chunk %d arrived after %v, want at most %v", i, late, 2*(delay+shortQueue))
				}
			}
			if took := time.Since(begin); took < 5*time.Second || took > 5*time.Second+delay+shortQueue {
				t.Errorf("5000 bytes took %v at 1000 a second", took)
			}
		})
	}
}
