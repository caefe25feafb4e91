package fleetsim

import (
	"io"
	"net"
	"sync"
	"time"
)

// socketBytes lie in buffers before a writer must wait.
const socketBytes = 64 << 10

// A pipe is one direction of a connection: what is written leaves at a rate and
// arrives after a delay, or does not.
type pipe struct {
	news, room chan struct{} // tell the reader, the writer, that something changed

	mu      sync.Mutex // guards what follows
	rate    int        // bytes a second
	latency time.Duration
	pieces  []piece
	bytes   int
	free    time.Time // when what was written has left
	stalled bool      // nothing arrives for now
	lost    bool      // nothing arrives any more, and nobody is told
	ended   bool      // nothing follows
	deaf    bool      // the reader has closed its end
	shut    bool      // the writer has, or was told to
}

type piece struct {
	data []byte
	at   time.Time
}

func newPipe(rate int, latency time.Duration) *pipe {
	return &pipe{news: make(chan struct{}, 1), room: make(chan struct{}, 1), rate: rate, latency: latency}
}

// set changes the pipe and tells both ends.
func (p *pipe) set(change func(*pipe)) {
	p.mu.Lock()
	change(p)
	p.mu.Unlock()
	for _, c := range []chan struct{}{p.news, p.room} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		n, wait, err := p.take(b)
		if n > 0 || err != nil {
			return n, err
		}
		if wait == 0 {
			<-p.news
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-p.news:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// take returns what has arrived, or how long until something does; 0 is until the
// pipe changes.
func (p *pipe) take(b []byte) (n int, wait time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.deaf:
		return 0, 0, net.ErrClosed
	case p.stalled || p.lost:
		return 0, 0, nil
	case len(p.pieces) == 0 && p.ended:
		return 0, 0, io.EOF
	case len(p.pieces) == 0:
		return 0, 0, nil
	}
	first := &p.pieces[0]
	if wait := time.Until(first.at); wait > 0 {
		return 0, wait, nil
	}
	n = copy(b, first.data)
	p.bytes -= n
	if first.data = first.data[n:]; len(first.data) == 0 {
		p.pieces = p.pieces[1:]
	}
	select {
	case p.room <- struct{}{}:
	default:
	}
	return n, 0, nil
}

func (p *pipe) write(b []byte) (int, error) {
	for {
		done, err := p.put(b)
		if err != nil {
			return 0, err
		}
		if done {
			return len(b), nil
		}
		<-p.room
	}
}

// put adds what is written, unless it must wait.
func (p *pipe) put(b []byte) (done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.shut || p.ended:
		return false, net.ErrClosed
	case p.deaf:
		return true, nil // the other end does not care any more
	case p.bytes > socketBytes:
		return false, nil
	}
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(len(b)) * time.Second / time.Duration(p.rate))
	p.pieces = append(p.pieces, piece{append([]byte(nil), b...), p.free.Add(p.latency)})
	p.bytes += len(b)
	select {
	case p.news <- struct{}{}:
	default:
	}
	return true, nil
}

// A link is one connection.
type link struct {
	up, down *pipe
	dialed   time.Time
	newest   time.Time // the newest revenue that waited then
	uplink   *uplink

	mu        sync.Mutex // guards what follows
	disturbed bool       // something broke since
	amnesia   bool       // the centre is to forget what it knows of the coding
	fresh     bool       // something fresh came over it
	asked     bool       // the node is to begin its coding anew
	over      bool       // the node has closed it
}

func (l *link) set(change func(*link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// both changes both directions.
func (l *link) both(change func(*pipe)) {
	l.up.set(change)
	l.down.set(change)
}

// endNode ends the node's end. What it had written may still arrive, later by a
// delay, when it has another connection already.
func (l *link) endNode(delay time.Duration) {
	l.down.set(func(p *pipe) { p.deaf = true })
	l.up.set(func(p *pipe) {
		p.shut, p.ended = true, true
		for i := range p.pieces {
			p.pieces[i].at = p.pieces[i].at.Add(delay)
		}
	})
}

// endCentre ends the centre's end.
func (l *link) endCentre() {
	l.up.set(func(p *pipe) { p.deaf, p.shut = true, p.shut || !p.lost })
	l.down.set(func(p *pipe) { p.shut, p.ended = true, true })
}

// A nodeEnd is what the forwarder has of a connection.
type nodeEnd struct{ *link }

func (e nodeEnd) Read(p []byte) (int, error)  { return e.down.read(p) }
func (e nodeEnd) Write(p []byte) (int, error) { return e.up.write(p) }

func (e nodeEnd) CloseWrite() error {
	e.up.set(func(p *pipe) { p.shut, p.ended = true, true })
	return nil
}

func (e nodeEnd) Close() error {
	e.endNode(0)
	e.uplink.closed(e.link)
	return nil
}
