package forward_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"ghostlight/buffer/forward"
)

// A line carries streams to a fleet inside the process: what either side writes
// waits in buffers, goes out at a rate and arrives after a delay.
type line struct {
	to *fleet

	mu       sync.Mutex
	rate     int           // bytes a second of the node's direction; 0: no bound
	latency  time.Duration // one way
	cut      bool          // nothing can be reached
	hang     bool          // nothing arrives, in either direction
	refuse   error         // what Dial returns
	open     []*lineConn
	dials    []time.Time
	writes   int    // of the node
	stranger []byte // what answers instead of the fleet
	mute     error  // what reading and writing fail with, though Dial does not
}

const (
	pieceBytes  = 512
	bufferBytes = 64 << 10 // of the node's socket
)

func (l *line) set(change func(*line)) {
	l.mu.Lock()
	change(l)
	cut, open := l.cut, l.open
	if cut {
		l.open = nil
	}
	l.mu.Unlock()
	if cut {
		for _, c := range open {
			c.Close()
		}
	}
}

// drop ends the streams that are open; new ones can be had.
func (l *line) drop() {
	l.set(func(l *line) { l.cut = true })
	l.set(func(l *line) { l.cut = false })
}

func (l *line) dialed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.dials)
}

func (l *line) wrote() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes
}

func (l *line) look() (rate int, latency time.Duration, hang bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate, l.latency, l.hang
}

func (l *line) dial(context.Context) (forward.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dials = append(l.dials, time.Now())
	switch {
	case l.refuse != nil:
		return nil, l.refuse
	case l.cut:
		return nil, fmt.Errorf("%w: %w", forward.ErrUnreachable, errCut)
	}
	if l.mute != nil {
		return deadConn{fmt.Errorf("%w: %w", forward.ErrUnreachable, l.mute)}, nil
	}
	up, down := newHalf(l, true), newHalf(l, false)
	node, far := &lineConn{line: l, in: down, out: up}, &lineConn{line: l, in: up, out: down}
	l.open = append(l.open, node)
	if l.stranger != nil {
		go func() { io.Copy(io.Discard, far) }()
		far.Write(l.stranger) //nolint:errcheck
		return node, nil
	}
	go l.to.serve(far)
	return node, nil
}

// A deadConn never gets anywhere.
type deadConn struct{ err error }

func (d deadConn) Read([]byte) (int, error)  { return 0, d.err }
func (d deadConn) Write([]byte) (int, error) { return 0, d.err }
func (d deadConn) CloseWrite() error         { return d.err }
func (d deadConn) Close() error              { return nil }

// A lineConn is one end of a stream.
type lineConn struct {
	line    *line
	in, out *half
}

func (c *lineConn) Read(p []byte) (int, error) { return c.in.read(p) }
func (c *lineConn) Write(p []byte) (int, error) {
	if c.out.node {
		c.line.mu.Lock()
		c.line.writes++
		c.line.mu.Unlock()
	}
	return c.out.write(p)
}
func (c *lineConn) CloseWrite() error { c.out.end(); return nil }
func (c *lineConn) Close() error      { c.in.abort(); c.out.abort(); return nil }

// A half is one direction. A goroutine carries what was written to what is read.
type half struct {
	line *line
	node bool // it is the node's direction, which has a rate

	toSend  chan []byte // its room is the socket's buffer
	arrived chan piece
	rest    []byte
	ended   chan struct{} // nothing more will be written
	gone    chan struct{} // the connection broke
	once    [2]sync.Once
}

type piece struct {
	data []byte
	at   time.Time
}

func newHalf(l *line, node bool) *half {
	h := &half{
		line: l, node: node, toSend: make(chan []byte, bufferBytes/pieceBytes), arrived: make(chan piece, 1<<12),
		ended: make(chan struct{}), gone: make(chan struct{}),
	}
	go h.carry()
	return h
}

func (h *half) end()   { h.once[0].Do(func() { close(h.ended) }) }
func (h *half) abort() { h.once[1].Do(func() { close(h.gone) }) }

func (h *half) write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := append([]byte(nil), p[:min(len(p), pieceBytes)]...)
		select {
		case <-h.gone:
			return n, net.ErrClosed
		default:
		}
		select {
		case h.toSend <- part:
			n, p = n+len(part), p[len(part):]
		case <-h.gone:
			return n, net.ErrClosed
		}
	}
	return n, nil
}

// carry moves pieces until the connection breaks, or all was moved after its end.
func (h *half) carry() {
	defer close(h.arrived)
	for {
		var part []byte
		select {
		case part = <-h.toSend:
		case <-h.gone:
			return
		case <-h.ended:
			select {
			case part = <-h.toSend:
			default:
				return
			}
		}
		rate, latency, hang := h.line.look()
		for ; hang; _, _, hang = h.line.look() {
			if !h.sleep(100 * time.Millisecond) {
				return
			}
		}
		if h.node && rate > 0 && !h.sleep(time.Duration(len(part))*time.Second/time.Duration(rate)) {
			return
		}
		select {
		case h.arrived <- piece{part, time.Now().Add(latency)}:
		case <-h.gone:
			return
		}
	}
}

// sleep reports whether the connection lived that long.
func (h *half) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-h.gone:
		return false
	}
}

func (h *half) read(p []byte) (int, error) {
	if len(h.rest) == 0 {
		select {
		case <-h.gone:
			return 0, net.ErrClosed
		case next, ok := <-h.arrived:
			if !ok {
				select {
				case <-h.gone:
					return 0, net.ErrClosed
				default:
					return 0, io.EOF
				}
			}
			if !h.sleep(time.Until(next.at)) {
				return 0, net.ErrClosed
			}
			h.rest = next.data
		}
	}
	n := copy(p, h.rest)
	h.rest = h.rest[n:]
	return n, nil
}
