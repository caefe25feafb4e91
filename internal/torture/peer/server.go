// Package peer drives Debian's Prometheus through days that pass in seconds: what
// arrives is written by remote write, in the order of arrival and with the times
// that its senders stamped, and rules are evaluated as a server would have done
// while it waited, on what had arrived by then.
//
// What Prometheus takes and refuses is its own decision. Nothing of it is modelled:
// the out-of-order window is off, as it is by default, and a request that is refused
// is lost, as its sender does not repeat one that was malformed.
package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Install says what to install when a tool is missing.
const Install = "install the Debian package prometheus (apt-get install prometheus)"

// A Server is a Prometheus that nothing is scraped by.
type Server struct {
	cmd    *exec.Cmd
	done   chan error
	log    string
	base   string
	client *http.Client
}

// Start starts a Prometheus with its data in dir, an empty folder.
func Start(ctx context.Context, dir string) (*Server, error) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		return nil, fmt.Errorf("no Prometheus: %s: %w", Install, err)
	}
	addr, err := free(ctx)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {evaluation_interval: 1m}\n"), 0o644); err != nil {
		return nil, err
	}
	s := &Server{done: make(chan error, 1), log: filepath.Join(dir, "prometheus.log"), base: "http://" + addr, client: &http.Client{Timeout: time.Minute}}
	out, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the process has its own
	s.cmd = exec.Command(program, "--config.file="+config, "--web.listen-address="+addr, "--web.enable-remote-write-receiver",
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--storage.tsdb.retention.time=10y", "--log.level=warn")
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// free is an address that nobody listens on.
func free(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// ready waits until the server answers.
func (s *Server) ready(ctx context.Context) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := s.get(ctx, "/-/ready", nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ended := <-s.done:
			s.done <- ended
			return fmt.Errorf("the server ended (%w): %s", errors.Join(ended), s.said())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer of the server within 30 s: %w: %s", err, s.said())
		}
	}
}

// said is the end of what the server logged.
func (s *Server) said() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-1000):]))
}

// Stop ends the server, whose data is of no more use.
func (s *Server) Stop() error {
	s.client.CloseIdleConnections()
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.done
	return nil
}

// get asks for a path and decodes the answer into out, unless that is nil.
func (s *Server) get(ctx context.Context, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, bytes.TrimSpace(body))
	case out == nil:
		return nil
	}
	return json.Unmarshal(body, out)
}

// A Point is a value at a time.
type Point struct {
	MS    int64
	Value float64
}

// Range evaluates a query that has at most one series, once in each step of
// [from, to], times in Unix milliseconds.
func (s *Server) Range(ctx context.Context, query string, from, to int64, step time.Duration) ([]Point, error) {
	q := url.Values{"query": {query}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}}
	var reply struct {
		Data struct {
			Result []struct {
				Values [][2]any `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := s.get(ctx, "/api/v1/query_range?"+q.Encode(), &reply); err != nil {
		return nil, err
	}
	if n := len(reply.Data.Result); n > 1 {
		return nil, fmt.Errorf("%s has %d series, want one", query, n)
	}
	var out []Point
	for _, r := range reply.Data.Result {
		for _, v := range r.Values {
			p, err := point(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", query, err)
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// Instant evaluates a query that has at most one series; ok is false without one.
func (s *Server) Instant(ctx context.Context, query string, at int64) (value float64, ok bool, err error) {
	list, err := s.Range(ctx, query, at, at, time.Minute)
	if err != nil || len(list) == 0 {
		return 0, false, err
	}
	return list[0].Value, true, nil
}

func point(v [2]any) (Point, error) {
	at, ok1 := v[0].(float64)
	text, ok2 := v[1].(string)
	if !ok1 || !ok2 {
		return Point{}, fmt.Errorf("%v is no value", v)
	}
	value, err := strconv.ParseFloat(text, 64)
	return Point{int64(at * 1000), value}, err
}

func seconds(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64) }

// Check runs promtool over a rule file.
func Check(ctx context.Context, file string) error {
	program, err := exec.LookPath("promtool")
	if err != nil {
		return fmt.Errorf("no promtool: %s: %w", Install, err)
	}
	if out, err := exec.CommandContext(ctx, program, "check", "rules", file).CombinedOutput(); err != nil {
		return fmt.Errorf("promtool check rules: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
