package uplink

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// route is one listener with its two stages: connections, whose bytes the line
// faults work on, and requests, which the proxy passes to the backend.
type route struct {
	name     string
	listener net.Listener
	faults   *faults
	counts   *counters
	proxy    *proxy
}

func newRoute(r Route) *route {
	f, c := newFaults(), &counters{}
	return &route{name: r.Name, listener: r.Listener, faults: f, counts: c, proxy: newProxy(r.Backend, f, c)}
}

// run takes connections until ctx ends and owns every goroutine below it.
func (r *route) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	inner := newPipeListener(r.listener.Addr())
	wg.Go(func() { r.proxy.serve(ctx, inner) })
	wg.Go(func() {
		<-ctx.Done()
		r.listener.Close()
		inner.Close()
	})
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			var temporary net.Error
			if errors.As(err, &temporary) && temporary.Timeout() {
				continue
			}
			return err
		}
		r.counts.connections.Add(1)
		if l, _ := r.faults.line(); l.cut {
			r.counts.refused.Add(1)
			reset(conn)
			continue
		}
		wg.Go(func() { r.carry(ctx, conn, inner) })
	}
}

// carry moves bytes between a client and the request stage until either ends or
// a fault breaks the connection.
func (r *route) carry(ctx context.Context, client net.Conn, inner *pipeListener) {
	near, far := net.Pipe()
	if !inner.offer(ctx, far) {
		near.Close()
		reset(client)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	if tcp, ok := client.(*net.TCPConn); ok {
		tcp.SetReadBuffer(socketBytes) //nolint:errcheck // without it more waits in the kernel
	}
	c := &carried{route: r, client: client, near: near, lost: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { c.watch(ctx) })
	wg.Go(func() { c.pump(ctx, client, near, &r.counts.bytesUp); near.Close() })
	c.pump(ctx, near, client, &r.counts.bytesDown)
	client.Close()
	near.Close()
	cancel()
	wg.Wait()
}

// reset closes a connection so that its peer sees it break at once.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0) //nolint:errcheck // without it the peer sees an orderly end, which breaks it too
	}
	c.Close()
}

// carried is one connection on its way.
type carried struct {
	route  *route
	client net.Conn
	near   net.Conn

	loseOnce sync.Once
	lost     chan struct{} // closed when bytes were swallowed: the streams no longer match
}

// watch breaks the connection when the line is cut, when a half-open fault that
// took bytes goes, and when ctx ends.
func (c *carried) watch(ctx context.Context) {
	for {
		l, changed := c.route.faults.line()
		if l.cut || (!l.swallow && c.hasLost()) {
			c.route.counts.broken.Add(1)
			reset(c.client)
			c.near.Close()
			return
		}
		lost := c.lost
		if l.swallow {
			lost = nil // nothing to do about it until the fault goes
		}
		select {
		case <-changed:
		case <-lost:
		case <-ctx.Done():
			reset(c.client)
			c.near.Close()
			return
		}
	}
}

func (c *carried) hasLost() bool {
	select {
	case <-c.lost:
		return true
	default:
		return false
	}
}

// Sizes of a stream in flight: at most pieces x pieceBytes wait in each
// direction of a connection, then the sender is held back. On a throttled line
// it is far less, see window.
const (
	pieceBytes  = 16 << 10
	pieces      = 64
	socketBytes = 32 << 10
)

type piece struct {
	data []byte
	at   time.Time
}

// pump moves bytes from src to dst under the line's faults until src ends and
// everything has been delivered, or dst fails.
func (c *carried) pump(ctx context.Context, src, dst net.Conn, passed interface{ Add(int64) int64 }) {
	ctx, cancel := context.WithCancel(ctx)
	queue, held := make(chan piece, pieces), newWindow()
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(queue)
		c.read(ctx, src, queue, held)
	})
	for p := range queue {
		if !c.deliver(ctx, p, dst, passed) {
			break
		}
		held.free(len(p.data))
	}
	cancel()
	src.Close()
	reader.Wait()
}

// read takes what src sends, until it ends; under a half-open fault the bytes go
// nowhere, and an end is seen when the fault has gone.
func (c *carried) read(ctx context.Context, src net.Conn, queue chan<- piece, held *window) {
	for {
		size, ok := held.room(ctx, c.route.faults)
		if !ok {
			return
		}
		buf := make([]byte, size)
		n, err := src.Read(buf)
		l, changed := c.route.faults.line()
		switch {
		case n > 0 && l.swallow:
			c.route.counts.swallowed.Add(int64(n))
			c.loseOnce.Do(func() { close(c.lost) })
		case n > 0:
			held.take(n)
			select {
			case queue <- piece{buf[:n], time.Now()}:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			for ; l.swallow; l, changed = c.route.faults.line() {
				select {
				case <-changed:
				case <-ctx.Done():
					return
				}
			}
			return
		}
	}
}

// deliver writes one piece when its delay is over, no faster than the rate.
func (c *carried) deliver(ctx context.Context, p piece, dst net.Conn, passed interface{ Add(int64) int64 }) bool {
	delayed := false
	for {
		l, changed := c.route.faults.line()
		wait := time.Until(p.at.Add(l.delay))
		if l.delay == 0 || wait <= 0 {
			break
		}
		if !delayed {
			delayed = true
			c.route.counts.delayed.Add(1)
		}
		if !pause(ctx, wait, changed) {
			return false
		}
	}
	throttled := false
	for rest := p.data; len(rest) > 0; {
		l, changed := c.route.faults.line()
		part := rest
		if l.rate > 0 {
			// A tenth of a second's worth at a time keeps the flow even.
			part = rest[:min(int64(len(rest)), max(l.rate/10, 1))]
			if !throttled {
				throttled = true
				c.route.counts.throttled.Add(1)
			}
			if !pause(ctx, time.Duration(len(part))*time.Second/time.Duration(l.rate), changed) {
				return false
			}
		}
		n, err := dst.Write(part)
		passed.Add(int64(n))
		if err != nil {
			return false
		}
		rest = rest[n:]
	}
	return true
}

// pause waits for d or a change of the faults; false means that ctx ended.
func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
		return false
	}
	return true
}
