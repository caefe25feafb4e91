// Package forward sends a node's buffer to the fleet and tells the fleet that the
// node lives.
//
// It guarantees that a block leaves the buffer only after the fleet said that it
// holds it durably, or after the fleet said that it never will, which is a
// declared loss. It sends in the order of [Queue].Next, so that after an outage
// fresh data arrives first. It never sends faster than answers come back (four
// blocks in flight), never repeats at once what just failed, and never writes a
// log line per retry.
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// A Queue is the part of the node's buffer that forwarding needs. An error of any
// method means that the node's disk is in trouble, never that of the fleet; the
// forwarder waits and tries again.
type Queue interface {
	// Next hands out up to max blocks in the order in which they should be sent.
	// Each is the caller's until it is released, acknowledged or rejected.
	Next(ctx context.Context, max int) ([]queue.Stored, error)
	// Release gives a block back: it was not acknowledged and will be sent again.
	Release(queue.Stored)
	// Ack forgets what the fleet holds durably.
	Ack(ctx context.Context, a wire.Ack) error
	// Reject gives a block up as a declared loss.
	Reject(ctx context.Context, s queue.Stored, reason string) error
	// Changed receives after blocks were added.
	Changed() <-chan struct{}
}

// Options configure a forwarder.
type Options struct {
	URL   string // the fleet's base URL, http or https
	Token string // the node's credential, sent as bearer token
	Queue Queue
	// Client sends the requests; nil means one made for slow uplinks.
	Client *http.Client
	// Heartbeat is the time between signs of life; 0 means 5 s.
	Heartbeat time.Duration
	// Timeout is how long a request may make no progress; 0 means 10 s.
	Timeout time.Duration
	// Info is what a heartbeat says; SentMS is filled in by the forwarder.
	Info func() wire.Heartbeat
	// Goodbye sends a farewell when Run ends: the node was packed up on purpose,
	// its silence is not an outage.
	Goodbye bool
	// Rand draws from [0, 1) for jitter; nil means math/rand.
	Rand func() float64
	Log  *slog.Logger // gets changes of the way to the fleet; nil discards
}

func (o *Options) complete() error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return fmt.Errorf("fleet's URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("fleet's URL %q is not of the form http://host:port", o.URL)
	case o.Token == "":
		return errors.New("the node has no token for the fleet")
	case o.Queue == nil || o.Info == nil:
		return errors.New("forwarding needs a queue and what heartbeats say")
	case o.Heartbeat < 0 || o.Timeout < 0:
		return errors.New("heartbeat and timeout must not be negative")
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 5 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Client == nil {
		o.Client = slowUplinkClient()
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Results of sending a block, the keys of [Status].Blocks.
const (
	ResultAcked     = "acked"     // the fleet holds it now
	ResultDuplicate = "duplicate" // the fleet held it already
	ResultRejected  = "rejected"  // the fleet never will: a declared loss
	ResultFailed    = "failed"    // not known; it will be sent again
)

// Reasons of losses that the fleet's answer declares.
const (
	LostConflict = "conflict" // the fleet holds another block of that number: a cloned data folder
	LostRefused  = "refused"  // the fleet will never take it
)

// A Status is what is known of the way to the fleet.
type Status struct {
	Up        bool
	Since     time.Time // of the last change of Up, or of the start
	LastError string    // of the last request that failed, kept while up
	// Blocks counts answers by lane and result.
	Blocks map[buffer.Lane]map[string]int64
	// ClockOffset is the fleet's clock less the node's, to within half a round
	// trip; it is known after the first heartbeat.
	ClockOffset time.Duration
	ClockKnown  bool
}

// A Forwarder sends blocks and heartbeats. Run it once.
type Forwarder struct {
	o    Options
	base string

	mu     sync.Mutex // guards status
	status Status
}

// New checks the options.
func New(o Options) (*Forwarder, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	base := o.URL
	for len(base) > 0 && base[len(base)-1] == '/' {
		base = base[:len(base)-1]
	}
	return &Forwarder{o: o, base: base, status: Status{Since: time.Now(), Blocks: map[buffer.Lane]map[string]int64{}}}, nil
}

// Status returns a copy of what is known now.
func (f *Forwarder) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	s.Blocks = make(map[buffer.Lane]map[string]int64, len(f.status.Blocks))
	for lane, results := range f.status.Blocks {
		s.Blocks[lane] = map[string]int64{}
		for result, n := range results {
			s.Blocks[lane][result] = n
		}
	}
	return s
}

func (f *Forwarder) count(lane buffer.Lane, result string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status.Blocks[lane] == nil {
		f.status.Blocks[lane] = map[string]int64{}
	}
	f.status.Blocks[lane][result]++
}

func (f *Forwarder) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.LastError = err.Error()
}

func (f *Forwarder) setUp(up bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status.Up != up {
		f.status.Up, f.status.Since = up, now
	}
}

func (f *Forwarder) setClock(offset time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.ClockOffset, f.status.ClockKnown = offset, true
}
