package relay

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"ghostlight/edgecore/claim"
	"ghostlight/edgecore/httpapi"
)

// Timing of a connection.
const (
	writeTimeout = 5 * time.Second
	pingEvery    = 20 * time.Second
	pingTimeout  = 10 * time.Second
	closeGrace   = 500 * time.Millisecond // for a client to answer our goodbye
)

// A client is one connection. Its queue holds replies to its own requests, which
// are never dropped because it is not read again before they are sent, and
// deliveries, which are.
type client struct {
	synthetic bool
	conn      *websocket.Conn    // nil until adopted; guarded by the relay's mu
	abort     context.CancelFunc // breaks the connection; set with conn
	topics    map[topicKey]bool  // followed; guarded by the relay's mu

	mu         sync.Mutex
	queue      []message     // guarded by mu
	deliveries int           // of the queue, without replies; guarded by mu
	bytes      int           // of the queue; guarded by mu
	ready      chan struct{} // holds a token while the queue may have something
	drained    chan struct{} // holds a token after the queue was emptied
}

func newClient(synthetic bool) *client {
	return &client{synthetic: synthetic, topics: map[topicKey]bool{}, ready: make(chan struct{}, 1), drained: make(chan struct{}, 1)}
}

// reply queues an answer to the client's own request.
func (c *client) reply(o outbound) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(message{frame: o.encode()})
}

// replay queues a message of the past: part of an answer.
func (c *client) replay(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(message{seq: m.seq, frame: m.frame})
}

// deliver queues a message, or reports that there is no room.
func (c *client) deliver(m message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deliveries >= queueMessages || c.bytes+len(m.frame) > queueBytes {
		return false
	}
	c.deliveries++
	c.push(m)
	return true
}

// push adds to the queue; c.mu is held.
func (c *client) push(m message) {
	c.queue = append(c.queue, m)
	c.bytes += len(m.frame)
	signal(c.ready)
}

// take empties the queue.
func (c *client) take() []message {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.queue
	c.queue, c.bytes, c.deliveries = nil, 0, 0
	return batch
}

// signal leaves a token unless there is one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// ServeHTTP connects a client and serves it until it leaves or the relay stops.
func (r *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	c := newClient(claim.Synthetic(req.Context()))
	if err := r.join(c); err != nil {
		httpapi.WriteError(w, httpapi.Errorf(http.StatusServiceUnavailable, "No connection: %v.", err))
		return
	}
	defer r.leave(c)
	conn, err := websocket.Accept(w, req, nil)
	if err != nil { // Accept has answered
		return
	}
	defer conn.CloseNow() //nolint:errcheck // closed already in most cases
	conn.SetReadLimit(maxFrame)
	ctx, cancel := context.WithCancel(context.WithoutCancel(req.Context()))
	defer cancel()
	if !r.adopt(c, conn, cancel) {
		return
	}
	var wg sync.WaitGroup
	for _, run := range []func(context.Context, *client) error{r.writeLoop, pingLoop} {
		wg.Go(func() {
			if run(ctx, c) != nil {
				cancel() // breaks the connection, and ends the reading below wherever it waits
			}
		})
	}
	r.readLoop(ctx, c)
	cancel()
	wg.Wait()
}

// adopt gives c its connection, unless the relay stopped meanwhile.
func (r *Relay) adopt(c *client, conn *websocket.Conn, abort context.CancelFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.conn, c.abort = conn, abort
	return !r.stopped
}

// readLoop acts on the client's frames. It reads no further while answers to the
// last one wait, so that a client which does not read cannot pile them up.
func (r *Relay) readLoop(ctx context.Context, c *client) {
	for {
		kind, raw, err := c.conn.Read(ctx)
		if err != nil {
			return
		}
		if kind != websocket.MessageText {
			c.conn.Close(websocket.StatusUnsupportedData, "text frames only") //nolint:errcheck // it is over
			return
		}
		r.handle(c, raw)
		if !c.waitForRoom(ctx) {
			return
		}
	}
}

// waitForRoom waits until the queue is below its bounds; false means that ctx
// ended.
func (c *client) waitForRoom(ctx context.Context) bool {
	for {
		c.mu.Lock()
		full := len(c.queue) > queueMessages || c.bytes > queueBytes
		c.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-c.drained:
		case <-ctx.Done():
			return false
		}
	}
}

// writeLoop sends what is queued until ctx ends or the client does not take it.
func (r *Relay) writeLoop(ctx context.Context, c *client) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.ready:
		}
		for _, m := range c.take() {
			if err := c.send(ctx, m); err != nil {
				return err
			}
			r.metrics.messages.WithLabelValues("out").Inc()
			if !m.received.IsZero() {
				r.metrics.latency.Observe(r.o.Now().Sub(m.received).Seconds())
			}
		}
		signal(c.drained)
	}
}

func (c *client) send(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return c.conn.Write(ctx, websocket.MessageText, m.frame)
}

// pingLoop notices a client that vanished without a word.
func pingLoop(ctx context.Context, c *client) error {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := c.ping(ctx); err != nil {
			return err
		}
	}
}

func (c *client) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return c.conn.Ping(ctx)
}

// Run waits for ctx to end, then says goodbye to every client and returns when
// all are gone.
func (r *Relay) Run(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	r.stopped = true
	var open []*client
	for c := range r.conns {
		if c.conn != nil {
			open = append(open, c)
		}
	}
	r.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range open {
		wg.Go(func() {
			impatient := time.AfterFunc(closeGrace, c.abort)
			defer impatient.Stop()
			c.conn.Close(websocket.StatusGoingAway, "the relay is shutting down") //nolint:errcheck // the last word
			c.abort()
		})
	}
	wg.Wait()
	r.clients.Wait()
	return nil
}
