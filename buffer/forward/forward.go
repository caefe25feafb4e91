// Package forward sends a node's buffer to the fleet and tells the fleet that the
// node lives.
//
// It guarantees that a block leaves the buffer only after the fleet said that it
// holds it durably, or after the fleet said that it never will, which is a
// declared loss. It sends in the order of [Queue].Next, so that after an outage
// fresh data arrives first: backlog on its way is bounded to half a second of what
// the uplink carries. It never repeats at once what just failed, never writes a
// log line per retry, and never sends more than its budget but revenue.
//
// It keeps one stream open (see package wire). Where the network lets none
// through, it sends each block by a POST of its own and tries a stream again every
// five minutes. DESIGN.md beside it tells how.
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// A Queue is the part of the node's buffer that forwarding needs. An error of any
// method means that the node's disk is in trouble, never that of the fleet; the
// forwarder waits and tries again.
type Queue interface {
	// Next hands out up to max blocks of those that allow does not refuse, in the
	// order in which they should be sent. Each is the caller's until it is released,
	// acknowledged or rejected.
	Next(ctx context.Context, max int, allow func(lane buffer.Lane, fresh bool) bool) ([]queue.Stored, error)
	// Release gives a block back: it was not acknowledged and will be sent again.
	Release(queue.Stored)
	// Ack forgets what the fleet holds durably.
	Ack(ctx context.Context, a wire.Ack) error
	// Reject gives a block up as a declared loss.
	Reject(ctx context.Context, s queue.Stored, reason string) error
	// Changed receives after blocks were added.
	Changed() <-chan struct{}
}

// A Memory keeps what must outlive a restart; the node's buffer is one.
type Memory interface {
	State(ctx context.Context, prefix string) (map[string][]byte, error)
	Append(ctx context.Context, c queue.Commit) error
}

// Options configure a forwarder.
type Options struct {
	URL   string // the fleet's base URL, http or https
	Token string // the node's credential, sent as bearer token
	Queue Queue
	// Dial opens streams; nil means HTTP/2 to URL.
	Dial Dialer
	// Client sends requests where no stream can be had; nil means one made for
	// slow uplinks.
	Client *http.Client
	// Heartbeat is the time between signs of life where the fleet does not say how
	// often it wants them; 0 means 5 s.
	Heartbeat time.Duration
	// Timeout is how long nothing may move while an answer is due; 0 means 10 s.
	Timeout time.Duration
	// Bandwidth bounds what is sent.
	Bandwidth Bandwidth
	// Memory keeps the day's use of the bandwidth; it is needed with PerDay.
	Memory Memory
	// Info is what a heartbeat says; SentMS, Bandwidth and Calendar are filled in by
	// the forwarder.
	Info func() wire.Heartbeat
	// Calendar is told each calendar of shows that the fleet sends, if it is not the
	// one before; one call at a time, and sending waits for it. It must keep what it
	// is told: the fleet says it again only when it changes or the agent starts anew.
	// nil: the node wants none.
	Calendar func(wire.Calendar)
	// Goodbye sends a farewell when Run ends: the node was packed up on purpose,
	// its silence is not an outage.
	Goodbye bool
	// Rand draws from [0, 1) for jitter; nil means math/rand.
	Rand func() float64
	Log  *slog.Logger // gets changes of the way to the fleet; nil discards
}

func (o *Options) validate() error {
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
	case o.Bandwidth.PerSecond < 0 || o.Bandwidth.PerDay < 0:
		return errors.New("bandwidth must not be negative; 0 is no bound")
	case o.Bandwidth.PerDay > 0 && o.Memory == nil:
		return errors.New("a bandwidth per day needs a memory that outlives restarts")
	}
	return nil
}

func (o *Options) complete() {
	if o.Heartbeat == 0 {
		o.Heartbeat = 5 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Dial == nil {
		o.Dial = newHTTP2Dialer(strings.TrimRight(o.URL, "/"), o.Token, o.Timeout*3/4).dial
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
}

// A Forwarder sends blocks and heartbeats. Run it once.
type Forwarder struct {
	o      Options
	base   string
	codec  *delta.Codec
	budget *budget
	clock  *clock
	state  *state

	calendars *calendars

	// What follows belongs to Run's goroutine.
	acks     settler
	diskBad  bool // the node's buffer failed last
	troubles int  // its failures in a row
}

// New checks the options.
func New(o Options) (*Forwarder, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.complete()
	codec, err := delta.NewCodec(delta.DefaultLimits())
	if err != nil {
		return nil, err
	}
	return &Forwarder{
		o: o, base: strings.TrimRight(o.URL, "/"), codec: codec,
		budget: newBudget(o.Bandwidth), clock: &clock{}, state: newState(time.Now()),
		calendars: &calendars{tell: o.Calendar}, acks: settler{done: make(chan error, 1)},
	}, nil
}

// info is what a heartbeat says now.
func (f *Forwarder) info(now time.Time, goodbye bool) wire.Heartbeat {
	h := f.o.Info()
	h.SentMS, h.Goodbye, h.Bandwidth, h.Calendar = now.UnixMilli(), goodbye, f.budget.report(now), f.calendars.digest()
	return h
}

// disk notes what came of a call to the node's buffer, says once when it fails,
// and returns how long to leave it alone.
func (f *Forwarder) disk(err error) time.Duration {
	switch {
	case err == nil:
		f.diskBad, f.troubles = false, 0
		return 0
	case errors.Is(err, context.Canceled):
		return 0
	}
	f.state.failed(err)
	if !f.diskBad {
		f.o.Log.Error("buffer cannot be read or written; forwarding tries again", slog.Any("error", err))
	}
	f.diskBad = true
	f.troubles++
	return delay(f.troubles, f.o.Rand)
}
