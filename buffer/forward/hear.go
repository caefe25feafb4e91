package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"ghostlight/buffer/queue"
	"ghostlight/buffer/wire"
)

// maxResyncs in a row without an acknowledgement end a stream.
const maxResyncs = 3

// hear does what a message asks for.
func (s *stream) hear(ctx context.Context, m message, now time.Time) error {
	if m.err != nil {
		if errors.Is(m.err, io.EOF) {
			return errEnded
		}
		return m.err
	}
	s.pulse.heard = now
	if s.pulse.greeted.IsZero() && m.kind != wire.Welcome {
		return fmt.Errorf("message %d before the fleet's greeting: is something else answering for it?", m.kind)
	}
	switch m.kind {
	case wire.Welcome:
		return s.welcomed(m.body, now)
	case wire.Acked:
		return s.acked(m.body, now)
	case wire.Beaten:
		return s.beaten(m.body, now)
	case wire.Refused:
		return s.refused(ctx, m.body, now)
	case wire.Resync:
		return s.resync()
	case wire.Shows:
		s.calendar(m.body)
	}
	return nil // of a newer fleet
}

func (s *stream) welcomed(body []byte, now time.Time) error {
	var g wire.Greeting
	if err := json.Unmarshal(body, &g); err != nil || g.ReceivedMS == 0 || g.FrameBytes <= 0 || g.SilenceMS < 0 {
		return errors.New("the greeting is not the fleet's: is something else answering for it?")
	}
	s.frameBytes = g.FrameBytes
	s.pulse.greet(now, time.Duration(g.SilenceMS)*time.Millisecond)
	s.clock.note(later(s.pulse.said, s.pulse.helloAt), now, g.ReceivedMS)
	s.state.greeted()
	s.reached(ModeStream, now)
	return nil
}

// acked forgets blocks that the fleet holds.
func (s *stream) acked(body []byte, now time.Time) error {
	a, err := wire.ParseAck(body)
	if err != nil {
		return err
	}
	s.useful, s.resyncs = true, 0
	result := ResultAcked
	if a.Duplicate {
		result = ResultDuplicate
	}
	var landed []flight
	s.unacked = slices.DeleteFunc(s.unacked, func(b sentBlock) bool {
		if !covers(a, b.block) {
			return false
		}
		landed = append(landed, b.flight)
		s.held.settled(b.block)
		s.state.count(b.block.Lane, result)
		return true
	})
	s.window.acknowledged(landed, now)
	s.state.measured(s.window.rate)
	s.acks.add(a)
	return nil
}

// beaten takes a reading of the fleet's clock.
func (s *stream) beaten(body []byte, now time.Time) error {
	c, err := wire.ParseBeaten(body)
	if err != nil {
		return err
	}
	s.useful = true
	if sent, ok := s.pulse.answered(c.SentMS); ok {
		s.clock.note(sent, now, c.ReceivedMS)
	}
	return nil
}

// refused gives a block up or keeps it for later, as the fleet says.
func (s *stream) refused(ctx context.Context, body []byte, now time.Time) error {
	var r wire.StreamRefusal
	if err := json.Unmarshal(body, &r); err != nil || !r.Lane.Valid() {
		return fmt.Errorf("%w: refusal", wire.ErrMessage)
	}
	s.useful = true
	why := answer{status: r.Status, body: body}.error()
	s.state.failed(why)
	pause := min(max(time.Duration(r.AfterMS)*time.Millisecond, 0), longestPause)
	s.pauseLanes(r, now.Add(pause))
	i := slices.IndexFunc(s.unacked, func(b sentBlock) bool { return id(b.block) == blockID{r.Lane, r.Session, r.Seq} })
	if i < 0 {
		return nil
	}
	b := s.unacked[i]
	s.unacked = slices.Delete(s.unacked, i, i+1)
	s.window.gone(b.flight)
	if final(r.Status) {
		return s.giveUp(ctx, b.block, r.Status, why, now)
	}
	s.state.count(b.block.Lane, ResultFailed)
	s.held.add(b.block, now, pause, s.o.Rand)
	return nil
}

// pauseLanes honours what the fleet asks for: a full fleet wants nothing, a node
// over its limit is to send no more of that lane.
func (s *stream) pauseLanes(r wire.StreamRefusal, until time.Time) {
	switch r.Status {
	case http.StatusServiceUnavailable:
		for lane := range s.paused {
			s.paused[lane] = later(s.paused[lane], until)
		}
	case http.StatusTooManyRequests:
		s.paused[r.Lane] = later(s.paused[r.Lane], until)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// giveUp declares a block lost.
func (s *stream) giveUp(ctx context.Context, b queue.Stored, status int, why error, now time.Time) error {
	v := s.reject(ctx, b, lossOf(status), why)
	s.state.count(b.Lane, v.result)
	if v.result == ResultRejected {
		s.held.settled(b)
		s.tellRejected(b, why)
		return nil
	}
	s.diskPause = now.Add(s.disk(v.err))
	s.held.add(b, now, 0, s.o.Rand)
	return nil
}

// resync begins the coding anew. The fleet took nothing of what it could not
// decode; what it did take and has not acknowledged yet comes twice.
func (s *stream) resync() error {
	if s.resyncs++; s.resyncs > maxResyncs {
		return fmt.Errorf("%w: the fleet cannot decode even key frames", ErrNoStream)
	}
	s.enc.Reset()
	for _, b := range s.unacked {
		s.window.gone(b.flight)
		s.state.count(b.block.Lane, ResultFailed)
		s.o.Queue.Release(b.block)
	}
	s.unacked = nil
	return nil
}
