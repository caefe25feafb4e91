package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ghostlight/buffer"
	"ghostlight/buffer/delta"
	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

const (
	// maxUnacked blocks wait for an answer at a time.
	maxUnacked = 512
	// together bounds what is written at a time: what is fresh waits for it.
	together = 64 << 10
	// linger is how long the first of several commits waits for the others: a packet
	// costs more than what is in it, and what a node reads at intervals it reads
	// within that time.
	linger = 400 * time.Millisecond
	// healthPatience and logPatience (of traces, too) are how long lanes that nobody
	// waits for wait for something to go along with: most nodes say something within
	// that time.
	healthPatience = 5 * time.Second
	logPatience    = 12 * time.Second
)

// A stream is the state of one connection. The goroutine of run owns it; a reader
// and a writer only pass messages on.
type stream struct {
	*Forwarder
	conn   Conn
	enc    *delta.Encoder
	window window
	pulse  pulse

	frameBytes int64 // longest frame the fleet takes
	unacked    []sentBlock
	held       held
	paused     [buffer.Logs + 1]time.Time // of each lane: nothing is sent before
	diskPause  time.Time                  // nothing is taken from the queue before
	lingering  time.Time                  // likewise
	waits      time.Time                  // since when something may wait for others to go along with
	resyncs    int                        // in a row without an acknowledgement

	out     []byte // what is written next, or being written
	frame   []byte // scratch
	writing bool
	counted []countedMessage // of out
	spent   int64            // by the budget for what is not written yet

	useful bool // the fleet did more than to greet
	said   bool // the farewell was written

	heard  chan message
	writes chan []byte
	wrote  chan written
	quit   chan struct{}
	work   sync.WaitGroup
}

// A sentBlock waits for its acknowledgement.
type sentBlock struct {
	flight
	block queue.Stored // bare
}

// A message is what the reader read, or why it stopped.
type message struct {
	kind wire.MessageType
	body []byte
	err  error
}

// written is what became of a piece that the writer wrote.
type written struct {
	bytes int
	last  bool // of what it was given
	err   error
}

// A countedMessage is counted once it is written.
type countedMessage struct {
	kind string
	size int
}

// stream opens a stream and sends over it until it breaks or ctx ends. The stream
// it returns is closed.
func (f *Forwarder) stream(ctx context.Context) (*stream, error) {
	s := &stream{
		Forwarder: f, enc: delta.NewEncoder(f.codec), pulse: newPulse(time.Now(), f.o.Heartbeat),
		heard: make(chan message), writes: make(chan []byte), wrote: make(chan written), quit: make(chan struct{}),
	}
	// What is under way when ctx ends is finished: the farewell goes by this stream.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	conn, err := f.o.Dial(inner)
	if err != nil {
		return s, fmt.Errorf("connect: %w", err)
	}
	s.conn = conn
	s.work.Go(s.read)
	s.work.Go(s.write)
	err = s.run(ctx)
	if err == nil {
		s.farewell(ctx)
	}
	s.close(inner)
	return s, err
}

// run sends until ctx ends, when it returns nil.
func (s *stream) run(ctx context.Context) error {
	if err := s.hello(time.Now()); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		if err := s.overdue(now); err != nil {
			return err
		}
		s.held.release(s.o.Queue, now)
		if err := s.fill(ctx, now); err != nil {
			return err
		}
		s.flush(ctx, now)
		s.settle(ctx, now)
		timer.Reset(s.sleep(now))
		if err := s.wait(ctx, timer); err != nil {
			return err
		}
	}
	return nil
}

// wait waits for the next thing to happen, and deals with it.
func (s *stream) wait(ctx context.Context, timer *time.Timer) error {
	select {
	case <-ctx.Done():
	case m := <-s.heard:
		return s.hear(ctx, m, time.Now())
	case w := <-s.wrote:
		return s.noteWritten(w, time.Now())
	case err := <-s.acks.done:
		s.settled(err, time.Now())
	case <-s.o.Queue.Changed():
		s.committed(time.Now())
	case <-timer.C:
	}
	return nil
}

// committed makes what was committed wait for what follows it, if nothing else is
// to be sent.
func (s *stream) committed(now time.Time) {
	if s.pulse.greeted.IsZero() || s.window.inFlight > 0 {
		return
	}
	if s.lingering.IsZero() {
		s.lingering = now.Add(linger)
	}
	if s.waits.IsZero() {
		s.waits = now
	}
}

// fill puts into out what is to be written next: blocks as the queue hands them
// out, and what the pulse asks for.
func (s *stream) fill(ctx context.Context, now time.Time) error {
	if s.writing || s.pulse.greeted.IsZero() {
		return nil
	}
	if err := s.fillBlocks(ctx, now); err != nil {
		return err
	}
	return s.fillPulse(now)
}

func (s *stream) fillBlocks(ctx context.Context, now time.Time) error {
	if now.Before(s.lingering) || now.Before(s.diskPause) {
		return nil
	}
	s.lingering = time.Time{}
	for len(s.out) < together && len(s.unacked) < maxUnacked && !s.held.full() {
		blocks, err := s.next(ctx, now)
		if err != nil {
			s.diskPause = now.Add(s.disk(err))
			return nil
		}
		if len(blocks) == 0 {
			if !s.patient(buffer.Logs, now) {
				s.waits = time.Time{} // all went along
			}
			return nil
		}
		for i, b := range blocks {
			if err := s.append(b, now); err != nil {
				for _, rest := range blocks[i:] {
					s.o.Queue.Release(rest)
				}
				return err
			}
		}
	}
	return nil
}

// next takes from the queue what may be sent now.
func (s *stream) next(ctx context.Context, now time.Time) ([]queue.Stored, error) {
	room, most := s.window.room(), maxBlocks
	switch {
	case s.budget.bounded():
		most = 1 // the next one is another question
	case room > 0:
		most = room
	}
	return s.o.Queue.Next(ctx, most, func(lane buffer.Lane, fresh bool) bool {
		if fresh && s.patient(lane, now) || !fresh && room == 0 {
			return false
		}
		return !now.Before(s.paused[lane]) && s.budget.allows(lane, fresh, s.window.block, now)
	})
}

// patience is how long what is fresh of a lane waits for something to go along with.
func patience(lane buffer.Lane) time.Duration {
	switch lane {
	case buffer.Health:
		return healthPatience
	case buffer.Traces, buffer.Logs:
		return logPatience
	}
	return 0
}

// patient reports whether what is fresh of a lane would go by itself, and has time.
func (s *stream) patient(lane buffer.Lane, now time.Time) bool {
	return len(s.out) == 0 && now.Before(s.waits.Add(patience(lane)))
}

// append adds a block to what is written next. A block that no frame can hold may
// yet go by POST.
func (s *stream) append(b queue.Stored, now time.Time) error {
	stamp := delta.Stamp{Lane: b.Lane, Session: b.Session, Seq: b.Seq}
	if b.First != b.Seq {
		stamp.First = b.First
	}
	frame, err := s.enc.Encode(s.frame[:0], stamp, b.Batch)
	if err != nil {
		return fmt.Errorf("%w for block %d of lane %s: %w", ErrNoStream, b.Seq, b.Lane, err)
	}
	if int64(len(frame)) > s.frameBytes {
		return fmt.Errorf("%w for block %d of lane %s: it takes %d bytes, the fleet reads %d", ErrNoStream, b.Seq, b.Lane, len(frame), s.frameBytes)
	}
	before := len(s.out)
	s.out = wire.AppendMessage(s.out, wire.Block, frame)
	if s.frame = frame; cap(frame) > together {
		s.frame = nil
	}
	size := s.add(SentBlocks, before, now)
	s.unacked = append(s.unacked, sentBlock{flight: s.window.leave(size, !b.Fresh, now), block: bare(b)})
	return nil
}

// add accounts for a message that was added to out, and returns its size.
func (s *stream) add(kind string, before int, now time.Time) int {
	size := len(s.out) - before
	s.counted = append(s.counted, countedMessage{kind, size})
	s.spend(int64(size), now)
	return size
}

// spend uses up the budget for what is going to be written.
func (s *stream) spend(bytes int64, now time.Time) {
	s.spent += bytes
	s.budget.spend(bytes, now)
}

// flush hands out to the writer.
func (s *stream) flush(ctx context.Context, now time.Time) {
	if s.writing || len(s.out) == 0 {
		return
	}
	s.spend(onUplink(len(s.out))-int64(len(s.out)), now) // its packets
	s.keepBudget(ctx, now, false)
	s.writing = true
	s.pulse.spoke(now)
	s.writes <- s.out
}

// noteWritten goes on after a piece was written.
func (s *stream) noteWritten(w written, now time.Time) error {
	s.spent -= int64(w.bytes)
	if w.err != nil {
		return fmt.Errorf("send: %w", w.err)
	}
	if !w.last {
		s.pulse.moved = now // slow, but moving
		return nil
	}
	s.writing, s.spent = false, 0
	for _, m := range s.counted {
		s.state.sent(m.kind, m.size)
	}
	s.counted = s.counted[:0]
	s.pulse.wrote(now)
	if s.out = s.out[:0]; cap(s.out) > 2*together {
		s.out = nil
	}
	return nil
}

// read passes on what the fleet says.
func (s *stream) read() {
	r := wire.NewReader(s.conn, maxAnswer)
	for {
		kind, body, err := r.Next()
		select {
		case s.heard <- message{kind, bytes.Clone(body), err}:
		case <-s.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

// write writes what it is given, in pieces: each is a sign that something moves.
func (s *stream) write() {
	for out := range s.writes {
		for len(out) > 0 {
			n, err := s.conn.Write(out[:min(len(out), chunk)])
			out = out[n:]
			select {
			case s.wrote <- written{bytes: n, last: len(out) == 0, err: err}:
			case <-s.quit:
				return
			}
			if err != nil {
				return
			}
		}
	}
}

// farewell says goodbye, if it is to be said, and hears what the fleet still has
// to say.
func (s *stream) farewell(ctx context.Context) {
	if s.pulse.greeted.IsZero() || !s.o.Goodbye && len(s.unacked) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeWait)
	defer cancel()
	timer := time.NewTimer(goodbyeWait)
	defer timer.Stop()
	for ended := false; ctx.Err() == nil; {
		now := time.Now()
		if !s.writing && s.o.Goodbye && !s.said {
			s.said = true
			if s.report(now, true) != nil {
				return
			}
		}
		if s.flush(ctx, now); !s.writing && !ended {
			ended = true
			if s.conn.CloseWrite() != nil {
				return
			}
		}
		if s.wait(ctx, timer) != nil {
			return // the fleet has ended its side: it has read all
		}
	}
}

// close ends the connection, tells the queue what was acknowledged and gives back
// the rest.
func (s *stream) close(ctx context.Context) {
	close(s.quit)
	s.conn.Close() //nolint:errcheck // it is given up
	close(s.writes)
	s.work.Wait()
	s.budget.spend(-s.spent, time.Now()) // what was never written
	s.settleRest(ctx)
	for _, b := range s.unacked {
		s.state.count(b.block.Lane, ResultFailed)
		s.o.Queue.Release(b.block)
	}
	s.unacked = nil
	s.held.releaseAll(s.o.Queue)
}

var errEnded = errors.New("the fleet ended the stream")
