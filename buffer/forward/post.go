package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

const (
	maxAnswer = 64 << 10
	// chunk is how much of a body is handed to the connection at a time; each is
	// a sign of progress.
	chunk = 8 << 10
	// sendBuffer bounds what the kernel holds of a body. On a 256 kb/s uplink the
	// usual megabytes would delay fresh data by half a minute.
	sendBuffer = 32 << 10
	// postHead is about what the head of a request takes.
	postHead = 300
	// probeAfter is how long a connection idles before TCP asks whether it lives:
	// what is sent over it tells sooner.
	probeAfter = 2 * time.Minute
	// longestPause bounds what the fleet may ask for by Retry-After.
	longestPause = 5 * time.Minute
)

// slowUplinkClient keeps few connections and little unsent data. It follows no
// redirect: a captive portal is not the fleet.
func slowUplinkClient() *http.Client {
	const timeout = 10 * time.Second
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			MaxIdleConnsPerHost: maxInFlight + 1,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: timeout,
			DialContext:         slowUplinkDialer(timeout),
		},
	}
}

// slowUplinkDialer makes connections that hold little unsent data.
func slowUplinkDialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: timeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeAfter}}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			// A larger buffer only delays: not worth failing for.
			_ = tcp.SetWriteBuffer(sendBuffer)
		}
		return conn, err
	}
}

// An answer is what came back for a request that reached something.
type answer struct {
	status     int
	body       []byte
	retryAfter time.Duration // 0 when not given
}

// errNoProgress means that a request was given up because nothing moved.
var errNoProgress = errors.New("no progress")

// post sends body and reads the answer. It gives up when nothing moves for the
// timeout; a slow link that moves may take its time.
func (f *Forwarder) post(ctx context.Context, kind, path, mediaType string, body []byte) (answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(f.o.Timeout, func() {
		cancel(fmt.Errorf("%w for %s", errNoProgress, f.o.Timeout))
	})
	defer watchdog.Stop()
	progress := func() { watchdog.Reset(f.o.Timeout) }

	watched := &watchedReader{r: bytes.NewReader(body), progress: progress}
	defer func() { f.spend(kind, watched.read.Load()) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.base+path, watched)
	if err != nil {
		return answer{}, err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Authorization", "Bearer "+f.o.Token)
	req.Header.Set("Content-Type", mediaType)
	resp, err := f.o.Client.Do(req)
	if err != nil {
		return answer{}, cause(ctx, err)
	}
	defer resp.Body.Close()
	progress()
	text, err := io.ReadAll(&watchedReader{r: io.LimitReader(resp.Body, maxAnswer), progress: progress})
	if err != nil {
		return answer{}, fmt.Errorf("read the fleet's answer: %w", cause(ctx, err))
	}
	return answer{status: resp.StatusCode, body: text, retryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}, nil
}

// cause prefers the reason for which a request was given up.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); errors.Is(c, errNoProgress) {
		return c
	}
	return err
}

// A watchedReader hands out small pieces and tells of each.
type watchedReader struct {
	r        io.Reader
	progress func()
	read     atomic.Int64 // bytes; the transport may read on after its answer
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p[:min(len(p), chunk)])
	if n > 0 {
		w.read.Add(int64(n))
		w.progress()
	}
	return n, err
}

// retryAfter reads the header in either of its forms.
func retryAfter(header string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.Atoi(header); err == nil {
		d = time.Duration(min(max(seconds, 0), int(longestPause/time.Second))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), longestPause)
}

// A verdict is what one attempt to send a block came to.
type verdict struct {
	block  queue.Stored
	result string
	err    error         // why it failed or was rejected
	link   bool          // the way to the fleet is in doubt, not just this block
	pause  time.Duration // the fleet asks for silence
	busy   bool          // the fleet is there but takes nothing now
}

// send sends one block and does with it what the answer says.
func (f *Forwarder) send(ctx context.Context, s queue.Stored) verdict {
	sealed, err := s.Seal(f.codec)
	s = bare(s)
	if err != nil {
		// It was read from the buffer whole and will not get better.
		return f.reject(ctx, s, LostRefused, fmt.Errorf("block cannot be coded: %w", err))
	}
	a, err := f.post(ctx, SentBlocks, wire.BlocksPath, wire.BlockType, sealed)
	if err != nil {
		return verdict{block: s, result: ResultFailed, err: err, link: true}
	}
	switch {
	case a.status == http.StatusOK:
		return f.acknowledge(ctx, s, a)
	case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
		return verdict{block: s, result: ResultFailed, err: a.error(), pause: a.retryAfter, busy: true}
	case final(a.status) && a.refusal() != "":
		return f.reject(ctx, s, lossOf(a.status), a.error())
	default:
		return verdict{block: s, result: ResultFailed, err: a.error(), link: true}
	}
}

// acknowledge forgets what the answer names. An answer that does not name the
// block is not the fleet's.
func (f *Forwarder) acknowledge(ctx context.Context, s queue.Stored, a answer) verdict {
	var ack wire.Ack
	if err := json.Unmarshal(a.body, &ack); err != nil || !covers(ack, s) {
		return verdict{block: s, result: ResultFailed, link: true, err: errors.New("the answer does not acknowledge the block: is something else answering for the fleet?")}
	}
	if err := f.o.Queue.Ack(ctx, ack); err != nil {
		return verdict{block: s, result: ResultFailed, err: err, busy: true}
	}
	if ack.Duplicate {
		return verdict{block: s, result: ResultDuplicate}
	}
	return verdict{block: s, result: ResultAcked}
}

func covers(ack wire.Ack, s queue.Stored) bool {
	if ack.Session != s.Session || ack.Lane != s.Lane {
		return false
	}
	for _, r := range ack.Ranges {
		if r.First <= s.First && s.Seq <= r.Last {
			return true
		}
	}
	return false
}

// final reports whether a status, if the fleet itself sends it, says that it will
// never take the block. What speaks of the credential or the address says nothing
// of the block.
func final(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly,
		http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// lossOf is the reason of the loss that a final status declares.
func lossOf(status int) string {
	if status == http.StatusConflict {
		return LostConflict
	}
	return LostRefused
}

func (f *Forwarder) reject(ctx context.Context, s queue.Stored, reason string, why error) verdict {
	if err := f.o.Queue.Reject(ctx, s, reason); err != nil {
		return verdict{block: s, result: ResultFailed, err: err, busy: true}
	}
	return verdict{block: s, result: ResultRejected, err: why}
}

// tellRejected says that a block is lost.
func (f *Forwarder) tellRejected(s queue.Stored, why error) {
	f.state.failed(why)
	f.o.Log.Error("fleet will never take this block: declared lost; after a conflict, make sure that no copy of this data folder is in use",
		slog.String("lane", s.Lane.String()), slog.Uint64("sequence", uint64(s.Seq)), slog.Any("error", why))
}

// refusal is the fleet's reason, empty if the answer is not a [wire.Refusal].
func (a answer) refusal() string {
	var r wire.Refusal
	if json.Unmarshal(a.body, &r) != nil {
		return ""
	}
	return r.Error
}

// error says what the fleet answered.
func (a answer) error() error {
	hint := ""
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = ": check the node's token"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		hint = ": check the fleet's URL"
	}
	if r := a.refusal(); r != "" {
		return fmt.Errorf("fleet answered %d: %s%s", a.status, r, hint)
	}
	return fmt.Errorf("fleet answered %d %s%s", a.status, http.StatusText(a.status), hint)
}

// beat sends one heartbeat. nil means that the fleet lives and knows the node.
func (f *Forwarder) beat(ctx context.Context, goodbye bool) error {
	sent := time.Now()
	body, err := json.Marshal(f.info(sent, goodbye))
	if err != nil {
		return fmt.Errorf("encode heartbeat: %w", err)
	}
	a, err := f.post(ctx, SentReports, wire.HeartbeatPath, "application/json", body)
	if err != nil {
		return err
	}
	var reply struct {
		wire.HeartbeatReply
		Calendar json.RawMessage `json:"calendar"` // read by itself: it never spoils the rest
	}
	if a.status != http.StatusOK {
		return a.error()
	}
	if err := json.Unmarshal(a.body, &reply); err != nil || reply.ReceivedMS == 0 {
		return errors.New("the answer to the heartbeat is not the fleet's: is something else answering for it?")
	}
	f.clock.note(sent, time.Now(), reply.ReceivedMS)
	if len(reply.Calendar) > 0 && string(reply.Calendar) != "null" {
		f.calendar(reply.Calendar)
	}
	return nil
}

// spend counts a request; one whose body nobody took was not sent.
func (f *Forwarder) spend(kind string, body int64) {
	if body == 0 {
		return
	}
	f.state.sent(kind, int(body)+postHead)
	f.budget.spend(onUplink(int(body)+postHead), time.Now())
}
